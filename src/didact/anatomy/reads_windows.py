"""What windows read along an axis: convolution, pooling, upsampling, padding."""

# N size of an axis, M size of the output's, F size of a filter, S stride, P padding

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import partial

from didact.anatomy.reading import Reading, State, argument, changed, first, for_each_axis, output
from didact.anatomy.sight import Sight, Window, grouped
from didact.anatomy.trace import Call


def _window(filter_size: int, stride: int, padding: int, dilation: int) -> Window:
    def reads(index: int) -> Sequence[int]:
        start = index * stride - padding
        return range(start, start + filter_size * dilation, dilation)

    return Window(reads, 1, stride)


def _transposed_window(filter_size: int, stride: int, padding: int, dilation: int) -> Window:
    def reads(index: int) -> Sequence[int]:
        places = (index + padding - k * dilation for k in range(filter_size))
        return [place // stride for place in places if place % stride == 0]

    return Window(reads, stride, 1)


def convolution(reader: Reading, call: Call) -> list[State]:
    """A filter reads its window; a transposed one is read by every window that it was stamped on."""
    state, shape = first(reader, call)
    weight, out = reader.shape(call.args[1]), output(reader, call)
    axes = len(weight) - 2
    stride, padding, dilation = (for_each_axis(call.args[k], axes) for k in (3, 4, 5))
    make = _transposed_window if call.args[6] else _window
    windows = [make(weight[2 + k], stride[k], padding[k], dilation[k]) for k in range(axes)]

    def change(sight: Sight) -> Sight:
        sight = grouped(sight, 1, shape[1], call.args[8], out[1])
        return through_all(sight, windows, shape, out)

    return [changed(state, change)]


def through_all(sight: Sight, windows: Sequence[Window], shape: Sequence[int], out: Sequence[int]) -> Sight:
    """Windows along the last dimensions."""
    for k, window in enumerate(windows, len(shape) - len(windows)):
        sight = sight.through(k, window, shape[k], out[k])
    return sight


def pooling(reader: Reading, call: Call) -> list[State]:
    """A window of each map by itself; one that hangs over the edge reads what is there."""
    state, shape = first(reader, call)
    axes = int(call.op[call.op.index("pool") + 4])
    kernel = for_each_axis(call.args[1], axes)
    stride = for_each_axis(argument(call, 2, "stride") or kernel, axes)
    padding = for_each_axis(argument(call, 3, "padding", 0), axes)
    dilation = for_each_axis(argument(call, 4, "dilation", 1), axes) if "max" in call.op else [1] * axes
    windows = [_window(*each) for each in zip(kernel, stride, padding, dilation, strict=True)]
    made = changed(state, lambda sight: through_all(sight, windows, shape, output(reader, call)))
    return [made] * len(call.outputs)


def adaptive_pooling(reader: Reading, call: Call) -> list[State]:
    """Windows as long as it takes; to one number, all there is."""
    state, shape = first(reader, call)
    out = output(reader, call)
    axes = len(call.args[1])
    whole = [dim for dim in range(len(shape) - axes, len(shape)) if out[dim] == 1]
    windows = [_adaptive_window(shape[dim], out[dim]) for dim in range(len(shape) - axes, len(shape))]

    def change(sight: Sight) -> Sight:
        sight = sight.hull(whole)
        small = [1 if dim in whole else size for dim, size in enumerate(shape)]
        return through_all(sight, windows, small, out)

    return [changed(state, change)] * len(call.outputs)


def _adaptive_window(size: int, outputs: int) -> Window:
    """torch's: from floor(i N / M) up to ceil((i + 1) N / M)."""
    if outputs == 1:
        return Window(lambda index: [index])
    shared = math.gcd(size, outputs)
    return Window(
        lambda index: range(index * size // outputs, -(-(index + 1) * size // outputs)),
        outputs // shared,
        size // shared,
    )


def upsampling(reader: Reading, call: Call) -> list[State]:
    """The pixel that a new one lies on, or the pixels that it lies between."""
    state, shape = first(reader, call)
    out, axes = output(reader, call), int(call.op[-2])
    kind = call.op.split("_")[-1][:-2]
    smooth = kind in ("linear", "bilinear", "trilinear", "bicubic")
    corners = smooth and bool(call.args[2])
    scales = [scale for scale in call.args[2:] if not isinstance(scale, bool)]
    if len(scales) == 1 and isinstance(scales[0], list):
        scales = scales[0]
    windows = []
    for k in range(axes):
        size, wanted = shape[len(shape) - axes + k], out[len(shape) - axes + k]
        scale = scales[k] if k < len(scales) else None
        factor = Fraction(scale).limit_denominator(1000) if scale else Fraction(wanted, size)
        if corners:
            factor = Fraction(max(wanted - 1, 1), max(size - 1, 1)) if size > 1 else Fraction(max(wanted, 1))
        windows.append(_upsampled(kind, factor, corners))
    return [changed(state, lambda sight: through_all(sight, windows, shape, out))]


def _upsampled(kind: str, factor: Fraction, corners: bool) -> Window:
    """The pixels between which a pixel of the larger map lies."""
    half = Fraction(1, 2)

    def reads(index: int) -> Sequence[int]:
        if kind == "nearest":
            return [math.floor(index / factor)]
        if kind == "exact":
            return [math.floor((index + half) / factor)]
        place = index / factor if corners else (index + half) / factor - half
        left = math.floor(place)
        if place == left:
            return [left]
        return range(left - 1, left + 3) if kind == "bicubic" else [left, left + 1]

    return Window(reads, factor.numerator, factor.denominator, _clamp)


def _clamp(place: int, size: int) -> int:
    return min(max(place, 0), size - 1)


def pixel_shuffle(reader: Reading, call: Call) -> list[State]:
    """Maps become pixels of a larger map, or the other way round."""
    state, shape = first(reader, call)
    out, factor = output(reader, call), call.args[1]
    if call.op == "pixel_shuffle":
        window = Window(lambda index: [index // factor], factor, 1)
    else:
        window = _window(factor, factor, 0, 1)
    dim = len(shape) - 3

    def change(sight: Sight) -> Sight:
        sight = grouped(sight, dim, shape[dim], min(shape[dim], out[dim]), out[dim])
        return through_all(sight, [window, window], shape, out)

    return [changed(state, change)]


def padding(reader: Reading, call: Call) -> list[State]:
    """What is added sees nothing, or what it is a copy of; padding below zero cuts."""
    state, shape = first(reader, call)
    out, widths = output(reader, call), list(call.args[1])
    kinds = {"reflection": _reflect, "replication": _clamp}
    border = kinds.get(call.op.split("_")[0])
    lefts = [widths[k] for k in range(0, len(widths), 2)][::-1]
    windows = [Window(partial(_before, left=left), 1, 1, border) for left in lefts]
    return [changed(state, lambda sight: through_all(sight, windows, shape, out))]


def _before(index: int, left: int) -> list[int]:
    return [index - left]


def _reflect(place: int, size: int) -> int:
    return size - 1 - abs(size - 1 - abs(place))
