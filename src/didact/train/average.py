"""Exponential moving average of the weights: theta_ema <- decay theta_ema + (1 - decay) theta."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """A second set of weights that follows the trained ones smoothly. Buffers are copied, not averaged."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        self._trained = [name for name, _ in model.named_parameters(remove_duplicate=False)]
        self._copied = self.weights.keys() - set(self._trained)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the model's weights."""
        current = model.state_dict()
        torch._foreach_lerp_(
            [self.weights[n] for n in self._trained], [current[n] for n in self._trained], 1 - self.decay
        )
        for name in self._copied:
            self.weights[name].copy_(current[name])

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Put the average into the model, and take it out again."""
        own = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(self.weights)
        try:
            yield
        finally:
            model.load_state_dict(own)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Take over saved weights."""
        for name, tensor in weights.items():
            self.weights[name].copy_(tensor)
