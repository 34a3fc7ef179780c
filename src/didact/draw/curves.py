"""Curves over training, raw and smoothed, and surprise over a text."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from didact.draw.style import (
    AMBER,
    BLUE,
    GREEN,
    INK,
    MUTED,
    PAPER,
    PURPLE,
    TRAIN,
    VALIDATION,
    VERMILION,
    bare,
    new_figure,
    printable,
    styled,
)

Records = Sequence[Mapping[str, Any]]

SMOOTH_POINTS = 60  # about how many independent points a smoothed curve keeps
SHORT = 20  # points of a raw curve below which smoothing would hide more than it shows
LOG_RANGE = 30.0  # a loss that falls by more than this factor is drawn on a logarithmic axis
COMPARED = ((BLUE, "-"), (VERMILION, "--"), (GREEN, "-."), (PURPLE, ":"))  # colours and dashes of runs
LINE = 76  # characters in a line of a drawn passage


@dataclass(frozen=True)
class Panel:
    """One drawing area: curves of training metrics, one validation curve, and a level to compare with."""

    title: str
    train: Mapping[str, tuple[str, str]]  # name of the metric -> (label, colour)
    val: str = ""
    level: float | None = None
    level_label: str = ""
    logarithmic: bool = False


def smooth(values: Sequence[float], factor: float) -> list[float]:
    """Exponential moving average, m_t = factor m_(t-1) + (1 - factor) x_t, divided by 1 - factor^t.

    The division takes out the pull towards the zero that the average starts from, as Adam does.

    Args:
        values: The raw curve.
        factor: Weight of the past, 0 <= factor < 1; 0 leaves the values as they are.

    Example:
        >>> smooth([1.0, 0.0], 0.5)
        [1.0, 0.3333333333333333]

    Raises:
        ValueError: A factor outside that range.
    """
    if not 0 <= factor < 1:
        raise ValueError(f"factor={factor}: choose from 0 (no smoothing) to less than 1, such as 0.9")
    smoothed, average, weight = [], 0.0, 0.0
    for value in values:
        average = factor * average + (1 - factor) * value
        weight = factor * weight + (1 - factor)  # = 1 - factor^t
        smoothed.append(average / weight)
    return smoothed


def smoothing_factor(points: int) -> float:
    """A factor for a curve of that many points; a short curve is left as it is."""
    return 0.0 if points < SHORT else round(1 - 1 / max(points / SMOOTH_POINTS, 2), 2)


@styled
def draw_learning_curves(history: Records, curve: Records, metric: str = "") -> Figure:
    """Draw what happened in training: the losses, the metric that chose the weights, and the learning rate.

    Args:
        history: A record for each epoch: ``epoch``, ``step``, ``lr``, ``train``, ``val``, ``best``.
        curve: Points of the raw training curve: ``step``, ``train``.
        metric: The validation number that chose the weights; by default the first that is no loss.
    """
    panels = _panels(history, curve, metric)
    rates = bool(history)
    figure = new_figure(max(4.9 * min(len(panels), 2), 6.4) if len(panels) < 3 else 10.4, 3.3 + 1.0 * rates)
    grid = figure.add_gridspec(1 + rates, len(panels), height_ratios=[3.1, 0.75][: 1 + rates])
    for number, panel in enumerate(panels):
        _draw_panel(figure.add_subplot(grid[0, number]), panel, history, curve)
    if rates:
        _draw_rates(figure.add_subplot(grid[1, :]), history)
    return figure


def _panels(history: Records, curve: Records, metric: str) -> list[Panel]:
    """Which panels these records call for."""
    train = [name for record in [*curve[:1], *history[:1]] for name in record["train"]]
    val = list(history[0]["val"]) if history else []
    metric = metric or next((name for name in val if name != "loss"), "")
    losses = [name for name in dict.fromkeys(train) if name == "loss" or name.startswith("loss_")]
    panels = []
    if losses == ["loss"]:
        series = {"loss": ("training", TRAIN)}
        panels.append(Panel("Loss", series, "loss" if "loss" in val else "", logarithmic=True))
    elif losses:
        colours = zip(losses, (PURPLE, GREEN, AMBER, BLUE), strict=False)
        series = {name: (name.removeprefix("loss_"), colour) for name, colour in colours}
        panels.append(Panel("Losses of the players", series))
    verdicts = {"d_real": ("D(real)", BLUE), "d_fake": ("D(generated)", VERMILION)}
    if set(verdicts) <= set(train):
        panels.append(Panel("The discriminator's verdict", verdicts, level=0.5, level_label="½: cannot tell"))
    if metric and metric != "loss":
        series = {metric: ("training", TRAIN)} if metric in train else {}
        panels.append(Panel(in_words(metric), series, metric))
    return panels or [Panel("Loss", {})]


def in_words(metric: str) -> str:
    """A metric's name as a title: ``macro_f1`` becomes ``Macro F1``."""
    known = {
        "macro_f1": "Macro F1",
        "rmse": "Root mean squared error",
        "wasserstein": "Wasserstein distance",
        "r2": "R²",
    }
    words = metric.replace("_", " ")
    return known.get(metric, words[:1].upper() + words[1:])


