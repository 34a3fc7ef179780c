"""A sample of the training rows: do neighbours share their labels, and does one feature tell them all?

The answers depend on the sample alone and are remembered, since rules are asked again and again.
"""

# N rows, F features, K neighbours

import math
from collections.abc import Callable, Collection
from functools import lru_cache

import numpy as np

from didact.doctor.chart import Rows

Sample = tuple[np.ndarray, np.ndarray]  # rows and their targets
K = 5
FEWEST = 60
MOST = 64  # quantities of a row
CLASSES = 20  # that are told apart by one line each
WORDS = 2000  # that may be there or not
MIXED = 0.25  # of the labels of two samples, that may differ
CLEARLY = 3.5  # standard errors
ALWAYS = 0.99  # of the rows of a label, that have its word


def neighbours(rows: Rows) -> np.ndarray | None:
    """Targets of the nearest K rows of each, by standardised features; None if that says nothing.

    (N, K), or (N, K, D) where a row has several quantities.
    """
    x, y = rows.inputs, rows.targets
    if (
        x is None
        or y is None
        or rows.tokens
        or len(x) < FEWEST
        or (y.size != len(y) and (rows.integer or y.size > MOST * len(y)))
        or not np.isfinite(x).all()
    ):
        return None
    return _neighbours(x.tobytes(), x.shape, y.tobytes(), y.dtype.str)


def agree_less(rows: Rows) -> dict[str, float] | None:
    """Rows of training that lie together are labelled alike less often than those of validation.

    By their neighbours: the share of one label, or for quantities a correlation, of themselves and of their
    ranks; of words by how far labels go with which of them are there. None where the difference may be
    chance, or says nothing: of few rows, and of a validation in which what follows one another is alike.
    """
    samples = _two_samples(rows)
    if samples is None:
        return None
    views = (np.asarray,) if rows.integer else (np.asarray, _ranks)
    found = [_both(samples, rows, view) for view in views]
    if any(held - train < max(CLEARLY * error, 0.06) for train, held, error in found):
        return None
    train, held, error = found[0]
    return {"rows near each other go together in training by": train, "in validation": held, "error": error}


def tell_nothing(rows: Rows) -> bool:
    """Whether labels go with those of rows near them no more than by chance in validation either."""
    samples = _two_samples(rows)
    if samples is None:
        return False
    _, held, error = _both(samples, rows, np.asarray)
    by_chance = _share_by_chance(samples[1][1]) if rows.integer and not rows.tokens else 0.0
    return held < by_chance + 3 * error


def _share_by_chance(y: np.ndarray) -> float:
    _, counts = np.unique(y, return_counts=True)
    return float(((counts / counts.sum()) ** 2).sum())


def _both(
    samples: tuple[Sample, Sample], rows: Rows, view: Callable[[np.ndarray], np.ndarray]
) -> tuple[float, float, float]:
    """How far labels go with those of rows like them, in each sample; the error of the difference."""
    train, held = (_alike(x, view(y), rows.tokens, rows.integer) for x, y in samples)
    shares = rows.integer and not rows.tokens
    each = (a * (1 - a) if shares else (1 - a**2) ** 2 for a in (train, held))
    return train, held, math.sqrt(sum(each) / len(samples[0][0]))


def _ranks(y: np.ndarray) -> np.ndarray:
    return y.argsort().argsort().astype(np.float32)


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
    if rows.integer and _mixed_otherwise(own[1], others[1]) > MIXED:
        return None
    finite = np.isfinite(own[1]).all() and np.isfinite(others[1]).all()
    return (own, others) if finite and (rows.tokens or not _follow_one_another(others[0])) else None


def first_of_each(x: np.ndarray, axis: int = 0) -> np.ndarray:
    """Where each different row, or column, stands first, in order."""
    return _first_of_each(x.tobytes(), x.shape, axis)


@lru_cache(maxsize=4)
def _first_of_each(data: bytes, shape: tuple[int, int], axis: int) -> np.ndarray:
    return np.sort(np.unique(np.frombuffer(data, np.float32).reshape(shape), axis=axis, return_index=True)[1])


