"""Answers that are scored: which count, how sure a model is of them, and whether that says anything."""

# B rows, C classes, T places

import math

import pytest
import torch
from torch import Tensor

from didact.doctor.passes import FEW, Tally, right_answers, sureness, that_count

ROWS, CLASSES = 240, 4
GENERATOR = torch.Generator().manual_seed(0)
SCORES = torch.randn(ROWS, CLASSES, generator=GENERATOR)
RIGHT = torch.rand(ROWS, generator=GENERATOR) < 0.7


def leads(by: Tensor) -> Tensor:
    """Scores of which the best leads the next by so much, (B, C)."""
    scores = torch.zeros(len(by), CLASSES)
    scores[:, 0], scores[:, 1] = by, -1.0
    return scores


def ranked(given: Tensor, correct: Tensor = RIGHT, counts: Tensor | None = None) -> Tally:
    tally = Tally()
    tally.add_sureness(given, correct, torch.ones_like(correct) if counts is None else counts)
    return tally


def by_pairs(sure: Tensor, right: Tensor) -> float:
    """Each right answer against each wrong one."""
    return float((sure[right][:, None] > sure[~right]).double().mean())


def test_sureness_that_tells_right_from_wrong_is_near_one() -> None:
    noise = torch.rand(ROWS, generator=GENERATOR)
    assert ranked(leads(RIGHT + noise)).surer == 1.0
    assert ranked(leads(~RIGHT + noise)).surer == 0.0
    assert ranked(leads(RIGHT + 2 * noise)).surer == pytest.approx(7 / 8, abs=0.05)


def test_sureness_that_says_nothing_is_near_a_half() -> None:
    assert ranked(SCORES).surer == pytest.approx(0.5, abs=0.08)  # two standard errors


def test_every_pair_of_a_right_and_a_wrong_answer_is_counted() -> None:
    best, next_best = SCORES.topk(2, 1).values.T
    assert ranked(SCORES).surer == pytest.approx(by_pairs(best - next_best, RIGHT), abs=1e-9)
    parts = Tally()
    for at in torch.arange(ROWS).split(50):
        parts.add_sureness(SCORES[at], RIGHT[at], torch.ones_like(RIGHT[at]))
    assert (parts.surer, parts.ranked) == (ranked(SCORES).surer, ROWS)
    assert parts.hit == pytest.approx(float(RIGHT.double().mean()))


@pytest.mark.parametrize("turned", [False, True])
def test_of_a_few_right_or_wrong_answers_nothing_is_said(turned: bool) -> None:
    for few, known in ((FEW, True), (FEW - 1, False)):
        correct = (torch.arange(ROWS) >= few) ^ turned
        assert math.isfinite(ranked(SCORES, correct).surer) == known
    assert math.isnan(Tally().surer)


def test_places_that_do_not_count_are_not_ranked() -> None:
    counts = torch.arange(ROWS) % 3 > 0
    misled = torch.where(counts, RIGHT, ~RIGHT)
    tally = ranked(SCORES, misled, counts)
    assert tally.ranked == int(counts.sum())
    assert tally.surer == ranked(SCORES[counts], RIGHT[counts]).surer
    assert tally.hit == float(RIGHT[counts].double().mean())


PLACES = torch.randn(6, CLASSES, 5, generator=GENERATOR)
LEAD = PLACES.sort(1).values[:, -1] - PLACES.sort(1).values[:, -2]


@pytest.mark.parametrize(
    ("given", "shape", "sure"),
    [
        (PLACES, (6, 5), LEAD),
        (PLACES.movedim(1, 2), (6, 5), LEAD),
        (PLACES.movedim(1, 2).flatten(0, 1), (30,), LEAD.flatten()),
        (PLACES.movedim(1, 2).flatten(), (30,), LEAD.flatten()),  # one-hot, flattened
        (torch.tensor([2.0, -3.0, 0.5]), (3,), torch.tensor([2.0, 3.0, 0.5])),
        (torch.tensor([[0.9], [0.2], [0.5]]), (3,), torch.tensor([0.4, 0.3, 0.0])),
    ],
    ids=["classes second", "classes last", "rows", "numbers", "logit", "probability"],
)
def test_an_answer_is_as_sure_as_its_lead(given: Tensor, shape: tuple[int, ...], sure: Tensor) -> None:
    assert torch.allclose(sureness(given, torch.Size(shape)), sure)


@pytest.mark.parametrize("ignored", [-100, 2])
def test_what_is_ignored_does_not_count(ignored: int) -> None:
    target = torch.arange(ROWS) % CLASSES
    target[::7] = ignored
    right = right_answers(SCORES, target)
    assert right is not None
    assert torch.equal(that_count(right[0], target, ignored), target != ignored)


def test_shares_and_one_of_many_count_everywhere() -> None:
    target = torch.eye(CLASSES)[torch.arange(ROWS) % CLASSES]
    right = right_answers(SCORES, target)
    assert right is not None
    assert right[0].shape == (ROWS,)
    assert that_count(right[0], target, 0).all()
    assert that_count(right[0], target.argmax(1).double(), 0).all()
