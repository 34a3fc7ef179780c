"""Graphs of losses that outlive their update: somebody keeps the loss itself where its number would do."""

import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from didact.doctor.chart import Chart
from didact.doctor.operations import kind_of

MANY = 10  # losses in a row whose graphs are all there still
MOST_NODES = 2000  # of a graph that are looked at
MARK = "didact"
PLAIN = ("Div", "Mul", "Neg", "Add", "Sub", "Clamp", "ClampMin", "ClampMax")  # of one loss and a number


class _Mark:
    """Lives as long as the node of the graph that it is put on."""


class Graphs:
    """Marks the graphs of losses, and sees which of the marks are left."""

    def __init__(self, chart: Chart):
        self.chart = chart
        self.marks: deque[weakref.ref[_Mark]] = deque(maxlen=MANY)

    def heard(self, loss: Tensor) -> None:
        """A loss is about to be differentiated."""
        if loss.grad_fn is None:
            return
        if len(self.marks) == MANY and all(mark() is not None for mark in self.marks):
            self.chart.count("graphs kept")
        mark = _Mark()
        for node in scaled(loss.grad_fn):
            node.metadata[MARK] = mark
        self.marks.append(weakref.ref(mark))


def leaves_of(tensor: Tensor) -> list[Tensor]:
    """What a tensor was made of and can learn: the leaves of its graph."""
    found: dict[int, Tensor] = {}
    seen: set[Any] = set()
    waiting: list[Any] = [tensor.grad_fn]
    while waiting and len(seen) < MOST_NODES:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            leaf = getattr(node, "variable", None)
            found |= {id(leaf): leaf} if isinstance(leaf, Tensor) else {}
            waiting += [before for before, _ in node.next_functions]
    return list(found.values())


def scaled(node: Any) -> Iterator[Any]:
    """The node of a loss, and those of the loss before a number was laid on it: divided, added, clamped."""
    if node is None:
        return
    yield node
    before = [earlier for earlier, _ in node.next_functions if earlier is not None]
    if kind_of(node) in PLAIN and len(before) == 1 and before[0].next_functions:
        yield from scaled(before[0])
