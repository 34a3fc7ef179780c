"""Tables on standard output: aligned, coloured only on a terminal that wants colour."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings; numbers to the right, nothing is ever cut off in a pipe."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 10_000
    table = Table(box=None, pad_edge=False, header_style="bold")
    rows = [list(row) for row in rows]
    for k, heading in enumerate(headings):
        numeric = bool(rows) and all(
            str(row[k]).replace(",", "").replace(".", "").isdigit() for row in rows if row[k]
        )
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console.print(table)