def _mixed_otherwise(y: np.ndarray, z: np.ndarray) -> float:
    """The share of labels that would have to be others, to be mixed alike."""
    return float(sum(abs((y == k).mean() - (z == k).mean()) for k in np.union1d(y, z)) / 2)


def _alike(x: np.ndarray, y: np.ndarray, tokens: bool, classes: bool) -> float:
    """How far the labels of rows go with those of rows like them."""
    if tokens:
        there = np.stack([(x == word).any(1) for word in np.unique(x)[:WORDS]], 1).astype(np.float32)
        return _told_together(there.tobytes(), there.shape, y.tobytes(), y.dtype.str, classes)
    near = _neighbours(x.tobytes(), x.shape, y.tobytes(), y.dtype.str)
    if classes:
        return float((near == y[:, None]).mean())
    means = near.mean(1)
    return float(np.corrcoef(means, y)[0, 1]) if means.std() and y.std() else 0.0


def _follow_one_another(x: np.ndarray) -> bool:
    """Whether rows lie nearest to those just before or after them, as windows of a series do."""
    places = np.arange(len(x))
    near = _neighbours(x.tobytes(), x.shape, places.tobytes(), places.dtype.str)
    beside = float((np.abs(near - places[:, None]) <= 3).mean())
    return beside > 3 * 6 / len(x) + 0.02


@lru_cache(maxsize=8)
def _neighbours(data: bytes, shape: tuple[int, int], labels: bytes, kind: str) -> np.ndarray:
    x, y = np.frombuffer(data, np.float32).reshape(shape), np.frombuffer(labels, np.dtype(kind))
    y = y.reshape(len(x), -1) if y.size != len(x) else y
    spread = x.std(0)
    x = (x - x.mean(0))[:, spread > 1e-12] / spread[spread > 1e-12]
    square = (x**2).sum(1)
    distance = square[:, None] + square - 2 * x @ x.T
    np.fill_diagonal(distance, np.inf)
    return y[np.argpartition(distance, K, axis=1)[:, :K]]


def late_neighbours(rows: Rows) -> np.ndarray | None:
    """Targets of the nearest K rows of the first sample, for each of the last rows, (M, K); None as above."""
    x, y = rows.inputs, rows.targets
    if x is None or y is None or rows.late is None or rows.tokens or len(x) < FEWEST or y.size != len(y):
        return None
    last = rows.late[0]
    spread = x.std(0)
    lively = spread > 1e-12
    first, last = ((part[:, lively] - x.mean(0)[lively]) / spread[lively] for part in (x, last))
    if not (np.isfinite(first).all() and np.isfinite(last).all()):
        return None
    distance = (last**2).sum(1)[:, None] + (first**2).sum(1) - 2 * last @ first.T
    return y.reshape(-1)[np.argpartition(distance, K, axis=1)[:, :K]]


def told_by_each(rows: Rows, classes: bool) -> np.ndarray | None:
    """What each feature tells alone, (F,): 1 when labels change along it no more than needed, 0 at chance.

    For quantities the share of their variance that neighbours along the feature explain.
    """
    x, y = rows.inputs, rows.targets
    if x is None or y is None or y.size != len(y) or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    return _told(x.tobytes(), x.shape, y.reshape(-1).tobytes(), y.dtype.str, classes)


def told_by_all(rows: Rows) -> float:
    """How targets correlate with what ridge regression on all other rows says of them; 0 where unknown.

    By the leverage of each row, which leaves it out (Allen 1974).
    """
    x, y = rows.inputs, rows.targets
    if x is None or y is None or y.size != len(y) or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return 0.0
    return _told_together(x.tobytes(), x.shape, y.reshape(-1).tobytes(), y.dtype.str, rows.integer)


