"""The ink of diagrams: SVG written by hand, and how wide a text is.

The picture is text: no library measures or moves anything, so the same network gives the same bytes. Text is
measured as wide as the widest usual font would have it.
"""

import re
from collections.abc import Iterable
from xml.sax.saxutils import escape

from didact.draw.style import BLUE, INK, SHOWN_FONTS, printable

FONT = SHOWN_FONTS["'DejaVu Sans'"].replace("'", "")
LABEL, SMALL, TITLE = 11.5, 10.0, 15.0  # sizes of text
LINE = 13.5  # from one line to the next
NARROW, WIDE = set("iljtfrI.,:;'|()[]! -"), set("mwMW@%")


def text_width(text: str, size: float) -> float:
    """How wide a text is at most, in fonts that are usual for screens.

    Example:
        >>> text_width("conv 5x5", 10.0) < text_width("convolution 5x5", 10.0)
        True
    """
    return size * sum(
        0.42 if c in NARROW else 1.1 if c in WIDE else 0.72 if c.isupper() else 0.65 for c in text
    )


def mixed(colour: str, share: float) -> str:
    """A colour with white: a share of it."""
    parts = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in parts)


def arrow_head(name: str, colour: str) -> str:
    """The definition of an arrow's head."""
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7.4" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0.8L8 4L0 7.2z" fill="{colour}"/></marker>'
    )


def line_of(path: str, colour: str, dashed: bool = False, headed: bool = True) -> str:
    """A line along a path; those of skips are blue, in head and tail."""
    mark = f' marker-end="url(#{"skip" if colour == BLUE else "ink"})"' if headed else ""
    dashes = ' stroke-dasharray="6 4"' if dashed else ""
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.3"{dashes}{mark}/>'


def path_of(*parts: str | float) -> str:
    """A path of letters and numbers.

    Example:
        >>> path_of("M", 0, 1.25, "H", 7)
        'M0 1.2H7'
    """
    words = [part if isinstance(part, str) else f" {short(part)}" for part in parts]
    return re.sub(r"(?<=[A-Z]) ", "", "".join(words))


def polygon_of(points: Iterable[tuple[float, float]], fill: str) -> str:
    """A polygon by its corners."""
    corners = " ".join(f"{short(x)},{short(y)}" for x, y in points)
    edge = f'stroke="{INK}" stroke-width="0.7" stroke-linejoin="round"'
    return f'<polygon points="{corners}" fill="{fill}" {edge}/>'


def rect_of(x: float, y: float, wide: float, high: float, look: str, round_: float) -> str:
    """A rectangle with round corners."""
    place = 'x="{}" y="{}" width="{}" height="{}" rx="{}"'.format(*map(short, (x, y, wide, high, round_)))
    return f"<rect {place} {look}/>"


def text_of(
    x: float, y: float, text: str, size: float, colour: str, weight: int = 400, anchor: str = "middle"
) -> str:
    """A line of text, on its base line."""
    bold = f' font-weight="{weight}"' if weight != 400 else ""
    return (
        f'<text x="{short(x)}" y="{short(y)}" font-size="{short(size)}" fill="{colour}"{bold} '
        f'text-anchor="{anchor}">{escape(printable(text))}</text>'
    )


def short(value: float) -> str:
    """A number with one decimal, without what says nothing."""
    return f"{value:.1f}".removesuffix(".0").replace("-0.0", "0")
