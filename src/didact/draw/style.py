"""The one style of every figure: light, quiet, readable by the colour-blind, and the same bytes each time.

Nothing here touches pyplot or leaves matplotlib's settings changed: ``styled`` lends the style to a function
while it draws, and ``to_svg`` and ``to_png`` lend it again while they render.
"""

import functools
import re
import threading
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart by every kind of colour vision, and in grey.
BLUE, VERMILION, GREEN, PURPLE, SKY, AMBER = "#0072b2", "#d55e00", "#009e73", "#a8518a", "#56b4e9", "#e69f00"
INK, MUTED, GRID, PAPER = "#1c2733", "#5d6978", "#e4e9ef", "#ffffff"

TRAIN, VALIDATION = BLUE, VERMILION

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#b8c2cd",
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.facecolor": PAPER,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.borderaxespad": 0.0,
    "legend.borderpad": 0.3,
    "legend.columnspacing": 1.3,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.handletextpad": 0.5,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$5-$10"
    "xtick.color": "#b8c2cd",
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.color": "#b8c2cd",
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 8,
    "ytick.major.size": 3,
    "svg.fonttype": "none",
    "svg.hashsalt": "didact",
    "path.simplify": True,
}

# Text is measured with the fonts that come with matplotlib, which are wide, and shown in the reader's own.
SHOWN_FONTS = {
    "'DejaVu Sans'": "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif",
    "'DejaVu Sans Mono'": "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace",
}
PNG_DPI = 160

_P = ParamSpec("_P")
_R = TypeVar("_R")
_LENDING = threading.RLock()  # matplotlib's settings belong to the whole process


@contextmanager
def _style() -> Iterator[None]:
    """Lend the style; a character that the measuring font lacks is no reason to warn."""
    with _LENDING, matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def styled(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a function that draws, so that everything it makes is born in the style."""

    @functools.wraps(draw)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _style():
            return draw(*args, **kwargs)

    return wrapper


@styled
def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches, which lays out its panels by itself."""
    return Figure(figsize=(width, height), layout="constrained")


def bare(axes: Axes) -> None:
    """Take ticks, grid and frame away, where the picture says it all."""
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def to_svg(figure: Figure) -> str:
    """A figure as an SVG document: the same figure, the same bytes."""
    buffer = BytesIO()
    with _style():
        _settle(figure)
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        FigureCanvasSVG(figure).print_svg(buffer, metadata=metadata)
    svg = re.sub(r' d="[^"]*"', lambda path: _shortened(path[0]), buffer.getvalue().decode())
    for measured, shown in SHOWN_FONTS.items():
        svg = re.sub(f'(style="font: [^\'"]*){measured}', rf"\g<1>{shown}", svg)
    return svg


def to_png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    buffer = BytesIO()
    with _style():
        _settle(figure)
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _settle(figure: Figure) -> None:
    """Lay the figure out once and for all; matplotlib would move things a little at every drawing."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def printable(text: str, limit: int = 0) -> str:
    """Text that XML can hold on one line, cut to ``limit`` characters where there is one."""
    text = "".join(_printable(character) for character in text)
    return text if not limit or len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _printable(character: str) -> str:
    if character in "\t\n\r":
        return " "
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in ("Cc", "Cs", "Cn") else character


def _shortened(path: str) -> str:
    """A path with two decimals: a hundredth of a point is finer than any screen."""
    return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), path)
