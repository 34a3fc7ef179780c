"""O: gradients, steps and rates."""

import math

import numpy as np

from didact.doctor.chart import Weight
from didact.doctor.course import Case, at_step
from didact.doctor.finding import Finding
from didact.doctor.rules.generalisation import too_regular
from didact.doctor.rules.layers import born_tiny
from didact.doctor.rules.preprocessing import drowned


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
    thrown = case.early_ratio > 20 * case.at.large_update and not case.good(0.8) and case.left > 0.4
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
        "learning rate": rate,
    }
    fix = f"lr={rate / 10:g}: a tenth of {rate:g}"
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
        "learning rate": rate,
    }
    return Finding("O01", "critical", evidence, fix=f"lr={rate / 10:g}: a tenth of {rate:g}")


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
        "learning rate": rate,
    }
    factor = 10.0 ** max(1, round(math.log10(2e-3 / max(case.ratio, 1e-9))))
    evidence["factor that would do"] = factor
    return Finding(
        "O02",
        "critical",
        evidence,
        fix=f"lr={rate * factor:g}: {factor:g} times {rate:g}",
        picture=_curve(case),
    )


def _standing_still(case: Case) -> Finding:
    """Two players that hardly move; what they make is what they made at the start."""
    rate = _rate(case)
    evidence = {
        "largest update over its weight": case.early_ratio,
        "healthy": f"{case.at.small_update:g} to {case.at.large_update:g}",
        "distance of two fakes over two real rows": case.spread,
        "learning rate": rate,
    }
    factor = 10.0 ** max(1, round(math.log10(1e-2 / max(case.early_ratio, 1e-9))))
    return Finding("O02", "critical", evidence, fix=f"lr={rate * factor:g}: {factor:g} times {rate:g}")


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


def never_zeroed(case: Case) -> Finding | None:
    """O05: at no backward between two updates were the gradients empty."""
    for index, (zeroed, kept) in case.chart.zeroing.items():
        if kept >= 5 and kept >= 10 * zeroed:
            evidence = {"updates with the gradients of those before": kept, "zeroed": zeroed}
            where = f"optimizer {index + 1}" if len(case.chart.zeroing) > 1 else ""
            return Finding("O05", "critical", evidence, where)
    return None


def not_in_optimizer(case: Case) -> Finding | None:
    """O06: parameters get a gradient and no optimizer has them; or no module does."""
    hidden = case.chart.counts.get("parameters of no module", 0)
    if hidden and case.chart.step >= 3:
        evidence = {"parameters that no module registers": hidden}
        fix = "keep layers in nn.ModuleList or nn.ModuleDict, not in a list or dict"
        return Finding("O06", "critical", evidence, fix=fix)
    left = [w for w in case.chart.weights if w.trainable and not w.in_optimizer and w.received >= 2]
    if left and case.chart.step >= 3:
        count = sum(w.in_optimizer for w in case.chart.weights)
        evidence = {
            "parameters left out": len(left),
            "in the optimizer": count,
            "of another model": case.chart.strangers,
        }
        return Finding("O06", "critical", evidence, ", ".join(w.name for w in left[:4]))
    return None


def vanishing(case: Case) -> Finding | None:
    """O07: the first layers hear almost nothing of the loss, until something is learned after all."""
    ordered, until = _in_order(case), _waited(case)
    late = 0.6 * case.updates < until < math.inf and not case.game and not case.good()
    if len(ordered) < 4 or not (case.stuck or late):
        return None
    shares = []
    for look in (look for look in case.chart.looks if look.step < min(until, case.at.early)):
        relative = [look.gradient[i] / max(look.weight[i], 1e-12) for i in ordered]
        if all(math.isfinite(r) for r in relative) and relative[-1] > 0:
            shares.append(max(relative[0], 1e-30) / relative[-1])
    low = [share for share in shares if share < case.at.vanished]
    if not shares or len(low) < 0.9 * len(shares):
        return None
    names = [case.chart.weights[i].name for i in ordered]
    last = case.chart.looks[-1]
    evidence = {
        "gradient of the first layer over the last": float(np.median(shares)),
        "healthy": f"above {case.at.vanished:g}",
        "layers": len(ordered),
    }
    picture = {
        "kind": "bars",
        "title": "gradient by depth",
        "values": {n: float(last.gradient[i]) for n, i in zip(names, ordered, strict=True)},
        "log": True,
    }
    return Finding("O07", "critical", evidence, names[0], picture=picture)


