"""Numbers over the depth of a network: one for each head of a layer, or one for each layer of several."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from didact.draw.style import BLUE, GREEN, INK, MUTED, PURPLE, SKY, VERMILION, new_figure, printable, styled

COLOURS = (BLUE, VERMILION, GREEN, PURPLE, SKY, INK)
MARKERS = "osD^vP"
NAMED = 30  # layers that a figure has room to name


@styled
def draw_heads(heads: Mapping[str, Sequence[float]], y_label: str, level: float, level_label: str) -> Figure:
    """Draw a dot for every head over the layers, first to last.

    Args:
        heads: By layer, a number for each head.
        y_label: What the numbers are.
        level: A number to compare with, drawn as a dashed line.
        level_label: What it is.
    """
    figure = new_figure(5.8, 3.7)
    axes = figure.add_subplot()
    places = [k for k, each in enumerate(heads.values(), start=1) for _ in each]
    values = [value for each in heads.values() for value in each]
    axes.scatter(places, values, s=26, color=BLUE, alpha=0.6, linewidths=0, label="a head", zorder=3)
    _draw_level(axes, level, level_label)
    axes.set_ylim(0, 1.06 * max(level, *values))
    axes.set_xlim(0.5, len(heads) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.set_xlabel("layer")
    axes.set_ylabel(printable(y_label, 60))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2)
    return figure


@styled
def draw_over_depth(
    lines: Mapping[str, Mapping[str, float]],
    y_label: str,
    *,
    log: bool = False,
    level: float | None = None,
    level_label: str = "",
) -> Figure:
    """Draw one number for each layer, a line for each network; a single network has its layers named.

    Args:
        lines: By network, its layers first to last, each with its number.
        y_label: What the numbers are.
        log: Whether they span powers of ten.
        level: A number to compare with, drawn as a dashed line.
        level_label: What it is.
    """
    only = next(iter(lines.values())) if len(lines) == 1 else {}
    named = 0 < len(only) <= NAMED
    figure = new_figure(6.4, 4.2 if named else 3.7)
    axes = figure.add_subplot()
    for number, (label, layers) in enumerate(lines.items()):
        _draw_line(axes, printable(label, 34), list(layers.values()), number)
    if level is not None:
        _draw_level(axes, level, level_label)
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, numticks=8))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    if named:
        places = range(1, len(only) + 1)
        axes.set_xticks(places, [printable(name, 24) for name in only], rotation=45, ha="right")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.set_xlim(0.5, max(map(len, lines.values())) + 0.5)
    axes.set_xlabel("" if named else "layer")
    axes.set_ylabel(printable(y_label, 60))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=3)
    return figure


def _draw_line(axes: Axes, label: str, values: Sequence[float], number: int) -> None:
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    places = range(1, len(values) + 1)
    axes.plot(places, values, color=colour, marker=marker, markersize=4, label=label)


def _draw_level(axes: Axes, level: float, label: str) -> None:
    axes.axhline(level, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label=printable(label, 44))
