"""A confusion matrix with right answers in blue and mistakes in orange, so that a few are seen at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from didact.draw.style import BLUE, INK, MUTED, PAPER, VERMILION, bare, new_figure, printable, styled

NUMBERED = 20  # classes up to which every count is written out
NAMED = 50  # classes up to which every class is named


@styled
def draw_confusion(classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> Figure:
    """Draw counts, a row for each true class, a column for each predicted one, shaded by share of the row.

    Args:
        classes: A name for each row and column.
        matrix: ``matrix[i][j]`` examples of class i were taken for class j.
    """
    counts = np.asarray(matrix, dtype=np.int64).reshape(len(classes), len(classes))
    size = len(classes)
    side = min(max(0.44 * size, 2.0), 7.0)
    figure = new_figure(side + 2.0, side + 1.2)
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(_colours(shares), interpolation="none")
    bare(axes)
    axes.set_ylabel("true class")
    axes.set_xlabel("predicted class")
    axes.xaxis.set_label_position("top")
    _name_classes(axes, classes)
    if size <= NUMBERED:
        _write_counts(axes, counts, shares)
        _write_margins(axes, counts)
    return figure


def _colours(shares: np.ndarray) -> np.ndarray:
    """RGB (C, C, 3). Few mistakes are made visible by the square root of their share."""
    right = np.eye(len(shares), dtype=bool)
    depth = np.where(right, shares, np.where(shares > 0, 0.12 + 0.88 * np.sqrt(shares), 0))[..., None]
    hue = np.where(right[..., None], to_rgb(BLUE), to_rgb(VERMILION))
    empty = np.asarray(to_rgb("#f5f7f9"))
    return np.where(depth > 0, (1 - depth) * np.asarray(to_rgb(PAPER)) + depth * hue, empty)


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    size = len(classes)
    names = [printable(name, 24) for name in classes]
    steps = range(size) if size <= NAMED else range(0, size, max(size // 10, 1))
    axes.set_yticks(steps, [names[i] for i in steps], fontsize=8 if size <= NUMBERED else 6)
    slanted: dict[str, Any] = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"}
    fits = size <= NUMBERED and all(len(name) <= 3 for name in names)
    axes.set_xticks(
        steps, [names[i] for i in steps], fontsize=8 if size <= NUMBERED else 6, **({} if fits else slanted)
    )
    axes.tick_params(length=0, labelcolor=INK, labeltop=True, labelbottom=False)
    if size <= NAMED:
        for edge in range(1, size):
            axes.axhline(edge - 0.5, color=PAPER, linewidth=1.2)
            axes.axvline(edge - 0.5, color=PAPER, linewidth=1.2)


def _write_counts(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            dark = shares[row, column] > (0.5 if row == column else 0.35)
            axes.text(
                column,
                row,
                str(count),
                ha="center",
                va="center",
                color=PAPER if dark else INK,
                fontsize=8.5 if count < 1000 else 7,
            )


def _write_margins(axes: Axes, counts: np.ndarray) -> None:
    """Recall of each class beside its row, precision under its column."""
    size, right = len(counts), np.diagonal(counts)
    small: dict[str, Any] = {"color": MUTED, "fontsize": 7}
    for i, (hits, true, said) in enumerate(zip(right, counts.sum(1), counts.sum(0), strict=True)):
        axes.text(size - 0.3, i, f"{hits / true:.0%}" if true else "–", va="center", **small)
        axes.text(i, size - 0.3, f"{hits / said:.0%}" if said else "–", ha="center", va="top", **small)
    axes.text(size - 0.3, -0.65, "recall", va="bottom", style="italic", **small)
    axes.text(-0.65, size - 0.3, "precision", ha="right", va="top", style="italic", **small)
