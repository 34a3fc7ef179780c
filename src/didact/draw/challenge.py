"""A challenge over the years: the error of each winner, and how deep its network was."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from didact.draw.style import BLUE, INK, PAPER, VERMILION, new_figure, printable, styled

SHALLOW = "#a9b4c0"


@styled
def draw_challenge(entries: Sequence[Mapping[str, Any]], human: float) -> Figure:
    """Draw a bar for the error of each entry, first to last, and a dashed line where humans are.

    Args:
        entries: Each with ``year``, ``name``, ``error`` in percent, ``depth`` in layers, 0 for no network,
            and ``second`` where it did not win.
        human: Error of a trained human, in percent.
    """
    figure = new_figure(7.4, 3.9)
    axes = figure.add_subplot()
    colours = [BLUE if entry["depth"] else SHALLOW for entry in entries]
    bars = axes.bar(range(len(entries)), [entry["error"] for entry in entries], 0.66, color=colours)
    for bar, entry in zip(bars, entries, strict=True):
        middle, colour = bar.get_x() + bar.get_width() / 2, PAPER if entry["depth"] else INK
        text = f"{entry['error']:g} %"
        axes.text(middle, entry["error"] - 0.35, text, ha="center", va="top", color=colour, weight="bold")
    axes.axhline(human, color=VERMILION, linewidth=1.3, linestyle=(0, (4, 3)), label=f"a human, {human:g} %")
    names = [_name(entry) for entry in entries]
    axes.set_xticks(range(len(entries)), names)
    axes.tick_params(axis="x", length=0)
    axes.grid(False, axis="x")
    axes.set_ylim(0, 1.06 * max(entry["error"] for entry in entries))
    axes.set_ylabel("top-5 error on the test images, %")
    axes.legend(loc="upper right")
    return figure


def _name(entry: Mapping[str, Any]) -> str:
    """Name, year and depth, one below the other."""
    layers = f"{entry['depth']} layers" if entry["depth"] else "no network"
    year = f"{entry['year']}, second" if entry.get("second") else str(entry["year"])
    return f"{printable(entry['name'], 14)}\n{year}\n{layers}"
