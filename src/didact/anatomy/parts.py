"""The parts of a network, read off a trace: modules in modules, down to operations, and who reads whom.

A part is a call of a module, or an operation that a ``forward`` wrote itself. Parts lie in parts, as the
modules do. The smallest, the leaves, each do one thing: convolve, pool, add, attend. Between them are edges:
which leaf reads what which leaf made. Views are looked through, so an edge says where numbers come from, not
how they were reshaped; what only counts or fills (zeros, positions) is no part.
"""

# B batch, C channels, H W height and width

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

from didact.anatomy.part_labels import (
    ARITHMETIC,
    RECURRENT,
    attends,
    describe_calls,
    fills,
    is_heavy,
    keeps_size,
)
from didact.anatomy.trace import Call, Shape, TensorFact, Trace, Visit

SIGNS = {"add": "+", "subtract": "-", "multiply": "x", "divide": "/"}
COPIES = {"clone", "_to_copy", "contiguous", "lift_fresh", "dropout", "native_dropout"}


@dataclass
class Part:
    """What happens at one place.

    Attributes:
        name: The module's, in the state dict; of an operation that of the module whose ``forward`` wrote it.
        kind: The module's class, or the operation.
        role: ``input``, ``conv``, ``up-conv``, ``pool``, ``up``, ``linear``, ``norm``, ``activation``,
            ``add``, ``multiply``, ``cat``, ``attention``, ``recurrent``, ``embedding``, ``op``, ``none``
            (does nothing here: dropout, a view), or ``block`` for what has parts.
        label: What it does, in a word or two: ``conv 5x5``.
        detail: How: ``stride 2``.
        shape: Of its result, without the batch.
        parameters: Numbers that it learns, those of its parts included.
        leaf: Its number among the leaves; -1 for a block or a part that does nothing.
        again: Whether the same module has been called before.
        children: Its parts, in order.
        reads: By number, the leaves whose numbers it reads. Of leaves only.
    """

    name: str
    kind: str
    role: str
    label: str
    shape: Shape
    parameters: int = 0
    detail: str = ""
    leaf: int = -1
    again: bool = False
    children: list["Part"] = field(default_factory=list)
    reads: set[int] = field(default_factory=set)

    def leaves(self) -> list["Part"]:
        """The leaves in it, itself if it is one, in order."""
        if not self.children:
            return [self] if self.leaf >= 0 else []
        return [leaf for child in self.children for leaf in child.leaves()]

    @property
    def last_name(self) -> str:
        """The end of the name: ``conv1`` of ``layer1.0.conv1``."""
        return self.name.rsplit(".", 1)[-1]


def find_parts(trace: Trace) -> Part:
    """The outermost part of a trace; what it is given are its first children.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from didact.anatomy.trace import trace
        >>> net = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.Flatten())
        >>> root = find_parts(trace(net, torch.zeros(1, 1, 9, 9)))
        >>> [(part.role, part.label) for part in root.children]
        [('input', 'input'), ('conv', 'conv 5x5'), ('activation', 'ReLU'), ('none', 'Flatten')]
    """
    return _Reader(trace).read()


