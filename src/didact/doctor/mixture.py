"""A loss that is a sum of several known ones, as of boxes and kinds: how much of each is in it."""

# N looks, K losses

import math
from collections.abc import Mapping

import numpy as np

from didact.doctor.chart import Chart

FEWEST = 5  # looks more than losses
EXACT = 0.02  # of what is descended, that may be left unexplained


def weights_of(chart: Chart) -> dict[str, float]:
    """How many times the mean of each known loss is in what is descended, by kind.

    Returns:
        Nothing where a single loss is descended, or something unknown has a part in it.
    """
    known = {kind: p for kind, p in chart.pairings.items() if kind != "other" and p.costs}
    if not known or chart.counts.get("losses of several parts", 0) < 3:
        return {}
    whole = dict(chart.losses)
    steps = sorted(set.intersection(*({step for step, _ in p.costs} for p in known.values())) & whole.keys())
    often = {kind: len(p.costs) / len({step for step, _ in p.costs}) for kind, p in known.items()}
    if sum(often.values()) < 2 or len(steps) < len(known) + FEWEST:
        return {}
    sums: dict[str, dict[int, float]] = {kind: {} for kind in known}
    for kind, pairing in known.items():
        for step, cost in pairing.costs:
            sums[kind][step] = sums[kind].get(step, 0.0) + cost
    parts = np.array([[sums[kind][step] for kind in known] for step in steps])  # (N, K)
    total = np.array([whole[step] for step in steps])
    if not (np.isfinite(parts).all() and np.isfinite(total).all() and total.all()):
        return {}
    times = np.linalg.lstsq(parts / total[:, None], np.ones(len(total)), rcond=None)[0]
    left = np.abs(parts @ times / total - 1)
    if not (times > 0).all() or not float(np.median(left)) < EXACT:
        return {}
    return {kind: float(each) * often[kind] for kind, each in zip(known, times, strict=True)}


def mixed(weights: Mapping[str, float], means: Mapping[str, float]) -> float:
    """What the sum comes to, from the mean of each; NaN where one of them is not known."""
    return sum(times * means.get(kind, math.nan) for kind, times in weights.items())
