"""Histograms over common bins."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from didact.draw.style import BLUE, GREEN, PURPLE, VERMILION, new_figure, printable, styled


@styled
def draw_histograms(edges: Sequence[float], counts: Mapping[str, Sequence[int]]) -> Figure:
    """Draw counts as densities, so that sets of different sizes compare: the first filled, others as lines.

    Args:
        edges: Bounds of the bins, one more than there are bins.
        counts: Counts by the name of what was counted.
    """
    bounds = np.asarray(edges, dtype=float)
    figure = new_figure(6.4, 3.6)
    axes = figure.add_subplot()
    for (name, values), colour in zip(counts.items(), (BLUE, VERMILION, GREEN, PURPLE), strict=False):
        heights = np.asarray(values, dtype=float)
        density = heights / max(heights.sum(), 1) / np.diff(bounds)
        first = name == next(iter(counts))
        axes.stairs(
            density,
            bounds,
            fill=first,
            color=colour,
            alpha=0.35 if first else 1.0,
            linewidth=1.8,
            label=printable(name, 30),
        )
    axes.set_ylim(bottom=0)
    axes.set_xlim(bounds[0], bounds[-1])
    axes.set_xlabel("value")
    axes.set_ylabel("density")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=len(counts))
    return figure