def _draw_panel(axes: Axes, panel: Panel, history: Records, curve: Records) -> None:
    """Draw one panel with its legend above it."""
    handles: list[Any] = []
    labels: list[str] = []
    shown: list[float] = []  # what the axis must have room for: a lone spike of the raw curve may leave it
    axes.set_title(panel.title, pad=24)
    if panel.level is not None:
        handles.append(axes.axhline(panel.level, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3))))
        labels.append(panel.level_label)
        shown.append(panel.level)
    for name, (label, colour) in panel.train.items():
        points = [point for point in curve if name in point["train"]]
        if points:
            x, y = [_epochs(point, history) for point in points], [point["train"][name] for point in points]
            strong = smooth(y, smoothing_factor(len(y)))
            (raw,) = axes.plot(x, y, color=colour, alpha=0.28, linewidth=0.9)
            (line,) = axes.plot(x, strong, color=colour)
            handles.append((raw, line))
            labels.append(label)
            shown += [*strong, *np.quantile([v for v in y if math.isfinite(v)] or [0.0], (0.01, 0.99))]
    if panel.val:
        x, y = ([r["epoch"] for r in history], [r["val"][panel.val] for r in history])
        (line,) = axes.plot(x, y, color=VALIDATION, marker="o" if len(x) <= 40 else "", markersize=3)
        handles.append(line)
        labels.append("validation")
        shown += y
        _mark_best(axes, panel, history, handles, labels)
    _scale(axes, panel, shown)
    axes.set_xlabel("epoch" if history else "update")
    axes.set_xlim(0, _end(history, curve) * 1.03)
    axes.xaxis.set_major_locator(whole_numbers(8))
    if handles:
        axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(-0.01, 1.01), ncols=len(labels))


def _epochs(point: Mapping[str, Any], history: Records) -> float:
    """How many epochs had passed at a point of the raw curve; updates, where no epoch is complete."""
    return point["step"] * history[-1]["epoch"] / history[-1]["step"] if history else point["step"]


def _end(history: Records, curve: Records) -> float:
    """The last epoch; the last point of the raw curve, where that goes on."""
    return max([r["epoch"] for r in history[-1:]] + [_epochs(p, history) for p in curve[-1:]], default=1.0)


def whole_numbers(most: int) -> MaxNLocator:
    """Ticks at round whole numbers."""
    return MaxNLocator(most, integer=True, steps=[1, 2, 5, 10])


def _mark_best(axes: Axes, panel: Panel, history: Records, handles: list[Any], labels: list[str]) -> None:
    """A ring at the epoch whose weights were kept."""
    best = next((record for record in reversed(history) if record.get("best")), None)
    if best is None:
        return
    axes.axvline(best["epoch"], color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
    handles.append(
        axes.plot(
            best["epoch"],
            best["val"][panel.val],
            linestyle="",
            marker="o",
            markersize=8,
            markerfacecolor="none",
            markeredgecolor=INK,
            markeredgewidth=1.3,
        )[0]
    )
    labels.append(f"best epoch {best['epoch']}: {best['val'][panel.val]:.4g}")


def _scale(axes: Axes, panel: Panel, shown: Sequence[float]) -> None:
    """Limits around what is shown; logarithmic where a loss falls very far."""
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return
    low, high = min(finite), max(finite)
    if panel.logarithmic and low > 0 and high / low > LOG_RANGE:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0,)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylabel("logarithmic scale")
        axes.set_ylim(low / 1.25, high * 1.25)
    else:
        margin = 0.05 * (high - low) or 0.5
        axes.set_ylim(low - margin, high + margin)


