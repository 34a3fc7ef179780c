"""Where the first NaN or infinity came from: a batch, a weight, a layer or the loss itself."""

import torch
from torch import Tensor, nn

from didact.data.batches import Batch
from didact.errors import RunError
from didact.tasks.task import Task

CURE = "try a smaller --lr, or --set clip_norm=1"


class NonFiniteError(RunError):
    """Training met a number that is not finite and stopped before applying it."""


@torch.no_grad()
def explain(task: Task, model: nn.Module, batch: Batch | None, step: int, group: str) -> NonFiniteError:
    """Replay the batch, where it is at hand, and name the first place that is not finite."""
    place = _place(task, model, batch) if batch else "an update shortly before"
    return NonFiniteError(f"step {step}: the loss of {group!r} is not finite; first seen in {place}; {CURE}")


def _place(task: Task, model: nn.Module, batch: Batch) -> str:
    inputs, targets = batch
    for name, tensor in {"inputs": inputs, "targets": targets}.items():
        if _bad(tensor):
            finite = tensor.isfinite().reshape(len(tensor), -1).all(1)
            return f"the {name}, row {finite.tolist().index(False)} of the batch"
    for name, parameter in model.named_parameters():
        if _bad(parameter):
            return f"the weights {name}, after the update before"
    found: list[str] = []
    hooks = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: (
                found.append(name) if any(_bad(t) for t in _tensors(output)) else None
            )
        )
        for name, module in model.named_modules()
        if name and not any(module.children())
    ]
    try:
        for _ in task.losses(model, batch):
            pass
    finally:
        for hook in hooks:
            hook.remove()
    return f"the output of layer {found[0]}" if found else "the loss itself; every layer's output is finite"


def _bad(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and not bool(tensor.isfinite().all())


def _tensors(output: object) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    return [t for part in output for t in _tensors(part)] if isinstance(output, tuple | list) else []
