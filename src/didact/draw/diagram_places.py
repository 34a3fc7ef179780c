"""Where the boxes of a diagram stand: in series and in parallel, row by row, or in the shape of a U."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from didact.draw.diagram_ink import LINE, line_of, short
from didact.draw.diagram_items import Fork, Item, Picture, Series
from didact.draw.style import INK

JOIN = 20.0  # room for branches to meet
Cost = tuple[float, int, float, int]  # of rows: pixels too many, rows, how uneven, where the last one starts


def in_series(picture: Picture) -> Series:
    """The boxes as a chain, with forks where branches lie side by side."""
    nexts: dict[int, list[int]] = {item.number: [] for item in picture.items}
    for arrow in picture.arrows:
        nexts[arrow["source"]].append(arrow["target"])
    meets = _meeting_points(nexts)
    starts = set(nexts) - {target for after in nexts.values() for target in after}
    if len(starts) > 1:
        return list(picture.items)
    series = _series(0, None, nexts, meets, picture.items)
    return series if len(list(_flattened(series))) == len(picture.items) else list(picture.items)


def _meeting_points(nexts: Mapping[int, Sequence[int]]) -> dict[int, int | None]:
    """For each box the first that all ways from it pass."""
    meets: dict[int, int | None] = {}
    for number in sorted(nexts, reverse=True):
        after = nexts[number]
        here: int | None = after[0] if after else None
        for other in after[1:]:
            there: int | None = other
            while here != there and here is not None and there is not None:
                here, there = (meets[here], there) if here < there else (here, meets[there])
            here = here if here == there else None
        meets[number] = here
    return meets


def _series(
    start: int,
    end: int | None,
    nexts: Mapping[int, Sequence[int]],
    meets: Mapping[int, int | None],
    items: Sequence[Item],
) -> Series:
    """The chain from a box up to another."""
    found: Series = []
    here: int | None = start
    while here is not None and here != end:
        found.append(items[here])
        meet = meets[here]
        heads = [number for number in nexts[here] if number != meet]
        branches = [_series(head, meet, nexts, meets, items) for head in heads]
        numbers = [item.number for branch in branches for item in _flattened(branch)]
        if len(numbers) > len(set(numbers)):  # they share boxes: one after the other
            found += [items[number] for number in sorted(set(numbers))]
        elif len(branches) == 1:
            found += branches[0]
        elif branches:
            found.append(Fork(branches))
        here = meet
    return found


def _flattened(series: Series) -> Iterator[Item]:
    for part in series:
        if isinstance(part, Item):
            yield part
        else:
            for branch in part.branches:
                yield from _flattened(branch)


def add_room(picture: Picture) -> None:
    """More room before a box where a skip leaves or a frame begins or ends."""
    leaving = {arrow["source"] for arrow in picture.arrows if arrow["skip"]}
    for item in picture.items:
        item.lead = JOIN * (sum(a["target"] == item.number and not a["skip"] for a in picture.arrows) > 1)
        item.gap += item.lead
    for arrow in picture.arrows:
        item = picture.items[arrow["target"]]
        if arrow["source"] in leaving and not arrow["skip"]:
            item.gap = max(item.gap, 46.0 if item.form in ("flat", "sign") else item.gap + 12)
    for stage in picture.stages:
        if stage["repeat"] > 1:
            first, last = min(stage["boxes"]), max(stage["boxes"])
            for number in stage["boxes"]:
                picture.items[number].frames += 1
            picture.items[first].gap += 22
            for item in picture.items[last + 1 : last + 2]:
                item.gap += 18


@dataclass
class Size:
    """How far a part of the picture reaches: to the right, and up and down from its middle."""

    wide: float
    up: float
    down: float


def _size(part: "Item | Fork | Series") -> Size:
    if isinstance(part, Item):
        return Size(part.gap + part.cell, part.up, part.down)
    if isinstance(part, Fork):
        sizes = [_size(branch) for branch in part.branches]
        wide = max(size.wide for size in sizes) + 24
        places = _stacked(part, sizes)
        up = max(size.up - y for size, y in zip(sizes, places, strict=True))
        return Size(wide, up, max(size.down + y for size, y in zip(sizes, places, strict=True)))
    sizes = [_size(inner) for inner in part]
    ups, downs = max((s.up for s in sizes), default=0), max((s.down for s in sizes), default=0)
    return Size(sum(size.wide for size in sizes), ups, downs)


def _stacked(fork: Fork, sizes: Sequence[Size]) -> list[float]:
    """How far below the middle each branch runs: all around it, or the long one on it and the short above."""
    lengths = [len(branch) for branch in fork.branches]
    space = 16.0
    if len(sizes) == 2 and lengths[0] != lengths[1]:
        long = lengths.index(max(lengths))
        return [0.0 if k == long else -(sizes[long].up + sizes[1 - long].down + space) for k in (0, 1)]
    total = sum(size.up + size.down for size in sizes) + space * (len(sizes) - 1)
    places, top = [], -total / 2
    for size in sizes:
        places.append(top + size.up)
        top += size.up + size.down + space
    return places


def _place(part: "Item | Fork | Series", x: float, y: float) -> float:
    """Give places from a left edge on, on a middle line; where it ends."""
    if isinstance(part, Item):
        part.x, part.y = x + part.gap + part.inset, y
        return x + part.gap + part.cell
    if isinstance(part, Fork):
        sizes = [_size(branch) for branch in part.branches]
        wide = max(size.wide for size in sizes)
        for branch, size, below in zip(part.branches, sizes, _stacked(part, sizes), strict=True):
            _place(branch, x + 12 + (wide - size.wide) / 2, y + below)
        return x + wide + 24
    for inner in part:
        x = _place(inner, x, y)
    return x


def place_in_rows(picture: Picture, series: Series) -> None:
    """Break the chain into rows of about the same length, where one box alone is read over the break."""
    y, before = 0.0, None
    for row in _rows(picture, series):
        size = _size(row)
        y += size.up + _arc_room(picture, row)
        first = next(_flattened(row))
        _place(row, -first.gap if first.number == 0 else 22.0, y)
        for item in _flattened(row):
            item.floor = y + size.down
        if before is not None:
            _connect_rows(picture, before, y)
        before = list(_flattened(row))[-1]
        y += size.down + 40


def _connect_rows(picture: Picture, last: Item, y: float) -> None:
    """A line from the end of a row to the start of the next, from which its arrows then go out."""
    (x1, y1), low = last.right, last.floor + 16
    turn = max(x1, last.x + (last.wide + last.lean + last.cell) / 2) + 16
    points = [(x1, y1), (turn, y1), (turn, low), (0.0, low), (0.0, y), (20.0, y)]
    picture.lines.append(
        line_of("M" + "L".join(f"{short(px)} {short(py)}" for px, py in points), INK, headed=False)
    )
    picture.cover(0, low, turn, low)
    picture.ports[last.number, y] = (20.0, y)


def _rows(picture: Picture, series: Series) -> list[Series]:
    """As few rows as fit, and of those breaks the ones that leave the rows most even."""
    breaks = [0, *(k for k, part in enumerate(series) if k and _may_break(picture, part)), len(series)]
    ends = list(accumulate((_size(part).wide for part in series), initial=0.0))
    best: dict[int, Cost] = {0: (0.0, 0, 0.0, 0)}  # by where a row ends
    for k, end in enumerate(breaks[1:], start=1):
        wides = {start: ends[end] - ends[start] for start in breaks[:k]}
        best[end] = min(_with_row(best[start], wides[start], start, picture.width) for start in breaks[:k])
    rows: list[Series] = []
    end = len(series)
    while end:
        start = best[end][3]
        rows.insert(0, series[start:end])
        end = start
    return rows


def _with_row(before: Cost, wide: float, start: int, room: float) -> Cost:
    """One row more."""
    over, rows, uneven, _ = before
    return over + max(wide - room, 0.0), rows + 1, uneven + wide**2, start


def _may_break(picture: Picture, part: "Item | Fork") -> bool:
    """Whether a row may begin here: all arrows over the break come from one box, and no frame is cut."""
    number = min(item.number for item in _flattened([part]))
    over = {a["source"] for a in picture.arrows if a["source"] < number <= a["target"]}
    framed = any(s["repeat"] > 1 and min(s["boxes"]) < number <= max(s["boxes"]) for s in picture.stages)
    lone = picture.items[number - 1].facts["role"] == "input"
    return over == {number - 1} and not framed and not lone


def _arc_room(picture: Picture, row: Series) -> float:
    """Room above a row for its arcs and the names of its frames."""
    numbers = {item.number for item in _flattened(row)}
    skips = [a for a in picture.arrows if a["skip"] and a["source"] in numbers]
    deepest = max((_nesting(skip, skips) for skip in skips), default=0)
    folded = any(item.facts["residual"] for item in _flattened(row))
    return 22.0 * deepest + 24 * (folded and not deepest) + 8


def _nesting(skip: Mapping[str, Any], skips: Sequence[Mapping[str, Any]]) -> int:
    inner = [
        other
        for other in skips
        if other is not skip and skip["source"] <= other["source"] and other["target"] <= skip["target"]
    ]
    return 1 + max((_nesting(other, inner) for other in inner), default=0)


def find_levels(picture: Picture) -> list[int]:
    """For each box how far down it stands, by the size of its maps; nothing where the network is no U.

    It is one where maps shrink, grow again, and a skip joins the two arms.
    """
    sides = [item.facts["shape"][1] if len(item.facts["shape"]) == 3 else 0 for item in picture.items]
    grows = any(item.facts["role"] in ("up-conv", "up") for item in picture.items)
    if not picture.volumes or not grows or not all(sides) or len(_chain(picture)) < len(sides) - 1:
        return []
    bottom = sides.index(min(sides))
    over = [a for a in picture.arrows if a["skip"] and a["source"] < bottom < a["target"]]
    if not over:
        return []
    found, level = [], 0
    for number, side in enumerate(sides):
        before = sides[number - 1] if number else side
        level += (side < 0.75 * before) - (side > 1.5 * before)
        found.append(level)
    return found if min(found) >= 0 else []


def _chain(picture: Picture) -> list[Mapping[str, Any]]:
    """The arrows from each box to the next."""
    return [a for a in picture.arrows if not a["skip"] and a["target"] == a["source"] + 1]


def place_as_u(picture: Picture, levels: Sequence[int]) -> None:
    """Level by level; from one to the next it goes straight down, or straight up."""
    pairs = list(zip(picture.items, levels, strict=True))
    y = 0.0
    for level in range(max(levels) + 1):
        row = [item for item, own in pairs if own == level]
        y += max(item.up for item in row) + (LINE * 3 + 22 if level else 0)
        for item in row:
            item.y = y
        y += max(item.down for item in row if item is not row[-1]) if len(row) > 1 else row[0].down
    x = -picture.items[0].gap
    for k, (item, level) in enumerate(pairs):
        if k and level != levels[k - 1]:
            x = picture.items[k - 1].middle - item.cell / 2 - item.gap
        x = _place(item, x, item.y)
