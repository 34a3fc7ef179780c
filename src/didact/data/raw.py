"""What a reader returns: a data set as it stands on disk, before it is split, fitted and encoded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from didact.data.facts import Inputs, Target


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a data set, with the place to look."""

    where: str
    what: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass
class Part:
    """One split as read: examples, their targets, and where each came from."""

    items: Sequence[Any]
    targets: Sequence[Any] = ()
    places: Sequence[str] = ()

    def place(self, index: int) -> str:
        """Where an example came from, for messages: ``flowers/rose/3.png`` or ``iris.csv:17``."""
        return self.places[index] if len(self.places) else f"example {index}"

    def pick(self, indices: Sequence[int]) -> "Part":
        """The examples at these positions."""
        return Part(
            [self.items[i] for i in indices],
            [self.targets[i] for i in indices] if len(self.targets) else (),
            [self.places[i] for i in indices] if len(self.places) else (),
        )


@dataclass
class Raw:
    """A data set as read.

    What ``items`` hold, by ``inputs``: ``image`` uint8 arrays (H, W) or (H, W, 3), or paths; ``table`` a
    dict per row, column name -> number or text; ``bag`` a text each; ``tokens`` a document each;
    ``sample`` numbers.

    Attributes:
        parts: The splits that the data set brings (train, val, test), or ``{"all": ...}``.
        classes: Every class, in label order, also one that has no example; empty when there are none.
        categories: Columns of a table that are categories; the others are numbers.
        problems: Everything wrong that the reader saw.
    """

    name: str
    inputs: Inputs
    target: Target
    parts: dict[str, Part]
    classes: tuple[str, ...] = ()
    categories: frozenset[str] = frozenset()
    target_name: str = "class"
    about: str = ""
    problems: list[Problem] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(part.items) for part in self.parts.values())


def label_of(classes: Sequence[str]) -> Mapping[str, int]:
    """Label by class name."""
    return {name: label for label, name in enumerate(classes)}
