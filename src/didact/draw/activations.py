"""Activation functions side by side, each with its derivative, and shaded where it saturates."""

import math
from collections.abc import Mapping
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didact.draw.style import BLUE, MUTED, VERMILION, new_figure, printable, styled

COLUMNS = 4
LOW, HIGH = -1.6, 2.6  # of all panels alike


class CurveLike(Protocol):
    """What is drawn of an activation function."""

    @property
    def x(self) -> tuple[float, ...]:
        """Places, rising."""

    @property
    def values(self) -> tuple[float, ...]:
        """The function there."""

    @property
    def slopes(self) -> tuple[float, ...]:
        """Its derivative there."""

    @property
    def saturated(self) -> tuple[float, float]:
        """Below and above which the curve is flat."""


@styled
def draw_activations(curves: Mapping[str, CurveLike]) -> Figure:
    """Draw a panel for each function: itself, its derivative, and grey where nothing is left of that.

    Args:
        curves: By name.
    """
    columns = min(COLUMNS, len(curves))
    rows = math.ceil(len(curves) / columns)
    figure = new_figure(2.3 * columns, 1.75 * rows + 0.3)
    panels = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    for axes, (name, curve) in zip(panels, curves.items(), strict=False):
        _draw(axes, curve)
        axes.set_title(printable(name, 24))
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3)
    return figure


def _draw(axes: Axes, curve: CurveLike) -> None:
    low, high = curve.saturated
    first, last = curve.x[0], curve.x[-1]
    for left, right in ((first, max(low, first)), (min(high, last), last)):
        axes.axvspan(
            left, right, color=MUTED, alpha=0.16, linewidth=0, label="saturated" if left == first else ""
        )
    axes.plot(curve.x, curve.values, color=BLUE, label="f(x)")
    axes.plot(curve.x, curve.slopes, color=VERMILION, linestyle="--", linewidth=1.4, label="its derivative")
    axes.set(xlim=(first, last), ylim=(LOW, HIGH), xticks=(-5, 0, 5))
