"""Every architecture, in course order. The one list; nothing is registered by side effect.

No torch here: an entry names its class by import path, and ``build`` imports it on demand.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from didact.errors import UsageError, suggest

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
        parameters: How many numbers it learns on that data.
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
    recipe: Mapping[str, Any] = field(default_factory=dict)
    tiny: Mapping[str, Any] = field(default_factory=dict)
    excuses: Mapping[str, str] = field(default_factory=dict)

    def resolve(self) -> "type[nn.Module]":
        """Import the class."""
        module, name = self.target.split(":")
        return getattr(import_module(module), name)


CATALOG: Mapping[str, Entry] = MappingProxyType(
    {
        "softmax-regression": Entry(
            "didact.models.linear.softmax_regression:SoftmaxRegression",
            tasks=("classify",),
            about="one score per class, linear in the input: the baseline of every classifier",
            source="Cox 1958; notes 001, sections II.3 and III",
            data="iris",
            inputs=("table", "image", "bag"),
            parameters=15,
            recipe={"epochs": 100, "batch_size": 16, "optimizer": "sgd", "lr": 0.1},
            tiny={"in_features": 8, "num_classes": 3},  # as many inputs as examples: fits any labels
        ),
        "mlp": Entry(
            "didact.models.linear.mlp:MLP",
            tasks=("classify", "regress"),
            about="fully connected layers from a list of widths and activations",
            source="Rumelhart, Hinton and Williams 1986; notes 001, section III",
            data="digits",
            inputs=("table", "image", "bag"),
            parameters=4_810,
            recipe={"epochs": 60, "batch_size": 32, "optimizer": "adam", "lr": 0.003},
            tiny={"in_features": 4, "out_features": 3, "widths": (8,)},
        ),
        "lenet5": Entry(
            "didact.models.cnn.lenet:LeNet5",
            tasks=("classify",),
            about="the first convolutional network that read handwriting",
            source="LeCun, Bottou, Bengio and Haffner 1998; notes 001, section X.1",
            data="digits",
            inputs=("image",),
            parameters=61_706,
            recipe={
                "epochs": 60,
                "optimizer": "adam",
                "lr": 0.003,
                "schedule": "cosine",
                "image_size": 32,
                "augment": ("shift:3", "noise:0.2"),
            },
            tiny={"in_channels": 1, "num_classes": 10},
        ),
        "elman": Entry(
            "didact.models.recurrent.elman:Elman",
            tasks=("language",),
            about="the simple recurrent network, predicting the next character",
            source="Elman 1990; notes 000, section 4.1 and 004, recurrent networks",
            data="manual",
            inputs=("tokens",),
            parameters=115_495,
            recipe={
                "epochs": 10,
                "batch_size": 16,
                "context": 100,
                "optimizer": "adam",
                "lr": 0.002,
                "schedule": "cosine",
                "clip_norm": 1.0,
                "ema": 0.998,
            },
            tiny={"vocab_size": 11, "embedding_dim": 8, "hidden_dim": 16},
            excuses={
                "onnx-time": "torch.onnx unrolls nn.RNN: the exported network reads texts of one length"
            },
        ),
        "lstm": Entry(
            "didact.models.recurrent.lstm:LSTM",
            tasks=("language",),
            about="recurrence with gates and a cell that remembers, predicting the next character",
            source="Hochreiter and Schmidhuber 1997; notes 000, section 4.2",
            data="manual",
            inputs=("tokens",),
            parameters=738_535,
            recipe={
                "epochs": 15,
                "batch_size": 16,
                "context": 100,
                "optimizer": "adam",
                "lr": 0.003,
                "schedule": "cosine",
                "clip_norm": 1.0,
                "ema": 0.998,
                "model_args": {"hidden_dim": 384, "dropout": 0.5},
            },
            tiny={"vocab_size": 11, "embedding_dim": 8, "hidden_dim": 16},
        ),
        "gan": Entry(
            "didact.models.generate.gan:GAN",
            tasks=("adversarial",),
            about="a generator and a discriminator that play against each other: Example 1 of the notes",
            source="Goodfellow et al. 2014; notes 004, GAN Example 1",
            data="gaussian",
            inputs=("sample",),
            parameters=187,
            recipe={
                "epochs": 60,
                "batch_size": 128,
                "optimizer": "adam",
                "lr": 0.002,
                "betas": (0.0, 0.99),
                "lr_scale": {"discriminator": 2.0},
                "ema": 0.995,
            },
            tiny={},
            excuses={"memorise": "a game has no targets; what it learns is a distribution"},
        ),
    }
)


def find(name: str) -> Entry:
    """Look an entry up; hyphens, underscores and case do not matter.

    Raises:
        UsageError: No such architecture; the message suggests the nearest name.
    """
    return CATALOG[canonical(name)]


def canonical(name: str) -> str:
    """The catalogue's spelling of a name."""
    plain = {key.replace("-", ""): key for key in CATALOG}
    key = plain.get(name.lower().replace("_", "").replace("-", ""))
    if key is None:
        raise UsageError(f"unknown model {name!r}; {suggest(name, CATALOG)}")
    return key


def build(name: str, **arguments: Any) -> "nn.Module":
    """Build an architecture by name: a plain ``nn.Module``, usable without the rest of didact.

    Args:
        name: A name of ``didact.CATALOG``.
        **arguments: Constructor arguments of the class; the others keep their defaults.

    Example:
        >>> model = didact.build("lenet5", num_classes=10)

    Raises:
        UsageError: An unknown name or argument.
    """
    target = find(name).resolve()
    known = constructor_arguments(name)
    for argument in arguments:
        if argument not in known:
            raise UsageError(f"{name} has no argument {argument!r}; {suggest(argument, known)}")
    missing = [k for k, p in known.items() if p.default is p.empty and k not in arguments]
    if missing:
        raise UsageError(f"{name} needs {', '.join(missing)}: give a value, or train it on data that tells")
    return target(**arguments)


def constructor_arguments(name: str) -> dict[str, inspect.Parameter]:
    """The constructor arguments of an architecture, with types and defaults."""
    parameters = inspect.signature(find(name).resolve()).parameters
    return {key: parameter for key, parameter in parameters.items() if key != "self"}
