"""What is read when dimensions are reordered, joined, cut, put side by side or summed over."""

# B batch, C channels

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from didact.anatomy.reading import Reading, State, argument, changed, first, output, tensors_in, with_dims
from didact.anatomy.sight import FAR, Sight, Window, along, joined, reshaped, settled
from didact.anatomy.trace import Call


def _dims(value: Any, count: int) -> list[int]:
    """Dimensions counted from the front; all of them where none is named."""
    if value is None or value == []:
        return list(range(count))
    return [dim % count for dim in ([value] if isinstance(value, int) else value)]


def reduction(reader: Reading, call: Call) -> list[State]:
    """A sum, mean or maximum reads all along some dimensions."""
    state, shape = first(reader, call)
    place = 2 if "norm" in call.op else 1
    dims = _dims(argument(call, place, "dim"), len(shape))
    kept = len(output(reader, call)) == len(shape)
    return [changed(state, lambda sight: _without(sight.hull(dims), [] if kept else dims))] * len(
        call.outputs
    )


def _without(sight: Sight, dims: Sequence[int]) -> Sight:
    """Dimensions of length 1 taken out."""
    if not dims:
        return sight
    return sight.moved(
        lambda array: np.squeeze(array, tuple(dims)), lambda dim: dim - sum(each < dim for each in dims)
    )


def along_one(reader: Reading, call: Call) -> list[State]:
    """Each output reads its whole row: softmax."""
    state, shape = first(reader, call)
    dims = _dims(argument(call, 1, "dim"), len(shape))
    return [changed(state, lambda sight: sight.hull(dims))] * len(call.outputs)


def view(reader: Reading, call: Call) -> list[State]:
    """The same numbers in other dimensions."""
    state, shape = first(reader, call)
    return [changed(state, lambda sight: reshaped(sight, shape, output(reader, call), call.op))]


def unsqueeze(reader: Reading, call: Call) -> list[State]:
    """A new dimension of length 1."""
    state, shape = first(reader, call)
    return [changed(state, partial(_opened_up, new=call.args[1] % (len(shape) + 1)))]


def _opened_up(sight: Sight, new: int) -> Sight:
    return sight.moved(lambda array: np.expand_dims(array, new), lambda dim: dim + (dim >= new))


def squeeze(reader: Reading, call: Call) -> list[State]:
    """Dimensions of length 1 taken out."""
    state, shape = first(reader, call)
    dims = [dim for dim in _dims(argument(call, 1, "dim"), len(shape)) if shape[dim] == 1]

    def change(sight: Sight) -> Sight:
        sight = sight.hull(dims) if sight.rule and sight.rule.dim in dims else sight
        return _without(sight, dims)

    return [changed(state, change)]


def permute(reader: Reading, call: Call) -> list[State]:
    """Dimensions in another order."""
    state, shape = first(reader, call)
    order = list(range(len(shape)))
    if call.op == "permute":
        order = [dim % len(shape) for dim in call.args[1]]
    elif len(shape) > 1:
        one, other = (0, 1) if call.op == "t" else (dim % len(shape) for dim in call.args[1:3])
        order[one], order[other] = other, one
    return [changed(state, lambda sight: sight.moved(lambda a: a.transpose(order), order.index))]


def expand(reader: Reading, call: Call) -> list[State]:
    """The same again along dimensions of length 1."""
    state, _ = first(reader, call)
    count = len(output(reader, call))
    return [changed(state, lambda sight: with_dims(sight, count))]


def cut(reader: Reading, call: Call) -> list[State]:
    """Every so-manieth index from one to another."""
    state, shape = first(reader, call)
    dim = argument(call, 1, "dim", 0) % len(shape)
    bounds = slice(argument(call, 2, "start"), argument(call, 3, "end"), argument(call, 4, "step", 1))
    start, _, step = bounds.indices(shape[dim])
    return [changed(state, lambda sight: _cut(sight, dim, start, step, shape, output(reader, call)[dim]))]


def _cut(sight: Sight, dim: int, start: int, step: int, shape: Sequence[int], count: int) -> Sight:
    part = sight.through(dim, Window(lambda index: [start + index * step], 1, step), shape[dim], count)
    if part.rule is None or part.rule.dim == dim or sight.low.shape[dim] == 1:
        return part
    all_of, some = sight.hull([dim]), part.hull([dim])
    if np.array_equal(all_of.low, some.low) and np.array_equal(all_of.high, some.high):
        return part
    return Sight(part.low, part.high, None, "a part of the channels was taken, and they do not see alike")


def select(reader: Reading, call: Call) -> list[State]:
    """One index, its dimension taken out."""
    state, shape = first(reader, call)
    dim = call.args[1] % len(shape)
    index = call.args[2] % shape[dim]
    return [changed(state, lambda sight: _picked(sight, dim, index, shape))]


