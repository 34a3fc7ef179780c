"""What is wrong with a data set, to look at: two examples side by side, a column, the classes."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from didact.draw.style import BLUE, GREEN, INK, MUTED, VERMILION, bare, new_figure, printable, styled

COLOURS = (BLUE, VERMILION, GREEN)
HEIGHT, TEXT = 2.6, 1.6  # inches of a picture, and of lines of text
CLASSES = 30  # that have a name below them
BINS = 30
LINE, LINES = 52, 6  # characters of a line of text beside another, and lines


@styled
def draw_data_check(exhibits: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw exhibits below each other.

    Args:
        exhibits: Each with a ``title`` and a ``kind``: ``examples`` (each an ``image`` (H, W, 3) or a
            ``text``, with a ``caption``), ``classes`` (``counts`` by split and class), ``numbers``
            (``values`` by split, with a ``name``), or ``column`` (``cells`` and ``targets``, ``numeric``,
            ``classes``).

    Raises:
        ValueError: Nothing to draw.
    """
    if not exhibits:
        raise ValueError("no exhibit: nothing to draw")
    heights = [_height(exhibit) for exhibit in exhibits]
    figure = new_figure(7.2, sum(heights))
    rows = figure.subfigures(len(exhibits), 1, squeeze=False, height_ratios=heights)[:, 0]
    for row, exhibit in zip(rows, exhibits, strict=True):
        row.suptitle(printable(exhibit["title"], 90), x=0.01, ha="left", fontsize=10, color=INK)
        DRAWN[exhibit["kind"]](row, exhibit)
    return figure


def _height(exhibit: Mapping[str, Any]) -> float:
    """Inches: a few lines of text need less than a picture."""
    return TEXT if any("text" in example for example in exhibit.get("examples", ())) else HEIGHT


def _examples(row: SubFigure, exhibit: Mapping[str, Any]) -> None:
    """Images or texts side by side, each above its place."""
    shown = exhibit["examples"]
    panels = row.subplots(1, max(len(shown), 2), squeeze=False)[0]
    for axes in panels:
        bare(axes)
    for axes, example in zip(panels, shown, strict=False):
        if "image" in example:
            axes.imshow(example["image"], interpolation="nearest")
        else:
            axes.text(0.02, 0.98, _wrapped(example["text"]), va="top", fontsize=7.5, transform=axes.transAxes)
        axes.set_xlabel(_wrapped(example["caption"], 90 // len(panels)), fontsize=7.5)


def _classes(row: SubFigure, exhibit: Mapping[str, Any]) -> None:
    """Examples of each class, a bar for each split."""
    axes = row.subplots()
    counts: Mapping[str, Mapping[str, int]] = exhibit["counts"]
    names = list(dict.fromkeys(name for own in counts.values() for name in own))
    width = 0.8 / len(counts)
    for k, (split, own) in enumerate(counts.items()):
        places = np.arange(len(names)) + (k - (len(counts) - 1) / 2) * width
        axes.bar(places, [own.get(name, 0) for name in names], width, color=COLOURS[k % 3], label=split)
    if len(names) <= CLASSES:
        axes.set_xticks(np.arange(len(names)), [printable(name, 14) for name in names])
        axes.tick_params(axis="x", rotation=45 if len(names) > 8 else 0)
    axes.set_ylabel("examples")
    _legend(axes, len(counts))


def _numbers(row: SubFigure, exhibit: Mapping[str, Any]) -> None:
    """How a column lies in each split, over common bins."""
    axes = row.subplots()
    values = {split: np.asarray(v, dtype=float) for split, v in exhibit["values"].items()}
    values = {split: v[np.isfinite(v)] for split, v in values.items()}
    whole = np.concatenate(list(values.values()))
    edges = np.histogram_bin_edges(whole, BINS) if len(whole) else np.linspace(0, 1, BINS + 1)
    for k, (split, own) in enumerate(values.items()):
        heights = np.histogram(own, edges)[0] / max(len(own), 1)
        axes.stairs(
            heights, edges, fill=k == 0, alpha=0.35 if k == 0 else 1, color=COLOURS[k % 3], label=split
        )
    axes.set_xlabel(printable(exhibit["name"], 60))
    axes.set_ylabel("share of the split")
    _legend(axes, len(values))


def _column(row: SubFigure, exhibit: Mapping[str, Any]) -> None:
    """The target over one column: points, a little apart where there are steps."""
    axes = row.subplots()
    _positions(axes, "x", exhibit["cells"], exhibit["numeric"])
    x = _coded(exhibit["cells"], exhibit["numeric"], seed=0)
    y = _coded(exhibit["targets"], not exhibit["classes"], seed=1)
    _positions(axes, "y", exhibit["targets"], not exhibit["classes"])
    axes.scatter(x, y, s=9, alpha=0.5, color=BLUE, linewidths=0)
    axes.set_xlabel(printable(exhibit["name"], 60))
    axes.set_ylabel(printable(exhibit["target"], 30))


def _coded(cells: Sequence[Any], numeric: bool, seed: int) -> np.ndarray:
    """Numbers as they are; categories by their index, spread a little."""
    if numeric:
        return np.asarray(cells, dtype=float)
    _, index = np.unique([str(cell) for cell in cells], return_inverse=True)
    return index + np.random.default_rng(seed).uniform(-0.2, 0.2, len(index))


def _positions(axes: Axes, axis: str, cells: Sequence[Any], numeric: bool) -> None:
    """Name the categories along an axis, where there is room."""
    names = sorted({str(cell) for cell in cells})
    if not numeric and len(names) <= CLASSES:
        ticks = axes.set_xticks if axis == "x" else axes.set_yticks
        ticks(np.arange(len(names)), [printable(name, 14) for name in names])


def _legend(axes: Axes, entries: int) -> None:
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.01), ncols=entries, labelcolor=MUTED)


def _wrapped(text: str, width: int = LINE) -> str:
    """Text in lines of so many characters; a path without blanks is broken where it must be."""
    return "\n".join(wrap(printable(text), width, max_lines=LINES, placeholder=" …"))


DRAWN = {"examples": _examples, "classes": _classes, "numbers": _numbers, "column": _column}
