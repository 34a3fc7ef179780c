"""L: what the rows are said to be; labels that are wrong here and there have a file of their own."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from didact.doctor.course import Case
from didact.doctor.finding import Finding
from didact.doctor.rows import chance
from didact.doctor.rules.data import sorted_batches
from didact.doctor.rules.neighbours import late_neighbours, neighbours, ranks, told_by_all
from didact.doctor.rules.preprocessing import (
    differs,
    hard_augmentation,
    in_a_few_ways,
    moments_apart,
)
from didact.doctor.rules.two_samples import agree_less, renumbered, tell_nothing

AGAIN = 50  # rows that were met again, fewer of which tell nothing
WINDOW = 10  # batches


def out_of_step(case: Case) -> Finding | None:
    """L01: rows that are met again have other labels."""
    rows = case.chart.rows
    blind = case.chart.probes.get("order", 1.0) < case.at.blind
    if rows.shifted == 0 and blind and case.stuck:
        evidence = {"targets are the tokens of": "the next row"}
        return Finding("L01", "critical", evidence, fix="shift the targets along time")
    seen, different = case.chart.epochs[0].met if case.chart.epochs else (0, 0)
    twice = different < seen or not seen  # in the first epoch, if it is known where that ends
    ambiguous = rows.repeated > 0.05 * max(len(rows.train), 1) and rows.at_odds > 0.05 * rows.repeated
    if rows.again < AGAIN or (ambiguous and twice):
        return _drifted(case)
    at_times = [_changed(rows.lately[k : k + WINDOW]) for k in range(max(len(rows.lately) - WINDOW, 0) + 1)]
    once = max(at_times) if max(at_times) > case.at.changed_once else 0.0
    share = max(rows.changed / rows.again, at_times[-1], once)
    if share < case.at.changed:
        return None
    return Finding(
        "L01", "critical", {"rows met again with another label": share, "of rows met again": rows.again}
    )


def _changed(batches: Sequence[tuple[int, int]]) -> float:
    """Of the rows that were met again in these batches, the share with another label; 0 of too few."""
    again, changed = np.sum(batches, 0) if batches else (0, 0)
    return float(changed / again) if again >= AGAIN else 0.0


def _drifted(case: Case) -> Finding | None:
    """Rows are new every time; at first neighbours told the label, and those of the last batches do not."""
    rows = case.chart.rows
    if not rows.integer or rows.late is None or not (case.slow or case.lost):
        return None
    if sorted_batches(case) or moments_apart(case):
        return None
    near, late = neighbours(rows), late_neighbours(rows)
    if near is None or late is None or rows.targets is None:
        return None
    expected = chance(rows.labels)
    before = float((near == rows.targets.reshape(-1, 1)).mean())
    after = float((late == rows.late[1].reshape(-1, 1)).mean())
    error = math.sqrt(expected * (1 - expected) / len(late))
    if before < 2 * expected or after > expected + 3 * error:
        return None
    evidence = {
        "neighbours with the same label, at first": before,
        "at the end": after,
        "by chance": expected,
    }
    return Finding("L01", "critical", evidence)


def unrelated(case: Case) -> Finding | None:
    """L02: neighbours agree no more than by chance, and validation knows no more than that."""
    nowhere = tell_nothing(case.chart.rows)  # those of validation do not either: they may tell nothing at all
    return _unlike_validation(case) or (_only_memory(case) if nowhere else related_nowhere(case))


def related_nowhere(case: Case) -> Finding | None:
    """L02: neighbours agree no more than by chance; where validation's do not either, it is said last."""
    rows = case.chart.rows
    near = neighbours(rows) if _knows_nothing(case) else None
    few = len(rows.train) < case.at.few_to_train and case.left < 0.15  # learned by heart
    if near is not None and (few or told_by_all(rows) > 4 / math.sqrt(len(near))):
        return None  # a straight line through the features tells something
    if near is not None and hard_augmentation(case) is not None:
        return None  # what neighbours tell is drowned
    if case.relates and not rows.visible:  # at a place of a text one word is likelier than at others
        return None
    if near is None or rows.targets is None:
        return _only_memory(case)
    own = rows.targets.reshape(len(rows.targets), -1)
    if own.shape[1] > 1:
        return _unrelated_curves(own, near.mean(1))
    if rows.integer or set(np.unique(own)) <= {0.0, 1.0}:
        expected = chance(rows.labels or Counter(own[:, 0].tolist()))
        agreement, error = float((near == own).mean()), math.sqrt(expected * (1 - expected) / len(own))
        random = agreement < expected + 3 * error
    else:
        told, asked = ranks(near.mean(1)), ranks(own[:, 0])  # a few may be far off
        agreement = float(np.corrcoef(told, asked)[0, 1]) if told.std() and asked.std() else 0.0
        expected, error = 0.0, 1 / math.sqrt(len(own))
        random = agreement < 3 * error
    if not random:
        return None
    evidence = {"neighbours with the same label": agreement, "by chance": expected, "rows": len(own)}
    return Finding("L02", "critical", evidence)


