"""Epochs and validations: where they end, what they scored, and whether validation rows were trained on."""

import copy
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from didact.doctor.chart import Chart, Epoch
from didact.doctor.inputs import Inputs, answer_of, shaped_as
from didact.doctor.mixture import mixed, weights_of
from didact.doctor.pace import Pace
from didact.doctor.passes import Pass, Tally, lax_modules, right_answers, that_count
from didact.doctor.rows import Register, thin, together
from didact.doctor.taps import LossCall
from didact.doctor.untouched import untouched

FEWEST = 20  # different rows that make a validation
BRIEF = 5  # updates that are an epoch where all rows are in each of them, and each is validated
UNSCORED = 200  # batches of a validation whose answers wait to be compared
MOST = 64  # losses of a validation that wait to be read together
LARGE = 1_000_000  # numbers in them, beyond which they are read at once
ROWS = 5000  # of a validation that are compared with those trained on
KEEP = 5_000_000  # numbers of a batch that is kept to be scored again

Score = tuple[LossCall, Tensor, Tensor]  # a loss without a graph, what it was given, and its targets


class Epochs:
    """Counts what is scored in training and validation, and closes epochs.

    Attributes:
        told: The loop says itself where an epoch ends.
        updates: Since the last validation.
    """

    def __init__(self, chart: Chart, register: Register, pace: Pace):
        self.chart, self.register, self.pace = chart, register, pace
        self.training, self.validation = Tally(), Tally()
        self.told = False
        self.updates = 0
        self.first: tuple[nn.Module, Inputs, LossCall] | None = None
        self.unscored: list[Tensor] = []  # answers of a validation, until they are compared
        self.given: list[Tensor] = []  # what the last of its passes was given
        self.firsts: set[str] = set()  # models that rows of training went into
        self.asked: list[tuple[Tensor, list[bool]]] = []  # its rows, and which were trained on
        self.scores: list[Score] = []  # which wait to be read together
        self.scored_like: tuple[Any, ...] | None = None  # what those have in common with one that was read
        self.judged = False  # whether its answers were right or wrong
        self.of_some: tuple[Tensor, Tensor, Tensor] | None = None  # answers under a mask, right ones, labels
        self.kept: tuple[nn.Module, Inputs, LossCall] | None = None  # the same, while it can be scored

    @property
    def validated(self) -> bool:
        """Whether the passes without gradients since the last updates were a validation."""
        at = self.validation
        scored = at.scored or self.of_some is not None
        return self.updates >= 3 or (self.updates > 0 and (at.passes >= 2 or scored))

    # A validation

    def looked(self, model: nn.Module, one: Pass) -> None:
        """A pass without gradients: part of a validation, unless an update follows at once."""
        self._count_some()
        at, x = self.validation, one.inputs.rows
        at.passes += 1
        made = any(x.data_ptr() == answer.data_ptr() for answer in self.unscored) if x is not None else False
        if made or (self.firsts and one.name not in self.firsts):
            x = None  # what another part made of the rows
        closely = at.phases < 2 or self.pace.affordable()
        if closely or at.passes < 3:
            self._note_modes(model, one.name)
            if closely and x is not None and x.dim() > 1:
                self._look_into(one.inputs, x)
        at.rows += len(x) if x is not None else 0
        few = len(self.unscored) < UNSCORED and (len(self.unscored) + 1) * one.answer.numel() < KEEP
        self.unscored = [*self.unscored, one.answer] if few else [one.answer]
        self.given = [v.detach() for v in one.inputs.everything if v.data_ptr() != one.answer.data_ptr()]

    def _note_modes(self, model: nn.Module, name: str) -> None:
        """Whether dropout or batch norm is in training mode."""
        if lax := lax_modules(model):
            self.validation.lax += 1
            self.validation.where = self.validation.where or lax[0] or name

    def _look_into(self, inputs: Inputs, x: Tensor) -> None:
        """The rows of a batch, and what they measure."""
        few = self.validation.rows < ROWS
        if few and (identity := inputs.identity(self.register.given_away)) is not None:
            self._note_rows(x, self.register.validate(x, identity))
        if (measured := inputs.numbers_of_rows) is not None:
            self.register.moments(measured, training=False)

    def _note_rows(self, x: Tensor, known: list[bool]) -> None:
        """Rows of the first validation wait for what they should be answered."""
        if self.validation.phases == 0 and len(self.asked) < UNSCORED and len(known) == len(x) > 0:
            self.asked.append((thin(x).clone(), known))

    def _keep_rows(self, truth: Tensor) -> None:
        """These were the right answers: of the last batch, or of all of them."""
        asked, self.asked = self.asked, []
        if asked and truth.dim() and len(truth) == len(asked[-1][1]):
            asked = asked[-1:]
        elif not truth.dim() or len(truth) != sum(len(known) for _, known in asked):
            return
        for (rows, known), targets in zip(asked, truth.split([len(k) for _, k in asked]), strict=True):
            fresh = ~torch.tensor(known)
            self.register.validated(rows[fresh], targets.cpu()[fresh])

    def scored(self, call: LossCall) -> None:
        """A loss without a graph.

        From the second validation on, those that are like the one before wait for each other: to read many
        costs little more than to read one. What it would cost to leave the inputs as they are is a yardstick.
        """
        if any(call.given.data_ptr() == given.data_ptr() for given in self.given):
            return
        kind = _kind_of(call)
        if kind and self.validation.phases and kind == self.scored_like:
            self.scores.append((call, call.given.clone(), call.target.clone()))
            if len(self.scores) * call.given.numel() > LARGE or len(self.scores) == MOST:
                self._catch_up()
        else:
            self._catch_up()
            self.judged = self._read_scores([(call, call.given, call.target)])
            self.scored_like = kind
        if self.judged:
            self.unscored = []

    def _catch_up(self) -> None:
        """Read the losses that wait."""
        scores, self.scores = self.scores, []
        if scores:
            self._read_scores(scores)

    def _read_scores(self, scores: Sequence[Score]) -> bool:
        """Losses of one kind; whether their answers are right or wrong."""
        calls = [call for call, _, _ in scores]
        values = torch.stack([call.value.reshape(()) for call in calls]).tolist()
        for call, value in zip(calls, values, strict=True):
            rows = call.given.shape[0] if call.given.dim() else 1
            self.validation.add_kind(call.kind, value / (rows if call.reduction == "sum" else 1), rows)
        unscored, self.unscored = self.unscored, []  # what we compare ourselves is heard too
        given, target = together([each for _, each, _ in scores]), together([each for _, _, each in scores])
        right = right_answers(given, target)
        if right:
            counts = that_count(right[0], target, calls[0].ignored)
            self.validation.add_answers(right[0][counts], right[1][counts])
        if self.validation.phases < 2 or self.pace.affordable():
            self.register.labels(target, training=False)
        self._keep_rows(target)
        self.unscored = unscored
        return right is not None

    def compared(self, one: Tensor, other: Tensor) -> None:
        """Two tensors of one shape, of which one may hold the answers and the other what they should be."""
        waiting, self.unscored = self.unscored, []  # what we compare ourselves is heard too
        if not waiting or not self.validation.passes:
            return
        given = waiting[-1] if len(waiting) == 1 or not _all_of(waiting, one) else torch.cat(waiting)
        for answers, truth in ((one, other), (other, one)):
            right = _said_so(answers, truth, given)
            if right is not None and right[0].shape[:1] < given.shape[:1]:
                self.of_some = *right, truth
                break
            if right is not None:
                self._count(*right, truth)
                return
        self.unscored = waiting

    def _count(self, answers: Tensor, correct: Tensor, truth: Tensor) -> None:
        counts = that_count(answers, truth, self.chart.rows.ignored)
        self.validation.add_answers(answers[counts], correct[counts])
        if self.validation.phases < 2 or self.pace.affordable():
            self.register.labels(truth, training=False)
        self._keep_rows(truth)

    def _count_some(self) -> None:
        """Several masks may be laid over one pass: the last is that of the validation."""
        found, self.of_some = self.of_some, None
        if found is not None:
            self._count(*found)

    def learning_again(self) -> None:
        """A backward after passes without gradients: they were a validation if updates lay before them.

        In a game of two networks, or where a model supplies others, every update has such passes.
        """
        self._count_some()
        at = self.validation
        if not at.passes:
            return
        if self.validated:
            often = self.chart.counts.get("validations", 0) > max(self.chart.step / 3, 1)
            since = self.chart.step - (self.chart.epochs[-1].step if self.chart.epochs else 0)
            if self.told or (often and not (at.scored and since >= BRIEF)):
                self._end_validation()
            else:
                self.close({}, {})
        self._forget()

    def _end_validation(self, told: bool = False) -> None:
        at, chart = self.validation, self.chart
        chart.count("validations")
        if at.scored:
            chart.count("validations with a score")
        at.phases += 1
        if at.lax:
            chart.count("validations in training mode", at.where)
        if "overlap" not in chart.probes or chart.counts["validations"] <= 3:
            self._compare_rows(told)

    def _forget(self) -> None:
        self.validation = Tally(phases=self.validation.phases)
        self.updates, self.unscored, self.given, self.asked = 0, [], [], []
        self.scores, self.scored_like = [], None
        self.register.begin_phase()

    def _compare_rows(self, told: bool) -> None:
        """Rows of a validation that were trained on; scoring the training rows themselves does not count.

        Unless they are all that was scored, and the loop tells it as its validation.
        """
        phase, trained = self.register.phase, self.chart.rows.train
        everything = [row for _, _, rows in phase for row in rows]
        inside = set(everything) & trained
        self.chart.rows.val.update(everything)
        if len(set(everything)) < FEWEST:
            return
        if len(inside) >= 0.9 * len(trained):  # the training rows were scored too: which were met twice?
            times: dict[int, int] = {}
            for row in everything:
                times[row] = times.get(row, 0) + 1
            leaked, total = sum(times[row] > 1 for row in inside), len(everything) - len(inside)
            if told and not total:
                leaked = total = len(everything)
        else:
            known, clean = (_batches(phase, wholly) for wholly in (True, False))
            apart = known and clean and len(known) + len(clean) == len(phase) and not _goes_on(phase, trained)
            leaked = 0 if apart else sum(n for _, n, _ in phase)
            total = sum(clean) if apart else len(everything)
            self.chart.rows.twin = self.chart.rows.twin or self.register.twin
        if total > 0:
            self.chart.probes["overlap"] = leaked / total, leaked, total

    # An epoch

    def close(self, train: Mapping[str, float], val: Mapping[str, float]) -> None:
        """An epoch is over: the loop says so with its metrics, or a validation ended where it never does."""
        self._count_some()
        self._catch_up()
        if self.validation.passes:
            self._end_validation(told=bool(val))
        at, tally = self.validation, self.training
        told = {f"train {k}": v for k, v in train.items()} | {f"val {k}": v for k, v in val.items()}
        epoch = Epoch(
            self.chart.step,
            train_loss=_first(tally.loss, _told(train, "loss")),
            train_accuracy=_first(tally.accuracy, _told(train, "acc")),
            val_loss=_first(self._validation_loss(), _told(val, "loss")),
            val_accuracy=_first(at.accuracy, _told(val, "acc")),
            val_rows=at.rows,
            measured=at.answers > 0,
            gap=_first(_told(train, "acc") - _told(val, "acc"), tally.accuracy - at.accuracy),
            told=told,
            predicted=at.predicted or tally.predicted,
            met=(self.chart.rows.train_seen, len(self.chart.rows.train)),
        )
        self._score_kept(epoch)
        self.chart.epochs.append(epoch)
        self.training = Tally()
        self._forget()

    def _validation_loss(self) -> float:
        """As it was heard; of several parts the sum that training descends, NaN where that is not known."""
        at = self.validation
        weights = weights_of(self.chart) if at.kinds else {}
        if weights:
            return mixed(weights, {kind: total / count for kind, (total, count) in at.kinds.items()})
        return at.loss if len(at.kinds) < 2 else math.nan

    def keep(self, model: nn.Module, inputs: Inputs, answer: Tensor, call: LossCall) -> None:
        """Keep a batch, to score it in both modes at the end of each epoch."""
        if self.first is None and 0 < inputs.numbers < KEEP:
            self.kept = self.first = model, inputs.apart(), _of_scores(call, answer)

    def _score_kept(self, epoch: Epoch) -> None:
        n = len(self.chart.epochs) + 1
        if self.kept is None or not (n & (n - 1) == 0 or self.pace.affordable()):
            return
        model, inputs, call = self.kept
        try:
            with untouched(), torch.no_grad():
                twin = copy.deepcopy(model)
                epoch.in_eval = _score(twin.eval(), inputs, call)
                epoch.in_train = _score(twin.train(), inputs, call)
        except (RuntimeError, ValueError, TypeError, AttributeError):  # it cannot be copied or asked alone
            self.kept = None


