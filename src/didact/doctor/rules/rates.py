"""O01 to O04: how large the steps are."""

import math

import numpy as np

from didact.doctor.course import Case, at_step
from didact.doctor.finding import Finding
from didact.doctor.rules.layers import born_tiny
from didact.doctor.rules.preprocessing import drowned

FEW = 10  # updates; through fewer no line is drawn
USUAL = 5e-3  # of its weight, that an update of a run that learns is


def rate_too_high(case: Case) -> Finding | None:
    """O01: the loss rises early, or updates are as large as weights, and it does not recover."""
    if case.updates < 10:
        return None
    if case.game:
        return _thrown_game(case)
    if case.early_ratio < case.at.small_update or drowned(case):
        return None
    large = case.early_ratio > case.at.large_update
    if born_tiny(case) and not case.rose:
        return None
    if case.broken and case.sure and case.first > 100 * case.baseline:  # it was so before the first update
        return None
    dead = max((a.dead[0][1] for a in case.chart.activations if a.dead), default=0.0)
    if dead > case.at.dead and not large:
        return None
    died = max((a.dead[-1][1] for a in case.chart.activations if a.dead), default=0.0)
    killed = case.stuck and case.early_ratio > 2 * case.at.large_update  # what was alive, by its first steps
    if dead < case.at.dead < died and (killed or case.ratio > case.at.large_update) and not case.good(0.8):
        return _too_high(case)
    wild = case.ratio > case.at.large_update and not case.good(0.8)  # from first to last
    bad = case.broken or case.left > 0.7 or case.lost or ((case.rose or wild) and case.left > 0.55)
    fine = case.good(0.8) and not case.partly  # of the loss that is known
    thrown = case.early_ratio > 20 * case.at.large_update and not fine and case.left > 0.4
    far = case.rose and case.early_ratio > case.at.thrown and not case.good() and case.left > 0.3
    bad, large = bad or thrown or far, large or thrown
    far_enough = large and case.early_ratio > 4 * case.at.large_update
    pushed = case.early_ratio > case.at.thrown if case.broken else far_enough and _kept_up(case)
    return _too_high(case) if bad and (case.rose or pushed) else None


def perhaps_too_high(case: Case) -> Finding | None:
    """O01: updates are somewhat large and little is learned, which may have many causes; asked last."""
    if case.game or case.broken or born_tiny(case) or not case.left > 0.7:
        return None
    untried = case.none_the_wiser and "by heart" not in case.chart.probes
    large = case.early_ratio > case.at.large_update
    return _too_high(case) if large and _kept_up(case) and not untried else None


def _kept_up(case: Case) -> bool:
    """Updates stay large, and nothing more is learned; of one layer alone the loss would have risen."""
    large = case.ratio > case.at.large_update / 3 or case.early_ratio > case.at.thrown
    return large and case.chart.modules.get("weighty", 2) > 1 and case.long_enough and not case.still_learning


def _too_high(case: Case) -> Finding:
    rate = _rate(case)
    evidence = {
        "highest loss over the first": float(case.smooth.max() / case.first) if case.first else math.nan,
        "largest update over its weight": case.early_ratio,
        "healthy": f"below {case.at.large_update:g}",
        **_told(rate),
    }
    fix = _another(rate, 0.1, "a tenth of")
    return Finding("O01", "critical", evidence, fix=fix, picture=_curve(case))


def _thrown_game(case: Case) -> Finding | None:
    """Two players of which one was thrown far from where it began, and what they make shows it."""
    if not case.early_ratio > case.at.thrown or not (case.spread <= 0.7 or case.spread >= 1.5):
        return None
    rate = _rate(case)
    evidence = {
        "largest update over its weight": case.early_ratio,
        "healthy": f"below {case.at.large_update:g}",
        "distance of two fakes over two real rows": case.spread,
        **_told(rate),
    }
    return Finding("O01", "critical", evidence, fix=_another(rate, 0.1, "a tenth of"))


def rate_too_low(case: Case) -> Finding | None:
    """O02: updates are tiny beside their weights and the loss hardly falls."""
    if case.game and case.long_enough and case.early_ratio < case.at.small_update and case.spread <= 0.7:
        return _standing_still(case)
    small = case.at.small_update if case.stuck else case.at.tiny_update
    if case.game or case.broken or not case.long_enough or not case.ratio < small:
        return None
    dead = max((a.dead[-1][1] for a in case.chart.activations if a.dead), default=0.0)
    if dead > case.at.all_dead:
        return None
    after = at_step(case.chart.losses, min(100, case.updates - 1))
    if after < 0.7 * case.first or case.left < 0.6:
        return None
    rate = _rate(case)
    evidence = {
        "median update over its weight": case.ratio,
        "healthy": f"{small:g} to 0.01",
        "loss after 100 updates over the first": after / case.first,
        **_told(rate),
    }
    factor = 10.0 ** max(1, round(math.log10(USUAL / max(case.ratio, 1e-9))))
    evidence["factor that would do"] = factor
    return Finding(
        "O02",
        "critical",
        evidence,
        fix=_another(rate, factor, f"{factor:g} times"),
        picture=_curve(case),
    )


