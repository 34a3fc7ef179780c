"""One call of a model from outside: what went in, what came out, and whether a gradient came back."""

# B rows, C classes

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from didact.doctor.byhand import Comparison
from didact.doctor.inputs import Inputs
from didact.doctor.newborn import BATCH_NORMS, DROPOUTS
from didact.doctor.operations import Operation

FEW = 20  # right or wrong ones that are too few for it


@dataclass(eq=False)
class Pass:
    """One call of a model.

    Attributes:
        name: Of the model.
        answer: What a loss would take of its output, without its graph.
        output: All of it, without its graph.
        learning: Gradients were recorded.
        training: The model was in training mode.
        answered: A gradient came back to its answer.
        producer: The operation that made the answer.
        operations: What ran inside, where that was traced.
        targets: What the loop told to belong to it.
        made_by: The node of the graph that made the answer, until the backward.
        compared: What a loss by hand compared it with.
        felt: The gradient that came back was not zero.
        turn: Backwards of its update before it.
        batch: What a loader gave for it.
        strangers: Parameters, by id, that it read and the model has not.
    """

    name: str
    inputs: Inputs
    answer: Tensor
    output: Any
    learning: bool
    training: bool
    answered: bool = False
    producer: str = ""
    operations: list[Operation] = field(default_factory=list)
    targets: Tensor | None = None
    made_by: Any = None
    compared: Comparison | None = None
    felt: bool = False
    turn: int = 0
    batch: Any = None
    strangers: frozenset[int] = frozenset()

    def hear(self, gradient: Tensor) -> None:
        """A gradient came back."""
        self.answered = True

    def receive(self, gradient: Tensor) -> None:
        """A gradient came back: is it one?"""
        self.answered, self.felt = True, bool(gradient.any())


@dataclass
class Tally:
    """Sums of an epoch, or of the passes of a validation.

    Attributes:
        kinds: The same sums of each loss function: total and count.
        passes: Passes without gradients.
        lax: How many of them had dropout or batch norm in training mode; ``where`` the first.
        sure: How sure the model was of answers that were scored, and ``right`` whether they are.
        phases: Validations before this one.
    """

    total: float = 0.0
    count: int = 0
    kinds: dict[str, list[float]] = field(default_factory=dict)
    correct: float = 0.0
    answers: int = 0
    votes: dict[int, int] = field(default_factory=dict)
    passes: int = 0
    rows: int = 0
    sure: list[Tensor] = field(default_factory=list)
    right: list[Tensor] = field(default_factory=list)
    lax: int = 0
    where: str = ""
    phases: int = 0

    def add_loss(self, mean: float, rows: int) -> None:
        """A mean over so many rows."""
        self.total += mean * rows
        self.count += rows

    def add_kind(self, kind: str, mean: float, rows: int) -> None:
        """The mean of one loss function; others may be parts of the same loss."""
        self.add_loss(mean, rows)
        sums = self.kinds.setdefault(kind, [0.0, 0])
        sums[0] += mean * rows
        sums[1] += rows

    def add_answers(self, answers: Tensor, correct: Tensor) -> None:
        """Classes that were answered, and which of them are right."""
        self.correct += int(correct.count_nonzero())
        self.answers += correct.numel()
        if len(self.votes) < 200:
            for answer, times in Counter(answers.flatten().tolist()).items():
                self.votes[answer] = self.votes.get(answer, 0) + times

    def add_sureness(self, given: Tensor, correct: Tensor, counts: Tensor) -> None:
        """Scores, (B, C, ...) or one a row; which of the answers are right, and which count."""
        self.sure.append(sureness(given, correct.shape)[counts].cpu())
        self.right.append(correct[counts].cpu())

    @property
    def scored(self) -> bool:
        """Whether a loss or an answer was counted."""
        return self.answers > 0 or self.count > 0

    @property
    def ranked(self) -> int:
        """Answers whose sureness is known."""
        return sum(map(len, self.sure))

    @property
    def hit(self) -> float:
        """The share of them that are right."""
        return float(torch.cat(self.right).double().mean())

    @property
    def surer(self) -> float:
        """How often the model is surer of a right answer than of a wrong one; NaN where few are either."""
        if not self.sure:
            return math.nan
        sure, right = (torch.cat(part).double().numpy() for part in (self.sure, self.right))
        rights, wrongs = int(right.sum()), int((1 - right).sum())
        if min(rights, wrongs) < FEW:
            return math.nan
        _, place, times = np.unique(sure, return_inverse=True, return_counts=True)
        ranks = (times.cumsum() - (times - 1) / 2)[
            place
        ]  # (Mann and Whitney 1947), those alike in the middle
        return float((ranks[right > 0].sum() - rights * (rights + 1) / 2) / (rights * wrongs))

    @property
    def loss(self) -> float:
        """The mean over all rows; NaN without any."""
        return self.total / self.count if self.count else math.nan

    @property
    def accuracy(self) -> float:
        """The share of right answers; NaN without any."""
        return self.correct / self.answers if self.answers else math.nan

    @property
    def predicted(self) -> list[int]:
        """Answers of each class."""
        return [self.votes.get(k, 0) for k in range(max(self.votes, default=-1) + 1)]


