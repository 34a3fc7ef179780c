"""What the pages of the doctor show: each example is run as it stands and mended, told and drawn.

``python docs/doctor_pictures.py`` draws every picture anew and writes the reports into the pages; with codes
(``python docs/doctor_pictures.py s02 o01``) those alone.
"""

import contextlib
import io
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from didact.doctor.chart import Chart
from didact.doctor.doctor import Doctor
from didact.doctor.finding import Finding, Report
from didact.draw.diagnosis import DRAWN
from didact.draw.style import BLUE, INK, MUTED, VERMILION, new_figure, printable, styled, to_svg

DOCS = Path(__file__).parent
FAULT = re.compile(r"^( *)\S.*?  # mended: (.+)$", re.M)
BLOCK = {kind: re.compile(rf"^```{kind}\n(.*?)^```$", re.M | re.S) for kind in ("python", "text")}
WIDTH, HEIGHT, ALONE = 7.2, 2.5, 4.2  # inches; alone is a picture of the losses without one of the finding
TICKS = 4
POINTS, DOTS, BARS, EPOCHS = 100, 60, 32, 12  # of a curve, a cloud, a row of bars and validations at most


def pages() -> dict[str, Path]:
    """The page of each code that has one."""
    return {path.stem.upper(): path for path in sorted((DOCS / "doctor").glob("*.md"))}


def example(page: Path) -> str:
    """The Python of a page."""
    found = BLOCK["python"].findall(page.read_text(encoding="utf-8"))
    if len(found) != 1:
        raise ValueError(f"{page.name} has {len(found)} blocks of Python: a page shows one")
    return str(found[0])


def mended(code: str) -> str:
    """An example with each faulty line replaced by what its comment says."""
    return FAULT.sub(r"\1\2", code)


def trained(code: str, name: str) -> Doctor:
    """Run an example, which prints what it likes; its doctor, who has watched."""
    names: dict[str, Any] = {"__name__": name}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        exec(compile(code, name, "exec"), names)
    doctor: Doctor = names["doctor"]
    return doctor


def main_finding(report: Report, code: str) -> Finding:
    """The finding that a page is about."""
    for finding in report.findings:
        if finding.code == code:
            return finding
    raise ValueError(f"{code} is not found: {report.verdict}, {[f.code for f in report.findings]}")


def told(report: Report, code: str) -> str:
    """The report, shortened to that finding."""
    head = str(report).split("\n", 1)[0]
    return f"{head}\n{main_finding(report, code)}\n"


def with_report(text: str, said: str) -> str:
    """The text of a page with another report in it."""
    return BLOCK["text"].sub(lambda _: f"```text\n{said}```", text, count=1)


# Pictures


@styled
def draw(faulty: Doctor, healthy: Doctor, code: str) -> Figure:
    """The losses of both runs, and beside them what the doctor has to show."""
    picture = dict(main_finding(faulty.report(), code).picture)
    if picture.get("title") == "training loss":
        picture = {}
    figure = new_figure(WIDTH if picture else ALONE, HEIGHT)
    rows = figure.subfigures(1, 2 if picture else 1, squeeze=False)[0]
    _draw_losses(rows[0], faulty.chart, healthy.chart)
    if picture:
        _title(rows[1], picture["title"])
        DRAWN[picture["kind"]](rows[1], _thin(picture))
        _mark(rows[1].axes[0], picture)
    for axes in figure.axes:
        _thin_ticks(axes)
    return figure


def _title(row: SubFigure, text: str) -> None:
    row.suptitle(printable(text, 48), x=0.02, ha="left", fontsize=9.5, color=INK)


def _draw_losses(row: SubFigure, faulty: Chart, healthy: Chart) -> None:
    """A curve for the training of each run, and dots for its validation where there is one."""
    axes, everything, dots = row.subplots(), [], False
    for chart, colour, name in ((faulty, VERMILION, "as it stands"), (healthy, BLUE, "mended")):
        curve = _smooth(chart.losses)
        known = bool(np.isfinite(curve[:, 1]).any())
        axes.plot(*curve.T, color=colour, linewidth=1.3, label=name if known else f"{name}: not a number")
        epochs = chart.epochs[:: math.ceil(len(chart.epochs) / EPOCHS) or 1]
        validated = np.array([(epoch.step, epoch.val_loss) for epoch in epochs]).reshape(-1, 2)
        axes.plot(*validated.T, color=colour, marker="o", markersize=3, linewidth=0)
        dots = dots or bool(np.isfinite(validated[:, 1]).any())
        everything.append(np.append(curve[:, 1], validated[:, 1]))
    _title(row, "training loss" + (", and validation as dots" if dots else ""))
    _scale(axes, np.concatenate(everything))
    axes.set_xlabel("update")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2, labelcolor=MUTED)


def _scale(axes: Axes, losses: np.ndarray) -> None:
    """Logarithmic where they differ by more than a hundred."""
    losses = losses[np.isfinite(losses)]
    if len(losses) and losses.min() > 0 and losses.max() > 100 * losses.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _mark(axes: Axes, picture: Mapping[str, Any]) -> None:
    """Where the healthy would lie, if there is a place that says so."""
    if picture["title"] == "size of the first weights":
        axes.axvline(1, color=INK, linewidth=1, linestyle=":")
        sizes = [*picture["values"].values(), 1]
        axes.set_xlim(max(min(sizes), 1e-4) / 3, max(sizes) * 3)
    if picture["title"].startswith("rows that fire"):
        axes.set_ylim(0, 1)


def _smooth(series: Sequence[tuple[int, float]]) -> np.ndarray:
    """Means of as many neighbours as leave ``POINTS`` points, (P, 2)."""
    width = max(1, math.ceil(len(series) / POINTS))
    whole = np.array(series[: len(series) // width * width], dtype=float)
    return whole.reshape(-1, width, 2).mean(1)


def _thin(picture: dict[str, object]) -> dict[str, object]:
    """The same with fewer marks where there are many."""
    for name, most in (("points", POINTS), ("x", DOTS), ("y", DOTS)):
        marks = picture.get(name)
        if isinstance(marks, list):
            picture[name] = marks[:: math.ceil(len(marks) / most)]
    values = picture.get("values")
    if isinstance(values, dict):
        picture["values"] = dict(list(values.items())[:BARS])
    return picture


def _thin_ticks(axes: Axes) -> None:
    """Few numbers along each axis, and no marks between them: they are most of a small picture."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        if isinstance(axis.get_major_locator(), MaxNLocator):
            axis.set_major_locator(MaxNLocator(TICKS, steps=(1, 2, 5, 10)))
        if isinstance(axis.get_major_locator(), LogLocator):
            axis.set_major_locator(LogLocator(numticks=TICKS))


def slim(svg: str) -> str:
    """Without the blanks at the beginning of lines."""
    return re.sub(r"\n +", "\n", svg)


def make(code: str, page: Path) -> None:
    """Run a page's example both ways, draw its picture, and write its report into it."""
    text = example(page)
    faulty, healthy = trained(text, code), trained(mended(text), code)
    picture = DOCS / "images" / "doctor" / f"{code.lower()}.svg"
    picture.parent.mkdir(exist_ok=True)
    picture.write_text(slim(to_svg(draw(faulty, healthy, code))), encoding="utf-8")
    said = told(faulty.report(), code)
    page.write_text(with_report(page.read_text(encoding="utf-8"), said), encoding="utf-8")
    print(f"{code}: {faulty.report().codes()}, mended {healthy.report().verdict}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    wanted = [word.upper() for word in sys.argv[1:]]
    for code, page in pages().items():
        if not wanted or code in wanted:
            make(code, page)
