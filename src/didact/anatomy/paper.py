"""Shapes of the commonest operations, on paper.

torch knows them all (its meta device), but in Python that imports its compiler and sympy: seconds for the
first, half a millisecond for each. Here are those of which networks mostly consist, in their plain case:
dense tensors of one type. All else, and whatever is wrong, is left to torch: its answer, its error.
"""

# B batch, C channels, N size of an axis, F filter, K inner size of a product

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
LEFT = NotImplemented  # to torch


class Paper(TorchDispatchMode):
    """Lets the operations in a ``with`` be answered here where they can be."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return answer(func, args, kwargs or {})

    @classmethod
    def _should_skip_dynamo(cls) -> bool:  # torch would import its compiler, only to leave this class alone
        return False


def answer(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What an operation gives: from here for tensors on the meta device, else from torch."""
    rule = RULES.get(func)
    if rule and not kwargs and all(value.is_meta for value in args if isinstance(value, Tensor)):
        result = rule(*args)
        if result is not LEFT:
            return result
    return func(*args, **kwargs)


def _new(shape: Sequence[int], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    return torch.empty(tuple(shape), dtype=dtype or like.dtype, device="meta")


def _is_plain(*tensors: Tensor) -> bool:
    """Whether they are dense, of one type with a point in it."""
    kinds = {tensor.dtype for tensor in tensors}
    return len(kinds) == 1 and tensors[0].is_floating_point() and all(t.is_contiguous() for t in tensors)


def _all(values: Any, axes: int) -> list[int]:
    """A number for each axis, of a list that may hold one for all."""
    listed = [values] if isinstance(values, int) else list(values)
    return listed * axes if len(listed) == 1 else listed


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Any:
    axes = weight.dim() - 2
    fits = x.dim() == weight.dim() and x.shape[1] == weight.shape[1] * groups
    if transposed or not fits or not _is_plain(x, weight, *([] if bias is None else [bias])):
        return LEFT
    settings = zip(
        x.shape[2:], weight.shape[2:], *(_all(v, axes) for v in (stride, padding, dilation)), strict=True
    )
    sizes = [(n + 2 * p - d * (f - 1) - 1) // s + 1 for n, f, s, p, d in settings]
    if min(sizes, default=0) < 1 or weight.shape[0] % groups:
        return LEFT
    return _new((x.shape[0], weight.shape[0], *sizes), x)


def _mm(a: Tensor, b: Tensor) -> Any:
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[0] or a.dtype != b.dtype:
        return LEFT
    return _new((a.shape[0], b.shape[1]), a)


def _addmm(bias: Tensor, a: Tensor, b: Tensor) -> Any:
    fits = a.dim() == b.dim() == 2 and bias.shape == b.shape[1:] and bias.dtype == a.dtype
    return _mm(a, b) if fits else LEFT


def _bmm(a: Tensor, b: Tensor) -> Any:
    fits = a.dim() == b.dim() == 3 and a.shape[0] == b.shape[0] and a.shape[2] == b.shape[1]
    return _new((a.shape[0], a.shape[1], b.shape[2]), a) if fits and a.dtype == b.dtype else LEFT


def _batch_norm(x: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, *_: Any) -> Any:
    numbers = [tensor for tensor in (weight, bias, mean, variance) if tensor is not None]
    if not _is_plain(x, *numbers) or any(t.shape != x.shape[1:2] for t in numbers):
        return LEFT
    return _new(x.shape, x), _new(x.shape[1:2], x), _new(x.shape[1:2], x)


def _layer_norm(x: Tensor, shape: Sequence[int], weight: Any, bias: Any, eps: float) -> Any:
    numbers = [tensor for tensor in (weight, bias) if tensor is not None]
    axes = x.dim() - len(shape)
    if not _is_plain(x, *numbers) or list(x.shape[axes:]) != list(shape):
        return LEFT
    if any(list(t.shape) != list(shape) for t in numbers):
        return LEFT
    each = (*x.shape[:axes], *(1,) * len(shape))
    return _new(x.shape, x), _new(each, x), _new(each, x)


def _same(*args: Any) -> Any:
    """A function of each number, or of two tensors of one shape."""
    tensors = [value for value in args if isinstance(value, Tensor)]
    fits = _is_plain(*tensors) and all(tensor.shape == tensors[0].shape for tensor in tensors)
    return _new(tensors[0].shape, tensors[0]) if fits and isinstance(args[0], Tensor) else LEFT


def _in_place(*args: Any) -> Any:
    tensors = [value for value in args if isinstance(value, Tensor)]
    fits = _is_plain(*tensors) and all(tensor.shape == tensors[0].shape for tensor in tensors)
    return args[0] if fits else LEFT


def _pooled(n: int, f: int, s: int, p: int, d: int, ceil: bool) -> int:
    size = (n + 2 * p - d * (f - 1) - 1 + (s - 1 if ceil else 0)) // s + 1
    return size - 1 if ceil and (size - 1) * s >= n + p else size


def _pool_shape(x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool) -> Any:
    settings = [_all(value, 2) for value in (kernel, stride or kernel, padding, dilation)]
    if (
        x.dim() != 4
        or not _is_plain(x)
        or any(2 * p > f for f, p in zip(settings[0], settings[2], strict=True))
    ):
        return LEFT
    axes = zip(x.shape[2:], *settings, strict=True)
    sizes = [_pooled(n, f, s, p, d, ceil) for n, f, s, p, d in axes]
    return (*x.shape[:2], *sizes) if min(sizes) > 0 else LEFT


def _max_pool(
    x: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False
) -> Any:
    shape = _pool_shape(x, kernel, stride, padding, dilation, ceil)
    return LEFT if shape is LEFT else (_new(shape, x), _new(shape, x, torch.int64))


def _avg_pool(x: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, ceil: bool = False, *_: Any) -> Any:
    shape = _pool_shape(x, kernel, stride, padding, 1, ceil)
    return LEFT if shape is LEFT else _new(shape, x)


def _adaptive_avg_pool(x: Tensor, size: Any) -> Any:
    fits = x.dim() == 4 and _is_plain(x) and min(size) > 0
    return _new((*x.shape[:2], *_all(size, 2)), x) if fits else LEFT


def _mean(x: Tensor, axes: Any, keep: bool = False) -> Any:
    if not _is_plain(x) or not axes:
        return LEFT
    gone = {axis % x.dim() for axis in axes}
    sizes = [1 if axis in gone else n for axis, n in enumerate(x.shape) if keep or axis not in gone]
    return _new(sizes, x) if len(gone) == len(axes) else LEFT


def _cat(tensors: Sequence[Tensor], axis: int = 0) -> Any:
    first = tensors[0]
    if not first.dim() or any(t.dim() != first.dim() or not t.is_meta for t in tensors):
        return LEFT
    axis = axis % first.dim()
    shapes = {tuple(n for k, n in enumerate(t.shape) if k != axis) for t in tensors}
    dense = _is_plain(*tensors) or (first.dim() not in (4, 5) and len({t.dtype for t in tensors}) == 1)
    if len(shapes) > 1 or not dense:  # images may lie channels-last, and what is joined of them too
        return LEFT
    size = sum(t.shape[axis] for t in tensors)
    return _new((*first.shape[:axis], size, *first.shape[axis + 1 :]), first)


def _stack(tensors: Sequence[Tensor], axis: int = 0) -> Any:
    first = tensors[0]
    if any(t.shape != first.shape or not t.is_meta for t in tensors) or not _is_plain(*tensors):
        return LEFT
    sizes = list(first.shape)
    sizes.insert(axis % (first.dim() + 1), len(tensors))
    return _new(sizes, first)


def _softmax(x: Tensor, *_: Any) -> Any:
    return _new(x.shape, x) if _is_plain(x) and x.dim() else LEFT


def _embedding(weight: Tensor, indices: Tensor, *_: Any) -> Any:
    fits = weight.dim() == 2 and indices.dtype in (torch.int64, torch.int32) and weight.is_contiguous()
    return _new((*indices.shape, weight.shape[1]), weight) if fits and indices.is_contiguous() else LEFT


EACH = "relu tanh sigmoid gelu silu hardtanh leaky_relu elu hardswish hardsigmoid"
RULES: dict[Any, Callable[..., Any]] = {
    aten.convolution.default: _convolution,
    aten.mm.default: _mm,
    aten.addmm.default: _addmm,
    aten.bmm.default: _bmm,
    aten.native_batch_norm.default: _batch_norm,
    aten.native_layer_norm.default: _layer_norm,
    **{getattr(aten, name).default: _same for name in EACH.split()},
    **{getattr(aten, f"{name}_").default: _in_place for name in EACH.split()},
    **{getattr(aten, name).Tensor: _same for name in ("add", "sub", "mul", "div")},
    **{getattr(aten, f"{name}_").Tensor: _in_place for name in ("add", "sub", "mul", "div")},
    **{getattr(aten, name).Scalar: _same for name in ("add", "mul", "div")},
    aten.pow.Tensor_Scalar: _same,
    aten.empty_like.default: _same,
    aten.bernoulli_.float: _in_place,
    aten.div_.Scalar: _in_place,
    aten.max_pool2d_with_indices.default: _max_pool,
    aten.avg_pool2d.default: _avg_pool,
    aten._adaptive_avg_pool2d.default: _adaptive_avg_pool,
    aten.mean.dim: _mean,
    aten.sum.dim_IntList: _mean,
    aten.cat.default: _cat,
    aten.stack.default: _stack,
    aten._softmax.default: _softmax,
    aten._safe_softmax.default: _softmax,
    aten.embedding.default: _embedding,
}
