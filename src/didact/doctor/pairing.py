"""A loss and what it is given: ranges, sums, shapes, and what the best constant answer costs."""

# B rows, C classes, D outputs

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from didact.doctor.byhand import Comparison
from didact.doctor.chart import Chart, Pairing
from didact.doctor.taps import LossCall

CLOSE = 1e-4
ROUGHLY = 0.02  # that a sum of probabilities may be off by, which bfloat16 needs
KEPT = 16  # calls on which the best constant is tried
PARTS = (1, 2, 4, 8, 16)  # a loss that is to be accumulated was divided by one of these
CLASSES = ("cross_entropy", "nll")
BINARY = ("bce", "bce_logits")
REACH = {  # what the operation that makes an output can make
    "Sigmoid": (0.0, 1.0),
    "Softmax": (0.0, 1.0),
    "Tanh": (-1.0, 1.0),
    "Hardtanh": (-1.0, 1.0),
    "Relu": (0.0, math.inf),
    "Softplus": (0.0, math.inf),
}


@dataclass
class Ignorance:
    """Gathers targets to know what the best constant answer would cost.

    Attributes:
        total: Rows of each class, or sums of each output.
    """

    total: Tensor | None = None
    rows: int = 0
    calls: list[LossCall] = field(default_factory=list)

    def add(self, call: LossCall) -> None:
        """Count the targets of a call."""
        alike = [each for each in self.calls if each.given.shape[1:] == call.given.shape[1:]]
        self.calls = [*alike[-KEPT + 1 :], call]
        if call.kind in CLASSES and not call.target.is_floating_point():
            classes = call.given.shape[_axis(call.given)]
            known = call.target[(call.target >= 0) & (call.target < classes) & (call.target != call.ignored)]
            counted = torch.bincount(known.flatten(), minlength=classes)
            self._sum(counted.double(), known.numel())
        elif call.target.dim() > (call.kind in CLASSES) and call.target.shape == call.given.shape:
            self._sum(call.target.detach().double().sum(0), len(call.target))

    def _sum(self, counted: Tensor, rows: int) -> None:
        if self.total is None or self.total.shape != counted.shape:
            self.total, self.rows = torch.zeros_like(counted), 0
        self.total += counted
        self.rows += rows

    def cost(self, call: LossCall) -> float:
        """The loss of the best constant on the last calls' targets, with the options of this one."""
        if self.total is None or not self.rows:
            return math.nan
        share = self.total / self.rows
        if call.kind in CLASSES:
            shape = [1] * call.given.dim()
            shape[_axis(call.given)] = -1
            answer = _class_prior(share, call).log().clamp(min=-30).reshape(shape)
        elif call.kind in BINARY:
            odds = _weighted(share.clamp(1e-6, 1 - 1e-6), call)
            answer = odds if call.kind == "bce" else torch.logit(odds)
        else:
            answer = share
        costs = [
            float(each.again(answer.to(each.given).expand_as(each.given), each.target).double().mean())
            for each in self.calls
        ]
        return sum(costs) / len(costs)


def _axis(given: Tensor) -> int:
    return 1 if given.dim() > 1 else 0


def _class_prior(share: Tensor, call: LossCall) -> Tensor:
    """The distribution that costs least, under class weights and label smoothing."""
    weight = call.options[0] if call.options and isinstance(call.options[0], Tensor) else None
    prior = share if weight is None else share * weight.double()
    prior = prior / prior.sum()
    smooth = call.options[3] if call.kind == "cross_entropy" and len(call.options) > 3 else 0.0
    return (1 - smooth) * prior + smooth / len(prior)


def _weighted(share: Tensor, call: LossCall) -> Tensor:
    positive = call.options[1] if call.kind == "bce_logits" and len(call.options) > 1 else None
    if not isinstance(positive, Tensor):
        return share
    return positive.double() * share / (positive.double() * share + 1 - share)