def _kind_of(call: LossCall) -> tuple[Any, ...] | None:
    """What losses have in common that can be read together; None where a loss stands alone."""
    given, target = call.given, call.target
    if not (given.dim() and target.dim()):
        return None
    shapes = given.shape[1:], target.shape[1:], given.dtype, target.dtype, given.device, target.device
    return call.kind, call.reduction, call.ignored, *shapes


def _of_scores(call: LossCall, answer: Tensor) -> LossCall:
    """The loss of an answer as the model gives it, where the loop takes its log_softmax first."""
    with suppress(ValueError):
        given = shaped_as(answer, call.given)
        if call.kind == "nll" and given.dim() > 1 and not torch.equal(given, call.given):
            return replace(call, again=lambda scores, target: call.again(scores.log_softmax(1), target))
    return call


def _all_of(answers: list[Tensor], compared: Tensor) -> bool:
    """Whether a comparison is of the answers of several batches, put together."""
    alike = len({(a.shape[1:], a.dtype, a.device) for a in answers if a.dim()}) == 1
    return alike and compared.dim() > 0 and len(compared) == sum(map(len, answers))


def _said_so(answers: Tensor, truth: Tensor, given: Tensor) -> tuple[Tensor, Tensor] | None:
    """Answers and which of them are right, if they are what ``given`` says; None where they are not."""
    if given.dim() == 2 and answers.dim() == 1 and len(answers) < len(given):
        return _of_some(answers, truth, given)
    whole = truth.long() if not truth.is_floating_point() or bool((truth == truth.round()).all()) else None
    right = right_answers(given, whole) if whole is not None else None
    if right is None or right[0].numel() != answers.numel():
        return None
    return right if bool((right[0].flatten() == answers.flatten()).all()) else None


