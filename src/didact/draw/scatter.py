"""Predicted against true numbers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from didact.draw.style import BLUE, MUTED, new_figure, printable, styled

MANY = 5000  # points beyond which they are drawn as one picture


@styled
def draw_scatter(true: Sequence[float], predicted: Sequence[float], name: str) -> Figure:
    """Draw a point for each example; on the dashed diagonal the answer is exact.

    Args:
        true: The true numbers.
        predicted: The model's answers, in the same order.
        name: What is predicted, for the axes.
    """
    x, y = np.asarray(true, dtype=float), np.asarray(predicted, dtype=float)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    figure = new_figure(5.4, 5.0)
    axes = figure.add_subplot()
    low, high = _limits(np.concatenate([x, y]))
    axes.plot([low, high], [low, high], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label="exact")
    axes.scatter(
        x,
        y,
        s=22 if len(x) < 500 else 9,
        color=BLUE,
        alpha=0.55,
        linewidths=0,
        label="test examples",
        rasterized=len(x) > MANY,
    )
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set_xlabel(f"true {printable(name, 40)}")
    axes.set_ylabel(f"predicted {printable(name, 40)}")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2)
    return figure


def _limits(values: np.ndarray) -> tuple[float, float]:
    """A common range for both axes, a little wider than the values."""
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin
