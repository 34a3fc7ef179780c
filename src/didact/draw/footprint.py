"""What one output sees of an image: the heat of its gradient, what it can see, and the circle that counts."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from didact.draw.style import BLUE, INK, MUTED, PAPER, VERMILION, new_figure, printable, styled

ROOM = 0.04  # around image and square, of the longer


@styled
def draw_footprint(
    heat: np.ndarray,
    middle: Sequence[float],
    square: Sequence[tuple[int, int] | None],
    radius: float,
    share: float = 0.95,
    layer: str = "",
) -> Figure:
    """Draw the footprint of an output on the plane of the image.

    Args:
        heat: (N,), (H, W) or (D, H, W); of a volume the sum over its depth is drawn.
        middle: The pixel that the field is centred at, one number an axis.
        square: The first and last pixel that can be seen along each axis, outside of the image too.
        radius: Of the circle around the middle that holds ``share`` of the heat.
        share: How much that is.
        layer: Whose output it is.

    Raises:
        ValueError: Not one, two or three axes.
    """
    heat = np.nan_to_num(np.asarray(heat, dtype=float))
    if heat.ndim not in (1, 2, 3) or not heat.size:
        raise ValueError(f"heat of shape {heat.shape}: give (N,), (H, W) or (D, H, W)")
    if heat.ndim == 3:
        heat, middle, square = heat.sum(0), middle[1:], square[1:]
    title = f"What an output of {layer or 'the network'} sees"
    size = " x ".join(str(high - low + 1) for low, high in (each or (0, -1) for each in square))
    names = f"can be seen: {size}", f"{share:.0%} of the gradient: radius {radius:.1f}"
    if heat.ndim == 1:
        return _line(heat, middle[0], square[0], radius, title, names)
    return _plane(heat, middle, square, radius, title, names)


def _plane(
    heat: np.ndarray,
    middle: Sequence[float],
    square: Sequence[tuple[int, int] | None],
    radius: float,
    title: str,
    names: tuple[str, str],
) -> Figure:
    figure = new_figure(5.2, 5.4)
    axes = figure.add_subplot()
    height, width = heat.shape
    shades = LinearSegmentedColormap.from_list("heat", [PAPER, "#a9cfe8", BLUE, "#06243a"])
    # a bell is all dark but for its middle; the root of it shows how far it reaches
    axes.imshow(np.sqrt(heat), cmap=shades, vmin=0.0, interpolation="none")
    axes.add_patch(
        Rectangle((-0.5, -0.5), width, height, fill=False, edgecolor=MUTED, linewidth=0.8, label="the image")
    )
    (top, bottom), (left, right) = (each or (0, -1) for each in square)
    outline = Rectangle(
        (left - 0.5, top - 0.5),
        right - left + 1,
        bottom - top + 1,
        fill=False,
        edgecolor=INK,
        linewidth=1.4,
        label=names[0],
    )
    axes.add_patch(outline)
    around = Circle(
        (middle[1], middle[0]),
        radius,
        fill=False,
        edgecolor=VERMILION,
        linewidth=1.6,
        linestyle="--",
        label=names[1],
    )
    axes.add_patch(around)
    _frame(
        axes,
        (min(-0.5, left - 0.5), max(width, right + 1) - 0.5),
        (min(-0.5, top - 0.5), max(height, bottom + 1) - 0.5),
    )
    axes.set_title(printable(title, 60))
    axes.set_xlabel("pixel; shade: root of the mean gradient")
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, -0.1))
    return figure


def _frame(axes: Axes, across: tuple[float, float], down: tuple[float, float]) -> None:
    """Room for the image and for a square that is larger."""
    gap = ROOM * max(across[1] - across[0], down[1] - down[0])
    axes.set(xlim=(across[0] - gap, across[1] + gap), ylim=(down[1] + gap, down[0] - gap), aspect="equal")
    axes.grid(False)


def _line(
    heat: np.ndarray,
    middle: float,
    reach: tuple[int, int] | None,
    radius: float,
    title: str,
    names: tuple[str, str],
) -> Figure:
    figure = new_figure(6.4, 3.0)
    axes = figure.add_subplot()
    axes.bar(np.arange(len(heat)), heat, width=0.9, color=BLUE)
    low, high = reach or (0, -1)
    axes.axvspan(low - 0.5, high + 0.5, fill=False, edgecolor=INK, linewidth=1.4, label=names[0])
    for k, side in enumerate((middle - radius - 0.5, middle + radius + 0.5)):
        axes.axvline(side, color=VERMILION, linestyle="--", label=names[1] if k == 0 else None)
    axes.set_xlim(min(-0.5, low - 0.5) - 0.5, max(len(heat), high + 1))
    axes.set_ylim(0, float(heat.max()) * 1.08 or 1.0)
    axes.set_title(printable(title, 60))
    axes.set_xlabel("place")
    axes.set_ylabel("mean gradient")
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, -0.2), ncols=2)
    return figure
