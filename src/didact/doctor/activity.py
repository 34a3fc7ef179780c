"""What happens between the layers of a traced pass: their order, and units that saturate or never fire."""

# B rows, U units of a layer

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from didact.doctor.chart import Activation, Chart
from didact.doctor.operations import ACTIVATIONS, CONVOLUTIONS
from didact.doctor.passes import Pass

WINDOW = (160, 4)  # rows and batches after which a unit that never fired counts as dead
MANY = 12  # batches that do with half as many rows
MOST = 200  # activations that are followed
STEEP = {"sigmoid": (0.02, 0.98), "tanh": (-0.96, 0.96)}
CUT_OFF = ("relu", "relu6", "threshold")  # those whose units can die


def _deviation(out: Tensor, convolved: bool) -> float:
    """How far a unit of a layer moves from row to row, over all of them; NaN of a single row."""
    if out.dim() < 2 or not out.is_floating_point():
        return math.nan
    rows = _units(out.detach(), convolved)
    return float(rows.float().var(0).mean().sqrt()) if len(rows) > 1 else math.nan


def _units(out: Tensor, convolved: bool) -> Tensor:
    """Each unit's outputs, (B, U): a place of a map, or of a sequence, counts as a row."""
    return out.movedim(1 if convolved else -1, -1).flatten(0, -2)


class Activity:
    """Reads traced passes into a chart."""

    def __init__(self, chart: Chart):
        self.chart = chart
        self.place: dict[int, int] = {}  # of a parameter among the chart's weights, by its id
        self.used = 0  # weights whose place in the forward pass is known
        self.slots: dict[tuple[str, int], int] = {}
        self.fired: dict[tuple[str, int], tuple[Tensor, int, int]] = {}

    def admit(self, parameters: Sequence[Tensor]) -> None:
        """Know these parameters, in the order of the chart's weights."""
        self.place = {id(parameter): k for k, parameter in enumerate(parameters)}

    def read(self, one: Pass) -> None:
        """Walk along a pass: which weight is read, which activation follows it."""
        after, convolved, index = "", False, 0
        for call in one.operations:
            for k in (self.place[identity] for identity in call.weights):
                weight = self.chart.weights[k]
                weight.used = True
                if weight.order < 0:
                    weight.order, self.used = self.used, self.used + 1
                if len(weight.shape) > 1:
                    after, convolved = weight.name, call.name in CONVOLUTIONS
                    if call.output is not None and math.isnan(weight.varies):
                        weight.varies = _deviation(call.output, convolved)
            if call.name in ACTIVATIONS and call.output is not None:
                kind, out = call.name.rstrip("_"), call.output.detach()
                self._read_activation((one.name, index), kind, after, out, convolved, one.answer)
                index += 1
        one.operations = []

    def _read_activation(
        self, key: tuple[str, int], kind: str, after: str, out: Tensor, convolved: bool, answer: Tensor
    ) -> None:
        if key not in self.slots:
            if len(self.slots) >= MOST:
                return
            self.slots[key] = len(self.chart.activations)
            self.chart.activations.append(Activation(kind, after))
        activation = self.chart.activations[self.slots[key]]
        if activation.kind != kind or out.dim() < 2:
            return
        activation.last = out.numel() == answer.numel() and out.data_ptr() == answer.data_ptr()
        if kind in STEEP:
            low, high = STEEP[kind]
            share = float(((out < low) | (out > high)).double().mean())
            activation.saturated.append((self.chart.step, share))
        elif kind in CUT_OFF:
            self._count_firing(key, activation, _units(out, convolved))

    def _count_firing(self, key: tuple[str, int], activation: Activation, units: Tensor) -> None:
        """How many rows each unit fires for, over a window of batches; units (B, U)."""
        fires = (units > 0).sum(0)
        activation.units = units.shape[1]
        total, rows, batches = self.fired.get(key, (torch.zeros_like(fires), 0, 0))
        if total.shape != fires.shape:
            return
        total, rows, batches = total + fires, rows + len(units), batches + 1
        if (rows >= WINDOW[0] and batches >= WINDOW[1]) or (rows >= WINDOW[0] / 2 and batches >= MANY):
            activation.dead.append((self.chart.step, float((total == 0).double().mean())))
            activation.alive = (total.double() / rows).tolist()
            total, rows, batches = torch.zeros_like(fires), 0, 0
        self.fired[key] = total, rows, batches
