"""The diagram of a network, read off a trace: boxes, arrows, skips and repeats, as the lectures draw them.

A box is what a layer makes: maps, a vector, tokens. What only follows along, norms and activations, is
written beside the layer that it follows. An arrow says who reads whom. One that leaps over boxes is a skip:
there is a longer way from where it leaves to where it joins. Equal blocks in a row are drawn once, with their
number.
"""

# B batch, C channels, H W height and width

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import nn

from didact.anatomy.folding import fold, learned_here
from didact.anatomy.inspection import Input, example
from didact.anatomy.parts import Part, find_parts
from didact.anatomy.trace import Shape, trace
from didact.anatomy.tree import tree_lines
from didact.errors import UsageError

PAGE = 24  # boxes that a page has room for
DEEPEST = 12
LISTED = 4  # layers that are named one by one where a list of them stays closed
JOINS = ("add", "multiply", "cat", "subtract", "divide")
CARRIERS = ("conv", "up-conv", "linear", "embedding", "recurrent", "attention", "pool", "up", *JOINS)
READERS = ("conv", "up-conv", "linear")  # a norm before them is written beside them
MAPS = ("conv", "up-conv", "pool", "up", "cat", "block", "input", "add")


@dataclass(frozen=True)
class Box:
    """One box.

    Attributes:
        name: The module's, in the state dict; of an operation that of the module whose ``forward`` wrote it.
        kind: The module's class, or the operation.
        role: As in ``didact.anatomy.parts.Part``; a ``block`` holds more than is drawn.
        label: What it does: ``conv 5x5``, of a block its class.
        detail: How: ``stride 2``.
        before: What goes before it, without a box of its own: ``BN, ReLU``.
        notes: What follows it.
        shape: Of its result, without the batch; of a repeated one after the last time.
        parameters: Numbers that it learns, all repeats together.
        repeat: How often it comes in a row.
        residual: Whether a block adds its input, or a part of it, to what it makes.
    """

    name: str
    kind: str
    role: str
    label: str
    detail: str
    before: str
    notes: str
    shape: Shape
    parameters: int
    repeat: int = 1
    residual: bool = False


@dataclass(frozen=True)
class Arrow:
    """Box number ``source`` is read by box number ``target``; a ``skip`` leaps over boxes between them."""

    source: int
    target: int
    skip: bool = False


@dataclass(frozen=True)
class Stage:
    """Boxes that belong together: a module that is unfolded, or a pattern that comes ``repeat`` times."""

    name: str
    kind: str
    boxes: tuple[int, ...]
    repeat: int = 1


@dataclass(frozen=True)
class Diagram:
    """What is drawn of a network.

    Attributes:
        title: Its class.
        boxes: In the order of the computation; arrows and stages name them by their place.
        arrows: Who reads whom.
        stages: Outer before inner.
        volumes: Whether it is about maps, drawn in perspective; else boxes are flat.
        depth: How deep modules in modules are unfolded.
        tree: The whole network, for the terminal.

    Example:
        >>> layers = nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 10)
        >>> net = nn.Sequential(*layers)
        >>> [(box.label, box.notes, box.shape) for box in diagram(net, (1, 12, 12)).boxes]
        [('input', '', (1, 12, 12)), ('conv 5x5', 'ReLU', (6, 8, 8)), ('max pool', '', (6, 4, 4)), \
('linear', '', (10,))]
    """

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    stages: tuple[Stage, ...]
    volumes: bool
    depth: int
    parameters: int
    tree: tuple[str, ...] = field(repr=False)

    @property
    def skips(self) -> tuple[Arrow, ...]:
        """The arrows that leap over boxes."""
        return tuple(arrow for arrow in self.arrows if arrow.skip)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def svg(self, width: float = 1500) -> str:
        """The picture: a document by itself, the same bytes for the same network.

        Args:
            width: Pixels of the widest row; a longer chain goes on below, where it can be broken.
        """
        from didact.draw.diagram import draw_diagram

        return draw_diagram(self.to_dict(), width)

    def __str__(self) -> str:
        return "\n".join(self.tree)


def diagram(
    module: nn.Module, input: Input, *, depth: int | None = None, dtype: torch.dtype | None = None
) -> Diagram:
    """Read the diagram of a network off one run on paper.

    Args:
        module: Any; it is left as it was.
        input: A shape without the batch, such as ``(3, 224, 224)``, or a tensor with it, or several tensors.
        depth: How deep to unfold modules in modules, 1 for those at the top; None for as deep as fits a page.
        dtype: Of the numbers, where a shape is given; tokens are ``torch.int64``.

    Raises:
        UsageError: A depth below 1, or an input that the network refuses.
    """
    if depth is not None and depth < 1:
        raise UsageError(f"depth={depth}: must be 1 or more, try 2")
    inputs, _ = example(module, input, dtype=dtype)
    root = find_parts(trace(module, *inputs))
    if depth is None:
        seen = next((seen for seen in _views(root) if seen.room() <= PAGE), _View(root, 1, True))
    else:
        views = [_View(root, depth, alike) for alike in (False, True)]
        seen = views[views[0].room() > PAGE]
    return seen.diagram()


