"""D01, D02, D03 and D07: the rows that are trained on."""

import math
from collections import Counter

import numpy as np

from didact.doctor.chart import Rows
from didact.doctor.course import Case
from didact.doctor.finding import Finding
from didact.doctor.rows import chance
from didact.doctor.rules.generalisation import too_regular
from didact.doctor.rules.layers import dead, died, too_small
from didact.doctor.rules.neighbours import first_of_each, nearest, told_by_each
from didact.doctor.rules.optimisation import vanishing
from didact.doctor.rules.words import telling_words, told_by_words

WIDE = 20  # features, and more: of fewer each may well have a class of its own


def not_finite(case: Case) -> Finding | None:
    """D01: NaN or infinity in the inputs."""
    found = case.chart.rows.not_finite
    if not found:
        return None
    where = f"row {found['row']}, column {found['column']} of the batch of update {found['step'] + 1}"
    return Finding("D01", "critical", {"share of that batch's rows": found["share of rows"]}, where)


def majority(case: Case) -> Finding | None:
    """D02: one class has nearly all rows, and gets all answers, or far too many."""
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
    if share < case.at.rare and (dead(case) or died(case)):
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
    if case.game or not within + between > 0:
        return None
    times = size * between / (within + between)  # 1 when shuffled, the size of a batch when sorted
    rows = case.chart.rows
    again = rows.again >= 50 and rows.changed < case.at.changed * rows.again  # no level that drifts
    level = last is None and again and times > case.at.level * size  # is followed, and no loss tells
    if times < case.at.ordered * size or times < 5 or (case.good() and not worse and not level):
        return None
    evidence = {"share of the targets' variance between batches": times / size, "by chance": 1 / size}
    return Finding("D03", "warning" if level else "critical", evidence)


def leak(case: Case) -> Finding | None:
    """D07: one feature alone tells the label; of words, one beside others that tell it too."""
    rows = case.chart.rows
    x, y = rows.inputs, rows.targets
    if (found := _hold_the_targets(rows) or _marked(case) or _stamped(case)) is not None:
        return found
    if x is None or y is None or len(x) < 60 or x.shape[1] < 2 or y.size != len(y):
        return None
    told = told_by_each(rows, rows.integer or _is_class(y))
    if told is None:
        return None
    different = first_of_each(x, axis=1)  # a channel may be the same at all places
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


def _stamped(case: Case) -> Finding | None:
    """Each class has a feature of its own, apart in all of its rows; others tell the classes too."""
    rows = case.chart.rows
    x, y = rows.inputs, rows.targets
    if x is None or y is None or rows.tokens or not rows.integer or y.size != len(y) or x.shape[1] < WIDE:
        return None
    y, own = y.reshape(-1), {}
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 3 or counts.min() < 3 or len(y) < 60:
        return None
    telling = np.zeros(x.shape[1], bool)
    for label in classes.tolist():
        mine, others = x[y == label], x[y != label]
        apart = np.maximum(mine.min(0) - others.max(0), others.min(0) - mine.max(0))
        if not apart.max() > 0:
            return None
        own[label] = int(apart.argmax())
        telling |= apart > 0
    if telling.sum() > max(2 * len(own), case.at.leak_share * x.shape[1]):
        return None  # the classes are merely easy
    rest = x[:, ~telling]
    near = nearest(rest.tobytes(), rest.shape, y.tobytes(), y.dtype.str)
    by_chance = chance(rows.labels or Counter(y.tolist()))
    if float((near == y[:, None]).mean()) < by_chance + case.at.leak_words * (1 - by_chance):
        return None  # they may be what is to be found
    told = ", ".join(f"{label} by {place}" for label, place in list(own.items())[:6])
    found = Finding("D07", "warning", {"classes that a feature tells alone": told, "of classes": len(own)})
    return found if len(set(own.values())) == len(own) else None


def _marked(case: Case) -> Finding | None:
    """Each label has a word of its own, which all its rows have, beside others that tell it too."""
    marks = telling_words(case.chart.rows, case.at.leak_word)
    if not marks or told_by_words(case.chart.rows, without=marks.values()) < case.at.leak_words:
        return None
    named = ", ".join(f"{word:g} for {label}" for label, word in list(marks.items())[:6])
    evidence = {"words that only one label has, and always": named}
    return Finding("D07", "critical", evidence, f"word {named.split()[0]}")


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