def _draw_rates(axes: Axes, history: Records) -> None:
    """The learning rate in a low panel."""
    x, y = [record["epoch"] for record in history], [record["lr"] for record in history]
    axes.set_title("Learning rate", fontsize=8.5, pad=4)
    axes.plot(x, y, color=MUTED, marker="o" if len(x) == 1 else "", markersize=3, linewidth=1.4)
    axes.fill_between(x, y, color=MUTED, alpha=0.12, linewidth=0)
    axes.set_ylim(0, max(*y, 1e-12) * 1.15)
    axes.set_yticks([0, max(y)], ["0", f"{max(y):.3g}"])
    axes.set_xlim(0, _end(history, ()) * 1.015)
    axes.xaxis.set_major_locator(whole_numbers(16))
    axes.set_xlabel("epoch")


@styled
def draw_comparison(curves: Mapping[str, Sequence[float]], metric: str) -> Figure:
    """Draw the same number of several runs, epoch by epoch, over one another.

    Args:
        curves: By the name of the run, its number after each epoch.
        metric: What the number is called.
    """
    figure = new_figure(6.4, 3.8)
    axes = figure.add_subplot()
    axes.set_title(f"{in_words(metric)} on the validation split", pad=24)
    for (name, values), (colour, dashes) in zip(curves.items(), COMPARED, strict=False):
        axes.plot(
            range(1, len(values) + 1),
            values,
            color=colour,
            linestyle=dashes,
            markersize=3,
            marker="o" if len(values) <= 40 else "",
            label=printable(name, 40),
        )
    axes.set_xlabel("epoch")
    axes.set_xlim(0, max(len(values) for values in curves.values()) * 1.03)
    axes.xaxis.set_major_locator(whole_numbers(10))
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.01), ncols=2)
    return figure


@styled
def draw_surprise(text: str, bits: Sequence[float]) -> Figure:
    """Lay a text out in lines as it is read, each character shaded by the model's surprise.

    Args:
        text: What was read, or written.
        bits: Surprise at each character; empty where nothing was measured.
    """
    cells = _lay_out(text)
    rows = max((row for row, _, _ in cells), default=0) + 1
    figure = new_figure(0.092 * LINE + 0.4, 0.19 * rows + (1.0 if bits else 0.4))
    axes = figure.add_subplot()
    bare(axes)
    axes.set(xlim=(-0.5, LINE + 0.5), ylim=(rows - 0.4, -0.6))
    colours, scale = _surprise_colours(), Normalize(0, surprise_ceiling(bits))
    for index, (row, column, character) in enumerate(cells):
        if index < len(bits) and math.isfinite(bits[index]):
            shade = colours(scale(bits[index]))
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=shade, linewidth=0))
        axes.text(
            column, row, character, ha="center", va="center_baseline", fontsize=7.5, family="DejaVu Sans Mono"
        )
    if bits:
        _surprise_key(figure, axes, colours, scale)
    return figure


def surprise_ceiling(bits: Sequence[float]) -> float:
    """The surprise that is shaded darkest: 8 bits, or less where a text never surprises so much."""
    return min(max((value for value in bits if math.isfinite(value)), default=1.0) or 1.0, 8.0)


def _surprise_colours() -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("surprise", [PAPER, "#fde3cf", "#f6a868", VERMILION])


def _surprise_key(figure: Figure, axes: Axes, colours: LinearSegmentedColormap, scale: Normalize) -> None:
    bar = figure.colorbar(
        ScalarMappable(scale, colours),
        ax=axes,
        orientation="horizontal",
        shrink=0.4,
        fraction=0.05,
        aspect=30,
        anchor=(0.0, 0.0),
    )
    bar.set_label("bits of surprise")
    bar.outline.set_visible(False)


def _lay_out(text: str) -> list[tuple[int, int, str]]:
    """The line, the column and the shown form of each character."""
    cells, row, column = [], 0, 0
    for character in text:
        shown = "↵" if character == "\n" else printable(character)
        cells.append((row, column, shown))
        column += 1
        if character == "\n" or column >= LINE:
            row, column = row + 1, 0
    return cells
