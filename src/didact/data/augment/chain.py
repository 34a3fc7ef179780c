"""The list of changes by name, and chains of them such as ``("flip", "rotate:15", "jitter:0.2")``.

A chain is a function of a batch (B, C, H, W) and a generator. ``any:2`` in it lets each image have two of the
changes that follow, drawn for it alone.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from didact.data.augment import colour, damage, place
from didact.data.augment.colour import Scale, principal_components
from didact.data.batches import Augment, Split
from didact.data.facts import Facts
from didact.errors import UsageError, suggest

Needs = Literal["nothing", "scale", "components"]


@dataclass(frozen=True)
class Change:
    """One change that can be asked for.

    Attributes:
        act: Takes images, a generator, the number where it takes one, and what it needs. Returns images, or
            where it ``moves`` the matrices (B, 3, 3) to read them by.
        about: One line.
        example: A number that it may be given; None where it takes none.
        low, high: The least and the largest number.
        needs: The ``scale`` of the data, or its principal ``components``.
        moves: Whether it is a matrix, to be joined with those beside it.
        colour: Whether it needs colour images.
        whole: Whether the number is a whole one.
    """

    act: Callable[..., Tensor]
    about: str
    example: float | None = None
    low: float = 0.0
    high: float = math.inf
    needs: Needs = "nothing"
    moves: bool = False
    colour: bool = False
    whole: bool = False


CHANGES = MappingProxyType(
    {
        "flip": Change(place.flip, "mirror half of the images left to right"),
        "vflip": Change(place.vflip, "turn half of the images upside down"),
        "shift": Change(place.shift, "move by up to so many pixels", 2),
        "rotate": Change(place.rotate, "turn by up to so many degrees", 15, 0, 180, moves=True),
        "shear": Change(place.shear, "lean sideways by up to so many degrees", 10, 0, 80, moves=True),
        "stretch": Change(
            place.stretch, "scale width and height, each by up to this factor", 1.2, 1, moves=True
        ),
        "zoom": Change(place.zoom, "scale both sides alike by up to this factor", 1.2, 1, moves=True),
        "crop": Change(
            place.crop, "enlarge a window of at least this share of the side", 0.6, 0.05, 1, moves=True
        ),
        "lens": Change(place.lens, "bend lines outwards or inwards, by up to so much", 0.2, 0, 0.3),
        "brightness": Change(colour.brightness, "add light or take it away", 0.2, 0, 1, "scale"),
        "contrast": Change(colour.contrast, "pull pixels to the image's mean, or away", 0.2, 0, 1),
        "jitter": Change(colour.jitter, "change brightness and contrast", 0.2, 0, 1, "scale"),
        "saturation": Change(colour.saturation, "fade or deepen colours", 0.3, 0, 1, "scale", colour=True),
        "hue": Change(colour.hue, "turn the circle of colours by degrees", 20, 0, 180, "scale", colour=True),
        "pca": Change(colour.pca, "offset along the principal colours", 0.1, needs="components"),
        "noise": Change(damage.noise, "add Gaussian noise, in units of the standardised pixels", 0.1),
        "salt-pepper": Change(
            damage.salt_pepper, "make a share of the pixels white or black", 0.02, 0, 1, "scale"
        ),
        "jpeg": Change(
            damage.jpeg, "compress, at this quality or a better one", 30, 1, 100, "scale", whole=True
        ),
    }
)
ANY, SOME = "any", Change(lambda images: images, "so many of the changes that follow", 2, 1, whole=True)


@dataclass(frozen=True)
class Step:
    """A change with its number."""

    act: Callable[[Tensor, torch.Generator], Tensor]
    moves: bool


@dataclass(frozen=True)
class Chain:
    """Changes, one after the other; from step ``first`` on, each image has only ``some`` of them."""

    steps: tuple[Step, ...]
    first: int
    some: int

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Change a batch (B, C, H, W).

        Raises:
            UsageError: It holds no images.
        """
        if images.dim() != 4:
            raise UsageError("augment changes images; this data holds none")
        masks = self.masks(len(images), generator)
        for moves, group in groupby(zip(self.steps, masks, strict=True), lambda pair: pair[0].moves):
            if moves:
                images = place.warp(images, _joined(images, generator, group))
                continue
            for step, mask in group:
                images = _where(mask, step.act(images, generator), images)
        return images

    def masks(self, count: int, generator: torch.Generator) -> list[Tensor | None]:
        """For each step which of so many images (B,) have it; None where all do."""
        if not self.some:
            return [None] * len(self.steps)
        drawn = torch.rand(count, len(self.steps) - self.first, generator=generator).argsort(1) < self.some
        return [*([None] * self.first), *drawn.T]


