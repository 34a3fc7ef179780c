"""The boxes of a diagram as they are drawn: what is written, and how large each is."""

# C channels, H W height and width; lengths are pixels, y grows downwards

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from didact.draw.diagram_ink import LABEL, LINE, SMALL, text_width
from didact.draw.style import printable

ROW = 1500.0  # widest row
ROOMY = 9  # so many flat boxes have room for their numbers of parameters
SIGNS = {"add": "+", "multiply": "×", "subtract": "−", "divide": "÷"}


@dataclass
class Item:
    """A box of the picture: what is written, how large it is, and where it stands.

    Attributes:
        number: Its place among the boxes.
        facts: What the diagram says of it.
        form: ``volume``, ``bar`` (a vector), ``flat`` or ``sign`` (a circle).
        wide: Of the shape itself.
        high: Of the shape itself.
        before: Text on the arrow to it, or in a flat box.
        main: Which line of it says what is done.
        below: Text under it.
        gap: Room for its arrow.
        x, y: The left edge of the shape and the height of its middle.
        floor: Where its row ends.
        lead: How much of the gap is for branches to meet.
        frames: How many frames it lies in.
    """

    number: int
    facts: Mapping[str, Any]
    form: str
    wide: float
    high: float
    before: tuple[str, ...] = ()
    main: int = 0
    below: tuple[str, ...] = ()
    gap: float = 34.0
    x: float = 0.0
    y: float = 0.0
    floor: float = 0.0
    lead: float = 0.0
    frames: int = 0

    @property
    def lean(self) -> float:
        """How far a volume leads back, to the right and up."""
        return 0.3 * self.high if self.form == "volume" else 0.0

    @property
    def up(self) -> float:
        """From the middle to the top of all that belongs to it, the frames around it too."""
        return self.above + 32 * self.frames

    @property
    def above(self) -> float:
        """From the middle to the top of the shape and of the text on the arrow."""
        text = 0.0 if self.form == "flat" else 8 + LINE * len(self.before)
        return max(self.high / 2 + self.lean / 2, text)

    @property
    def down(self) -> float:
        """From the middle to the end of the text below."""
        return self.high / 2 + self.lean / 2 + 6 + LINE * len(self.below) + 8 * self.frames

    @property
    def cell(self) -> float:
        """The width of shape and text."""
        return max([self.wide + self.lean, *(text_width(line, SMALL) for line in self.below)])

    @property
    def inset(self) -> float:
        """From the left of the cell to the shape."""
        return (self.cell - self.wide - self.lean) / 2

    @property
    def right(self) -> tuple[float, float]:
        """Where an arrow leaves: the middle of the side that leads back."""
        return self.x + self.wide + self.lean / 2, self.y

    @property
    def left(self) -> tuple[float, float]:
        """Where an arrow arrives."""
        return self.x, self.y

    @property
    def start(self) -> float:
        """Where the room for its arrow begins."""
        return self.x - self.inset - self.gap

    @property
    def top(self) -> tuple[float, float]:
        """Where an arc arrives: the upper edge, in the middle."""
        half = (self.wide + self.lean) / 2
        return self.x + half, self.y - self.high / 2 + self.lean / 2 - min(self.lean, half)

    @property
    def middle(self) -> float:
        """The middle of the shape from left to right."""
        return self.x + (self.wide + self.lean) / 2


@dataclass
class Fork:
    """Branches side by side."""

    branches: list["Series"]


Series = list["Item | Fork"]


@dataclass
class Picture:
    """The places of everything, and what is drawn, from back to front.

    ``ports`` are the points at the start of a row that an arrow from the row before has come to, by the
    number of the box that it comes from and the middle of the row.
    """

    items: list[Item]
    arrows: Sequence[Mapping[str, Any]]
    stages: Sequence[Mapping[str, Any]]
    volumes: bool
    width: float = ROW
    frames: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    ports: dict[tuple[int, float], tuple[float, float]] = field(default_factory=dict)
    bounds: list[float] = field(default_factory=lambda: [math.inf, math.inf, -math.inf, -math.inf])

    def cover(self, left: float, top: float, right: float, bottom: float) -> None:
        """Let the page reach that far."""
        old = self.bounds
        self.bounds = [min(old[0], left), min(old[1], top), max(old[2], right), max(old[3], bottom)]


