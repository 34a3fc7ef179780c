"""The pictures of the pages that are computed, not measured: ``python docs/pictures.py`` draws them anew."""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from didact.draw.activations import draw_activations
from didact.draw.challenge import draw_challenge
from didact.draw.style import to_svg
from didact.nn.activation import ACTIVATIONS, make_activation
from didact.nn.maxout import Maxout
from didact.see.activations import activation_curves

DOCS = Path(__file__).parent


def imagenet() -> Mapping[str, Any]:
    """The winners of the ImageNet challenge, and the error of a human."""
    return tomllib.loads((DOCS / "imagenet.toml").read_text(encoding="utf-8"))


def draw_imagenet() -> Figure:
    """Their errors as bars."""
    return draw_challenge(imagenet()["entry"], imagenet()["human"])


def draw_all_activations() -> Figure:
    """Every activation function, and a maxout as it may be learned."""
    maxout = Maxout(1, 1, pieces=3)
    for number, (slope, height) in enumerate(((-0.4, -0.6), (0.1, 0.0), (0.8, -0.8))):
        maxout.set_piece(number, torch.tensor([[slope]]), torch.tensor([height]))
    functions = {name: make_activation(name) for name in (*ACTIVATIONS, "elu:2")}
    return draw_activations(activation_curves({**functions, "maxout, 3 pieces": maxout}))


PICTURES: Mapping[str, Callable[[], Figure]] = {
    "activations": draw_all_activations,
    "imagenet": draw_imagenet,
}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (DOCS / "images" / f"{name}.svg").write_text(to_svg(draw()), encoding="utf-8")
