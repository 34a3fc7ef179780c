"""Tables: CSV and TSV files with a header. Types are found by reading, and every cell is checked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from didact.data.formats.columns import Kind, fault, is_quantity, kind_of, oddity, sort_classes
from didact.data.formats.examples import Example, check_classes, leave_out_copies, remark, to_parts
from didact.data.formats.rows import Row, read_rows
from didact.data.raw import Problem, Raw
from didact.errors import DataError, suggest


def read_table(path: Path, files: Mapping[str, Path], *, target: str | None = None) -> Raw:
    """Read a table.

    Args:
        path: What the user named.
        files: The file of each split, or ``{"all": file}``.
        target: The column to predict; by default the last one.

    Raises:
        DataError: No such column, or nothing left to learn from.
    """
    rows = read_rows(path, files)
    kinds = {column: kind_of([row.cells[column] for row in rows.rows]) for column in rows.columns}
    chosen = _target(path, kinds, target)
    inputs = [column for column, kind in kinds.items() if column != chosen and kind != "empty"]
    if not inputs:
        raise DataError(f"{path}: no column beside {chosen!r} to predict it from")
    problems = rows.problems
    sound = [row for row in rows.rows if not _faults(row, kinds, [*inputs, chosen], problems)]
    problems += _odd_columns(path.name, sound, kinds, chosen)
    quantity = kinds[chosen] == "number" and is_quantity(float(row.cells[chosen]) for row in sound)
    examples = [_example(row, kinds, inputs, chosen, quantity) for row in sound]
    if any(example.split != "all" for example in examples):
        keys = [(*example.item.values(), example.target) for example in examples]
        examples = leave_out_copies(examples, keys, "row", problems)
    classes = () if quantity else sort_classes(example.target for example in examples)
    if examples and not quantity:
        problems += check_classes(examples, classes, path.name)
    categories = frozenset(column for column in inputs if kinds[column] == "category")
    about = f"a table of {len(rows.rows)} rows and {len(inputs)} input columns, to predict {chosen!r}"
    return Raw(
        str(path),
        "table",
        "number" if quantity else "class",
        to_parts(examples),
        classes,
        categories,
        chosen,
        about,
        problems,
    )


def _target(path: Path, kinds: Mapping[str, Kind], target: str | None) -> str:
    """The column to predict."""
    if target is None:
        target = list(kinds)[-1]
    if target not in kinds:
        raise DataError(f"{path}: no column {target!r}; {suggest(target, kinds)}")
    if kinds[target] == "empty":
        raise DataError(f"{path}: column {target!r}, which is to be predicted, is empty")
    return target


def _odd_columns(name: str, rows: Sequence[Row], kinds: Mapping[str, Kind], target: str) -> list[Problem]:
    """What is suspicious about whole columns; training can go on."""
    problems = []
    for column, kind in kinds.items():
        odd = oddity([row.cells[column] for row in rows], kind) if column != target else None
        if odd:
            problems.append(remark(name, f"column {column!r}: {odd}"))
    return problems


def _faults(row: Row, kinds: Mapping[str, Kind], columns: Sequence[str], problems: list[Problem]) -> bool:
    """Whether a row has broken cells; each is noted."""
    found = [(column, what) for column in columns if (what := fault(row.cells[column], kinds[column]))]
    problems += [Problem(row.place, f"column {column!r}: {what}") for column, what in found]
    return bool(found)


def _example(
    row: Row, kinds: Mapping[str, Kind], inputs: Sequence[str], target: str, quantity: bool
) -> Example:
    """Cells as numbers and categories; a label that is a number is written as an integer."""
    item: dict[str, Any] = {c: float(row.cells[c]) if kinds[c] == "number" else row.cells[c] for c in inputs}
    said: Any = row.cells[target]
    if kinds[target] == "number":
        said = float(said) if quantity else str(int(float(said)))
    return Example(row.split, item, said, row.place)
