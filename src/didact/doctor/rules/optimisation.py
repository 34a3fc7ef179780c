"""O05 to O12: gradients and steps."""

import math

import numpy as np

from didact.doctor.chart import Weight
from didact.doctor.course import Case
from didact.doctor.finding import Finding
from didact.doctor.rules.generalisation import too_regular

FEW_LAYERS = 4  # of which the first may hear too little of the loss


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
    if len(ordered) < FEW_LAYERS or not (case.stuck or late):
        return None
    shares = []
    for look in (look for look in case.chart.looks if look.step < min(until, case.at.early)):
        relative = [look.gradient[i] / max(look.weight[i], 1e-12) for i in ordered]
        if all(math.isfinite(r) for r in relative) and relative[-1] > 0:
            shares.append(max(relative[0], 1e-30) / relative[-1])
    low = [share for share in shares if share < case.at.vanished]
    if not shares or len(low) < 0.9 * len(shares):
        return _fading(case)
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


def _fading(case: Case) -> Finding | None:
    """Each layer makes rows more alike than the one before, as torch's own weights do in a deep plain stack.

    Every gradient is small then, beside its weight, and not the first layer's alone; and updates are as small
    as the gradients make them. An optimizer that divides by their size makes up for it.
    """
    looks, ordered = case.chart.looks[:12], _in_order(case)
    relative = [look.gradient[i] / max(look.weight[i], 1e-12) for look in looks for i in ordered]
    usual = float(np.median(relative)) if relative else math.nan
    rate = max((value for _, value in case.chart.rates[:50]), default=math.nan)
    if not (usual < case.at.faint and case.ratio < min(20 * rate * usual, case.at.small_update)):
        return None
    told = [w for w in case.chart.weights if w.order >= 0 and math.isfinite(w.varies)]
    told.sort(key=lambda weight: weight.order)
    if len(told) < FEW_LAYERS or not told[0].varies > 0:
        return None
    left = told[-1].varies / told[0].varies
    if left > case.at.faded:
        return None
    evidence = {
        "what rows differ by after the last layer, over after the first": left,
        "healthy": f"above {case.at.faded:g}",
        "gradient over its weight": usual,
        "layers": len(told),
    }
    picture = {
        "kind": "bars",
        "title": "what rows differ by, by depth",
        "values": {weight.name: weight.varies for weight in told},
        "log": True,
    }
    return Finding("O07", "critical", evidence, told[-1].name, picture=picture)


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
    silent = any(a.dead and min(share for _, share in a.dead) == 1 for a in case.chart.activations)
    if (gone := counts.get("gradients gone before the step", 0)) >= 3 and not moved and not silent:
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