def _of_some(answers: Tensor, truth: Tensor, given: Tensor) -> tuple[Tensor, Tensor] | None:
    """The same where only some rows of a batch are validated: a graph's, under a mask."""
    if answers.is_floating_point() or truth.is_floating_point() or answers.dtype == torch.bool:
        return None
    classes = given.shape[1]
    if not len(answers) or int(answers.min()) < 0 or int(answers.max()) >= classes:
        return None
    everything = iter(given.argmax(1).tolist())
    in_order = all(answer in everything for answer in answers.tolist())  # a mask keeps the order
    return (answers, answers == truth) if in_order else None


def _score(model: nn.Module, inputs: Inputs, call: LossCall) -> tuple[float, float]:
    """Loss and accuracy of a batch."""
    answer = answer_of(model(*inputs.args, **inputs.kwargs))
    if answer is None:
        raise ValueError("no answer")
    given = shaped_as(answer, call.given)
    right = right_answers(given, call.target)
    loss = float(call.again(given, call.target).double().mean())
    counts = that_count(right[0], call.target, call.ignored) if right else None
    return loss, float(right[1][counts].double().mean()) if right else math.nan


def _batches(phase: list[tuple[int, int, list[int]]], wholly: bool) -> list[int]:
    """Sizes of the batches that were trained on wholly, or hardly."""
    return [n for n, known, _ in phase if n > 1 and (known == n if wholly else known <= 0.2 * n)]


def _goes_on(phase: list[tuple[int, int, list[int]]], trained: set[int]) -> bool:
    """Whether rows that were trained on end within a batch: those before and after it are of one set."""
    for (_, before, rows), (n, known, others) in pairwise(phase):
        if before == len(rows) == n and 1 < known < n and all(row in trained for row in others[:known]):
            return True
    return False


def _first(one: float, other: float) -> float:
    return other if math.isnan(one) else one


def _told(metrics: Mapping[str, float], word: str) -> float:
    return next((float(value) for name, value in metrics.items() if word in name.lower()), math.nan)
