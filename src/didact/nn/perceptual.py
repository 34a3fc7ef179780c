"""Perceptual loss: how different two images look to a network (Johnson, Alahi and Fei-Fei 2016; notes 004).

Moved by a pixel, an image differs from itself in almost every pixel, and to the eye in nothing. So images
are compared by what the layers of a trained network make of them, VGG's as a rule:

    distance(x, y) = sum over layers l of ||f_l(x) - f_l(y)||^2 / (C_l H_l W_l)

It is a loss for networks that make images, in place of the squared error of pixels, which blurs.
"""

# B images, C channels, H W height and width

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

from torch import Tensor, nn

from didact.errors import UsageError, suggest


class FeatureDistance(nn.Module):
    """The squared distance of two batches of images in the features of a frozen network.

    The network is copied, and the copy never learns: its weights get no gradient, and it stays in evaluation
    mode whatever ``train()`` asks. The gradient goes through it to the images.

    Args:
        model: Any module that reads images; a trained one, for distances that mean something.
        layers: Names of its submodules, such as ``features.3`` of a VGG; or a weight for each by its name.

    Input: two batches (B, C, H, W). Output: one number, the mean over the batch.

    Example:
        >>> import torch
        >>> distance = FeatureDistance(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), ["1"])
        >>> x = torch.rand(2, 3, 8, 8)
        >>> distance(x, x).item()
        0.0

    Raises:
        UsageError: No layer, an unknown one, or a weight that is not positive.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str] | Mapping[str, float]):
        super().__init__()
        weights = dict(layers) if isinstance(layers, Mapping) else dict.fromkeys(layers, 1.0)
        known = [name for name, _ in model.named_modules() if name]
        for name, weight in weights.items():
            if name not in known:
                raise UsageError(f"layer={name!r}: unknown, {suggest(name, known)}")
            if not weight > 0:
                raise UsageError(f"weight={weight} of {name}: must be more than 0, or leave the layer out")
        if not weights:
            raise UsageError("layers=(): give the name of one layer or more")
        self.layers = weights
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        for module in self.model.modules():
            if getattr(module, "inplace", False):
                vars(module)["inplace"] = False  # it would overwrite the features of the layer before

    def train(self, mode: bool = True) -> Self:
        """Change the mode of this module, and leave its network in evaluation mode."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Weighted sum over layers of the mean squared difference of features."""
        if x.shape != y.shape:
            raise UsageError(f"images of shapes {tuple(x.shape)} and {tuple(y.shape)}: must be alike")
        first, second = self.features(x), self.features(y)
        each = [(first[name] - second[name]).square().mean() * weight for name, weight in self.layers.items()]
        return sum(each[1:], start=each[0])

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """What the chosen layers give, by name.

        Raises:
            UsageError: A layer has no part in the answer, or gives no tensor.
        """
        caught: dict[str, Any] = {}
        with self._catching(caught):
            self.model(x)
        for name in self.layers:
            if not isinstance(caught.get(name), Tensor):
                raise UsageError(f"layer={name!r}: gives no features of the images, choose another")
        return caught

    @contextmanager
    def _catching(self, caught: dict[str, Any]) -> Iterator[None]:
        def catch(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
            caught[name] = output

        modules = {name: self.model.get_submodule(name) for name in self.layers}
        hooks = [module.register_forward_hook(partial(catch, name)) for name, module in modules.items()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
