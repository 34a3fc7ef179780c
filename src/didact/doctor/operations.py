"""Every operation of one forward pass, however it is written: modules, functions or methods."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from didact.doctor.inputs import tensors_in

RECTIFIERS = {"relu", "relu_", "leaky_relu", "leaky_relu_", "relu6", "threshold", "elu", "elu_"}
SQUASHERS = {"sigmoid", "sigmoid_", "tanh", "tanh_", "hardtanh", "softsign"}
OTHERS = {"gelu", "silu", "softplus", "softmax", "log_softmax", "mish", "selu", "prelu", "hardswish"}
ACTIVATIONS = RECTIFIERS | SQUASHERS | OTHERS
CONVOLUTIONS = {f"conv{t}{d}d" for t in ("", "_transpose") for d in (1, 2, 3)}
CUTTERS = {"Relu", "Threshold", "Hardtanh", "Clamp", "ClampMin"}  # what a gradient may end at, by its node
VIEWS = (
    *("View", "Squeeze", "Unsqueeze", "Slice", "Select", "Transpose", "Permute", "Reshape", "UnsafeView"),
    *("Expand", "Clone", "ToCopy", "Alias", "T", "Contiguous", "Float", "Index", "Flatten", "Mul0"),
)


@dataclass
class Operation:
    """One call that matters."""

    name: str
    weights: tuple[int, ...]  # ids of the parameters that it reads
    output: Tensor | None
    training: bool | None = None  # of dropout and norms: as they were told


class Operations(TorchFunctionMode):
    """Write down the operations of whatever runs inside.

    Attributes:
        calls: Those that read a parameter or are an activation, a norm or dropout, in order.
        strangers: Parameters that are read and that no module has, by id.
    """

    def __init__(self, parameters: Iterable[Tensor]):
        super().__init__()
        self.known = {id(p) for p in parameters}
        self.calls: list[Operation] = []
        self.strangers: dict[int, nn.Parameter] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run it, and note what it was."""
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        parts = [t for t in tensors_in((*args, *kwargs.values())) if isinstance(t, nn.Parameter)]
        read = tuple(id(t) for t in parts if id(t) in self.known)
        if len(read) < len(parts) and name != "__get__":
            self._meet_strangers(parts)
        if (read and name != "__get__") or name in ACTIVATIONS or name == "dropout":
            made = output if isinstance(output, Tensor) else None
            self.calls.append(Operation(name, read, made, kwargs.get("training")))
        return output

    def _meet_strangers(self, parts: Iterable[nn.Parameter]) -> None:
        """Parameters that gradients are recorded for and that no module has."""
        for part in parts:
            if id(part) not in self.known and part.requires_grad and torch.is_grad_enabled():
                self.strangers[id(part)] = part


def producer(tensor: Tensor) -> str:
    """What made a tensor, seen through views of it: ``Softmax``, ``Sigmoid``, ``Addmm``; empty if unknown.

    ``LogSoftmax of Softmax`` where what it normalises has been normalised before.
    """
    node = seen_through(tensor.grad_fn)
    kind = kind_of(node) if node is not None else ""
    before = seen_through(node.next_functions[0][0]) if kind == "LogSoftmax" else None
    return "LogSoftmax of Softmax" if before is not None and kind_of(before) == "Softmax" else kind


def kind_of(node: Any) -> str:
    """The operation that a node of the graph goes back through: ``Pow``, ``Addmm``."""
    return type(node).__name__.removesuffix("Backward0").removesuffix("Backward1")


def seen_through(node: Any) -> Any:
    """The first node at or below this one that is no view."""
    while node is not None and kind_of(node) in VIEWS and node.next_functions:
        node = node.next_functions[0][0]
    return node