def that_count(answers: Tensor, target: Tensor, ignored: int) -> Tensor:
    """Which answers are scored at all: not those of places whose class number is ``ignored``."""
    if target.is_floating_point() or target.shape != answers.shape:
        return torch.ones_like(answers, dtype=torch.bool)
    return target != ignored


def right_answers(given: Tensor, target: Tensor) -> tuple[Tensor, Tensor] | None:
    """Answers and which of them are right, where classes are told apart; None elsewhere.

    Args:
        given: (B, C, ...) or (..., C) scores, or one score a row for two classes.
        target: Class numbers, or zeros and ones.
    """
    if not target.is_floating_point() and given.dim() == target.dim() + 1:
        second = target.dim() > 0 and given.shape[:1] + given.shape[2:] == target.shape
        axis = 1 if second else given.dim() - 1
        if given.shape[axis] > 1:
            answers = given.argmax(axis)
            return (answers, answers == target) if answers.shape == target.shape else None
    if given.numel() == target.numel() and given.numel() and bool(((target == 0) | (target == 1)).all()):
        if target.dim() == 2 and target.shape[1] > 1 and bool((target.sum(1) == 1).all()):  # one of many
            return right_answers(given.reshape(target.shape), target.argmax(1))
        given, target = given.flatten(), target.flatten()
        unit = bool(((given >= 0) & (given <= 1)).all())
        answers = (given > (0.5 if unit else 0.0)).long()
        return answers, answers == target
    return None


def sureness(given: Tensor, shape: torch.Size) -> Tensor:
    """How sure each answer is: its lead over the next best class, or its distance from the middle.

    Args:
        given: As in ``right_answers``.
        shape: Of the answers.
    """
    given = given.detach().float()
    if given.numel() == shape.numel():
        unit = bool(((given >= 0) & (given <= 1)).all())
        return (given - (0.5 if unit else 0.0)).abs().reshape(shape)
    if given.dim() != len(shape) + 1:  # one-hot, flattened
        given = given.reshape(*shape, -1)
    axis = 1 if given.shape[:1] + given.shape[2:] == shape else given.dim() - 1
    best, next_best = given.topk(2, axis).values.unbind(axis)
    return best - next_best


def targets_in(batch: Any, inputs: Tensor | None) -> Tensor | None:
    """The tensor of a batch that is not the input: ``(x, y)``, ``{"labels": y}``; None when there is none."""
    if isinstance(batch, Mapping):
        named = [value for key, value in batch.items() if _names_targets(str(key).lower())]
        rest = named or list(batch.values())[1:]
    elif isinstance(batch, list | tuple):
        rest = list(batch)[1:]
    else:
        return None
    tensors = [v for v in rest if isinstance(v, Tensor) and v.dim() and v is not inputs]
    return tensors[-1] if tensors else None


def _names_targets(key: str) -> bool:
    return key == "y" or "label" in key or "target" in key


def lax_modules(model: nn.Module) -> list[str]:
    """Names of what is in training mode and would answer otherwise in evaluation."""
    return [name for name, module in model.named_modules() if module.training and _acts_in_training(module)]


def _acts_in_training(module: nn.Module) -> bool:
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
        return module.dropout > 0
    return isinstance(module, BATCH_NORMS) or (isinstance(module, DROPOUTS) and module.p > 0)


def has_modes(model: nn.Module) -> bool:
    """Whether the modes differ in what is trained: dropout, or batch norm that is not frozen."""
    for module in model.modules():
        if isinstance(module, BATCH_NORMS) and not any(p.requires_grad for p in module.parameters()):
            continue
        if _acts_in_training(module):
            return True
    return False
