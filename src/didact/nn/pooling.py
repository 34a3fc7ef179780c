"""Pooling: of each window the strongest answer, or the mean; each map by itself, and nothing to learn.

A convolution says where a feature is; pooling keeps whether it is about there, on a smaller map. The stride
is the window's side unless one is given, so that windows do not overlap; AlexNet's do (3x3 at a stride of 2).

    3 1 | 3 5
    6 0 | 7 9       max    6 9       mean    2.5  6
    ----+----       2x2    3 4       2x2     1.75 3
    3 2 | 1 4
    0 2 | 4 3

Where two pixels of a window are equally strong, the first one in reading order wins, as in torch: it is the
one whose place is remembered, and the one to which the whole gradient goes.
See also: nn/convolution.py; nn/transposed.py, the other way to make maps larger.
"""

# B batch, C channels, H W height and width, N size of an axis, F side of a window, S stride

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from didact.nn.windows import Sizes, each, layer_shape, windows


class Pooled(NamedTuple):
    """The maxima and the switches: the place of each in its map, counted in reading order."""

    values: Tensor  # (B, C, H', W')
    switches: Tensor  # (B, C, H', W')


def pooled_shape(shape: tuple[int, ...], kernel: int, stride: int | None = None) -> tuple[int, ...]:
    """What pooling makes of maps (C, N) or (C, H, W): as many, each axis floor((N - F) / S) + 1.

    Example:
        >>> pooled_shape((3, 10, 10), 2), pooled_shape((96, 55, 55), kernel=3, stride=2)
        ((3, 5, 5), (96, 27, 27))
    """
    return layer_shape(shape, shape[0], kernel, kernel if stride is None else stride)


def max_pool(x: Tensor, kernel: Sizes, stride: Sizes | None = None, ceil: bool = False) -> Tensor:
    """The largest number of each window.

    Args:
        x: (B, C, N) or (B, C, H, W).
        kernel: F.
        stride: S, the window's side if not given.
        ceil: Let a last window hang over the end, so that no pixel is left out.

    Returns:
        (B, C, N') or (B, C, H', W').

    Example:
        >>> max_pool(torch.tensor([[[3.0, 1, 3, 5, 6]]]), 2)
        tensor([[[3., 5.]]])
    """
    return max_pool_with_switches(x, kernel, stride, ceil).values


def max_pool_with_switches(
    x: Tensor, kernel: Sizes, stride: Sizes | None = None, ceil: bool = False
) -> Pooled:
    """The largest number of each window, and where in its map it stood.

    Example:
        >>> max_pool_with_switches(torch.tensor([[[3.0, 1, 5, 5]]]), 2)  # of equals the first
        Pooled(values=tensor([[[3., 5.]]]), switches=tensor([[[0, 2]]]))
    """
    axes = x.dim() - 2
    stride = kernel if stride is None else stride
    place = torch.arange(x[0, 0].numel(), device=x.device).view(1, 1, *x.shape[2:])
    if ceil:
        over = _overhang(x, kernel, stride)
        x, place = F.pad(x, over, value=-torch.inf), F.pad(place, over)
    best, winner = windows(x, kernel, stride).flatten(2 + axes).max(-1)  # (B, C, H', W')
    places = windows(place, kernel, stride).flatten(2 + axes)  # (1, 1, H', W', F F)
    switches = places.expand(*winner.shape, -1).gather(-1, winner[..., None])[..., 0]
    return Pooled(best, switches)


def unpool(values: Tensor, switches: Tensor, size: tuple[int, ...]) -> Tensor:
    """Put each number back where its maximum stood, zeros elsewhere.

    Pooling the result gives the numbers again, if none of them is negative and windows did not overlap.

    Args:
        values: (B, C, N') or (B, C, H', W').
        switches: As large, from ``max_pool_with_switches``.
        size: Of the maps that were pooled, (N) or (H, W).

    Example:
        >>> values, switches = max_pool_with_switches(torch.tensor([[[3.0, 1, 2, 5]]]), 2)
        >>> unpool(values, switches, (4,))
        tensor([[[3., 0., 0., 5.]]])
    """
    flat = values.new_zeros(*values.shape[:2], torch.Size(size).numel())
    return flat.scatter(2, switches.flatten(2), values.flatten(2)).unflatten(2, size)


def max_pool_backward(gradient: Tensor, switches: Tensor, size: tuple[int, ...]) -> Tensor:
    """The gradient of the input: each maximum's goes to the pixel that won, to the others none.

    As ``unpool``, but a pixel that won in several windows collects from all of them.

    Example:
        >>> x = torch.tensor([[[1.0, 9, 1]]])
        >>> _, switches = max_pool_with_switches(x, kernel=2, stride=1)
        >>> max_pool_backward(torch.tensor([[[0.5, 2.0]]]), switches, (3,))
        tensor([[[0.0000, 2.5000, 0.0000]]])
    """
    flat = gradient.new_zeros(*gradient.shape[:2], torch.Size(size).numel())
    return flat.scatter_add(2, switches.flatten(2), gradient.flatten(2)).unflatten(2, size)


def average_pool(x: Tensor, kernel: Sizes, stride: Sizes | None = None) -> Tensor:
    """The mean of each window; each of its F^2 pixels gets 1 / F^2 of the gradient.

    Example:
        >>> average_pool(torch.tensor([[[3.0, 1, 3, 5, 6]]]), 2)
        tensor([[[2., 4.]]])
    """
    stride = kernel if stride is None else stride
    return windows(x, kernel, stride).flatten(x.dim()).mean(-1)


def global_average(x: Tensor) -> Tensor:
    """Each map as one number, its mean: (B, C, N) or (B, C, H, W) to (B, C).

    Example:
        >>> global_average(torch.ones(2, 512, 8, 8)).shape
        torch.Size([2, 512])
    """
    return x.flatten(2).mean(2)


def change_under_shift(function: Callable[[Tensor], Tensor], x: Tensor, pixels: int = 1) -> float:
    """How much an answer changes when the image moves to the right: |f(g(x)) - f(x)| / |f(x)|.

    0 means that f is invariant to g. What leaves at the right comes in at the left, so that nothing is lost.

    Args:
        function: f, such as a pooling, or a network up to some layer.
        x: (B, C, N) or (B, C, H, W).
        pixels: How far g moves.

    Example:
        >>> x = torch.tensor([[[0.0, 0, 7, 0, 0, 0]]])
        >>> change_under_shift(lambda x: max_pool(x, 2), x)
        0.0
    """
    before, after = function(x), function(x.roll(pixels, dims=-1))
    return ((after - before).norm() / before.norm()).item()


def _overhang(x: Tensor, kernel: Sizes, stride: Sizes) -> list[int]:
    """What to add at the far end of each axis for one more window, which has to begin inside; for F.pad."""
    axes, over = x.dim() - 2, []
    parts = zip(x.shape[2:], each(kernel, axes, "kernel"), each(stride, axes, "stride"), strict=True)
    for n, f, s in parts:
        start = -(-max(n - f, 0) // s) * s  # of the last window
        start -= s if start >= n else 0
        over.append(max(0, start + f - n))
    return [width for end in reversed(over) for width in (0, end)]
