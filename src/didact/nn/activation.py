"""Activation functions by name: the one table that every architecture reads."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from torch import nn

from didact.errors import UsageError, suggest

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "identity": nn.Identity,
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
        "relu": nn.ReLU,
        "leaky-relu": nn.LeakyReLU,  # max(0.01 x, x): Maas et al. 2013; notes 001, section VII.2
        "leaky-relu-0.1": partial(nn.LeakyReLU, 0.1),  # max(0.1 x, x): notes 000, 001 section III, and 004
        "prelu": nn.PReLU,  # max(a x, x); a is learned, one parameter more
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,  # x sigmoid(x), also called swish; the notes print twice that
    }
)


def make_activation(name: str) -> nn.Module:
    """Build an activation; hyphens, underscores and case do not matter.

    ELU may be given its alpha, alpha (e^x - 1) below 0: ``elu:0.5``.

    Example:
        >>> make_activation("leaky_relu")
        LeakyReLU(negative_slope=0.01)

    Raises:
        UsageError: No such activation, and the message suggests the nearest name; or no such alpha.
    """
    key = name.lower().replace("_", "-")
    if key.startswith("elu:"):
        return nn.ELU(_alpha(name, key.removeprefix("elu:")))
    if key not in ACTIVATIONS:
        raise UsageError(f"activation={name!r}: unknown, {suggest(key, ACTIVATIONS)}")
    return ACTIVATIONS[key]()


def _alpha(name: str, text: str) -> float:
    try:
        alpha = float(text)
    except ValueError:
        alpha = -1.0
    if not 0 < alpha < float("inf"):
        raise UsageError(f"activation={name!r}: alpha must be a number more than 0, try elu:1")
    return alpha
