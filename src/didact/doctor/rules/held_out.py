"""D04, D05 and D06: the rows that are held out to validate."""

import math
from typing import Any

import numpy as np

from didact.doctor.course import Case
from didact.doctor.finding import Finding
from didact.doctor.rules.data import sorted_batches
from didact.doctor.rules.generalisation import modes_differ, trains_in_evaluation
from didact.doctor.rules.neighbours import first_of_each
from didact.doctor.rules.preprocessing import (
    another_unit,
    changed_at_random,
    differs,
    inputs_elsewhere,
    targets_elsewhere,
    unlike,
)

FEW_CLASSES = 20  # fewer are no places in a batch


def not_representative(case: Case) -> Finding | None:
    """D04: validation has classes that training has not, or rows that are plainly others."""
    rows = case.chart.rows
    total, seen = sum(rows.val_labels.values()), sum(rows.labels.values())
    never = [k for k, n in rows.val_columns.items() if n >= 5 and rows.columns.get(k) == 0]
    if never and rows.train_seen >= 500:
        known = {"labels in training": sum(n > 0 for n in rows.columns.values()), "never on": len(never)}
        return Finding("D04", "critical", known, f"label {never[0]}: never met in training")
    if (found := _split_along_a_feature(case) or _never_as_at_first_sight(case)) is not None:
        return found
    moved = targets_elsewhere(case)
    other = inputs_elsewhere(case) if moved else None
    if other is not None and other.severity == "critical":
        return Finding("D04", "critical", {"its targets are off by deviations": moved, **other.evidence})
    if not total or not rows.labels or not 0 < case.classes <= 200 or seen < 10 * len(rows.labels):
        return None
    missing = {k: n for k, n in rows.val_labels.items() if k not in rows.labels and k >= 0}
    share = sum(missing.values()) / total
    words = bool(rows.visible)  # of which validation may have some of its own
    if share < (case.at.new_words if words else case.at.unseen_share) or (words and case.good()):
        return None
    evidence = {"share of the validation rows": share, "classes in training": len(rows.labels)}
    names = ", ".join(map(str, sorted(missing)[:8]))
    return Finding("D04", "critical", evidence, f"class {names}: never met in training")


def _split_along_a_feature(case: Case) -> Finding | None:
    """A few features of a table lie elsewhere in validation, which is answered worse: rows were not mixed."""
    rows, epochs = case.chart.rows, [e for e in case.chart.epochs if math.isfinite(e.val_loss)]
    train, val = (rows.moments.get(name) for name in ("train", "val"))
    if train is None or val is None or not rows.table or not epochs or train[1].shape != val[1].shape:
        return None
    if min(train[0], val[0]) < 100 or not epochs[-1].val_loss > 1.5 * epochs[-1].train_loss:
        return None
    spread = np.sqrt(train[2] / train[0])
    lively = spread > 1e-6 * max(float(spread.max()), 1e-12)
    moved = np.where(lively, np.abs(val[1] - train[1]) / np.where(lively, spread, 1.0), 0.0)
    far = np.flatnonzero(moved > case.at.other_split)
    if not len(far) or len(far) > case.at.shifted_share * len(moved) or another_unit(case) is not None:
        return None
    column = int(np.argmax(moved))
    evidence = {
        "its mean in validation is off by deviations": float(moved[column]),
        "features like that": f"{len(far)} of {len(moved)}",
        "validation loss over training loss": epochs[-1].val_loss / epochs[-1].train_loss,
    }
    return Finding("D04", "critical", evidence, f"feature {column}")


def _never_as_at_first_sight(case: Case) -> Finding | None:
    """Validation is never answered as well as rows of training were at first sight: they are others."""
    known = [e for e in case.chart.epochs if math.isfinite(e.val_accuracy) and e.val_rows]
    right, rows = case.at_first_sight
    random = case.game or changed_at_random(case) or case.mixed_otherwise > case.at.mixed_a_little
    if random or len(known) < 3 or not case.relates or case.unstable or case.lost:
        return None
    if any(rule(case) for rule in (sorted_batches, differs, modes_differ, trains_in_evaluation)):
        return None
    best = max(e.val_accuracy for e in known)
    error = math.sqrt(0.25 / rows + 0.25 / known[-1].val_rows)
    if best > right - max(4 * error, case.at.gap):
        return None
    evidence = {"accuracy of training rows at first sight": right, "best of validation": best, "error": error}
    return Finding("D04", "critical", evidence)


