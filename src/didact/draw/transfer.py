"""The map of transfer: how much data, how similar the tasks, and what to train again."""

from collections.abc import Mapping
from textwrap import fill

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from didact.draw.style import AMBER, BLUE, GREEN, INK, PURPLE, VERMILION, new_figure, styled

LEAST, MOST = 1.0, 250_000.0  # examples of a class that the map reaches
COLOURS = {(True, False): PURPLE, (True, True): BLUE, (False, True): GREEN, (False, False): AMBER}


@styled
def draw_transfer_map(
    per_class: float,
    similarity: float,
    advice: Mapping[tuple[bool, bool], str],
    many: float,
    similar: float,
) -> Figure:
    """Draw the four cases and the one at hand.

    Args:
        per_class: Examples of a class.
        similarity: From 0 (the old trunk serves as well as guessing) to 1 (perfectly).
        advice: What to do, by (much data, similar).
        many: Where much data begins.
        similar: Where similarity begins.
    """
    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot()
    bounds = {False: (LEAST, many), True: (many, MOST)}, {False: (-0.1, similar), True: (similar, 1.05)}
    for (much, alike), words in advice.items():
        (left, right), (low, high) = bounds[1][alike], bounds[0][much]
        axes.fill_between([left, right], low, high, color=COLOURS[much, alike], alpha=0.14, linewidth=0)
        axes.text((left + right) / 2, (low * high) ** 0.5, fill(words, 26), ha="center", va="center")
    place = min(max(similarity, -0.08), 1.03), min(max(per_class, LEAST * 1.2), MOST / 1.2)
    axes.plot(*place, "o", color=VERMILION, markersize=10, markeredgecolor=INK)
    axes.annotate("your data", place, xytext=(0, 11), textcoords="offset points", weight="bold", ha="center")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.set_xlim(-0.1, 1.05)
    axes.set_ylim(LEAST, MOST)
    axes.grid(False)
    axes.set_xlabel("similarity: how well the old trunk serves, from guessing (0) to perfect (1)")
    axes.set_ylabel("training examples of a class")
    axes.set_title("What to train again")
    return figure
