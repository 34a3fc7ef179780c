"""What can be known of a model and its optimizer before the first step, from their numbers alone."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from didact.doctor.chart import Chart, Weight

BATCH_NORMS = nn.modules.batchnorm._BatchNorm
DROPOUTS = nn.modules.dropout._DropoutNd
KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    "norm": (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
    "conv": (nn.modules.conv._ConvNd,),
    "embedding": (nn.Embedding, nn.EmbeddingBag),
    "recurrent": (nn.RNNBase, nn.RNNCellBase),
    "linear": (nn.Linear, nn.Bilinear, nn.MultiheadAttention),
}
DRAWN = 16  # numbers of a matrix whose largest lies near the bound that they are drawn within
SETTINGS = ("momentum", "betas", "eps", "weight_decay", "alpha", "nesterov", "dampening")


def describe(chart: Chart, models: Mapping[str, nn.Module], optimizers: Sequence[Optimizer]) -> list[Tensor]:
    """Write the weights, modules and settings into the chart; returns the parameters in the same order.

    Where there are no models, the weights are what the optimizers move: a network of tensors alone.
    """
    held = {id(p): p for p in parameters_of(optimizers)}
    found: dict[int, Tensor] = {}
    chart.weights.clear()
    for prefix, model in models.items():
        for owner, module in model.named_modules():
            for name, parameter in module.named_parameters(recurse=False):
                if id(parameter) not in found and not isinstance(
                    parameter, nn.parameter.UninitializedParameter
                ):
                    found[id(parameter)] = parameter
                    full = ".".join(part for part in (prefix, owner, name) if part)
                    chart.weights.append(weigh(full, kind_of(module), parameter, id(parameter) in held))
    for number, tensor in enumerate(held.values() if not models else ()):
        found[id(tensor)] = tensor
        chart.weights.append(weigh(f"tensor {number}", "other", tensor, in_optimizer=True))
    _count_modules(chart, models.values())
    chart.settings = [settings_of(optimizer) for optimizer in optimizers]
    return list(found.values())


def parameters_of(optimizers: Iterable[Optimizer]) -> list[Tensor]:
    """Every tensor that an optimizer moves."""
    return [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]


def kind_of(module: nn.Module) -> str:
    """What a module's weights serve."""
    return next((kind for kind, types in KINDS.items() if isinstance(module, types)), "other")


def layers_with_weights(model: nn.Module) -> int:
    """How many of its layers are maps with weights."""
    return sum(kind_of(module) in ("linear", "conv", "recurrent") for module in model.modules())


@torch.no_grad()
def weigh(name: str, kind: str, parameter: Tensor, in_optimizer: bool) -> Weight:
    """Its shape, spread, and whether its units are all alike."""
    matrix = parameter.dim() > 1
    flat = parameter.detach().float()
    flat = flat.flatten(1) if matrix else flat.reshape(1, -1)
    std = float(flat.std(correction=0)) if flat.numel() else 0.0
    bare = matrix and kind in ("linear", "conv", "recurrent", "other") and flat.numel() > 1
    return Weight(
        name,
        kind,
        tuple(parameter.shape),
        flat.shape[1] if matrix else 0,
        std,
        constant=bare and std <= 1e-6 * float(flat.abs().mean()),
        twins=bare and len(flat) > 1 and bool((flat == flat[:1]).all()),
        trainable=parameter.requires_grad,
        in_optimizer=in_optimizer,
    )


@torch.no_grad()
def as_drawn(model: nn.Module) -> bool:
    """Whether its matrices are still those that torch draws for a new layer: nothing has trained it."""
    known = []
    for module in model.modules():
        kind = kind_of(module)
        for parameter in module.parameters(recurse=False):
            if parameter.dim() > 1 and parameter.numel() >= DRAWN and kind in ("linear", "conv", "recurrent"):
                inputs = getattr(module, "hidden_size", 0) or parameter[0].numel()  # as torch counts them
                furthest, bound = float(parameter.abs().max()), 1 / math.sqrt(inputs)
                known.append(0.7 * bound < furthest <= (1 + 1e-6) * bound)
    return bool(known) and all(known)


def settings_of(optimizer: Optimizer) -> dict[str, Any]:
    """Its kind, rate and what else is set, of the first group."""
    group = optimizer.param_groups[0]
    plain = {name: group[name] for name in SETTINGS if name in group and not isinstance(group[name], Tensor)}
    return {"optimizer": type(optimizer).__name__, "lr": rate_of(optimizer), **plain}


def rate_of(optimizer: Optimizer) -> float:
    """The largest rate of its groups."""
    return max((float(group.get("lr", math.nan)) for group in optimizer.param_groups), default=math.nan)


def _count_modules(chart: Chart, models: Iterable[nn.Module]) -> None:
    counts = {"batch_norm": 0, "dropout": 0, "recurrent": 0, "attention": 0, "weighty": 0}
    chart.dropout = 0.0
    for model in models:
        counts["weighty"] += layers_with_weights(model)
        for module in model.modules():
            counts["batch_norm"] += isinstance(module, BATCH_NORMS)
            counts["recurrent"] += isinstance(module, nn.RNNBase | nn.RNNCellBase)
            counts["attention"] += isinstance(module, nn.MultiheadAttention)
            if isinstance(module, DROPOUTS):
                counts["dropout"] += module.p > 0
                chart.dropout = max(chart.dropout, module.p)
            elif isinstance(module, nn.RNNBase) and module.dropout:
                counts["dropout"] += 1
    chart.modules = counts
