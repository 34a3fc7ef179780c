"""What a layer takes, said in its own numbers: for the message when it is given something else."""

# B batch, C channels, L length, H height, W width, T time, F features

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

AXES = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}


def wanted(layer: nn.Module) -> str:
    """The shape that a layer of torch takes, ``(B, 3, H, W)``; "" for a layer of another kind.

    Example:
        >>> wanted(nn.Linear(400, 120))
        '(..., 400)'
    """
    for kind, words in KINDS:
        if isinstance(layer, kind):
            return str(words(layer))
    return ""


def _convolution(layer: Any) -> str:
    axes = AXES[len(layer.kernel_size)]
    return f"(B, {layer.in_channels}, {', '.join(axes)}){_at_least(layer, axes)}"


def _at_least(layer: Any, axes: Iterable[str]) -> str:
    """How long the axes must be, where an image can be too small for the filter."""
    if isinstance(layer.padding, str) or isinstance(layer, _ConvTransposeNd):
        return ""
    sizes = [
        (axis, dilation * (kernel - 1) + 1 - 2 * padding)
        for axis, kernel, dilation, padding in zip(
            axes, layer.kernel_size, layer.dilation, layer.padding, strict=True
        )
    ]
    needs = [f"{axis} at least {least}" for axis, least in sizes if least > 1]
    return ", " + ", ".join(needs) if needs else ""


def _norm(layer: Any) -> str:
    shapes = {"1": "(B, {0}) or (B, {0}, L)", "2": "(B, {0}, H, W)", "3": "(B, {0}, D, H, W)"}
    return next((s for d, s in shapes.items() if f"{d}d" in type(layer).__name__), "(B, {0}, ...)").format(
        layer.num_features
    )


def _recurrent(layer: Any) -> str:
    return f"({'B, T' if layer.batch_first else 'T, B'}, {layer.input_size})"


def _attention(layer: Any) -> str:
    def one(width: int) -> str:
        return f"({'B, T' if layer.batch_first else 'T, B'}, {width})"

    widths = (layer.embed_dim, layer.kdim, layer.vdim)
    return f"queries, keys and values {', '.join(map(one, widths))}"


KINDS: tuple[tuple[type, Any], ...] = (
    (_ConvNd, _convolution),
    (nn.Linear, lambda layer: f"(..., {layer.in_features})"),
    (nn.Bilinear, lambda layer: f"(..., {layer.in1_features}) and (..., {layer.in2_features})"),
    (_NormBase, _norm),
    (nn.LayerNorm, lambda layer: f"(..., {', '.join(map(str, layer.normalized_shape))})"),
    (nn.GroupNorm, lambda layer: f"(B, {layer.num_channels}, ...)"),
    (nn.Embedding, lambda layer: f"whole numbers (int64) from 0 to {layer.num_embeddings - 1}"),
    (nn.EmbeddingBag, lambda layer: f"whole numbers (int64) from 0 to {layer.num_embeddings - 1}"),
    (nn.RNNBase, _recurrent),
    (nn.RNNCellBase, lambda layer: f"(B, {layer.input_size})"),
    (nn.MultiheadAttention, _attention),
)
