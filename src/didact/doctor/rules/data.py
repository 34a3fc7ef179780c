"""D: the rows that are trained and validated on."""

import math

import numpy as np

from didact.doctor.chart import Rows
from didact.doctor.course import Case
from didact.doctor.finding import Finding
from didact.doctor.rows import chance
from didact.doctor.rules.generalisation import modes_differ, too_regular, trains_in_evaluation
from didact.doctor.rules.layers import dead, too_small
from didact.doctor.rules.neighbours import told_by_each, told_by_words
from didact.doctor.rules.optimisation import vanishing
from didact.doctor.rules.preprocessing import (
    changed_at_random,
    differs,
    inputs_elsewhere,
    mixed_otherwise,
    targets_elsewhere,
    unlike,
)


def not_finite(case: Case) -> Finding | None:
    """D01: NaN or infinity in the inputs."""
    found = case.chart.rows.not_finite
    if not found:
        return None
    where = f"row {found['row']}, column {found['column']} of the batch of update {found['step'] + 1}"
    return Finding("D01", "critical", {"share of that batch's rows": found["share of rows"]}, where)


def majority(case: Case) -> Finding | None:
    """D02: one class has nearly all rows, and gets all answers."""
    counts = case.chart.rows.labels
    total = sum(counts.values())
    votes = next((e.predicted for e in reversed(case.chart.epochs) if sum(e.predicted)), [])
    if len(counts) < 2 or total < 50 or not votes:
        return None
    places = 0 < case.chart.rows.train_seen < total  # of a picture's pixels most may well be background
    if places and not (case.stuck and max(votes) > 0.999 * sum(votes)):
        return None
    label, share = max(((k, n / total) for k, n in counts.items()), key=lambda pair: pair[1])
    answered = votes[label] / sum(votes) if label < len(votes) else 0.0
    if share < case.at.majority or case.game:
        return None
    gets_all = 1 - answered <= (1 - case.at.one_answer) * (1 - share)
    if not gets_all and (places or not _preferred(case, label, share, answered)):
        return None
    if case.broken or case.rose or any(rule(case) for rule in (too_small, vanishing, too_regular)):
        return None
    if share < case.at.rare and dead(case):
        return None
    return Finding(
        "D02",
        "warning",
        {
            "share of the largest class": share,
            "share of the answers it gets": answered,
            "classes": len(counts),
        },
        f"class {label}",
        picture={
            "kind": "bars",
            "title": "rows of each class",
            "values": {str(k): counts[k] for k in sorted(counts)},
        },
    )


def _preferred(case: Case, label: int, share: float, answered: float) -> bool:
    """Whether the largest class is answered far more often than it is there, or the rare ones are missed."""
    there = case.chart.rows.val_labels
    rows, right = sum(there.values()), case.val_accuracy
    if not rows or not math.isfinite(right):
        return False
    true = there.get(label, 0) / rows
    if right < case.at.majority and answered - true > case.at.too_many:
        return True
    others = len(case.chart.rows.labels.keys() | there.keys()) - 1
    if share < case.at.rare:
        return False
    validated = max(e.val_rows for e in case.chart.epochs)
    found = (right - 1 + (1 - true) + (1 - answered)) / 2  # rare ones that are answered so, of all rows
    most = 0.5 if others == 1 else 0.25  # of several it is a bound
    few = (1 - share) * len(case.chart.rows.train) < case.at.few_each * others
    enough = few or (1 - true) * validated >= 5
    return enough and 0 < true < 1 and found <= most * (1 - true)


def sorted_batches(case: Case) -> Finding | None:
    """D03: neighbours in a batch share their label far more often than by chance."""
    rows = case.chart.rows
    if not rows.labels and len(rows.levels) >= 10:
        return _sorted_quantities(case)
    expected = chance(rows.labels)
    if len(rows.order) < 5 or not expected < 0.95 or case.game:  # a judge is shown all the fakes at once
        return None
    if len(set(rows.order)) == 1 and rows.order[0] < 1:
        return None  # one batch, of all rows
    same = float(np.average(rows.order, weights=rows.sizes))
    excess = (same - expected) / (1 - expected)
    if excess < case.at.ordered:
        return None
    evidence = {"neighbours with the same label": same, "by chance": expected, "batches": len(rows.order)}
    return Finding("D03", "critical", evidence)


def _sorted_quantities(case: Case) -> Finding | None:
    """Batches whose means lie far further apart than those of random rows would."""
    sizes, means, variances = (np.array(column) for column in zip(*case.chart.rows.levels, strict=True))
    size, within, between = float(np.median(sizes)), float(variances.mean()), float(means.var())
    last = next((e for e in reversed(case.chart.epochs) if math.isfinite(e.val_loss)), None)
    worse = last is not None and last.val_loss > 3 * last.train_loss  # what came last is known by heart
    if case.game or not within + between > 0 or (case.good() and not worse):
        return None
    times = size * between / (within + between)  # 1 when shuffled, the size of a batch when sorted
    if times < case.at.ordered * size or times < 5:
        return None
    evidence = {"share of the targets' variance between batches": times / size, "by chance": 1 / size}
    return Finding("D03", "critical", evidence)


