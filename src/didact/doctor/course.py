"""How a run went, in the few words that rules ask for: stuck, unstable, lost, falling."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from didact.doctor.chart import Chart, Pairing, Series
from didact.doctor.limits import Limits
from didact.doctor.mixture import mixed, weights_of
from didact.doctor.rows import mixed_otherwise

FAMILIAR = ("cross_entropy", "nll", "bce", "bce_logits", "mse", "l1", "smooth_l1", "huber")


@dataclass(frozen=True)
class Case:
    """A chart, the limits to judge it by, and what follows from the two."""

    chart: Chart
    at: Limits

    @cached_property
    def losses(self) -> np.ndarray:
        """One number an update."""
        return np.array([value for _, value in self.chart.losses], dtype=float)

    @cached_property
    def smooth(self) -> np.ndarray:
        """The same as running means of ten."""
        return _running(self.losses, 10)

    @property
    def first(self) -> float:
        """The first loss."""
        return float(self.losses[0]) if len(self.losses) else math.nan

    @cached_property
    def end(self) -> float:
        """The mean of the last losses: a twentieth of the run, at least ten; of a short run a third."""
        count = len(self.losses)
        return float(self.losses[-max(min(10, count // 3), count // 20, 1) :].mean()) if count else math.nan

    @property
    def pairing(self) -> Pairing | None:
        """The loss that was heard most."""
        known = [p for p in self.chart.pairings.values() if p.kind in FAMILIAR]
        return max(known, key=lambda p: p.calls, default=None)

    @property
    def classes(self) -> int:
        """How many classes are told apart; 0 where none are."""
        pairing = self.pairing
        if pairing is None:
            return 0
        if pairing.kind in ("cross_entropy", "nll") and pairing.facts.get("integer"):
            return int(pairing.facts.get("outputs", 0))
        return 2 if pairing.kind in ("bce", "bce_logits") and pairing.facts.get("one_column") else 0

    @property
    def baseline(self) -> float:
        """What the best constant answer costs; the first loss where that is not known."""
        if self._mixture:
            return mixed(self._mixture, {kind: p.baseline for kind, p in self.chart.pairings.items()})
        if self.pairing and (self.sure or self.partly):
            return self._ignorance * (1.0 if self.sure else self._times)
        return self.first

    @cached_property
    def _ignorance(self) -> float:
        """The same of the known loss alone; of squares the variance over all batches that were read."""
        pairing, levels = self.pairing, np.array(self.chart.rows.levels)
        known = pairing.baseline if pairing else math.nan
        if pairing is None or pairing.kind != "mse" or pairing.reduction != "mean" or len(levels) < 20:
            return known
        sizes, means, variances = levels.T
        within = np.average(variances * (sizes - 1) / sizes, weights=sizes)
        variance = float(within + np.cov(means, aweights=sizes, ddof=0))
        return variance if 0.5 * known < variance < 2 * known else known  # else the loop scales its targets

    @property
    def sure(self) -> bool:
        """Whether the baseline is known, which takes a loss that is known and stands alone, or several."""
        if self._mixture:
            return True
        if self.pairing is None or not 0 < self.pairing.baseline < math.inf:
            return False
        return self.chart.counts.get("losses of several parts", 0) < 0.5 * self.pairing.calls

    @cached_property
    def _mixture(self) -> dict[str, float]:
        """How much of each known loss is in a sum of several, where ignorance has a price for all of them."""
        found = {} if self.game else weights_of(self.chart)
        return found if all(0 < self.chart.pairings[kind].baseline < math.inf for kind in found) else {}

    @property
    def bottomless(self) -> bool:
        """Whether the loss is known and can fall to zero, as that of soft targets cannot."""
        return (self.sure or self.partly) and self.floor < 0.05 * self.baseline

    @property
    def floor(self) -> float:
        """The least that the loss can be: the entropy of targets that are shares; else 0."""
        if self._mixture:
            known = {kind: float(p.facts.get("entropy", 0.0)) for kind, p in self.chart.pairings.items()}
            return mixed(self._mixture, known)
        if self.pairing is None or not (self.sure or self.partly):
            return 0.0
        return float(self.pairing.facts.get("entropy", 0.0)) * (1.0 if self.sure else self._times)

    @cached_property
    def partly(self) -> bool:
        """Whether a part of the loss is known, and is most of it: the likeness in an autoencoder's."""
        pairing = self.pairing
        if self.sure or self.game or pairing is None or not 0 < pairing.baseline < math.inf:
            return False
        if not self.chart.counts.get("losses of several parts") or not len(self._parts):
            return False
        total, part = self._parts.T
        return bool(np.median(np.abs(total - self._times * part) / np.abs(total)) < self.at.most)

    @cached_property
    def _parts(self) -> np.ndarray:
        """The loss and its known part, by look, (N, 2)."""
        whole = dict(self.chart.losses)
        pairs = [(whole[k], cost) for k, cost in self.pairing.costs if k in whole] if self.pairing else []
        return np.array([pair for pair in pairs if all(pair) and np.isfinite(pair).all()]).reshape(-1, 2)

    @property
    def _times(self) -> float:
        """How many times its known part the loss is, at the start."""
        return float(np.median(self._parts[:3, 0] / self._parts[:3, 1]))

    @property
    def game(self) -> bool:
        """Several optimizers that step in turn, on losses of their own: nothing has to fall."""
        groups = [{step for step, _ in series} for series in self.chart.by_group.values()]
        return len(groups) > 1 and not set.intersection(*groups)

    @cached_property
    def spread(self) -> float:
        """In a game: the distance of two fakes over that of two real rows, in its second half."""
        fakes, reals = (self.chart.rivals.get(name, []) for name in ("fakes", "reals"))
        real = float(np.mean([v for _, v in reals])) if reals else 0.0
        late = [v / real for step, v in fakes if real and 2 * step >= self.chart.step]
        return _median(late) if len(late) > 2 else math.nan

    @property
    def updates(self) -> int:
        """Updates with a loss."""
        return len(self.losses)

    @property
    def long_enough(self) -> bool:
        """Whether there was time to learn anything."""
        return self.updates >= self.at.enough

    @property
    def broken(self) -> bool:
        """A loss that is not finite."""
        return bool(self.chart.counts.get("loss not finite")) or not np.isfinite(self.losses).all()

    @cached_property
    def left(self) -> float:
        """What is left of the cost of ignorance: 1 has learned nothing, 0 everything."""
        if self.broken or not len(self.losses) or not self.baseline > 0:
            return math.inf if self.broken else math.nan
        return (self.end - self.floor) / (self.baseline - self.floor)

    @property
    def stuck(self) -> bool:
        """It never got better than the best constant."""
        return self.long_enough and not self.game and not self.left <= self.at.stuck

    @property
    def none_the_wiser(self) -> bool:
        """Its loss could fall to zero, and it is stuck, or answers the largest class.

        Where only a part of the loss is known, stuck after long enough.
        """
        told_apart = self.classes > 2 and math.isfinite(self.val_accuracy) and self.good(0.15)
        if not self.bottomless or told_apart:
            return False
        if self.stuck and (self.sure or self.updates >= self.at.patient):
            return True
        most = self.chance + 0.05 * (1 - self.chance)
        return self.classes > 2 and self.long_enough and self.accuracy < most and self.val_accuracy < most

    @property
    def slow(self) -> bool:
        """It learned too little."""
        most = self.at.slow if self.sure else self.at.stuck  # a prior's part of a loss stays
        return self.long_enough and not self.game and not self.left <= most

    @property
    def rose(self) -> bool:
        """The loss rose above its beginning, early."""
        early = self.smooth[: self.at.early]
        early = early[np.isfinite(early)]
        return bool(len(early) and early.max() > self.at.unstable * max(self.first, self.baseline))

    @property
    def unstable(self) -> bool:
        """The loss rose, or is not finite."""
        return self.broken or self.rose

    @property
    def still_learning(self) -> bool:
        """The loss goes on falling in the second half."""
        half = len(self.smooth) // 2
        return half > 10 and self.end < 0.9 * float(self.smooth[:half].min())

    @property
    def lost(self) -> bool:
        """It learned, then lost what it had learned."""
        if self.broken or len(self.smooth) < 50:
            return False
        best = float(self.smooth[20:].min())
        return (
            best < self.at.stuck * self.baseline
            and self.end > self.at.grown * best
            and self.left > self.at.slow
        )

    @cached_property
    def ratio(self) -> float:
        """The median length of an update, in lengths of the weight, over the trained matrices."""
        return _median(self._ratios(self.chart.looks))

    @cached_property
    def early_ratio(self) -> float:
        """The largest median ratio among the first updates."""
        looks = [look for look in self.chart.looks if look.step < self.at.early]
        rows = [
            _median([r for r, wide in zip(look.ratio, self._wide, strict=True) if wide]) for look in looks
        ]
        return max((r for r in rows if math.isfinite(r)), default=math.nan)

    @cached_property
    def _wide(self) -> list[bool]:
        # what begins as nothing has no length to move by
        return [len(w.shape) > 1 and w.kind != "norm" and w.std > 0 for w in self.chart.weights]

    def _ratios(self, looks: Sequence[object]) -> list[float]:
        return [
            float(r)
            for look in self.chart.looks
            for r, wide in zip(look.ratio, self._wide, strict=True)
            if wide and math.isfinite(r)
        ]

    @property
    def accuracy(self) -> float:
        """Of the last training batches."""
        last = [value for _, value in self.chart.accuracy[-20:]]
        return sum(last) / len(last) if last else math.nan

    @property
    def sureness(self) -> float:
        """How often right answers of training are surer than wrong ones, of late; NaN where unknown."""
        known = [surer for _, surer, _ in self.chart.surer if math.isfinite(surer)][-3:]
        return _median(known) if len(known) == 3 else math.nan

    @cached_property
    def at_first_sight(self) -> tuple[float, float]:
        """Accuracy of training rows at first sight, late in the first epoch, and how many there were."""
        chart, first = self.chart, self.chart.epochs[0].step if self.chart.epochs else 0
        met = [right for step, right in chart.accuracy if first / 2 <= step < first]
        if not met or not chart.rows.train_seen:
            return math.nan, 0.0
        return sum(met) / len(met), len(met) * chart.rows.train_seen / len(chart.accuracy)

    @property
    def relates(self) -> bool:
        """Whether rows were answered better than by chance at first sight: labels go with inputs.

        Or at the third, where they are far too many to be known by heart so soon.
        """
        right, rows = self.at_first_sight
        if not rows or not math.isfinite(self.chance):
            return False
        epoch = self.chart.epochs[0].step
        third = [right for step, right in self.chart.accuracy if 2 * epoch <= step < 3 * epoch]
        many = len(self.chart.rows.train) >= self.at.too_many_to_learn
        if third and many and sum(third) / len(third) > (1 + self.chance) / 2:
            return True
        return right > self.chance + max(4 * math.sqrt(self.chance * (1 - self.chance) / rows), 0.05)

    @property
    def gap(self) -> float:
        """Accuracy in training minus in validation, at the end; a kept batch stands for training at worst."""
        known = [epoch.gap for epoch in self.chart.epochs if math.isfinite(epoch.gap)][-3:]
        if known:
            return _median(known)
        for epoch in reversed(self.chart.epochs):
            if epoch.in_eval and epoch.measured:
                return epoch.in_eval[1] - self.val_accuracy
        return math.nan

    @property
    def chance(self) -> float:
        """The share of the largest class."""
        rows = self.chart.rows
        one_of_many = sum(rows.columns.values()) == rows.train_seen  # of several labels each row has one
        counts = rows.labels or (rows.columns if one_of_many else {})
        total = sum(counts.values())
        return max(counts.values()) / total if total else math.nan

    @property
    def mixed_otherwise(self) -> float:
        """The share of validation rows that would have to be of other classes, to be mixed like training."""
        return mixed_otherwise(self.chart.rows.labels, self.chart.rows.val_labels)

    @property
    def val_losses(self) -> list[float]:
        """By epoch, where there are any."""
        return [e.val_loss for e in self.chart.epochs if math.isfinite(e.val_loss)]

    @property
    def val_accuracy(self) -> float:
        """Of the last epoch that has one."""
        return next(
            (e.val_accuracy for e in reversed(self.chart.epochs) if math.isfinite(e.val_accuracy)), math.nan
        )

    @cached_property
    def val_left(self) -> float:
        """What is left of the variance of the validation's own targets; NaN where no squares are known."""
        levels, alone = self.chart.rows.val_levels, self.pairing is not None and self.pairing.kind == "mse"
        if not (levels and self.val_losses and alone and self.sure and not self._mixture):
            return math.nan
        sizes, means, variances = np.array(levels).T
        mean = np.average(means, weights=sizes)
        variance = float(np.average(variances * (1 - 1 / sizes) + (means - mean) ** 2, weights=sizes))
        return self.val_losses[-1] / variance if variance > 0 else math.nan

    def good(self, share: float = 0.6) -> bool:
        """Whether it plainly works: validation is answered far better than by a constant.

        Where that is not known: most of the loss is gone.
        """
        if math.isfinite(self.val_accuracy) and math.isfinite(self.chance):
            return self.val_accuracy > self.chance + share * (1 - self.chance)
        if math.isfinite(self.val_left):
            return self.val_left < max(1 - share, 0.2)
        return self.left < (0.7 if self.partly else 0.3)


def slope(values: Sequence[float]) -> float:
    """Relative change of the last quarter, an epoch."""
    tail = values[-max(3, len(values) // 4) :]
    if len(tail) < 2 or not tail[0]:
        return 0.0
    return (tail[-1] - tail[0]) / abs(tail[0]) / (len(tail) - 1)


def at_step(series: Series, step: int) -> float:
    """The mean of a few values around a step."""
    near = [value for s, value in series if abs(s - step) <= 5]
    return sum(near) / len(near) if near else math.nan


def _running(values: np.ndarray, width: int) -> np.ndarray:
    if len(values) < width:
        return values
    total = np.cumsum(np.insert(values, 0, 0.0))
    return (total[width:] - total[:-width]) / width


def _median(values: Sequence[float]) -> float:
    finite = [v for v in values if math.isfinite(v)]
    return float(np.median(finite)) if finite else math.nan
