"""The sixty causes the doctor can name, read from ``codes.toml``."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

FAMILIES = {
    "D": "data",
    "L": "labels",
    "P": "preprocessing",
    "A": "architecture and activations",
    "I": "initialisation",
    "S": "the loss and what it is given",
    "O": "optimisation",
    "R": "regularisation",
    "E": "evaluation and modes",
    "G": "generative",
}


@dataclass(frozen=True)
class Cause:
    """One cause.

    Attributes:
        code: A letter of ``FAMILIES`` and a number.
        name: What is wrong, in words.
        fix: The change of one line that mends it.
        notes: Where the course tells of it.
        exact: A mechanical check proves it; the others need a symptom too.
        alike: Codes of what is most easily taken for it, likeliest first.
    """

    code: str
    name: str
    fix: str
    notes: str
    exact: bool = False
    alike: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """What part of a training it belongs to."""
        return FAMILIES[self.code[0]]


def named(codes: Iterable[str]) -> str:
    """Codes and what they mean: ``L02 the labels have ...; P03 the augmentation ...``."""
    return "; ".join(f"{code} {causes()[code].name}" for code in codes)


@cache
def causes() -> dict[str, Cause]:
    """Every cause by its code, in the order of the file."""
    table = tomllib.loads(files("didact.doctor").joinpath("codes.toml").read_text(encoding="utf-8"))
    return {
        code: Cause(code, **entry | {"alike": tuple(entry.get("alike", ()))}) for code, entry in table.items()
    }