def note(chart: Chart, call: LossCall) -> Pairing:
    """Count what is true of one call of a loss in training."""
    pairing = chart.pairings.setdefault(call.kind, Pairing(call.kind, reduction=call.reduction))
    pairing.calls += 1
    given, target = call.given, call.target
    pairing.producer = call.producer or pairing.producer
    pairing.costs.append((chart.step, float(call.value.double().mean())))
    pairing.rows = max(pairing.rows, given.shape[0] if given.dim() else 1)
    for name, true in _truths(call, given, target):
        pairing.counts[name] = pairing.counts.get(name, 0) + int(true)
    _note_targets(pairing, call, given, target)
    low, high = REACH.get(pairing.producer, (-math.inf, math.inf))
    if (
        call.kind not in CLASSES
        and target.is_floating_point()
        and target.numel()
        and (low, high) != (-math.inf, math.inf)
    ):
        slack = 1e-3 * (high - low if math.isfinite(high) else 1.0)
        pairing.outside.append(float(((target < low - slack) | (target > high + slack)).double().mean()))
    return pairing


def _truths(call: LossCall, given: Tensor, target: Tensor) -> list[tuple[str, bool]]:
    unit = not given.numel() or (float(given.min()) >= 0 and float(given.max()) <= 1)
    truths = [
        ("unit range", unit),
        ("broadcast", broadcasts(given, target) if call.kind not in CLASSES else False),
        ("targets stretched", given.shape == target.shape and _stretched(target) and not _stretched(given)),
        ("negative", float(call.value.mean()) < 0),
    ]
    logarithms = call.kind in ("nll", "kl")
    if call.kind in (*CLASSES, "kl") and given.dim() > 1 and given.shape[1] > 1 and (unit or logarithms):
        raw = given.clamp(min=1e-30).log() if unit else given
        logs = given if logarithms else raw
        axis = _axis_of_shares(target) if call.kind == "kl" else 1
        others = [other for other in range(given.dim()) if other != axis]
        truths += [
            ("classes sum to one", _sums_to_one(logs, axis)),
            ("others sum to one", any(_sums_to_one(logs, other) for other in others)),
            ("raw classes sum to one", unit and _sums_to_one(raw, axis)),
        ]
    return truths


def _axis_of_shares(target: Tensor) -> int:
    """The axis along which targets, or what they are the logarithms of, sum to one; else the last."""
    logs = target if bool((target <= 0).all()) else target.clamp(min=1e-30).log()
    last = target.dim() - 1
    return next((axis for axis in (last, 1) if axis and _sums_to_one(logs, axis)), last)


def _sums_to_one(logs: Tensor, axis: int) -> bool:
    return logs.shape[axis] > 1 and bool((logs.float().logsumexp(axis).abs() < ROUGHLY).all())


def broadcasts(given: Tensor, target: Tensor) -> bool:
    """Whether both were stretched, so that each row is compared with every other."""
    return given.shape == target.shape and _stretched(given) and _stretched(target)


def _stretched(tensor: Tensor) -> bool:
    return any(step == 0 and size > 1 for step, size in zip(tensor.stride(), tensor.shape, strict=True))