def _views(root: Part) -> Iterator["_View"]:
    """From the most that could be shown to the least."""
    deepest = min(_height(root), DEEPEST)
    for depth in range(max(deepest, 1), 0, -1):
        for alike in (False, True):
            yield _View(root, depth, alike)


def _height(part: Part) -> int:
    return 1 + max(map(_height, part.children), default=-1)


class _View:
    """A network at some depth: which leaf is shown in which box.

    ``alike`` folds layers and blocks that do the same to maps of other numbers; else only equal blocks fold.
    """

    def __init__(self, root: Part, depth: int, alike: bool):
        self.root, self.depth, self.alike = root, depth, alike
        self.leaves = {leaf.leaf: leaf for leaf in root.leaves()}
        self.host = _hosts(self.leaves)
        self.boxes: list[Box] = []
        self.stages: list[Stage] = []
        self.where: dict[int, int] = {}  # leaf -> box
        self._show(root, 0)
        self._write_notes()

    def room(self) -> int:
        """How many boxes want room; a sign in a circle wants none."""
        return sum(box.role not in JOINS or box.role == "cat" for box in self.boxes)

    def diagram(self) -> Diagram:
        arrows = self._arrows()
        return Diagram(
            self.root.kind,
            tuple(self.boxes),
            arrows,
            tuple(self.stages),
            _is_about_maps(self.boxes),
            self.depth,
            self.root.parameters,
            tuple(tree_lines(self.root)),
        )

    # Boxes

    def _show(self, part: Part, level: int) -> None:
        """Add the boxes of a part."""
        hosted = [leaf for leaf in part.leaves() if self.host[leaf.leaf] == leaf.leaf]
        if not hosted:
            return
        if not part.children or (len(hosted) == 1 and level):
            self._add(part, hosted[0])
        elif level >= self.depth:
            self._add(part, None)
        else:
            first = len(self.boxes)
            for pattern, repeat in fold(part.children, self.alike):
                self._show_pattern(pattern, repeat, level + 1)
            if level and len(self.boxes) - first > 1:
                self._stage(part.name, part.kind, first, 1)

    def _show_pattern(self, pattern: Sequence[Part], repeat: int, level: int) -> None:
        """Add the boxes of a pattern once, those of its last time, and let them stand for all times."""
        size = len(pattern) // repeat
        times = [pattern[k * size : (k + 1) * size] for k in range(repeat)]
        first = len(self.boxes)
        for part in times[-1]:
            self._show(part, level)
        shown = len(self.boxes) - first
        if repeat == 1 or not shown:
            return
        names = [leaf.leaf for part in times[-1] for leaf in part.leaves()]
        for time in times[:-1]:
            for leaf, stand_in in zip((x.leaf for part in time for x in part.leaves()), names, strict=True):
                if stand_in in self.where:
                    self.where[leaf] = self.where[stand_in]
        kind = next((part.kind for part in pattern if part.children), pattern[0].kind)
        if shown == 1:
            name = self.boxes[first].name.replace(times[-1][0].name, times[0][0].name, 1)
            self.boxes[first] = replace(self.boxes[first], name=name, repeat=repeat)
        else:
            self._stage(_common([part.name for part in pattern]), kind, first, repeat)

    def _stage(self, name: str, kind: str, first: int, repeat: int) -> None:
        boxes = tuple(range(first, len(self.boxes)))
        inner = next((k for k, stage in enumerate(self.stages) if set(stage.boxes) <= set(boxes)), None)
        known = None if inner is None else self.stages[inner]
        if known and known.boxes == boxes:  # the pattern is one module: its frame bears the number
            self.stages[inner or 0] = replace(known, repeat=known.repeat * repeat, kind=known.kind)
        else:
            self.stages.insert(len(self.stages) if inner is None else inner, Stage(name, kind, boxes, repeat))

    def _add(self, part: Part, leaf: Part | None) -> None:
        """A box for a leaf, perhaps in modules of its own, or for a block."""
        shown = leaf or part
        label, detail = (shown.label, shown.detail) if leaf else _contents(part)
        name = part.name if leaf is None or part.role == "block" else leaf.name
        role = shown.role
        for inner in part.leaves():
            self.where[inner.leaf] = len(self.boxes)
        residual = leaf is None and any(len(x.reads) > 1 for x in part.leaves() if x.role == "add")
        self.boxes.append(Box(name, shown.kind, role, label, detail, "", "", part.shape, 0, 1, residual))

    def _write_notes(self) -> None:
        """Let leaves without a box go with their host, and write beside it what they are."""
        before: dict[int, list[str]] = {}
        after: dict[int, list[str]] = {}
        stand_ins = {box: leaf for leaf, box in self.where.items() if self.host[leaf] == leaf}
        for leaf, host in self.host.items():
            if host == leaf or host not in self.where:
                continue
            self.where[leaf] = box = self.where[host]
            if self.boxes[box].role != "block" and stand_ins[box] == host:
                (before if leaf < host else after).setdefault(box, []).append(self.leaves[leaf].label)
        for k in before.keys() | after.keys():
            first, then = ", ".join(before.get(k, [])), ", ".join(after.get(k, []))
            self.boxes[k] = replace(self.boxes[k], before=first, notes=then)
        learned = [0] * len(self.boxes)
        for leaf, k in self.where.items():
            learned[k] += learned_here(self.leaves[leaf])
        self.boxes = [replace(box, parameters=n) for box, n in zip(self.boxes, learned, strict=True)]

    # Arrows

    def _arrows(self) -> tuple[Arrow, ...]:
        pairs = {
            (self.where[source], self.where[leaf])
            for leaf, part in self.leaves.items()
            for source in part.reads
            if source in self.where and leaf in self.where
        }
        ahead = sorted(pair for pair in pairs if pair[0] < pair[1])  # what goes back belongs to a repeat
        nexts: dict[int, set[int]] = {}
        for source, target in ahead:
            nexts.setdefault(source, set()).add(target)
        reach = _reachable(nexts, len(self.boxes))
        return tuple(
            Arrow(source, target, any(target in reach[other] for other in nexts[source] - {target}))
            for source, target in ahead
        )


