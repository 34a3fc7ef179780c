"""What the layers of a network make of one image (notes 004, Example 3, "Feature maps").

Hooks catch what each layer gives. They are taken off again, whatever happens, and the model is left as it
was: weights, running statistics, gradients, and which of its parts are in training mode.
"""

# M maps, C input channels, H W height and width

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from didact.errors import UsageError, suggest


@dataclass(frozen=True)
class FeatureMaps:
    """The maps of one image.

    Attributes:
        maps: By the name of the layer, (M, H, W).
    """

    maps: Mapping[str, Tensor]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """(M, H, W) by the name of the layer."""
        return {layer: tuple(maps.shape) for layer, maps in self.maps.items()}

    def silent(self, layer: str) -> int:
        """How many maps of a layer are one number all over, and say nothing of this image."""
        flat = self.maps[layer].flatten(1)
        return int((flat == flat[:, :1]).all(1).sum())

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            layer: {"shape": list(maps.shape), "silent": self.silent(layer), "maps": maps.tolist()}
            for layer, maps in self.maps.items()
        }

    def __str__(self) -> str:
        return "\n".join(
            f"{layer}: {count} maps of {height}x{width}, {self.silent(layer)} silent"
            for layer, (count, height, width) in self.shapes.items()
        )


def feature_maps(model: nn.Module, image: Tensor, layers: Sequence[str]) -> FeatureMaps:
    """Show a model one image, in evaluation mode, and keep what the named layers give.

    Args:
        model: Any module that reads images.
        image: (C, H, W), or a batch of one (1, C, H, W), prepared as for training.
        layers: Names of submodules whose output is maps, such as ``conv1`` or ``features.3``.

    Example:
        >>> feature_maps(nn.Sequential(nn.Conv2d(1, 8, 3)), torch.zeros(1, 6, 6), ["0"]).shapes
        {'0': (8, 4, 4)}

    Raises:
        UsageError: No such layer, one that gives no maps or has no part in the answer, more than one image.
    """
    modules = {name: module for name, module in model.named_modules() if name}
    for layer in layers:
        if layer not in modules:
            raise UsageError(f"layer={layer!r}: unknown, {suggest(layer, modules)}")
    batch = image[None] if image.dim() == 3 else image
    if batch.dim() != 4 or len(batch) != 1:
        raise UsageError(
            f"image of shape {tuple(image.shape)}: one image is shown, give (channels, height, width)"
        )
    caught: dict[str, Tensor] = {}
    hooks = [modules[layer].register_forward_hook(partial(_catch, caught, layer)) for layer in layers]
    try:
        with torch.no_grad(), _evaluating(model):
            model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    for layer in layers:
        if layer not in caught:
            raise UsageError(f"layer={layer!r}: has no part in the model's answer, choose another")
    return FeatureMaps({layer: caught[layer] for layer in layers})


def _catch(caught: dict[str, Tensor], layer: str, module: nn.Module, inputs: Any, output: Any) -> None:
    if not isinstance(output, Tensor) or output.dim() != 4:
        shape = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
        raise UsageError(
            f"layer={layer!r}: gives {shape}, not maps (1, M, H, W), choose a convolution or pooling"
        )
    caught[layer] = output[0].detach().cpu().contiguous().clone()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; each part then goes back to the mode it was in."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training
