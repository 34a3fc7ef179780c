"""Where a filter comes to lie, and what it reads there: sizes, padding, windows. Pooling reads the same.

    N = 7, P = 1, F = 3, S = 2      0 | 1 2 3 4 5 6 7 | 0
                                    [-----]   [---]             floor((N + 2P - F) / S) + 1 = 4 windows
                                          [---]   [-----]

See also: nn/convolution.py, nn/pooling.py.
"""

# B batch, C channels, H W height and width, N size of an axis, F size of a filter, S stride, P padding
# K filters, L windows, D numbers in a window

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F

from didact.errors import UsageError, suggest

Sizes = int | Sequence[int]  # the same for each axis, or one for each

# where a place outside of an axis of n takes its value from; zeros need no rule
BORDERS: Mapping[str, Callable[[Tensor, int], Tensor]] = MappingProxyType(
    {
        "reflect": lambda place, n: n - 1 - (n - 1 - place.abs()).abs(),  # 2 1 | 0 1 2 3 | 2 1
        "replicate": lambda place, n: place.clamp(0, n - 1),  # 0 0 | 0 1 2 3 | 3 3
        "circular": lambda place, n: place % n,  # 2 3 | 0 1 2 3 | 0 1
    }
)


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, strict: bool = False) -> int:
    """Positions of a filter on an axis: floor((N + 2P - F) / S) + 1.

    Args:
        size: N.
        kernel: F.
        stride: S, how far the filter jumps.
        padding: P, added at both ends.
        strict: Refuse a stride that leaves a rest, as notes 001 and 004 ask. The last pixels are then not
            read by any window; libraries leave them out in silence, and so does the stem of ResNet.

    Example:
        >>> output_size(7, 3), output_size(7, 3, stride=2), output_size(32, 5, padding=2)
        (5, 3, 32)

    Raises:
        UsageError: The filter is larger than what it reads; or, if strict, the stride does not divide.
    """
    for name, value, least in (("kernel", kernel, 1), ("stride", stride, 1), ("padding", padding, 0)):
        if value < least:
            raise UsageError(f"{name}={value}: must be {least} or more, try {least}")
    span = size + 2 * padding - kernel
    if span < 0:
        raise UsageError(
            f"kernel={kernel}: larger than size={size} with padding={padding}, "
            f"pad by {ceil((kernel - size) / 2)}"
        )
    if strict and span % stride:
        good = [str(s) for s in range(1, max(stride, kernel) + 1) if span % s == 0]
        raise UsageError(
            f"stride={stride}: ({size} + 2x{padding} - {kernel}) / {stride} + 1 = {span / stride + 1:.2f} "
            f"is no number of positions, try stride={' or '.join(good)}"
        )
    return span // stride + 1


def centres(size: int, kernel: int, stride: int = 1, padding: int = 0) -> list[float]:
    """Where the middle of the filter comes to lie, from the left end of the padded axis (notes 003, L386).

    The first is F/2, the last N + 2P - F/2 at most: (N + 2P - F) / S + 1 positions.

    Example:
        >>> centres(7, 3, stride=2)
        [1.5, 3.5, 5.5]
    """
    places = range(0, size + 2 * padding - kernel + 1, stride)
    return [place + kernel / 2 for place in places]


def same_padding(kernel: int) -> int:
    """The padding that keeps the size at stride 1: P = (F - 1) / 2.

    Example:
        >>> same_padding(3), same_padding(5), same_padding(7)
        (1, 2, 3)

    Raises:
        UsageError: F is even; it would take more on one side than on the other.
    """
    if kernel < 1 or kernel % 2 == 0:
        near = max(1, kernel - 1)
        raise UsageError(f"kernel={kernel}: 'same' needs an odd kernel, try {near} or {near + 2}")
    return (kernel - 1) // 2


def layer_shape(
    shape: tuple[int, ...], filters: int, kernel: int, stride: int = 1, padding: int = 0, strict: bool = False
) -> tuple[int, ...]:
    """What K filters make of an input (C, N) or (C, H, W): K maps, each axis by ``output_size``.

    Example:
        >>> layer_shape((3, 32, 32), filters=10, kernel=5, padding=2)
        (10, 32, 32)
    """
    return (filters, *(output_size(size, kernel, stride, padding, strict) for size in shape[1:]))


