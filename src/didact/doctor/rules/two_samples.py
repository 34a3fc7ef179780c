"""A sample of validation beside one of training: what labels have to do with rows, here and there."""

# N rows, F features, K neighbours

import math
from collections import Counter
from collections.abc import Callable

import numpy as np

from didact.doctor.chart import Rows
from didact.doctor.course import Case
from didact.doctor.rows import chance, mixed_otherwise
from didact.doctor.rules.neighbours import (
    FEWEST,
    first_of_each,
    held_neighbours,
    nearest,
    ranks,
    told_together,
)
from didact.doctor.rules.words import words_there

Sample = tuple[np.ndarray, np.ndarray]  # rows and their targets
ENOUGH = 8  # rows of a class of validation
MIXED = 0.25  # of the labels of two samples, that may differ
BESIDE = 3  # places, that rows of a series lie apart which are alike


def agree_less(case: Case) -> dict[str, float] | None:
    """Rows of training that lie together are labelled alike less often than those of validation.

    By their neighbours: the share of one label, or for quantities a correlation, of themselves and of their
    ranks; of words by how far labels go with which of them are there. None where the difference may be
    chance, or says nothing: of few rows, and of a validation in which what follows one another is alike.
    """
    rows, samples = case.chart.rows, _two_samples(case.chart.rows)
    if samples is None:
        return None
    views = (np.asarray,) if rows.integer else (np.asarray, ranks)
    found = [_both(samples, rows, view) for view in views]
    if any(held - train < max(case.at.clearly * error, case.at.less_alike) for train, held, error in found):
        return None
    train, held, error = found[0]
    return {"rows near each other go together in training by": train, "in validation": held, "error": error}


def tell_nothing(rows: Rows) -> bool:
    """Whether labels go with those of rows near them no more than by chance in validation either."""
    samples = _two_samples(rows)
    if samples is None:
        return False
    _, held, error = _both(samples, rows, np.asarray)
    by_chance = chance(Counter(samples[1][1].tolist())) if rows.integer and not rows.tokens else 0.0
    return held < by_chance + 3 * error


def renumbered(rows: Rows) -> dict[int, int]:
    """Classes of validation whose rows lie among those of another class of training, one for one.

    Both numbers of each; empty if classes go by the same numbers, or if nothing can be said.
    """
    near = held_neighbours(rows) if rows.integer else None
    if near is None or rows.held is None or rows.targets is None or rows.held[1].size != len(near):
        return {}
    own, trained = rows.held[1].reshape(-1), Counter(rows.targets.reshape(-1).tolist())
    among = {}
    for label, times in Counter(own.tolist()).items():
        votes = Counter(near[own == label].ravel().tolist())
        most, count = votes.most_common(1)[0]
        sure = times >= ENOUGH and count / votes.total() > (1 + trained[most] / trained.total()) / 2
        if not sure and label != most:
            return {}
        among[label] = most
    moved = {label: most for label, most in among.items() if label != most}
    one_for_one = len(set(among.values())) == len(among)
    never_met = len(among.keys() - (rows.labels or trained).keys())  # whose rows lie somewhere too
    return moved if one_for_one and len(moved) > 1 >= never_met else {}


def _both(
    samples: tuple[Sample, Sample], rows: Rows, view: Callable[[np.ndarray], np.ndarray]
) -> tuple[float, float, float]:
    """How far labels go with those of rows like them, in each sample; the error of the difference."""
    train, held = (_alike(x, view(y), rows.tokens, rows.integer) for x, y in samples)
    shares = rows.integer and not rows.tokens
    each = (a * (1 - a) if shares else (1 - a**2) ** 2 for a in (train, held))
    return train, held, math.sqrt(sum(each) / len(samples[0][0]))


def _two_samples(rows: Rows) -> tuple[Sample, Sample] | None:
    """As many rows of training and of validation, with their targets."""
    held, x, y = rows.held, rows.inputs, rows.targets
    if held is None or x is None or y is None or y.size != len(y) or held[1].size != len(held[1]):
        return None
    different = first_of_each(held[0])
    n = min(len(x), len(different))
    if n < 2 * FEWEST or not (np.isfinite(x).all() and np.isfinite(held[0]).all()):
        return None
    own, others = (x[:n], y.reshape(-1)[:n]), (held[0][different[:n]], held[1].reshape(-1)[different[:n]])
    if rows.integer and mixed_otherwise(*(Counter(y.tolist()) for _, y in (own, others))) > MIXED:
        return None
    finite = np.isfinite(own[1]).all() and np.isfinite(others[1]).all()
    return (own, others) if finite and (rows.tokens or not _follow_one_another(others[0])) else None


def _alike(x: np.ndarray, y: np.ndarray, tokens: bool, classes: bool) -> float:
    """How far the labels of rows go with those of rows like them."""
    if tokens:
        _, there = words_there(x)
        return told_together(there.tobytes(), there.shape, y.tobytes(), y.dtype.str, classes)
    near = nearest(x.tobytes(), x.shape, y.tobytes(), y.dtype.str)
    if classes:
        return float((near == y[:, None]).mean())
    means = near.mean(1)
    return float(np.corrcoef(means, y)[0, 1]) if means.std() and y.std() else 0.0


def _follow_one_another(x: np.ndarray) -> bool:
    """Whether rows lie nearest to those just before or after them, as windows of a series do."""
    places = np.arange(len(x))
    near = nearest(x.tobytes(), x.shape, places.tobytes(), places.dtype.str)
    beside = float((np.abs(near - places[:, None]) <= BESIDE).mean())
    return beside > 3 * (2 * BESIDE / len(x)) + 0.02  # thrice what chance brings there
