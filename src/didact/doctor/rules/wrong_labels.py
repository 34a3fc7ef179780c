"""L04: labels that are wrong, here and there."""

import math
from itertools import pairwise

import numpy as np

from didact.doctor.course import Case
from didact.doctor.finding import Finding
from didact.doctor.rows import chance
from didact.doctor.rules.generalisation import modes_differ, overfits, underfits
from didact.doctor.rules.layers import bag_of_words, never_used
from didact.doctor.rules.neighbours import neighbours, ranks
from didact.doctor.rules.preprocessing import changed_at_random, unscaled
from didact.doctor.rules.rates import rate_too_high
from didact.doctor.rules.two_samples import agree_less

MANIFOLD = 3  # times what other shares of the classes may explain
FEW = 10  # rows that are far off, which tell of what they are a multiple


def noisy(case: Case) -> Finding | None:
    """L04: rows among others of another class, validation labelled better, or errors that look like none."""
    return (
        _agree_less_than_held(case)
        or _among_others(case)
        or _far_off(case)
        or _labelled_better(case)
        or _wrong_and_sure(case)
        or (never_as_good(case) if case.rose else None)
        or _learned_by_heart(case)
    )


def _agree_less_than_held(case: Case) -> Finding | None:
    """Rows of training that lie together are labelled alike less often than those of validation."""
    apart = agree_less(case)
    hard = case.sureness > case.at.hard  # what is wrong is doubted: validation has the easier rows
    if apart is None or changed_at_random(case) or case.game or not case.long_enough or hard:
        return None
    less = apart["in validation"] - apart["rows near each other go together in training by"]
    if case.mixed_otherwise > max(case.at.mixed_a_little, less / MANIFOLD):
        return None  # other shares of the classes explain it
    lacking = case.left > 0.3 or case.gap > case.at.gap or (not case.classes and not case.good(0.9))
    return Finding("L04", "warning", apart) if lacking else None


def _among_others(case: Case) -> Finding | None:
    """Many rows are surrounded by another class than their own."""
    rows = case.chart.rows
    near = neighbours(rows)
    if near is None or rows.targets is None or not rows.integer or case.classes < 2:
        return None
    own = rows.targets.reshape(-1, 1)
    alike = (near[:, :, None] == near[:, None, :]).sum(1)  # how many neighbours share each one's label
    odd = ((alike >= 4) & (near != own)).any(1)
    agree = (near == own).mean(1)
    share, agreement = float(odd.mean()), float(agree.mean())
    apart = float(agree.var()) / max(agreement * (1 - agreement) / near.shape[1], 1e-9)
    best = case.val_accuracy if math.isfinite(case.val_accuracy) else case.accuracy
    if not math.isfinite(case.val_accuracy) and case.left < 0.2:  # it fits them, and nobody validates
        return None
    if (
        not case.long_enough or case.stuck or case.good(0.65) or case.left < 0.45
    ):  # nothing is learned; or nearly all, as classes overlap
        return None
    if (
        share < case.at.noisy
        or apart < case.at.two_kinds  # no two kinds of rows, right and wrong ones: classes lie close
        or agreement < case.at.told + (1 - case.at.told) * chance(rows.labels)
        or not best <= 1 - 0.6 * share
    ):
        return None
    evidence = {
        "rows whose neighbours agree on another label": share,
        "healthy": f"below {case.at.noisy}",
        "rows": len(own),
    }
    return Finding("L04", "warning", evidence)


def _learned_by_heart(case: Case) -> Finding | None:
    """Training overfits, and not for want of rows: validation gained little even before."""
    rows, val = len(case.chart.rows.train), case.val_losses
    if rows < case.at.enough_rows or case.classes < 2 or not case.sure or not val:
        return None
    best = min(val) / case.baseline
    if not case.at.gained_little < best < 1 or overfits(case) is None or modes_differ(case) is not None:
        return None
    evidence = {
        "rows that training fits": rows,
        "loss of validation at its best, of what ignorance costs": best,
        "loss of training at the end": case.left,
    }
    return Finding("L04", "warning", evidence)


def _far_off(case: Case) -> Finding | None:
    """Some quantities lie far from those of rows like them, and hardly any in between: another unit."""
    rows = case.chart.rows
    near = neighbours(rows) if not rows.integer else None
    if near is None or near.ndim > 2 or rows.targets is None or not case.long_enough or not case.left > 0.3:
        return None
    off = np.abs(rows.targets.reshape(-1) - np.median(near, 1))
    usual = float(np.median(off)) / 0.6745  # a deviation, of what is distributed normally
    if not usual > 1e-6 * float(np.abs(rows.targets).max()):
        return None
    far, between = float((off > 8 * usual).mean()), float(((off > 4 * usual) & (off <= 8 * usual)).mean())
    if far < case.at.far_off or between > far / 3:
        return None
    these = off > 8 * usual
    told, asked = np.median(near, 1)[these], rows.targets.reshape(-1)[these]
    if these.sum() < FEW or not np.corrcoef(ranks(told), ranks(asked))[0, 1] > 0.5:
        return None
    if not np.polyfit(told, asked, 1)[0] > case.at.multiple:
        return None  # a rare event adds something; another unit is a multiple of what neighbours tell
    evidence = {"rows whose target is far from those of its neighbours": far, "nearly as far": between}
    fix = "look at these rows: units, decimal points, signs"
    return Finding("L04", "warning", evidence | {"usual deviations": "8 and more"}, fix=fix)


