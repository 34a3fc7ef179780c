"""The shapes of a diagram: volumes in perspective, bars, flat boxes, signs."""

from xml.sax.saxutils import escape

from didact.draw.diagram_ink import LABEL, LINE, SMALL, mixed, polygon_of, rect_of, short, text_of
from didact.draw.diagram_items import SIGNS, Item, Picture, with_repeat, written
from didact.draw.style import AMBER, BLUE, GREEN, INK, MUTED, PAPER, PURPLE, SKY, VERMILION, printable

COLOURS = {
    "input": "#c9d2dc",
    "conv": BLUE,
    "up-conv": GREEN,
    "up": GREEN,
    "pool": VERMILION,
    "linear": PURPLE,
    "embedding": AMBER,
    "recurrent": VERMILION,
    "attention": AMBER,
    "norm": SKY,
    "block": BLUE,
    "cat": SKY,
    "activation": GREEN,
}
COPIED = PAPER  # the share of a volume that was copied


def draw_item(picture: Picture, item: Item) -> None:
    """Draw the shape of a box, what a pointer over it is told, and the text below."""
    shape_of = {"volume": _block_shape, "bar": _bar_shape, "flat": _flat_shape, "sign": _sign_shape}[
        item.form
    ]
    facts = item.facts
    said = [facts["name"], facts["kind"], with_repeat(facts), facts["detail"], facts["notes"]]
    said += [written(facts["shape"]), f"{facts['parameters']:,} parameters" if facts["parameters"] else ""]
    title = f"<title>{escape(printable(', '.join(filter(None, said))))}</title>"
    picture.shapes.append(f"<g>{title}{''.join(shape_of(item))}</g>")
    middle = item.middle
    for k, line in enumerate(item.below):
        y = item.y + item.high / 2 + item.lean / 2 + 14 + LINE * k
        picture.shapes.append(text_of(middle, y, line, SMALL, INK if k == 0 else MUTED))
    left, right = middle - item.cell / 2, middle + item.cell / 2
    picture.cover(left, item.y - item.up, right, item.y + item.down)


def _block_shape(item: Item) -> list[str]:
    """A volume in perspective; of joined maps the copied share is white, of repeats each has a slice."""
    x, y, wide, high, lean = item.x, item.y - item.high / 2 + item.lean / 2, item.wide, item.high, item.lean
    colour = _colour(item)
    slices = min(item.facts["repeat"], 4)
    parts = [(x + wide * k / slices, wide / slices * (0.8 if slices > 1 else 1)) for k in range(slices)]
    drawn: list[str] = []
    for left, thick in reversed(parts):
        right = left + thick
        front = [(left, y), (right, y), (right, y + high), (left, y + high)]
        lid = [(left, y), (left + lean, y - lean), (right + lean, y - lean), (right, y)]
        side = [(right, y), (right + lean, y - lean), (right + lean, y + high - lean), (right, y + high)]
        drawn += [polygon_of(side, mixed(colour, 0.42)), polygon_of(lid, mixed(colour, 0.2))]
        drawn.append(polygon_of(front, mixed(colour, 0.68)))
    if item.facts["role"] == "cat":
        half = x + wide / 2
        drawn.append(polygon_of([(x, y), (half, y), (half, y + high), (x, y + high)], COPIED))
        drawn.append(polygon_of([(x, y), (x + lean, y - lean), (half + lean, y - lean), (half, y)], COPIED))
    return drawn


def _bar_shape(item: Item) -> list[str]:
    return [rect_of(item.x, item.y - item.high / 2, item.wide, item.high, _look(item, 0.55), 2)]


def _flat_shape(item: Item) -> list[str]:
    left, top, middle = item.x, item.y - item.high / 2, item.x + item.wide / 2
    behind = [
        rect_of(left + 3 * k, top - 3 * k, item.wide, item.high, _look(item, 0.2), 5)
        for k in range(min(item.facts["repeat"], 3) - 1, 0, -1)
    ]
    drawn = [*behind, rect_of(left, top, item.wide, item.high, _look(item, 0.22), 5)]
    for k, line in enumerate(item.before):
        size, weight = (LABEL, 600) if k == item.main else (SMALL, 400)
        drawn.append(text_of(middle, top + 20 + LINE * k, line, size, INK, weight))
    return drawn


def _sign_shape(item: Item) -> list[str]:
    x, y = item.x + item.wide / 2, item.y
    sign = SIGNS[item.facts["role"]]
    look = f'r="11" fill="{PAPER}" stroke="{INK}" stroke-width="1.2"'
    circle = f'<circle cx="{short(x)}" cy="{short(y)}" {look}/>'
    return [circle, text_of(x, y + 5.5, sign, 16, INK, 600)]


def _look(item: Item, share: float) -> str:
    return f'fill="{mixed(_colour(item), share)}" stroke="{INK}" stroke-width="0.8"'


def _colour(item: Item) -> str:
    return COLOURS.get(item.facts["role"], SKY)