def on_its_way(case: Case) -> Finding | None:
    """O02: nothing else is found; updates are small, and what they bring has not become less."""
    if case.game or case.broken or not case.long_enough or not case.ratio < 2 * case.at.small_update:
        return None
    rates = dict(case.chart.rates)
    steps, losses = np.array([pair for pair in case.chart.losses if pair[0] in rates], float).T
    way = np.cumsum([max(rates[step], 0.0) for step in steps])
    least = case.at.far_in_words if case.chart.rows.tokens else case.at.far_from_done
    if not case.left > least or not way[-1] > 0 or case.lost:
        return None
    if len(case.val_losses) > 2 and case.val_losses[-1] > 1.02 * min(case.val_losses):
        return None
    way /= way[-1]
    slopes = []
    for at in ((way > 1 / 3) & (way <= 2 / 3), way > 2 / 3):
        slope, error = _slope(way[at], losses[at])
        if not slope < -3 * error:
            return None
        slopes.append(slope)
    if slopes[1] > case.at.as_fast * slopes[0]:
        return None
    rate = _rate(case)
    evidence = {
        "median update over its weight": case.ratio,
        "fall of the loss in the last third of the way over the third before": slopes[1] / slopes[0],
        "left of ignorance": case.left,
        **_told(rate),
    }
    fix = f"train longer, or {_another(rate, 10, 'ten times')}"
    return Finding("O02", "warning", evidence, fix=fix, picture=_curve(case))


def _standing_still(case: Case) -> Finding:
    """Two players that hardly move; what they make is what they made at the start."""
    rate = _rate(case)
    evidence = {
        "largest update over its weight": case.early_ratio,
        "healthy": f"{case.at.small_update:g} to {case.at.large_update:g}",
        "distance of two fakes over two real rows": case.spread,
        **_told(rate),
    }
    factor = 10.0 ** max(1, round(math.log10(1e-2 / max(case.early_ratio, 1e-9))))
    return Finding("O02", "critical", evidence, fix=_another(rate, factor, f"{factor:g} times"))


def odd_settings(case: Case) -> Finding | None:
    """O03: momentum, betas or epsilon far from what everybody uses."""
    for settings in case.chart.settings:
        betas = settings.get("betas") or (0.0, 0.0)
        odd = {
            "momentum": settings.get("momentum", 0) >= 0.99,
            "eps": settings.get("eps", 0) > 1e-3,
            "betas": betas[0] >= 0.99 or 0 < betas[1] < 0.8,
        }
        names = [name for name, is_odd in odd.items() if is_odd]
        if names:
            off = case.spread < 0.5 or case.spread > 2
            symptom = off if case.game else case.slow or case.unstable or not case.good(0.5)
            return Finding("O03", "warning" if symptom else "hint", {name: settings[name] for name in names})
    return None


def schedule(case: Case) -> Finding | None:
    """O04: the rate is gone before the run has learned, or climbs without end."""
    first = {step for step, _ in case.chart.by_group.get(0, [])} if case.game else None  # of two players
    rates = [r for s, r in case.chart.rates if math.isfinite(r) and (first is None or s in first)]
    if len(rates) < 20:
        return None
    peak = int(np.argmax(rates))
    gone = next((k for k in range(peak, len(rates)) if rates[k] < case.at.rate_gone * rates[peak]), None)
    picture = {
        "kind": "curve",
        "title": "learning rate",
        "points": list(enumerate(rates))[:: max(1, len(rates) // 400)],
        "log": True,
    }
    if gone is not None and gone - peak < case.at.rate_early * len(rates) and case.left > 0.25:
        evidence = {
            "updates until a hundredth of its peak": gone - peak,
            "updates in all": len(rates),
            "loss left of ignorance": case.left,
        }
        return Finding("O04", "critical", evidence, picture=picture)
    rising = (
        rates[-1] > 10 * rates[0] and rates[-1] == max(rates) and rates[len(rates) // 2] < 0.9 * rates[-1]
    )
    if rising and (case.unstable or case.lost or case.slow):
        return Finding(
            "O04", "critical", {"rate at the start": rates[0], "at the end": rates[-1]}, picture=picture
        )
    return None


def _rate(case: Case) -> float:
    return max((r for _, r in case.chart.rates if math.isfinite(r)), default=math.nan)


def _told(rate: float) -> dict[str, float]:
    """Of the evidence; a loop that moves its weights by hand does not tell its rate."""
    return {"learning rate": rate} if math.isfinite(rate) else {}


def _another(rate: float, factor: float, words: str) -> str:
    """The fix: another rate."""
    return f"lr={rate * factor:g}: {words} {rate:g}" if math.isfinite(rate) else f"{words} the rate"


def _slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Of the line through points, and its standard error; NaN of too few."""
    if len(x) < FEW or not np.ptp(x):
        return math.nan, math.nan
    line, errors = np.polyfit(x, y, 1, cov=True)
    return float(line[0]), math.sqrt(errors[0, 0])


def _curve(case: Case) -> dict[str, object]:
    return {
        "kind": "curve",
        "title": "training loss",
        "points": [p for p in case.chart.losses if math.isfinite(p[1])][:2000],
    }
