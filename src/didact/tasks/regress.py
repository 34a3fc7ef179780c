"""Regression: a number for each row. It learns the standardised target and is scored in the target's unit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.data.batches import Batch, Split
from didact.data.raw import Part
from didact.tasks.exhibits import Scatter
from didact.tasks.metrics import mean_absolute_error, mean_squared_error, r_squared
from didact.tasks.task import Numbers, Outcome, Step, Task, outputs_of

LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss, "smooth-l1": F.smooth_l1_loss}


@dataclass
class Regress(Task):
    """Mean squared error by default.

    Attributes:
        loss: ``mse`` (its best constant answer is the mean), ``l1`` (the median; robust to outliers) or
            ``smooth-l1``, on the standardised target. Notes 001, section VII.1; 000, section 2.4.3.
    """

    loss: Literal["mse", "l1", "smooth-l1"] = "mse"
    name = "regress"
    metric = "rmse"

    def losses(self, model: nn.Module, batch: Batch) -> Iterator[Step]:
        """One step: the mean loss of the batch."""
        inputs, targets = batch
        yield Step("model", LOSSES[self.loss](model(inputs), targets))

    def score(self, model: nn.Module, split: Split, batch_size: int = 256, workers: int = 0) -> Numbers:
        """Root mean squared and mean absolute error in the target's unit, R squared, and the loss."""
        return self._numbers(*outputs_of(model, split, batch_size, workers))

    def examine(self, model: nn.Module, split: Split, part: Part, batch_size: int = 256) -> Outcome:
        """The numbers, and predicted against true."""
        outputs, targets = outputs_of(model, split, batch_size)
        true, predicted = self._unit(targets).flatten().tolist(), self._unit(outputs).flatten().tolist()
        return Outcome(self._numbers(outputs, targets), [Scatter(true, predicted, self.facts.target_name)])

    def decode(self, outputs: Tensor) -> list[dict[str, Any]]:
        """The number, in the target's unit."""
        return [{self.facts.target_name: value} for value in self._unit(outputs).flatten().tolist()]

    def _numbers(self, outputs: Tensor, targets: Tensor) -> Numbers:
        loss = LOSSES[self.loss](outputs, targets).item()
        outputs, targets = self._unit(outputs), self._unit(targets)
        return {
            "loss": loss,
            "rmse": mean_squared_error(outputs, targets) ** 0.5,
            "mae": mean_absolute_error(outputs, targets),
            "r2": r_squared(outputs, targets),
        }

    def _unit(self, standardised: Tensor) -> Tensor:
        return standardised.to(torch.float64) * self.facts.target_std + self.facts.target_mean
