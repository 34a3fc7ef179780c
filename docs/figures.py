"""The image classifiers in figures: what others publish of them, and what is counted here."""

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import torch
from torch import nn

import didact

PUBLISHED = Path(__file__).parent / "published.toml"


def published() -> Mapping[str, Mapping[str, Any]]:
    """What others publish of each network, by name; a figure keeps the digits that they print."""
    return tomllib.loads(PUBLISHED.read_text(encoding="utf-8"), parse_float=Decimal)


def on_paper(name: str, **arguments: Any) -> nn.Module:
    """A network without memory for its weights, which can be counted at once."""
    with torch.device("meta"):
        return didact.build(name, **arguments).eval()


def parameters(model: nn.Module) -> int:
    """How many numbers it learns."""
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_adds(model: nn.Module, side: int) -> int:
    """How many products one square image takes, each with its addition, in matrix products and convolutions.

    Norms, activations, poolings and additions on their own are not counted, as is usual.
    """
    return didact.inspect(model, (model.in_channels, side, side)).totals.macs
