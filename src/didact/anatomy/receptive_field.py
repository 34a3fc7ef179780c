"""The receptive field: which pixels of the input an output can see, by the graph and by measurement.

    one 3x3: 3x3 = 9 pixels     two: 5x5 = 25     three: 7x7     r_k = r_(k-1) + (s_1 ... s_(k-1)) (F_k - 1)

By the graph is anatomy/field.py. Measured is the gradient of the centre output with respect to the image,
once with every path open (what can be seen) and once as the network is (what counts). The second is far
smaller: it falls off from the middle like a bell (Luo, Li, Urtasun and Zemel 2016, https://arxiv.org/abs/1701.04128).
"""

# B images, C channels, H W height and width

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from didact.anatomy.field import Field, fields
from didact.anatomy.open_paths import OpenPaths, opened
from didact.anatomy.trace import trace, with_numbers
from didact.errors import UsageError, suggest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARE = 0.95  # of the gradient, that the radius holds
Interval = tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class Footprint:
    """What one output of a layer sees of an image.

    Attributes:
        layer: Its name; "" for the network.
        index: The output looked at, one number an axis, the centre of its map.
        field: The receptive field by the graph.
        open: Gradient with every path open, over the axes of the image: (N,), (H, W) or (D, H, W).
        heat: Mean size of the gradient with the real weights, summing to 1, in the same shape.
        radius: Of the circle (interval, ball) around the middle that holds ``share`` of the heat.
        share: How much that is.
        images: How many images the mean is of.
    """

    layer: str
    index: tuple[int, ...]
    field: Field
    open: Tensor
    heat: Tensor
    radius: float
    share: float
    images: int

    @property
    def measured(self) -> tuple[Interval, ...]:
        """The first and last pixel of each axis with a gradient, every path open."""
        return tuple(bounds(self.open, axis) for axis in range(self.open.dim()))

    @property
    def expected(self) -> tuple[Interval, ...]:
        """The same by the graph, clipped to the image; empty if the graph cannot say."""
        return self.field.seen(self.index) if self.field.axes else ()

    @property
    def agrees(self) -> bool | None:
        """Whether graph and measurement say the same; None where the graph cannot say."""
        return self.measured == self.expected if self.field.axes else None

    @property
    def middle(self) -> tuple[float, ...]:
        """The pixel that the field is centred at, which may lie between two."""
        if not self.field.axes or len(self.index) < len(self.field.axes):
            return tuple((low + high) / 2 for low, high in (each or (0, 0) for each in self.measured))
        theory = self.field.interval(self.index)
        pairs = (each or seen or (0, 0) for each, seen in zip(theory, self.measured, strict=True))
        return tuple((low + high) / 2 for low, high in pairs)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the heat included."""
        return {
            "layer": self.layer,
            "index": list(self.index),
            "image": list(self.open.shape),
            "field": self.field.to_dict(),
            "expected": [each and list(each) for each in self.expected],
            "measured": [each and list(each) for each in self.measured],
            "agrees": self.agrees,
            "radius": self.radius,
            "share": self.share,
            "images": self.images,
            "heat": self.heat.tolist(),
        }

    def plot(self) -> "Figure":
        """The heat on the image, the square that can be seen, the circle that counts."""
        from didact.draw.footprint import draw_footprint

        theory = self.field.interval(self.index) if self.field.axes else self.measured
        return draw_footprint(
            self.heat.numpy(),
            self.middle,
            [each or seen for each, seen in zip(theory, self.measured, strict=True)],
            self.radius,
            self.share,
            self.layer,
        )

    def __str__(self) -> str:
        jumps = ", ".join("varies" if jump is None else f"{jump:g}" for jump in self.field.jump)
        said = {True: "the same", False: f"{_written(self.expected)}", None: "unknown"}[self.agrees]
        lines = [
            f"{self.layer or 'the network'}: receptive field {self.field}, jump {jumps or 'unknown'}",
            f"output {self.index} of the middle: sees pixels {_written(self.measured)}; by the graph {said}",
            f"{self.share:.0%} of the gradient lies within {self.radius:.1f} pixels of the middle "
            f"({self.images} images)",
        ]
        why = f"no one rule by the graph: {self.field.why}"
        return "\n".join(lines + [why] * bool(self.field.why) + list(self.field.notes))


def _written(intervals: Sequence[Interval]) -> str:
    return " x ".join(f"{each[0]}..{each[1]}" if each else "nothing" for each in intervals)


def bounds(numbers: Tensor, axis: int) -> Interval:
    """The first and last place along an axis where anything is not zero."""
    others = [dim for dim in range(numbers.dim()) if dim != axis]
    places = (numbers != 0).sum(others).nonzero() if others else (numbers != 0).nonzero()
    return (int(places.min()), int(places.max())) if len(places) else None


def footprint(
    module: nn.Module,
    input: Sequence[int] | Tensor,
    layer: str | None = None,
    *,
    images: int = 8,
    seed: int = 0,
    share: float = SHARE,
) -> Footprint:
    """Measure what the centre output of a layer sees.

    Args:
        module: Any that reads images (B, C, ...); it is left as it was.
        input: The shape of an image, (C, N), (C, H, W) or (C, D, H, W), or images with their batch, which are
            then those of the mean.
        layer: Name of a submodule; by default the last one whose outputs lie at places of the image.
        images: How many random images the mean is of, if none are given.
        seed: Of the random images.
        share: Of the gradient, that the radius holds.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
        >>> print(footprint(net, (1, 15, 15)).measured)
        ((5, 9), (5, 9))

    Raises:
        UsageError: No such layer, one that has no part in the answer, or an input that is no image.
    """
    module = getattr(module, "_orig_mod", module)  # what torch.compile wraps
    batch = _images(module, input, images, seed)
    found = trace(module, batch[:1])
    by_name = fields(found)
    name = _choose(by_name, layer)
    outputs = [visit.outputs for visit in found.visits if visit.module == name]
    index, centre = _centre(by_name[name], found.shape(outputs[-1][0]), batch.dim() - 2)
    ones = torch.ones_like(batch[:1], dtype=torch.float64)
    paths = _gradient(opened(module), ones, name, len(outputs), centre, all_open=True)
    real, heat = with_numbers(module).requires_grad_(False), torch.zeros(batch.shape[2:], dtype=torch.float64)
    for image in batch:
        heat += _gradient(real, image[None], name, len(outputs), centre, all_open=False).double()
    heat /= heat.sum().clamp(min=torch.finfo(torch.float64).tiny)
    made = Footprint(name, index, by_name[name], paths, heat, 0.0, share, len(batch))
    return replace(made, radius=_radius(heat, made.middle, share))


def seen_by_layers(
    module: nn.Module, input: Sequence[int] | Tensor, layers: Sequence[str]
) -> dict[str, tuple[tuple[Interval, ...], tuple[Interval, ...]]]:
    """What the centre outputs of several layers can see: by the graph, and measured with every path open.

    One run for all of them, where ``footprint`` takes one for each and one for each image.
    """
    batch = _images(module, input, 1, 0)
    found = trace(module, batch)
    by_name, visits = fields(found), Counter(visit.module for visit in found.visits)
    image = torch.ones_like(batch, dtype=torch.float64).requires_grad_()
    caught = _caught(opened(module), image, {layer: visits[layer] for layer in layers}, all_open=True)
    seen = {}
    for layer in layers:
        index, centre = _centre(by_name[layer], caught[layer].shape, batch.dim() - 2)
        paths = _heat(caught[layer], image, centre)
        expected = by_name[layer].seen(index) if by_name[layer].axes else ()
        seen[layer] = expected, tuple(bounds(paths, axis) for axis in range(paths.dim()))
    return seen


def _images(module: nn.Module, input: Sequence[int] | Tensor, count: int, seed: int) -> Tensor:
    """(B, C, ...) on the device and in the type of the weights."""
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    if isinstance(input, Tensor):
        batch = input.detach()
    else:
        generator = torch.Generator().manual_seed(seed)
        batch = torch.randn((count, *input), generator=generator)
    if batch.dim() < 3 or not batch.is_floating_point() or not batch.numel():
        raise UsageError(
            f"input of shape {tuple(batch.shape)}: a footprint lies on images, give (channels, height, width)"
        )
    return batch.to(like.device, like.dtype)


def _choose(by_name: Mapping[str, Field], layer: str | None) -> str:
    if layer is not None:
        if layer not in by_name:
            raise UsageError(
                f"layer={layer!r}: unknown or without a part in the answer, {suggest(layer, by_name)}"
            )
        return layer
    placed = [name for name, field in by_name.items() if name and any(jump for jump in field.jump)]
    return placed[-1] if placed else ""


def _centre(field: Field, shape: Sequence[int], axes: int) -> tuple[tuple[int, ...], dict[int, int]]:
    """The index in the middle of each axis, the left one of two; and by the dimension of the output."""
    if field.axes:
        index = tuple((axis.length - 1) // 2 for axis in field.axes)
        along = [axis.dim for axis in field.axes]
        return index, {dim: place for dim, place in zip(along, index, strict=True) if dim is not None}
    by_dim = {dim: (shape[dim] - 1) // 2 for dim in range(2, len(shape))} if len(shape) == axes + 2 else {}
    return tuple(by_dim.values()), by_dim


class _ReachedError(Exception):
    """The layers have given their outputs; what comes after is not needed."""


def _gradient(
    model: nn.Module, image: Tensor, layer: str, visits: int, centre: Mapping[int, int], all_open: bool
) -> Tensor:
    """How the centre output of a layer changes with each pixel, its size summed over the channels."""
    image = image.clone().requires_grad_()
    output = _caught(model, image, {layer: visits}, all_open)[layer]
    return _heat(output, image, centre)


def _caught(model: nn.Module, image: Tensor, layers: Mapping[str, int], all_open: bool) -> dict[str, Tensor]:
    """What layers give at their last visit, the how-manieth it is beside the name; the run ends there."""
    caught: dict[str, Tensor] = {}
    left = Counter(layers)

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            caught[name] = next(leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)).clone()
            left[name] -= 1
            if not any(left.values()):
                raise _ReachedError

        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    try:
        with OpenPaths() if all_open else nullcontext(), _reproducible(), suppress(_ReachedError):
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    return caught


@contextmanager
def _reproducible() -> Iterator[None]:
    """With gradients, and no random number of the caller's used up."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        yield


def _heat(output: Tensor, image: Tensor, centre: Mapping[int, int]) -> Tensor:
    """The gradient of the output's centre, over the axes of the image."""
    for dim, place in centre.items():
        output = output.narrow(dim, place, 1)
    (gradient,) = torch.autograd.grad(output.sum(), image, retain_graph=True, allow_unused=True)
    gradient = torch.zeros_like(image) if gradient is None else gradient
    return gradient.detach().abs().sum((0, 1)).cpu()


def _radius(heat: Tensor, middle: Sequence[float], share: float) -> float:
    """Of the smallest circle around the middle that holds a share of the heat."""
    axes = [torch.arange(size, dtype=torch.float64) for size in heat.shape]
    away = [(place - centre) ** 2 for place, centre in zip(axes, middle, strict=True)]
    distance = sum(torch.meshgrid(*away, indexing="ij"), torch.zeros(())).sqrt().flatten()
    order = distance.argsort()
    held = heat.flatten()[order].cumsum(0)
    enough = int((held < share * float(held[-1])).sum())
    return float(distance[order][min(enough, len(order) - 1)])
