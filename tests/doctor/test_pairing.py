"""What a loss is given: the cost of ignorance against its minimum, losses by hand, stretched shapes."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from didact.doctor.chart import Chart
from didact.doctor.pairing import Ignorance, guess, note
from didact.doctor.taps import LossCall, listening


class Calls(list[LossCall]):
    """A listener to losses alone."""

    quiet = False
    heard_loss = list.append


LABELS = torch.tensor([0] * 6 + [1] * 3 + [2])
SCORES = torch.zeros(10, 3)


def heard(function, given: Tensor, target: Tensor, **options) -> LossCall:
    calls = Calls()
    with listening(calls):
        function(given, target, **options)
    return calls[0]


def least(function, shape: tuple[int, ...], target: Tensor, **options) -> float:
    """The minimum over constant answers, by Newton's method of LBFGS."""
    answer = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([answer], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = function(answer.expand(len(target), *shape), target, **options)
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(closure().detach())


@pytest.mark.parametrize(
    "options",
    [{}, {"weight": torch.tensor([1.0, 4.0, 0.5])}, {"label_smoothing": 0.2}, {"reduction": "sum"}],
    ids=["plain", "weights", "smoothing", "sum"],
)
def test_ignorance_costs_the_minimum_over_constants(options: dict):
    call = heard(F.cross_entropy, SCORES, LABELS, **options)
    ignorance = Ignorance()
    ignorance.add(call)
    exact = {k: v.double() if isinstance(v, Tensor) else v for k, v in options.items()}
    assert ignorance.cost(call) == pytest.approx(least(F.cross_entropy, (3,), LABELS, **exact), rel=1e-4)


@pytest.mark.parametrize(("classes", "cost"), [(2, 0.6931), (10, 2.3026), (1000, 6.9078)])
def test_of_balanced_classes_it_costs_log_c(classes: int, cost: float):
    labels = torch.arange(3 * classes) % classes
    ignorance, call = Ignorance(), heard(F.cross_entropy, torch.randn(len(labels), classes), labels)
    ignorance.add(call)
    assert ignorance.cost(call) == pytest.approx(math.log(classes), rel=1e-5)
    assert ignorance.cost(call) == pytest.approx(cost, abs=5e-5)


@pytest.mark.parametrize("positive", [None, 3.0])
def test_of_two_classes(positive: float | None):
    target = torch.tensor([1.0, 0, 0, 0, 1, 0, 0, 0, 0, 0])
    options = {} if positive is None else {"pos_weight": torch.tensor(positive)}
    call = heard(F.binary_cross_entropy_with_logits, torch.zeros(10), target, **options)
    ignorance = Ignorance()
    ignorance.add(call)
    expected = least(F.binary_cross_entropy_with_logits, (), target.double(), **options)
    assert ignorance.cost(call) == pytest.approx(expected, rel=1e-4)


def test_of_numbers_it_is_their_variance():
    target = torch.tensor([[1.0, 10.0], [3.0, 30.0], [5.0, 20.0]])
    ignorance, call = Ignorance(), heard(F.mse_loss, torch.zeros(3, 2), target)
    ignorance.add(call)
    assert ignorance.cost(call) == pytest.approx(float(target.var(0, correction=0).mean()))


GENERATOR = torch.Generator().manual_seed(0)
ANSWERS, COLUMN = torch.randn(8, 4, generator=GENERATOR), torch.randn(8, 1, generator=GENERATOR)
CLASSES, VALUES = torch.arange(8) % 4, torch.randn(8, generator=GENERATOR)
BY_HAND = [
    ("cross_entropy", ANSWERS, CLASSES, -(ANSWERS.log_softmax(1)[range(8), CLASSES]).mean(), "mean"),
    ("nll", ANSWERS.softmax(1), CLASSES, -(ANSWERS.softmax(1).log()[range(8), CLASSES]).mean(), "mean"),
    ("mse", COLUMN, VALUES, ((COLUMN[:, 0] - VALUES) ** 2).mean(), "mean"),
    ("mse", COLUMN, VALUES, ((COLUMN[:, 0] - VALUES) ** 2).mean() / 4, "mean"),
    ("l1", COLUMN[:, 0], VALUES, (COLUMN[:, 0] - VALUES).abs().mean(), "mean"),
    ("other", COLUMN[:, 0], VALUES, (COLUMN[:, 0] - VALUES).abs().pow(1.5).mean(), "mean"),
]


@pytest.mark.parametrize(("kind", "given", "target", "value", "reduction"), BY_HAND)
def test_a_loss_by_hand_is_recognised(
    kind: str, given: Tensor, target: Tensor, value: Tensor, reduction: str
):
    call = guess(given, target, float(value), "")
    assert (call.kind, call.reduction) == (kind, reduction)
    assert not note(Chart(), call).counts["broadcast"]


def test_a_loss_without_its_minus_is_recognised():
    right = -(ANSWERS.log_softmax(1)[range(8), CLASSES]).mean()
    assert guess(ANSWERS, CLASSES, -float(right), "").turned
    assert not guess(ANSWERS, CLASSES, float(right), "").turned


def test_a_loss_of_all_with_all_is_told_from_one_of_pairs():
    wrong = guess(COLUMN, VALUES, float(((COLUMN - VALUES) ** 2).mean()), "")
    assert note(Chart(), wrong).counts["broadcast"] == 1
    with pytest.warns(UserWarning, match="target size"):
        called = heard(F.mse_loss, COLUMN, VALUES)
    assert note(Chart(), called).counts["broadcast"] == 1


def test_probabilities_are_told_from_scores():
    for given, rows, others in (
        (ANSWERS.softmax(1), 1, 0),
        (ANSWERS.softmax(0), 0, 1),
        (ANSWERS, 0, 0),
        (ANSWERS.log_softmax(1), 0, 0),
    ):
        counts = note(Chart(), heard(F.cross_entropy, given, CLASSES)).counts
        assert (counts["raw classes sum to one"], counts["others sum to one"]) == (rows, others)
