"""The formulas of each kind of layer, with its numbers put in."""

# B batch, N size of an axis, F size of a filter, S stride, P padding, D1 D2 maps in and out, I O features,
# H hidden units, T time, E width, L queries, K keys, r receptive field

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.pooling import (
    _AdaptiveAvgPoolNd,
    _AdaptiveMaxPoolNd,
    _AvgPoolNd,
    _MaxPoolNd,
)

from didact.anatomy.counts import FLOPS_PER_MAC
from didact.anatomy.field import Along, Field

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
PLACES = {"length": "place", "height": "row", "width": "column", "depth": "plane"}
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Facts:
    """What was counted on a layer, beside which its formulas are written.

    Attributes:
        part: The layer.
        inputs, output: Shapes, with the batch.
        parameters: Numbers that it learns.
        macs: Products with an addition.
        field, given: The receptive field of its outputs, and of what it was given.
    """

    part: Any
    inputs: tuple[Shape, ...]
    output: Shape
    parameters: int
    macs: int
    field: Field
    given: Field


def formulas(facts: Facts) -> list[str]:
    """Size, parameters, FLOPs and receptive field of a layer, a line for each."""
    kind = next((write for types, write in KINDS if isinstance(facts.part, types)), _other)
    return [_row(heading, words) for heading, words in kind(facts)]


def _row(heading: str, words: str) -> str:
    return f"{heading:<17}{words}"


def has_formulas(part: nn.Module) -> bool:
    """Whether there are formulas for this kind of layer."""
    return any(isinstance(part, types) for types, _ in KINDS)


Rows = list[tuple[str, str]]


# Results, each beside the one that was counted


def _parameters(facts: Facts, formula: str, value: int) -> Rows:
    if not facts.parameters:
        return [("parameters", "none")]
    words = f"{formula} = {value:,}" if formula and value == facts.parameters else f"{facts.parameters:,}"
    return [("parameters", words)]


def _flops(facts: Facts, formula: str, products: int) -> Rows:
    """Two for each product; a batch of several multiplies all of it."""
    flops = FLOPS_PER_MAC * facts.macs
    if not facts.macs:
        return [("FLOPs", "0: no sums of products; what it does is listed by name and not counted")]
    if not formula or products != facts.macs:
        return [("FLOPs", f"{flops:,}, from {facts.macs:,} MACs counted on its operations")]
    return [("FLOPs", f"{formula} = {flops:,}, from {facts.macs:,} MACs")]


def _times(*numbers: int) -> str:
    return "*".join(map(str, numbers))


def _batch(count: int) -> tuple[int, ...]:
    """A factor for a batch of several."""
    return (count,) if count > 1 else ()


def _shapes(facts: Facts) -> str:
    given = " and ".join(_without_batch(shape) for shape in facts.inputs[:3])
    return f"{given} -> {_without_batch(facts.output)}"


def _without_batch(shape: Shape) -> str:
    inner = ", ".join(map(str, shape[1:]))
    return f"({inner})" if len(shape) > 1 else str(tuple(shape))


# Sizes of maps


@dataclass(frozen=True)
class _Axis:
    """A filter on one axis."""

    name: str
    size: int
    kernel: int
    stride: int
    before: int  # padding
    after: int
    dilation: int
    output: int
    ceil: bool = False

    @property
    def reach(self) -> int:
        """A dilated filter is as long as from its first to its last number."""
        return self.dilation * (self.kernel - 1) + 1

    def words(self) -> str:
        span = self.size - self.reach + self.before + self.after
        pad = f"2*{self.before}" if self.before == self.after else f"{self.before} + {self.after}"
        text = f"({self.size} - {self.reach} + {pad})/{self.stride} + 1"
        if span % self.stride == 0:
            exact = span // self.stride + 1
            return (
                f"{text} = {exact}" if exact == self.output else f"{text} = {exact}; it gives {self.output}"
            )
        broken = f"{text} = {round(span / self.stride + 1, 2):.10g}"
        if self.output == span // self.stride + 1:
            why = ": another window would begin outside" if self.ceil else f": {self._unread(span)}"
            return f"{broken}, floored to {self.output}{why}"
        return f"{broken}, raised to {self.output}: the last window hangs over the edge"

    def _unread(self, span: int) -> str:
        rest, place = span % self.stride, PLACES[self.name]
        if self.after == 0:
            return f"the last {_some(rest, place)} of the image {_is(rest)} not read"
        if rest <= self.after:
            return f"the last {_some(rest, place)} of padding {_is(rest)} not read"
        inside = rest - self.after
        return f"the padding at the end and the last {_some(inside, place)} of the image are not read"