def not_representative(case: Case) -> Finding | None:
    """D04: validation has classes that training has not."""
    rows = case.chart.rows
    total, seen = sum(rows.val_labels.values()), sum(rows.labels.values())
    never = [k for k, n in rows.val_columns.items() if n >= 5 and rows.columns.get(k) == 0]
    if never and rows.train_seen >= 500:
        known = {"labels in training": sum(n > 0 for n in rows.columns.values()), "never on": len(never)}
        return Finding("D04", "critical", known, f"label {never[0]}: never met in training")
    if (found := _split_along_a_feature(case) or _never_as_at_first_sight(case)) is not None:
        return found
    other = inputs_elsewhere(case) if targets_elsewhere(case) else None
    if other is not None and other.severity == "critical":
        return Finding("D04", "critical", {"targets lie elsewhere": "yes", **other.evidence})
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
    if not len(far) or len(far) > case.at.shifted_share * len(moved):
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
    random = case.game or changed_at_random(case) or mixed_otherwise(case) > case.at.mixed_a_little
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
    random = case.game or changed_at_random(case) or mixed_otherwise(case) > case.at.mixed_a_little
    apart = unlike(case) if not random else None
    last = next((e for e in reversed(case.chart.epochs) if math.isfinite(e.val_loss)), None)
    known = case.at.known * case.baseline if case.sure else 0.0  # it hardly matters
    as_well = last is not None and last.val_loss < max(1.3 * last.train_loss, known)
    if case.left < 0.75 and last is not None and last.val_loss > 0.95 * case.baseline:
        as_well = False  # of validation nothing is known
    if apart is None or as_well or (math.isfinite(case.val_accuracy) and case.good(0.9)):
        return None
    if last is None and len(case.chart.rows.train) > 0.9 * case.chart.rows.train_seen:
        return None  # nobody scores it, and training may change its rows
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


def overlap(case: Case) -> Finding | None:
    """D06: rows of the validation were trained on."""
    share, leaked, total = case.chart.probes.get("overlap", (0.0, 0, 0))
    if share <= case.at.overlap or leaked < 3:
        return None
    rows = case.chart.rows
    inside = rows.repeated / max(len(rows.train), 1)
    natural = share <= max(3 * inside, _expected(case)) and not _never_alike(rows)
    if natural:
        return None
    evidence = {
        "validation rows that were trained on": f"{leaked} of {total}",
        "duplicates inside the training rows": inside,
    }
    return Finding("D06", "critical", evidence)


def _expected(case: Case) -> float:
    """Twice the share that the twins within validation let expect, if training rows are drawn likewise."""
    rows = case.chart.rows
    seen = max((e.val_rows for e in case.chart.epochs), default=0)
    twins = max(seen - len(rows.val), 0)
    return 2 * twins / seen * len(rows.train) / seen if seen else 0.0


def _never_alike(rows: Rows) -> bool:
    """Rows that are equal are copies: a feature hardly takes a value twice, or many would have to agree."""
    x = rows.inputs
    if x is None or not len(x):
        return False
    changes = (np.diff(np.sort(x, axis=0), axis=0) != 0).mean(0)
    if (changes > 0.4).any():
        return True
    agree = sum(
        math.log((np.unique(column, return_counts=True)[1] ** 2).sum() / len(x) ** 2) for column in x.T
    )
    return not rows.tokens and agree < math.log(1e-9)


def leak(case: Case) -> Finding | None:
    """D07: one feature alone tells the label; of words, one beside others that tell it too."""
    rows = case.chart.rows
    x, y = rows.inputs, rows.targets
    if (found := _hold_the_targets(rows)) is not None:
        return found
    if x is None or y is None or len(x) < 60 or x.shape[1] < 2 or y.size != len(y):
        return None
    told = told_by_each(rows, rows.integer or _is_class(y))
    if told is None:
        return None
    _, different = np.unique(x, axis=1, return_index=True)  # a channel may be the same at all places
    order = different[np.argsort(-told[different], kind="stable")]
    telling = int((told[order] >= case.at.leak).sum())
    if not 1 <= telling <= max(1, case.at.leak_share * len(order)) or telling == len(order):
        return None
    best, second = float(told[order[0]]), float(told[order[telling]])
    if second > (case.at.leak_second if best < case.at.leak_all else case.at.leak_next):
        return None
    if rows.tokens and (telling > 1 or told_by_words(rows, int(order[0])) < case.at.leak_words):
        return None
    evidence = {"told by this feature alone": best, "by the best of the others": second, "rows": len(x)}
    evidence |= {"features like that": telling} if telling > 1 else {}
    column = int(order[0])
    picture = {
        "kind": "scatter",
        "title": f"feature {column} and the target",
        "x": x[:, column].tolist(),
        "y": y.reshape(-1).tolist(),
    }
    return Finding("D07", "critical", evidence, f"feature {column}", picture=picture)


def _hold_the_targets(rows: Rows) -> Finding | None:
    """Each of several quantities of a row, or their mean, is one of its features."""
    x, y = rows.inputs, rows.targets
    if x is None or y is None or len(x) < 60 or rows.integer or rows.tokens or rows.shifted is not None:
        return None
    y = y.reshape(len(y), -1).astype(float)
    if not 1 < y.shape[1] < x.shape[1] / 2 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    told = np.abs(_correlations(x.astype(float), np.column_stack([y, y.mean(1)])))  # (F, D + 1)
    seen = told.max(0) > 0.9999
    if not (seen[:-1].all() or seen[-1]):
        return None
    which = np.flatnonzero(told.max(1) > 0.9999)
    evidence = {"quantities that are features": f"{int(seen[:-1].sum())} of {y.shape[1]}", "rows": len(x)}
    evidence |= {"their mean is one": "yes"} if seen[-1] else {}
    return Finding("D07", "critical", evidence, f"feature {which[0]}")


def _correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of each feature with each quantity, (F, D); 0 for what never changes."""
    x, y = x - x.mean(0), y - y.mean(0)
    size = np.outer(np.sqrt((x**2).sum(0)), np.sqrt((y**2).sum(0)))
    return np.divide(x.T @ y, size, out=np.zeros_like(size), where=size > 1e-12)


def _is_class(y: np.ndarray) -> bool:
    return len(np.unique(y)) <= 20 and bool((y == np.round(y)).all())
