"""The receptive field by the graph: which pixels of the input an output can see.

Every operation of a trace is followed, branches are joined, and output index i of a layer is known to see the
pixels [low + i jump, high + i jump] of each axis; low is negative where padding is seen.

See also: anatomy/reads.py, what each operation reads; anatomy/receptive_field.py, the same measured.
"""

# B batch, C channels, N size of an axis, r size of the field

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from didact.anatomy.reads import Reader, State, look
from didact.anatomy.sight import FAR, Sight
from didact.anatomy.trace import Trace, Visit

ALONG = ("conv", "pool", "pad", "upsample")  # what slides along a last dimension, which then is no feature


@dataclass(frozen=True, eq=False)
class Along:
    """The field along one axis of the input.

    Attributes:
        pixels: N, size of the axis.
        sight: What each index of the tensor sees.
        dim: The dimension of the tensor that runs along the axis; None if none does, or several.
        length: Size of that dimension.
    """

    pixels: int
    sight: Sight
    dim: int | None
    length: int

    @property
    def whole(self) -> bool:
        """Whether no dimension of the tensor runs along the axis: every output sees the same."""
        return self.sight.rule is None and self.sight.same_everywhere

    @property
    def regular(self) -> bool:
        """Whether one rule [low + i jump, high + i jump] holds for every index."""
        return self.whole or (self.sight.rule is not None and len(self.sight.rule.phases) == 1)

    @property
    def why(self) -> str:
        """Why there is no such rule."""
        if self.sight.rule is not None and not self.regular:
            return f"differs from index to index, and repeats after {len(self.sight.rule.phases)}"
        return self.sight.why

    @property
    def jump(self) -> float | None:
        """Pixels from one index to the next; an average where it varies, None if there is no rule."""
        if self.whole:
            return 0
        rule = self.sight.rule
        return None if rule is None else int(rule.pace) if rule.pace == int(rule.pace) else rule.pace

    def interval(self, index: int = 0) -> tuple[int, int] | None:
        """The first and last pixel by the rule: outside of the image, where padding is seen."""
        if self.sight.rule is not None:
            return self.sight.rule.at(index)
        return (int(self.sight.low.min()), int(self.sight.high.max())) if self.whole else None

    def seen(self, index: int = 0) -> tuple[int, int] | None:
        """The first and last pixel inside the image; None if nothing is seen. Exact at the borders too."""
        low, high = (self._at(array, index) for array in (self.sight.low, self.sight.high))
        least, most = int(low.min()), int(high.max())
        return None if least > most else (least, most)

    def _at(self, array: np.ndarray, index: int) -> np.ndarray:
        if self.dim is None or array.shape[self.dim] == 1:
            return array
        return np.take(array, index, axis=self.dim)

    @property
    def size(self) -> int:
        """r: pixels that an output sees, padding included; the most where it varies."""
        rule = self.sight.rule
        if rule is not None:
            return max(high - low for low, high in rule.phases) + 1
        least, most = self.sight.low, self.sight.high
        return max(0, int((most - least).max()) + 1) if (least < FAR).any() else 0

    @property
    def centre(self) -> float | None:
        """Where the field of the first output has its middle, in pixels from that of the first pixel."""
        interval = self.interval(0)
        return None if interval is None else sum(interval) / 2


