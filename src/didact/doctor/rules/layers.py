"""A and I: what the network is made of, and the weights it starts from."""

import math
from collections.abc import Sequence

from didact.doctor.chart import Series, Weight
from didact.doctor.course import Case
from didact.doctor.finding import Finding

CLASSIFYING = ("cross_entropy", "nll", "bce", "bce_logits")
WEIGHTY = ("linear", "conv", "recurrent")


def saturated(case: Case) -> Finding | None:
    """A01: most of a hidden layer sits where its activation is flat, and little is learned."""
    flat = [(a, _late(a.saturated)) for a in case.chart.activations if a.saturated and not a.last]
    if not flat or not (case.slow or case.broken or _worse_than_needed(case)):
        return None
    worst, share = max(flat, key=lambda pair: pair[1])
    driven = worst.saturated[0][1] < case.at.saturated and (
        case.rose or case.early_ratio > case.at.large_update
    )
    if share <= case.at.saturated or driven:  # by updates that are too large
        return None
    evidence = {
        "share beyond the steep part": share,
        "at the start": worst.saturated[0][1],
        "healthy": "below 0.5",
    }
    picture = {"kind": "curve", "title": f"saturated share after {worst.after}", "points": worst.saturated}
    return Finding("A01", "critical", evidence, f"{worst.kind} after {worst.after}", picture=picture)


def _late(series: Series) -> float:
    last = [value for _, value in series[-5:]]
    return sum(last) / len(last)


def _worse_than_needed(case: Case) -> bool:
    known = case.sure or math.isfinite(case.val_accuracy)
    fits = case.accuracy > 0.95 or case.left < 0.1  # training lacks nothing
    return case.long_enough and not case.game and known and not case.good() and not fits


def _imperfect(case: Case) -> bool:
    """There is something left to learn."""
    known = case.val_accuracy if math.isfinite(case.val_accuracy) else case.accuracy
    lacking = known < 0.9 if math.isfinite(known) else case.slow or (not case.classes and case.left > 0.3)
    return case.long_enough and not case.game and lacking


def dead(case: Case) -> Finding | None:
    """A02: units that fire for no row, many of them from the first, or a whole layer."""
    return _silent(case, from_the_first=True)


def died(case: Case) -> Finding | None:
    """A02: nothing else is found; units that fired no longer do."""
    return _silent(case, from_the_first=False)


def _silent(case: Case, from_the_first: bool) -> Finding | None:
    known = [(a, a.dead[-1][1]) for a in case.chart.activations if a.dead and a.units > 1]
    if from_the_first:
        known = [(a, share) for a, share in known if a.dead[0][1] >= case.at.dead or share == 1]
    if not known:
        return None
    worst, share = max(known, key=lambda pair: pair[1])
    silent = share > case.at.all_dead and (case.slow or case.broken or share == 1)
    to_spare = not from_the_first and case.left < 0.5  # it has learned something all the same
    many = case.at.mostly_dead if to_spare else case.at.dead
    if not silent and (share <= many or not (case.slow or _worse_than_needed(case))):
        return None
    evidence = {
        "units that never fire": share,
        "when first measured": worst.dead[0][1],
        "healthy": "below 0.2",
        "units": worst.units,
    }
    picture = {
        "kind": "bars",
        "title": f"rows that fire, by unit, after {worst.after}",
        "values": {str(k): v for k, v in enumerate(worst.alive[:64])},
    }
    return Finding("A02", "critical", evidence, f"{worst.kind} after {worst.after}", picture=picture)


def linear(case: Case) -> Finding | None:
    """A03: f(a + b) - f(a) - f(b) + f(0) is nothing."""
    bend = case.chart.probes.get("bend")
    pooled = bend is not None and bend >= case.at.straight  # then by pools that take the largest, if at all
    bend = case.chart.probes.get("bend but for pools") if pooled else bend
    least = 3 if pooled else 2
    if bend is None or bend >= case.at.straight or case.chart.modules.get("weighty", 0) < least:
        return None
    if case.chart.modules.get("recurrent") or case.chart.modules.get("attention"):  # which bend by themselves
        return None
    if constant(case):  # units that are all the same are all on one side of their kink
        return None
    evidence = {"distance from one affine map": bend, "healthy": f"above {case.at.straight:g}"}
    evidence |= {"layers with weights": case.chart.modules["weighty"]}
    evidence |= {"pools": "by the mean; nothing else bends it"} if pooled else {}
    return Finding("A03", "critical", evidence)


