"""Classification: one label out of C for each image, row or text."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.data.batches import Batch, Split
from didact.data.card import in_words, picture_uri
from didact.data.raw import Part
from didact.errors import UsageError
from didact.tasks.exhibits import Confusion, Exhibit, Mistake, Mistakes
from didact.tasks.metrics import balanced_accuracy, confusion_matrix, macro_f1, top_k_accuracy, top_k_error
from didact.tasks.task import Numbers, Outcome, Step, Task, outputs_of

SHOWN_MISTAKES = 12


@dataclass
class Classify(Task):
    """Cross-entropy on logits.

    Attributes:
        label_smoothing: The notes' epsilon (000, section 3.4): the true class is given 1 - epsilon, the
            others share epsilon. torch spreads its value over all C classes: it is given epsilon C / (C - 1).
    """

    label_smoothing: float = 0.0
    name = "classify"
    metric = "accuracy"

    def __post_init__(self) -> None:
        equal = 1 - 1 / max(len(self.facts.classes), 2)  # here all classes are given the same
        if not 0 <= self.label_smoothing < equal:
            raise UsageError(
                f"label_smoothing={self.label_smoothing}: choose from 0 to less than {equal:g}, "
                "where the true class would be given no more than the others"
            )

    def losses(self, model: nn.Module, batch: Batch) -> Iterator[Step]:
        """One step: the mean cross-entropy of the batch, and a share of that of each auxiliary head."""
        inputs, labels = batch
        logits, *auxiliary = _answers(model, inputs)
        loss = self.loss(logits, labels)
        for other in auxiliary:
            loss = loss + getattr(model, "auxiliary_weight", 1.0) * self.loss(other, labels)
        yield Step("model", loss, {"accuracy": (logits.detach().argmax(1) == labels).sum()})

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy with the notes' label smoothing; logits (B, C), labels (B,)."""
        classes = logits.shape[1]
        spread = self.label_smoothing * classes / max(classes - 1, 1)
        return F.cross_entropy(logits, labels, label_smoothing=spread)

    def score(self, model: nn.Module, split: Split, batch_size: int = 256, workers: int = 0) -> Numbers:
        """Loss, accuracy, macro F1, balanced accuracy, and top-5 where there are more than five classes."""
        return self._numbers(*outputs_of(model, split, batch_size, workers))

    def examine(self, model: nn.Module, split: Split, part: Part, batch_size: int = 256) -> Outcome:
        """The numbers, the confusion matrix and the worst mistakes."""
        logits, labels = outputs_of(model, split, batch_size)
        matrix = confusion_matrix(logits.argmax(1), labels, len(self.facts.classes))
        exhibits: list[Exhibit] = [
            Confusion(self.facts.classes, matrix.tolist()),
            self._mistakes(logits, labels, part),
        ]
        return Outcome(self._numbers(logits, labels), exhibits)

    def decode(self, outputs: Tensor) -> list[dict[str, Any]]:
        """The likeliest class of each row, its probability, and the best five."""
        probabilities, labels = outputs.softmax(1).topk(min(5, outputs.shape[1]), dim=1)
        answers = []
        for shares, best in zip(probabilities.tolist(), labels.tolist(), strict=True):
            ranking = {self.facts.classes[label]: share for label, share in zip(best, shares, strict=True)}
            answers.append({"class": self.facts.classes[best[0]], "probability": shares[0], "best": ranking})
        return answers

    def _numbers(self, logits: Tensor, labels: Tensor) -> Numbers:
        count = logits.shape[1]
        matrix = confusion_matrix(logits.argmax(1), labels, count)
        numbers = {
            "loss": F.cross_entropy(logits, labels).item(),
            "accuracy": matrix.trace().item() / len(labels),
            "macro_f1": macro_f1(matrix),
            "balanced_accuracy": balanced_accuracy(matrix),
        }
        if count > 5:
            numbers["top5"] = top_k_accuracy(logits, labels, 5)
            numbers["top5_error"] = top_k_error(logits, labels, 5)
        return numbers

    def _mistakes(self, logits: Tensor, labels: Tensor, part: Part) -> Mistakes:
        sure, predicted = logits.softmax(1).max(1)
        wrong = torch.nonzero(predicted != labels).flatten()
        worst = wrong[sure[wrong].argsort(descending=True, stable=True)][:SHOWN_MISTAKES].tolist()
        names = self.facts.classes
        shown = [
            Mistake(
                part.place(i),
                names[int(labels[i])],
                names[int(predicted[i])],
                sure[i].item(),
                picture=picture_uri(part.items[i]) if self.facts.inputs == "image" else "",
                text="" if self.facts.inputs == "image" else in_words(part.items[i]),
            )
            for i in worst
        ]
        return Mistakes(shown, len(wrong), len(labels))


def _answers(model: nn.Module, inputs: Tensor) -> tuple[Tensor, ...]:
    """The logits, and those of the auxiliary heads of a model that has ``forward_with_auxiliary``."""
    whole = getattr(model, "forward_with_auxiliary", None)
    return (model(inputs),) if whole is None else whole(inputs)
