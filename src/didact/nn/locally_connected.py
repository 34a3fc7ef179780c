"""Local connections without sharing: what a convolution is when its filter may differ from place to place.

From a connected layer to a convolution in two steps (notes 004, L38): first each unit reads a few neighbours
only, this layer; then all units use the same few weights, a convolution. The second step divides the weights
by the number of positions, and makes the map move with the signal.
See also: nn/convolution.py.
"""

# B batch, C channels, N size of the signal, K filters, F size of a filter, L positions

import torch
from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.windows import im2col, output_size


class LocallyConnected1d(nn.Module):
    """A convolution with a filter of its own at each position.

    Args:
        in_channels: C.
        out_channels: K.
        size: N; the layer reads signals of this size only.
        kernel: F.
        stride: S.
        bias: Learn a bias for each filter and position.

    Input: (B, C, N). Output: (B, K, L). Parameters: K L (C F + 1), where a convolution has K (C F + 1).

    Example:
        >>> layer = LocallyConnected1d(1, 1, size=6, kernel=3)
        >>> layer(torch.zeros(2, 1, 6)).shape, sum(p.numel() for p in layer.parameters())
        (torch.Size([2, 1, 4]), 16)
    """

    def __init__(
        self, in_channels: int, out_channels: int, size: int, kernel: int, stride: int = 1, bias: bool = True
    ):
        super().__init__()
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels)):
            if value < 1:
                raise UsageError(f"{name}={value}: must be 1 or more, try 1")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.size = size
        self.kernel = kernel
        self.stride = stride
        positions, read = output_size(size, kernel, stride), in_channels * kernel
        bound = read**-0.5  # as torch.nn starts a convolution
        self.weight = nn.Parameter(torch.empty(out_channels, positions, read).uniform_(-bound, bound))
        self.bias = (
            nn.Parameter(torch.empty(out_channels, positions).uniform_(-bound, bound)) if bias else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Multiply each window with the filters of its place."""
        if x.dim() != 3 or x.shape[1:] != (self.in_channels, self.size):
            raise UsageError(
                f"input of shape {tuple(x.shape)}: this layer reads (batch, {self.in_channels}, {self.size})"
            )
        rows = im2col(x, self.kernel, self.stride)  # (B, L, C F)
        out = (rows[:, None] * self.weight).sum(3)  # -> (B, K, L)
        return out if self.bias is None else out + self.bias