def _some(count: int, place: str) -> str:
    return place if count == 1 else f"{count} {place}s"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _sizes(facts: Facts, axes: Sequence[_Axis]) -> Rows:
    rows: Rows = []
    for axis in axes:
        if axis.dilation > 1 and axis.kernel > 1:
            words = f"{axis.dilation}*({axis.kernel} - 1) + 1 = {axis.reach} from end to end, dilated"
            rows.append(("filter", words))
    rows = rows[:1] if len(set(rows)) == 1 else rows
    told = [axis.words() for axis in axes]
    if len(set(told)) == 1:
        return [*rows, ("size", f"{', '.join(a.name for a in axes)}: {told[0]}; {_shapes(facts)}")]
    rows += [("size", f"{axis.name}: {words}") for axis, words in zip(axes, told, strict=True)]
    return [*rows, ("", _shapes(facts))]


def _each(value: Any, count: int) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value) * (count if len(value) == 1 else 1)


def _axes(facts: Facts, count: int, kernel: Any, stride: Any, padding: Any, dilation: Any) -> list[_Axis]:
    """A filter on every axis; padding in a word is what torch makes of it."""
    kernels, strides, dilations = (_each(value, count) for value in (kernel, stride, dilation))
    if isinstance(padding, str):
        total = [d * (k - 1) if padding == "same" else 0 for k, d in zip(kernels, dilations, strict=True)]
        ends = [(whole // 2, whole - whole // 2) for whole in total]
    else:
        ends = [(p, p) for p in _each(padding, count)]
    size, out = facts.inputs[0][-count:], facts.output[-count:]
    ceil = bool(getattr(facts.part, "ceil_mode", False))
    return [
        _Axis(AXES[count][k], size[k], kernels[k], strides[k], *ends[k], dilations[k], out[k], ceil)
        for k in range(count)
    ]


# Receptive field


def _field(facts: Facts, axes: Sequence[_Axis]) -> Rows:
    """The step r = r_prev + jump (k - 1), axis by axis, where one rule holds before and after."""
    before, after = facts.given.axes, facts.field.axes
    plain = len(before) == len(after) == len(axes) and all(
        a.regular and not a.whole for a in (*before, *after)
    )
    if not plain:
        return _seen(facts)
    rows = [
        (*_grown(given, axis, found), axis.name)
        for given, axis, found in zip(before, axes, after, strict=True)
    ]
    if len({row[:2] for row in rows}) == 1:
        return [("receptive field", f"r = r_prev + jump*(k - 1) = {rows[0][0]}"), ("jump", rows[0][1])]
    told: Rows = []
    for grown, jump, name in rows:
        told += [("receptive field", f"{name}: r = r_prev + jump*(k - 1) = {grown}"), ("jump", jump)]
    return told


def _grown(given: Along, axis: _Axis, found: Along) -> tuple[str, str]:
    jump, k = given.jump or 0, axis.kernel
    step = f"{jump:g}*{axis.dilation}" if axis.dilation > 1 else f"{jump:g}"
    size = given.size + jump * axis.dilation * (k - 1)
    grown = f"{given.size} + {step}*({k} - 1) = {size:g}"
    if size != found.size:
        grown = f"{found.size}"
    return grown, f"{jump:g}*{axis.stride} = {found.jump:g}"


def _seen(facts: Facts) -> Rows:
    """What the graph says, where there is no step of the formula."""
    field = facts.field
    if not field.axes:
        return [("receptive field", f"undefined: {field.undefined}")] if field.undefined else []
    if all(axis.whole for axis in field.axes):
        full = all(axis.seen() == (0, axis.pixels - 1) for axis in field.axes)
        return [("receptive field", f"r = {field}" + ", the whole input" * full)]
    jumps = ", ".join("varies" if jump is None else f"{jump:g}" for jump in field.jump)
    same = field.size == facts.given.size and field.jump == facts.given.jump
    unchanged = ", unchanged" if same else ""
    why = f" ({field.why})" if field.why else ""
    return [("receptive field", f"r = {field}, jump {jumps}{unchanged}{why}")]


# Convolution and pooling


def _convolution(facts: Facts) -> Rows:
    layer = facts.part
    count = len(layer.kernel_size)
    axes = _axes(facts, count, layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    kernel, maps = prod(layer.kernel_size), layer.in_channels // layer.groups
    weights, bias = f"{_times(*layer.kernel_size)}*{maps}", layer.bias is not None
    per_filter = f"({weights} + 1)" if bias else f"({weights})"
    learned = (kernel * maps + bias) * layer.out_channels
    places = facts.output[-count:]
    batch = _batch(facts.output[0] if len(facts.output) > count + 1 else 1)
    flops = f"(2*{maps}*{kernel})*{_times(layer.out_channels, *places, *batch)}"
    return [
        *_sizes(facts, axes),
        *_groups(layer),
        *_parameters(facts, f"{per_filter}*{layer.out_channels}", learned),
        *_flops(facts, flops, maps * kernel * layer.out_channels * prod(places) * prod(batch)),
        *_field(facts, axes),
    ]


def _groups(layer: Any) -> Rows:
    if layer.groups == 1:
        return []
    if layer.groups == layer.in_channels:
        return [("groups", f"{layer.groups}, depthwise: each filter reads one map")]
    reads = layer.in_channels // layer.groups
    return [("groups", f"each filter reads {layer.in_channels}/{layer.groups} = {reads} maps")]


def _transposed(facts: Facts) -> Rows:
    layer = facts.part
    count = len(layer.kernel_size)
    told, names = [], AXES[count]
    size, out = facts.inputs[0][-count:], facts.output[-count:]
    for k in range(count):
        f, s, p = layer.kernel_size[k], layer.stride[k], layer.padding[k]
        d = layer.dilation[k]
        extra = out[k] - ((size[k] - 1) * s - 2 * p + d * (f - 1) + 1)
        reach = f"({d}*({f} - 1) + 1)" if d > 1 else f"{f}"
        told.append(f"({size[k]} - 1)*{s} - 2*{p} + {reach}" + f" + {extra}" * bool(extra) + f" = {out[k]}")
    if len(set(told)) == 1:
        rows: Rows = [("size", f"{', '.join(names)}: {told[0]}; {_shapes(facts)}")]
    else:
        rows = [("size", f"{name}: {words}") for name, words in zip(names, told, strict=True)]
        rows.append(("", _shapes(facts)))
    kernel, maps = prod(layer.kernel_size), layer.out_channels // layer.groups
    bias = layer.bias is not None
    weights = f"{_times(*layer.kernel_size)}*{maps}*{layer.in_channels}"
    learned = kernel * maps * layer.in_channels + bias * layer.out_channels
    batch = _batch(facts.output[0] if len(facts.output) > count + 1 else 1)
    products = kernel * maps * layer.in_channels * prod(size) * prod(batch)
    return [
        *rows,
        *_parameters(facts, weights + f" + {layer.out_channels}" * bias, learned),
        *_flops(facts, f"(2*{maps}*{kernel})*{_times(layer.in_channels, *size, *batch)}", products),
        *_seen(facts),
    ]


def _pooling(facts: Facts) -> Rows:
    layer = facts.part
    count = int(type(layer).__name__[-2])
    stride = layer.stride if layer.stride is not None else layer.kernel_size
    axes = _axes(facts, count, layer.kernel_size, stride, layer.padding, getattr(layer, "dilation", 1))
    what = "mean" if isinstance(layer, _AvgPoolNd) else "maximum"
    window = prod(_each(layer.kernel_size, count))
    return [
        *_sizes(facts, axes),
        ("window", f"the {what} of {_times(*_each(layer.kernel_size, count))} = {window} numbers of a map"),
        *_parameters(facts, "", 0),
        *_flops(facts, "", 0),
        *_field(facts, axes),
    ]


def _adaptive(facts: Facts) -> Rows:
    what = "mean" if isinstance(facts.part, _AdaptiveAvgPoolNd) else "maximum"
    count = int(type(facts.part).__name__[-2])
    told = []
    for size, out in zip(facts.inputs[0][-count:], facts.output[-count:], strict=True):
        told.append(f"{size}/{out} = {size // out}" if size % out == 0 else f"{size}/{out}, not all alike")
    return [
        ("size", _shapes(facts)),
        ("window", f"the {what} of windows of {' by '.join(told)} numbers of a map"),
        *_parameters(facts, "", 0),
        *_flops(facts, "", 0),
        *_seen(facts),
    ]


# Matrices, norms, tables


def _linear(facts: Facts) -> Rows:
    layer, bias = facts.part, facts.part.bias is not None
    inputs, outputs = layer.in_features, layer.out_features
    places = [size for size in facts.output[:-1] if size > 1]
    learned = f"({inputs} + 1)*{outputs}" if bias else f"{inputs}*{outputs}"
    return [
        ("size", _shapes(facts)),
        *_parameters(facts, learned, (inputs + bias) * outputs),
        *_flops(facts, f"2*{_times(inputs, outputs, *places)}", inputs * outputs * prod(places)),
        *_seen(facts),
    ]


def _norm(facts: Facts) -> Rows:
    layer = facts.part
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        width, over = prod(layer.normalized_shape), f"over the last {_times(*layer.normalized_shape)} numbers"
    elif isinstance(layer, nn.GroupNorm):
        width = layer.num_channels
        over = f"over {width}/{layer.num_groups} = {width // layer.num_groups} maps at a time"
    else:
        width = layer.num_features
        over = (
            "over the batch in training, by running means at rest"
            if isinstance(layer, _BatchNorm)
            else ("over each map")
        )
    learned = 2 if getattr(layer, "bias", None) is not None else 1
    rows: Rows = [
        ("size", f"{_shapes(facts)}, unchanged"),
        ("statistics", over),
        *_parameters(facts, f"{learned}*{width}", learned * width),
    ]
    if getattr(layer, "running_mean", None) is not None:
        rows.append(("not learned", f"2*{width} = {2 * width:,} running means and variances"))
    return [*rows, *_flops(facts, "", 0), *_seen(facts)]


def _embedding(facts: Facts) -> Rows:
    layer = facts.part
    rows, width = layer.num_embeddings, layer.embedding_dim
    return [
        ("size", f"{_shapes(facts)}: a row of {width} numbers for each index"),
        *_parameters(facts, f"{rows}*{width}", rows * width),
        *_flops(facts, "", 0),
        *_seen(facts),
    ]


# Recurrence and attention


def _recurrent(facts: Facts) -> Rows:
    layer, gates = facts.part, _gates(facts.part)
    hidden, ways = layer.hidden_size, 2 if layer.bidirectional else 1
    kept = layer.proj_size or hidden
    steps, batch = _steps(layer, facts.inputs[0])
    terms, learned, products = [], 0, 0
    for depth in range(layer.num_layers):
        given = layer.input_size if depth == 0 else kept * ways
        weights = gates * (given * hidden + kept * hidden) + (layer.proj_size * hidden)
        bias = 2 * gates * hidden * layer.bias
        term = f"{gates}*({given}*{hidden} + {kept}*{hidden}" + f" + 2*{hidden}" * layer.bias + ")"
        term += f" + {layer.proj_size}*{hidden}" if layer.proj_size else ""
        terms.append(f"{ways}*({term})" if ways > 1 else term)
        learned, products = learned + ways * (weights + bias), products + ways * weights
    rows: Rows = [("size", _shapes(facts)), _told_gates(gates)]
    rows += _parameters(facts, " + ".join(terms), learned)
    per_step = " + ".join(term.replace(f" + 2*{hidden})", ")") for term in terms)
    times = _times(2, steps, *_batch(batch))
    return [*rows, *_flops(facts, f"{times}*({per_step})", products * steps * batch), *_seen(facts)]


def _gates(layer: Any) -> int:
    return next(count for name, count in GATES.items() if name in type(layer).__name__)


def _told_gates(gates: int) -> tuple[str, str]:
    names = {1: "one, the state", 4: "4: input, forget, cell, output", 3: "3: reset, update, new"}
    return ("gates", f"{names[gates]}; each adds a product with the input and one with the state")


def _steps(layer: Any, shape: Shape) -> tuple[int, int]:
    """T and B, which torch takes in two orders, or without a batch."""
    if len(shape) == 2:
        return shape[0], 1
    return (shape[1], shape[0]) if layer.batch_first else (shape[0], shape[1])


def _cell(facts: Facts) -> Rows:
    layer, gates = facts.part, _gates(facts.part)
    given, hidden = layer.input_size, layer.hidden_size
    batch = _batch(facts.inputs[0][0] if len(facts.inputs[0]) > 1 else 1)
    weights = f"{gates}*({given}*{hidden} + {hidden}*{hidden}"
    products = gates * (given + hidden) * hidden
    learned = products + 2 * gates * hidden * layer.bias
    return [
        ("size", f"{_shapes(facts)}, one step"),
        _told_gates(gates),
        *_parameters(facts, weights + f" + 2*{hidden}" * layer.bias + ")", learned),
        *_flops(facts, f"{_times(2, *batch)}*{weights})", products * prod(batch)),
        *_seen(facts),
    ]


def _attention(facts: Facts) -> Rows:
    layer, width = facts.part, facts.part.embed_dim
    bias = layer.in_proj_bias is not None
    batch_at, time_at = (0, 1) if layer.batch_first else (1, 0)
    shapes = facts.inputs if len(facts.inputs) >= 3 else facts.inputs[:1] * 3
    batched = len(shapes[0]) == 3
    batch = shapes[0][batch_at] if batched else 1
    queries, keys = (shape[time_at] if batched else shape[0] for shape in shapes[:2])
    ins = f"{width}*{width} + {layer.kdim}*{width} + {layer.vdim}*{width} + {width}*{width}"
    learned = width * (2 * width + layer.kdim + layer.vdim) + 4 * width * bias
    products = width * (2 * queries * width + keys * (layer.kdim + layer.vdim) + 2 * queries * keys)
    projected = f"{queries}*{width}*{width} + {keys}*{layer.kdim}*{width} + {keys}*{layer.vdim}*{width}"
    attended = f"2*{queries}*{keys}*{width} + {queries}*{width}*{width}"
    return [
        ("size", _shapes(facts)),
        ("heads", f"{layer.num_heads} of {width}/{layer.num_heads} = {layer.head_dim}"),
        *_parameters(facts, ins + f" + 4*{width}" * bias, learned),
        *_flops(facts, f"{_times(2, *_batch(batch))}*({projected} + {attended})", products * batch),
        *_seen(facts),
    ]


def _other(facts: Facts) -> Rows:
    """A layer without formulas of its own: what was counted."""
    return [
        ("size", _shapes(facts)),
        *_parameters(facts, "", 0),
        *_flops(facts, "", 0),
        *_seen(facts),
    ]


KINDS: tuple[tuple[Any, Callable[[Facts], Rows]], ...] = (
    (_ConvTransposeNd, _transposed),
    (_ConvNd, _convolution),
    ((_MaxPoolNd, _AvgPoolNd), _pooling),
    ((_AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd), _adaptive),
    (nn.Linear, _linear),
    ((_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm), _norm),
    (nn.Embedding, _embedding),
    (nn.RNNBase, _recurrent),
    (nn.RNNCellBase, _cell),
    (nn.MultiheadAttention, _attention),
)
