"""Gradients before an update and how far it moves each weight; whether gradients are put away in between."""

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from didact.doctor.chart import Chart, Look
from didact.doctor.newborn import parameters_of, rate_of, settings_of

LARGE = 20_000_000  # numbers in a model beyond which updates are not measured
ALIKE = 0.2  # of their size, that units which started as one may differ by
KEPT = 400  # looks that are kept: the first sixty, and the rest ever thinner


class Movement:
    """Reads gradients and weights into a chart."""

    def __init__(self, chart: Chart):
        self.chart = chart
        self.optimizers: list[Optimizer] = []
        self.parameters: list[Tensor] = []
        self.held: dict[int, set[int]] = {}  # by optimizer: the tensors it moves
        self.before: list[Tensor] = []
        self.zeroed: dict[int, bool] = {}  # by witness: at some backward since its update it was empty
        self.corner: dict[int, tuple[float, ...]] = {}  # a few of its numbers, to see that it moved
        self.stepped = True  # since the last backward
        self.witnesses: list[int] = []  # a trained parameter of each optimizer, chosen again at each look

    def admit(self, parameters: Sequence[Tensor], optimizers: Sequence[Optimizer]) -> None:
        """Know these parameters, in the order of the chart's weights, and these optimizers."""
        self.parameters, self.optimizers = list(parameters), list(optimizers)
        self.held = {id(o): {id(p) for p in parameters_of([o])} for o in self.optimizers}
        self.witnesses = []

    def meet(self, optimizer: Optimizer) -> None:
        """An optimizer that nobody told of."""
        self.admit(self.parameters, [*self.optimizers, optimizer])
        held = self.all_held
        for weight, parameter in zip(self.chart.weights, self.parameters, strict=True):
            weight.in_optimizer = id(parameter) in held
        self.chart.settings.append(settings_of(optimizer))

    @property
    def all_held(self) -> set[int]:
        """The tensors that some optimizer moves."""
        return set().union(*self.held.values())

    # Between updates

    def backward(self) -> None:
        """At a backward: were the gradients of the update before put away? And were they used?"""
        self.witnesses = self.witnesses or self._witnesses()
        for index in self.witnesses:
            parameter = self.parameters[index]
            empty = parameter.grad is None or not bool(parameter.grad.any())
            self.zeroed[index] = self.zeroed.get(index, False) or empty
            if not self.chart.step:  # nothing has stepped so far
                corner = tuple(parameter.detach().flatten()[:16].tolist())
                if empty and not self.stepped and corner == self.corner.get(index):
                    self.chart.count("gradients lost")
                self.corner[index] = corner
        self.stepped = False

    def _witnesses(self) -> list[int]:
        """One trained parameter of each optimizer: the first that has had a gradient."""
        found = []
        for ids in self.held.values():
            mine = [
                w.received > 0 and id(p) in ids
                for w, p in zip(self.chart.weights, self.parameters, strict=True)
            ]
            found += [mine.index(True)] if any(mine) else []
        return found or [i for i, p in enumerate(self.parameters) if p.requires_grad][:1]

    def tell_zeroed(self, optimizer: Optimizer) -> None:
        """At an update: whether its witness was empty at some backward since the update before."""
        mine = self.held[id(optimizer)]
        index = next(k for k, known in enumerate(self.optimizers) if known is optimizer)
        for i in [i for i in self.zeroed if id(self.parameters[i]) in mine]:
            self.chart.zeroing.setdefault(index, [0, 0])[0 if self.zeroed.pop(i) else 1] += 1

    def idle(self, stepped: Collection[int]) -> list[int]:
        """Optimizers that never stepped, by their place, though what they alone hold has had gradients."""
        moved: set[int] = set().union(*(self.held[id(self.optimizers[k])] for k in stepped))
        return [
            k
            for k, optimizer in enumerate(self.optimizers)
            if k not in stepped
            and any(p.grad is not None and id(p) not in moved for p in parameters_of([optimizer]))
        ]

    def emptied(self, optimizer: Optimizer) -> bool:
        """Whether not one of its parameters has a gradient that is not zero."""
        return not any(p.grad is not None and bool(p.grad.any()) for p in parameters_of([optimizer]))

    # Before and after an update

    def gradients(self, optimizer: Optimizer) -> None:
        """Root mean squares of gradients and weights, and which parameters had none."""
        chart, mine = self.chart, self.held[id(optimizer)]
        known = {id(p) for p in self.parameters}
        empty = [p for p in parameters_of([optimizer]) if p.grad is None and p.requires_grad]
        chart.strangers = sum(id(p) not in known for p in empty)
        self._count_received(mine)
        self.witnesses = []
        if chart.looks and chart.looks[-1].step == chart.step:  # another optimizer, the same gradients
            return
        have = [i for i, p in enumerate(self.parameters) if p.grad is not None and not p.grad.is_sparse]
        norms = _norms([self.parameters[i].grad for i in have])
        sizes = _norms([self.parameters[i] for i in have])
        nothing = np.full(len(self.parameters), np.nan)
        look = Look(chart.step, nothing, nothing.copy(), nothing.copy(), 0.0)
        for i, gradient, weight in zip(have, norms, sizes, strict=True):
            root = math.sqrt(self.parameters[i].numel())
            look.gradient[i], look.weight[i] = gradient / root, weight / root
            chart.weights[i].received += gradient > 0 or not math.isfinite(gradient)
            if not math.isfinite(gradient):
                chart.count("gradient not finite", chart.weights[i].name)
        look.norm = math.sqrt(sum(norm * norm for norm in norms))
        if look.norm == 0:
            chart.count("gradient zero")
        chart.norms.append((chart.step, look.norm))
        chart.looks.append(look)
        if len(chart.looks) > KEPT:
            del chart.looks[60::2]

    def _count_received(self, mine: set[int]) -> None:
        for weight, parameter in zip(self.chart.weights, self.parameters, strict=True):
            if parameter.grad is None:
                weight.empty += id(parameter) in mine or not weight.in_optimizer
            elif parameter.grad.is_sparse:
                weight.received += 1

    def remember(self) -> None:
        """Keep the weights as they are, to see how far they move."""
        if self.before:
            return
        self._check_twins()
        if sum(p.numel() for p in self.parameters) <= LARGE:
            self.before = [p.detach().clone() for p in self.parameters]

    def forget(self) -> None:
        """An update is over."""
        self.before, self.stepped = [], True

    def _check_twins(self) -> None:
        """Units that started alike: have they come apart?"""
        for weight, parameter in zip(self.chart.weights, self.parameters, strict=True):
            if weight.twins and self.chart.step:
                flat = parameter.detach().flatten(1)
                apart = float((flat - flat.mean(0)).abs().mean() / flat.abs().mean().clamp(min=1e-12))
                weight.still_twins = apart < ALIKE

    def updates(self, optimizer: Optimizer) -> None:
        """How far each weight of this optimizer moved, in lengths of itself."""
        before, mine = self.before, self.held[id(optimizer)]
        if not before or not self.chart.looks or self.chart.looks[-1].step != self.chart.step:
            return
        look = self.chart.looks[-1]
        moved = _norms(torch._foreach_sub([p.detach() for p in self.parameters], before))
        for i, (length, size) in enumerate(zip(moved, _norms(before), strict=True)):
            if size > 0 and id(self.parameters[i]) in mine and not math.isnan(look.gradient[i]):
                look.ratio[i] = length / size
        if rate_of(optimizer) > 0 and np.nan_to_num(look.gradient).any():
            self.chart.count("updates that moved" if any(moved) else "updates that moved nothing")


def _norms(tensors: Sequence[Any]) -> list[float]:
    if not tensors:
        return []
    with torch.no_grad():
        norms = list(torch._foreach_norm([t.detach() for t in tensors]))
        if len({(norm.dtype, norm.device) for norm in norms}) > 1:
            norms = [norm.double().cpu() for norm in norms]
        return torch.stack(norms).tolist()
