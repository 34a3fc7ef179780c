"""The lines of a diagram: arrows, arcs over what a skip leaps, loops, and frames around what repeats."""

from collections.abc import Mapping, Sequence

from didact.draw.diagram_ink import LABEL, LINE, SMALL, line_of, path_of, rect_of, short, text_of, text_width
from didact.draw.diagram_items import Item, Picture
from didact.draw.style import BLUE, INK, MUTED, printable


def draw_arrows(picture: Picture, as_u: bool) -> dict[int, float]:
    """Draw who reads whom; by the target of an arc, how high the arc rises."""
    tops: dict[int, float] = {}
    covered: list[tuple[float, float, float, float]] = []  # of the arcs so far: row, left, right, top
    for arrow in sorted(picture.arrows, key=lambda a: (a["target"] - a["source"], a["source"])):
        source, target = picture.items[arrow["source"]], picture.items[arrow["target"]]
        if arrow["skip"] or _is_blocked(picture, source, target):
            tops[target.number] = _draw_arc(picture, source, target, covered, as_u)
        elif as_u and abs(source.y - target.y) > 1:
            _draw_upright(picture, source, target)
        else:
            _draw_straight(picture, source, target)
    for item in picture.items:
        if item.form in ("volume", "bar") and not (as_u and _turns(picture, item)):
            _write_above(picture, item)
        if item.facts["residual"]:
            tops[item.number] = _draw_loop(picture, item)
        if item.facts["role"] == "recurrent":
            _draw_recurrence(picture, item)
    last = picture.items[-1]
    if last.form == "sign" or last.facts["role"] == "cat":
        _line(picture, [last.right, (last.right[0] + 30 + last.lean / 2, last.y)])
    return tops


def _is_blocked(picture: Picture, source: Item, target: Item) -> bool:
    """Whether a box stands on the straight way between two in a row."""
    x, y = _leaving(picture, source, target)
    between = [i for i in picture.items if x <= i.x < target.x and abs(i.y - y) < 1 and i is not source]
    return abs(y - target.y) < 1 and bool(between)


def _turns(picture: Picture, item: Item) -> bool:
    """Whether a box of the U stands on another level than the one before it."""
    return item.number > 0 and abs(picture.items[item.number - 1].y - item.y) > 1


def _leaving(picture: Picture, source: Item, target: Item) -> tuple[float, float]:
    """Where an arrow starts: at the box, or at the start of the row."""
    ports = [port for (number, y), port in picture.ports.items() if number == source.number]
    return ports[0] if ports and target.floor != source.floor else source.right


def _draw_straight(picture: Picture, source: Item, target: Item) -> None:
    (x1, y1), (x2, y2) = _leaving(picture, source, target), target.left
    if abs(y1 - y2) < 1:
        _line(picture, [(x1, y1), (x2, y2)])
    else:
        bend = _bend(picture, source, target)
        _line(picture, [(x1, y1), (bend, y1), (bend, y2), (x2, y2)])


def _draw_upright(picture: Picture, source: Item, target: Item) -> None:
    """An arrow straight down or up, with what is done at its side."""
    x = source.middle
    below = max(source, target, key=lambda item: item.y)
    above = source if below is target else target
    low, high = below.top[1] - 2, above.y + above.down + 2
    _line(picture, [(x, high), (x, low)] if below is target else [(x, low), (x, high)])
    middle = (low + high) / 2 - LINE * (len(target.before) - 1) / 2 + 4
    for k, line in enumerate(target.before):
        size, colour = (LABEL, INK) if k == target.main else (SMALL, MUTED)
        picture.lines.append(text_of(x + 8, middle + LINE * k, line, size, colour, anchor="start"))
        picture.cover(x, middle, x + 8 + text_width(line, size), middle)


def _bend(picture: Picture, source: Item, target: Item) -> float:
    """Where an arrow between lines turns: near the fork, or near the join."""
    if sum(a["source"] == source.number for a in picture.arrows) > 1:
        x, _ = _leaving(picture, source, target)
        return max(x, source.middle + source.cell / 2 if target.floor == source.floor else x) + 8
    return target.start + 12 if target.lead else target.x - target.inset - 14


def _write_above(picture: Picture, item: Item) -> None:
    """What is done, on the last stretch of the arrow: what on top of the line, how above it."""
    middle = (item.start + item.lead + item.x - 6) / 2 - 8 * item.facts["residual"]
    for k, line in enumerate(reversed(item.before)):
        size, colour = (LABEL, INK) if k == len(item.before) - 1 - item.main else (SMALL, MUTED)
        picture.lines.append(text_of(middle, item.y - 7 - LINE * k, line, size, colour))


