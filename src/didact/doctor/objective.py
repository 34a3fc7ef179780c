"""What a run descends: the losses that it calls, or one written by hand; and the number that is followed."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from didact.doctor.byhand import compared_with, normalised_over_rows, of_all_with_all
from didact.doctor.chart import Chart
from didact.doctor.graphs import scaled
from didact.doctor.operations import kind_of
from didact.doctor.pairing import CLASSES, Ignorance, guess, note, part
from didact.doctor.passes import Pass
from didact.doctor.taps import LossCall
from didact.doctor.update import Update

MOST = 16  # losses of one backward
EARLY = 8  # backwards whose graphs are searched for a softmax
VARIES = 0.02  # by how much a loss over its only call may change, if it was divided to be accumulated
BOTTOMLESS = 1000.0  # times its first size, that a loss falls below zero
SAME = 1e-6  # of its size, by which two losses that are one may differ


class Objective:
    """Hears losses and what is differentiated; reads what they were given into a chart.

    Attributes:
        raw: What was differentiated last, without the scale of half precision.
        parts: The loss that is followed is so many times that: it was divided to be accumulated.
    """

    def __init__(self, chart: Chart):
        self.chart = chart
        self.calls: list[LossCall] = []  # with a graph, since the last backward
        self.ignorance: dict[str, Ignorance] = {}
        self.scale, self.usual = 1.0, 0.0
        self.raw, self.parts = 0.0, 1.0
        self.begun = 0.0  # size of the first that was differentiated, at least 1

    def heard(self, call: LossCall) -> None:
        """A loss was computed, with a graph."""
        self.calls.append(call)
        if call.kind in CLASSES and not call.target.is_floating_point():
            self.chart.rows.ignored = call.ignored
        del self.calls[:-MOST]

    def differentiated(self, loss: Tensor) -> float:
        """A backward begins: the loss that is followed, as far as it is known without a look."""
        self.raw, self.scale = loss.item() / self.scale, 1.0
        self.begun = self.begun or max(abs(self.raw), 1.0)
        if self.raw < -BOTTOMLESS * self.begun:
            self.chart.count("loss far below zero")
        return self.raw * self.parts

    def settle_calls(self, loss: Tensor, update: Update, value: float) -> float:
        """What the loss functions said of it; the number that is followed."""
        if loss.grad_fn is None:
            self.chart.count("loss without a graph")
        if any(map(_is_clamped, scaled(loss.grad_fn))):
            self.chart.count("loss clamped")
        if self.chart.backwards <= EARLY and of_all_with_all(loss):
            self.chart.count("loss of all with all")
        calls, self.calls = self.calls, []
        update.heard += calls
        for one in update.training:
            if one.made_by is not None and not calls:
                one.compared = compared_with(loss, one.answer, one.made_by)
                if one.compared and one.compared.stretched:
                    self.chart.count("loss of all with all")
            early = one.made_by is not None and self.chart.backwards <= EARLY
            if early and normalised_over_rows(loss, one.made_by):
                self.chart.count("softmax over the rows")
            one.made_by = None
        if len(calls) != 1 or calls[0].value.numel() != 1:
            self.chart.count("losses of several parts" if calls else "losses by hand")
            return value
        return self._settle_one(loss, float(calls[0].value))

    def _settle_one(self, loss: Tensor, told: float) -> float:
        """The loss was made of one call, that came to ``told``."""
        if told and abs(self.raw + told) < SAME * abs(told):
            self.chart.count("loss turned round")
            return told
        same = abs(self.raw - told) <= SAME * abs(told)
        if same:
            self.chart.count("loss as it was called")
        if self.raw and math.isfinite(told / self.raw):
            self.parts = told / self.raw
            self.usual = self.usual or self.parts
            if abs(self.parts / self.usual - 1) > VARIES:  # not divided: something was added
                self.chart.count("losses of several parts")
        return told

    def guess(self, update: Update, one: Pass, targets: Tensor | None) -> None:
        """Which loss was written by hand, where the targets are known?"""
        value = update.loss if update.told is None else update.told
        if targets is None or value is None:
            return
        call = guess(one.answer, targets, value, one.producer)
        if call.kind == "other" and one.compared and one.compared.kind:
            call = part(one.answer, one.compared, one.producer)
            self.chart.count("losses of several parts")
        update.heard.append(call)
        if call.turned:
            self.chart.count("loss turned round")
        elif call.kind != "other" and not call.partial and self.raw and self.parts == 1:
            self._rescale(float(call.value) / self.raw)

    def _rescale(self, parts: float) -> None:
        """A loss by hand was divided before its gradient was taken: follow it whole."""
        if not math.isfinite(parts) or abs(parts - 1) < 1e-3:
            return
        self.parts, chart = parts, self.chart
        for series in (chart.losses, *chart.by_group.values()):
            series[:] = [(step, value * parts) for step, value in series]

    def read(self, calls: Sequence[LossCall]) -> None:
        """Ranges, sums and shapes of what losses were given."""
        for call in calls:
            if call.given.dim() and call.given.is_floating_point():
                self._read(call)

    def _read(self, call: LossCall) -> None:
        pairing = note(self.chart, call)
        ignorance = self.ignorance.setdefault(call.kind, Ignorance())
        ignorance.add(call)
        if pairing.calls in (1, 5, 20, 50) or pairing.calls % 100 == 0:
            cost = ignorance.cost(call)
            pairing.baseline = cost if math.isfinite(cost) else pairing.baseline


def _is_clamped(node: Any) -> bool:
    """Whether a number was cut off here, so that its gradient is nothing."""
    value = getattr(node, "_saved_self", None)
    if kind_of(node) not in ("Clamp", "ClampMin", "ClampMax") or value is None or value.numel() != 1:
        return False
    low, high = (getattr(node, f"_saved_{name}", None) for name in ("min", "max"))
    return (low is not None and value < low) or (high is not None and value > high)
