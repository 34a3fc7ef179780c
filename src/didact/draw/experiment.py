"""Variants of a training run over one another, each as the mean of its seeds and the band they lie in."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from didact.draw.curves import LOG_RANGE, whole_numbers
from didact.draw.style import (
    AMBER,
    BLUE,
    GREEN,
    INK,
    MUTED,
    PURPLE,
    SKY,
    VERMILION,
    new_figure,
    printable,
    styled,
)

Curves = Mapping[str, Sequence[Sequence[tuple[float, float]]]]  # label -> a curve for each seed
Lines = Mapping[str, Sequence[tuple[float, Sequence[float]]]]  # line -> (place, a number for each seed)
Look = tuple[str, Any]  # colour and dashes

COLOURS = (BLUE, VERMILION, GREEN, PURPLE, AMBER, SKY, INK)
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)))
MARKERS = "osD^vP"
POINTS = 120  # of a curve
IN_A_ROW, MOST = 4, 6  # labels below the figure, side by side


@styled
def draw_experiment(
    curves: Curves,
    *,
    lines: Mapping[str, str],
    x_label: str,
    y_label: str,
    over: Lines,
    over_label: str = "",
    at_label: str = "",
    at_log: bool = False,
) -> Figure:
    """Draw the curves of all variants on common axes; beside them a number over the places of the variants.

    Args:
        curves: By label, the points of each seed.
        lines: By label, the line that the variant stands on; empty texts where there are none.
        x_label: Along the curves.
        y_label: What the curves show.
        over: By line, its places, each with the numbers of the seeds; empty where there is nothing beside.
        over_label: What the numbers are.
        at_label: What the places are.
        at_log: Whether the places want a logarithmic axis.
    """
    looks = find_looks(lines)
    rows = -(-len(curves) // _in_a_row(lines))
    figure = new_figure(9.6 if over else 6.8, 3.6 + 0.22 * rows)
    first, *beside = figure.subplots(1, 1 + bool(over), squeeze=False)[0]
    _draw_curves(first, curves, looks, x_label)
    first.set_title(f"{y_label[:1].upper()}{y_label[1:]}", pad=24 if over else 6)
    for axes in beside:
        _draw_lines(axes, over, over_label, at_label, at_log)
    in_a_row = _in_a_row(lines)
    handles, labels = first.get_legend_handles_labels()
    by_row = [k for column in range(in_a_row) for k in range(column, len(labels), in_a_row)]
    figure.legend(
        [handles[k] for k in by_row], [labels[k] for k in by_row], loc="outside lower left", ncols=in_a_row
    )
    return figure


def _in_a_row(lines: Mapping[str, str]) -> int:
    """Labels side by side: those of a line, where the lines have equally many."""
    sizes = set(Counter(line for line in lines.values() if line).values())
    return min(max(sizes), MOST) if len(sizes) == 1 else min(IN_A_ROW, len(lines))


def find_looks(lines: Mapping[str, str]) -> dict[str, Look]:
    """Colour and dashes of each label: a colour a line, dashes along it; without lines both differ."""
    colours: dict[str, str] = {}
    places: dict[str, count[int]] = {}
    looks: dict[str, Look] = {}
    for number, (label, line) in enumerate(lines.items()):
        colour = colours.setdefault(line or label, COLOURS[len(colours) % len(COLOURS)])
        place = next(places.setdefault(line, count())) if line else number
        looks[label] = (colour, DASHES[place % len(DASHES)])
    return looks


def band(
    seeds: Sequence[Sequence[tuple[float, float]]],
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Places, mean, lowest and highest over the seeds that have a point there.

    Example:
        >>> band([[(1, 2.0), (2, 1.0)], [(1, 4.0)]])
        ([1, 2], [3.0, 1.0], [2.0, 1.0], [4.0, 1.0])
    """
    found: dict[float, list[float]] = {}
    for points in seeds:
        for x, y in points:
            if math.isfinite(y):
                found.setdefault(x, []).append(y)
    values = [found[x] for x in sorted(found)]
    return sorted(found), list(map(statistics.fmean, values)), list(map(min, values)), list(map(max, values))


def thinned(values: Sequence[float]) -> list[float]:
    """At most about ``POINTS`` of them, evenly, up to the last one: more than a figure can show.

    Example:
        >>> thinned([1.0, 2.0, 3.0])
        [1.0, 2.0, 3.0]
    """
    every = -(-len(values) // POINTS) or 1
    return list(values[::-every][::-1])


def _draw_curves(axes: Axes, curves: Curves, looks: Mapping[str, Look], x_label: str) -> None:
    shown: list[float] = []
    for label, seeds in curves.items():
        x, mean, low, high = map(thinned, band(seeds))
        colour, dashes = looks[label]
        axes.plot(x, mean, color=colour, linestyle=dashes, linewidth=1.5, label=printable(label, 34))
        axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
        shown += [*low, *high]
    axes.set_xlabel(x_label)
    axes.xaxis.set_major_locator(whole_numbers(8))
    axes.set_xlim(left=0)
    if shown and 0 < min(shown) < max(shown) / LOG_RANGE:
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis)


def _draw_lines(axes: Axes, over: Lines, over_label: str, at_label: str, at_log: bool) -> None:
    """A number over the places, with a bar from the lowest seed to the highest."""
    places = sorted({place for points in over.values() for place, _ in points})
    for number, (line, points) in enumerate(over.items()):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        x, mean, low, high = band([[(place, value)] for place, values in points for value in values])
        axes.plot(x, mean, color=colour, marker=marker, markersize=4, label=printable(line, 24))
        axes.vlines(x, low, high, color=colour, linewidth=1.2, alpha=0.6)
    axes.set_title(f"{over_label[:1].upper()}{over_label[1:]}", pad=24)
    axes.set_xlabel(at_label)
    if at_log:
        axes.set_xscale("log")
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.xaxis.set_minor_locator(NullLocator())
    values = [
        value for points in over.values() for _, each in points for value in each if math.isfinite(value)
    ]
    if values and 0 < min(values) < max(values) / LOG_RANGE:
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis)
    if len(over) > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.01), ncols=len(over))
    if not values:
        axes.text(0.5, 0.5, "no run came so far", ha="center", color=MUTED, transform=axes.transAxes)


def _plain_ticks(axis: Any) -> None:
    """0.001, 0.01, 0.1 instead of powers of ten."""
    axis.set_major_locator(LogLocator(10, subs=(1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
