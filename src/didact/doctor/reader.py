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
from didact.doctor.passes import Pass, right_answers, targets_in
from didact.doctor.rows import Register, fingerprints
from didact.doctor.update import Update

MOST = 16  # batches that wait to be read together
LARGE = 1_000_000  # numbers in them, beyond which they are read at once


@dataclass(frozen=True)
class Batch:
    """What went through a model once.

    Attributes:
        step: Updates before it.
        x: (B, ...) what went in.
        targets: What belongs to it, where that is known.
        answers: What came out, if it was compared with the targets.
    """

    step: int
    x: Tensor
    targets: Tensor | None
    answers: Tensor | None

    @property
    def shapes(self) -> tuple[Any, ...]:
        """Batches of the same shapes can be put together."""
        return tuple((t.shape[1:], t.dtype) for t in (self.x, self.targets, self.answers) if t is not None)

    def apart(self) -> "Batch":
        """A copy: the loop may write the next batch over this one."""
        copies = (None if t is None else t.clone() for t in (self.x, self.targets, self.answers))
        return Batch(self.step, *copies)  # type: ignore[arg-type]


class Reader:
    """Reads what went through a model into a chart.

    Most batches wait until there are some to read together, which costs little more than to read one:
    ``catch_up`` before anybody asks.
    """

    def __init__(self, chart: Chart, register: Register, epochs: Epochs):
        self.chart, self.register, self.epochs = chart, register, epochs
        self.batches = Batches()
        self.waiting: list[Batch] = []

    def read(self, update: Update, one: Pass, close: bool) -> None:
        """Inputs, targets and answers of a pass; ``close``: whatever that costs."""
        x, targets = one.inputs.rows, self.targets(update, one)
        if x is None or x.dim() < 2:
            return
        if close:
            self._read_closely(x, targets)
        compared = not update.heard or any(call.given.numel() == one.answer.numel() for call in update.heard)
        batch = Batch(self.chart.step, x.detach(), targets, one.answer if compared else None)
        if self.waiting and batch.shapes != self.waiting[0].shapes:
            self.catch_up()
        self.waiting.append(batch.apart())
        if close or MOST * x.numel() > LARGE or len(self.waiting) == MOST:
            self.catch_up()

    def _read_closely(self, x: Tensor, targets: Tensor | None) -> None:
        self.check_finite(x)
        if x.is_floating_point():
            self.register.moments(x, training=True)
        if targets is not None:
            self.check_finite(targets)
            self.register.looks_into(x, targets)

    def catch_up(self) -> None:
        """Read what waits."""
        batches, self.waiting = self.waiting, []
        if not batches:
            return
        prints = iter(fingerprints(_together([batch.x for batch in batches])))
        for batch in batches:
            self.register.train(batch.x, batch.targets, list(islice(prints, len(batch.x))))
            if batch.targets is not None:
                self.register.labels(batch.targets, training=True)
        self._read_answers(batches)

    def _read_answers(self, batches: Sequence[Batch]) -> None:
        pairs = [(b.answers, b.targets) for b in batches if b.answers is not None and b.targets is not None]
        right = right_answers(*(_together(part) for part in zip(*pairs, strict=True))) if pairs else None
        if right is None:
            return
        self.epochs.training.add_answers(*right)
        for batch, correct in zip(batches, right[1].split([len(t) for _, t in pairs]), strict=True):
            self.chart.accuracy.append((batch.step, float(correct.double().mean())))

    def targets(self, update: Update, one: Pass) -> Tensor | None:
        """What belongs to the inputs: as the loop told, as the loader gave it, or as a loss was given it."""
        found, training, heard = one.targets, update.training, update.heard
        if found is None:
            found = targets_in(self.batches.of(one.inputs.tensor), one.inputs.tensor)
        if found is None and one.compared is not None:
            found = one.compared.target
        if found is None and heard:
            if one in training and len(heard) == len(training):
                found = heard[training.index(one)].target
            elif len(heard) == 1 or one is training[-1]:
                found = heard[-1].target
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


def _together(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
