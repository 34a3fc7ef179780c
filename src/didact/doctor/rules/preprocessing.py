"""P: what is done to inputs and targets before the network sees them."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from didact.doctor.chart import Epoch
from didact.doctor.course import Case
from didact.doctor.finding import Finding
from didact.doctor.pace import READ
from didact.doctor.rules.two_samples import agree_less

FAR_AHEAD = 300.0  # deviations from zero, where a date in seconds is
FEW_PAIRS = 20  # rows that follow each other, of which nothing is told
FEW_TWICE = 4  # rows that were met twice, which tell of how many they were drawn


def unscaled(case: Case) -> Finding | None:
    """P01: features of very different scale, or far from zero; alone only a hint."""
    found = case.chart.rows.moments.get("train")
    if found is None or found[0] < 20 or _normed_first(case):
        return None
    n, mean, square = found
    std = np.sqrt(square / n)
    lively = std > 1e-8 * max(float(np.abs(mean).max()), 1.0)
    if not lively.any():
        return None
    ratio = float(std[lively].max() / np.median(std[lively]))
    spread = float(std[lively].max() / std[lively].min())
    offset = float(np.median(np.abs(mean[lively]) / std[lively]))
    size = float(np.sqrt((square / n + mean**2).mean()))
    scale = spread > case.at.scales and ratio > 5 and std.max() > 3
    scale = scale or (case.broken and spread > 15 and ratio > 8 and std.max() > 5)
    scale = scale or (case.stuck and spread > 10 and min(size, float(std.max())) > 10)
    beside = any(weight.kind == "embedding" for weight in case.chart.weights)  # they are not alone
    evened = case.chart.modules.get("batch_norm", 0) > 0 and not beside
    large = size > case.at.large_features and not evened
    if not (scale or offset > case.at.offset or large):
        return None
    column = int(np.argmax(std))
    evidence = {
        "largest over smallest deviation": spread,
        "distance from zero in deviations": offset,
        "size of a feature": size,
        "healthy": "deviations alike, means near 0, sizes near 1",
    }
    symptom = case.stuck or case.unstable or case.lost or (case.slow and not case.good(0.8))
    symptom = symptom or (large and case.left > 0.25 and not case.good(0.85))
    picture = {
        "kind": "bars",
        "title": "deviation of each feature",
        "values": {str(k): float(s) for k, s in enumerate(std[:40])},
    }
    return Finding("P01", "critical" if symptom else "hint", evidence, f"feature {column}", picture=picture)


def _normed_first(case: Case) -> bool:
    """Whether a batch norm is the first to read the inputs: the network normalises them itself."""
    read = [w for w in case.chart.weights if w.order >= 0]
    first = min(read, key=lambda w: w.order, default=None)
    return first is not None and first.kind == "norm" and case.chart.modules.get("batch_norm", 0) > 0


def differs(case: Case) -> Finding | None:
    """P02: the inputs of validation have other moments than those of training, and its targets have not."""
    return None if targets_elsewhere(case) else inputs_elsewhere(case)


def targets_elsewhere(case: Case) -> float:
    """By how many deviations validation asks for other quantities than training; 0 for a few.

    No preprocessing of inputs moves them; that of the targets would change their deviation.
    """
    if not (case.chart.rows.levels and case.chart.rows.val_levels):
        return 0.0
    (mean, spread), (other, others) = map(_level, (case.chart.rows.levels, case.chart.rows.val_levels))
    moved = abs(other - mean) / spread if spread > 0 and 1 / 3 < others / spread < 3 else 0.0
    return moved if moved > case.at.shift else 0.0


def _level(levels: Sequence[tuple[int, float, float]]) -> tuple[float, float]:
    """Mean and deviation of all batches together."""
    sizes, means, variances = np.array(levels).T
    mean = np.average(means, weights=sizes)
    return float(mean), float(np.sqrt(np.average(variances + (means - mean) ** 2, weights=sizes)))


def inputs_elsewhere(case: Case) -> Finding | None:
    """P02, whatever the targets are."""
    if case.val_accuracy > case.accuracy + case.at.too_regular / 2:
        return None  # it harms training and not validation
    moments = moments_apart(case)
    answered = case.gap > case.at.too_regular
    if moments is not None and _always_new(case) and not answered:  # noise widens, and moves no mean
        moved = moments["share of features whose mean moved"] > case.at.shifted_share
        moments = moments if moved and _far_apart(moments) else None
    apart = _new_words(case) or _never_understood(case) or moments or another_unit(case)
    scored = any(math.isfinite(e.val_loss) or math.isfinite(e.val_accuracy) for e in case.chart.epochs)
    late = case.val_losses[-1] if case.val_losses and case.sure else 0.0
    known = late < case.at.known * case.baseline
    told = math.isfinite(case.val_accuracy) or math.isfinite(case.val_left)
    answered = told and case.good(0.95) and known
    spoils = not answered and (scored or _far_apart(apart or {}))
    return Finding("P02", "critical" if spoils else "hint", apart) if apart else None


def another_unit(case: Case) -> dict[str, Any] | None:
    """Single features of validation are so large or far that they must be told in another unit."""
    train, val = (case.chart.rows.moments.get(name) for name in ("train", "val"))
    if train is None or val is None or train[1].shape != val[1].shape or min(train[0], val[0]) < 20:
        return None
    if len(case.chart.rows.val) < case.at.few_to_validate:
        return None
    std, other = np.sqrt(train[2] / train[0]), np.sqrt(val[2] / val[0])
    clocks = _clocks(train)
    lively = (std > 1e-3 * std[~clocks].max(initial=0.0)) & ~_rare(case, len(std)) & ~clocks
    if not lively.any():
        return None
    moved = np.abs(val[1] - train[1])[lively] / std[lively]
    wider = other[lively] / std[lively]
    narrower = np.where(wider > 0, 1 / np.maximum(wider, 1e-9), 0.0)  # one value alone is a choice of rows
    scaled = np.maximum(wider, np.where(moved > case.at.beyond, narrower, 0.0))
    far = (moved > case.at.other_unit) | (scaled > case.at.other_scale)
    if not far.any():
        return None
    worst = int(np.argmax(np.maximum(moved / case.at.other_unit, scaled / case.at.other_scale)))
    return {
        "features told in another unit": f"{int(far.sum())} of {len(std)}",
        "the mean of one is off by deviations": float(moved[worst]),
        "deviation in validation over training": float(wider[worst]),
    }


def _far_apart(apart: Mapping[str, Any]) -> bool:
    """Whether no choice of rows explains it, as of one class for training and of others for the test."""
    ratio = apart.get("deviation in validation over training")
    return not isinstance(ratio, float) or not 1 / 3 < ratio < 3


def _new_words(case: Case) -> dict[str, Any] | None:
    """Tokens of validation that training never had, or that are frequent where others were."""
    rows, frequent = case.chart.rows, _frequent_elsewhere(case)
    if frequent is None:
        return None
    apart, noise = frequent
    new = sum(times for word, times in rows.val_words.items() if word not in rows.words)
    unknown = new / sum(rows.val_words.values())
    if unknown > case.at.unknown:
        return {"tokens of validation that training never had": unknown}
    if apart < case.at.other_words + 3 * noise or case.good() or case.classes > 200:
        return None
    if unknown > case.at.new_words:  # numbered alike, and of another kind
        return None
    return {"share of tokens that are frequent where others were": apart, "by chance": noise}


def _never_understood(case: Case) -> dict[str, Any] | None:
    """Words that training tells from the first time on, and validation never, which has others often."""
    known = [e.val_accuracy for e in case.chart.epochs if math.isfinite(e.val_accuracy) and e.val_rows >= 100]
    frequent = _frequent_elsewhere(case)
    if frequent is None or len(known) < 3 or not case.relates or case.accuracy < case.chance + 0.2:
        return None
    apart, noise = frequent
    error = math.sqrt(case.chance * (1 - case.chance) / max(e.val_rows for e in case.chart.epochs))
    if apart < 2 * noise or max(known) > case.chance + 3 * error:
        return None
    return {
        "best validation accuracy": max(known),
        "share of the largest class": case.chance,
        "share of tokens that are frequent where others were": apart,
        "by chance": noise,
    }


def _frequent_elsewhere(case: Case) -> tuple[float, float] | None:
    """The share of tokens that would have to be others to be as frequent as in training; and by chance."""
    rows = case.chart.rows
    total, there = sum(rows.words.values()), sum(rows.val_words.values())
    if len(rows.words) < case.at.few_words or not there:
        return None
    words = rows.words.keys() | rows.val_words.keys()
    pairs = [(rows.words.get(word, 0) / total, rows.val_words.get(word, 0) / there) for word in words]
    noise = sum(math.sqrt(a * (1 / total + 1 / there)) for a, _ in pairs) / 2
    return sum(abs(a - b) for a, b in pairs) / 2, noise


def moments_apart(case: Case) -> dict[str, Any] | None:
    """How the moments of the features differ between training and validation, where they do."""
    train, val = (case.chart.rows.moments.get(name) for name in ("train", "val"))
    if train is None or val is None or train[1].shape != val[1].shape or min(train[0], val[0]) < 20:
        return None
    if len(case.chart.rows.val) < case.at.few_to_validate:
        return None
    std, other = np.sqrt(train[2] / train[0]), np.sqrt(val[2] / val[0])
    clocks = _clocks(train)
    size = max(float(std[~clocks].max(initial=0.0)), float(other[~clocks].max(initial=0.0)))
    lively = ((std > 1e-3 * size) | (other > 1e-3 * size)) & ~clocks
    if not lively.any():
        return None
    floor = 1e-6 * size
    ratio = float(np.median((other[lively] + floor) / (std[lively] + floor)))
    scale = np.maximum(np.minimum(std, other) if ratio > case.at.moments else std, floor)[lively]
    gap = np.abs(val[1] - train[1])[lively]
    n, m = _different(case, train[0], val[0])
    error = np.sqrt(std[lively] ** 2 / n + other[lively] ** 2 / m) + floor
    moved = float(((gap > case.at.shift * scale) & (gap > 6 * error)).mean())
    each_way = np.abs(np.log((other + floor) / (std + floor)))[lively & ~_rare(case, len(std))]
    outside = len(each_way) > 0.5 * lively.sum() and np.median(each_way) > math.log(case.at.moments)
    whole = abs(float(val[1].mean() - train[1].mean())) > 0.05 * size or not 0.8 < ratio < 1.25
    labels = case.chart.rows.labels
    each = sum(labels.values()) <= case.chart.rows.train_seen  # a label for each row, not for each pixel
    skewed = each and max(labels.values(), default=0) > case.at.majority * sum(labels.values())
    if not outside and (moved < case.at.shifted_share or not whole or skewed):
        return None
    return {
        "deviation in validation over training": ratio,
        "healthy": f"{1 / case.at.moments:g} to {case.at.moments:g}",
        "share of features whose mean moved": moved,
    }


def _different(case: Case, trained: int, validated: int) -> tuple[int, int]:
    """So many of the rows that were measured are different ones: met again, a row tells no more."""
    rows = case.chart.rows
    return min(trained, len(rows.train) or trained), min(validated, len(rows.val) or validated)


def _clocks(train: tuple[int, np.ndarray, np.ndarray]) -> np.ndarray:
    """Features so far from zero that they must be running numbers: later rows have others, in one unit."""
    return np.abs(train[1]) > FAR_AHEAD * np.sqrt(train[2] / train[0])


def _rare(case: Case, features: int) -> np.ndarray:
    """Features that nine rows in ten have the same number of, as of words: how far they spread is chance."""
    sample = case.chart.rows.inputs
    if sample is None or sample.shape[1:] != (features,):
        return np.zeros(features, dtype=bool)
    return _mostly_one_number(sample.tobytes(), sample.shape)


@lru_cache(maxsize=4)
def _mostly_one_number(data: bytes, shape: tuple[int, int]) -> np.ndarray:
    sample = np.frombuffer(data, np.float32).reshape(shape)
    return (sample == np.median(sample, axis=0)).mean(0) > 0.9


def hard_augmentation(case: Case) -> Finding | None:
    """P03: training rows are new every time, and validation is far better or looks unlike them."""
    if case.game or not changed_at_random(case):
        return None
    tried = len(case.chart.epochs) >= case.at.tried
    less = agree_less(case) if case.mixed_otherwise < case.at.mixed_a_little and tried else None
    by_heart = case.gap > case.at.too_regular  # what is new every time is not
    if less is not None and not case.good(0.85) and not by_heart:
        return Finding("P03", "warning", less)
    if not case.classes:
        return None
    known = [e for e in case.chart.epochs if e.measured and e.val_rows >= 30]
    scored = [(e.val_accuracy, e.in_eval[1] if e.in_eval else e.train_accuracy) for e in known]
    better = [pair for pair in scored if pair[0] > pair[1] + case.at.too_regular]
    apart = moments_apart(case) or unlike(case)
    if len(better) >= 3 and not case.chart.modules.get("dropout", 0) and not case.good(0.95):
        own, trained = better[-1]
        return Finding("P03", "warning", {"validation accuracy": own, "training accuracy": trained})
    if case.chart.rows.tokens and tried and _sure_of_anything(case):
        rows = case.chart.rows
        evidence = {
            "validation accuracy": case.val_accuracy,
            "surer of a right answer than of a wrong one": case.sureness,
            "different rows of those that were read": len(rows.train) / rows.train_seen,
        }
        return Finding("P03", "warning", evidence)
    return Finding("P03", "warning", apart) if apart and tried and not case.good(0.85) else None


def _sure_of_anything(case: Case) -> bool:
    """Wrong answers are as sure as right ones: what is done to words leaves several answers to each row.

    A row that is asked for many answers, as a text for its next words, has several by nature.
    """
    y = case.chart.rows.targets
    one_answer = y is not None and y.size == len(y)
    return one_answer and case.sureness < case.at.unsure and not case.good(0.85)


def drowned(case: Case) -> bool:
    """Whether training rows are new every time, and spread as no choice of rows explains."""
    apart = moments_apart(case) if case.classes and changed_at_random(case) else None
    return apart is not None and _far_apart(apart)


def unlike(case: Case) -> dict[str, object] | None:
    """By how much the means of all features differ beyond chance, in deviations squared."""
    train, val = (case.chart.rows.moments.get(name) for name in ("train", "val"))
    if train is None or val is None or train[1].shape != val[1].shape or min(train[0], val[0]) < 100:
        return None
    variance = (train[2] + val[2]) / (train[0] + val[0])
    lively = variance > 1e-6 * variance.max()
    n, m = _different(case, train[0], val[0])
    chance = (1 / n + 1 / m) * _alike_in_a_row(case, val, lively)
    apart = float(((train[1] - val[1]) ** 2 / np.where(lively, variance, 1.0))[lively].mean())
    if apart < case.at.unlike or apart < 6 * chance:
        return None
    return {"distance of the means, in variances of a feature": apart, "by chance": chance}


def _alike_in_a_row(case: Case, val: tuple[int, np.ndarray, np.ndarray], lively: np.ndarray) -> float:
    """So many rows of validation tell as much of a mean as one drawn at random (Bartlett 1935).

    Rows that follow each other may be alike: windows of a series, or what one person gave. By how much, the
    squared differences of neighbours tell beside the variance (von Neumann 1941).
    """
    pairs, moved = case.chart.rows.successive or (0, val[2])
    varies = lively & (val[2] > 0)
    if pairs < FEW_PAIRS or moved.shape != val[2].shape or not varies.any():
        return 1.0
    alike = float(np.mean(1 - moved[varies] / pairs / (2 * val[2][varies] / val[0])))
    alike = min(max(alike, 0.0), 0.99)
    return (1 + alike) / (1 - alike)


def in_a_few_ways(case: Case) -> bool:
    """Whether they are others, and come back: there are only so many ways to turn a picture."""
    return 0.15 < _new_later(case) < 0.95


def _renewed(case: Case) -> bool:
    """Whether later epochs go on bringing rows that the first did not have: they are changed at random."""
    return _new_later(case) > 0.15


def _new_later(case: Case) -> float:
    """The share of rows that were never met before, in the epochs after the first."""
    epochs = [epoch for epoch in case.chart.epochs if epoch.step <= READ]
    if len(epochs) < 2 or not epochs[0].met[1] > 0.95 * epochs[0].met[0] or _drawn(epochs, case.at.as_drawn):
        return 0.0
    seen, different = (late - early for late, early in zip(epochs[-1].met, epochs[0].met, strict=True))
    return different / seen if seen >= 100 else 0.0


def _drawn(epochs: Sequence[Epoch], within: float) -> bool:
    """Whether rows come again as often as if each were drawn from all, like windows of a text.

    So many there must be, by how many came twice in the first epoch; so many would be met by the last.
    """
    (seen, different), (later, met) = epochs[0].met, epochs[-1].met
    if seen - different < FEW_TWICE:
        return False
    total = seen**2 / (2 * (seen - different))
    expected = total * (1 - math.exp(-later / total))
    return expected < 0.9 * later and abs(met / expected - 1) < within  # else all of them may be new


def changed_at_random(case: Case) -> bool:
    """Whether the rows of training are others in every epoch."""
    return _always_new(case) or _renewed(case)


def _always_new(case: Case) -> bool:
    """Whether hardly a training row was met twice, over two epochs and more: they are changed at random."""
    rows, epochs = case.chart.rows, case.chart.epochs
    sizes = rows.sizes or [size for size, _, _ in rows.levels]
    if not epochs or not sizes:
        return False
    one_epoch = epochs[0].step * float(np.median(sizes))
    return rows.train_seen > 1.5 * one_epoch and len(rows.train) > 0.95 * rows.train_seen


def far_targets(case: Case) -> Finding | None:
    """P04: targets so far from the first outputs that the run is spent on reaching them."""
    pairing = case.pairing
    if (
        pairing is None
        or pairing.kind not in ("mse", "l1", "smooth_l1", "huber")
        or not (case.sure or case.partly)
        or not case.long_enough
    ):
        return None
    facts = pairing.facts
    size = math.hypot(facts.get("middle", 0.0), facts.get("spread", 0.0))
    if size < case.at.far_target * max(facts["first answers"], 0.2):
        return None
    near = 0.3 if size > 100 * max(facts["first answers"], 0.2) else 0.5
    far = case.at.far_target if pairing.kind == "mse" else math.sqrt(case.at.far_target)  # no squares
    out_of_sight = size > case.at.out_of_sight * max(facts["first answers"], 0.2) and case.stuck
    beyond_their_spread = case.first > case.at.off_centre * case.baseline  # so the mean lies
    out_of_sight |= beyond_their_spread and size > case.at.far_away * max(facts["first answers"], 0.2)
    if (case.first < far * case.baseline and not out_of_sight) or case.end < near * case.baseline:
        return None
    evidence = {
        "mean of the targets": pairing.facts.get("middle", math.nan),
        "their deviation": pairing.facts.get("spread", math.nan),
        "first loss over that of the best constant": case.first / case.baseline,
        "last loss over it": case.left,
    }
    return Finding("P04", "critical", evidence)
