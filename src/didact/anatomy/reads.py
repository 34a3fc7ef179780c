"""What each operation reads of its inputs, index by index: one rule for each, and none that guesses.

An operation without a rule leaves what comes after it undefined, with its name. Statistics that a group,
layer or instance norm takes over the image are left out, as the literature does; what passed one says so.
"""

# B batch, C channels

from collections.abc import Callable, Sequence

import numpy as np

from didact.anatomy import reads_axes, reads_windows
from didact.anatomy.reading import Reading, State, changed, first, output, tensors_in, with_dims
from didact.anatomy.sight import Rule, Sight, union
from didact.anatomy.trace import Call, Trace


class Reader(Reading):
    """Walks a trace and keeps the state of each tensor."""

    def __init__(self, trace: Trace):
        super().__init__(trace)
        self._apart: dict[int, tuple[int, ...]] = {}  # pieces of a memory that do not overlap

    def step(self, call: Call) -> None:
        """Follow one operation."""
        given = [self.states[number] for number in call.inputs if number in self.states]
        name = plain_name(call.op)
        if RULES.get(name) in (reads_axes.split, reads_axes.unbind):
            self._apart.update(dict.fromkeys(call.outputs, call.outputs))
        if not given or name in FORGET:
            for number in call.outputs:
                self.states.pop(number, None)
            return
        undefined = next((state.undefined for state in given if state.undefined), "") or self._objection(call)
        notes = frozenset[str]().union(*(state.notes for state in given))
        if undefined:
            made = [State(undefined=undefined, notes=notes)] * len(call.outputs)
        else:
            made = [State(s.sights, s.undefined, s.notes | notes) for s in RULES[name](self, call)]
        self._keep(call, made)

    def _objection(self, call: Call) -> str:
        """Why there is no telling what an operation reads; "" if there is."""
        rule = RULES.get(plain_name(call.op))
        if rule is None:
            return f"{call.op}: no rule for it"
        readers = JOIN.get(rule, 1)
        others = (call.args[readers:], list(call.kwargs.values()))
        return (
            f"{call.op}: what it does depends on the input" if any(map(self.of, tensors_in(others))) else ""
        )

    def _keep(self, call: Call, made: Sequence[State]) -> None:
        for number, state in zip(call.outputs, made, strict=False):
            if number in call.inputs and call.op.endswith("_") and not _equal(self.states.get(number), state):
                self._forget_views(call, number)
            self.states[number] = state
            if not state.sights and not state.undefined:
                del self.states[number]  # written over with what the input has no part in

    def _forget_views(self, call: Call, number: int) -> None:
        """Of the other tensors on a memory that was written to, no more is known."""
        memory = self.trace.tensors[number].storage
        for other, fact in enumerate(self.trace.tensors):
            if fact.storage == memory and other not in (number, *self._apart.get(number, ())):
                self.states[other] = State(undefined=f"{call.op}: writes into a part of it")


def plain_name(op: str) -> str:
    """An operation in place is the operation."""
    return op[:-1] if op.endswith("_") and not op.startswith("__") else op


def _equal(old: State | None, new: State) -> bool:
    """Whether two states say the same."""
    if old is None or old.undefined != new.undefined or len(old.sights) != len(new.sights):
        return False
    pairs = zip(old.sights, new.sights, strict=True)
    return all(
        a.rule == b.rule and np.array_equal(a.low, b.low) and np.array_equal(a.high, b.high) for a, b in pairs
    )


def _elementwise(reader: Reading, call: Call) -> list[State]:
    states = [
        state for ref in tensors_in((call.args, list(call.kwargs.values()))) if (state := reader.of(ref))
    ]
    joint = tuple(union(sights, call.op) for sights in zip(*(s.sights for s in states), strict=True))
    count = len(output(reader, call))
    return [
        State(tuple(with_dims(sight, count) for sight in joint)),
        *[State(joint)] * (len(call.outputs) - 1),
    ]


def _copy(reader: Reading, call: Call) -> list[State]:
    """Written over: only the new numbers count."""
    state = reader.of(call.args[1])
    count = len(output(reader, call))
    return [changed(state, lambda sight: with_dims(sight, count))] if state else [State()]


def _norm(reader: Reading, call: Call) -> list[State]:
    """At rest a batch norm is a line for each map. The statistics of the others are left out, and noted."""
    state, shape = first(reader, call)
    if "batch_norm" in call.op:
        own = any(value is True for value in call.args[3:7]) and "no_training" not in call.op
        dims = [0, *range(2, len(shape))] if own else []
    else:
        dims = list(range(1, len(shape)))
        if "layer" in call.op or "rms" in call.op:
            dims = list(range(len(shape) - len(call.args[1]), len(shape)))
    over = any(sight.low.shape[dim] > 1 for sight in state.sights for dim in dims)
    note = f"statistics of {call.op.removeprefix('native_')} left out" if over else ""
    return [changed(state, lambda sight: sight, note), *[State(undefined="statistics of a norm")] * 2]


