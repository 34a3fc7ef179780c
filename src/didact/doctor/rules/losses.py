"""S: the loss and what it is given."""

import math

import numpy as np

from didact.doctor.chart import Pairing
from didact.doctor.course import Case
from didact.doctor.finding import Finding

UNIT = ("Sigmoid", "Softmax")
LINEAR = ("Addmm", "Mm", "Bmm", "Add", "Convolution")  # whose answers lie in [0, 1] by chance
CUT = ("Relu", "Softplus")  # of which a logit is never negative
NUMBERS = ("mse", "l1", "smooth_l1", "huber")


def sigmoid_twice(case: Case) -> Finding | None:
    """S01: what a loss on logits is given lies in [0, 1], always."""
    pairing = case.chart.pairings.get("bce_logits")
    if pairing is None or pairing.counts["unit range"] < pairing.calls or pairing.producer in CUT:
        return None
    if pairing.calls < (3 if pairing.producer in UNIT else 20) or pairing.producer in LINEAR:
        return None
    return Finding("S01", "critical", _evidence(pairing, "batches within [0, 1]", "unit range"))


def softmax_twice(case: Case) -> Finding | None:
    """S02: what cross-entropy is given are probabilities: rows from 0 to 1 that sum to one."""
    again = case.chart.pairings.get("nll")
    if again is not None and again.producer == "LogSoftmax of Softmax" and again.calls >= 3:
        made = {"batches": again.calls, "made by": again.producer}
        return Finding("S02", "critical", made | {"the loss cannot fall below": _floor(again)})
    pairing = case.chart.pairings.get("cross_entropy")
    if pairing is None or pairing.calls < (3 if pairing.producer == "Softmax" else 5):
        return None
    if pairing.counts.get("raw classes sum to one", 0) < pairing.calls:
        return None
    evidence = _evidence(pairing, "batches whose rows sum to one", "raw classes sum to one")
    return Finding("S02", "critical", evidence | {"the loss cannot fall below": _floor(pairing)})


def _floor(pairing: Pairing) -> float:
    """The least that a cross-entropy of probabilities, taken for scores, can be."""
    return math.log(math.e + pairing.facts["outputs"] - 1) - 1


def wrong_axis(case: Case) -> Finding | None:
    """S03: probabilities that sum to one over the rows of the batch, or that sum to one nowhere."""
    for kind in ("cross_entropy", "nll", "kl"):
        pairing = case.chart.pairings.get(kind)
        if pairing is None or pairing.calls < 3 or pairing.rows < 2:
            continue
        right, other = (pairing.counts.get(name, 0) for name in ("classes sum to one", "others sum to one"))
        if other == pairing.calls and right < pairing.calls:
            return Finding(
                "S03",
                "critical",
                _evidence(pairing, "batches that sum to one over the rows", "others sum to one"),
            )
        if kind != "cross_entropy" and not right:
            raw = pairing.counts.get("raw classes sum to one", 0)
            how = (
                "probabilities without a log" if raw == pairing.calls else "scores that were never normalised"
            )
            name = "nll_loss" if kind == "nll" else "kl_div"
            return Finding("S03", "critical", {f"{name} is given": how, "batches": pairing.calls})
    if (times := case.chart.counts.get("softmax over the rows", 0)) >= 3:
        return Finding("S03", "critical", {"softmax over the rows of an answer": times})
    return None


def out_of_reach(case: Case) -> Finding | None:
    """S04: targets lie where the last activation cannot go."""
    out = [v for _, v in case.chart.rivals.get("reals out of reach", [])]
    if len(out) >= 3 and np.mean(out) > 0.01:
        share = float(np.mean(out))
        return Finding("S04", "critical", {"share of real numbers that the generator cannot make": share})
    beyond = [v for _, v in case.chart.rivals.get("reals beyond", [])]
    reach = max((v for _, v in case.chart.rivals.get("fakes reach", [])[9:]), default=0.0)
    if 0.9 < reach < 1.01 and beyond and np.mean(beyond) > 0.01:
        share = float(np.mean(beyond))
        return Finding("S04", "critical", {"largest of the fakes": reach, "share of real ones beyond": share})
    logits = case.chart.pairings.get("bce_logits")
    if logits is not None and logits.producer in CUT and logits.calls >= 5:
        return Finding(
            "S04", "critical", {"logits are never negative": logits.producer, "healthy": "any number"}
        )
    for pairing in case.chart.pairings.values():
        if len(pairing.outside) < 3:
            continue
        share = sum(pairing.outside) / len(pairing.outside)
        if share <= 0.01 or pairing.kind in ("bce", "bce_logits", "kl"):
            continue
        evidence = {
            "share of the targets out of reach": share,
            "targets": [pairing.facts.get("lowest", math.nan), pairing.facts.get("highest", math.nan)],
            "last operation": pairing.producer,
        }
        return Finding("S04", "critical", evidence)
    return None


