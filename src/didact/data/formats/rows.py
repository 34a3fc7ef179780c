"""Rows of CSV, TSV and JSON-lines files, each with its line: tables, labelled texts, lists of images."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from didact.data.formats.columns import number
from didact.data.formats.decode import read_text
from didact.data.formats.examples import remark
from didact.data.formats.own_splits import shown, split_word
from didact.data.raw import Problem
from didact.errors import DataError

SUFFIXES = (".csv", ".tsv", ".jsonl")
DELIMITERS = ",;\t|"
SAMPLE = 8192  # characters that are enough to guess the delimiter


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its split, its cells by column, and where it stands."""

    split: str
    cells: dict[str, str]
    place: str


@dataclass
class Rows:
    """The rows of every split, with the columns that all of them have."""

    columns: list[str]
    rows: list[Row]
    problems: list[Problem] = field(default_factory=list)


def read_rows(path: Path, files: Mapping[str, Path]) -> Rows:
    """Read the file of each split; a column called ``split`` may say it instead.

    Args:
        path: What the user named: a file, or the folder that the files lie in.
        files: The file of each split, or ``{"all": file}``.

    Raises:
        DataError: A file that is not UTF-8, has no header or no rows, or lacks a column of the others.
    """
    root = path if path.is_dir() else path.parent
    merged: Rows | None = None
    for split, file in files.items():
        name = shown(file, root) if path.is_dir() else file.name
        merged = _merged(merged, parse_rows(read_text(file, name), name, split), name)
    if merged is None or not merged.rows:
        raise DataError(f"{path}: no rows below the header", merged.problems if merged else ())
    return _split_by_column(merged, path) if set(files) == {"all"} and "split" in merged.columns else merged


def columns_of(file: Path) -> list[str]:
    """The column names of a file, to tell what it is."""
    text = read_text(file, file.name)
    if file.suffix.lower() == ".jsonl":
        return _parse_json(text, "all", file.name).columns
    return _header(next(_lines(text, file.name), (1, []))[1], file.name)


def parse_rows(text: str, name: str, split: str = "all") -> Rows:
    """The rows in the text of a file, whose name tells JSON lines from cells and stands in messages.

    Raises:
        DataError: The first line names no columns, or a quote is left open.
    """
    parse = _parse_json if name.lower().endswith(".jsonl") else _parse_csv
    return parse(text, split, name)


def _parse_csv(text: str, split: str, name: str) -> Rows:
    lines = _lines(text, name)
    header = _header(next(lines, (1, []))[1], name)
    found = Rows([column for column in header if column], [])
    if len(found.columns) < len(header):
        found.problems.append(remark(f"{name}:1", "a column without a name is left out"))
    for line, cells in lines:
        if len(cells) != len(header):
            what = f"{len(cells)} cells, but the header names {len(header)} columns"
            found.problems.append(Problem(f"{name}:{line}", what))
            continue
        named = {column: cell for column, cell in zip(header, cells, strict=True) if column}
        found.rows.append(Row(split, named, f"{name}:{line}"))
    return found


def _parse_json(text: str, split: str, name: str) -> Rows:
    found = Rows([], [])
    for line, record_text in enumerate(text.split("\n"), 1):
        if not record_text.strip():
            continue
        try:
            record = json.loads(record_text)
        except (ValueError, RecursionError) as error:
            found.problems.append(Problem(f"{name}:{line}", f"not JSON ({error})"))
            continue
        if not isinstance(record, dict):
            found.problems.append(Problem(f"{name}:{line}", "not a JSON object, {...}"))
            continue
        cells = {key: "" if value is None else str(value).strip() for key, value in record.items()}
        found.columns += [key for key in cells if key not in found.columns]
        found.rows.append(Row(split, cells, f"{name}:{line}"))
    for row in found.rows:
        row.cells.update({column: row.cells.get(column, "") for column in found.columns})
    return found


def _lines(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Rows of stripped cells, each with the line it starts on; blank lines are skipped."""
    file = io.StringIO(text, newline="")
    reader = csv.reader(file, delimiter=_delimiter(text), skipinitialspace=True, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{name}:{line}: a row that cannot be read ({error}); is a quote left open?"
            ) from None
        if any(cell.strip() for cell in cells):
            yield line, [cell.strip() for cell in cells]


def _delimiter(text: str) -> str:
    """What separates the cells; it must stand in the header, or there is one column only."""
    sample = text[:SAMPLE]
    header = next((line for line in sample.splitlines() if line.strip()), "")
    try:
        guess = csv.Sniffer().sniff(sample, DELIMITERS).delimiter
    except csv.Error:
        guess = ""
    return guess if guess and guess in header else max(DELIMITERS, key=header.count)


def _header(cells: list[str], name: str) -> list[str]:
    """The column names.

    Raises:
        DataError: There are none, or one twice, or the first line is a row of data.
    """
    if not cells:
        raise DataError(f"{name}: empty; the first line must name the columns")
    if _is_data(cells):
        raise DataError(f"{name}:1: holds numbers; the first line must name the columns")
    twice = next((cell for cell in cells if cell and cells.count(cell) > 1), None)
    if twice is not None:
        raise DataError(
            f"{name}:1: two columns are called {twice!r}; the first line must name each column once"
        )
    return cells


def _is_data(cells: list[str]) -> bool:
    """Whether a first line is data: a name may be a whole number, and all of them 0, 1, 2 and so on."""
    numbers = [value for value in map(number, cells) if value is not None]
    if not all(value.is_integer() for value in numbers):
        return True
    return len(numbers) == len(cells) and numbers != [numbers[0] + i for i in range(len(numbers))]


def _merged(first: Rows | None, second: Rows, name: str) -> Rows:
    if first is None:
        return second
    for columns, other in ((first.columns, second.columns), (second.columns, first.columns)):
        missing = [column for column in columns if column not in other]
        if missing:
            where = name if columns is first.columns else f"{name}: the training file"
            raise DataError(f"{where} lacks column {missing[0]!r}; every split must have the same columns")
    return Rows(first.columns, first.rows + second.rows, first.problems + second.problems)


def _split_by_column(rows: Rows, path: Path) -> Rows:
    """Let the column ``split`` decide, if it holds names of splits."""
    words = [split_word(row.cells["split"]) for row in rows.rows]
    if not any(words):
        return rows
    if "train" not in words:
        raise DataError(f"{path}: column 'split' says train nowhere")
    found = Rows([column for column in rows.columns if column != "split"], [], rows.problems)
    for row, word in zip(rows.rows, words, strict=True):
        if word is None:
            what = f"column 'split': {row.cells['split']!r} is none of train, val and test"
            found.problems.append(Problem(row.place, what))
            continue
        cells = {column: cell for column, cell in row.cells.items() if column != "split"}
        found.rows.append(Row(word, cells, row.place))
    return found
