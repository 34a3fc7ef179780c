"""A network as the lectures draw it: volumes of maps or flat boxes, arrows, skips, branches, repeats.

boxes, arrows, repeats --> sizes --> in series and in parallel --> places, row by row --> shapes and lines
"""

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import quoteattr

from didact.draw.diagram_ink import FONT, TITLE, arrow_head, short, text_of, text_width
from didact.draw.diagram_items import ROW, Picture, make_items
from didact.draw.diagram_lines import draw_arrows, draw_frames
from didact.draw.diagram_places import add_room, find_levels, in_series, place_as_u, place_in_rows
from didact.draw.diagram_shapes import draw_item
from didact.draw.style import BLUE, INK, PAPER, printable

MARGIN = 26.0


def draw_diagram(diagram: Mapping[str, Any], width: float = ROW) -> str:
    """An SVG document of a diagram.

    Args:
        diagram: ``title``, ``boxes``, ``arrows``, ``stages``, ``volumes``, ``parameters``, as the attributes
            of ``didact.anatomy.diagram.Diagram``.
        width: Of the widest row; a longer chain goes on below.
    """
    items = make_items(diagram)
    picture = Picture(items, diagram["arrows"], diagram["stages"], diagram["volumes"], width)
    add_room(picture)
    series = in_series(picture)
    levels = find_levels(picture)
    if levels:
        for item in items:
            if item.facts["role"] == "cat":  # the two shares of its volume say it
                item.before, item.gap = (), 30.0
        place_as_u(picture, levels)
    else:
        place_in_rows(picture, series)
    for item in items:
        draw_item(picture, item)
    tops = draw_arrows(picture, bool(levels))
    draw_frames(picture, tops)
    return _document(picture, diagram)


def _document(picture: Picture, diagram: Mapping[str, Any]) -> str:
    left, top, right, bottom = picture.bounds
    count = f"{diagram['parameters']:,} parameters" if diagram["parameters"] else "no parameters"
    title = f"{printable(diagram['title'], 60)}: {count}"
    right = max(right, left + text_width(title, TITLE) * 1.08)
    left, top, right, bottom = left - MARGIN, top - MARGIN - 26, right + MARGIN, bottom + MARGIN - 10
    wide, high = right - left, bottom - top
    body = [*picture.frames, *picture.lines, *picture.shapes]
    page = [short(value) for value in (left, top, wide, high)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{page[2]}" height="{page[3]}" '
        f'viewBox="{" ".join(page)}" role="img" aria-label={quoteattr(title)} '
        f'font-family="{FONT}">'
    )
    marks = "".join(arrow_head(name, colour) for name, colour in (("ink", INK), ("skip", BLUE)))
    paper = '<rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>'.format(*page, PAPER)
    named = text_of(left + MARGIN, top + MARGIN + 8, title, TITLE, INK, 600, "start")
    return "\n".join([head, f"<defs>{marks}</defs>", paper, named, *body, "</svg>", ""])
