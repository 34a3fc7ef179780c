"""Learning-rate schedules: each a factor on the base rate, a function of how far the run is.

They keep no state, so a resumed run needs none; only ``plateau`` looks back, at the validation scores.
Notes 000, section 3.1 and 001, section VI.1.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from didact.train.recipe import Recipe

Factor = Callable[[Recipe, float], float]  # (recipe, epochs done, a fraction counts) -> factor

ONE_CYCLE_START, ONE_CYCLE_END, ONE_CYCLE_RISE = 1 / 25, 1 / 250_000, 0.3  # as torch's OneCycleLR


def constant(recipe: Recipe, epoch: float) -> float:
    """The base rate throughout."""
    return 1.0


def step(recipe: Recipe, epoch: float) -> float:
    """Multiply by ``decay`` every ``step_epochs`` epochs."""
    return recipe.decay ** (math.floor(epoch + 1e-9) // recipe.step_epochs)


def exponential(recipe: Recipe, epoch: float) -> float:
    """Multiply by ``decay`` every epoch: alpha = t^epoch alpha0."""
    return recipe.decay ** math.floor(epoch + 1e-9)


def linear(recipe: Recipe, epoch: float) -> float:
    """Fall on a straight line to zero at the end."""
    return 1 - epoch / recipe.epochs


def cosine(recipe: Recipe, epoch: float) -> float:
    """Fall along half a cosine to zero at the end."""
    return (1 + math.cos(math.pi * epoch / recipe.epochs)) / 2


def one_cycle(recipe: Recipe, epoch: float) -> float:
    """Rise from 1/25 over the first 30 %, then fall to nearly nothing (Smith 2018); momentum stays."""
    share = epoch / recipe.epochs
    if share < ONE_CYCLE_RISE:
        return _blend(ONE_CYCLE_START, 1.0, share / ONE_CYCLE_RISE)
    return _blend(1.0, ONE_CYCLE_END, (share - ONE_CYCLE_RISE) / (1 - ONE_CYCLE_RISE))


SCHEDULES: Mapping[str, Factor] = {
    "constant": constant,
    "step": step,
    "plateau": constant,
    "cosine": cosine,
    "one-cycle": one_cycle,
    "linear": linear,
    "exponential": exponential,
}


def lr_factor(recipe: Recipe, epoch: float, drops: int = 0, update: float = 0.0) -> float:
    """The factor at ``epoch`` (2.5 is half-way through the third), warm-up and plateau drops included.

    ``update`` is the length of one update in epochs: warm-up counts the update about to be made, so that
    the first one is not made with a rate of zero.
    """
    factor = SCHEDULES[recipe.schedule](recipe, min(epoch, recipe.epochs)) * recipe.decay**drops
    return factor * min(1.0, (epoch + update) / recipe.warmup) if recipe.warmup else factor


def plateau_drops(scores: Sequence[float], patience: int) -> int:
    """How often a plateau schedule has dropped the rate after these validation scores, one an epoch.

    A drop comes when the lowest score has not been beaten for more than ``patience`` epochs, and the count
    starts again after it, as in torch's ReduceLROnPlateau with threshold 0.
    """
    best, waited, drops = math.inf, 0, 0
    for score in scores:
        best, waited = (score, 0) if score < best else (best, waited + 1)
        if waited > patience:
            drops, waited = drops + 1, 0
    return drops


def _blend(start: float, end: float, share: float) -> float:
    """Along half a cosine from start to end."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
