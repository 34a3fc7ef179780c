"""Maxout: a layer that learns its own activation (Goodfellow et al. 2013; notes 000, 001 and 004).

https://arxiv.org/abs/1302.4389

    y = max(W_1 x + b_1, ..., W_p x + b_p)

The largest of p straight lines is a convex curve of p pieces; which one is learned. ReLU is the case of two
pieces of which one is 0, and |x| that of x and -x. It does not saturate and does not die, since one of its
pieces is always there to pass the gradient on; it costs p times the parameters.
"""

# B batch, F inputs, O outputs, p pieces

import torch
from torch import Tensor, nn

from didact.nn.arguments import check_arguments


class Maxout(nn.Module):
    """The largest of p linear layers, output by output: linear layer and activation in one.

    Args:
        in_features: F.
        out_features: O.
        pieces: p, 2 or more; with 1 it is a linear layer.

    Input: (..., F). Output: (..., O). Parameters: p O (F + 1).

    Example:
        >>> sum(parameter.numel() for parameter in Maxout(4, 3, pieces=2).parameters())
        30
    """

    def __init__(self, in_features: int, out_features: int, pieces: int = 2):
        super().__init__()
        check_arguments(in_features=in_features, out_features=out_features, pieces=pieces)
        self.in_features = in_features
        self.out_features = out_features
        self.pieces = pieces
        self.linear = nn.Linear(in_features, pieces * out_features)  # rows 0 to O - 1 are the first piece

    def forward(self, x: Tensor) -> Tensor:
        """Compute all pieces at once, and keep the largest of each output."""
        return self.linear(x).unflatten(-1, (self.pieces, self.out_features)).amax(-2)

    @torch.no_grad()
    def set_piece(self, number: int, weight: Tensor, bias: Tensor) -> None:
        """Give one piece its weights (O, F) and biases (O,)."""
        rows = slice(number * self.out_features, (number + 1) * self.out_features)
        self.linear.weight[rows] = weight
        self.linear.bias[rows] = bias