def _matmul(reader: Reading, call: Call) -> list[State]:
    """out[i, j] reads row i of one and column j of the other; what is added, index by index."""
    added = call.args[:-2] if call.op in ("addmm", "baddbmm", "addmv") else ()
    one, other = call.args[len(added) : len(added) + 2]
    if len(reader.shape(one)) < 2 or len(reader.shape(other)) < 2:
        return [State(undefined=f"{call.op}: no rule for vectors")]
    branches = [changed(s, lambda sight: sight.hull([sight.low.ndim - 1])) for s in [reader.of(one)] if s]
    branches += [changed(s, lambda sight: sight.hull([sight.low.ndim - 2])) for s in [reader.of(other)] if s]
    branches += [state for ref in tensors_in(added) if (state := reader.of(ref))]
    joint = zip(*(state.sights for state in branches), strict=True)
    return [State(tuple(union(sights, call.op) for sights in joint))]


def _attention(reader: Reading, call: Call) -> list[State]:
    """Each query reads all keys and values of its head."""
    query, key, value = (reader.of(ref) for ref in call.args[:3])
    branches = [changed(s, lambda sight: sight.hull([sight.low.ndim - 1])) for s in [query] if s]
    branches += [
        changed(s, lambda sight: sight.hull([sight.low.ndim - 2, sight.low.ndim - 1]))
        for s in (key, value)
        if s
    ]
    joint = zip(*(state.sights for state in branches), strict=True)
    made = State(tuple(union(sights, call.op) for sights in joint))
    rest = len(call.outputs) - 1
    return [made, *[State(undefined=f"{call.op}: what it keeps for the way back")] * rest]


_FORGET = """
    zeros_like ones_like full_like empty_like rand_like randn_like new_empty new_zeros new_ones new_full
    new_empty_strided zero fill normal uniform
    """
FORGET = frozenset(_FORGET.split())  # of their inputs only the shape counts
_GROUPS: tuple[tuple[Callable[[Reading, Call], list[State]], str], ...] = (
    (
        _elementwise,
        "relu leaky_relu elu celu selu gelu silu mish sigmoid tanh hardtanh hardswish hardsigmoid hardshrink "
        "softshrink softplus softsign log_sigmoid_forward threshold _prelu_kernel rrelu_with_noise relu6 "
        "add sub rsub mul div pow sqrt rsqrt square exp expm1 log log1p log2 neg abs sign reciprocal erf sin "
        "cos clamp clamp_min clamp_max minimum maximum where lerp addcmul addcdiv floor ceil round "
        "masked_fill eq ne lt le gt ge logical_and logical_or logical_not isnan bitwise_not "
        "clone detach alias _to_copy contiguous lift_fresh native_dropout bernoulli",
    ),
    (_copy, "copy"),
    (
        _norm,
        "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm "
        "native_layer_norm native_group_norm _fused_rms_norm rms_norm",
    ),
    (reads_windows.convolution, "convolution"),
    (
        reads_windows.pooling,
        "max_pool2d_with_indices max_pool3d_with_indices max_pool2d avg_pool2d avg_pool3d",
    ),
    (
        reads_windows.adaptive_pooling,
        "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d",
    ),
    (
        reads_windows.upsampling,
        "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d "
        "_upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d "
        "upsample_trilinear3d upsample_bicubic2d",
    ),
    (reads_windows.pixel_shuffle, "pixel_shuffle pixel_unshuffle"),
    (
        reads_windows.padding,
        "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
        "replication_pad2d replication_pad3d",
    ),
    (
        reads_axes.reduction,
        "mean sum prod amax amin max min var var_mean std std_mean logsumexp linalg_vector_norm norm argmax "
        "argmin",
    ),
    (reads_axes.along_one, "_softmax _log_softmax _safe_softmax softmax log_softmax"),
    (reads_axes.view, "view _unsafe_view reshape _reshape_alias flatten unflatten"),
    (reads_axes.unsqueeze, "unsqueeze"),
    (reads_axes.squeeze, "squeeze"),
    (reads_axes.permute, "permute transpose t swapaxes"),
    (reads_axes.expand, "expand"),
    (reads_axes.cut, "slice"),
    (reads_axes.select, "select"),
    (reads_axes.unbind, "unbind"),
    (reads_axes.split, "split unsafe_split split_with_sizes unsafe_split_with_sizes chunk unsafe_chunk"),
    (reads_axes.side_by_side, "cat stack"),
    (reads_axes.flip, "flip"),
    (reads_axes.repeat, "repeat"),
    (reads_axes.channel_shuffle, "channel_shuffle"),
    (reads_axes.embedding, "embedding"),
    (_matmul, "mm bmm addmm baddbmm matmul"),
    (
        _attention,
        "_scaled_dot_product_attention_math _scaled_dot_product_flash_attention "
        "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_efficient_attention "
        "_scaled_dot_product_cudnn_attention scaled_dot_product_attention",
    ),
)
JOIN: dict[Callable[[Reading, Call], list[State]], int] = {  # rules that read more than the first argument
    _elementwise: 99,
    _copy: 2,
    _matmul: 3,
    _attention: 3,
    reads_axes.embedding: 2,
}
RULES = {name: rule for rule, names in _GROUPS for name in names.split()}


def look(shape: Sequence[int], dims: Sequence[int]) -> State:
    """The input itself: each index of an axis sees its own pixel."""
    sights = []
    for dim in dims:
        own = np.arange(shape[dim], dtype=np.int64)
        own = own.reshape([-1 if other == dim else 1 for other in range(len(shape))])
        sights.append(Sight(own, own, Rule(dim, ((0, 0),), 1)))
    return State(tuple(sights))
