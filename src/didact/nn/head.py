"""The head of a classifier: whatever depends on the number of classes. All else is its trunk.

A network that was trained on one task is a trunk that sees and a head that names. For another task the trunk
is kept and the head is new (notes 000, section 2.3.5; 001, sections IX.7 and XI.1).
"""

# K classes

import inspect
from typing import TypeVar

import torch
from torch import nn

from didact.errors import UsageError

Network = TypeVar("Network", bound=nn.Module)
SIZES = ("num_classes", "out_features")  # what the constructors of classifiers call K


def head_names(model: nn.Module) -> list[str]:
    """The names in the state dict whose shapes depend on the number of classes, auxiliary heads included.

    They are found by building the network once more, without memory, for one class more: no name has to be
    known. A module that does not keep its constructor arguments, or has no classes, has no head.

    Example:
        >>> from didact.models.cnn.lenet import LeNet5
        >>> head_names(LeNet5(num_classes=10))
        ['head.weight', 'head.bias']
    """
    arguments = _arguments(model)
    size = next((name for name in SIZES if name in arguments), None)
    if size is None:
        return []
    with torch.device("meta"):
        other = type(model)(**{**arguments, size: arguments[size] + 1}).state_dict()
    return [name for name, tensor in model.state_dict().items() if other[name].shape != tensor.shape]


def replace_head(model: Network, num_classes: int) -> Network:
    """The same network with a new head for K classes; the trunk has the same weights.

    Args:
        model: A classifier of the catalogue; it is left as it is.
        num_classes: K.

    Raises:
        UsageError: The module keeps no constructor arguments, so that it cannot be built again.
    """
    arguments, head = _arguments(model), set(head_names(model))
    if not head:
        raise UsageError(f"{type(model).__name__}: it has no argument num_classes, so no head is known")
    size = next(name for name in SIZES if name in arguments)
    other = type(model)(**{**arguments, size: num_classes})
    trunk = {name: tensor for name, tensor in model.state_dict().items() if name not in head}
    other.load_state_dict(other.state_dict() | trunk)
    return other.train(model.training)


def _arguments(model: nn.Module) -> dict[str, int]:
    """The constructor arguments of a network that stores them unchanged; none of another module."""
    names = inspect.signature(type(model)).parameters
    return {name: getattr(model, name) for name in names} if all(hasattr(model, n) for n in names) else {}
