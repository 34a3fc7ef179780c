"""What each index of a tensor sees of one axis of the input: the arithmetic under field.py.

Two things are carried side by side. The exact interval of pixels for every index, borders included, as two
small arrays. And the rule that holds far from the borders: index i sees [low + i j, high + i j].

After an upsampling neighbours differ: with two times as many indices, an even one and an odd one lie
differently on the same pixels. A rule therefore has phases: index q P + r sees [low_r + q J, high_r + q J],
r = 0 .. P - 1.
"""

# N size of an axis, P phases, J jump of a period in pixels

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

FAR = 2**40  # an interval from FAR to -FAR holds nothing, and adds nothing to a union


@dataclass(frozen=True)
class Rule:
    """How far from the borders an index along ``dim`` sees.

    Attributes:
        dim: The dimension of the tensor that the index runs along.
        phases: (low_r, high_r) for r = 0 .. P - 1.
        jump: J, pixels from one period to the next.
    """

    dim: int
    phases: tuple[tuple[int, int], ...]
    jump: int

    def at(self, index: int) -> tuple[int, int]:
        """The first and last pixel, outside of the image too."""
        turn, phase = divmod(index, len(self.phases))
        low, high = self.phases[phase]
        return low + turn * self.jump, high + turn * self.jump

    @property
    def pace(self) -> float:
        """Pixels from one index to the next, on average: jump of the lectures."""
        return self.jump / len(self.phases)

    def simplest(self) -> "Rule":
        """The same with as few phases as say it."""
        count = len(self.phases)
        for few in range(1, count):
            if count % few == 0 and self.jump * few % count == 0:
                shorter = replace(self, phases=self.phases[:few], jump=self.jump * few // count)
                if all(shorter.at(k) == self.phases[k] for k in range(count)):
                    return shorter
        return self


@dataclass(frozen=True)
class Window:
    """What an operation reads along an axis.

    Attributes:
        reads: The indices of its input that an output index reads, those outside of it too.
        outputs, inputs: So many outputs on, it reads so many inputs on: (1, 2) for a stride of 2.
        border: Where an index outside takes its value from, (index, N) -> index; None for zeros.
    """

    reads: Callable[[int], Sequence[int]]
    outputs: int = 1
    inputs: int = 1
    border: Callable[[int, int], int] | None = None


@dataclass(frozen=True, eq=False)
class Sight:
    """One axis of the input, seen from one tensor.

    Attributes:
        low, high: The first and last pixel by index: arrays of as many dimensions as the tensor, each of them
            as long as the tensor's, or 1 where it makes no difference.
        rule: What holds far from the borders; None if nothing does.
        why: What took the rule away.
    """

    low: np.ndarray
    high: np.ndarray
    rule: Rule | None
    why: str = ""

    @property
    def same_everywhere(self) -> bool:
        """Whether every index sees the same."""
        return self.low.size == 1

    def arrays(self, change: Callable[[np.ndarray], np.ndarray], rule: Rule | None, why: str = "") -> "Sight":
        """Both arrays changed alike."""
        return settled(Sight(change(self.low), change(self.high), rule, why or self.why))

    def hull(self, dims: Sequence[int]) -> "Sight":
        """All that is seen along some dimensions, which stay with length 1."""
        dims = tuple(dims)
        rule = self.rule if self.rule is None or self.rule.dim not in dims else None
        low, high = self.low.min(axis=dims, keepdims=True), self.high.max(axis=dims, keepdims=True)
        return settled(Sight(low, high, rule, self.why))

    def moved(self, change: Callable[[np.ndarray], np.ndarray], places: Callable[[int], int]) -> "Sight":
        """Dimensions in another order; ``places`` tells where one has gone."""
        rule = self.rule and replace(self.rule, dim=places(self.rule.dim))
        return self.arrays(change, rule)

    def through(self, dim: int, window: Window, size: int, outputs: int) -> "Sight":
        """What is seen through an operation that reads along ``dim``, of ``size``, and gives ``outputs``."""
        places = _places(window, size, outputs)
        valid = places >= 0
        rule, why = self.rule, self.why
        if rule is not None and rule.dim == dim:
            rule = _rule_through(rule, window)
            why = why if rule else "some outputs read nothing"
        if self.low.shape[dim] == 1 and size > 1 and valid.any(1).all():
            return Sight(self.low, self.high, rule, why)
        return settled(
            Sight(
                _read(self.low, dim, size, places, valid, FAR, np.minimum),
                _read(self.high, dim, size, places, valid, -FAR, np.maximum),
                rule,
                why,
            )
        )


def _places(window: Window, size: int, outputs: int) -> np.ndarray:
    """(outputs, most reads): the indices that are read, -1 where nothing is."""
    rows = [window.reads(index) for index in range(outputs)]
    places = np.full((outputs, max(1, max(map(len, rows)))), -1, dtype=np.int64)
    for row, reads in enumerate(rows):
        inside = [window.border(place, size) if window.border else place for place in reads]
        places[row, : len(inside)] = [place if 0 <= place < size else -1 for place in inside]
    return places


def _read(
    array: np.ndarray,
    dim: int,
    size: int,
    places: np.ndarray,
    valid: np.ndarray,
    nothing: int,
    join: np.ufunc,
) -> np.ndarray:
    whole = along(array, dim, size)
    taken = np.moveaxis(whole, dim, -1)[..., places.clip(0)]
    return np.moveaxis(join.reduce(np.where(valid, taken, nothing), axis=-1), -1, dim)


def _rule_through(rule: Rule, window: Window) -> Rule | None:
    """The rule of what is read; None where an output reads nothing."""
    turns = len(rule.phases) // math.gcd(len(rule.phases), window.inputs)
    phases = []
    for index in range(window.outputs * turns):
        seen = [rule.at(place) for place in window.reads(index)]
        if not seen:
            return None
        phases.append((min(low for low, _ in seen), max(high for _, high in seen)))
    jump = rule.jump * window.inputs * turns // len(rule.phases)
    return Rule(rule.dim, tuple(phases), jump).simplest()


def along(array: np.ndarray, dim: int, size: int) -> np.ndarray:
    """An array as long as the tensor along one dimension."""
    return array if array.shape[dim] == size else np.repeat(array, size, axis=dim)


def settled(sight: Sight) -> Sight:
    """Dimensions along which nothing differs, shortened to 1; no rule, and no excuse, where nothing does."""
    low, high = sight.low, sight.high
    for dim, size in enumerate(low.shape):
        first = (slice(None),) * dim + (slice(0, 1),)
        if size > 1 and (low == low[first]).all() and (high == high[first]).all():
            low, high = low[first], high[first]
    without = low.size == 1 and sight.rule is None
    return Sight(low, high, sight.rule, "" if without else sight.why)


def union(sights: Sequence[Sight], op: str) -> Sight:
    """What is seen through several branches that are joined index by index, aligned at the last dimension."""
    if len(sights) == 1:
        return sights[0]
    most = max(sight.low.ndim for sight in sights)
    sights = [_in_front(sight, most - sight.low.ndim) for sight in sights]
    low, high = sights[0].low, sights[0].high
    for sight in sights[1:]:
        low, high = np.minimum(low, sight.low), np.maximum(high, sight.high)
    rule, why = joined(sights, op)
    return settled(Sight(low, high, rule, why))


def joined(sights: Sequence[Sight], op: str) -> tuple[Rule | None, str]:
    """One rule for all, or why there is none."""
    rules = [sight.rule for sight in sights if sight.rule is not None]
    why = next((sight.why for sight in sights if sight.why), "")
    if why or not rules:
        return None, why
    if len(rules) < len(sights):
        return None, f"{op} joins a branch that sees the same from everywhere with one that does not"
    if len({rule.dim for rule in rules}) > 1:
        return None, f"{op} joins branches that lie along different dimensions"
    if len({rule.pace for rule in rules}) > 1:
        paces = " and ".join(f"{pace:g}" for pace in sorted({rule.pace for rule in rules}))
        return None, f"{op} joins branches whose jumps are {paces}"
    period = math.lcm(*(len(rule.phases) for rule in rules))
    seen = [[rule.at(index) for rule in rules] for index in range(period)]
    phases = tuple((min(low for low, _ in each), max(high for _, high in each)) for each in seen)
    return Rule(rules[0].dim, phases, round(rules[0].pace * period)).simplest(), ""


def _in_front(sight: Sight, count: int) -> Sight:
    """New dimensions of length 1 before the others."""
    if not count:
        return sight
    places = tuple(range(count))
    return sight.moved(lambda array: np.expand_dims(array, places), lambda dim: dim + count)


def reshaped(sight: Sight, old: Sequence[int], new: Sequence[int], op: str) -> Sight:
    """A tensor of the shape ``old`` viewed in the shape ``new``: same numbers, other dimensions."""
    groups, rule = _groups(tuple(old), tuple(new)), None
    for before, after in groups:
        if sight.rule is not None and sight.rule.dim in before:
            size = old[sight.rule.dim]
            same = [dim for dim in after if new[dim] == size > 1]
            kept = [dim for dim in before if old[dim] > 1] == [sight.rule.dim] and len(same) == 1
            rule = replace(sight.rule, dim=same[0]) if kept else None
    why = f"{op} joins an axis with others or takes it apart" if sight.rule and not rule else ""
    return sight.arrays(lambda array: _reshaped(array, groups, old, new), rule, why)


def _reshaped(
    array: np.ndarray, groups: Sequence[tuple[list[int], list[int]]], old: Sequence[int], new: Sequence[int]
) -> np.ndarray:
    shape: list[int] = []
    for before, after in groups:
        if all(array.shape[dim] == 1 for dim in before):
            shape += [1] * len(after)
            continue
        for dim in before:
            array = along(array, dim, old[dim])
        shape += [new[dim] for dim in after]
    return array.reshape(shape)


def _groups(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Runs of dimensions of both shapes that hold the same numbers."""
    groups, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        before, after = [i] if i < len(old) else [], [j] if j < len(new) else []
        left, right = math.prod(old[i : i + 1]), math.prod(new[j : j + 1])
        while left != right:
            if left < right:
                before.append(i + len(before))
                left *= old[before[-1]]
            else:
                after.append(j + len(after))
                right *= new[after[-1]]
        groups.append((before, after))
        i, j = i + len(before), j + len(after)
    return groups


def grouped(sight: Sight, dim: int, size: int, groups: int, outputs: int) -> Sight:
    """A layer that mixes channels inside each of ``groups`` sets, and gives ``outputs`` channels."""
    if sight.low.shape[dim] == 1:
        return sight
    if groups == 1:
        return sight.hull([dim])

    def mixed(array: np.ndarray, join: np.ufunc) -> np.ndarray:
        parts = np.split(along(array, dim, size), groups, axis=dim)
        hulls = [join.reduce(part, axis=dim, keepdims=True) for part in parts]
        return np.concatenate([np.repeat(hull, outputs // groups, axis=dim) for hull in hulls], axis=dim)

    return settled(Sight(mixed(sight.low, np.minimum), mixed(sight.high, np.maximum), sight.rule, sight.why))
