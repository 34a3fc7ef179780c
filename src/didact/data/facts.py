"""What a model must know of a data set: enough to be built for it, and to read new examples like it.

Facts are plain numbers and names. They are saved beside the weights, so that ``predict`` encodes a new
example exactly as training encoded the old ones.
"""

from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any, Literal

Inputs = Literal["image", "table", "bag", "tokens", "sample"]
Target = Literal["class", "number", "next", "none"]
Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True)
class Column:
    """A column of a table: a number, or a category that becomes one input per known value."""

    name: str
    kind: Literal["number", "category"]
    values: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many inputs of the model this column fills."""
        return len(self.values) if self.kind == "category" else 1


@dataclass(frozen=True)
class Facts:
    """The facts of one data set.

    Attributes:
        name: What the user called it: an embedded name or a path.
        inputs: What one example is. ``image`` (C, H, W) float; ``table`` and ``bag`` (F,) float;
            ``tokens`` (T,) int64; ``sample`` (F,) float, drawn from a distribution to be learned.
        target: What is to be predicted: a ``class``, a ``number``, the ``next`` token, or ``none``.
        input_shape: The shape of one example, without the batch.
        classes: Class names; the index of a name is its label.
        columns: The input columns of a table, in order.
        vocabulary: Tokens by index. Index 0 stands for whatever is not in the vocabulary.
        mean, std: Fitted on the training split only, or those of the weights that training started from. Per
            channel for images, per input for the rest.
        crop: Share of an image's shorter side that is read, from its middle; 0 reads all of it, squeezed.
        interpolation: How images are resized.
        target_name: The column, or the word for what is predicted.
        target_mean, target_std: Of a number to be predicted, on the training split.
        sizes: Examples (or tokens) in each split.
        fingerprint: SHA-256 over the examples, labels and splits, to tell whether two runs saw the same data.
    """

    name: str
    inputs: Inputs
    target: Target
    input_shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    vocabulary: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    crop: float = 0.0
    interpolation: Interpolation = "bilinear"
    target_name: str = "class"
    target_mean: float = 0.0
    target_std: float = 1.0
    sizes: dict[str, int] = field(default_factory=dict)
    fingerprint: str = ""

    def model_sizes(self) -> dict[str, Any]:
        """The constructor arguments that the data decides, by the names every model of the catalogue uses."""
        sizes: dict[str, Any] = {"in_features": prod(self.input_shape)}
        if self.inputs == "image":
            sizes |= {"in_channels": self.input_shape[0], "image_size": self.input_shape[-1]}
        if self.target == "class":
            sizes |= {"num_classes": len(self.classes), "out_features": len(self.classes)}
        if self.target == "number":
            sizes |= {"out_features": 1}
        if self.target == "none":
            sizes |= {"data_dim": prod(self.input_shape)}
        if self.vocabulary:
            sizes |= {"vocab_size": len(self.vocabulary)}
        return sizes

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Facts":
        """Rebuild facts from ``to_dict`` (lists become tuples again)."""
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        values["columns"] = tuple(Column(c["name"], c["kind"], tuple(c["values"])) for c in values["columns"])
        return cls(**values)
