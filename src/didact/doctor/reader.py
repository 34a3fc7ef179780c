"""The rows of an update: inputs, targets and answers, once it is over."""

import torch
from torch import Tensor

from didact.doctor.batches import Batches
from didact.doctor.chart import Chart
from didact.doctor.epochs import Epochs
from didact.doctor.passes import Pass, right_answers, targets_in
from didact.doctor.rows import Register
from didact.doctor.update import Update


class Reader:
    """Reads what went through a model into a chart."""

    def __init__(self, chart: Chart, register: Register, epochs: Epochs):
        self.chart, self.register, self.epochs = chart, register, epochs
        self.batches = Batches()

    def read(self, update: Update, one: Pass, close: bool) -> None:
        """Inputs, targets and answers of a pass; ``close``: whatever that costs."""
        x, targets = one.inputs.rows, self.targets(update, one)
        if x is None or x.dim() < 2:
            return
        if close:
            self.check_finite(x)
            if x.is_floating_point():
                self.register.moments(x, training=True)
        self.register.train(x, targets)
        if targets is None:
            return
        if close:
            self.check_finite(targets)
            self.register.looks_into(x, targets)
        self.register.labels(targets, training=True)
        answers = not update.heard or any(call.given.numel() == one.answer.numel() for call in update.heard)
        right = right_answers(one.answer, targets) if answers else None
        if right:
            self.epochs.training.add_answers(*right)
            self.chart.accuracy.append((self.chart.step, float(right[1].double().mean())))

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
