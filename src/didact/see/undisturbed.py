"""To look at a network and leave it as it was."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from didact.errors import UsageError, suggest


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients for a while; each part then goes back to the mode it was in."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in before.items():
            module.training = training


@contextmanager
def keeping_state(model: nn.Module) -> Iterator[None]:
    """Put back what a forward pass in training mode changes: running statistics and the random numbers."""
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    devices = {tensor.device.index for tensor in model.parameters() if tensor.is_cuda}
    try:
        with torch.random.fork_rng(devices=[device for device in devices if device is not None]):
            yield
    finally:
        with torch.no_grad():
            for buffer, values in before:
                buffer.copy_(values)


def weighty_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The modules with a matrix or filters of their own, by name: what counts as a layer, norms do not.

    Example:
        >>> list(weighty_layers(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))))
        ['0', '2']
    """
    return {name: module for name, module in model.named_modules() if name and weights_of(module)}


def weights_of(module: nn.Module) -> list[Tensor]:
    """The matrices and filters of a module itself, without those of its parts."""
    own = module.named_parameters(recurse=False)
    return [parameter for name, parameter in own if parameter.dim() > 1 and name.endswith("weight")]


def submodule(model: nn.Module, layer: str) -> nn.Module:
    """A part of a model by its name.

    Raises:
        UsageError: There is none; the message suggests the nearest.
    """
    modules = {name: module for name, module in model.named_modules() if name}
    if layer not in modules:
        raise UsageError(f"layer={layer!r}: unknown, {suggest(layer, modules)}")
    return modules[layer]


def check_examples(images: Tensor, labels: Sequence[int] | Tensor) -> None:
    """Refuse labels that are not one for each example.

    Raises:
        UsageError: With both numbers.
    """
    if len(images) != len(labels):
        raise UsageError(f"{len(labels)} labels: there are {len(images)} examples, give one for each")
