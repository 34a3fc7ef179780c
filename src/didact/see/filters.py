"""The filters of a convolution as numbers (notes 004, Example 3, "Weights learned at convolution layer 1").

A filter of the first layer is a small picture: where it is positive it looks for light, where it is negative
for dark, so that an edge filter shows as a light and a dark half.
"""

# M filters, C input channels (per group), F filter size

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from didact.errors import UsageError, suggest


@dataclass(frozen=True)
class Filters:
    """The weights of one convolution.

    Attributes:
        layer: Its name in the model.
        weights: (M, C, F, F), a copy.
        bias: (M,), a copy, or None where the layer has none.
    """

    layer: str
    weights: Tensor
    bias: Tensor | None

    @property
    def shape(self) -> tuple[int, ...]:
        """(M, C, F, F)."""
        return tuple(self.weights.shape)

    def channel(self, number: int = 0) -> Tensor:
        """What all filters have for one input channel (M, F, F).

        Raises:
            UsageError: There is no such channel.
        """
        if not 0 <= number < self.weights.shape[1]:
            raise UsageError(
                f"channel={number}: {self.layer} reads channels 0 to {self.weights.shape[1] - 1}"
            )
        return self.weights[:, number]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        bias = None if self.bias is None else self.bias.tolist()
        return {
            "layer": self.layer,
            "shape": list(self.shape),
            "weights": self.weights.tolist(),
            "bias": bias,
        }

    def __str__(self) -> str:
        count, channels, height, width = self.shape
        low, high = self.weights.min().item(), self.weights.max().item()
        of = "a channel" if channels == 1 else f"{channels} channels"
        return f"{self.layer}: {count} filters of {height}x{width} over {of}, weights {low:.3f} to {high:.3f}"


def filters(model: nn.Module, layer: str) -> Filters:
    """Read the filters of a two-dimensional convolution off a model.

    Args:
        model: Any module.
        layer: The convolution's name in it, such as ``conv1`` or ``features.0``.

    Example:
        >>> filters(nn.Sequential(nn.Conv2d(1, 32, 5)), "0").shape
        (32, 1, 5, 5)

    Raises:
        UsageError: No such layer, or it is no convolution of images.
    """
    modules = dict(model.named_modules())
    convolutions = [name for name, module in modules.items() if isinstance(module, nn.Conv2d)]
    if layer not in modules:
        hint = suggest(layer, convolutions) if convolutions else "the model has no convolution of images"
        raise UsageError(f"layer={layer!r}: unknown, {hint}")
    module = modules[layer]
    if not isinstance(module, nn.Conv2d):
        kind = type(module).__name__
        known = ", ".join(convolutions) or "there is none"
        raise UsageError(f"layer={layer!r}: a {kind} has no filters, choose a convolution: {known}")
    bias = None if module.bias is None else module.bias.detach().cpu().clone()
    return Filters(layer, module.weight.detach().cpu().contiguous().clone(), bias)
