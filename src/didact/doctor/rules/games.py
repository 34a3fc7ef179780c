"""G: two networks that play with each other, and latent axes that say nothing."""

import math

import numpy as np

from didact.doctor.chart import Series
from didact.doctor.course import Case
from didact.doctor.finding import Finding


def collapse(case: Case) -> Finding | None:
    """G01: generated samples are far closer to each other than real ones."""
    fakes, reals = (case.chart.rivals.get(name, []) for name in ("fakes", "reals"))
    if len(fakes) < 10 or len(reals) < 5 or case.chart.step < 200:
        return None
    if not case.spread <= case.at.collapsed:  # the median: it is wide while it hops to another mode
        return None
    real = float(np.mean([v for _, v in reals]))
    evidence = {
        "distance of two fakes over two real rows": case.spread,
        "healthy": f"above {case.at.collapsed}",
    }
    picture = {
        "kind": "curve",
        "title": "spread of the fakes over the reals",
        "points": [(s, v / real) for s, v in fakes],
    }
    return Finding("G01", "critical", evidence, picture=picture)


def overpowers(case: Case) -> Finding | None:
    """G02: the discriminator is always right."""
    fakes, reals = (case.chart.rivals.get(name, []) for name in ("fakes believed", "reals believed"))
    if len(fakes) < 10 or len(reals) < 5 or case.chart.step < 100:
        return None
    if (found := _without_bound(case)) is not None:
        return found
    spread = [v for _, v in case.chart.rivals.get("fakes", [])]
    if max(spread, default=1.0) < 0.05 * float(np.mean([v for _, v in case.chart.rivals["reals"]])):
        return None  # one sample for every noise, from the start: nothing to overpower
    looks = min(len(fakes), len(reals))
    right = np.array([(1 - f + r) / 2 for (_, f), (_, r) in zip(fakes[-looks:], reals[-looks:], strict=True)])
    always = float((np.convolve(right, np.ones(4) / 4, "valid") >= case.at.judge).mean())
    least = min((_least(series) for series in case.chart.by_group.values()), default=math.inf)
    if always < 0.5 or least > case.at.certain:
        return None
    evidence = {
        "share of the game in which the discriminator is right": always,
        "smallest loss of a player over an eighth of it": least,
        "healthy": f"below 0.5, above {case.at.certain}",
    }
    return Finding("G02", "critical", evidence)


def _without_bound(case: Case) -> Finding | None:
    """A critic whose losses only grow: nothing keeps its slope."""
    if not case.game:
        return None
    halves = [np.abs([v for _, v in series])[len(series) // 2 :] for series in case.chart.by_group.values()]
    largest = max((float(np.median(half)) for half in halves if len(half)), default=0.0)
    if not largest > case.at.runaway:
        return None
    evidence = {"median size of a player's loss in the second half": largest, "at the start": abs(case.first)}
    fix = "keep the critic's slope: a gradient penalty, spectral norm, or clipped weights"
    return Finding("G02", "critical", evidence, fix=fix)


def _least(series: Series) -> float:
    """The smallest mean loss of an eighth of the run, after the first."""
    parts = np.array_split(np.array([value for _, value in series]), 8)[1:]
    return min(abs(float(part.mean())) for part in parts if len(part)) if len(series) > 16 else math.inf


def unused_latent(case: Case) -> Finding | None:
    """G03: the latent axes say nothing of the input."""
    last = [share for step, share in case.chart.latent if step >= 0.4 * case.chart.step][-5:]
    silent = any(a.dead[-1][1] > case.at.all_dead for a in case.chart.activations if a.dead)
    if case.chart.step < 100 or len(last) < 2 or silent:
        return None
    usual = float(np.median(last))
    if usual < case.at.unused:
        return None
    evidence = {"share of latent axes without information": usual, "healthy": f"below {case.at.unused:g}"}
    return Finding("G03", "critical", evidence)
