"""E04: metrics that are told, beside the loss and what the doctor counted itself."""

import math

import numpy as np

from didact.doctor.course import Case
from didact.doctor.finding import Finding
from didact.doctor.rules.preprocessing import moments_apart, targets_elsewhere

EXPLAINED = ("r2", "r²", "r2_score", "r_squared", "explained_variance")


def contradicts(case: Case) -> Finding | None:
    """E04: the loss falls by half and the metric that is told does not move, or moves the wrong way."""
    if (found := _told_otherwise(case)) is not None:
        return found
    for name, losses, told in _told_metrics(case):
        if len(told) < 5 or losses[0] <= 0:
            continue
        fallen = 1 - min(losses) / losses[0]
        if _too_good(case, losses, told):
            evidence = {
                "the metric says": told[-1],
                "validation loss left of ignorance": losses[-1] / case.baseline,
            }
            return Finding("E04", "warning", evidence, name)
        if (own := _miscounted(case, name)) is not None:
            return Finding(
                "E04", "warning", {"the metric says": told[-1], "of its answers are right": own}, name
            )
        if _near_the_end(told) or _as_counted(case, name):
            continue
        if (explained := _explains_more(case, name, losses, told)) is not None:
            evidence = {"the metric says": told[-1], "by the validation loss": explained}
            return Finding("E04", "warning", evidence, name)
        still = float(np.std(told)) < 1e-9
        related = abs(float(np.corrcoef(losses, told)[0, 1])) if not still and np.std(losses) > 0 else 0.0
        idle = np.ptp(told) < max(0.15 * _own_rise(case), 0.01 * abs(float(np.mean(told))))
        wanders = related < 0.5 and len(told) >= 8 and np.ptp(told) > _by_chance(case, told)
        if fallen > 0.5 and (still or idle or wanders):
            evidence = {
                "validation loss fell by": fallen,
                "the metric varies by": float(np.std(told)),
                "correlation": related,
            }
            return Finding("E04", "warning", evidence, name)
    return None


def _told_otherwise(case: Case) -> Finding | None:
    """The loss of training is told as it was heard, and that of validation is another number."""
    both = [
        (e.told[f"{which} loss"] / heard if heard else math.nan)
        for e in case.chart.epochs[-4:]
        for which, heard in (("train", e.train_loss), ("val", e.val_loss))
        if f"{which} loss" in e.told
    ]
    if len(both) < 8 or not np.isfinite(both).all():
        return None
    train, val = np.array(both).reshape(-1, 2).T
    if np.abs(train - 1).max() > 0.1 or not (0 < val.min() <= val.max() < 0.5 or val.min() > 2):
        return None
    last = case.chart.epochs[-1]
    evidence = {"told of validation": last.told["val loss"], "as it was heard": last.val_loss}
    evidence |= {"told of training over what was heard": float(train[-1])}
    return Finding("E04", "warning", evidence, "loss")


def _explains_more(case: Case, name: str, losses: list[float], told: list[float]) -> float | None:
    """The share of the variance that the loss explains, where a metric of that name is far from it."""
    squares = case.sure and case.pairing is not None and case.pairing.kind in ("mse", "huber", "smooth_l1")
    if not squares or name.lower() not in EXPLAINED:
        return None
    explained = 1 - losses[-1] / case.baseline
    lately = told[len(told) // 2 :]
    less = explained > 0.5 and -3 < max(lately) < explained - 0.5  # still less is another unit's
    alike = moments_apart(case) is None and not targets_elsewhere(case)  # else the variance is another there
    more = alike and 1 - case.at.known * (1 - explained) < min(lately) <= max(lately) <= 1
    return explained if less or more else None


def _miscounted(case: Case, name: str) -> float | None:
    """The share of right answers, where an accuracy that is told is far from it and goes its own way."""
    both = [(e.told[f"val {name}"], e.val_accuracy) for e in case.chart.epochs if f"val {name}" in e.told]
    if (
        name.lower() not in ("acc", "accuracy")
        or len(both) < 5
        or not all(e.measured for e in case.chart.epochs)
    ):
        return None
    told, own = np.array(both).T
    told = told / 100 if told.max() > 1 else told
    apart = float(np.median(np.abs(told - own)[len(told) // 2 :]))
    together = np.std(told) > 0.02 and np.std(own) > 0 and np.corrcoef(told, own)[0, 1] > 0.5
    far = float(np.min((told - own)[len(told) // 2 :])) > case.at.miscounted  # higher, and always
    far = far and not _told_higher_in_training(case, name)
    return float(own[-1]) if apart > case.at.miscounted and (far or not together) else None


def _told_higher_in_training(case: Case, name: str) -> bool:
    """Whether what is told of training is higher as well: it is another measure by that name."""
    told = [(e.told.get(f"train {name}", math.nan), e.train_accuracy) for e in case.chart.epochs]
    return any(mine - own > case.at.miscounted for mine, own in told)


def _as_counted(case: Case, name: str) -> bool:
    """Whether a metric is the accuracy that the doctor counted itself."""
    both = [(e.told[f"val {name}"], e.val_accuracy) for e in case.chart.epochs if f"val {name}" in e.told]
    counted = len(both) >= 5 and all(e.measured for e in case.chart.epochs)
    return counted and max(abs(told - own) for told, own in both) < 1e-3


def _by_chance(case: Case, told: list[float]) -> float:
    """How far a high share of so many rows moves when little is left to change; else 0."""
    rows, mean = max((e.val_rows for e in case.chart.epochs), default=0), float(np.mean(told))
    least = case.chance if math.isfinite(case.chance) else 0.5
    high = least + 0.6 * (1 - least) < mean < 1
    return 4 * math.sqrt(mean * (1 - mean) / rows) if rows and high else 0.0


def _own_rise(case: Case) -> float:
    """How far the accuracy rose that the doctor counted itself, where that is much."""
    own = [e.val_accuracy for e in case.chart.epochs if e.measured and math.isfinite(e.val_accuracy)]
    return float(np.ptp(own)) if len(own) >= 5 and np.ptp(own) > 0.3 else 0.0


def _too_good(case: Case, losses: list[float], told: list[float]) -> bool:
    """As near 1 as can be from early on, beside squares that fall and are a good part of the variance.

    Or from the first, where nothing was known yet.
    """
    if 0.985 < min(told) <= max(told) <= 1 and losses[0] > 0.95 * case.baseline and not case.chance > 0.9:
        return True
    squares = case.sure and case.pairing is not None and case.pairing.kind in ("mse", "smooth_l1", "huber")
    perfect = 0.985 < min(told[len(told) // 4 :]) <= max(told) <= 1
    return squares and perfect and min(losses) < 0.7 * losses[0] and losses[-1] > 0.1 * case.baseline


def _near_the_end(told: list[float]) -> bool:
    """A share, or a percentage, that has nowhere left to go."""
    return 0.985 < max(told) <= 1 or 98.5 < max(told) <= 100


def _told_metrics(case: Case) -> list[tuple[str, list[float], list[float]]]:
    names = {
        name
        for e in case.chart.epochs
        for name in e.told
        if name.startswith("val") and "loss" not in name.lower()
    }
    found = []
    for name in sorted(names):
        both = [
            (e.val_loss, e.told[name])
            for e in case.chart.epochs
            if name in e.told and math.isfinite(e.val_loss)
        ]
        if both and all(math.isfinite(v) for _, v in both):
            found.append((name.removeprefix("val "), [a for a, _ in both], [b for _, b in both]))
    return found
