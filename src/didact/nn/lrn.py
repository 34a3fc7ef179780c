"""Local response normalisation (Krizhevsky, Sutskever and Hinton 2012, section 3.3), written out.

A strong answer of one filter damps the filters beside it at the same pixel. AlexNet and GoogLeNet had it in
their first layers; VGG found that it does not help, and batch normalisation replaced it.
"""

# B batch, C channels, H W height and width, n filters in a neighbourhood

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.errors import UsageError


class LocalResponseNorm(nn.Module):
    """b(i) = a(i) / (k + alpha sum_j a(j)^2)^beta, j over the n channels around i that exist.

    ``torch.nn.LocalResponseNorm`` divides alpha by n first: it needs n alpha to give the same.

    Args:
        size: n, odd.
        alpha, beta, k: The constants of the paper by default.

    Input and output: (B, C, H, W).

    Example:
        >>> LocalResponseNorm()(torch.ones(1, 8, 2, 2)).shape
        torch.Size([1, 8, 2, 2])
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0):
        super().__init__()
        if size < 1 or size % 2 == 0:
            raise UsageError(f"size={size}: must be odd and 1 or more, try 5")
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        """Divide each number by the strength of its neighbourhood."""
        channels, reach = x.shape[1], self.size // 2
        squares = F.pad(x.square(), (0, 0, 0, 0, reach, reach))  # (B, C, H, W) -> (B, C + n - 1, H, W)
        shifted = [squares[:, j : j + channels] for j in range(self.size)]
        return x / (self.k + self.alpha * torch.stack(shifted).sum(0)) ** self.beta