def _hosts(leaves: Mapping[int, Part]) -> dict[int, int]:
    """For each leaf the one beside which it is written: itself, or the layer that it follows or precedes."""
    readers: dict[int, list[int]] = {number: [] for number in leaves}
    for number in leaves:
        for source in leaves[number].reads:
            readers[source].append(number)
    host = {number: number for number in leaves}
    for number in leaves:
        if _is_small(leaves[number]) and len(leaves[number].reads) == 1:
            (source,) = leaves[number].reads
            if readers[source] == [number] and leaves[host[source]].role in CARRIERS:
                host[number] = host[source]
    for number in sorted(leaves, reverse=True):
        if _is_small(leaves[number]) and host[number] == number and len(readers[number]) == 1:
            reader = host[readers[number][0]]
            if leaves[reader].role in READERS and not _is_token_norm(leaves[number]):
                host[number] = reader
    return host


def _is_small(leaf: Part) -> bool:
    """Whether it is written beside another; the norm of tokens is a step of its own."""
    return leaf.role == "activation" or (leaf.role == "norm" and not _is_token_norm(leaf))


def _is_token_norm(leaf: Part) -> bool:
    return leaf.label in ("LN", "RMSNorm") and len(leaf.shape) < 3


def _contents(part: Part) -> tuple[str, str]:
    """Label and detail of a block that stays closed: a list of blocks is named by what it lists."""
    kinds = [child.kind for child in part.children if child.children]
    if len(kinds) > 1 and len(set(kinds)) == 1 and len(kinds) == sum(bool(c.leaves()) for c in part.children):
        return kinds[0], f"{len(kinds)} in a row"
    made = {(leaf.role, leaf.label) for leaf in part.leaves() if not _is_small(leaf)}
    if len(made) == 1:  # nothing but one kind of layer
        count = sum(not _is_small(leaf) for leaf in part.leaves())
        return made.pop()[1], f"{count} in a row"
    if part.kind == "Sequential":  # a list has no name: it is what is in it
        layers = [leaf.label for leaf in part.leaves() if leaf.role in CARRIERS and leaf.role not in JOINS]
        return (
            (layers[0], ", ".join(layers[1:])) if 0 < len(layers) <= LISTED else (f"{len(layers)} layers", "")
        )
    return part.kind, ""


def _common(names: Sequence[str]) -> str:
    """What names have in common up to a dot; one name stays whole."""
    if len(set(names)) == 1:
        return names[0]
    split = [name.split(".") for name in names]
    same = [words[0] for words in zip(*split, strict=False) if len(set(words)) == 1]
    return ".".join(same)


def _reachable(nexts: Mapping[int, set[int]], count: int) -> list[set[int]]:
    """For each box all that read it, directly or not."""
    reach: list[set[int]] = [set() for _ in range(count)]
    for number in reversed(range(count)):
        for after in nexts.get(number, ()):
            reach[number] |= {after} | reach[after]
    return reach


def _is_about_maps(boxes: Sequence[Box]) -> bool:
    """Whether most boxes are maps, of more than one size."""
    maps = [box for box in boxes if box.role in MAPS and len(box.shape) == 3]
    joins = sum(box.role in JOINS for box in boxes)
    return len({box.shape[1:] for box in maps}) > 1 and 2 * len(maps) > len(boxes) - joins