def mixing(case: Case) -> Finding | None:
    """A04: another row of the batch changes the answer."""
    moved = case.chart.probes.get("mixing")
    deaf = case.chart.probes.get("reach", 1.0) < 1e-9 and constant(case) is None
    if deaf and case.chart.modules.get("attention") and case.stuck:
        evidence = {"the answer of a row moves with it by": case.chart.probes["reach"]}
        return Finding("A04", "critical", evidence, "attention, over the rows in place of the places")
    if moved is None or moved <= (case.at.hardly_mixed if case.stuck else case.at.mixed):
        return None
    return Finding("A04", "critical", {"answers of other rows move by": moved, "healthy": 0.0})


def sees_future(case: Case) -> Finding | None:
    """A05: a later token changes an earlier answer, and the target is the next token."""
    moved = case.chart.probes.get("future")
    if moved is None or moved <= case.at.mixed:
        return None
    return Finding("A05", "critical", {"earlier answers move by": moved, "healthy": 0.0})


def order_blind(case: Case) -> Finding | None:
    """A06: shuffling the places of a sequence changes nothing, and it does not learn."""
    moved = case.chart.probes.get("order")
    if case.chart.probes.get("reach", 1.0) < case.at.blind:  # it is blind to everything
        return None
    still = any(w.constant and w.trainable for w in case.chart.weights)  # what is all zero cannot tell
    language = case.chart.rows.shifted == 1  # that is nothing without its order
    meant = case.chart.rows.tokens and not case.chart.modules.get("attention")  # a bag of words
    spoiled = language or (not meant and _imperfect(case))
    if moved is None or moved >= case.at.blind or still or not spoiled:
        return _without_places(case)
    return Finding("A06", "critical", {"the answer moves by": moved, "when the places are shuffled": "yes"})


def _without_places(case: Case) -> Finding | None:
    """The vectors of places are never added, which is told first; a picture has an order all the same."""
    idle = _unused_places(case)
    if idle is None or not _imperfect(case):
        return None
    return Finding("A06", "hint", {"places that are never added": idle.shape[-2]}, idle.name)


def _unused_places(case: Case) -> Weight | None:
    """A vector for each place, as wide as what attention takes, that no forward pass ever read."""
    wide = {w.shape[1] for w in case.chart.weights if len(w.shape) == 2 and w.shape[0] == 3 * w.shape[1]}
    if not case.chart.modules.get("attention") or never_used(case) is None:
        return None
    idle = [w for w in case.chart.weights if w.trainable and not w.used and w.kind in ("other", "embedding")]
    shaped = [w for w in idle if len(w.shape) > 1 and w.shape[-1] in wide and w.shape[-2] > 1]
    return next((w for w in shaped if math.prod(w.shape) == w.shape[-1] * w.shape[-2]), None)


def bag_of_words(case: Case) -> Finding | None:
    """A06: the same for words, which is often meant: only where a run has no other cause to know little.

    It is stuck, or as sure of its wrong answers as of the right ones: the same words in another order.
    """
    moved, sure = case.chart.probes.get("order"), case.sureness < case.at.unsure and not case.good()
    if moved is None or moved >= case.at.blind or not case.chart.rows.tokens or not (case.stuck or sure):
        return None
    return Finding("A06", "critical", {"the answer moves by": moved, "when the places are shuffled": "yes"})


