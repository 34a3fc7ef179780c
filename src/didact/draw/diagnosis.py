"""What the doctor found, to look at: bars, curves, a cloud of points, or two rows that are the same."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from didact.draw.style import BLUE, GREEN, INK, MUTED, PURPLE, VERMILION, new_figure, printable, styled

COLOURS = (BLUE, VERMILION, GREEN, PURPLE)
WIDTH, HEIGHT = 7.2, 2.7  # inches of a panel
FEW = 6  # bars that a panel has room for at least
NAMED = 24  # bars that have room for their names
LONG = 5  # characters of a name beyond which bars lie on their side
FAINT = 60  # points of a curve from which on its running mean is drawn over it
LOSSES = ("training loss", "loss by epoch")
LOG_RANGE = 30.0  # a loss that spans more than this factor is drawn on a logarithmic axis
ALONG = {"loss by epoch": "epoch", "what the loss hears of each place": "place"}  # else updates


@styled
def draw_diagnosis(report: Mapping[str, Any]) -> Figure:
    """Draw the picture of each finding that has one, one below the other.

    Args:
        report: ``Report.to_dict()``, or a run's ``diagnosis``.

    Raises:
        ValueError: No finding has a picture.
    """
    shown = [finding for finding in report["findings"] if finding["picture"]]
    if not shown:
        raise ValueError(f"{report['verdict']}: no finding has a picture, so there is nothing to draw")
    figure = new_figure(WIDTH, sum(map(_height, shown)))
    rows = figure.subfigures(len(shown), 1, squeeze=False, height_ratios=list(map(_height, shown)))[:, 0]
    for row, finding in zip(rows, shown, strict=True):
        heading = f"{finding['code']}  {finding['cause']}: {finding['picture']['title']}"
        row.suptitle(printable(heading, 100), x=0.01, ha="left", fontsize=10, color=INK)
        _draw(row, finding["picture"])
    return figure


@styled
def draw_finding(finding: Mapping[str, Any]) -> Figure:
    """Draw the picture of one finding.

    Args:
        finding: As in ``Report.to_dict()["findings"]``, with a picture.
    """
    figure = new_figure(WIDTH, _height(finding))
    row = figure.subfigures(1, 1, squeeze=False)[0, 0]
    row.suptitle(printable(finding["picture"]["title"], 100), x=0.01, ha="left", fontsize=10, color=INK)
    _draw(row, finding["picture"])
    return figure


def _height(finding: Mapping[str, Any]) -> float:
    picture = finding["picture"]
    if picture["kind"] == "bars" and _lying(list(picture["values"])):
        return 1.2 + 0.2 * len(picture["values"])
    return HEIGHT


def _draw(row: SubFigure, picture: Mapping[str, Any]) -> None:
    DRAWN[picture["kind"]](row, picture)


def _bars(row: SubFigure, picture: Mapping[str, Any]) -> None:
    """A bar for each name; on their side where the names are long."""
    axes = row.subplots()
    names, heights = list(picture["values"]), _numbers(picture["values"].values())
    places = np.arange(len(names))
    log = bool(picture.get("log"))
    if _lying(names):
        axes.barh(places, heights, color=BLUE, height=0.7)
        _logarithmic(axes, "x", heights, log)
        axes.set_yticks(places, [printable(name, 34) for name in names])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        return
    axes.bar(places, heights, color=BLUE, width=0.8)
    _logarithmic(axes, "y", heights, log)
    axes.set_xlim(-0.6, max(len(names), FEW) - 0.4)
    if len(names) <= NAMED:
        axes.set_xticks(places, [printable(name, 14) for name in names])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="x", visible=False)


def _lying(names: Sequence[str]) -> bool:
    return len(names) <= NAMED and max(map(len, names), default=0) > LONG


def _curve(row: SubFigure, picture: Mapping[str, Any]) -> None:
    """One curve; where it is long, faint, with its running mean over it."""
    axes = row.subplots()
    x, y = _points(picture["points"])
    if len(y) >= FAINT and picture["title"] == LOSSES[0]:
        width = len(y) // 30
        axes.plot(x, y, color=BLUE, linewidth=0.9, alpha=0.35)
        mean = np.convolve(y, np.full(width, 1 / width), "valid")
        axes.plot(x[width - 1 :], mean, color=BLUE)
    else:
        axes.plot(x, y, color=BLUE, marker="o" if len(y) < 15 else "", markersize=3.5)
    _finish(axes, picture, y)


def _curves(row: SubFigure, picture: Mapping[str, Any]) -> None:
    """Several curves with their names."""
    axes = row.subplots()
    everything = np.empty(0)
    for colour, (name, points) in zip(COLOURS, picture["curves"].items(), strict=False):
        x, y = _points(points)
        axes.plot(
            x, y, color=colour, marker="o" if len(y) < 15 else "", markersize=3.5, label=printable(name, 30)
        )
        everything = np.append(everything, y)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.01), ncols=len(picture["curves"]), labelcolor=MUTED)
    _finish(axes, picture, everything)


def _scatter(row: SubFigure, picture: Mapping[str, Any]) -> None:
    """A point for each pair of numbers."""
    axes = row.subplots()
    x, y = _numbers(picture["x"]), _numbers(picture["y"])
    axes.scatter(x, y, s=9, alpha=0.5, color=BLUE, linewidths=0)
    axes.set_xlabel(printable(picture.get("x name", "feature"), 40))
    axes.set_ylabel(printable(picture.get("y name", "target"), 40))


def _pair(row: SubFigure, picture: Mapping[str, Any]) -> None:
    """Two rows that are the same: as images where they are images, else one above the other as lines."""
    names = picture.get("names", ("one", "the other"))
    rows = [np.asarray(one, dtype=float) for one in picture["rows"]]
    image = rows[0].ndim == 2 or (rows[0].ndim == 3 and len(rows[0]) in (1, 3))
    rows = [_lit(row) if image else row.reshape(-1) for row in rows]
    panels = row.subplots(1, 2) if image else row.subplots(2, 1, sharex=True)
    for axes, name, one, colour in zip(panels, names, rows, COLOURS, strict=False):
        axes.set_title(printable(str(name), 40), fontsize=8.5, fontweight="normal")
        if image:
            axes.imshow(one, cmap="gray", interpolation="nearest")
            axes.set_axis_off()
        else:
            axes.stairs(one, color=colour, linewidth=1.4, baseline=None)
            axes.set_xlabel("feature" if axes is panels[-1] else "")


def _lit(row: np.ndarray) -> np.ndarray:
    """An image (H, W) or (H, W, 3) between 0 and 1, of one (H, W) or (C, H, W) in any unit."""
    shown = row if row.ndim == 2 else row[0] if len(row) == 1 else row.transpose(1, 2, 0)
    return (shown - shown.min()) / (np.ptp(shown) or 1.0)


def _finish(axes: Axes, picture: Mapping[str, Any], y: np.ndarray) -> None:
    """Names of the axes, and a logarithmic one where it is asked for and can be."""
    axes.set_xlabel(ALONG.get(picture["title"], "update"))
    positive = y[np.isfinite(y) & (y > 0)]
    wide = picture["title"] in LOSSES and len(positive) == len(y) > 0 and y.max() > LOG_RANGE * y.min()
    _logarithmic(axes, "y", y, bool(picture.get("log")) or bool(wide))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _logarithmic(axes: Axes, name: str, values: np.ndarray, wanted: bool) -> None:
    """Powers of ten along an axis, as 1e-05, where that is wanted and can be."""
    positive = values[np.isfinite(values) & (values > 0)]
    if not wanted or not len(positive):
        return
    (axes.set_xscale if name == "x" else axes.set_yscale)("log", nonpositive="clip")
    (axes.set_xlim if name == "x" else axes.set_ylim)(positive.min() / 2, positive.max() * 2)
    axis = axes.xaxis if name == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _points(points: Sequence[Sequence[Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs as two arrays (N,); what is not finite leaves a gap."""
    both = _numbers([number for point in points for number in point]).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _numbers(values: Any) -> np.ndarray:
    """An array (N,), with NaN for what JSON has no number for."""
    return np.array([np.nan if value is None else value for value in values], dtype=float)


DRAWN = {"bars": _bars, "curve": _curve, "curves": _curves, "scatter": _scatter, "pair": _pair}