def _labelled_better(case: Case) -> Finding | None:
    """For epochs, validation is answered better than training is in the next, and training never catches up.

    Or it does by heart, and validation pays for it.
    """
    if case.game or not case.classes or case.chart.dropout > 0.5 or changed_at_random(case):
        return None
    accuracies = [(e.val_accuracy, e.train_accuracy) for e in case.chart.epochs]
    pairs = [(val, train) for (val, _), (_, train) in pairwise(accuracies) if math.isfinite(val + train)][:8]
    rows = max((e.val_rows for e in case.chart.epochs), default=0)
    if len(pairs) < 3 or not rows or _merely_hard(case):
        return None
    otherwise = case.mixed_otherwise  # of a difference in accuracy that explains at most its own size
    enough = max(0.12 + 0.2 * case.chart.dropout, 2 * math.sqrt(0.25 / rows))
    enough = max(enough, otherwise if otherwise > case.at.mixed_otherwise else 0.0)
    better = [val - train for val, train in pairs if val - train > enough]
    best = max(val for val, _ in accuracies if math.isfinite(val))
    by_heart = case.left < 0.5 and case.val_accuracy < best - 0.08
    learned = best > case.chance + 0.15 * (1 - case.chance)
    if len(better) < max(3, 0.6 * len(pairs)) or not (case.left > 0.45 or by_heart) or not learned:
        return None
    evidence = {
        "validation accuracy over that of the next epoch of training": float(np.median(better)),
        "epochs": f"{len(better)} of {len(pairs)}",
        "training loss left of ignorance": case.left,
    }
    return Finding("L04", "warning", evidence)


def _merely_hard(case: Case) -> bool:
    """Whether wrong answers are given with doubt: they are where classes lie close, whoever labelled them."""
    return case.sureness > case.at.surer


def _wrong_and_sure(case: Case) -> Finding | None:
    """What training answers wrong it is as sure of as of the rest: no row looks harder than another.

    Of words that follow one another that is no sign, since many may follow.
    """
    if case.game or not case.classes or case.chart.rows.visible or case.chart.dropout > 0.5:
        return None
    others = never_used, unscaled, underfits, rate_too_high, modes_differ
    if not 0.25 < case.left < 0.9 or any(rule(case) for rule in others):
        return None
    if case.chart.rows.tokens and (bag_of_words(case) or changed_at_random(case)):
        return None
    least = case.chance + 0.25 * (1 - case.chance)
    most = case.at.unsure if changed_at_random(case) else case.at.surer
    known = [(s, right) for _, s, right in case.chart.surer if math.isfinite(s) and least < right < 0.85]
    if len(known) < 3:
        return None
    surer, right = (float(np.median(part)) for part in zip(*known[-3:], strict=True))
    then = (right - case.chance) / (1 - case.chance)
    if not surer < most or (case.val_accuracy > right + case.at.apart and 1 - case.left > then + 0.1):
        return None  # or it has learned far more since
    evidence = {
        "surer of a right answer than of a wrong one": surer,
        "healthy": f"above {most:g}",
        "training accuracy": case.accuracy,
    }
    return Finding("L04", "warning", evidence)


def never_as_good(case: Case) -> Finding | None:
    """L04: nothing else is found; what is known of validation never shows in the loss of training.

    Its right answers are no surer than its wrong ones: a row is not hard, its label is another.
    """
    unknown = not (case.sure and math.isfinite(case.val_accuracy) and math.isfinite(case.chance))
    if unknown or case.game or not case.classes or not case.long_enough or case.chart.dropout > 0.5:
        return None
    late = [e.val_accuracy for e in case.chart.epochs if math.isfinite(e.val_accuracy)][-3:]
    validated = float(np.median(late))
    knows = (validated - case.chance) / (1 - case.chance)
    if len(late) < 3 or knows < 0.25 or validated < case.accuracy + case.at.apart:
        return None
    if not 1 - case.left < case.at.hardly_seen * knows or not case.sureness < case.at.unsure:
        return None
    evidence = {
        "validation accuracy": validated,
        "training accuracy": case.accuracy,
        "training loss left of ignorance": case.left,
        "surer of a right answer than of a wrong one": case.sureness,
    }
    return Finding("L04", "warning", evidence)


def never_as_near(case: Case) -> Finding | None:
    """L04: nothing else is found; validation is told far better than training: some targets are off."""
    if case.classes or case.game or case.chart.dropout or not case.sure or changed_at_random(case):
        return None
    late = [e.val_loss / e.train_loss for e in case.chart.epochs[-5:] if e.train_loss > 0]
    rows = max((e.val_rows for e in case.chart.epochs), default=0)
    if len(late) < 5 or not max(late) < case.at.hardly_near or not 0.5 < case.left < 0.95 or rows < 100:
        return None
    evidence = {
        "validation loss over training loss": float(np.median(late)),
        "training loss left of ignorance": case.left,
    }
    fix = "look at the rows of training with the largest losses: units, signs, decimal points"
    return Finding("L04", "warning", evidence, fix=fix)
