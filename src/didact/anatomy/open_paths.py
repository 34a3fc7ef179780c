"""A network with every path open: what can be seen through it, whatever the weights.

A gradient of exactly zero says that a pixel cannot be seen, unless a weight is zero, a rectifier is shut, a
maximum looks elsewhere or two paths cancel. Here none of that happens: every weight is positive, 1 over the
numbers it adds up, so that each layer takes a mean; a maximum is a mean; norms at rest and activations hand
on what they get; what is multiplied, divided or subtracted is averaged. All of it is linear, in float64.
"""

# B batch, T tokens, D numbers in a token

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from didact.anatomy.trace import with_numbers

_HAND_ON = """
    relu relu6 leaky_relu elu celu selu gelu silu mish sigmoid tanh hardtanh hardswish hardsigmoid
    softplus softsign hardshrink softshrink tanhshrink logsigmoid threshold prelu rrelu clamp clamp_min
    clamp_max clip pow sqrt rsqrt square exp expm1 log log1p abs neg reciprocal erf sign batch_norm
    layer_norm group_norm instance_norm rms_norm local_response_norm dropout dropout1d dropout2d dropout3d
    feature_dropout alpha_dropout
    """
_AVERAGED = """
    mul multiply rmul imul div divide truediv true_divide rtruediv rdiv idiv itruediv sub subtract rsub
    isub maximum minimum
    """
HAND_ON, AVERAGED = frozenset(_HAND_ON.split()), frozenset(_AVERAGED.split())


class OpenPaths(TorchFunctionMode):
    """While it lasts, every operation that could hide a pixel is replaced by a mean of what it reads."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        called = getattr(func, "__name__", "")
        name, in_place = called.strip("_"), called.endswith("_") and not called.endswith("__")
        tensors = [value for value in args[:2] if isinstance(value, Tensor)]
        if name in HAND_ON:
            given = args[0] if args else kwargs["input"]
            return given if in_place else given.clone()
        if name in AVERAGED and tensors:
            mean = sum(tensors[1:], tensors[0]) / len(tensors)
            return args[0].copy_(mean) if in_place else mean
        return INSTEAD.get(name, func)(*args, **kwargs)


def opened(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode, without the user's hooks, with every weight positive, in float64."""
    clone = with_numbers(module).requires_grad_(False)
    for parameter in clone.parameters():
        parameter.data = _positive(parameter)
    for part in clone.modules():
        for name, buffer in part.named_buffers(recurse=False):
            if buffer.is_floating_point():
                setattr(part, name, buffer.double())
    return clone


def _positive(parameter: Tensor) -> Tensor:
    """One number all over: 1 over the numbers that are added up, or 1 for a bias."""
    share = max(1, parameter[0].numel()) if parameter.dim() > 1 else 1
    return torch.full((), 1 / share, dtype=torch.float64, device=parameter.device).expand(parameter.shape)


def _mean_pool(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    axes: int = 2,
) -> Tensor:
    """The mean of what a maximum is taken of, dilated too: a convolution of each map by itself."""
    kernel, step, pad, spread = (
        _each(v, axes) for v in (kernel_size, stride or kernel_size, padding, dilation)
    )
    unbatched = input.dim() == axes + 1
    maps = input[None] if unbatched else input
    more = [0] * axes
    if ceil_mode:  # a last window that hangs over the edge, as long as it begins inside
        for k, size in enumerate(maps.shape[2:]):
            rest = (size + 2 * pad[k] - spread[k] * (kernel[k] - 1) - 1) % step[k]
            more[k] = step[k] - rest if rest else 0
    ends = [end for k in reversed(range(axes)) for end in (pad[k], pad[k] + more[k])]
    weight = maps.new_full((1, 1, *kernel), 1 / math.prod(kernel)).expand(maps.shape[1], 1, *kernel)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    found = convolve(F.pad(maps, ends), weight, None, step, 0, spread, maps.shape[1])
    for k, size in enumerate(maps.shape[2:]):
        if more[k] and (found.shape[2 + k] - 1) * step[k] >= size + pad[k]:
            found = found.narrow(2 + k, 0, found.shape[2 + k] - 1)
    return found[0] if unbatched else found


def _each(value: Any, axes: int) -> list[int]:
    return [value] * axes if isinstance(value, int) else list(value) * (axes if len(value) == 1 else 1)


def _adaptive(pool: Callable[..., Tensor]) -> Callable[..., Any]:
    return lambda input, output_size, return_indices=False: pool(input, output_size)


def _mean_along(input: Tensor, dim: int | None = None, *_: Any, **__: Any) -> Tensor:
    return input.mean(-1 if dim is None else dim, keepdim=True).expand_as(input)


def _mean_of(input: Tensor, dim: Any = None, *_: Any, keepdim: bool = False, **__: Any) -> Tensor:
    return input.mean() if dim is None else input.mean(dim, keepdim)


def _maximum(input: Tensor, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    if isinstance(dim, Tensor):
        return (input + dim) / 2
    return input.mean() if dim is None else input.mean(dim, keepdim)


def _maximum_with_place(input: Tensor, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    mean = _maximum(input, dim, keepdim)
    place = torch.zeros(mean.shape, dtype=torch.int64, device=input.device)
    return mean if dim is None or isinstance(dim, Tensor) else torch.return_types.max((mean, place))


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor:
    """Each query reads itself and the mean of all keys and values."""
    read = query.mean(-1, keepdim=True) + key.mean((-2, -1), keepdim=True)
    return read + value.mean(-2, keepdim=True)


def _multi_head(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
    """The same for (T, B, D) or (T, D): tokens come first."""
    mixed = [tensor.mean(-1, keepdim=True) for tensor in (query, key.mean(0, True), value.mean(0, True))]
    return (mixed[0] + mixed[1] + mixed[2]).expand_as(query) / 3, None


INSTEAD: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "max_pool1d": partial(_mean_pool, axes=1),
        "max_pool2d": _mean_pool,
        "max_pool3d": partial(_mean_pool, axes=3),
        "adaptive_max_pool1d": _adaptive(F.adaptive_avg_pool1d),
        "adaptive_max_pool2d": _adaptive(F.adaptive_avg_pool2d),
        "adaptive_max_pool3d": _adaptive(F.adaptive_avg_pool3d),
        "softmax": _mean_along,
        "log_softmax": _mean_along,
        "amax": _maximum,
        "amin": _maximum,
        "var": _mean_of,
        "std": _mean_of,
        "max": _maximum_with_place,
        "min": _maximum_with_place,
        "scaled_dot_product_attention": _attention,
        "multi_head_attention_forward": _multi_head,
    }
)