class _Reader:
    """Reads parts and their edges in the order of the calls."""

    def __init__(self, trace: Trace):
        self.trace = trace
        self.given = list(dict.fromkeys(trace.inputs))  # a tensor given twice is one
        self.made: dict[int, set[int]] = {number: {leaf} for leaf, number in enumerate(self.given)}
        self.sharing: dict[int, list[int]] = {}  # by storage, the tensors that have been made
        self.count = len(self.given)
        self.seen: set[str] = set()
        self.inside = _nested(trace.visits)

    def read(self) -> Part:
        given = [
            Part("", "input", "input", f"input {k + 1}" if k else "input", self._shape([number]), leaf=k)
            for k, number in enumerate(self.given)
        ]
        root = self._visit(0)
        if root.leaf >= 0 or not root.children:  # a layer by itself
            root = Part("", root.kind, "block", root.kind, root.shape, root.parameters, children=[root])
        for part in given:
            root.children.insert(_place_of(part, root.children), part)
        return root

    def _visit(self, place: int) -> Part:
        visit = self.trace.visits[place]
        name, kind = visit.module, self.trace.kinds[visit.module]
        part = Part(name, kind, "block", kind, self._shape(visit.outputs), self._learned(name))
        part.again = name in self.seen
        self.seen.add(name)
        calls = self.trace.calls[visit.first : visit.last]
        if self._is_one_thing(kind, calls, self.inside[place], name):
            self._finish(part, calls, visit)
        else:
            part.children = list(self._children(place))
        return part

    def _is_one_thing(self, kind: str, calls: Sequence[Call], inside: Sequence[int], name: str) -> bool:
        """Whether a visit is a leaf: nothing in it is worth showing by itself."""
        if attends([call for call in calls if call.module == name]):
            return bool(name)  # the outermost is opened, to show how attention goes
        if inside:
            return False
        main = [call for call in calls if is_heavy(call)]
        return len(main) <= 1 - (not name and len(calls) > 3) or kind in RECURRENT

    def _children(self, place: int) -> Iterator[Part]:
        """The visits and operations directly in a visit, in order."""
        visit = self.trace.visits[place]
        at = visit.first
        for inner in self.inside[place]:
            yield from self._operations(at, self.trace.visits[inner].first)
            yield self._visit(inner)
            at = self.trace.visits[inner].last
        yield from self._operations(at, visit.last)

    def _operations(self, first: int, last: int) -> Iterator[Part]:
        for call in self.trace.calls[first:last]:
            part = self._operation(call)
            if part:
                yield part

    def _operation(self, call: Call) -> Part | None:
        """An operation as a part, or None where it is looked through."""
        sources = set() if fills(call) else self._sources(call.inputs)
        if not call.outputs or not sources or self._is_view(call) or self._is_scaling(call, sources):
            self._make(call.outputs, sources, call)
            return None
        role, label, detail = describe_calls([call], self.trace, "")
        learned = self._learned_by(call)
        if role in SIGNS and len(sources) == 1 and not learned:  # with itself
            role = "activation"
        elif role in SIGNS and len(sources) == 1:  # with something learned
            role, label = "op", f"{SIGNS[role]} {learned[0].name.rsplit('.', 1)[-1]}"
        elif role == "cat" and len(sources) == 1 and learned:
            label, detail = "concat", learned[0].name.rsplit(".", 1)[-1]
        part = Part(call.module, call.op.strip("_"), role, label, self._shape(call.outputs[:1]))
        part.parameters = sum(prod(tensor.shape) for tensor in learned)
        part.detail = detail
        part.leaf, part.reads = self._new_leaf(), sources
        self._make(call.outputs, {part.leaf}, call)
        return part

    def _finish(self, part: Part, calls: Sequence[Call], visit: Visit) -> None:
        """Make a part a leaf, or one that does nothing."""
        part.role, part.label, part.detail = describe_calls(calls, self.trace, part.kind)
        inner = {number for call in calls for number in call.outputs}
        sources = self._sources([n for call in calls for n in call.inputs if n not in inner])
        sources |= self._sources([n for call in calls for n in call.inputs if call.op.endswith("_")])
        idle = all(self._is_view(call) for call in calls) or not sources or keeps_size(calls, self.trace)
        if idle:
            part.role, part.label, part.detail = "none", part.kind, ""
            for call in calls:
                self._make(call.outputs, self._sources(call.inputs), call)
            return
        part.leaf, part.reads = self._new_leaf(), sources
        for call in calls:
            self._make(call.outputs, {part.leaf}, call)
        self._make(visit.outputs, {part.leaf})

    def _new_leaf(self) -> int:
        self.count += 1
        return self.count - 1

    def _make(self, outputs: Sequence[int], leaves: set[int], call: Call | None = None) -> None:
        for number in outputs:
            self.made[number] = leaves
            storage = self.trace.tensors[number].storage
            if call and call.op.endswith("_"):  # written in place: seen by all that share the memory
                for other in self.sharing.get(storage, ()):
                    self.made[other] = self.made[other] | leaves if other not in call.inputs else leaves
            self.sharing.setdefault(storage, []).append(number)

    def _sources(self, numbers: Sequence[int]) -> set[int]:
        return set().union(*(self.made.get(number, ()) for number in numbers))

    def _is_view(self, call: Call) -> bool:
        """Whether the result is the input seen otherwise, or copied."""
        if call.op in COPIES or not call.outputs:
            return True
        shared = {self.trace.tensors[number].storage for number in call.inputs}
        made = {self.trace.tensors[number].storage for number in call.outputs}
        return not call.op.endswith("_") and made <= shared

    def _is_scaling(self, call: Call, sources: set[int]) -> bool:
        """Whether it is arithmetic with a constant, which no figure shows."""
        if call.op.strip("_") not in ARITHMETIC or len(sources) != 1 or self._learned_by(call):
            return False
        return sum(bool(self._sources([number])) for number in call.inputs) == 1

    def _learned_by(self, call: Call) -> list[TensorFact]:
        """The parameters that an operation reads, itself or through a view."""
        whole = [self.trace.tensors[self.trace.tensors[number].storage] for number in call.inputs]
        return [tensor for tensor in whole if tensor.kind == "parameter"]

    def _shape(self, numbers: Sequence[int]) -> Shape:
        return self.trace.shape(numbers[0])[1:] if numbers else ()

    def _learned(self, name: str) -> int:
        """How many numbers a module learns."""
        return sum(
            prod(tensor.shape)
            for tensor in self.trace.tensors
            if tensor.kind == "parameter" and (not name or tensor.name.startswith(f"{name}."))
        )


def _place_of(given: Part, parts: Sequence[Part]) -> int:
    """Where an input stands: the first at the start, another before the part that reads it first."""
    reading = (k for k, part in enumerate(parts) if any(given.leaf in leaf.reads for leaf in part.leaves()))
    return next(reading, 0) if given.leaf else 0


def _nested(visits: Sequence[Visit]) -> list[list[int]]:
    """For each visit, those directly in it."""
    inside: list[list[int]] = [[] for _ in visits]
    stack: list[int] = []
    for place, visit in enumerate(visits):
        while stack and not _holds(visits[stack[-1]], visit):
            stack.pop()
        if stack:
            inside[stack[-1]].append(place)
        stack.append(place)
    return inside


def _holds(outer: Visit, inner: Visit) -> bool:
    """Whether a visit that began later lies in one that began before."""
    if inner.first == outer.last:  # without a call of its own, at the edge: the names tell
        return not outer.module or inner.module.startswith(f"{outer.module}.")
    return inner.first < outer.last
