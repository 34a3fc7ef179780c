"""The roofline: what layers achieve, under what the machine can do at most."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from didact.draw.style import BLUE, INK, MUTED, VERMILION, new_figure, printable, styled

NAMED = 6  # layers that take longest have their names
APART = 0.12, 0.1  # of two numbers, in powers of ten
Point = tuple[str, float, float, float]  # name, FLOPs a byte, GFLOP/s, milliseconds


@styled
def draw_roofline(points: Sequence[Point], peak: float, bandwidth: float, title: str) -> Figure:
    """Draw each layer at its intensity and rate, the larger the longer it takes.

    Args:
        points: Name, FLOPs for each byte, GFLOP/s and milliseconds of each layer.
        peak: GFLOP/s at most.
        bandwidth: GB/s at most.
        title: What is measured.
    """
    figure = new_figure(8.4, 4.4)
    axes = figure.add_subplot()
    ridge = peak / bandwidth
    left = min([point[1] for point in points] + [ridge]) / 3
    right = max([point[1] for point in points] + [ridge]) * 3
    axes.plot([left, ridge, right], [left * bandwidth, peak, peak], color=INK, linewidth=2)
    axes.axvline(ridge, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    longest = max([point[3] for point in points], default=1.0)
    for colour, bound in ((BLUE, False), (VERMILION, True)):
        some = [point for point in points if (point[1] >= ridge) == bound]
        sizes = [16 + 160 * point[3] / longest for point in some]
        label = "bound by arithmetic" if bound else "bound by memory"
        x, y = [point[1] for point in some], [point[2] for point in some]
        axes.scatter(
            x, y, s=sizes, color=colour, alpha=0.6, linewidths=0, label=label, marker="s" if bound else "o"
        )
    _name(axes, points)
    axes.set(xscale="log", yscale="log", xlim=(left, right))
    axes.set_ylim(bottom=min([point[2] for point in points] + [left * bandwidth]) / 2, top=peak * 3)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(10, subs=(1.0,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.annotate(
        f"{peak:,.0f} GFLOP/s",
        (right, peak),
        xytext=(-4, 5),
        textcoords="offset points",
        ha="right",
        color=INK,
    )
    axes.annotate(
        f"{bandwidth:,.0f} GB/s",
        (left, left * bandwidth),
        xytext=(14, 2),
        textcoords="offset points",
        color=INK,
    )
    axes.set_xlabel("FLOPs for each byte")
    axes.set_ylabel("GFLOP/s")
    axes.set_title(f"{printable(title, 40)}: a point for each layer, large where it takes long", pad=22)
    legend = axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
    for handle in legend.legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([36])
    return figure


def _name(axes: Axes, points: Sequence[Point]) -> None:
    """A number at those that take longest, and beside the figure what it stands for."""
    longest = sorted(points, key=lambda point: -point[3])[:NAMED]
    near: dict[tuple[float, float], list[str]] = {}  # those that lie together share a place
    for number, (_, x, y, _ms) in enumerate(longest, start=1):
        at = math.log10(x), math.log10(y)
        there = (o for o in near if abs(at[0] - o[0]) < APART[0] and abs(at[1] - o[1]) < APART[1])
        near.setdefault(next(there, at), []).append(str(number))
    for (x, y), numbers in near.items():
        place, words = (10**x, 10**y), ", ".join(numbers)
        axes.annotate(words, place, xytext=(10, -3), textcoords="offset points", fontsize=8, color=INK)
    lines = [
        f"{k}  {printable(name, 26)}\n    {ms:.3g} ms" for k, (name, _, _, ms) in enumerate(longest, start=1)
    ]
    axes.text(1.03, 0.98, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=7.5, linespacing=1.5)
