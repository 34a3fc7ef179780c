"""What a layer was built with, in a few signs: ``3->64, 7x7, /2, pad 3``."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import _AvgPoolNd, _MaxPoolNd


def described(layer: nn.Module) -> str:
    """The arguments of a layer: what goes in and out, sizes, and whatever is not the default.

    Example:
        >>> described(nn.Conv2d(3, 64, 7, stride=2, padding=3))
        '3->64, 7x7, /2, pad 3'
    """
    for kind, words in KINDS:
        if isinstance(layer, kind):
            return ", ".join(word for word in words(layer) if word)
    return " ".join(layer.extra_repr().split())


def size(value: Any) -> str:
    """One number or several: ``3x3``, ``3``."""
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def short(value: Any) -> str:
    """The same, one number where all are the same."""
    same = isinstance(value, tuple) and len(set(value)) == 1
    return str(value[0]) if same else size(value)


def _unless(value: Any, usual: tuple[Any, ...], words: str) -> str:
    return "" if short(value) in map(str, usual) else words.format(short(value))


def _convolution(layer: Any) -> list[str]:
    return [
        f"{layer.in_channels}->{layer.out_channels}",
        size(layer.kernel_size),
        _unless(layer.stride, (1,), "/{}"),
        _unless(layer.padding, (0,), "pad {}"),
        _unless(layer.dilation, (1,), "dilation {}"),
        _unless(layer.groups, (1,), "{} groups"),
        "no bias" if layer.bias is None else "",
    ]


def _linear(layer: Any) -> list[str]:
    return [f"{layer.in_features}->{layer.out_features}", "no bias" if layer.bias is None else ""]


def _pooling(layer: Any) -> list[str]:
    kernel, axes = layer.kernel_size, int(type(layer).__name__[-2])
    return [
        size(kernel if isinstance(kernel, tuple) else (kernel,) * axes),
        _unless(layer.stride, (1,), "/{}"),
        _unless(layer.padding, (0,), "pad {}"),
        "ceil" if layer.ceil_mode else "",
    ]


def _recurrent(layer: Any) -> list[str]:
    return [
        f"{layer.input_size}->{layer.hidden_size}",
        _unless(layer.num_layers, (1,), "{} layers"),
        "bidirectional" if layer.bidirectional else "",
        _unless(layer.proj_size, (0,), "projected to {}"),
        "" if layer.bias else "no bias",
    ]


KINDS: tuple[tuple[type, Callable[[Any], list[str]]], ...] = (
    (_ConvNd, _convolution),
    (nn.Linear, _linear),
    (nn.Bilinear, lambda layer: [f"{layer.in1_features} and {layer.in2_features}->{layer.out_features}"]),
    (_NormBase, lambda layer: [str(layer.num_features), "" if layer.affine else "not affine"]),
    (nn.LayerNorm, lambda layer: [size(layer.normalized_shape)]),
    (nn.Embedding, lambda layer: [f"{layer.num_embeddings}->{layer.embedding_dim}"]),
    (nn.EmbeddingBag, lambda layer: [f"{layer.num_embeddings}->{layer.embedding_dim}", layer.mode]),
    (_MaxPoolNd, _pooling),
    (_AvgPoolNd, _pooling),
    (nn.RNNBase, _recurrent),
    (nn.RNNCellBase, lambda layer: [f"{layer.input_size}->{layer.hidden_size}"]),
    (nn.MultiheadAttention, lambda layer: [str(layer.embed_dim), f"{layer.num_heads} heads"]),
    (nn.Dropout, lambda layer: [str(layer.p)]),
    (nn.Flatten, lambda layer: []),
    (nn.ReLU, lambda layer: []),
)
