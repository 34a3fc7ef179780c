"""The figures of the lectures, drawn from the networks themselves: ``python docs/diagrams.py``."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

import didact
from didact.anatomy.diagram import Diagram, diagram
from didact.models.cnn.googlenet import MODULES, Inception
from didact.nn.residual import BasicBlock

IMAGES = Path(__file__).parent / "images"
WIDTH = 1100  # of a row: so that text can be read on a page


class UNet(nn.Module):
    """The U-Net of Ronneberger, Fischer and Brox (2015), with unpadded convolutions, for its figure.

    Args:
        widths: Maps of each level, from the top down.
        in_channels: Of the image.
        classes: Maps out.
    """

    def __init__(
        self, widths: Sequence[int] = (64, 128, 256, 512, 1024), in_channels: int = 1, classes: int = 2
    ):
        super().__init__()
        self.down = nn.ModuleList(two_convolutions(*pair) for pair in pairwise((in_channels, *widths)))
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for b, a in pairwise(widths[::-1]))
        self.merge = nn.ModuleList(two_convolutions(2 * maps, maps) for maps in widths[-2::-1])
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for down in self.down:
            x = down(self.pool(x) if kept else x)
            kept.append(x)
        for up, merge, old in zip(self.up, self.merge, kept[-2::-1], strict=True):
            x = up(x)
            x = merge(torch.cat([cropped(old, x.shape[-1]), x], dim=1))
        return self.head(x)


def two_convolutions(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3), nn.ReLU(), nn.Conv2d(after, after, 3), nn.ReLU())


def cropped(x: Tensor, side: int) -> Tensor:
    """The middle of maps."""
    edge = (x.shape[-1] - side) // 2
    return x[:, :, edge : edge + side, edge : edge + side]


Figure = tuple[Callable[[], nn.Module], tuple[int, ...]]
FIGURES: Mapping[str, Figure] = {
    "lenet5": (partial(didact.build, "lenet5"), (1, 32, 32)),
    "alexnet": (partial(didact.build, "alexnet-one-tower"), (3, 227, 227)),
    "vgg16": (partial(didact.build, "vgg16"), (3, 224, 224)),
    "residual-block": (lambda: BasicBlock(64, 64), (64, 56, 56)),
    "inception-module": (lambda: Inception(192, *MODULES["3a"]), (192, 28, 28)),
    "u-net": (UNet, (1, 572, 572)),
    "resnet50": (partial(didact.build, "resnet50"), (3, 224, 224)),
    "densenet121": (partial(didact.build, "densenet121"), (3, 224, 224)),
    "vit-b-16": (partial(didact.build, "vit-b-16"), (3, 224, 224)),
}


def draw(name: str) -> Diagram:
    """A figure by its name, from a network without memory for its weights."""
    build, shape = FIGURES[name]
    with torch.device("meta"):
        return diagram(build(), shape)


def file_of(name: str) -> Path:
    return IMAGES / f"diagram-{name}.svg"


if __name__ == "__main__":
    for figure in FIGURES:
        file_of(figure).write_text(draw(figure).svg(WIDTH), encoding="utf-8")
