"""From a chart to ranked findings: which cause comes first, and what only follows from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from didact.doctor.chart import Chart
from didact.doctor.codes import causes
from didact.doctor.course import Case
from didact.doctor.finding import BROKEN, Finding
from didact.doctor.limits import LIMITS, Limits
from didact.doctor.rules import (
    data,
    games,
    generalisation,
    held_out,
    labels,
    layers,
    losses,
    metrics,
    optimisation,
    preprocessing,
    rates,
    wrong_labels,
)

Rule = Callable[[Case], Finding | None]

# In the order of reasoning: what is proof by itself, then numbers that are not finite, never learned, learned
# and lost, good in training and bad in validation, better in validation, and what is merely worth knowing.
RULES: Mapping[str, Rule] = {
    "D01": data.not_finite,
    "O06": optimisation.not_in_optimizer,
    "O12": optimisation.not_applied,
    "O10": optimisation.detached,
    "O05": optimisation.never_zeroed,
    "S05": losses.broadcast,
    "S02": losses.softmax_twice,
    "S01": losses.sigmoid_twice,
    "S03": losses.wrong_axis,
    "S04": losses.out_of_reach,
    "L05": labels.encoding,
    "L01": labels.out_of_step,
    "L03": labels.visible,
    "A04": layers.mixing,
    "A05": layers.sees_future,
    "A03": layers.linear,
    "I01": layers.constant,
    "S06": losses.wrong_loss,
    "S07": losses.bent,
    "D03": data.sorted_batches,
    "O04": rates.schedule,
    "E02": generalisation.trains_in_evaluation,
    "E01": generalisation.validates_in_training,
    "D02": data.majority,
    "D04": held_out.not_representative,
    "P02": preprocessing.differs,
    "D06": held_out.overlap,
    "D07": data.leak,
    "R04": generalisation.small_batches,
    "L02": labels.unrelated,
    "I03": layers.too_large_weights,
    "I02": layers.too_small_weights,
    "P01": preprocessing.unscaled,
    "P04": preprocessing.far_targets,
    "A07": layers.too_small,
    "O09": optimisation.forgets,
    "A06": layers.order_blind,
    "O07": optimisation.vanishing,
    "O11": optimisation.clipped,
    "O03": rates.odd_settings,
    "L04": wrong_labels.noisy,
    "A01": layers.saturated,
    "R02": generalisation.too_regular,
    "G03": games.unused_latent,
    "O01": rates.rate_too_high,
    "O08": optimisation.exploding,
    "O02": rates.rate_too_low,
    "A02": layers.dead,
    "E05": generalisation.modes_differ,
    "G02": games.overpowers,
    "G01": games.collapse,
    "A08": layers.never_used,
    "P03": preprocessing.hard_augmentation,
    "R01": generalisation.overfits,
    "R03": generalisation.underfits,
    "I04": layers.first_loss,
    "D05": held_out.small_validation,
    "E04": metrics.contradicts,
    "E03": generalisation.keeps_graph,
    "E06": generalisation.too_slow,
}
# Harm of their own that explains nothing else: they neither demote others nor are demoted.
BESIDE = {"A08", "E06", "E03", "R04", "D05", "E01", "D06", "E04", "D07"}
# Proof by themselves: never a consequence of another cause.
PROOF = {"D01", "D03", "D04", "L01", "L03", "L05", "P02", "A03", "A04", "A05", "I01"} | {
    *("S01", "S02", "S03", "S04", "S05", "O05", "O06", "O10", "O12", "E02")
}


# What would be proof by itself, but follows from these.
EXPLAINS = {
    "A04": {"A05"},
    "D02": {"D04", "D05", "P02"},
    "D03": {"P02"},
    "D04": {"D05", "P02", "R01"},
    "P03": {"D05"},
    "L04": {"D05"},
}
# Asked where nothing else was found.
LAST: Sequence[tuple[str, Rule]] = (
    ("A06", layers.bag_of_words),
    ("D04", held_out.of_another_kind),
    ("D04", held_out.steady_gap),
    ("A07", layers.cannot_learn_a_batch),
    ("L02", labels.related_nowhere),
    ("L02", labels.only_by_heart),
    ("L02", labels.never_carried_over),
    ("L04", wrong_labels.never_as_good),
    ("L04", wrong_labels.never_as_near),
    ("A02", layers.died),
    ("O02", rates.on_its_way),
    ("O01", rates.perhaps_too_high),
)


def conclude(chart: Chart, limits: Limits = LIMITS, seen: Mapping[str, int] | None = None) -> list[Finding]:
    """Ask every rule and rank what they found.

    The first cause in the order of reasoning comes first; what it explains stays in the report as a hint
    that names it. An error inside a rule becomes a finding of its own.

    Args:
        chart: All that was observed.
        limits: The numbers to compare with.
        seen: When each code was first seen; by default now.
    """
    case = Case(chart, limits)
    found: list[Finding] = []
    errors = list(chart.errors)
    for code, rule in [*RULES.items(), *LAST]:
        if (code, rule) in LAST and any(_explains_much(finding) for finding in found):
            continue
        try:
            with np.errstate(all="ignore"):  # data that is not finite is judged like all other
                finding = rule(case)
        except Exception as error:
            errors.append(f"{type(error).__name__} in the rule of {code}: {error}")
            continue
        if finding:
            found.append(_complete(finding, (seen or {}).get(code, chart.step)))
    return [*_ranked(found), *([_own(errors)] if errors else [])]


def _explains_much(finding: Finding) -> bool:
    """Whether nobody needs to be asked for more: a validation that is better is itself to be explained."""
    return finding.severity != "hint" and finding.code != "D05"


def _complete(finding: Finding, step: int) -> Finding:
    return replace(finding, fix=finding.fix or causes()[finding.code].fix, seen=step)


def _ranked(found: list[Finding]) -> list[Finding]:
    """Causes first, then what follows from them, then hints."""
    grave = [finding for finding in found if finding.severity != "hint"]
    cause = next((finding for finding in grave if finding.code not in BESIDE), None)
    ranked = []
    for finding in grave:
        own = (PROOF | BESIDE) - EXPLAINS.get(cause.code if cause else "", set())
        follows = cause is not None and finding is not cause and finding.code not in own
        ranked.append(replace(finding, severity="hint", because=cause.code) if follows and cause else finding)
    kept = [finding for finding in ranked if finding.severity != "hint"]
    rest = [finding for finding in ranked if finding.severity == "hint"]
    return [*kept, *rest, *(finding for finding in found if finding.severity == "hint")]


def _own(errors: list[str]) -> Finding:
    return Finding(BROKEN, "hint", {f"error {k + 1}": text for k, text in enumerate(errors[:5])})
