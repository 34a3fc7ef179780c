"""R and E: validation against training, the modes, and what an epoch costs."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from didact.doctor.chart import Epoch
from didact.doctor.course import Case, slope
from didact.doctor.finding import Finding
from didact.doctor.rules.layers import first_loss

SHARES = ("acc", "accuracy", "r2", "f1", "auc")  # of what is right: names of metrics end so

MORE_ROWS = "more rows; else weight decay, dropout or a smaller network"


def overfits(case: Case) -> Finding | None:
    """R01: validation got worse for some epochs while training went on getting better."""
    known = [
        (k, e)
        for k, e in enumerate(case.chart.epochs)
        if math.isfinite(e.val_loss) and math.isfinite(e.train_loss)
    ]
    if len(known) < case.at.past + 2 or case.game:
        return None if known else _by_heart_alone(case)
    best = min(range(len(known)), key=lambda k: known[k][1].val_loss)
    lowest, last = known[best][1], known[-1][1]
    past = len(known) - 1 - best
    falling = last.train_loss < lowest.train_loss
    gap = case.gap
    worse = last.val_loss / lowest.val_loss if lowest.val_loss > 0 else 1.0
    error = 1 / math.sqrt(max(last.val_rows, 1))  # two standard errors of an accuracy
    apart = gap > max(case.at.gap, error) if math.isfinite(gap) else worse > case.at.risen_much
    apart = apart and last.val_loss > 1.5 * last.train_loss
    best_known = max((e.val_accuracy for _, e in known if math.isfinite(e.val_accuracy)), default=math.nan)
    by_chance = 1.5 * math.sqrt(max(best_known * (1 - best_known), 0.0) / max(last.val_rows, 1))
    answered = [e.val_accuracy for _, e in known[-3:] if math.isfinite(e.val_accuracy)]
    late = float(np.median(answered)) if answered else math.nan
    kept = late > best_known - max(0.02, by_chance) and gap < 2 * case.at.gap
    improved = worse < 2 and (kept or last.val_accuracy > lowest.val_accuracy + 0.01)
    if case.sure and last.val_loss < case.at.fits * case.baseline:  # it knows nearly all there is to know
        return None
    if past < case.at.past or worse < case.at.risen or not falling or not apart or improved:
        return _by_heart(case, known)
    evidence = {
        "best epoch": known[best][0] + 1,
        "validation loss there": lowest.val_loss,
        "at the end": last.val_loss,
        "training loss at the end": last.train_loss,
    }
    if math.isfinite(gap):
        evidence["accuracy lost between training and validation"] = gap
    picture = {
        "kind": "curves",
        "title": "loss by epoch",
        "curves": {
            "training": [(k + 1, e.train_loss) for k, e in known],
            "validation": [(k + 1, e.val_loss) for k, e in known],
        },
    }
    fix = f"stop after epoch {known[best][0] + 1} (patience), or more data, weight decay, dropout"
    return Finding("R01", "warning", evidence, fix=fix, picture=picture)


def _by_heart(case: Case, known: list[tuple[int, Epoch]]) -> Finding | None:
    """A few rows are known by heart, and validation stands still far from that."""
    last, rows = known[-1][1], case.chart.rows
    few = 0 < len(rows.train) < case.at.few_to_train and rows.train_seen > 2 * len(rows.train)
    few = few or (not case.classes and last.val_loss > 0.5 * case.baseline)
    third = known[-max(2, len(known) // 3) :]
    still = last.val_loss > 0.95 * third[0][1].val_loss
    kept = [epoch.in_eval[0] for _, epoch in known if epoch.in_eval][-1:]  # without dropout
    trained = min([case.end, *kept])
    by_heart = case.left < 0.15 and last.val_loss > max(5 * trained, 0.3 * case.baseline)
    if not (few and case.sure and still and by_heart) or case.gap < case.at.gap:
        return None
    evidence = {
        "different rows of training": len(rows.train),
        "training loss at the end": case.end,
        "validation loss at the end": last.val_loss,
    }
    return Finding("R01", "warning", evidence, fix=MORE_ROWS)


def _by_heart_alone(case: Case) -> Finding | None:
    """The same where validation is counted and has no loss."""
    known = [e.val_accuracy for e in case.chart.epochs if math.isfinite(e.val_accuracy)]
    rows = case.chart.rows
    few = case.at.few_each * case.classes <= len(rows.train) < case.at.few_to_train
    if len(known) < 8 or case.game or not few or not case.sure or rows.train_seen < 5 * len(rows.train):
        return None
    if not case.left < 0.02 or case.gap < case.at.steady_gap or known[-1] > known[len(known) // 2] + 0.02:
        return None
    evidence = {
        "different rows of training": len(rows.train),
        "accuracy lost between training and validation": case.gap,
        "training loss left of ignorance": case.left,
    }
    return Finding("R01", "warning", evidence, fix=MORE_ROWS)


def too_regular(case: Case) -> Finding | None:
    """R02: the same batch is answered far better with dropout off, or decay pulls the weights to nothing."""
    scored = [e for e in case.chart.epochs if e.in_train and e.in_eval and math.isfinite(e.in_eval[1])]
    if scored and case.chart.dropout > 0:
        gap = [e.in_eval[1] - e.in_train[1] for e in scored[-3:]]  # type: ignore[index]
        weak = not case.good() or case.slow
        if sum(gap) / len(gap) > case.at.too_regular and (case.chart.dropout >= 0.5 or weak) and weak:
            evidence = {
                "accuracy without dropout minus with": sum(gap) / len(gap),
                "largest dropout": case.chart.dropout,
            }
            return Finding("R02", "critical", evidence)
    better = case.val_accuracy - case.accuracy > case.at.too_regular
    if case.chart.dropout > 0.7 and (case.slow or (case.left > 0.3 and (better or not case.good()))):
        return Finding(
            "R02", "critical", {"largest dropout": case.chart.dropout, "loss left of ignorance": case.left}
        )
    return _shrunk(case)


def _shrunk(case: Case) -> Finding | None:
    decay = max((s.get("weight_decay", 0) or 0 for s in case.chart.settings), default=0)
    wide = [i for i, w in enumerate(case.chart.weights) if len(w.shape) > 1 and w.in_optimizer]
    much = decay >= case.at.much_decay and not case.good(0.75)
    thrown = case.rose and case.early_ratio > case.at.thrown  # by the rate, which decay is multiplied by
    thrown = thrown or (decay < case.at.much_decay and case.early_ratio > 2 * case.at.large_update)
    silent = max((a.dead[0][1] for a in case.chart.activations if a.dead), default=0.0) > case.at.all_dead
    if not decay or len(case.chart.looks) < 5 or not wide or not (case.slow or much) or thrown or silent:
        return None  # what gets no gradient shrinks by itself
    first, last = (look.weight[wide] for look in (case.chart.looks[0], case.chart.looks[-1]))
    known = np.isfinite(first) & np.isfinite(last) & (first > 0)
    left = float(np.median(last[known] / first[known])) if known.any() else math.nan
    if not left < case.at.shrunk or _pull(case) < 0.5 * -math.log(max(left, 1e-9)):
        return None
    evidence = {"size of the weights at the end over the start": left, "weight decay": decay}
    return Finding("R02", "critical", evidence, fix=f"weight_decay={decay / 100:g}: a hundredth of {decay:g}")


def _pull(case: Case) -> float:
    """By how much decay alone shrinks the weights, as a logarithm; infinite where gradients scale it."""
    settings = case.chart.settings[0] if len(case.chart.settings) == 1 else {}
    if settings.get("optimizer") not in ("SGD", "AdamW"):
        return math.inf
    rates = sum(rate for _, rate in case.chart.rates if math.isfinite(rate))
    return rates * (settings.get("weight_decay") or 0.0) / max(1 - settings.get("momentum", 0.0), 1e-3)


def underfits(case: Case) -> Finding | None:
    """R03: the losses were still falling when it stopped."""
    plain = case.pairing is not None and case.pairing.kind == "l1"  # not squares
    if case.game or case.broken or not case.left > (0.7 if case.partly else 0.55 if plain else 0.3):
        return None
    if case.good(0.7) or case.accuracy > case.chance + 0.8 * (1 - case.chance):
        return None
    first = first_loss(case)
    if first is not None and first.severity != "hint" and case.left > 1:
        return None  # all this time it came back from where it began
    known = [e for e in case.chart.epochs if math.isfinite(e.val_loss) and math.isfinite(e.train_loss)]
    if len(known) < 3:
        return _hardly_begun(case) or _getting_better(case)
    falls = slope([e.train_loss for e in known]), slope([e.val_loss for e in known])
    steady = all(late.val_loss < early.val_loss for early, late in pairwise(known[-4:]))
    enough = case.at.falling if case.left < 0.5 else 0.4 * case.at.falling  # far from done, slowly is enough
    if max(falls) > -enough or not steady:
        return None
    evidence = {
        "training loss changes by, an epoch": falls[0],
        "validation loss": falls[1],
        "left of ignorance": case.left,
    }
    more = math.ceil(len(known) + math.log(case.left / 0.1) / max(-falls[0], 0.01))
    evidence["epochs that would do"] = more
    return Finding(
        "R03", "warning", evidence, fix=f"train longer: about {more} epochs in place of {len(known)}"
    )


def _getting_better(case: Case) -> Finding | None:
    """Validation has no loss: what is counted or told of it gets better, as training does."""
    late = [e for e in case.chart.epochs if math.isfinite(e.train_loss)][-4:]
    fall = slope([e.train_loss for e in late])
    falls = all(b.train_loss < a.train_loss for a, b in pairwise(late))
    if len(late) < 3 or not falls or fall > -case.at.falling or case.left < 0.5:
        return None
    if not any(_rises(series) for series in _higher_is_better(late)):
        return None
    more = math.ceil(len(case.chart.epochs) + math.log(case.left / 0.1) / -fall)
    evidence = {"training loss changes by, an epoch": fall, "left of ignorance": case.left}
    return Finding("R03", "warning", evidence, fix=f"train longer: about {more} epochs")


def _higher_is_better(epochs: Sequence[Epoch]) -> list[list[float]]:
    """Accuracy as it was counted, and what is told of validation whose name says that it is a share."""
    names = {name for e in epochs for name in e.told if name.startswith("val") and name.endswith(SHARES)}
    return [
        [e.val_accuracy for e in epochs],
        *([e.told.get(name, math.nan) for e in epochs] for name in names),
    ]


def _rises(series: Sequence[float]) -> bool:
    return all(math.isfinite(a) and b > a for a, b in pairwise(series))


def _hardly_begun(case: Case) -> Finding | None:
    """Too few epochs to compare: the loss of the updates themselves."""
    parts = np.array_split(case.losses, 4)
    if len(case.losses) < 12 or case.updates > case.at.hardly:
        return None
    error = float(case.losses.std()) / math.sqrt(len(parts[0]))
    if parts[3].mean() > parts[2].mean() or parts[3].mean() > parts[0].mean() - error:
        return None
    evidence = {"updates": case.updates, "left of ignorance": case.left}
    return Finding("R03", "warning", evidence, fix=f"train longer than {case.updates} updates")


def small_batches(case: Case) -> Finding | None:
    """R04: batch norm estimates its statistics from a handful of rows."""
    sizes = case.chart.rows.sizes or [p.rows for p in case.chart.pairings.values()]
    if not case.chart.modules.get("batch_norm") or not sizes:
        return None
    usual = float(np.median(sizes))
    if usual >= case.at.small_batch or usual < 1:
        return None
    return Finding(
        "R04",
        "critical" if _modes_apart(case) else "warning",
        {"rows in a batch": usual, "healthy": "16 or more"},
    )


def validates_in_training(case: Case) -> Finding | None:
    """E01: dropout or batch norm were in training mode while nothing was learned."""
    lax, all_of = (case.chart.counts.get(n, 0) for n in ("validations in training mode", "validations"))
    scored = case.chart.counts.get("validations with a score", 0) > 0.5 * all_of
    if not lax or lax < 0.5 * all_of or case.game or (all_of > case.chart.step / 2.5 and not scored):
        return None
    where = case.chart.where.get("validations in training mode", "")
    return Finding("E01", "critical", {"validations in training mode": f"{lax} of {all_of}"}, where)


def trains_in_evaluation(case: Case) -> Finding | None:
    """E02: updates while dropout and batch norm were in evaluation mode."""
    lax, proper = (
        case.chart.counts.get(n, 0) for n in ("updates in evaluation mode", "updates in training mode")
    )
    if lax < 5 or lax < 0.2 * (lax + proper):
        return None
    evidence = {"updates in evaluation mode": lax, "in training mode": proper}
    return Finding("E02", "critical", evidence, case.chart.where.get("updates in evaluation mode", ""))


def keeps_graph(case: Case) -> Finding | None:
    """E03: losses kept with their graphs; passes that record gradients nobody asks for."""
    counts = case.chart.counts
    if (kept := counts.get("graphs kept", 0)) >= 3:
        fix = "keep loss.item(), not the loss: it holds the graph of its update"
        return Finding(
            "E03", "warning", {"updates at which the ten graphs before were all kept": kept}, fix=fix
        )
    times = counts.get("evaluations with a graph", 0)
    quietly = counts.get("quiet passes in evaluation mode with a graph", 0)
    plainly = times or (
        counts.get("updates in training mode") and not counts.get("updates in evaluation mode")
    )
    if times >= 3 or (plainly and 2 <= quietly < 0.3 * case.chart.step):
        times += quietly
        return Finding("E03", "warning", {"updates with a graph of evaluation, for nothing": times})
    rounds, read = (counts.get(n, 0) for n in ("validations with a graph", "updates read"))
    if rounds < 2 or rounds > (read or case.chart.step) / 3 or case.game:
        return None
    return Finding("E03", "warning", {"validations that recorded a graph for nothing": rounds})


def modes_differ(case: Case) -> Finding | None:
    """E05: batch norm's running statistics tell another story than the batch's own."""
    if not case.chart.modules.get("batch_norm"):  # dropout off makes a batch easier, never harder
        return None
    apart = _modes_apart(case)
    if apart is None:
        return None
    before, after = apart
    return Finding(
        "E05", "critical", {"loss of a batch in training mode": before, "the same in evaluation mode": after}
    )


def _modes_apart(case: Case) -> tuple[float, float] | None:
    """The losses of a kept batch in both modes, where they or its answers differ in the last looks."""
    scored = [(e.in_train, e.in_eval) for e in case.chart.epochs if e.in_train and e.in_eval][-2:]
    far = [
        (train[0], evaluated[0])
        for train, evaluated in scored
        if evaluated[0] > max((1 + case.at.modes) * train[0], 0.15 * case.baseline)
        or train[1] - evaluated[1] > case.at.steady_gap
    ]
    return far[-1] if far and len(far) == len(scored) else None


def too_slow(case: Case) -> Finding | None:
    """E06: half the time is spent waiting for data, or a step takes longer than half a second."""
    seconds = [s for _, s in case.chart.seconds]
    if len(seconds) < 8:
        return None
    median, waits = float(np.median(seconds)), [s for _, s in case.chart.waits]
    quick, waited = np.percentile(seconds, 25), np.percentile(waits, 25)  # a busy machine delays some
    share = float(waited / max(quick, 1e-9))
    if share > case.at.waiting and waited > case.at.idle and not case.game:
        evidence = {"share of the time waiting for data": share, "seconds a step": median}
        return Finding("E06", "warning", evidence, "the loader")
    if median > case.at.slow_step:
        return Finding("E06", "hint", {"seconds a step": median, "healthy": "below 0.5"})
    return None
