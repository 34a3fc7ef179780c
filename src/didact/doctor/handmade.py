"""Updates that a loop writes by hand: no optimizer steps, and the weights move all the same."""

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from didact.doctor.graphs import leaves_of

SAMPLE = 16  # numbers of a tensor that tell whether it has moved
PATIENCE = 20  # backwards after which nobody moves what they are made of


class ByHand(Optimizer):
    """Stands for the lines that move these weights. It is never stepped, and its rate is not known."""

    def __init__(self, weights: Iterable[Tensor]):
        super().__init__(list(weights), {"lr": math.nan})

    def step(self, closure: Any = None) -> Any:
        """Done by the loop."""


class Hands:
    """Sees from one backward to the next whether what a loss is made of has moved.

    Attributes:
        optimizer: Stands for what moves it, once it has.
        waiting: The gradients are there, and the loop is about to use them.
        off: There is an optimizer, whose part it is.
    """

    def __init__(self) -> None:
        self.optimizer: ByHand | None = None
        self.waiting = self.off = False
        self.looks = 0
        self.before: dict[int, tuple[Tensor, Tensor]] = {}  # leaves by their id, and some of their numbers

    def look(self, loss: Tensor) -> None:
        """A loss is about to be differentiated, and no optimizer has stepped so far."""
        if self.off or self.optimizer is not None or self.looks > PATIENCE:
            self.before = {}
            return
        self.looks += 1
        leaves = {id(leaf): (leaf, _sample(leaf)) for leaf in leaves_of(loss)}
        stayed = [key for key in leaves if key in self.before]
        if any(not leaves[key][1].equal(self.before[key][1]) for key in stayed):
            self.optimizer, leaves = ByHand(leaves[key][0] for key in stayed), {}
        self.before = leaves


def _sample(tensor: Tensor) -> Tensor:
    flat = tensor.detach().flatten()
    return flat[:: max(1, len(flat) // SAMPLE)].clone()