def _note_targets(pairing: Pairing, call: LossCall, given: Tensor, target: Tensor) -> None:
    facts = pairing.facts
    facts["integer"] = not target.is_floating_point()
    if "first answers" not in facts:
        facts["first answers"] = float(given.double().pow(2).mean().sqrt())
    facts["outputs"] = given.shape[_axis(given)] if given.dim() else 1
    facts["one_column"] = given.dim() < 2 or given.shape[-1] == 1
    values = target.flatten().cpu().double().numpy()
    if facts["integer"] and call.kind in CLASSES:
        ignore = call.options[2] if len(call.options) > 2 and isinstance(call.options[2], int) else -100
        values = values[values != ignore]
    if not len(values):
        return
    facts["lowest"] = min(facts.get("lowest", math.inf), float(values.min()))
    facts["highest"] = max(facts.get("highest", -math.inf), float(values.max()))
    if call.kind in BINARY:
        entropy = float(torch.special.entr(torch.stack([target, 1 - target]).double()).sum(0).mean())
        entropy *= target.numel() if call.reduction == "sum" else 1
        facts["entropy"] = entropy if math.isfinite(entropy) else 0.0
    facts["whole"] = facts.get("whole", True) and bool((values == values.round()).all())
    if call.kind == "cross_entropy" and not facts["integer"]:
        sums = target.double().sum(_axis(target))
        facts["shares"] = facts.get("shares", True) and bool(((sums - 1).abs() < ROUGHLY).all())
    known = facts.setdefault("values", set())
    if len(known) <= 200:
        known.update(values[:: 1 + len(values) // 1000].tolist())
    facts["spread"] = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    facts["middle"] = float(values.mean())


def guess(given: Tensor, target: Tensor, value: float, made: str) -> LossCall:
    """Which known loss a number written by hand equals; ``other`` when none does.

    The candidates are compared as they stand and as sums; a pair of shapes (B, 1) and (B,) is tried both
    aligned and broadcast, so that a loss over all pairs is told from one that was squeezed.
    """
    loss = torch.tensor(value, dtype=torch.float64)
    for kind, first, second, function in _candidates(given, target):
        for reduction in ("mean", "sum"):
            try:
                found = function(first, second, reduction=reduction)
            except (RuntimeError, ValueError, IndexError):
                break
            for sign in (1, -1):
                if any(_close(found, sign * parts * loss) for parts in PARTS):
                    options = (_again(function, reduction), (), reduction, made, True, sign < 0)
                    return LossCall(kind, first, second, found, *options)
    return LossCall("other", given, target, loss, lambda a, b: torch.tensor(math.nan), (), "mean", made, True)


def part(given: Tensor, compared: Comparison, made: str) -> LossCall:
    """The part of a loss by hand that compares the answer with its targets."""
    function = {"mse": F.mse_loss, "l1": F.l1_loss}[compared.kind]
    first, second = given, compared.target
    if compared.stretched and given.dim() <= 2:
        first, second = torch.broadcast_tensors(first, second)
    elif first.numel() == second.numel():
        second = second.reshape(first.shape)
    again = _again(function, "mean")
    return LossCall(
        compared.kind, first, second, again(first, second), again, (), "mean", made, True, partial=True
    )


def _close(found: Tensor, loss: Tensor) -> bool:
    return bool(torch.isclose(found.double().cpu(), loss, rtol=CLOSE, atol=1e-7))


def _again(function: Callable[..., Tensor], reduction: str) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda a, b: function(a, b, reduction=reduction)


def _candidates(given: Tensor, target: Tensor) -> list[tuple[str, Tensor, Tensor, Callable[..., Any]]]:
    if not given.is_floating_point():
        return []
    given = given.float()
    if not target.is_floating_point() and given.dim() == target.dim() + 1:
        if target.dim() > 1:  # (B, T, C) against (B, T)
            given, target = given.flatten(0, -2), target.flatten()
        chosen = [("cross_entropy", given, target, F.cross_entropy)]
        logs = given.clamp(min=1e-30).log()
        return [*chosen, ("nll", given, target, F.nll_loss), ("nll", logs, target, F.nll_loss)]
    target = target.float()
    pairs = [(given, target)] if given.shape == target.shape else []
    if given.numel() == target.numel() and given.shape != target.shape:
        pairs += [(given.reshape(target.shape), target)]
        with suppress(RuntimeError):  # shapes that do not go together
            first, second = torch.broadcast_tensors(given, target) if given.dim() <= 2 else (given, given)
            if broadcasts(first, second):
                pairs += [(first, second)]
    functions: list[tuple[str, Callable[..., Any]]] = [("mse", F.mse_loss), ("l1", F.l1_loss)]
    if ((target >= 0) & (target <= 1)).all():
        functions.append(("bce_logits", F.binary_cross_entropy_with_logits))
        if ((given >= 0) & (given <= 1)).all():
            functions.append(("bce", F.binary_cross_entropy))
    return [(kind, a, b, function) for a, b in pairs for kind, function in functions]