def _waited(case: Case) -> float:
    """Updates until the loss falls plainly below the cost of ignorance; infinity where it never does."""
    below = np.flatnonzero(case.smooth < case.at.stuck * case.baseline)
    return float(below[0]) if case.sure and len(below) else math.inf


def exploding(case: Case) -> Finding | None:
    """O08: numbers that are not finite, or gradients a hundred times their usual size."""
    counts, norms = case.chart.counts, [n for _, n in case.chart.norms]
    picture = {
        "kind": "curve",
        "title": "norm of the gradient",
        "points": [(s, n) for s, n in case.chart.norms if math.isfinite(n)],
        "log": True,
    }
    if counts.get("loss not finite") or counts.get("gradient not finite"):
        where = case.chart.where.get("weight not finite") or case.chart.where.get("gradient not finite", "")
        found = {"losses that are not finite": counts.get("loss not finite", 0), "updates": case.updates}
        suddenly = "clamp what goes into a log, a square root or a division: x.clamp(min=1e-6)"
        return Finding("O08", "critical", found, where, "" if case.rose else suddenly, picture=picture)
    told = [e.told["val loss"] for e in case.chart.epochs if "val loss" in e.told]
    if len(told) >= 3 and not any(map(math.isfinite, told)):
        fix = "look at what only validation meets: rows whose mask hides all of them, a log of 0"
        return Finding("O08", "critical", {"validation losses that are not finite": len(told)}, fix=fix)
    if len(norms) < 20:
        return None
    spikes = [
        n
        for k, n in enumerate(norms[10:], 10)
        if n > case.at.spike * float(np.median(norms[max(0, k - 50) : k]) + 1e-12)
    ]
    if len(spikes) < 3 or not (case.unstable or case.lost) or case.game or case.good(0.8):
        return None
    over = max(spikes) / float(np.median(norms))
    evidence = {"spikes": float(len(spikes)), "largest over the median": over}
    return Finding("O08", "critical", evidence, picture=picture)