def _unlike_validation(case: Case) -> Finding | None:
    """Labels of validation go with those of rows like theirs; of training they do no more than by chance."""
    rows = case.chart.rows
    apart = agree_less(case) if not case.game and case.mixed_otherwise < case.at.mixed_a_little else None
    if apart is None or moments_apart(case) is not None or case.relates or case.good():
        return None
    if case.val_accuracy > case.chance + 0.15 * (1 - case.chance):
        return None  # something of it was learned in training
    train, _, error = apart.values()
    if train > (chance(rows.labels) if rows.integer and not rows.tokens else 0.0) + 1.5 * error:
        return None
    return Finding("L02", "critical", apart)


def _unrelated_curves(own: np.ndarray, near: np.ndarray) -> Finding | None:
    """The same for several quantities a row, (N, D): none of them goes with those of the neighbours."""
    lively = (own.std(0) > 0) & (near.std(0) > 0)
    agreement = [float(np.corrcoef(a, b)[0, 1]) for a, b in zip(own.T[lively], near.T[lively], strict=True)]
    if not agreement or not float(np.mean(agreement)) < 3 / math.sqrt(len(own)):
        return None
    evidence = {"correlation with the targets of neighbours": float(np.mean(agreement)), "by chance": 0.0}
    return Finding("L02", "critical", evidence | {"rows": len(own)})


def _only_memory(case: Case) -> Finding | None:
    """Training is answered more and more, and validation never better than by the largest class."""
    known = [e for e in case.chart.epochs if e.val_rows >= 100 and math.isfinite(e.val_loss + e.val_accuracy)]
    if len(case.chart.rows.train) < case.at.few_to_train or case.chance > case.at.majority:
        return None  # few can all be learned by heart; where one class rules, to answer it is no sign
    if len(known) < 4 or not case.sure or case.game or differs(case) or not math.isfinite(case.chance):
        return None
    trained = max(
        (e.train_accuracy for e in case.chart.epochs if math.isfinite(e.train_accuracy)), default=0.0
    )
    learned = case.left < 0.75 and trained > case.chance + 0.15 * (1 - case.chance)
    best = max(e.val_accuracy for e in known)
    error = math.sqrt(case.chance * (1 - case.chance) / known[-1].val_rows)
    never = best < case.chance + 3 * error and min(e.val_loss for e in known) > 0.97 * case.baseline
    if not (learned and never):
        return None
    evidence = {
        "best validation accuracy": best,
        "share of the largest class": case.chance,
        "loss of training left of ignorance": case.left,
    }
    return Finding("L02", "critical", evidence)


def never_carried_over(case: Case) -> Finding | None:
    """L02: nothing else is found; training learns, and of the rows of validation nothing is ever known.

    Where the loss alone tells.
    """
    known = [e.val_loss for e in case.chart.epochs if e.val_rows >= 100 and math.isfinite(e.val_loss)]
    if len(known) < 4 or not case.sure or case.game or len(case.chart.rows.train) < case.at.few_to_train:
        return None
    heard = case.chart.epochs[-1].train_loss
    told = case.chart.epochs[-1].told.get("train loss", heard)
    if abs(told - heard) > 0.1 * abs(heard):
        return None  # a part of it is descended, or a share: validation may be of the whole
    lowest = min(known)
    learns = case.left < (0.9 if known[-1] > 1.02 * case.baseline else 0.8)
    if not 0.97 * case.baseline < lowest < 3 * case.baseline or not learns or case.left < -0.1:
        return None  # or no constant costs so little
    evidence = {
        "lowest validation loss": lowest,
        "ignorance costs": case.baseline,
        "loss of training left of ignorance": case.left,
    }
    return Finding("L02", "warning", evidence)


def only_by_heart(case: Case) -> Finding | None:
    """L02: nothing else is found; one batch is learned by heart, and of all of them nothing.

    P03 where rows are changed at random in a few ways: what is done to them may change what they are.
    """
    left = case.chart.probes.get("by heart")
    if left is None or not case.none_the_wiser or not left < case.at.by_heart * case.baseline:
        return None
    evidence = {
        "loss of one batch learned by heart": left,
        "of all": case.end,
        "ignorance costs": case.baseline,
    }
    return Finding("P03" if in_a_few_ways(case) else "L02", "warning", evidence)