@dataclass(frozen=True, eq=False)
class Field:
    """What the outputs of a layer see of the input, axis by axis.

    Attributes:
        axes: One for each spatial axis; empty if undefined.
        undefined: The operation that there is no rule for, or "".
        notes: What was left out on the way.
    """

    axes: tuple[Along, ...] = ()
    undefined: str = ""
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return tuple(axis.size for axis in self.axes)

    @property
    def jump(self) -> tuple[float | None, ...]:
        """Pixels between neighbouring outputs."""
        return tuple(axis.jump for axis in self.axes)

    @property
    def centre(self) -> tuple[float | None, ...]:
        """The middle of the first output's field, padding counted."""
        return tuple(axis.centre for axis in self.axes)

    @property
    def why(self) -> str:
        """Why it is undefined, or has no one rule; "" if all is well."""
        return self.undefined or next((axis.why for axis in self.axes if axis.why), "")

    def interval(self, index: Sequence[int]) -> tuple[tuple[int, int] | None, ...]:
        """Pixels of each axis that an output index sees, padding included."""
        return tuple(axis.interval(i) for axis, i in zip(self.axes, index, strict=True))

    def seen(self, index: Sequence[int]) -> tuple[tuple[int, int] | None, ...]:
        """Pixels inside the image that an output index sees."""
        return tuple(axis.seen(i) for axis, i in zip(self.axes, index, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "size": list(self.size),
            "jump": list(self.jump),
            "centre": list(self.centre),
            "interval": [axis.interval(0) and list(axis.interval(0) or ()) for axis in self.axes],
            "regular": bool(self.axes) and all(axis.regular for axis in self.axes),
            "why": self.why,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        if not self.axes:
            return f"undefined ({self.undefined})" if self.undefined else "none"
        sizes = "x".join(str(size) for size in self.size)
        return sizes if all(axis.regular for axis in self.axes) else f"up to {sizes}"


def fields(trace: Trace, dims: Sequence[int] | None = None) -> dict[str, Field]:
    """The receptive field of each module's output, at its last visit.

    Args:
        trace: Of the network.
        dims: Dimensions of the first input that are axes; by default all after (B, C), and after (B,) where
            the input is whole numbers, such as tokens; none of (B, T, D) that nothing slides along.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from didact.anatomy.trace import trace
        >>> net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2), nn.Conv2d(1, 1, 3))
        >>> {name: field.size for name, field in fields(trace(net, torch.zeros(1, 1, 32, 32))).items()}
        {'': (8, 8), '0': (3, 3), '1': (4, 4), '2': (8, 8)}
    """
    return _followed(trace, dims)[0]


def field_of(trace: Trace, number: int, dims: Sequence[int] | None = None) -> Field:
    """The receptive field of one tensor of a trace, by its number, as it is when all is done."""
    return _followed(trace, dims)[1].get(number, Field())


def fields_given(trace: Trace, dims: Sequence[int] | None = None) -> dict[str, Field]:
    """The receptive field of what each module was given, at its last visit."""
    return _followed(trace, dims)[2]


def _followed(
    trace: Trace, dims: Sequence[int] | None
) -> tuple[dict[str, Field], dict[int, Field], dict[str, Field]]:
    """By module what it gave, by number what each tensor is, by module what it was given."""
    reader, shape = Reader(trace), _input_shape(trace)
    axes = _axes(trace) if dims is None else [dim % len(shape) for dim in dims]
    pixels = [shape[dim] for dim in axes]
    if axes:
        reader.states[trace.inputs[0]] = look(shape, axes)
    began, ended = _by_place(trace, "first"), _by_place(trace, "last")
    given, found = {visit.module: Field() for visit in trace.visits}, dict[str, Field]()
    for place in range(len(trace.calls) + 1):
        for visit in began.get(place, ()):
            given[visit.module] = _field(trace, reader.states, visit.inputs, pixels)
        for visit in ended.get(place, ()):
            found[visit.module] = _field(trace, reader.states, visit.outputs, pixels)
        if place < len(trace.calls):
            reader.step(trace.calls[place])
    by_number = {number: _field(trace, reader.states, [number], pixels) for number in reader.states}
    return {name: found[name] for name in given}, by_number, given


def _by_place(trace: Trace, end: str) -> dict[int, list[Visit]]:
    """The visits that begin, or end, before each operation."""
    places: dict[int, list[Visit]] = {}
    for visit in trace.visits:
        places.setdefault(getattr(visit, end), []).append(visit)
    return places


def _input_shape(trace: Trace) -> tuple[int, ...]:
    return trace.shape(trace.inputs[0]) if trace.inputs else ()


def _axes(trace: Trace) -> list[int]:
    """Dimensions that are places rather than batch or channels."""
    if not trace.inputs:
        return []
    fact = trace.tensors[trace.inputs[0]]
    if not fact.dtype.is_floating_point:
        return list(range(1, len(fact.shape)))
    if len(fact.shape) == 3 and not any(sign in call.op for call in trace.calls for sign in ALONG):
        return []  # (B, T, D) or (T, B, D): the last are features
    return list(range(2, len(fact.shape)))


def _field(trace: Trace, states: Mapping[int, State], numbers: Sequence[int], pixels: Sequence[int]) -> Field:
    """Of the first tensor that a module gives."""
    if not numbers or numbers[0] not in states:
        return Field()
    state, shape = states[numbers[0]], trace.shape(numbers[0])
    axes = [_along(sight, shape, count) for sight, count in zip(state.sights, pixels, strict=False)]
    return Field(tuple(axes), state.undefined, tuple(sorted(state.notes)))


def _along(sight: Sight, shape: Sequence[int], pixels: int) -> Along:
    if sight.rule is not None:
        return Along(pixels, sight, sight.rule.dim, shape[sight.rule.dim])
    differing = [dim for dim, size in enumerate(sight.low.shape) if size > 1]
    dim = differing[-1] if len(differing) == 1 else None
    return Along(pixels, sight, dim, 1 if dim is None else shape[dim])