def forgets(case: Case) -> Finding | None:
    """O09: the loss hears nothing of the first places of a sequence, and it does not learn."""
    by_place = case.chart.probes.get("memory")
    if not by_place or not (case.stuck or case.slow) or not case.chart.modules.get("recurrent"):
        return None
    if too_regular(case):
        return None
    thrown = case.rose and case.early_ratio > 5 * case.at.large_update
    if thrown or case.early_ratio < case.at.small_update:  # or never moved: not forgetful
        return None
    quarter = max(1, len(by_place) // 4)
    first, last = float(np.mean(by_place[:quarter])), float(np.mean(by_place[-quarter:]))
    reach = case.chart.probes.get("reach", 1.0)
    if case.stuck and reach < case.at.blind:  # of none of them, as of steps over padding
        deaf = {"the answer of a row moves with it by": reach, "places": len(by_place)}
        return Finding("O09", "critical", deaf)
    if last <= 0 or first / last >= case.at.forgotten or not case.chart.probes.get("answers last"):
        return None
    evidence = {
        "gradient at the first places over the last": first / last,
        "healthy": f"above {case.at.forgotten:g}",
        "places": len(by_place),
    }
    picture = {
        "kind": "curve",
        "title": "what the loss hears of each place",
        "points": list(enumerate(by_place)),
        "log": True,
    }
    return Finding("O09", "critical", evidence, picture=picture)


def detached(case: Case) -> Finding | None:
    """O10: layers ran, the optimizer has them, and no gradient ever came."""
    empty = not case.chart.backwards and case.chart.counts.get("gradient zero", 0) >= 3
    if empty and case.chart.step >= case.at.enough:
        updates = {"updates": case.chart.step, "backward passes": 0}
        return Finding("O10", "critical", updates, "the loss itself")
    cut = case.chart.counts.get("loss without a graph", 0)
    heard = any(weight.received for weight in case.chart.weights)
    if case.chart.counts.get("gradients gone before the step", 0) >= 3 and not heard:
        return None
    if cut >= 3:
        return Finding("O10", "critical", {"losses without a graph": cut}, "the loss itself")
    silent = [
        w
        for w in case.chart.weights
        if w.trainable and w.in_optimizer and w.used and not w.received and w.empty >= 3
    ]
    if not silent or case.chart.step < 3:
        return _cut_before_the_answer(case)
    evidence = {
        "parameters without a gradient": len(silent),
        "of": len(case.chart.weights),
        "looks": max(w.empty for w in silent),
    }
    return Finding("O10", "critical", evidence, ", ".join(w.name for w in silent[:4]))


def _cut_before_the_answer(case: Case) -> Finding | None:
    """The first layers hear a penalty alone: what the loss compares with the targets does not reach them."""
    unreached = set(case.chart.probes.get("unreached", ()))
    layers = [w for w in case.chart.weights if w.trainable and w.order >= 0]
    cut = [w for w in layers if w.name in unreached]
    first = min((w.order for w in layers if w.name not in unreached), default=-1)
    if not cut or not case.stuck or max(w.order for w in cut) > first or not any(w.received for w in cut):
        return None
    evidence = {"parameters that the loss of the answer does not reach": len(cut), "of": len(layers)}
    return Finding("O10", "critical", evidence, ", ".join(w.name for w in cut[:4]))


def clipped(case: Case) -> Finding | None:
    """O11: nearly every gradient is cut to a fraction of its length, and learning is slow."""
    found = case.chart.clipped
    thrown = case.rose and case.early_ratio > 0.5 * case.at.thrown  # by a rate that makes gradients long
    if len(found) < 10 or not (case.slow or not case.good()) or thrown:
        return None
    cut = [norm / limit for _, norm, limit in found if limit > 0 and norm > limit]
    if len(cut) < case.at.clip_share * len(found) or float(np.median(cut)) < case.at.clip_ratio:
        return None
    limit, usual = found[-1][2], float(np.quantile([norm for _, norm, _ in found], 0.9))
    evidence = {
        "share clipped": len(cut) / len(found),
        "median norm over the limit": float(np.median(cut)),
        "limit": limit,
        "90th percentile of the norms": usual,
    }
    return Finding(
        "O11",
        "critical",
        evidence,
        fix=f"clip at {usual:.2g}, the 90th percentile of the norms, not {limit:g}",
    )


def not_applied(case: Case) -> Finding | None:
    """O12: gradients came and the weights stayed as they were."""
    counts = case.chart.counts
    lost = counts.get("gradients lost", 0)
    still, moved = counts.get("updates that moved nothing", 0), counts.get("updates that moved", 0)
    by_hand = not case.chart.settings and not counts.get("optimizers built")
    if case.chart.step == 0 and (lost >= 5 or case.chart.backwards >= 100) and not by_hand:
        return Finding("O12", "critical", {"backward passes": case.chart.backwards, "updates": 0})
    if still >= 3 and not moved:
        return Finding("O12", "critical", {"updates that moved nothing": still})
    if (gone := counts.get("gradients gone before the step", 0)) >= 3 and not moved:
        fix = "optimizer.zero_grad() before loss.backward(), not between it and optimizer.step()"
        return Finding(
            "O12", "critical", {"updates whose gradients were put away before them": gone}, fix=fix
        )
    enough = case.at.enough if case.chart.finished else case.at.idle_for  # it may begin late
    if case.chart.idle and case.chart.step >= enough:
        where = f"optimizer {case.chart.idle[0] + 1} of {len(case.chart.settings)}"
        return Finding("O12", "critical", {"updates of the others": case.chart.step, "of this one": 0}, where)
    return None


def _in_order(case: Case) -> list[int]:
    """Positions of the trained matrices, in the order of the forward pass."""
    wide = [(w.order, i) for i, w in enumerate(case.chart.weights) if _is_layer(w)]
    return [i for _, i in sorted(wide)]


def _is_layer(weight: Weight) -> bool:
    return (
        weight.order >= 0
        and len(weight.shape) > 1
        and weight.kind in ("linear", "conv", "other")
        and weight.trainable
    )


def _rate(case: Case) -> float:
    return max((r for _, r in case.chart.rates if math.isfinite(r)), default=math.nan)


def _curve(case: Case) -> dict[str, object]:
    return {
        "kind": "curve",
        "title": "training loss",
        "points": [p for p in case.chart.losses if math.isfinite(p[1])][:2000],
    }