def too_small(case: Case) -> Finding | None:
    """A07: training got stuck far from the end, and a layer is narrower than the answers need."""
    known = [w for w in _trained(case) if w.order >= 0 and w.kind in (*WEIGHTY, "embedding")]
    last = max(known, key=lambda weight: weight.order, default=None)
    hidden = [w for w in known if last and w.order < last.order and _handed_on(w, known)]
    hidden = [w for w in hidden if not _is_offset(w, known)]
    if not hidden or not case.long_enough or case.game or not 0.25 <= case.left <= 1.1:
        return None
    least = min(hidden, key=_width)
    nearly = 0.93 if _width(least) > 1 else 0.9
    flat = len(case.smooth) > 60 and case.end > nearly * case.smooth[-len(case.smooth) // 4 :].mean()
    enough = max(2, math.ceil(math.log2(case.classes))) if case.classes > 2 else 1
    if _width(least) > enough or not flat:
        return None
    evidence = {
        "width": _width(least),
        "classes": case.classes,
        "training loss left of ignorance": case.left,
    }
    return Finding(
        "A07",
        "warning",
        evidence,
        least.name,
        fix=f"widen {least.name}: {_width(least)} cannot carry what {case.classes or 'the'} answers need",
    )


def cannot_learn_a_batch(case: Case) -> Finding | None:
    """A07: nothing else is found, and not even one batch is learned by heart."""
    left = case.chart.probes.get("by heart")
    if left is None or not case.none_the_wiser or not left > case.at.by_heart * case.baseline:
        return None
    evidence = {
        "loss of one batch after a hundred steps on it alone": left,
        "ignorance costs": case.baseline,
        "healthy": f"below {case.at.by_heart:g} of that",
    }
    return Finding("A07", "warning", evidence)


def _width(weight: Weight) -> int:
    """Numbers that a layer hands on; of a recurrent one its state, as far as a weight tells."""
    gates = weight.shape[0] // weight.shape[1] if weight.shape[0] % weight.shape[1] == 0 else 0
    state = weight.kind == "recurrent" and gates in (1, 3, 4)
    return weight.shape[1] if state or weight.kind == "embedding" else weight.shape[0]


def _handed_on(weight: Weight, known: Sequence[Weight]) -> bool:
    """Whether a later layer takes as many numbers as this one gives: a head is no neck."""
    if weight.kind in ("embedding", "recurrent"):
        return True
    return any(v.shape[1] == weight.shape[0] for v in known if v.order > weight.order)


def _is_offset(weight: Weight, known: Sequence[Weight]) -> bool:
    """One number for each name, beside several for the same names."""
    same = [v for v in known if v.kind == "embedding" and v.shape[0] == weight.shape[0]]
    return weight.kind == "embedding" and weight.shape[1] == 1 and any(v.shape[1] > 1 for v in same)


def never_used(case: Case) -> Finding | None:
    """A08: no forward pass ever read it."""
    if not any(w.order >= 0 for w in case.chart.weights):
        return None
    idle = [w for w in case.chart.weights if w.trainable and not w.used and not w.received and w.empty >= 3]
    return (
        Finding("A08", "warning", {"parameters": len(idle)}, ", ".join(w.name for w in idle[:4]))
        if idle
        else None
    )


def constant(case: Case) -> Finding | None:
    """I01: all units of a layer started alike and still are."""
    layers = [w for w in _trained(case) if w.kind in (*WEIGHTY, "other") and w.shape[0] > 1]
    last = max(reversed(layers), key=lambda w: w.order, default=None)
    alike = [w for w in layers if w.still_twins and not _beside_another(w, layers)]
    born = [w for w in layers if w.constant and w is not last and not _beside_another(w, layers)]
    all_of_them = len(born) >= len(layers) - 1  # but for the last, which may well begin at zero
    alike = alike or (born if all_of_them or (len(born) > len(layers) / 2 - 1 and case.slow) else [])
    if not alike or not case.long_enough:
        return None
    first = alike[0]
    evidence = {
        "units that are all the same": first.shape[0],
        "deviation at the start": first.std,
        "layers": len(alike),
    }
    return Finding("I01", "critical", evidence, first.name)


def _beside_another(weight: Weight, layers: Sequence[Weight]) -> bool:
    """Whether its module has another of its shape whose units differ: means beside deviations."""
    home = weight.name.rpartition(".")[0]
    mates = [w for w in layers if w.shape == weight.shape and w.name.rpartition(".")[0] == home]
    return any(not mate.constant for mate in mates)


def too_small_weights(case: Case) -> Finding | None:
    """I02: weights far below Xavier's size, and nothing is learned."""
    gains, low = _gains(case), _too_small(case)
    spoilt = case.stuck or case.slow or (case.left > 0.3 and not case.good() and born_tiny(case))
    if not low or not spoilt or case.game:
        return None
    name, gain = min(low.items(), key=lambda pair: pair[1])
    evidence = {"deviation times root of fan-in": gain, "healthy": "0.5 to 1.5", "layers": len(low)}
    return Finding("I02", "critical", evidence, name, picture=_by_layer("size of the first weights", gains))


def _too_small(case: Case) -> dict[str, float]:
    """The gains of layers far below Xavier's size, where they are half of all."""
    gains = _gains(case)
    low = {w.name: gain for w, gain in gains if gain < case.at.small_gain}
    return low if len(low) >= max(1, len(gains) / 2) else {}


def born_tiny(case: Case) -> bool:
    """Whether most layers began so near zero that any update is large beside them."""
    return (
        len([gain for gain in _too_small(case).values() if gain < case.at.tiny_gain]) > len(_gains(case)) / 2
    )


def too_large_weights(case: Case) -> Finding | None:
    """I03: weights far above He's size, with a first loss or saturation to show for it."""
    gains = _gains(case) + _bare_gains(case)
    high = {w.name: gain for w, gain in gains if gain > case.at.large_gain}
    if not high:
        return None
    start = [a.saturated[0][1] for a in case.chart.activations if a.saturated and not a.last]
    loud = case.broken or (case.sure and case.first > 2.5 * case.baseline)
    enormous = sum(gain > 4 * case.at.large_gain for gain in high.values()) > len(gains) / 3  # one player's
    if not (enormous if case.game else loud or (start and max(start) > case.at.saturated)):
        return None
    name, gain = max(high.items(), key=lambda pair: pair[1])
    evidence = {
        "deviation times root of fan-in": gain,
        "healthy": "0.5 to 1.5",
        "first loss": case.first,
        "ignorance costs": case.baseline,
    }
    return Finding("I03", "critical", evidence, name, picture=_by_layer("size of the first weights", gains))


def first_loss(case: Case) -> Finding | None:
    """I04: the first loss is far from the cost of ignorance; a hint, others say why."""
    known = case.pairing is not None and case.pairing.kind in CLASSIFYING
    if not case.sure or not known or not case.updates or case.game:
        return None
    ratio = case.first / case.baseline
    if case.at.first_low <= ratio <= case.at.first_high:
        return None
    evidence = {"first loss": case.first, "ignorance costs": case.baseline, "healthy": "0.7 to 1.5 of it"}
    spoils = ratio > case.at.first_wild and _imperfect(case)
    return Finding("I04", "warning" if spoils else "hint", evidence)


def _gains(case: Case) -> list[tuple[Weight, float]]:
    if case.chart.late:
        return []
    known = [(w, w.std * math.sqrt(w.fan_in)) for w in _trained(case) if w.kind in WEIGHTY and w.fan_in > 1]
    if known or any(w.kind != "other" for w in case.chart.weights):
        return known
    tensors = [w for w in _trained(case) if not w.constant]  # alone, of which either axis may be the inputs
    return [(w, w.std * math.sqrt(max(w.shape[-2:]))) for w in tensors]


def _bare_gains(case: Case) -> list[tuple[Weight, float]]:
    """The same of matrices of the user's own modules, whose inputs may be either axis."""
    wide = [w for w in _trained(case) if len(w.shape) == 2 and min(w.shape) > 1 and not case.chart.late]
    bare = [(w, w.std * math.sqrt(min(w.shape))) for w in wide if w.kind == "other" and w.std > 1.5]
    return bare + [(w, 2 * w.std) for w in wide if w.kind == "embedding"]  # torch draws them from N(0, 1)


def _trained(case: Case) -> list[Weight]:
    return [w for w in case.chart.weights if w.trainable and len(w.shape) > 1]


def _by_layer(title: str, gains: list[tuple[Weight, float]]) -> dict[str, object]:
    return {"kind": "bars", "title": title, "values": {w.name: g for w, g in gains}, "log": True}