def augmentation(
    steps: Sequence[str], facts: Facts | None = None, train: Split | None = None
) -> Augment | None:
    """Compose changes such as ``("flip", "shift:2")``; None when there are none.

    Args:
        steps: Names of ``CHANGES``, with a number where they take one.
        facts: Of the data: what was subtracted from the pixels, and what they were divided by. Without facts
            the images are taken for light from 0 to 1.
        train: The training split, from which ``pca`` learns the colours.

    Raises:
        UsageError: An unknown change, a number that is missing, unwanted or out of range, or data without
            images, or without colour where that is changed.
    """
    if not steps:
        return None
    parsed = [(step, *_parsed(step)) for step in steps]
    if facts and facts.inputs != "image":
        raise UsageError("augment changes images; this data holds none")
    first, some = _any(parsed)
    made = [_made(step, name, amount, facts, train) for step, name, amount in parsed if name != ANY]
    return Chain(tuple(made), first, some)


def _any(parsed: Sequence[tuple[str, str, float]]) -> tuple[int, int]:
    """From which step on images have only some of the changes, and how many; (0, 0) when all have all."""
    where = [k for k, (_, name, _) in enumerate(parsed) if name == ANY]
    if not where:
        return 0, 0
    first, some = where[0], parsed[where[0]][2]
    following = len(parsed) - first - 1
    if len(where) > 1 or some > following:
        rule = "one any in a list" if len(where) > 1 else f"only {following} changes follow it"
        raise UsageError(f"augment={parsed[where[-1]][0]!r}: {rule}; write any:2,flip,rotate:15,zoom:1.2")
    return first, int(some)


def _made(step: str, name: str, amount: float, facts: Facts | None, train: Split | None) -> Step:
    """A change with all that it needs."""
    change, scale = CHANGES[name], Scale.of(facts)
    if change.colour and facts and facts.input_shape[0] != 3:
        raise UsageError(
            f"augment={step!r}: the images are grey; leave it out, or read colour with channels=3"
        )
    needed: dict[str, Any] = {"scale": scale} if change.needs == "scale" else {}
    if change.needs == "components":
        if train is None:
            raise UsageError(f"augment={step!r}: it is fitted on the training split; give train")
        needed = {"components": principal_components(train, scale)}
    given = () if change.example is None else (amount,)
    return Step(lambda images, generator: change.act(images, generator, *given, **needed), change.moves)


def _joined(
    images: Tensor, generator: torch.Generator, steps: Iterable[tuple[Step, Tensor | None]]
) -> Tensor:
    """The product (B, 3, 3) of the matrices of steps that follow one another."""
    whole = still = torch.eye(3).expand(len(images), 3, 3)
    for step, mask in steps:
        whole = whole @ _where(mask, step.act(images, generator), still)
    return whole


def _where(mask: Tensor | None, changed: Tensor, before: Tensor) -> Tensor:
    """What is changed where the mask (B,) says so, else what was before."""
    if mask is None:
        return changed
    return torch.where(mask.to(before.device).view(-1, *[1] * (before.dim() - 1)), changed, before)


def _parsed(step: str) -> tuple[str, float]:
    """Name and number."""
    name, _, number = step.partition(":")
    if name not in CHANGES and name != ANY:
        raise UsageError(f"augment={step!r}: no such change; {suggest(name, [*CHANGES, ANY])}")
    change = CHANGES.get(name, SOME)
    if change.example is None:
        if ":" in step:
            raise UsageError(f"augment={step!r}: write {name}, without a number")
        return name, 0.0
    try:
        amount = float(number)
    except ValueError:
        amount = math.nan
    whole = not change.whole or amount % 1 == 0
    if not (math.isfinite(amount) and change.low <= amount <= change.high and whole):
        upper = f"to {change.high:g}" if math.isfinite(change.high) else "on"
        raise UsageError(
            f"augment={step!r}: write {name}:{change.example:g}, with a {'whole ' * change.whole}number "
            f"from {change.low:g} {upper}"
        )
    return name, amount
