"""What learning means: a task turns a batch into losses, and knows how well a model does.

The loop never asks which task it runs. An ordinary task yields one step a batch; a game of two players
yields two, the second computed after the first was applied.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from didact.data.batches import Batch, Split, ordered_batches
from didact.data.facts import Facts
from didact.data.raw import Part
from didact.tasks.exhibits import Exhibit

Numbers = dict[str, float]


@dataclass
class Step:
    """One loss to descend.

    Attributes:
        group: Which optimizer applies it; a key of ``Task.groups``.
        loss: Scalar, to be differentiated.
        logs: Detached sums over the examples of the batch; the loop divides them by the examples it saw.
    """

    group: str
    loss: Tensor
    logs: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Outcome:
    """How well a model does on one split: numbers, and what there is to see."""

    numbers: Numbers
    exhibits: list[Exhibit]


@dataclass
class Task:
    """Base of every task. Fields after ``facts`` are knobs that ``--set`` reaches.

    Class attributes:
        name: As in the catalogue.
        metric: The number of a score that people quote.
        watch: The number that chooses the best weights on the validation split; lower is better.
    """

    facts: Facts
    name = "task"
    metric = "loss"
    watch = "loss"

    def groups(self, model: nn.Module) -> dict[str, nn.Module]:
        """The parts of the model that have an optimizer each."""
        return {"model": model}

    def losses(self, model: nn.Module, batch: Batch) -> Iterator[Step]:
        """Yield the steps of one batch."""
        raise NotImplementedError

    def score(self, model: nn.Module, split: Split, batch_size: int = 256, workers: int = 0) -> Numbers:
        """The numbers of one split, with the model in evaluation mode."""
        raise NotImplementedError

    def examine(self, model: nn.Module, split: Split, part: Part, batch_size: int = 256) -> Outcome:
        """The numbers of one split and what there is to see of it."""
        raise NotImplementedError

    def decode(self, outputs: Tensor) -> list[dict[str, Any]]:
        """Turn a batch of model outputs into answers a person or a program can read."""
        raise NotImplementedError


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter lies."""
    return next(model.parameters()).device


@contextmanager
def evaluating(model: nn.Module) -> Iterator[torch.device]:
    """Evaluation mode without gradients, its own mode restored after; gives the device the model lies on."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield device_of(model)
    finally:
        model.train(training)


def outputs_of(model: nn.Module, split: Split, batch_size: int, workers: int = 0) -> tuple[Tensor, Tensor]:
    """Outputs and targets of a whole split on the CPU, the model in evaluation mode."""
    outputs, targets = [], []
    with evaluating(model) as device:
        for batch in ordered_batches(split, batch_size, workers=workers):
            inputs, target = (tensor.to(device) for tensor in batch)
            outputs.append(model(inputs).float().cpu())
            targets.append(target.cpu())
    return torch.cat(outputs), torch.cat(targets)
