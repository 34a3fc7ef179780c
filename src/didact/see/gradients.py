"""How much of the gradient reaches each layer, and why residual networks work (notes 001, X.4 and X.5).

On its way back the gradient is multiplied by the derivative of every layer that it passes. In a deep plain
stack the product vanishes or explodes. Around a residual block it has a way on which nothing is multiplied,
so that the first layer is told as much as the last. Here it is measured: the mean |gradient| of each layer's
weights, by depth.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from didact.errors import UsageError
from didact.see.undisturbed import keeping_state, weights_of, weighty_layers

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class GradientNorms:
    """The gradients of a network's weights.

    Attributes:
        mean: By layer, in the order in which they are run: the mean of |gradient| over its weights.
        rms: The same as the root of the mean square.
    """

    mean: Mapping[str, float]
    rms: Mapping[str, float]

    @property
    def first_to_last(self) -> float:
        """The mean gradient of the first layer over that of the last: far below 1, it vanishes on its way."""
        values = list(self.mean.values())
        return values[0] / values[-1] if values[-1] else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        layers = {layer: {"mean": self.mean[layer], "rms": self.rms[layer]} for layer in self.mean}
        return {"layers": layers, "first_to_last": self.first_to_last}

    def plot(self, **others: "GradientNorms") -> "Figure":
        """The mean over depth, beside that of other networks by their names."""
        from didact.draw.depth import draw_over_depth

        lines = {"network": self.mean, **{name: other.mean for name, other in others.items()}}
        return draw_over_depth(lines, "mean |gradient| of the weights", log=True)

    def __str__(self) -> str:
        wide = max(5, *map(len, self.mean))
        lines = [f"{'layer':<{wide}}  mean |gradient|        rms"]
        lines += [f"{name:<{wide}}  {self.mean[name]:15.2e}  {self.rms[name]:9.2e}" for name in self.mean]
        return "\n".join([*lines, f"first layer to last: {self.first_to_last:.2e}"])


def gradient_norms(model: nn.Module, loss_of: Callable[[nn.Module], Tensor]) -> GradientNorms:
    """Compute one loss and its gradient by all weights; layers are modules with a matrix or filters.

    The model is left as it was: its gradients, modes, running statistics, and the random numbers too.

    Args:
        model: Any module, in the mode in which it is to be asked: as for training, usually.
        loss_of: From the model to a loss, one number.

    Example:
        >>> model, x = nn.Sequential(nn.Linear(2, 1, bias=False)), torch.tensor([[3.0, -1.0]])
        >>> gradient_norms(model, lambda model: model(x).sum()).mean
        {'0': 2.0}

    Raises:
        UsageError: No layers, none that learns has a part in the loss, or the loss is no single number.
    """
    layers = weighty_layers(model)
    if not layers:
        raise UsageError(f"{type(model).__name__}: has no layers inside, give a network")
    order: dict[str, None] = {}
    hooks = [module.register_forward_pre_hook(partial(_note, order, name)) for name, module in layers.items()]
    try:
        with keeping_state(model), torch.enable_grad():
            loss = loss_of(model)
            return _differentiated(loss, {name: weights_of(layers[name]) for name in order})
    finally:
        for hook in hooks:
            hook.remove()


def _differentiated(loss: Tensor, weights: Mapping[str, list[Tensor]]) -> GradientNorms:
    if loss.numel() != 1 or not loss.requires_grad:
        raise UsageError(f"loss of shape {tuple(loss.shape)}: must be one number that depends on the weights")
    learned = {name: [weight for weight in own if weight.requires_grad] for name, own in weights.items()}
    flat = [weight for own in learned.values() for weight in own]
    found = iter(torch.autograd.grad(loss.sum(), flat, allow_unused=True) if flat else ())
    return _summed({name: [next(found) for _ in own] for name, own in learned.items()})


def _summed(gradients: Mapping[str, list[Tensor | None]]) -> GradientNorms:
    mean, rms = {}, {}
    for name, each in gradients.items():
        known = [gradient.flatten() for gradient in each if gradient is not None]
        if known:
            values = torch.cat(known).double()
            mean[name], rms[name] = values.abs().mean().item(), values.square().mean().sqrt().item()
    if not mean:
        raise UsageError(
            "no layer that learns has a part in the loss, compute it with the model that is given"
        )
    return GradientNorms(mean, rms)


def _note(order: dict[str, None], name: str, module: nn.Module, inputs: Any) -> None:
    order.setdefault(name)
