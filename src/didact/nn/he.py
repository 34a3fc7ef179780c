"""Initial weights for layers with rectifiers (He et al., 2015, arxiv.org/abs/1502.01852)."""

from typing import Literal

from torch import nn


def he_normal(model: nn.Module, mode: Literal["fan_in", "fan_out"] = "fan_out") -> None:
    """Draw every convolution of a model from N(0, 2 / fan); the 2 makes up for what the rectifiers cut off.

    Args:
        model: Its convolutions are drawn anew, other layers stay as they are.
        mode: ``fan_in`` keeps the variance of the maps on the way up, ``fan_out`` that of the gradients on
            the way down. Fan out is what one input map reaches: output maps x kernel area (all groups).
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