def steady_gap(case: Case) -> Finding | None:
    """D04: training is answered, validation is not, and neither gets worse: too few rows, or others."""
    known = [e for e in case.chart.epochs if math.isfinite(e.val_accuracy)]
    late = case.chart.epochs[-5:]
    if len(known) < 5 or not late[-1].val_rows:
        return None
    steady = late[-1].val_loss < case.at.risen * min(e.val_loss for e in late)
    error = math.sqrt(0.25 / late[-1].val_rows)
    rows = case.chart.rows
    few = (
        0 < len(rows.train) < case.at.few_each * case.classes and sum(rows.labels.values()) <= rows.train_seen
    )
    most = 0.6 * case.at.steady_gap if few else case.at.steady_gap
    if not case.gap > max(most, 3 * error) or not (steady or few) or case.stuck:
        return None
    evidence = {
        "accuracy in training minus in validation": case.gap,
        "standard error": error,
        "different rows of training": len(case.chart.rows.train),
    }
    return Finding("D04", "warning", evidence, fix="gather more training rows, of the kind that is validated")


def of_another_kind(case: Case) -> Finding | None:
    """D04: the rows of validation lie elsewhere than those of training, and are not answered as well."""
    random = case.game or changed_at_random(case) or case.mixed_otherwise > case.at.mixed_a_little
    apart = unlike(case) if not random else None
    last = next((e for e in reversed(case.chart.epochs) if math.isfinite(e.val_loss)), None)
    if apart is None or last is None:
        return None  # what nobody scores may be answered well
    known = case.at.known * case.baseline if case.sure else 0.0  # it hardly matters
    as_well = last.val_loss < max(1.3 * last.train_loss, known)
    if case.left < 0.75 and last.val_loss > 0.95 * case.baseline:
        as_well = False  # of validation nothing is known
    if as_well or (math.isfinite(case.val_accuracy) and case.good(0.9)):
        return None
    return Finding("D04", "warning", apart, fix="split at random, so that both have rows of every kind")


def small_validation(case: Case) -> Finding | None:
    """D05: validation is better than training on rows scored alike, or too small to tell."""
    rows = max((e.val_rows for e in case.chart.epochs), default=0)
    if not rows:
        return None
    if not case.classes:
        few = {"rows": rows, "healthy": f"at least {case.at.few_rows}"}
        return Finding("D05", "hint", few) if rows < case.at.few_rows else None
    error = math.sqrt(0.25 / rows)
    if (missing := _never_asked(case, rows)) is not None:
        return Finding("D05", "warning", missing)
    if (
        rows < case.at.few_to_validate
        and len(case.chart.epochs) > 1
        and min(case.val_accuracy, case.accuracy) < 0.9
    ):
        return Finding("D05", "warning", {"rows": rows, "standard error of an accuracy": error})
    scored = [(e.val_accuracy, e.in_eval[1]) for e in case.chart.epochs if e.in_eval]
    better = [pair for pair in scored if pair[0] > pair[1] + max(case.at.too_regular, 3 * error)]
    trained = case.accuracy if math.isfinite(case.accuracy) else 0.0  # of more rows than the kept ones
    apart = case.val_accuracy - trained > case.at.too_regular / 2
    if len(better) >= 3 and case.chart.modules.get("dropout", 0) == 0 and apart:
        own, trained = better[-1]
        return Finding(
            "D05", "warning", {"validation accuracy": own, "of a training batch": trained, "rows": rows}
        )
    if error > case.at.small_error:
        return Finding(
            "D05", "hint", {"rows": rows, "standard error of an accuracy": error, "healthy": "below 0.03"}
        )
    return None


def _never_asked(case: Case, rows: int) -> dict[str, Any] | None:
    """Classes that make up much of training are not in validation at all, where chance would have them."""
    labels, asked = case.chart.rows.labels, case.chart.rows.val_labels
    total, fewest = sum(labels.values()), min(case.chart.rows.sizes, default=0)
    if not total or not asked or case.game or case.chart.rows.train_seen < total:
        return None
    if len(labels) >= max(fewest, FEW_CLASSES):
        return None  # as many as rows of a batch: their places, perhaps
    shares = {label: count / total for label, count in labels.items()}
    by_chance = sum(share * (1 - share) ** rows for share in shares.values())
    missing = sum(share for label, share in shares.items() if label not in asked)
    if missing < max(case.at.never_asked, 3 * by_chance) or (1 - missing) ** rows > 0.01:
        return None
    return {"share of training rows whose class validation has not": missing, "rows": rows}