def _picked(sight: Sight, dim: int, index: int, shape: Sequence[int]) -> Sight:
    return _without(_cut(sight, dim, index, 1, shape, 1).hull([dim]), [dim])


def unbind(reader: Reading, call: Call) -> list[State]:
    """Every index by itself."""
    state, shape = first(reader, call)
    dim = argument(call, 1, "dim", 0) % len(shape)
    return [changed(state, partial(_picked, dim=dim, index=k, shape=shape)) for k in range(shape[dim])]


def split(reader: Reading, call: Call) -> list[State]:
    """Pieces of a dimension."""
    state, shape = first(reader, call)
    dim = argument(call, 2, "dim", 0) % len(shape)
    made, start = [], 0
    for number in call.outputs:
        count = reader.trace.shape(number)[dim]
        made.append(changed(state, partial(_cut, dim=dim, start=start, step=1, shape=shape, count=count)))
        start += count
    return made


def side_by_side(reader: Reading, call: Call) -> list[State]:
    """Tensors one behind the other, along a dimension or a new one."""
    out = output(reader, call)
    dim = argument(call, 1, "dim", 0) % len(out)
    new = call.op == "stack"
    refs = [ref for ref in tensors_in(call.args[0]) if new or len(reader.shape(ref)) == len(out)]  # not (0,)
    sizes = [1 if new else reader.shape(ref)[dim] for ref in refs]
    states = [reader.of(ref) for ref in refs]
    if new:
        states = [state and changed(state, partial(_opened_up, new=dim)) for state in states]
    count = max(len(state.sights) for state in states if state)
    axes = [[state.sights[k] if state else None for state in states] for k in range(count)]
    return [State(tuple(_side_by_side(sights, sizes, dim, call.op) for sights in axes))]


def _side_by_side(sights: Sequence[Sight | None], sizes: Sequence[int], dim: int, op: str) -> Sight:
    present = [sight for sight in sights if sight is not None]
    shapes = (tuple(1 if d == dim else n for d, n in enumerate(sight.low.shape)) for sight in present)
    shape = np.broadcast_shapes(*shapes)
    rule, why = joined(present, op)
    if rule is not None and rule.dim == dim and len(sights) > 1:
        rule, why = None, f"{op} puts others beside along the axis"
    lows = [_piece(s.low if s else None, shape, dim, n, FAR) for s, n in zip(sights, sizes, strict=True)]
    highs = [_piece(s.high if s else None, shape, dim, n, -FAR) for s, n in zip(sights, sizes, strict=True)]
    return settled(Sight(np.concatenate(lows, axis=dim), np.concatenate(highs, axis=dim), rule, why))


def _piece(array: np.ndarray | None, shape: Sequence[int], dim: int, size: int, nothing: int) -> np.ndarray:
    wanted = [size if d == dim else n for d, n in enumerate(shape)]
    return np.full(wanted, nothing) if array is None else np.broadcast_to(along(array, dim, size), wanted)


def flip(reader: Reading, call: Call) -> list[State]:
    """Dimensions backwards."""
    state, shape = first(reader, call)
    dims = _dims(call.args[1], len(shape))

    def change(sight: Sight) -> Sight:
        turned = sight.rule is not None and sight.rule.dim in dims
        rule, why = (None, "flip: the axis runs backwards") if turned else (sight.rule, "")
        return sight.arrays(lambda array: np.flip(array, tuple(dims)), rule, why)

    return [changed(state, change)]


def repeat(reader: Reading, call: Call) -> list[State]:
    """The same again and again."""
    state, _ = first(reader, call)
    counts = call.args[1]

    def change(sight: Sight) -> Sight:
        sight = with_dims(sight, len(counts))
        times = [count if size > 1 else 1 for count, size in zip(counts, sight.low.shape, strict=True)]
        again = sight.rule is not None and counts[sight.rule.dim] > 1
        rule, why = (None, "repeat: the axis begins again") if again else (sight.rule, "")
        return sight.arrays(lambda array: np.tile(array, times), rule, why)

    return [changed(state, change)]


def channel_shuffle(reader: Reading, call: Call) -> list[State]:
    """Channels of different groups taken in turn."""
    state, shape = first(reader, call)
    groups = call.args[1]
    order = np.arange(shape[1]).reshape(groups, -1).T.ravel()

    def change(sight: Sight) -> Sight:
        return sight.arrays(lambda a: a if a.shape[1] == 1 else np.take(a, order, axis=1), sight.rule)

    return [changed(state, change)]


def embedding(reader: Reading, call: Call) -> list[State]:
    """Each index by itself picks a row."""
    state = reader.of(call.args[1])
    if state is None:
        return [State(undefined="embedding: its table depends on the input")]
    return [changed(state, lambda sight: sight.moved(lambda a: np.expand_dims(a, -1), lambda dim: dim))]
