"""What is known while a trace is followed: the state of each tensor, and how a rule asks for it."""

# N size of an axis

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from didact.anatomy.sight import Sight
from didact.anatomy.trace import Call, Ref, Trace


@dataclass(frozen=True, eq=False)
class State:
    """What is known of a tensor.

    Attributes:
        sights: One for each axis of the input; none if undefined.
        undefined: Why nothing is known, or "".
        notes: What was left out on the way.
    """

    sights: tuple[Sight, ...] = ()
    undefined: str = ""
    notes: frozenset[str] = frozenset()


class Reading:
    """The states so far; what does not depend on the input has none.

    Attributes:
        states: By the number of the tensor.
    """

    def __init__(self, trace: Trace):
        self.trace = trace
        self.states: dict[int, State] = {}

    def of(self, value: Any) -> State | None:
        """The state of an argument; None of a number, or of a tensor that the input has no part in."""
        return self.states.get(value.number) if isinstance(value, Ref) else None

    def shape(self, value: Any) -> tuple[int, ...]:
        """The shape of an argument."""
        return self.trace.shape(value.number)


def tensors_in(value: Any) -> Iterable[Ref]:
    """The tensors among arguments, lists of them included."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors_in(each)


def argument(call: Call, place: int, name: str, otherwise: Any = None) -> Any:
    """An argument by its place or its name."""
    return call.args[place] if len(call.args) > place else call.kwargs.get(name, otherwise)


def for_each_axis(value: Any, count: int) -> list[int]:
    """One number for each axis."""
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values


def changed(state: State, change: Callable[[Sight], Sight], note: str = "") -> State:
    """The same change on every axis."""
    return State(tuple(change(sight) for sight in state.sights), "", frozenset([note] if note else []))


def first(reader: Reading, call: Call) -> tuple[State, tuple[int, ...]]:
    """What the first argument sees, and its shape."""
    state = reader.of(call.args[0])
    return state or State(), reader.shape(call.args[0])


def output(reader: Reading, call: Call) -> tuple[int, ...]:
    """The shape of what an operation gives."""
    return reader.trace.shape(call.outputs[0])


def with_dims(sight: Sight, count: int) -> Sight:
    """A small tensor takes part in a larger one, which the input has no part in."""
    more = count - sight.low.ndim
    places = tuple(range(max(0, more)))
    return sight.moved(lambda array: np.expand_dims(array, places), lambda dim: dim + max(0, more))
