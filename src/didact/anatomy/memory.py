"""What training takes: weights, gradients, what the optimizer remembers, what is kept for the way back.

    parameters          every number, trained or not
    gradients           as many numbers as learn
    optimizer           so many for each number that learns: SGD none, with momentum 1, Adam 2 ...
    activations         what autograd keeps from the way forward until the way back, for the whole batch

What autograd keeps is not guessed by a rule: a copy of the network goes forward in training mode, on paper,
and autograd is asked for every tensor that it saves. Memory counts once, parameters and buffers not at all,
the input with the rest. On paper, attention is written out and recurrence goes step by step, so what is kept
between is there too; a fused kernel keeps less. Left out: the workspace of the kernels, temporary tensors of
the way back, and what the allocator holds in reserve.
"""

# B batch

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._pytree import tree_map

from didact.anatomy.paper import Paper
from didact.anatomy.trace import quietly, to_meta, with_numbers, without_numbers
from didact.errors import UsageError, suggest

REMEMBERED: Mapping[str, int] = {  # numbers that an optimizer keeps for each one that learns
    "sgd": 0,
    "sgd-momentum": 1,
    "adam": 2,
    "adamw": 2,
    "rmsprop": 1,
    "adagrad": 1,
    "adadelta": 2,
    "adamax": 2,
    "nadam": 2,
    "radam": 2,
    "asgd": 1,
    "rprop": 2,
}
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True)
class Memory:
    """Bytes that training takes.

    Attributes:
        parameters, gradients, optimizer: Of the network, whatever the batch.
        activations: Kept for the way back, for the whole batch; None where it could not be found out.
        buffers: Numbers that the network keeps and does not learn.
        optimizer_name: Which optimizer.
        batch: How many examples.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int | None
    buffers: int
    optimizer_name: str
    batch: int

    @property
    def total(self) -> int:
        """All together."""
        return self.parameters + self.gradients + self.optimizer + self.buffers + (self.activations or 0)

    def to_dict(self) -> dict[str, Any]:
        """The numbers, with their sum."""
        return asdict(self) | {"total": self.total}

    def __str__(self) -> str:
        parts = [
            f"{words(self.parameters)} parameters",
            f"{words(self.gradients)} gradients",
            f"{words(self.optimizer)} {self.optimizer_name}",
            "activations unknown" if self.activations is None else f"{words(self.activations)} activations",
        ]
        if self.buffers:
            parts.append(f"{words(self.buffers)} buffers")
        return f"{words(self.total)} = {' + '.join(parts)}"


def words(size: int) -> str:
    """A number of bytes for people.

    Example:
        >>> words(432_013_312)
        '412 MiB'
    """
    amount, unit = float(size), 0
    while amount >= 1024 and unit < len(UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.3g} {UNITS[unit]}" if amount < 99.5 else f"{amount:.0f} {UNITS[unit]}"


def check_optimizer(name: str) -> str:
    """The name as it is listed.

    Raises:
        UsageError: There is no such optimizer.
    """
    plain = name.lower().replace("_", "-")
    if plain not in REMEMBERED:
        raise UsageError(f"unknown optimizer {name!r}; {suggest(plain, REMEMBERED)}")
    return plain


def training_memory(
    module: nn.Module, inputs: tuple[Any, ...], optimizer: str, batch: int, *, on_paper: bool = True
) -> Memory:
    """What it takes to train a module on such inputs.

    Args:
        module: It is left as it was.
        inputs: What it is called with.
        optimizer: A name of ``REMEMBERED``.
        batch: How many examples the inputs hold; it is only noted.
        on_paper: Whether the module runs without numbers.
    """
    learned = sum(_bytes(p) for p in module.parameters() if p.requires_grad)
    return Memory(
        parameters=sum(map(_bytes, module.parameters())),
        gradients=learned,
        optimizer=REMEMBERED[optimizer] * learned,
        activations=kept(module, inputs, on_paper=on_paper),
        buffers=sum(map(_bytes, module.buffers())),
        optimizer_name=optimizer,
        batch=batch,
    )


def kept(module: nn.Module, inputs: tuple[Any, ...], *, on_paper: bool = True) -> int | None:
    """Bytes that autograd keeps of one way forward in training mode; None where the module refuses."""
    model = without_numbers(module) if on_paper else with_numbers(module)
    for part in model.modules():  # one pixel has no variance, so norms go by what they remember
        part.training = not isinstance(part, _NormBase)
    own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    saved: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        saved.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    try:
        with quietly(model), torch.enable_grad(), saved_tensors_hooks(note, lambda tensor: tensor), Paper():
            outputs = model(*tree_map(to_meta if on_paper else _cloned, inputs))
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError):
        return None
    del outputs
    return sum(tensor.untyped_storage().nbytes() for memory, tensor in saved.items() if memory not in own)


def _cloned(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.itemsize
