"""Games of two networks: does the generator vary, does the judge always win?"""

# B samples, F numbers in each

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from didact.doctor.chart import Chart
from didact.doctor.pairing import REACH

if TYPE_CHECKING:
    from didact.doctor.observer import Pass

ALIKE = 0.8  # correlation


class Rivals:
    """Reads spread and judgement from passes of a generator and a discriminator, and of an autoencoder."""

    def __init__(self, chart: Chart):
        self.chart = chart
        self.noise: float | None = None  # at most, that is laid over what a generator made

    def note(self, passes: Sequence["Pass"], game: bool, step: int) -> None:
        """Look at the passes of one update."""
        if passes:
            self._latent(passes[-1].output)
            if game:
                self._game(passes)

    def _game(self, passes: Sequence["Pass"]) -> None:
        """Whose answers are another's inputs is the generator; who reads them is the judge."""
        makers = {one.name: maker for one in passes if (maker := _maker_of(one, passes))}
        named = {one.name: one for one in passes}
        for one in passes:
            x, judge = one.inputs.tensor, one.name in makers and one.name not in makers.values()
            if x is None or x.dim() < 2 or not one.answer.dim() or not judge:
                continue
            x, whose = x.detach(), "fakes" if _maker_of(one, passes) else "reals"
            self._add(whose, _spread(x))
            self._add(f"{whose} believed", _share_above(one.answer))
            self._compare_reach(x, named[makers[one.name]], whose)
            self._add(f"{whose} reach", float(x.abs().max()))
            self._add(f"{whose} beyond", float((x.abs() > 1.01).double().mean()))  # what a tanh cannot make

    def _compare_reach(self, x: Tensor, maker: "Pass", whose: str) -> None:
        """Whether real rows lie where the generator cannot go, but for the noise that is laid over both."""
        low, high = REACH.get(maker.producer, (-math.inf, math.inf))
        if high == math.inf or x.shape != maker.answer.shape:
            return
        if whose == "fakes":
            self.noise = max(self.noise or 0.0, float((x - maker.answer).abs().max()))
        elif self.noise is not None:
            slack = self.noise + 0.01
            self._add("reals out of reach", float(((x < low - slack) | (x > high + slack)).double().mean()))

    def _add(self, name: str, value: float) -> None:
        self.chart.rivals.setdefault(name, []).append((self.chart.step, value))

    def _latent(self, output: Any) -> None:
        """Share of latent axes that do not diverge from the prior: (reconstruction, mean, log variance)."""
        if not isinstance(output, tuple | list) or len(output) < 3:
            return
        tensors = [t.detach() for t in output if isinstance(t, Tensor) and t.dim() == 2]
        pairs = [(a, b) for a, b in pairwise(tensors) if a.shape == b.shape]
        if not pairs:
            return
        mean, log_variance = pairs[-1]
        divergence = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).mean(0)
        self.chart.latent.append((self.chart.step, float((divergence < 0.01).double().mean())))


def _share_above(answer: Tensor) -> float:
    """How many are taken for real: by probability, or by a logit's sign."""
    unit = bool(((answer >= 0) & (answer <= 1)).all())
    return float((answer > (0.5 if unit else 0.0)).double().mean())


def _maker_of(one: "Pass", passes: Sequence["Pass"]) -> str:
    """Who made the rows that a model is shown, among the other models that were called; empty if nobody."""
    x = one.inputs.tensor
    others = (other for other in passes if other.name != one.name)
    return next((other.name for other in others if x is not None and _is_made_of(x, other.answer)), "")


def _is_made_of(x: Tensor, answer: Tensor) -> bool:
    """Whether these are a generator's rows, or those with a little noise on them."""
    if x.shape != answer.shape or len(x) < 2 or not x.is_floating_point():
        return False
    if x.data_ptr() == answer.data_ptr():
        return True
    a, b = (rows.detach().flatten(1).float() for rows in (x, answer))
    a, b = a - a.mean(0), b - b.mean(0)
    return float((a * b).sum()) > ALIKE * float(a.norm() * b.norm())


def _spread(rows: Tensor) -> float:
    """Mean distance of two rows."""
    flat = rows.detach().flatten(1)[:128].float()
    return float(torch.pdist(flat).mean()) if len(flat) > 1 else 0.0
