"""The curves of activation functions and of their derivatives, and where they saturate (notes 004, "ReLU").

Where the derivative is next to nothing a unit passes no gradient on, and learns no more. Sigmoid and tanh
saturate on both sides, ReLU on the left, where it is 0; leaky ReLU nowhere.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from didact.nn.activation import ACTIVATIONS, make_activation

REACH = 7  # to both sides of 0
PER_UNIT = 20  # points
FLAT = 0.01  # of the largest slope, below which a curve is called saturated


@dataclass(frozen=True)
class Curve:
    """One activation function.

    Attributes:
        x: Where it was computed, rising.
        values: f(x).
        slopes: f'(x).
    """

    x: tuple[float, ...]
    values: tuple[float, ...]
    slopes: tuple[float, ...]

    @property
    def saturated(self) -> tuple[float, float]:
        """It saturates below the first number and above the second; -inf and inf for nowhere.

        Saturated are the ends over which |f'| stays under a hundredth of its largest value.
        """
        flat = [abs(slope) < FLAT * max(map(abs, self.slopes)) for slope in self.slopes]
        left = next(k for k, each in enumerate(flat) if not each)
        right = next(k for k, each in enumerate(reversed(flat)) if not each)
        low = self.x[left - 1] if left else -float("inf")
        return low, self.x[-right] if right else float("inf")


def activation_curves(functions: Sequence[str] | Mapping[str, nn.Module] = ()) -> dict[str, Curve]:
    """Compute activation functions and, by autograd, their derivatives between -7 and 7.

    Args:
        functions: Names of ``didact.nn.activation``, or modules by name; all names by default.

    Example:
        >>> low, high = activation_curves(["tanh"])["tanh"].saturated
        >>> print(f"{low:.2f} {high:.2f}")
        -3.00 3.00

    Raises:
        UsageError: No such activation.
    """
    if not isinstance(functions, Mapping):
        functions = {name: make_activation(name) for name in functions or ACTIVATIONS}
    return {name: _curve(module) for name, module in functions.items()}


def plain(curves: Mapping[str, Curve]) -> dict[str, Any]:
    """Plain values of many curves."""
    return {name: {**vars(curve), "saturated": curve.saturated} for name, curve in curves.items()}


def _curve(module: nn.Module) -> Curve:
    steps = torch.arange(-REACH * PER_UNIT, REACH * PER_UNIT + 1, dtype=torch.double)
    x = (steps / PER_UNIT).requires_grad_()
    values = copy.deepcopy(module).double()(x[:, None])[:, 0]  # a column: for Maxout, examples of one number
    (slopes,) = torch.autograd.grad(values.sum(), x)
    return Curve(*(tuple(each.tolist()) for each in (x, values, slopes)))
