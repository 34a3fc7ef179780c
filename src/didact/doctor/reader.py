"""The rows of an update: inputs, targets and answers, once it is over."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from didact.doctor.batches import Batches
from didact.doctor.chart import Chart
from didact.doctor.epochs import Epochs
from didact.doctor.inputs import Inputs, places_of
from didact.doctor.pairing import CLASSES
from didact.doctor.passes import Pass, Tally, right_answers, targets_in, that_count
from didact.doctor.rows import Register, fingerprints, together
from didact.doctor.taps import LossCall
from didact.doctor.update import Update

MOST = 16  # batches that wait to be read together
WINDOW = 256  # answers that are ranked together by how sure they are
LARGE = 1_000_000  # numbers in them, beyond which they are read at once


@dataclass(frozen=True)
class Batch:
    """What went through a model once.

    Attributes:
        step: Updates before it.
        x: (B, ...) what went in; None where one example is what several passes were given.
        identity: (B, ...) all that tells one example from another.
        targets: What belongs to it, where that is known.
        answers: What came out, if it was compared with the targets.
    """

    step: int
    x: Tensor | None
    identity: Tensor
    targets: Tensor | None
    answers: Tensor | None

    @property
    def shapes(self) -> tuple[Any, ...]:
        """Batches of the same shapes can be put together."""
        return tuple(None if t is None else (t.shape[1:], t.dtype) for t in self._tensors)

    @property
    def _tensors(self) -> tuple[Tensor | None, ...]:
        return self.x, self.identity, self.targets, self.answers

    def apart(self) -> "Batch":
        """A copy: the loop may write the next batch over this one."""
        copies = {id(t): t.clone() for t in self._tensors if t is not None}
        return Batch(self.step, *(copies.get(id(t)) for t in self._tensors))  # type: ignore[arg-type]


class Reader:
    """Reads what went through a model into a chart.

    Most batches wait until there are some to read together, which costs little more than to read one:
    ``catch_up`` before anybody asks.
    """

    def __init__(self, chart: Chart, register: Register, epochs: Epochs):
        self.chart, self.register, self.epochs = chart, register, epochs
        self.batches = Batches()
        self.waiting: list[Batch] = []
        self.window = Tally()  # of answers in training, until there are enough to rank them

    def read(self, update: Update, passes: Sequence[Pass], close: bool) -> None:
        """Inputs, targets and answers of passes; ``close``: whatever that costs."""
        self.epochs.firsts.update(one.name for one in passes[:1])
        if update.together:
            self._read_together(update, passes, close)
        else:
            for one in passes:
                if one.name == passes[0].name and not update.handed_on(one):
                    self._read(update, one, close)
            if close and passes and update.backwards == 1 and update.training[-1].name != passes[0].name:
                self._read_words(update, update.training[-1])

    def _read_words(self, update: Update, last: Pass) -> None:
        """The words that a decoder is given, which is a model of its own."""
        words, targets = last.inputs.tensor, self.targets(update, last)
        if words is not None and targets is not None:
            self.register.told(words, targets)

    def _read(self, update: Update, one: Pass, close: bool) -> None:
        x, targets = one.inputs.rows, self.targets(update, one)
        targets = self.register.by_row(targets) if targets is not None else None
        if close and x is not None and x.dim() > 1:
            self._read_closely(one.inputs, targets)
        identity = one.inputs.identity(self.register.given_away)
        if x is None or identity is None or x.dim() < 2:
            return
        compared = not update.heard or any(call.given.numel() == one.answer.numel() for call in update.heard)
        answers = one.answer if compared else None
        rows = x.detach()
        whole = rows if identity is x else identity.detach()
        self._wait(Batch(self.chart.step, rows, whole, targets, answers))

    def _read_together(self, update: Update, passes: Sequence[Pass], close: bool) -> None:
        """An example is what all of them were given: it has one target."""
        for one in passes:
            if close and one.inputs.rows is not None and one.inputs.rows.dim() > 1:
                self._read_closely(one.inputs, None)
        known = [one.inputs.identity() for one in passes]
        parts = [
            part.detach().reshape(len(part), -1) for part in known if part is not None and part.dim() > 1
        ]
        if len(parts) == len(passes) and len({len(part) for part in parts}) == 1:
            targets = self.targets(update, passes[-1])
            self._wait(Batch(self.chart.step, None, torch.cat(parts, 1), targets, None))

    def _wait(self, batch: Batch) -> None:
        if self.waiting and batch.shapes != self.waiting[0].shapes:
            self.catch_up()
        self.waiting.append(batch.apart())
        if MOST * batch.identity.numel() > LARGE or len(self.waiting) == MOST:
            self.catch_up()

    def _read_closely(self, inputs: Inputs, targets: Tensor | None) -> None:
        x = inputs.rows
        assert x is not None
        self.check_finite(x)
        if (measured := inputs.numbers_of_rows) is not None:
            self.check_finite(measured)
            self.register.moments(measured, training=True)
        if targets is not None:
            self.check_finite(targets)
            self.register.looks_into([x, *inputs.parts[1:]], targets)

    def catch_up(self) -> None:
        """Read what waits."""
        batches, self.waiting = self.waiting, []
        if not batches:
            return
        prints = iter(fingerprints(together([batch.identity for batch in batches])))
        for batch in batches:
            self.register.train(batch.x, batch.targets, list(islice(prints, len(batch.identity))))
            if batch.targets is not None:
                self.register.labels(batch.targets, training=True)
        self._read_answers(batches)

    def _read_answers(self, batches: Sequence[Batch]) -> None:
        pairs = [(b.answers, b.targets) for b in batches if b.answers is not None and b.targets is not None]
        if not pairs:
            return
        given, targets = (together(part) for part in zip(*pairs, strict=True))
        right = right_answers(given, targets)
        if right is None:
            return
        counts = that_count(right[0], targets, self.chart.rows.ignored)
        self.epochs.training.add_answers(right[0][counts], right[1][counts])
        self._note_sureness(given, right[1], counts)
        sizes = [len(one) for _, one in pairs]
        parts = (part.reshape(sum(sizes), -1).split(sizes) for part in (right[1], counts))
        for batch, correct, here in zip(batches, *parts, strict=True):
            if bool(here.any()):
                self.chart.accuracy.append((batch.step, float(correct[here].double().mean())))

    def _note_sureness(self, given: Tensor, correct: Tensor, counts: Tensor) -> None:
        """Of so many answers: are right ones surer than wrong ones?"""
        self.window.add_sureness(given, correct, counts)
        if self.window.ranked >= WINDOW:
            self.chart.surer.append((self.chart.step, self.window.surer, self.window.hit))
            self.window = Tally()

    def targets(self, update: Update, one: Pass) -> Tensor | None:
        """What belongs to the inputs: as the loop told, as the loader gave it, or as a loss was given it."""
        found, training, heard = one.targets, update.training, update.heard
        if found is None:
            found = _as_compared(targets_in(one.batch, one.inputs.tensor), one, heard)
        if found is None and one.compared is not None:
            found = one.compared.target
        if found is None and heard:
            if mine := _of_answer(one, heard):
                found = mine[-1].target if agree(mine) else None
            elif any(call.given.data_ptr() in places_of(one.output) for call in heard):
                found = None  # a loss of another head
            elif one in training and len(heard) == len(training):
                found = heard[training.index(one)].target
            elif one.turn == training[-1].turn and (len(heard) == 1 or one is training[-1]):
                found = heard[-1].target
        if (found is None or found.is_floating_point()) and len(named := _classes(update, one)) == 1:
            found = named[0]
        return found.detach() if found is not None else None

    def check_finite(self, x: Tensor) -> None:
        """Where the first number is that is none."""
        if not x.is_floating_point() or self.chart.rows.not_finite or bool(x.isfinite().all()):
            return
        flat = ~torch.isfinite(x).reshape(len(x), -1)
        row, column = flat.nonzero()[0].tolist()
        share = float(flat.any(1).double().mean())
        found = {"step": self.chart.step, "row": row, "column": column, "share of rows": share}
        self.chart.rows.not_finite = found


def _of_answer(one: Pass, heard: Sequence[LossCall]) -> list[LossCall]:
    """The losses that were given the very answer of a pass."""
    return [call for call in heard if call.given.data_ptr() == one.answer.data_ptr() != 0]


def _as_compared(batch: Tensor | None, one: Pass, heard: Sequence[LossCall]) -> Tensor | None:
    """Targets of a batch, in the order in which the loss got them: the loop may have put them in another."""
    mine = _of_answer(one, heard)
    if batch is None or not mine or not agree(mine):
        return batch
    target = mine[-1].target
    if target.shape != batch.shape or target.dtype != batch.dtype or torch.equal(target, batch):
        return batch
    return target if torch.equal(target.flatten().sort().values, batch.flatten().sort().values) else batch


def _classes(update: Update, one: Pass) -> list[Tensor]:
    """Class numbers that losses were given, one for each row: one of several tasks may tell classes apart."""
    rows = len(one.answer) if one.answer.dim() else 0
    calls = [call for call in update.heard if call.kind in CLASSES and not call.target.is_floating_point()]
    return [call.target for call in calls if call.target.shape == (rows,)]


def agree(calls: Sequence[LossCall]) -> bool:
    """Whether losses that were given the last one's answer compare it with the same: no labels are mixed."""
    last = calls[-1]
    place = last.kind, last.given.data_ptr(), last.target.shape
    alike = [c.target for c in calls if (c.kind, c.given.data_ptr(), c.target.shape) == place]
    return all(torch.equal(target, last.target) for target in alike)
