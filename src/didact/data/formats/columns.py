"""What a column of a table holds: numbers or categories, and what is wrong with a cell."""

from collections.abc import Iterable, Sequence
from typing import Literal

Kind = Literal["number", "category", "empty"]
UNKNOWN = frozenset({"", "?", "-", "NA", "N/A", "null", "NULL", "None"})  # how a number is said to be missing
NUMERIC_SHARE = 0.8  # above this share of numbers, the rest is taken for mistakes
LARGEST = 3.4028234e38  # of float32
MOST_LABELS = 20  # more distinct integers than this are a quantity, not labels


def number(text: str) -> float | None:
    """The number that a cell holds, if it holds one."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def kind_of(cells: Sequence[str]) -> Kind:
    """Numbers or categories, by the great majority of the cells that are filled."""
    if not any(cells):
        return "empty"
    filled = [cell for cell in cells if cell not in UNKNOWN]
    numbers = sum(number(cell) is not None for cell in filled)
    return "number" if numbers and numbers > NUMERIC_SHARE * len(filled) else "category"


def fault(cell: str, kind: Kind) -> str | None:
    """What is wrong with one cell of a column of this kind."""
    if not cell:
        return "missing value"
    if kind == "category":
        return None
    if cell in UNKNOWN:
        return f"missing value ({cell!r})"
    value = number(cell)
    if value is None:
        return f"text in a numeric column: {cell!r}"
    return None if abs(value) <= LARGEST else f"not a finite number: {cell!r}"


def oddity(cells: Sequence[str], kind: Kind) -> str | None:
    """What is suspicious about a whole input column."""
    if kind == "empty":
        return "no value at all; it is left out"
    values = [number(cell) for cell in cells] if kind == "number" else list(cells)
    distinct = len(set(values))
    if distinct == 1:
        return f"always {cells[0]}: nothing can be learned from it"
    if kind == "category" and distinct > 50 and distinct > len(cells) / 2:
        return f"{distinct} different texts in {len(cells)} rows: each becomes an input of its own"
    if kind == "number" and len(cells) >= 10 and _counts_up(values):
        return "only numbers the rows: it may give the answer away, or mislead"
    return None


def is_quantity(values: Iterable[float]) -> bool:
    """Whether numbers to be predicted are a quantity rather than labels."""
    distinct = set(values)
    return len(distinct) > MOST_LABELS or any(value != int(value) for value in distinct)


def sort_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Class names in label order: by number when all are numbers, else by name."""
    distinct = sorted(set(names))
    numbers = {name: number(name) for name in distinct}
    if any(value is None or value != value for value in numbers.values()):
        return tuple(distinct)
    return tuple(sorted(distinct, key=lambda name: numbers[name] or 0.0))


def _counts_up(values: Sequence[float | str | None]) -> bool:
    first = values[0]
    return isinstance(first, float) and all(value == first + i for i, value in enumerate(values))
