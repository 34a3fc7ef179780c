"""What the catalogue says of one architecture, and what the entries of a family share.

No torch here: an entry names its class by import path and imports it on demand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Entry:
    """One architecture.

    Attributes:
        target: Import path of its class, ``package.module:Class``.
        tasks: What it can learn, the usual one first.
        about: One line for a newcomer.
        source: Paper and section of the notes.
        data: The embedded data it trains on when none is named.
        inputs: Kinds of input it takes (``didact.data.facts``).
        parameters: How many numbers it learns, built by name alone or, where the data decides, for it.
        arguments: Constructor arguments that make the class this network (``{"depth": 18}``): what they
            are by default under this name, in place of the class's own defaults.
        recipe: Its default training recipe, where that differs from ``Recipe``'s own defaults.
        tiny: Constructor arguments of a size that builds in an instant, for the contract test.
        excuses: Checks of the contract test that cannot hold, with the reason.
    """

    target: str
    tasks: tuple[str, ...]
    about: str
    source: str
    data: str
    inputs: tuple[str, ...]
    parameters: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    tiny: Mapping[str, Any] = field(default_factory=dict)
    excuses: Mapping[str, str] = field(default_factory=dict)

    def resolve(self) -> "type[nn.Module]":
        """Import the class."""
        module, name = self.target.split(":")
        return getattr(import_module(module), name)


def on_digits(
    target: str,
    about: str,
    source: str,
    parameters: int,
    arguments: Mapping[str, Any],
    *,
    small: Mapping[str, Any],
    tiny: Mapping[str, Any],
    excuses: Mapping[str, str] = MappingProxyType({}),
    **knobs: Any,
) -> Entry:
    """An image classifier made for larger images, with a recipe for the digits in a small width.

    ``small`` are the constructor arguments of the default recipe, since few maps suit two cores; ``knobs``
    are what else it changes; the rest is as in ``Entry``.
    """
    recipe: dict[str, Any] = {
        "epochs": 12,
        "optimizer": "adamw",
        "lr": 0.003,
        "weight_decay": 0.02,
        "schedule": "cosine",
        "warmup": 1.0,
        "image_size": 32,
        "augment": ("shift:3",),
        "model_args": small,
    }
    return Entry(
        target,
        tasks=("classify",),
        about=about,
        source=source,
        data="digits",
        inputs=("image",),
        parameters=parameters,
        arguments=arguments,
        recipe=recipe | knobs,
        tiny={"in_channels": 1, "num_classes": 10, **tiny},
        excuses=excuses,
    )


def vgg(about: str, parameters: int, depth: int, batch_norm: bool, **knobs: Any) -> Entry:
    """A size of VGG."""
    return on_digits(
        "didact.models.cnn.vgg:VGG",
        about,
        "Simonyan and Zisserman 2014; notes 000, section 2.3.2, and 001, section X.3",
        parameters,
        {"depth": depth, "batch_norm": batch_norm},
        small={"width": 0.125},
        tiny={"width": 0.03, "dropout": 0.0},
        **knobs,
    )


def resnet(about: str, parameters: int, depth: int, source: str, plain: bool = False, **knobs: Any) -> Entry:
    """A depth of ResNet, or of its plain twin; from 50 layers on with bottlenecks, which want fewer maps."""
    deep = depth >= 50
    return on_digits(
        "didact.models.cnn.resnet:ResNet",
        about,
        f"He, Zhang, Ren and Sun 2015; notes 001, {source}",
        parameters,
        {"depth": depth, "shortcut": "none"} if plain else {"depth": depth},
        small={"width": 0.125 if deep else 0.25, "stem": "cifar"},
        tiny={"depth": 14 if deep else 10, "width": 0.125, "stem": "cifar"},
        **({"batch_size": 32} if deep else {}) | knobs,
    )


def densenet(about: str, parameters: int, depth: int, growth: int, epochs: int = 6) -> Entry:
    """A depth of DenseNet."""
    return on_digits(
        "didact.models.cnn.densenet:DenseNet",
        about,
        "Huang, Liu, van der Maaten and Weinberger 2016; notes 000, section 2.3.4",
        parameters,
        {"depth": depth, "growth": growth},
        small={"growth": 8, "stem": "cifar"},
        tiny={"depth": 21, "growth": 4, "stem": "cifar"},
        epochs=epochs,
        batch_size=32,
    )


def vit(about: str, parameters: int, patch_size: int, dim: int, depth: int, num_heads: int) -> Entry:
    """A size of the Vision Transformer; on the digits all of them have the same small form."""
    return on_digits(
        "didact.models.transformer.vit:ViT",
        about,
        "Dosovitskiy et al. 2020; notes 004, Vision Transformer",
        parameters,
        {"patch_size": patch_size, "dim": dim, "depth": depth, "num_heads": num_heads},
        small={"patch_size": 4, "dim": 64, "depth": 4, "num_heads": 4},
        tiny={"image_size": 32, "patch_size": 8, "dim": 16, "depth": 2, "num_heads": 2},
        epochs=25,
        batch_size=32,
        lr=0.002,
        warmup=3.0,
    )