def make_items(diagram: Mapping[str, Any]) -> list[Item]:
    """What is drawn of each box."""
    boxes = diagram["boxes"]
    sides = [max(box["shape"][1:]) for box in boxes if len(box["shape"]) == 3]
    largest = max(sides, default=1)
    if diagram["volumes"]:
        return [_volume(number, box, largest) for number, box in enumerate(boxes)]
    return [_flat(number, box, len(boxes) <= ROOMY) for number, box in enumerate(boxes)]


def _volume(number: int, box: Mapping[str, Any], largest: int) -> Item:
    """Maps as a volume: as high as they are, as thick as there are many, both by their roots."""
    shape, role = box["shape"], box["role"]
    if role in SIGNS:
        return _sign(number, box)
    before, below = _on_arrow(box), (written(shape), *_name(box))
    gap = max([34.0, *(text_width(line, LABEL) + 16 for line in before)]) + 16 * box["residual"]
    main = len(_lines_before(box))
    if len(shape) == 3 and (max(shape[1:]) > 1 or role == "input"):
        high = max(150 * math.sqrt(shape[1] / largest), 16)
        thick = 4 + 1.25 * math.sqrt(min(shape[0], 2500))
        return Item(number, box, "volume", thick, high, before, main, below, gap)
    numbers = math.prod(shape)
    return Item(number, box, "bar", 12, 24 + 10 * math.log2(max(numbers, 2)), before, main, below, gap)


def _flat(number: int, box: Mapping[str, Any], roomy: bool) -> Item:
    if box["role"] in SIGNS:
        return _sign(number, box)
    main = len(_lines_before(box))
    inside = (*_lines_before(box), with_repeat(box), *filter(None, (box["detail"], box["notes"])))
    sizes = [text_width(line, LABEL if k == main else SMALL) for k, line in enumerate(inside)]
    below = (written(box["shape"]), *_name(box))
    if roomy and box["parameters"]:
        below += (f"{box['parameters']:,} parameters",)
    wide, high = max([*sizes, 40.0]) + 20, 22 + LINE * len(inside)
    return Item(number, box, "flat", wide, high, inside, main, below, 30 + 16 * box["residual"])


def _lines_before(box: Mapping[str, Any]) -> tuple[str, ...]:
    return (box["before"],) if box["before"] else ()


def _sign(number: int, box: Mapping[str, Any]) -> Item:
    return Item(number, box, "sign", 22, 22, (), 0, (box["notes"],) if box["notes"] else (), 26)


def _on_arrow(box: Mapping[str, Any]) -> tuple[str, ...]:
    """What is done, how, and what goes with it."""
    if box["role"] == "input":
        return ()
    details = box["detail"].split(", ")
    return (*_lines_before(box), *filter(None, (with_repeat(box), *details, box["notes"])))


def with_repeat(box: Mapping[str, Any]) -> str:
    """What a box does, and how often."""
    return box["label"] + (f" ×{box['repeat']}" if box["repeat"] > 1 else "")


def _name(box: Mapping[str, Any]) -> list[str]:
    """The end of the name, from the last word in it that is no number."""
    words = box["name"].split(".")
    named = max((k for k, word in enumerate(words) if not word.isdigit()), default=0)
    return [printable(".".join(words[named:]), 18)] if box["name"] else []


def written(shape: Sequence[int]) -> str:
    """6@28x28 of maps, 197x768 of tokens."""
    return f"{shape[0]}@{shape[1]}x{shape[2]}" if len(shape) == 3 else "x".join(map(str, shape)) or "1"
