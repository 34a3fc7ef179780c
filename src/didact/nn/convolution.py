"""Convolution as its formula: cut out every window, multiply it with the filter, sum, add the bias.

    S(i,j) = sum over m, n of  x(i + m, j + n)  w(m, n)    +  b      cross-correlation: ``cross_correlate``
    S(i,j) = sum over m, n of  x(i - m, j - n)  w(m, n)    +  b      convolution: ``convolve``

Both slide; the second turns the filter around first. A network learns its filters, so it makes no difference
to it, and libraries and notes 004 call the first a convolution. It does when the filter is given: the
example of notes 004 has 122 in the corner one way and 119 the other.

This is the clear path. The architectures run ``torch.nn.Conv2d``, the same arithmetic in one kernel;
``tests/nn/test_convolution.py`` holds the two equal.
See also: nn/windows.py, sizes and padding; nn/convolution_trace.py, by hand; nn/transposed.py, its reverse.
"""

# B batch, C channels, H W height and width, K filters, F side of a filter, g groups
# N size of an axis, S stride, P padding, L windows, D numbers in a window

from typing import Any

from torch import Tensor

from didact.errors import UsageError
from didact.nn.windows import Sizes, each, im2col, output_size, widths


def cross_correlate(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes | str = "valid",
    padding_mode: str = "zeros",
    groups: int = 1,
) -> Tensor:
    """Slide K filters over x: what ``torch.nn.functional.conv1d`` and ``conv2d`` compute.

    Args:
        x: (B, C, N) or (B, C, H, W).
        weight: K filters (K, C / g, F) or (K, C / g, F, F).
        bias: A number for each filter (K).
        stride: S.
        padding: ``valid`` for none, ``same`` for (F - 1) / 2, or P.
        padding_mode: As for ``pad``.
        groups: g; each K / g filters read C / g channels of their own.

    Returns:
        K maps (B, K, N') or (B, K, H', W').

    Example:
        >>> import torch
        >>> signal = torch.tensor([[[4, 3, 2, -5, 3, 5]]])
        >>> cross_correlate(signal, torch.tensor([[[1, 1, 1]]]))
        tensor([[[9, 0, 0, 3]]])
    """
    _check(x, weight, bias, groups)
    kernel = weight.shape[2:]
    rows = im2col(x, kernel, stride, padding, padding_mode)  # (B, L, D)
    rows = rows.unflatten(2, (groups, -1)).transpose(1, 2)  # -> (B, g, L, D / g)
    filters = weight.flatten(1).unflatten(0, (groups, -1))  # (K, C / g, F, F) -> (g, K / g, D / g)
    out = filters @ rows.transpose(2, 3)  # -> (B, g, K / g, L): each filter times each window
    out = out.flatten(1, 2)  # -> (B, K, L)
    if bias is not None:
        out = out + bias[:, None]
    axes = len(kernel)
    parts = (x.shape[2:], kernel, each(stride, axes, "stride"), widths(padding, kernel))
    return out.unflatten(2, [output_size(n, f, s, p) for n, f, s, p in zip(*parts, strict=True)])


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes | str = "valid",
    padding_mode: str = "zeros",
    groups: int = 1,
) -> Tensor:
    """Convolution as mathematics has it: cross-correlation with the filter turned around.

    Arguments and result are those of ``cross_correlate``. Padding by F - 1 gives the full convolution of two
    signals.

    Example:
        >>> import torch
        >>> x, w = torch.tensor([[[1, 2, 3]]]), torch.tensor([[[1, 10]]])
        >>> convolve(x, w, padding=1)  # (1 + 2t + 3t^2)(1 + 10t)
        tensor([[[ 1, 12, 23, 30]]])
    """
    where: dict[str, Any] = {"stride": stride, "padding": padding, "padding_mode": padding_mode}
    return cross_correlate(x, flip(weight), bias, groups=groups, **where)


def flip(weight: Tensor) -> Tensor:
    """A filter turned around along each of its axes: k'(m, n) = k(-m, -n).

    Example:
        >>> import torch
        >>> flip(torch.tensor([[[1, 2, 3]]]))
        tensor([[[3, 2, 1]]])
    """
    return weight.flip(tuple(range(2, weight.dim())))


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> None:
    """Refuse shapes that do not belong together."""
    if x.dim() not in (3, 4) or weight.dim() != x.dim():
        raise UsageError(
            f"x of shape {tuple(x.shape)} with weight of shape {tuple(weight.shape)}: give (batch, channels, "
            "size) with (filters, channels, size), or both with height and width"
        )
    channels, filters = x.shape[1], weight.shape[0]
    if groups < 1 or channels % groups or filters % groups:
        raise UsageError(f"groups={groups}: must divide {channels} channels and {filters} filters, try 1")
    if weight.shape[1] != channels // groups:
        raise UsageError(
            f"weight of shape {tuple(weight.shape)}: each filter reads {weight.shape[1]} channels, "
            f"and x has {channels} in groups={groups}; give filters of {channels // groups}"
        )
    if bias is not None and bias.shape != (filters,):
        raise UsageError(f"bias of shape {tuple(bias.shape)}: one number a filter, give ({filters},)")