def told_by_words(rows: Rows, but: int = -1, without: Collection[float] = ()) -> float:
    """The same of rows of words, by which words are there: at all places but one, or all but some words."""
    x, y = rows.inputs, rows.targets
    if x is None or y is None or y.size != len(y):
        return 0.0
    others = np.delete(x, but, axis=1) if but >= 0 else x
    words = [word for word in np.unique(others) if word not in without][:WORDS]
    there = np.stack([(others == word).any(1) for word in words], 1).astype(np.float32)
    return _told_together(there.tobytes(), there.shape, y.reshape(-1).tobytes(), y.dtype.str, rows.integer)


def telling_words(rows: Rows) -> dict[int, float]:
    """For each label a word that all its rows have, and no other row; nothing where a label has none."""
    x, y = rows.inputs, rows.targets
    if x is None or y is None or not (rows.tokens and rows.integer) or y.size != len(y):
        return {}
    return _telling(x.tobytes(), x.shape, y.reshape(-1).tobytes(), y.dtype.str)


@lru_cache(maxsize=4)
def _telling(data: bytes, shape: tuple[int, int], labels: bytes, kind: str) -> dict[int, float]:
    x, y = np.frombuffer(data, np.float32).reshape(shape), np.frombuffer(labels, np.dtype(kind))
    classes, sizes = np.unique(y, return_counts=True)
    if not 2 <= len(classes) <= CLASSES or sizes.min() < 5:
        return {}
    words = np.unique(x)[:WORDS]
    there = np.stack([(x == word).any(1) for word in words], 1)  # (N, W)
    found = {}
    for label in classes:
        own, others = there[y == label].mean(0), there[y != label].mean(0)
        best = int(np.argmax(own - others))
        if own[best] < ALWAYS or others[best] > 1 - ALWAYS:
            return {}
        found[int(label)] = float(words[best])
    return found


@lru_cache(maxsize=4)
def _told_together(data: bytes, shape: tuple[int, int], labels: bytes, kind: str, classes: bool) -> float:
    x, y = np.frombuffer(data, np.float32).reshape(shape).astype(float), np.frombuffer(labels, np.dtype(kind))
    spread = x.std(0)
    x = (x - x.mean(0))[:, spread > 1e-12] / spread[spread > 1e-12]
    values = np.unique(y)
    each = (
        (y[:, None] == values).astype(float)
        if classes and len(values) <= CLASSES
        else y[:, None].astype(float)
    )
    each -= each.mean(0)
    kernel = x @ x.T / max(x.shape[1], 1)
    hat = np.linalg.solve(kernel + np.eye(len(x)), kernel).T
    leverage = np.diag(hat)[:, None]
    said = (hat @ each - leverage * each) / (1 - leverage)
    return float(np.corrcoef(said.ravel(), each.ravel())[0, 1]) if said.std() and each.std() else 0.0


@lru_cache(maxsize=4)
def _told(data: bytes, shape: tuple[int, int], labels: bytes, kind: str, classes: bool) -> np.ndarray:
    x, y = np.frombuffer(data, np.float32).reshape(shape), np.frombuffer(labels, np.dtype(kind))
    mixed = np.random.default_rng(0).permutation(len(y))  # rows of equal value in no order of their labels
    ordered = y[mixed][np.argsort(x[mixed], axis=0, kind="stable")]
    lively = x.max(0) > x.min(0)
    if classes:
        return np.where(lively, _agreement(ordered, y), 0.0)
    variance = float(np.var(y))
    return (
        np.where(lively, 1 - np.diff(ordered, axis=0).var(0) / (2 * variance), 0.0)
        if variance
        else np.zeros(shape[1])
    )


def _agreement(ordered: np.ndarray, y: np.ndarray) -> np.ndarray:
    counts = np.unique(y, return_counts=True)[1]
    needed = (len(counts) - 1) / (len(y) - 1)
    expected = 1 - float(((counts / counts.sum()) ** 2).sum())
    changes = (ordered[1:] != ordered[:-1]).mean(0)
    return 1 - np.maximum(changes - needed, 0.0) / max(expected - needed, 1e-9)
