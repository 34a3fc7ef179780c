"""First weights of linear layers and convolutions (000, section 3.3; 001, section VII.3; 002, section 4.4).

A unit adds up n inputs, so that its variance is n Var(w) times theirs. Var(w) = 1/n keeps it, where the
activation is near the identity; 2/n does where a rectifier cuts half of it off. Much less, and rows become
more alike from layer to layer; much more, and units saturate.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

from torch import nn

FirstWeights = Literal["own", "normal", "xavier", "glorot", "he", "orthogonal"]
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
DRAW: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "normal": partial(nn.init.normal_, std=0.01),  # enough in a shallow network, too little in a deep one
        "xavier": partial(nn.init.kaiming_normal_, nonlinearity="linear"),  # by fan-in alone, as in the notes
        "glorot": nn.init.xavier_normal_,
        "he": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
        "orthogonal": nn.init.orthogonal_,
    }
)


def initialise(model: nn.Module, how: FirstWeights) -> None:
    """Draw the weights of every linear layer and convolution anew; their biases become 0.

    Each weight matrix is (outputs, n) with n inputs of a unit: for a convolution input maps x kernel area,
    of one group. Embeddings, norms, recurrent cells and transposed convolutions stay as they are.

    Args:
        model: Changed in place.
        how: ``own`` leaves all as it is. ``normal`` is N(0, 0.01^2), ``xavier`` N(0, 1/n), ``glorot``
            N(0, 2/(n + outputs x kernel area)) (Glorot and Bengio, 2010), ``he`` N(0, 2/n) (He et al., 2015,
            arxiv.org/abs/1502.01852), ``orthogonal`` rows or columns of length 1 at right angles (Saxe et
            al., 2013, arxiv.org/abs/1312.6120).

    Example:
        >>> model = nn.Sequential(nn.Linear(800, 400), nn.ReLU(), nn.Linear(400, 10))
        >>> initialise(model, "he")
        >>> round(model[0].weight.std().item(), 2)  # sqrt(2 / 800)
        0.05
    """
    for layer in model.modules() if how != "own" else ():
        if isinstance(layer, LAYERS):
            DRAW[how](layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def he_normal(model: nn.Module, mode: Literal["fan_in", "fan_out"] = "fan_out") -> None:
    """Draw every convolution of a model from N(0, 2 / fan), and nothing else, as papers on such networks do.

    Args:
        model: Its convolutions are drawn anew, other layers stay as they are.
        mode: ``fan_in`` keeps the variance of the maps on the way up, ``fan_out`` that of the gradients on
            the way down. Fan out is what one input map reaches: output maps x kernel area (all groups).
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