def overlap(case: Case) -> Finding | None:
    """D06: rows of the validation were trained on."""
    share, leaked, total = case.chart.probes.get("overlap", (0.0, 0, 0))
    rows = case.chart.rows
    if share <= case.at.overlap or leaked < 3:
        return _copied(case) if not leaked else None
    inside = rows.repeated / max(len(rows.train), 1)
    copies = not rows.tokens or _times_met(case) > case.at.copied  # texts may be alike by nature
    never = copies and _never_alike(rows.inputs, 1e-6 if rows.tokens else 1e-9)
    natural = share <= max(3 * inside, _expected(case)) and not never
    if natural:
        return None
    evidence = {
        "validation rows that were trained on": f"{leaked} of {total}",
        "duplicates inside the training rows": inside,
    }
    return Finding("D06", "critical", evidence, picture=_twins(rows.twin))


def _twins(twin: tuple[int, np.ndarray] | None) -> dict[str, Any]:
    """A row of validation beside the same of training: as a picture where it is one."""
    if twin is None:
        return {}
    number, row = twin
    names = f"row {number + 1:,} of validation", "the same in training"
    return {"kind": "pair", "title": "two rows that are the same", "names": names, "rows": [row.tolist()] * 2}


def _copied(case: Case) -> Finding | None:
    """Training rows are new every time; validation holds its own several times: so did what was split."""
    rows, held = case.chart.rows, case.chart.rows.held
    first = case.chart.epochs[0].met[0] if case.chart.epochs else 0
    changed = rows.train_seen > 2 * first > 0 and len(rows.train) > 0.5 * rows.train_seen
    if held is None or not len(held[0]) or rows.tokens or not (changed or changed_at_random(case)):
        return None
    x = _once(held[0])
    different = x[first_of_each(x)]
    if len(different) > (1 - case.at.copies) * len(x) or not _never_alike(different):
        return None
    times = np.unique(x, axis=0, return_counts=True)[1]
    if times.max() < 4 and (times == times.max()).mean() > 0.8:  # each batch was asked about so often
        return None
    evidence = {
        "validation rows that are copies of others": f"{len(x) - len(different)} of {len(x)}",
        "training rows that were new when they were read": len(rows.train) / max(rows.train_seen, 1),
    }
    return Finding("D06", "warning", evidence)


def _once(x: np.ndarray) -> np.ndarray:
    """The rows of one round, where the same were asked about twice or thrice in the same order."""
    again = np.flatnonzero((x[1:] == x[0]).all(1)) + 1
    start = int(again[0]) if len(again) else len(x)
    length = min(start, len(x) - start)
    same = length > 1 and len(x) < 4 * start and bool((x[start : start + length] == x[:length]).all())
    return x[:start] if same else x


def _expected(case: Case) -> float:
    """Twice the share that the twins within validation let expect, if training rows are drawn likewise."""
    rows = case.chart.rows
    seen = max((e.val_rows for e in case.chart.epochs), default=0)
    twins = max(seen - len(rows.val), 0)
    return 2 * twins / seen * len(rows.train) / seen if seen else 0.0


def _times_met(case: Case) -> float:
    """How often a row was met in the first epoch."""
    seen, different = case.chart.epochs[0].met if case.chart.epochs else (0, 0)
    return seen / different if different else 0.0


def _never_alike(x: np.ndarray | None, least: float = 1e-9) -> bool:
    """Rows that are equal are copies: a feature hardly takes a value twice, or many would have to agree.

    Beyond a chance of ``least``.
    """
    if x is None or not len(x):
        return False
    changes = (np.diff(np.sort(x, axis=0), axis=0) != 0).mean(0)
    if (changes > 0.4).any():
        return True
    agree = sum(
        math.log((np.unique(column, return_counts=True)[1] ** 2).sum() / len(x) ** 2) for column in x.T
    )
    return agree < math.log(least)
