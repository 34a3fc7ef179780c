"""Tables on standard output: one line a row in a pipe, fitted to the window on a terminal."""

import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from textwrap import wrap

from rich.cells import cell_len

GAP = "  "
LAST = 30  # columns of the window that the last cells want; with less, each row becomes a block of lines
NUMBER = re.compile(r"-?[\d,]+(\.\d+)?")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings, numbers to the right. Nothing is ever cut off."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(headings, *cells, strict=True)]
    numeric = [bool(cells) and all(NUMBER.fullmatch(row[k]) for row in cells) for k in range(len(headings))]
    indent = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    room = _room()
    if not cells or indent + min(LAST, widths[-1]) <= room:
        lines = [_bold(GAP.join(map(_padded, headings, widths, numeric)).rstrip())]
        lines += [line for row in cells for line in _lines(row, widths, numeric, room)]
        print("\n".join(lines))
    else:
        print("\n\n".join(_block(headings, row, room) for row in cells))


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names, each with its value beside it."""
    print("\n".join(_pair_lines([(name, str(value)) for name, value in pairs], _room())))


def wants_colour() -> bool:
    """Whether standard output is to be coloured: FORCE_COLOR decides, then NO_COLOR, then the terminal."""
    if os.environ.get("FORCE_COLOR"):
        return True
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stdout.isatty()


def _room() -> int:
    """Columns of the window; a pipe has no end."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize


def _block(headings: Sequence[str], row: Sequence[str], room: int) -> str:
    """A row as a block: its first cell, and below it a line for each of the others."""
    pairs = list(zip(headings[1:], row[1:], strict=True))
    return "\n".join([_bold(row[0]), *(GAP + line for line in _pair_lines(pairs, room - len(GAP)))])


def _pair_lines(pairs: Sequence[tuple[str, str]], room: int) -> list[str]:
    widths = [max((cell_len(name) for name, _ in pairs), default=0), 0]
    return [line for pair in pairs for line in _lines(pair, widths, (False, False), room)]


def _lines(row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool], room: int) -> list[str]:
    """A row; its last cell goes on below itself where the window ends."""
    line = GAP.join(map(_padded, row, widths, numeric)).rstrip()
    if cell_len(line) <= room:
        return [line]
    start = GAP.join(map(_padded, row[:-1], widths, numeric)) + GAP
    first, *more = wrap(row[-1], max(room - cell_len(start), 1), break_on_hyphens=False)
    return [start + first, *(" " * cell_len(start) + part for part in more)]


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def _bold(line: str) -> str:
    return f"\033[1m{line}\033[0m" if wants_colour() else line