def pad(x: Tensor, padding: Sizes, mode: str = "zeros") -> Tensor:
    """Widen each axis at both ends.

    Args:
        x: (B, C, N) or (B, C, H, W).
        padding: P.
        mode: What is added: ``zeros``; ``reflect``, a mirror in the last pixel; ``replicate``, the last pixel
            again; ``circular``, the other end.

    Returns:
        (B, C, N + 2P), or both axes so.

    Example:
        >>> pad(torch.tensor([[[1, 2, 3]]]), 2, "reflect")
        tensor([[[3, 2, 1, 2, 3, 2, 1]]])
    """
    if mode not in ("zeros", *BORDERS):
        raise UsageError(f"padding_mode={mode!r}: unknown, {suggest(mode, ['zeros', *BORDERS])}")
    extra = each(padding, x.dim() - 2, "padding", least=0)
    if mode == "zeros":
        return F.pad(x, [width for width in reversed(extra) for _ in range(2)])
    for axis, width in enumerate(extra, start=2):
        n = x.shape[axis]
        if mode == "reflect" and width >= n:
            raise UsageError(f"padding={width}: an axis of {n} mirrors {n - 1} at most, try replicate")
        place = torch.arange(-width, n + width, device=x.device)
        x = x.index_select(axis, BORDERS[mode](place, n))
    return x


def windows(x: Tensor, kernel: Sizes, stride: Sizes = 1) -> Tensor:
    """Every window that a filter sees, without copying a number.

    Args:
        x: (B, C, N) or (B, C, H, W).
        kernel: F.
        stride: S.

    Returns:
        (B, C, N', F) or (B, C, H', W', F, F).

    Example:
        >>> windows(torch.tensor([[[1, 2, 3, 4]]]), kernel=3)
        tensor([[[[1, 2, 3],
                  [2, 3, 4]]]])
    """
    axes = x.dim() - 2
    for axis, (f, s) in enumerate(
        zip(each(kernel, axes, "kernel"), each(stride, axes, "stride"), strict=True)
    ):
        output_size(x.shape[2 + axis], f, s)  # refuses a filter that does not fit
        x = x.unfold(2 + axis, f, s)
    return x


def im2col(
    x: Tensor, kernel: Sizes, stride: Sizes = 1, padding: Sizes | str = 0, padding_mode: str = "zeros"
) -> Tensor:
    """The windows as rows of a matrix, so that filtering is one matrix product.

    Returns:
        (B, L, D): a row for each window, in reading order; in it C x F x F numbers, channel by channel.

    Example:
        >>> im2col(torch.tensor([[[1, 2, 3, 4], [5, 6, 7, 8]]]), kernel=3)
        tensor([[[1, 2, 3, 5, 6, 7],
                 [2, 3, 4, 6, 7, 8]]])
    """
    axes = x.dim() - 2
    cut = windows(pad(x, widths(padding, each(kernel, axes, "kernel")), padding_mode), kernel, stride)
    cut = cut.movedim(1, 1 + axes)  # (B, C, H', W', F, F) -> (B, H', W', C, F, F)
    return cut.flatten(1 + axes).flatten(1, axes)  # -> (B, H' W', C F F)


def widths(padding: Sizes | str, kernel: Sequence[int]) -> list[int]:
    """The padding of each axis: from a name, from one number, or from one for each."""
    if padding == "valid":
        return [0] * len(kernel)
    if padding == "same":
        return [same_padding(size) for size in kernel]
    if isinstance(padding, str):
        raise UsageError(f"padding={padding!r}: unknown, choose valid, same or a number")
    return each(padding, len(kernel), "padding", least=0)


def each(value: Sizes, axes: int, name: str, least: int = 1) -> list[int]:
    """One number for each axis."""
    values = [value] * axes if isinstance(value, int) else list(value)
    if len(values) != axes or min(values) < least:
        raise UsageError(f"{name}={value}: must be {least} or more, one number or {axes} of them")
    return values
