"""Hooks on the user's modules that vanish when the module is copied or pickled."""

from collections.abc import Callable
from typing import Any

import torch


class Hook:
    """A hook that stays with the module it was put on.

    ``copy.deepcopy(model)`` and ``torch.save(model)`` copy a module's hooks with it. This one becomes
    ``silent`` there: a copy is not watched, and a saved model knows nothing of the doctor.
    """

    def __init__(self, call: Callable[..., Any], idle: Callable[[Any], bool] = lambda module: False):
        self.call, self.idle = call, idle

    def __call__(self, *args: Any) -> None:
        """Tell the observer, unless it is idle; what the module computes stays as it is."""
        if not transformed() and not self.idle(args[0]):
            self.call(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        return _silence, ()


def transformed() -> bool:
    """Whether one of torch.func's transforms runs: its tensors hold no numbers that could be read."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def silent(*args: Any) -> None:
    """What a copied hook does."""


def _silence() -> Callable[..., None]:
    return silent
