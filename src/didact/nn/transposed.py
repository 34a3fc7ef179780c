"""Transposed convolution: the way back of a convolution, from small maps to large ones.

A convolution is a matrix M that holds the filter in every row, each time at another place. Backpropagation
multiplies by M^T, and so does this layer:

    z  = M x          z(i) = w1 x(i-1) + w2 x(i) + w3 x(i+1)
    dx = M^T dz      dx(i) = w3 dz(i-1) + w2 dz(i) + w1 dz(i+1)    the filter turned around (notes 000, 2.1.4)

With a stride, zeros come between the numbers first: a filter that walks over them in steps of 1 makes steps
of 1/S on the small map, hence fractional stride (notes 004). Where the stamps of neighbours overlap they are
summed; an average, which notes 002 speak of, is another operator, and can be had.

It is neither the inverse of a convolution nor a deconvolution: it gives the shape back, not the numbers.
See also: nn/convolution.py; nn/pooling.py for ``unpool``.
"""

# B batch, C channels read, K filters, that is maps made, H W height and width, F side of a filter, g groups
# N size of an axis, S stride, P padding

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from didact.errors import UsageError
from didact.nn.convolution import cross_correlate, flip
from didact.nn.windows import Sizes, each, im2col, widths


def transposed_size(
    size: int, kernel: int, stride: int = 1, padding: int = 0, output_padding: int = 0
) -> int:
    """Numbers on an axis: (N - 1) S - 2P + F + output_padding.

    Example:
        >>> transposed_size(3, kernel=3, stride=2, padding=1)
        5
    """
    return (size - 1) * stride - 2 * padding + kernel + output_padding


def insert_zeros(x: Tensor, stride: Sizes) -> Tensor:
    """Spread the numbers of each axis, S - 1 zeros between neighbours.

    Args:
        x: (B, C, N) or (B, C, H, W).
        stride: S.

    Returns:
        (B, C, (N - 1) S + 1), or both axes so.

    Example:
        >>> insert_zeros(torch.tensor([[[1, 2, 3]]]), 2)
        tensor([[[1, 0, 2, 0, 3]]])
    """
    steps = each(stride, x.dim() - 2, "stride")
    sizes = [(n - 1) * s + 1 for n, s in zip(x.shape[2:], steps, strict=True)]
    spread = x.new_zeros(*x.shape[:2], *sizes)
    spread[:, :, *[slice(None, None, s) for s in steps]] = x
    return spread


def transposed_convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    overlaps: str = "sum",
) -> Tensor:
    """Insert zeros, pad by F - 1 - P, cross-correlate with the filter turned around.

    What ``torch.nn.functional.conv_transpose1d`` and ``conv_transpose2d`` compute.

    Args:
        x: (B, C, N) or (B, C, H, W).
        weight: (C, K / g, F) or (C, K / g, F, F): the filters of the convolution that made x, whose inputs
            these outputs are.
        bias: (K).
        stride: S.
        padding: P of that convolution: what it added is cut off here.
        output_padding: More at the far end, less than S; tells apart the sizes that S took for equal.
        groups: g; each C / g channels make K / g maps of their own.
        overlaps: ``sum``, or ``mean`` to divide by the stamps that reach a place.

    Returns:
        (B, K, N') or (B, K, H', W'), sizes by ``transposed_size``.

    Example:
        >>> x, w = torch.tensor([[[1.0, 2]]]), torch.tensor([[[1.0, 10, 100]]])
        >>> transposed_convolve(x, w, stride=2)  # 1 10 100 at 0, and twice that at 2: they meet there
        tensor([[[  1.,  10., 102.,  20., 200.]]])
    """
    kernel, axes = weight.shape[2:], weight.dim() - 2
    more = _check(x, weight, stride, output_padding, groups, overlaps)
    edges = [f - 1 - p for f, p in zip(kernel, each(padding, axes, "padding", least=0), strict=True)]
    ends = [(edge, edge + extra) for edge, extra in zip(edges, more, strict=True)]
    spread = F.pad(insert_zeros(x, stride), [width for end in reversed(ends) for width in end])
    out = cross_correlate(spread, flip(_swapped(weight, groups)), groups=groups)
    if overlaps == "mean":
        one = torch.ones(1, 1, *x.shape[2:], dtype=x.dtype, device=x.device)
        where: dict[str, Any] = {"stride": stride, "padding": padding, "output_padding": output_padding}
        out = out / transposed_convolve(one, one.new_ones(1, 1, *kernel), **where).clamp(min=1)
    return out if bias is None else out + bias.view(-1, *[1] * axes)


def convolution_matrix(
    weight: Tensor, shape: tuple[int, ...], *, stride: Sizes = 1, padding: Sizes = 0
) -> Tensor:
    """M: the convolution of one image as a matrix, row by row the filter laid over the image.

    ``cross_correlate(x, weight)`` is M x with x in reading order; ``transposed_convolve`` is M^T y.

    Args:
        weight: (K, C, F) or (K, C, F, F).
        shape: Of x: (C, N) or (C, H, W).
        stride: S.
        padding: P, of zeros.

    Returns:
        (K L, C H W), L positions of a filter.

    Example:
        >>> convolution_matrix(torch.tensor([[[1, 2, 3]]]), (1, 5))
        tensor([[1, 2, 3, 0, 0],
                [0, 1, 2, 3, 0],
                [0, 0, 1, 2, 3]])
    """
    size = torch.Size(shape).numel()
    number = torch.arange(1, size + 1, dtype=torch.float64).view(
        1, *shape
    )  # each pixel's place; 0 is padding
    places = im2col(number, weight.shape[2:], stride, widths(padding, weight.shape[2:]))[0].long()  # (L, D)
    rows = weight.new_zeros(len(weight), len(places), size + 1)
    filters = weight.flatten(1)[:, None].expand(-1, len(places), -1)  # (K, L, D)
    rows = rows.scatter(2, places.expand_as(filters), filters)
    return rows[:, :, 1:].flatten(0, 1)  # (K, L, C H W) -> (K L, C H W)


def _swapped(weight: Tensor, groups: int) -> Tensor:
    """Filters of the way back, group by group: (C, K / g, F, F) -> (K, C / g, F, F)."""
    return weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)


def _check(
    x: Tensor, weight: Tensor, stride: Sizes, output_padding: Sizes, groups: int, overlaps: str
) -> list[int]:
    """Refuse what does not belong together; give the output padding of each axis."""
    axes = weight.dim() - 2
    if x.dim() != weight.dim() or x.shape[1] != weight.shape[0]:
        raise UsageError(
            f"weight of shape {tuple(weight.shape)}: must start with the channels of x {tuple(x.shape)}, "
            "give (channels, maps / groups, height, width)"
        )
    if groups < 1 or x.shape[1] % groups:
        raise UsageError(f"groups={groups}: must divide {x.shape[1]} channels, try 1")
    if overlaps not in ("sum", "mean"):
        raise UsageError(f"overlaps={overlaps!r}: unknown, choose sum or mean")
    more = each(output_padding, axes, "output_padding", least=0)
    if any(extra >= step for extra, step in zip(more, each(stride, axes, "stride"), strict=True)):
        raise UsageError(f"output_padding={output_padding}: must be less than stride={stride}, try 0")
    return more
