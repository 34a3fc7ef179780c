"""Rows of words: what they tell of a label, and whether each label has a word of its own."""

# N rows, T places, W words

from collections.abc import Collection
from functools import lru_cache

import numpy as np

from didact.doctor.chart import Rows
from didact.doctor.rules.neighbours import CLASSES, told_together

WORDS = 2000  # that may be there or not


def words_there(x: np.ndarray, without: Collection[float] = ()) -> tuple[list[float], np.ndarray]:
    """The words of rows (N, T), and which of them each row has, (N, W) of zeros and ones."""
    words = [float(word) for word in np.unique(x) if word not in without][:WORDS]
    there = [(x == word).any(1) for word in words] or [np.zeros(len(x))]
    return words, np.stack(there, 1).astype(np.float32)


def told_by_words(rows: Rows, but: int = -1, without: Collection[float] = ()) -> float:
    """How targets correlate with what ridge regression on the other rows' words says of them.

    Args:
        rows: A sample of words.
        but: A place that is not asked.
        without: Words that are not asked.
    """
    x, y = rows.inputs, rows.targets
    if x is None or y is None or y.size != len(y):
        return 0.0
    _, there = words_there(np.delete(x, but, axis=1) if but >= 0 else x, without)
    return told_together(there.tobytes(), there.shape, y.reshape(-1).tobytes(), y.dtype.str, rows.integer)


def telling_words(rows: Rows, always: float) -> dict[int, float]:
    """For each label a word that ``always`` of its rows have, and hardly another row.

    Nothing where a label has none.
    """
    x, y = rows.inputs, rows.targets
    if x is None or y is None or not (rows.tokens and rows.integer) or y.size != len(y):
        return {}
    return _telling(x.tobytes(), x.shape, y.reshape(-1).tobytes(), y.dtype.str, always)


@lru_cache(maxsize=4)
def _telling(
    data: bytes, shape: tuple[int, int], labels: bytes, kind: str, always: float
) -> dict[int, float]:
    x, y = np.frombuffer(data, np.float32).reshape(shape), np.frombuffer(labels, np.dtype(kind))
    classes, sizes = np.unique(y, return_counts=True)
    if not 2 <= len(classes) <= CLASSES or sizes.min() < 5:
        return {}
    words, there = words_there(x)
    found = {}
    for label in classes:
        own, others = there[y == label].mean(0), there[y != label].mean(0)
        best = int(np.argmax(own - others))
        if own[best] < always or others[best] > 1 - always:
            return {}
        found[int(label)] = words[best]
    return found
