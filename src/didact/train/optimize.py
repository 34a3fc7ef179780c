"""torch's optimizers by name, fused where torch has a fused kernel, one for each group of the task."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from didact.errors import UsageError, suggest
from didact.train.recipe import Recipe
from didact.train.transfer import HEAD, TRUNK, check_part, rate_scales

OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "adamax": torch.optim.Adamax,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "asgd": torch.optim.ASGD,
    "rprop": torch.optim.Rprop,
}


def make_optimizers(recipe: Recipe, groups: Mapping[str, nn.Module]) -> dict[str, Optimizer]:
    """One optimizer for each group of parameters; within it, a set of parameters for each learning rate.

    Raises:
        UsageError: A knob that the optimizer does not have, or a factor for a part that does not exist.
    """
    _check_scales(recipe, groups)
    for name, part in groups.items():
        if not any(p.requires_grad for p in part.parameters()):
            raise UsageError(f"freeze={','.join(recipe.freeze)}: nothing of {name} would learn; freeze less")
    options = optimizer_options(recipe)
    return {
        name: OPTIMIZERS[recipe.optimizer](_by_rate(recipe, name, part), lr=recipe.lr, **options)
        for name, part in groups.items()
    }


def _by_rate(recipe: Recipe, group: str, part: nn.Module) -> list[dict[str, Any]]:
    """The parameters of a group that learn, those of one rate together."""
    scales = rate_scales(recipe, group, part)
    parameters = dict(part.named_parameters())
    return [
        {"params": [parameters[n] for n in scales if scales[n] == scale], "lr": recipe.lr * scale}
        for scale in dict.fromkeys(scales.values())
    ]


def _check_scales(recipe: Recipe, groups: Mapping[str, nn.Module]) -> None:
    """Every key of ``lr_scale`` names a group, the trunk, the head, or a part of a network."""
    for key in recipe.lr_scale.keys() - groups.keys() - {TRUNK, HEAD}:
        if len(groups) > 1:
            raise UsageError(f"lr_scale names the group {key!r}; {suggest(key, groups)}")
        for part in groups.values():
            check_part(part, key, "lr_scale")


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Restore a saved state, each tensor of it laid out in memory as its parameter is.

    Files keep no layout, and torch's fused kernels walk both in the order of memory without a look at the
    strides: to a channels-last weight they would apply the numbers of its neighbours.
    """
    optimizer.load_state_dict(state)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                like = torch.empty_like(parameter, dtype=value.dtype, device=value.device)
                values[name] = like.copy_(value)


def optimizer_options(recipe: Recipe) -> dict[str, Any]:
    """The options of the recipe that this optimizer takes.

    Raises:
        UsageError: The recipe sets an option that the optimizer does not have; it is never ignored.
    """
    known = _knobs(recipe.optimizer)
    options: dict[str, Any] = {}
    if "fused" in known:
        options["fused"] = True
    if recipe.optimizer == "sgd":
        options["momentum"] = 0.9
    chosen = {
        "momentum": recipe.momentum,
        "betas": recipe.betas,
        "rho": recipe.rho,
        "nesterov": recipe.nesterov or None,
        "weight_decay": recipe.weight_decay or None,
    }
    for name, value in chosen.items():
        if value is None:
            continue
        if name not in known:
            takers = [other for other in OPTIMIZERS if name in _knobs(other)]
            raise UsageError(f"{name}={value}: {recipe.optimizer} has no {name}; {', '.join(takers)} have")
        options[known[name]] = value
    if options.get("nesterov") and not options.get("momentum"):
        raise UsageError("nesterov=true needs a momentum above 0, such as 0.9")
    if recipe.optimizer == "adamw" and recipe.weight_decay == 0:
        options["weight_decay"] = 0.0  # torch's default is 0.01; the recipe's word is the one that counts
    return options


def _knobs(optimizer: str) -> dict[str, str]:
    """What can be set of an optimizer, and by which name torch knows it."""
    knobs = {name: name for name in inspect.signature(OPTIMIZERS[optimizer]).parameters}
    return knobs | {"rho": "alpha"} if optimizer == "rmsprop" else knobs
