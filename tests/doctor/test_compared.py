"""A validation that is scored by hand: answers compared with labels by ``==``."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.doctor.chart import Epoch
from didact.doctor.doctor import Doctor

ROWS, TRAINED = 320, 192
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(ROWS, 4, generator=GENERATOR)
SCORES = torch.stack([X[:, 0], X[:, 1], X[:, 2]], 1) + torch.randn(ROWS, 3, generator=GENERATOR)
CLASSES, YES = SCORES.argmax(1), (SCORES[:, 0] > 0).long()
Scorer = Callable[[Tensor, Tensor], Tensor]
SEVERAL: dict[str, Scorer] = {
    "==": lambda out, y: out.argmax(1) == y,
    "the other way round": lambda out, y: y == out.argmax(1),
    "eq": lambda out, y: out.argmax(1).eq(y),
    "torch.eq": lambda out, y: torch.eq(torch.max(out, 1)[1], y),
    "of probabilities": lambda out, y: out.softmax(1).argmax(1) == y,
}
TWO: dict[str, Scorer] = {
    "logit": lambda out, y: (out > 0).long() == y,
    "probability": lambda out, y: torch.sigmoid(out).round() == y,
    "as floats": lambda out, y: (out > 0).float() == y.float(),
}


def run(
    score: Scorer, two: bool = False, before: Scorer | None = None, inside: bool = False
) -> tuple[list[Epoch], list[float]]:
    """Epochs as the doctor saw them, and the accuracies that they had; ``inside``: the model squeezes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 1 if two else 3), nn.Flatten(0 if inside else 1))
    optimizer, labels = torch.optim.Adam(model.parameters(), lr=0.02), YES if two else CLASSES
    doctor, true = Doctor(budget=1.0, quiet=True), []
    doctor.on_start(model, optimizer)

    def answer(at: Tensor) -> Tensor:
        return model(X[at]).flatten() if two else model(X[at])

    for _ in range(4):
        for at in torch.randperm(TRAINED).split(32):
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits if two else F.cross_entropy
            loss(answer(at), labels[at].float() if two else labels[at]).backward()
            optimizer.step()
        right = 0
        with torch.no_grad():
            for at in torch.arange(TRAINED, ROWS).split(48):
                out = answer(at)
                if before is not None:
                    before(out, labels[at])
                right += int(score(out, labels[at]).sum())
        true.append(right / (ROWS - TRAINED))
    doctor.close()
    assert doctor.chart.errors == []
    return doctor.chart.epochs, true


def accuracies(epochs: list[Epoch]) -> list[float]:
    assert all(epoch.measured for epoch in epochs)
    return [epoch.val_accuracy for epoch in epochs]


@pytest.mark.parametrize("score", SEVERAL.values(), ids=SEVERAL)
def test_classes_that_are_compared_are_scored(score: Scorer) -> None:
    epochs, true = run(score)
    assert accuracies(epochs) == pytest.approx(true)
    assert 0.4 < true[-1] < 0.9
    assert [sum(epoch.predicted) for epoch in epochs] == [ROWS - TRAINED] * 4


@pytest.mark.parametrize("score", TWO.values(), ids=TWO)
@pytest.mark.parametrize("inside", [True, False], ids=["row", "column"])
def test_a_logit_that_is_compared_is_scored(score: Scorer, inside: bool) -> None:
    epochs, true = run(score, two=True, inside=inside)
    assert accuracies(epochs) == pytest.approx(true)
    assert 0.5 < true[-1] < 0.95


OTHERS: dict[str, Scorer] = {
    "of labels": lambda out, y: y == y.roll(1),
    "of answers": lambda out, y: out == out.roll(1),
    "with a number": lambda out, y: y == 0,
    "with one": lambda out, y: y == torch.tensor(0),
    "of two rows": lambda out, y: y[1:] == y[:-1],
    "of other answers": lambda out, y: out.argmin(1) == y,
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_other_comparisons_are_none(other: Scorer) -> None:
    epochs, _ = run(other)
    assert not any(epoch.measured for epoch in epochs)
    epochs, true = run(SEVERAL["=="], before=other)
    assert accuracies(epochs) == pytest.approx(true)


def test_an_answer_is_scored_once() -> None:
    for again in (SEVERAL["=="], F.cross_entropy):
        epochs, true = run(SEVERAL["=="], before=again)
        assert accuracies(epochs) == pytest.approx(true)
        assert [sum(epoch.predicted) for epoch in epochs] == [ROWS - TRAINED] * 4


@pytest.mark.parametrize("first_closes_first", [False, True])
def test_comparing_is_as_it_was(first_closes_first: bool) -> None:
    before = torch.Tensor.__eq__, torch.Tensor.eq, torch.eq
    first, second, model = Doctor(), Doctor(), nn.Linear(4, 3)
    first.on_start(model)
    assert torch.Tensor.__eq__ is not before[0]
    second.on_start(model)
    for doctor in (first, second) if first_closes_first else (second, first):
        doctor.close()
    assert (torch.Tensor.__eq__, torch.Tensor.eq, torch.eq) == before
    assert not {"__eq__", "eq"} & set(vars(torch.Tensor))
    assert hash(X) == id(X)
