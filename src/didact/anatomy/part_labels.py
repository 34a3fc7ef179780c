"""What operations do, in a word or two: their role in a network, a label, and how they do it."""

from collections.abc import Sequence
from math import prod
from typing import Any

from didact.anatomy.trace import Call, Ref, Trace

RECURRENT = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
MATRIX = ("addmm", "mm", "bmm", "baddbmm", "addmv", "mv", "dot")
ARITHMETIC = {"add": "add", "sub": "subtract", "rsub": "subtract", "mul": "multiply", "div": "divide"}
ACTIVATIONS = {
    "relu": "ReLU",
    "hardtanh": "ReLU6",
    "gelu": "GELU",
    "silu": "SiLU",
    "elu": "ELU",
    "leaky_relu": "leaky ReLU",
    "_prelu_kernel": "PReLU",
    "_softmax": "softmax",
    "_safe_softmax": "softmax",
    "_log_softmax": "log softmax",
}
NORMS = {"batchnorm": "BN", "layernorm": "LN", "groupnorm": "GN", "instancenorm": "IN", "rmsnorm": "RMSNorm"}


def attends(calls: Sequence[Call]) -> bool:
    """Whether the calls weigh rows by a softmax of products with others."""
    names = [call.op for call in calls]
    if any(name.startswith("_scaled_dot_product") for name in names):
        return True
    soft = [k for k, name in enumerate(names) if name in ("_softmax", "_safe_softmax")]
    return bool(soft) and "bmm" in names[: soft[0]] and "bmm" in names[soft[-1] :]


def is_heavy(call: Call) -> bool:
    """Whether an operation deserves a box of its own."""
    name = call.op.strip("_")
    return name in MATRIX or any(word in name for word in ("convolution", "embedding", "pool", "cat"))


def fills(call: Call) -> bool:
    """Whether it makes numbers of its own, and takes of its input the size alone."""
    return call.op.startswith("new_") or call.op.endswith("_like")


def keeps_size(calls: Sequence[Call], trace: Trace) -> bool:
    """Whether it is a pooling to the size that the maps have already."""
    return bool(calls) and all(
        "adaptive" in call.op and trace.shape(call.inputs[0]) == trace.shape(call.outputs[0])
        for call in calls
    )


def describe_calls(calls: Sequence[Call], trace: Trace, kind: str) -> tuple[str, str, str]:
    """Role, label and detail of calls that make one thing."""
    if kind in RECURRENT:
        return "recurrent", kind, ""
    if attends(calls):
        return "attention", "attention", _heads(calls, trace)
    for call in calls:
        name = call.op.strip("_")
        if "convolution" in name:
            return _convolution(call, trace)
        if name.startswith("embedding"):
            return "embedding", "embedding", ""
        if name in MATRIX:
            known = any(_is_learned(number, trace) for number in call.inputs) or kind
            return ("linear", "linear", "") if known else ("multiply", "matrix product", "")
        if name.startswith("upsample"):
            return "up", "upsample", _growth(call, trace)
        if "pool" in name or (name == "mean" and len(trace.shape(call.inputs[0])) == 4):
            return _pooling(call, trace, name)
    return _other(calls, trace, kind)


def _other(calls: Sequence[Call], trace: Trace, kind: str) -> tuple[str, str, str]:
    names = [call.op.strip("_") if call.op[0] != "_" else call.op for call in calls]
    if "LocalResponseNorm" in kind:
        return "norm", "LRN", ""
    words = "".join([kind, *names]).lower().replace("_", "")
    short = next((short for word, short in NORMS.items() if word in words), "")
    if short or "Norm" in kind:
        return "norm", short or kind, ""
    main = names[0] if names else ""
    if len(calls) == 1 and main in ARITHMETIC:
        return ARITHMETIC[main], ARITHMETIC[main], ""
    if len(calls) == 1 and main in ("cat", "stack"):
        return "cat", "concat", ""
    if calls and _same_size(calls, trace):
        return "activation", ACTIVATIONS.get(main, kind or main.strip("_").replace("_", " ")), ""
    return "op", kind or main.strip("_").replace("_", " "), ""


def _same_size(calls: Sequence[Call], trace: Trace) -> bool:
    """Whether the result has the size of the input: number by number, as far as one can see."""
    return trace.shape(calls[-1].outputs[0]) == trace.shape(calls[0].inputs[0]) if calls[0].inputs else False


def _is_learned(number: int, trace: Trace) -> bool:
    """Whether a tensor is a parameter or a view of one."""
    return trace.tensors[trace.tensors[number].storage].kind == "parameter"


def _convolution(call: Call, trace: Trace) -> tuple[str, str, str]:
    weight = trace.shape(call.inputs[1])
    stride, dilation, transposed, groups = call.args[3], call.args[5], call.args[6], call.args[8]
    kernel = _sizes(weight[2:])
    extras = [f"stride {_size(stride)}"] * (set(stride) != {1})
    extras += [f"dilation {_size(dilation)}"] * (set(dilation) != {1})
    channels = trace.shape(call.inputs[0])[1]
    if transposed:
        return "up-conv", f"up-conv {kernel}", ", ".join(extras)
    if groups == channels > 1:
        return "conv", f"depthwise {kernel}", ", ".join(extras)
    extras += [f"{groups} groups"] * (groups > 1)
    return "conv", f"conv {kernel}", ", ".join(extras)


def _pooling(call: Call, trace: Trace, name: str) -> tuple[str, str, str]:
    how = "max pool" if "max" in name else "mean" if name == "mean" or "adaptive" in name else "mean pool"
    if "adaptive" in name or name == "mean":
        small = trace.shape(call.outputs[0])[2:]
        return "pool", how, f"to {_sizes(small)}" if prod(small) > 1 else "of each map"
    kernel = call.args[1]
    stride = call.args[2] if len(call.args) > 2 and call.args[2] else kernel
    if len(trace.shape(call.inputs[0])) == 3 or (len(kernel) == 2 and kernel[0] == 1 == stride[0]):
        kernel, stride = kernel[-1:], stride[-1:]
    return "pool", how, f"{_sizes(kernel)}, stride {_size(stride)}"


def _growth(call: Call, trace: Trace) -> str:
    return f"x{trace.shape(call.outputs[0])[-1] / trace.shape(call.inputs[0])[-1]:g}"


def _heads(calls: Sequence[Call], trace: Trace) -> str:
    """How many sets of weights there are, from the shape of the queries (B, heads, T, d)."""
    for call in calls:
        if call.op.startswith(("_scaled_dot_product", "_safe_softmax", "_softmax")):
            shape = trace.shape(call.inputs[0])
            heads = shape[1] if len(shape) == 4 else 1
            return f"{heads} heads" if heads > 1 else "1 head"
    return ""


def _size(values: Any) -> str:
    """A number where all are equal, else all of them: 2, 2x1."""
    values = [value for value in values if not isinstance(value, Ref)]
    return str(values[0]) if len(set(values)) == 1 else _sizes(values)


def _sizes(values: Sequence[int]) -> str:
    return "x".join(map(str, values)) if len(values) > 1 else str(values[0])
