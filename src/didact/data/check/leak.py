"""A column that gives the answer away: it tells the target by itself, and no other comes near.

A real measure may be that good too; what makes it suspect is that it stands alone.
"""

# N rows, C classes

from collections import Counter
from itertools import combinations

import numpy as np

from didact.data.check.finding import Finding, found
from didact.data.check.ranks import auc, correlation, ranks
from didact.data.check.rules import FAR_LOWER, GIVES_AWAY, LOOKED_AT
from didact.data.check.subject import Subject

FEWEST_OF_CLASS = 5  # rows without which a class says nothing
CLASSES = 10  # the most frequent are compared, two and two
SUSPECTS = 0.25  # of the columns at most; where many are that good, the task is easy


def check_leak(subject: Subject) -> list[Finding]:
    """Columns that tell the answer by themselves, while the others stay far below."""
    if subject.raw.inputs != "table" or subject.raw.target not in ("class", "number"):
        return []
    if len(subject.learned.items) < LOOKED_AT:
        return []
    scores = column_scores(subject)
    suspects = [name for name, score in scores.items() if score >= GIVES_AWAY]
    others = [score for score in scores.values() if score < GIVES_AWAY]
    if not suspects or not others or max(others) >= FAR_LOWER:
        return []
    if len(suspects) > max(1, SUSPECTS * len(scores)):
        return []
    return [_given_away(subject, name, scores[name], max(others)) for name in suspects]


def column_scores(subject: Subject) -> dict[str, float]:
    """How well each column by itself tells the answer, up to 1."""
    part = subject.learned
    numeric = subject.learned_columns
    targets = np.asarray(part.targets)
    measure = _tells_classes if subject.raw.target == "class" else _tells_number
    scores = {name: measure(values, targets) for name, values in numeric.items()}
    for name in subject.raw.categories:
        cells = [str(item[name]) for item in part.items]
        if subject.raw.target == "class":
            scores[name] = recall_of_categories(cells, [str(target) for target in part.targets])
        else:
            scores[name] = _explained(cells, targets.astype(np.float64))
    return scores


def _tells_classes(values: np.ndarray, targets: np.ndarray) -> float:
    """The AUC of the two classes that it tells apart worst."""
    counts = Counter(targets.tolist())
    names = [name for name, count in counts.most_common(CLASSES) if count >= FEWEST_OF_CLASS]
    if len(names) < 2:
        return 0.0
    groups = [values[targets == name] for name in names]
    return min(max(area, 1 - area) for area in (auc(a, b) for a, b in combinations(groups, 2)))


def _tells_number(values: np.ndarray, targets: np.ndarray) -> float:
    """R2 of a straight line, or of one through the ranks."""
    numbers = targets.astype(np.float64)
    line, curve = correlation(values, numbers), correlation(ranks(values), ranks(numbers))
    return max(line**2, curve**2)


def recall_of_categories(cells: list[str], targets: list[str]) -> float:
    """Recall of the worst class, each row answered by the other rows of its category."""
    together: dict[str, Counter[str]] = {}
    for cell, target in zip(cells, targets, strict=True):
        together.setdefault(cell, Counter())[target] += 1
    right: Counter[str] = Counter()
    for cell, target in zip(cells, targets, strict=True):
        others = together[cell] - Counter({target: 1})
        right[target] += bool(others) and others.most_common(1)[0][0] == target
    totals = {name: count for name, count in Counter(targets).items() if count >= FEWEST_OF_CLASS}
    return (
        min((right[name] / count for name, count in totals.items()), default=0.0) if len(totals) > 1 else 0.0
    )


def _explained(cells: list[str], targets: np.ndarray) -> float:
    """Share of the variance between categories, adjusted for their number."""
    _, index, counts = np.unique(np.asarray(cells), return_inverse=True, return_counts=True)
    rows, groups = len(targets), len(counts)
    if rows - groups < 1 or targets.var() == 0:
        return 0.0
    means = np.bincount(index, targets) / counts
    inside = float(((targets - means[index]) ** 2).sum()) / (rows - groups)
    return 1 - inside / (float(targets.var()) * rows / (rows - 1))


def _given_away(subject: Subject, name: str, score: float, best: float) -> Finding:
    what = (
        f"column {name!r} tells {subject.raw.target_name!r} by itself ({score:.3f}); "
        f"the best of the others reaches {best:.2f}"
    )
    cells = [item[name] for item in subject.learned.items]
    show = {
        "kind": "column",
        "name": name,
        "target": subject.raw.target_name,
        "cells": cells,
        "targets": list(subject.learned.targets),
        "numeric": name not in subject.raw.categories,
        "classes": subject.raw.target == "class",
    }
    return found("leak", subject.name, what, numbers={"score": score, "others": best}, show=show)
