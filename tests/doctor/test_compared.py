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


# Answers of several batches at once, or of a part of one

Validation = Callable[[nn.Module], tuple[Tensor, Tensor]]
VAL = torch.arange(ROWS) >= TRAINED
BATCHES = torch.arange(TRAINED, ROWS).split(48)


@torch.no_grad()
def answers_put_together(model: nn.Module) -> tuple[Tensor, Tensor]:
    answers = [model(X[at]).argmax(1) for at in BATCHES]
    return torch.cat(answers), torch.cat([CLASSES[at] for at in BATCHES])


@torch.no_grad()
def scores_put_together(model: nn.Module) -> tuple[Tensor, Tensor]:
    out = torch.cat([model(X[at]) for at in BATCHES])
    return out.argmax(1), CLASSES[VAL]


def put_together_later(model: nn.Module) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        outs = [model(X[at]) for at in BATCHES]
    return torch.cat(outs).argmax(1), CLASSES[VAL]


@torch.no_grad()
def under_a_mask(model: nn.Module) -> tuple[Tensor, Tensor]:
    return model(X)[VAL].argmax(1), CLASSES[VAL]


@torch.no_grad()
def answers_under_a_mask(model: nn.Module) -> tuple[Tensor, Tensor]:
    return model(X).argmax(1)[VAL], CLASSES[VAL]


def under_a_mask_later(model: nn.Module) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        out = model(X)
    return out[VAL].argmax(1), CLASSES[VAL]


def validated(
    answered: Validation, between: Callable[[nn.Module], object] = lambda model: None
) -> tuple[list[Epoch], list[float], list[int]]:
    """Epochs as the doctor saw them, their accuracies, and its count of answers of each class in the last."""
    torch.manual_seed(0)
    model, true, votes = nn.Linear(4, 3), [], []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    doctor = Doctor(budget=1.0, quiet=True)
    doctor.on_start(model, optimizer)
    for _ in range(3):
        for at in torch.randperm(TRAINED).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(X[at]), CLASSES[at]).backward()
            optimizer.step()
        answers, truth = answered(model)
        between(model)
        true.append(int((answers == truth).sum()) / len(truth))
        votes = answers.long().bincount(minlength=3).tolist()
    doctor.close()
    assert doctor.chart.errors == []
    return doctor.chart.epochs, true, votes


@pytest.mark.parametrize(
    "answered",
    [
        answers_put_together,
        scores_put_together,
        put_together_later,
        under_a_mask,
        answers_under_a_mask,
        under_a_mask_later,
    ],
)
def test_answers_of_several_batches_and_of_a_part_of_one_are_scored(answered: Validation) -> None:
    epochs, true, votes = validated(answered)
    assert accuracies(epochs) == pytest.approx(true)
    assert 0.4 < true[-1] < 0.9
    assert epochs[-1].predicted == votes
    assert sum(votes) == ROWS - TRAINED


@torch.no_grad()
def a_batch_is_missing(model: nn.Module) -> tuple[Tensor, Tensor]:
    answers = [model(X[at]).argmax(1) for at in BATCHES]
    return torch.cat(answers[:-1]), torch.cat([CLASSES[at] for at in BATCHES[:-1]])


@torch.no_grad()
def of_other_rows(model: nn.Module) -> tuple[Tensor, Tensor]:
    """More answers of one class than were given."""
    answers = model(X).argmax(1)[1:]
    return torch.full_like(answers, 2), torch.full_like(answers, 1)


@torch.no_grad()
def of_other_classes(model: nn.Module) -> tuple[Tensor, Tensor]:
    return model(X)[VAL].argmax(1) + 3, CLASSES[VAL] + 3


@torch.no_grad()
def of_numbers(model: nn.Module) -> tuple[Tensor, Tensor]:
    return model(X)[VAL].argmax(1).float(), CLASSES[VAL].float()


@pytest.mark.parametrize("answered", [a_batch_is_missing, of_other_rows, of_other_classes, of_numbers])
def test_what_the_answers_do_not_say_is_no_part_of_them(answered: Validation) -> None:
    epochs, _, _ = validated(answered)
    assert not any(epoch.measured for epoch in epochs)


def test_answers_do_not_wait_beyond_the_next_pass_that_learns() -> None:
    epochs, _, _ = validated(under_a_mask_later, between=lambda model: model(X))
    assert not any(epoch.measured for epoch in epochs)
    epochs, true, _ = validated(under_a_mask_later, between=lambda model: X + 1)
    assert accuracies(epochs) == pytest.approx(true)


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
