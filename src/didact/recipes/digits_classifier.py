"""Every image classifier of the catalogue reads the digits, in the small width of its own recipe.

command   didact train NAME --data digits
time      a quarter of a minute to four minutes on one core
expect    the table of docs/models.md
"""

from typing import Any

from didact.catalog import CATALOG, find
from didact.entry import Entry
from didact.train.fit import fit
from didact.train.run import Run


def digits_classifier(name: str, **changes: Any) -> Run:
    """Train it; ``changes`` are knobs of the recipe, or ``out``."""
    return fit(name, "digits", **changes)


def trained_as(name: str) -> str:
    """The first network whose recipe trains the same: the sizes of a family can have one small form."""
    return next(other for other, entry in CATALOG.items() if _training(entry) == _training(find(name)))


def _training(entry: Entry) -> tuple[Any, ...]:
    arguments = {**entry.arguments, **entry.recipe.get("model_args", {})}
    return entry.target, arguments, {**entry.recipe, "model_args": {}}


DIGITS_CLASSIFIERS = tuple(
    name
    for name, entry in CATALOG.items()
    if entry.inputs == ("image",) and entry.data == "digits" and trained_as(name) == name
)
