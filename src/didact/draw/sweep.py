"""What an argument of a network costs, and what one network costs against another."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from didact.draw.style import AMBER, BLUE, GREEN, INK, MUTED, VERMILION, new_figure, printable, styled

COLOURS = (BLUE, VERMILION, GREEN, AMBER)


@styled
def draw_sweep(values: Sequence[Any], lines: Mapping[str, Sequence[float]], argument: str) -> Figure:
    """Draw a panel for each cost, over the values of the argument.

    Args:
        values: Numbers, or names, which stand side by side.
        lines: By the name of the cost, a number for each value.
        argument: What the values are of.
    """
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    places = list(values) if numeric else list(range(len(values)))
    figure = new_figure(3.2 * len(lines), 3.0)
    panels = figure.subplots(1, len(lines), squeeze=False)[0]
    for axes, (name, numbers), colour in zip(panels, lines.items(), COLOURS, strict=False):
        axes.plot(places, numbers, color=colour, marker="o", markersize=4)
        axes.set_ylim(bottom=0)
        axes.set_xticks(places, [printable(str(value), 12) for value in values])
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_title(name)
        axes.set_xlabel(printable(argument, 30))
    return figure


@styled
def draw_ratios(ratios: Sequence[tuple[str, float]], first: str, second: str) -> Figure:
    """Draw bars: how much of each cost of the first network the second has.

    Args:
        ratios: What, and the second for each of the first.
        first: The name of the one.
        second: The name of the other.
    """
    figure = new_figure(6.4, 1.2 + 0.36 * len(ratios))
    axes = figure.add_subplot()
    places = range(len(ratios))
    values = [ratio for _, ratio in ratios]
    axes.barh(places, values, color=[BLUE if value <= 1 else VERMILION for value in values], height=0.6)
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_yticks(places, [what for what, _ in ratios])
    axes.invert_yaxis()
    for place, value in zip(places, values, strict=True):
        axes.annotate(f"{value:.3g}", (value, place), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, max([*values, 1.0]) * 1.15)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"for each of {printable(first, 30)}", color=MUTED)
    axes.set_title(f"{printable(second, 30)} against {printable(first, 30)}")
    return figure
