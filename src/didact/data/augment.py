"""Random changes to training images, drawn from (seed, epoch, position) so that a run can be repeated.

Each is a small class of tensor arithmetic on a batch (B, C, H, W); the next chapters add to this list.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from didact.data.batches import Augment
from didact.errors import UsageError, suggest


def flip(images: Tensor, generator: torch.Generator, _: float) -> Tensor:
    """Mirror each image left to right with probability 1/2."""
    chosen = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(chosen.view(-1, 1, 1, 1).to(images.device), images.flip(3), images)


def shift(images: Tensor, generator: torch.Generator, pixels: float) -> Tensor:
    """Move each image by up to so many pixels both ways; what comes in repeats the border."""
    reach, (height, width) = int(pixels), images.shape[2:]
    rows, columns = (
        torch.randint(-reach, reach + 1, (len(images), 1), generator=generator) for _ in range(2)
    )
    y = (torch.arange(height) + rows).clamp(0, height - 1).to(images.device)
    x = (torch.arange(width) + columns).clamp(0, width - 1).to(images.device)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[batch, y[:, :, None], x[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def noise(images: Tensor, generator: torch.Generator, deviation: float) -> Tensor:
    """Add Gaussian noise, in units of the standardised pixels."""
    return images + deviation * torch.randn(images.shape, generator=generator).to(images.device)


CHANGES: dict[str, tuple[Callable[[Tensor, torch.Generator, float], Tensor], bool]] = {
    "flip": (flip, False),
    "shift": (shift, True),
    "noise": (noise, True),
}  # name -> (function, whether it takes a number)


def augmentation(steps: Sequence[str]) -> Augment | None:
    """Compose changes such as ``("flip", "shift:2")``; None when there are none.

    Raises:
        UsageError: An unknown change, or a number that is missing, unwanted or no number.
    """
    changes = [_parsed(step) for step in steps]
    if not changes:
        return None

    def apply(images: Tensor, generator: torch.Generator) -> Tensor:
        if images.dim() != 4:
            raise UsageError("augment changes images; this data holds none")
        for change, amount in changes:
            images = change(images, generator, amount)
        return images

    return apply


def _parsed(step: str) -> tuple[Callable[[Tensor, torch.Generator, float], Tensor], float]:
    name, _, number = step.partition(":")
    if name not in CHANGES:
        raise UsageError(f"augment={step!r}: no such change; {suggest(name, CHANGES)}")
    change, takes_number = CHANGES[name]
    try:
        amount = float(number) if number else 0.0
    except ValueError:
        amount = -1.0
    if takes_number != bool(number) or not 0 <= amount < math.inf:
        rule = (
            f"write {name}:2, with a number that is not negative"
            if takes_number
            else f"write {name}, without a number"
        )
        raise UsageError(f"augment={step!r}: {rule}")
    return change, amount