def _knows_nothing(case: Case) -> bool:
    known = case.val_losses
    if case.stuck and case.left > 0.95 and len(known) > 3 and min(known) > 0.95 * known[0]:
        return True  # its rows may be easier, and nothing was ever learned of them
    if case.sure and case.val_losses and min(case.val_losses) < _noticeably(case) * case.baseline:
        return False
    if math.isfinite(case.val_accuracy) and math.isfinite(case.chance):
        return case.val_accuracy < case.chance + 0.15 * (1 - case.chance)
    if case.val_losses and case.sure:
        lowest = min(case.val_losses)
        never_better = lowest == case.val_losses[0] and len(case.val_losses) > 3
        return lowest > min(0.9, _noticeably(case)) * case.baseline or (
            never_better and lowest > 0.6 * case.baseline
        )
    return case.stuck or (case.slow and case.left > 0.7)  # nobody says it: it may know rows by heart


def _noticeably(case: Case) -> float:
    """Share of the cost of ignorance below which a validation knows something; few rows may by chance."""
    rows = max((e.val_rows for e in case.chart.epochs), default=0)
    return min(0.88, 1 - 2 * math.sqrt(2 / rows)) if rows else 0.88


def visible(case: Case) -> Finding | None:
    """L03: the targets are the inputs."""
    rows = case.chart.rows
    read = case.chart.probes.get("peeks", 1.0) > case.at.blind  # else the model puts them one place on itself
    seen = rows.told if read and len(rows.told) > 1 and min(rows.told) > 0.99 else rows.visible
    if len(seen) < 2 or min(seen) < 0.99:
        return None
    evidence = {"targets equal to a token that has been read": min(seen), "batches": len(seen)}
    return Finding("L03", "critical", evidence)


def encoding(case: Case) -> Finding | None:
    """L05: numbers that do not begin at 0, or are others in validation; not in [0, 1]; one value only."""
    if (found := _numbered_otherwise(case)) is not None:
        return found
    for pairing in case.chart.pairings.values():
        facts = pairing.facts
        if "lowest" not in facts or pairing.calls < 3:
            continue
        low, high, outputs = facts["lowest"], facts["highest"], facts["outputs"]
        fooled = [share for _, share in case.chart.rivals.get("fakes believed", [])[-5:]]
        always = case.game and len(fooled) == 5 and min(fooled) > 0.9  # a judge that was told so
        alone = always or not (case.game or case.chart.counts.get("losses of several parts"))
        single = len(facts["values"]) == 1 and pairing.calls >= 10
        others = 1 < len(case.chart.rows.val_labels) <= 3  # then training lacks classes
        binary = pairing.kind in ("bce", "bce_logits")
        same = binary or (pairing.kind in ("mse", "l1") and low != 0)  # a residual is meant to be nothing
        if same and single and alone and not others:
            return Finding("L05", "critical", {"every target is": low, "calls": pairing.calls})
        seen = len(facts["values"])
        evidence = {"lowest label": low, "highest label": high, "outputs": outputs}
        if binary and (low < 0 or high > 1) and seen <= 2:
            evidence = {"lowest label": low, "highest label": high, "healthy": "from 0 to 1"}
            return Finding("L05", "critical", evidence)
        if pairing.kind not in ("cross_entropy", "nll") or not facts["integer"] or _tokens(case):
            continue
        if seen == 1 and pairing.calls >= 10 and outputs > 1 and not others:
            return Finding("L05", "critical", evidence | {"different labels": 1})
        idle = 0 not in case.chart.rows.val_labels and seen == outputs - 1
        if low >= 1 and high == outputs - 1 and idle and pairing.calls >= 5:
            return Finding("L05", "critical", evidence | {"idle output": 0})
    return None


def _numbered_otherwise(case: Case) -> Finding | None:
    """Classes of validation go by other numbers than in training: each was numbered by itself."""
    pairs = {} if case.game else renumbered(case.chart.rows)
    if not pairs:
        return None
    told = ", ".join(f"{number} is {other}" for number, other in list(pairs.items())[:6])
    evidence = {"classes of validation, and what they are in training": told, "of classes": len(pairs)}
    fix = "number the classes once, in training, and keep these numbers for validation"
    return Finding("L05", "critical", evidence, fix=fix)


def _tokens(case: Case) -> bool:
    return bool(case.chart.rows.visible)
