"""Grids of small images: filters, feature maps."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from didact.draw.style import BLUE, INK, MUTED, PAPER, VERMILION, bare, new_figure, printable, styled

Scale = Literal["common", "each"]
Colours = Literal["signed", "light"]

GAP = 0.08  # of a tile's side, at least a pixel
ROOM = 0.14  # below a tile for its name, of its height


@styled
def draw_tiles(
    tiles: np.ndarray,
    title: str = "",
    *,
    columns: int = 0,
    scale: Scale = "common",
    colours: Colours = "signed",
    names: Sequence[str] = (),
) -> Figure:
    """Draw small images side by side.

    Args:
        tiles: (N, H, W).
        title: What stands above.
        columns: Images in a row; 0 makes a wide rectangle.
        scale: ``common`` gives equal numbers equal shades all over, ``each`` stretches every image over all
            shades, so that a faint one can be seen.
        colours: ``signed`` has blue below zero and red above; ``light`` goes from dark to light.
        names: What stands below each image.

    Raises:
        ValueError: Not (N, H, W), or no image.
    """
    images = np.asarray(tiles, dtype=float)
    if images.ndim != 3 or not images.size:
        raise ValueError(f"tiles of shape {images.shape}: give images as (number, height, width)")
    count, height, width = images.shape
    columns = min(columns or math.ceil(math.sqrt(2 * count)), count)
    step_x, step_y = width + _gap(width), height + _gap(height) + (ROOM * height if names else 0)
    wide, high = columns * step_x - _gap(width), -(-count // columns) * step_y
    figure = _figure_for(wide, high, columns, len(names) > 0, scale == "common")
    axes = figure.add_subplot()
    bare(axes)
    shades, norm, shown = _shaded(images, scale, colours)
    for k, image in enumerate(shown):
        top, left = k // columns * step_y - 0.5, k % columns * step_x - 0.5
        axes.imshow(shades(norm(image)), extent=(left, left + width, top + height, top), interpolation="none")
        if k < len(names):
            _write(axes, left + width / 2, top + height, names[k])
    axes.set(xlim=(-0.5, wide - 0.5), ylim=(high - 0.5, -0.5), aspect="equal")
    axes.set_title(printable(title))
    if scale == "common":
        _key(figure, axes, shades, norm)
    else:
        axes.set_xlabel("each image on its own scale", color=MUTED, loc="left")
    return figure


def _figure_for(wide: float, high: float, columns: int, named: bool, keyed: bool) -> Figure:
    """A figure in which so many pixels by so many have the room they need, beside a key and below a title."""
    inches = columns * min(1.6 if named else 0.66, 9.6 / columns)
    return new_figure(max(inches + 0.8 * keyed, 3.2), inches * high / wide + 0.6)


def _write(axes: Axes, x: float, y: float, name: str) -> None:
    axes.text(x, y, printable(name, 24), ha="center", va="top", fontsize=8, color=INK)


def _gap(side: int) -> float:
    return max(1.0, GAP * side)


def _shaded(images: np.ndarray, scale: Scale, colours: Colours) -> tuple[Colormap, Normalize, np.ndarray]:
    """Colours, the scale they stand for, and the images on that scale; what is not finite counts as 0."""
    images = np.nan_to_num(images, nan=0.0, posinf=0.0, neginf=0.0)
    if scale == "each":
        images = np.stack([_stretched(image, colours) for image in images])
    if colours == "signed":
        most = float(np.abs(images).max()) or 1.0
        return _signed(), Normalize(-most, most), images
    low, high = float(images.min()), float(images.max())
    return _light(), Normalize(low, high if high > low else low + 1.0), images


def _stretched(image: np.ndarray, colours: Colours) -> np.ndarray:
    """An image over all shades; one without contrast stays at the bottom, or where signed at zero."""
    if colours == "signed":
        return image / (float(np.abs(image).max()) or 1.0)
    low, high = float(image.min()), float(image.max())
    return (image - low) / ((high - low) or 1.0)


def _signed() -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("signed", [BLUE, "#a9cfe8", PAPER, "#f6c3a0", VERMILION])


def _light() -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("light", ["#10161d", "#3f4c5a", "#93a0ad", PAPER])


def _key(figure: Figure, axes: Axes, shades: Colormap, norm: Normalize) -> None:
    bar = figure.colorbar(
        ScalarMappable(norm, shades), ax=axes, shrink=0.6, fraction=0.03, aspect=18, pad=0.02
    )
    bar.outline.set_visible(False)
