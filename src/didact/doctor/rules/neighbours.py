"""A sample of the training rows: do neighbours share their labels, and does one feature tell them all?

The answers depend on the sample alone and are remembered, since rules are asked again and again.
"""

# N rows, F features, K neighbours

from functools import lru_cache

import numpy as np

from didact.doctor.chart import Rows

K = 5
FEWEST = 60
MOST = 64  # quantities of a row
CLASSES = 20  # that are told apart by one line each


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
    return nearest(x.tobytes(), x.shape, y.tobytes(), y.dtype.str)


def first_of_each(x: np.ndarray, axis: int = 0) -> np.ndarray:
    """Where each different row, or column, stands first, in order."""
    return _first_of_each(x.tobytes(), x.shape, axis)


@lru_cache(maxsize=4)
def _first_of_each(data: bytes, shape: tuple[int, int], axis: int) -> np.ndarray:
    return np.sort(np.unique(np.frombuffer(data, np.float32).reshape(shape), axis=axis, return_index=True)[1])


@lru_cache(maxsize=8)
def nearest(data: bytes, shape: tuple[int, int], labels: bytes, kind: str) -> np.ndarray:
    """Targets of the nearest K other rows of each, (N, K) or (N, K, D); rows and targets come as bytes."""
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
    return _nearest_first(rows, rows.late[0]) if rows.late else None


def held_neighbours(rows: Rows) -> np.ndarray | None:
    """The same for each row of a validation."""
    return _nearest_first(rows, rows.held[0]) if rows.held and len(rows.held[0]) else None


def _nearest_first(rows: Rows, others: np.ndarray) -> np.ndarray | None:
    x, y = rows.inputs, rows.targets
    if x is None or y is None or rows.tokens or len(x) < FEWEST or y.size != len(y):
        return None
    spread = x.std(0)
    lively = spread > 1e-12
    first, last = ((part[:, lively] - x.mean(0)[lively]) / spread[lively] for part in (x, others))
    if not (np.isfinite(first).all() and np.isfinite(last).all()):
        return None
    distance = (last**2).sum(1)[:, None] + (first**2).sum(1) - 2 * last @ first.T
    return y.reshape(-1)[np.argpartition(distance, K, axis=1)[:, :K]]


def ranks(y: np.ndarray) -> np.ndarray:
    """Places in order, (N,); what is equal shares the mean of its places."""
    _, at, times = np.unique(y, return_inverse=True, return_counts=True)
    shared: np.ndarray = (times.cumsum() - (times - 1) / 2)[at].astype(np.float32)
    return shared


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
    return told_together(x.tobytes(), x.shape, y.reshape(-1).tobytes(), y.dtype.str, rows.integer)


@lru_cache(maxsize=4)
def told_together(data: bytes, shape: tuple[int, int], labels: bytes, kind: str, classes: bool) -> float:
    """How targets correlate with what ridge regression on all other rows says; both come as bytes."""
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