def broadcast(case: Case) -> Finding | None:
    """S05: each row is compared with all the others."""
    if (by_hand := case.chart.counts.get("loss of all with all", 0)) >= 3:
        return Finding("S05", "critical", {"batches compared all with all": by_hand})
    for pairing in case.chart.pairings.values():
        if pairing.counts.get("broadcast", 0) >= 3 and pairing.counts["broadcast"] > 0.8 * pairing.calls:
            return Finding(
                "S05", "critical", _evidence(pairing, "batches compared all with all", "broadcast")
            )
    return None


def wrong_loss(case: Case) -> Finding | None:
    """S06: class numbers as quantities, or quantities as classes."""
    for pairing in case.chart.pairings.values():
        facts = pairing.facts
        if pairing.calls < 5 or "lowest" not in facts:
            continue
        values = facts["values"]
        evidence = {
            "loss": pairing.kind,
            "different targets": len(values),
            "targets": [facts["lowest"], facts["highest"]],
        }
        if pairing.kind in ("bce", "bce_logits") and len(values) > 2 and facts["highest"] > 1:
            return Finding("S06", "critical", evidence)
        in_a_row = len(values) == facts["highest"] - facts["lowest"] + 1
        if (
            pairing.kind in NUMBERS
            and facts["whole"]
            and 3 <= len(values) <= 30
            and in_a_row
            and _is_label(case, pairing)
        ):
            return Finding("S06", "critical", evidence)
        classes = pairing.counts.get("targets stretched", 0) == pairing.calls and facts["lowest"] == 0
        if pairing.kind in NUMBERS and classes and facts["whole"] and 3 <= len(values) <= facts["outputs"]:
            return Finding("S06", "critical", evidence)
        if (
            pairing.kind == "cross_entropy"
            and not facts["integer"]
            and (facts["lowest"] < 0 or facts["highest"] > 1.001 or not facts.get("shares", True))
        ):
            return Finding("S06", "critical", evidence)
    return None


def _is_label(case: Case, pairing: Pairing) -> bool:
    """One number a row, each value many times."""
    return bool(pairing.facts["one_column"]) and pairing.facts["lowest"] == 0


def bent(case: Case) -> Finding | None:
    """S07: the loss is clamped, turned round, or summed so that its size hangs on the batch."""
    counts = case.chart.counts
    for event in ("loss turned round", "loss clamped"):
        if counts.get(event, 0) >= 3 and not case.game:  # a generator's loss is its rival's, turned round
            return Finding("S07", "critical", {"updates": counts[event]}, event)
    if case.end < -10 * max(abs(case.first), 1.0) and not case.game:
        return Finding(
            "S07", "critical", {"first loss": case.first, "at the end": case.end}, "loss without a floor"
        )
    if (below := counts.get("loss far below zero", 0)) >= 5 and not case.game:
        return Finding(
            "S07", "critical", {"updates with a loss far below zero": below}, "loss without a floor"
        )
    pairing, whole = case.pairing, counts.get("loss as it was called", 0) >= 3
    each = pairing.baseline / max(pairing.rows, 1) if pairing is not None else math.nan
    whole = whole or case.first > 5 * each  # a part of the loss, and not divided by its rows
    if pairing is not None and pairing.reduction == "sum" and whole and (case.unstable or case.stuck):
        return Finding(
            "S07",
            "critical",
            {"the loss is a sum over rows": pairing.rows, "first loss": case.first},
            fix="reduction='mean'",
        )
    flat = (
        len(case.losses) >= 20 and float(case.losses[-20:].std()) == 0 and counts.get("gradient zero", 0) >= 5
    )
    arrived = case.left < 0.2  # a convex problem, solved
    if flat and not case.broken and not arrived:
        return Finding(
            "S07",
            "warning",
            {"the loss stays at": case.end, "looks with a gradient of zero": counts["gradient zero"]},
        )
    return None


def _evidence(pairing: Pairing, words: str, name: str) -> dict[str, object]:
    found: dict[str, object] = {
        words: f"{pairing.counts.get(name, 0)} of {pairing.calls}",
        "loss": pairing.kind,
    }
    return found | ({"made by": pairing.producer} if pairing.producer else {})
