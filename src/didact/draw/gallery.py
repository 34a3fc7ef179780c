"""A wall of small pictures, or of short texts, each with a caption."""

import textwrap
from base64 import b64decode
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from didact.draw.style import INK, MUTED, bare, new_figure, printable, styled

COLUMNS_OF_PICTURES, COLUMNS_OF_TEXTS = 6, 3


@styled
def draw_gallery(pictures: Sequence[str], captions: Sequence[str], texts: Sequence[str]) -> Figure:
    """Draw each picture, or where there is none its text, above its caption.

    Args:
        pictures: Images as data URIs; an empty string where there is none.
        captions: What stands below each.
        texts: What is shown in place of a missing picture.
    """
    if not captions:
        return _nothing()
    wide = not any(pictures)
    columns = min(COLUMNS_OF_TEXTS if wide else COLUMNS_OF_PICTURES, len(captions))
    rows = -(-len(captions) // columns)
    figure = new_figure(columns * (3.2 if wide else 1.6), rows * (1.3 if wide else 2.0))
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in grid:
        bare(axes)
    for axes, picture, caption, text in zip(grid, pictures, captions, texts, strict=False):
        if picture:
            axes.imshow(_decode(picture), interpolation="none")
        else:
            _write(axes, text, 44 if wide else 22)
        lines = [printable(line, 44 if wide else 22) for line in caption.split("\n")]
        axes.set_xlabel(
            "\n".join(lines),
            fontsize=8,
            color=INK,
            loc="left" if wide else "center",
            multialignment="left" if wide else "center",
        )
    return figure


def _nothing() -> Figure:
    figure = new_figure(4, 1)
    axes = figure.add_subplot()
    bare(axes)
    axes.text(0.5, 0.5, "nothing to show", ha="center", va="center", color=MUTED)
    return figure


def _write(axes: Axes, text: str, width: int) -> None:
    lines = textwrap.wrap(printable(text), width, max_lines=6, placeholder=" …")
    axes.text(0, 1, "\n".join(lines), va="top", fontsize=8, color=MUTED, transform=axes.transAxes)


def _decode(uri: str) -> np.ndarray:
    """The pixels (H, W, 3) of an image in a data URI."""
    with Image.open(BytesIO(b64decode(uri.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB"))
