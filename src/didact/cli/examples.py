"""New examples for a trained model, read and checked as its training data was."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from didact.data.facts import Facts
from didact.data.formats.columns import fault
from didact.data.formats.decode import read_text
from didact.data.formats.image_folder import SUFFIXES
from didact.data.formats.rows import Row, parse_rows
from didact.errors import DataError, UsageError

STDIN = "-"


@dataclass
class Examples:
    """Examples, where each stands, and what is odd about them."""

    items: list[Any] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_examples(facts: Facts, files: Sequence[str]) -> Examples:
    """The examples in files (``-`` is standard input): images, rows of tables, or a text a line.

    Raises:
        DataError: A file is missing, empty, or does not hold what the model was trained on.
        UsageError: The model answers nothing, it generates.
    """
    readers = {"image": _read_images, "table": _read_rows, "bag": _read_lines, "tokens": _read_lines}
    if facts.inputs not in readers:
        raise UsageError("this model learned to generate, not to answer: didact generate RUN")
    found = Examples()
    for file in files:
        before = len(found.items)
        readers[facts.inputs](facts, file, found)
        if len(found.items) == before:
            raise DataError(f"{file}: no example in it")
    return found


def _read_images(facts: Facts, file: str, found: Examples) -> None:
    if file == STDIN:
        found.items.append(_decoded(_stdin()))
        found.places.append(file)
        return
    path = Path(file)
    inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
    found.items += inside
    found.places += map(str, inside)


def _read_rows(facts: Facts, file: str, found: Examples) -> None:
    rows = parse_rows(_text(file), file)
    for problem in rows.problems:
        if problem.fatal:
            raise DataError(str(problem))
    for column in facts.columns:
        if column.name not in rows.columns:
            trained = ", ".join(column.name for column in facts.columns)
            raise DataError(f"{file}: no column {column.name!r}; this model was trained on {trained}")
    for row in rows.rows:
        found.notes += _checked(facts, row)
        found.items.append({column.name: row.cells[column.name] for column in facts.columns})
        found.places.append(row.place)


def _checked(facts: Facts, row: Row) -> list[str]:
    """What is odd about a row.

    Raises:
        DataError: A cell is empty, or a number is none.
    """
    notes = []
    for column in facts.columns:
        cell = row.cells[column.name]
        wrong = fault(cell, column.kind)
        if wrong:
            raise DataError(f"{row.place}: column {column.name!r}: {wrong}")
        if column.kind == "category" and cell not in column.values:
            notes.append(f"{row.place}: column {column.name!r}: training never saw {cell!r}")
    return notes


def _read_lines(facts: Facts, file: str, found: Examples) -> None:
    for number, line in enumerate(_text(file).split("\n"), 1):
        if line.strip():
            found.items.append(line.removesuffix("\r"))
            found.places.append(f"{file}:{number}")


def _text(file: str) -> str:
    if file != STDIN:
        if not Path(file).is_file():
            raise DataError(f"{file}: {'a folder, not a file' if Path(file).is_dir() else 'no such file'}")
        return read_text(Path(file), file)
    try:
        return _stdin().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"standard input: byte {error.start} is not UTF-8") from None


def _stdin() -> bytes:
    if sys.stdin.isatty():
        print("reading standard input; Ctrl-D ends it", file=sys.stderr)
    return sys.stdin.buffer.read()


def _decoded(data: bytes) -> Image.Image:
    try:
        image = Image.open(BytesIO(data))
        image.load()
    except Exception as error:  # a damaged file makes decoders raise nearly anything
        raise DataError(
            f"standard input: not an image that can be decoded ({type(error).__name__})"
        ) from None
    return image