def _draw_arc(
    picture: Picture,
    source: Item,
    target: Item,
    covered: list[tuple[float, float, float, float]],
    as_u: bool,
) -> float:
    """An arc from where the source is left, over all between, down to where it joins."""
    x0, y0 = _leaving(picture, source, target)
    x1 = (
        max(x0, min(i.start for i in picture.items if i.number > source.number and i.floor == target.floor))
        + 12
    )
    x2, y2 = target.top
    between = [i for i in picture.items if source.number < i.number <= target.number and i.y <= y0 + 1]
    if as_u:
        (x0, y0), x1 = source.top, source.top[0]
        between = [i for i in between if abs(i.y - source.y) < 1] + [source]
    tops = [i.y - i.above for i in between]
    tops += [top for row, left, right, top in covered if left < x2 and x1 < right and row == target.floor]
    top = min([*tops, y2 - 10]) - 14
    covered.append((target.floor, x1, x2, top))
    path = path_of("M", x0, y0) + (path_of("L", x1, y0) if x1 != x0 else "")
    picture.lines.append(line_of(path + _over(x1, x2, top, y2), BLUE, dashed=as_u))
    if as_u:
        smaller = source.facts["shape"][1:] != target.facts["shape"][1:]
        words = "copy, crop" if smaller else "copy"
        picture.lines.append(text_of((x1 + x2) / 2, top - 5, words, SMALL, MUTED))
    picture.cover(x1, top - 16 * as_u - 2, x2, top)
    return top


def _over(x1: float, x2: float, top: float, end: float) -> str:
    """The way up, along and down, with round corners."""
    bow = min(16.0, (x2 - x1) / 2)
    up = path_of("V", top + bow, "Q", x1, top, x1 + bow, top)
    return up + path_of("H", x2 - bow, "Q", x2, top, x2, top + bow, "V", end - 1)


def _draw_loop(picture: Picture, item: Item) -> float:
    """A small arc over a closed block that adds its input."""
    x1 = item.x - (12 if item.form == "volume" else 14)
    x2, end = item.top
    top = item.y - item.above - 12
    picture.lines.append(line_of(path_of("M", x1, item.y) + _over(x1, x2, top, end), BLUE))
    picture.cover(x1, top - 2, x2, top)
    return top


def _draw_recurrence(picture: Picture, item: Item) -> None:
    """A loop from a recurrent layer to itself."""
    x1, x2, y = item.x + item.wide * 0.72, item.x + item.wide * 0.28, item.y - item.high / 2
    path = path_of("M", x1, y, "C", x1 + 14, y - 34, x2 - 14, y - 34, x2, y - 1)
    picture.lines.append(line_of(path, INK))
    picture.lines.append(text_of((x1 + x2) / 2, y - 31, "each step", SMALL, MUTED))
    picture.cover(x2, y - 44, x1, y)


def _line(picture: Picture, points: Sequence[tuple[float, float]], dashed: bool = False) -> None:
    path = "M" + "L".join(f"{short(x)} {short(y)}" for x, y in points)
    picture.lines.append(line_of(path, BLUE if dashed else INK, dashed))
    for x, y in points:
        picture.cover(x, y, x, y)


def draw_frames(picture: Picture, tops: Mapping[int, float]) -> None:
    """A frame around what is repeated, with its number."""
    for stage in picture.stages:
        if stage["repeat"] < 2:
            continue
        items = [picture.items[number] for number in stage["boxes"]]
        first = items[0]
        left = first.start + 5
        right = max(item.x + (item.wide + item.lean + item.cell) / 2 for item in items) + 8
        top = (
            min([*(i.y - i.above for i in items), *(tops[i.number] for i in items if i.number in tops)]) - 10
        )
        bottom = max(item.y + item.down - 8 * item.frames for item in items) + 6
        inner = sum(
            set(other["boxes"]) < set(stage["boxes"]) and other["repeat"] > 1 for other in picture.stages
        )
        top, bottom = top - 18 * inner, bottom + 6 * inner
        look = f'fill="#f5f8fb" stroke="{MUTED}" stroke-dasharray="5 3"'
        picture.frames.append(rect_of(left, top, right - left, bottom - top, look, 8))
        words = f"×{stage['repeat']}  {printable(stage['kind'], 30)}"
        picture.frames.append(text_of(left + 8, top - 6, words, LABEL, INK, 600, "start"))
        picture.cover(left, top - 22, max(right, left + 8 + text_width(words, LABEL) * 1.08), bottom)
