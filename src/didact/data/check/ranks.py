"""Statistics by ranks, which ask nothing of how numbers are distributed."""

from math import erfc, sqrt

import numpy as np


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing their mean: (N,) to (N,).

    Example:
        >>> ranks(np.array([10.0, 20.0, 20.0, 30.0])).tolist()
        [1.0, 2.5, 2.5, 4.0]
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)


def auc(first: np.ndarray, second: np.ndarray) -> float:
    """The chance that a number of the second group is larger than one of the first; ties count half."""
    order = ranks(np.concatenate([first, second]))
    above = order[len(first) :].sum() - len(second) * (len(second) + 1) / 2
    return float(above / (len(first) * len(second)))


def rank_z(first: np.ndarray, second: np.ndarray) -> float:
    """Mann and Whitney's test: how many standard errors the AUC lies from one half, ties corrected."""
    n, m = len(first), len(second)
    _, counts = np.unique(np.concatenate([first, second]), return_counts=True)
    together = n + m
    ties = float((counts.astype(np.float64) ** 3 - counts).sum()) / (together * max(together - 1, 1))
    variance = (together + 1 - ties) / (12 * n * m)
    return (auc(first, second) - 0.5) / sqrt(variance) if variance > 1e-15 else 0.0


def two_sided(z: float) -> float:
    """The chance of a normal number at least so far from 0."""
    return erfc(abs(z) / sqrt(2))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation; 0 where one does not vary."""
    a, b = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0


def chi_square_z(first: np.ndarray, second: np.ndarray) -> float:
    """Whether two rows of counts share their proportions, as a normal number (Wilson and Hilferty 1931)."""
    table = np.stack([first, second]).astype(np.float64)
    table = table[:, table.sum(0) > 0]
    freedom = table.shape[1] - 1
    if freedom < 1 or not table.sum(1).all():
        return 0.0
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    chi = float(((table - expected) ** 2 / expected).sum())
    spread = 2 / (9 * freedom)
    return ((chi / freedom) ** (1 / 3) - (1 - spread)) / sqrt(spread)
