"""What a loss is given: the cost of ignorance against its minimum, losses by hand, stretched shapes."""

import math
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from didact.doctor.chart import Chart
from didact.doctor.course import Case
from didact.doctor.finding import Finding
from didact.doctor.limits import LIMITS
from didact.doctor.pairing import Ignorance, guess, note
from didact.doctor.rules import labels, losses
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
    ("mse", ANSWERS, ANSWERS.reshape(8, 2, 2) + 1, torch.tensor(1.0), "mean"),  # pictures, told flat
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
        names = "raw classes sum to one", "others sum to one"
        assert tuple(counts.get(name, 0) for name in names) == (rows, others)


# What the rules make of it


def told(
    rule: Callable[[Case], Finding | None],
    function: Callable[..., Tensor],
    given: Tensor,
    target: Tensor,
    **options: str,
) -> tuple[Finding | None, dict[str, int]]:
    """What a rule says after ten calls of a loss, and how often each of its truths was true."""
    made = Chart()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using a target size")
        call = heard(function, given, target, **options)
    for _ in range(10):
        pairing = note(made, call)
    return rule(Case(made, LIMITS)), pairing.counts


PLACES = torch.randn(8, 5, 4, generator=GENERATOR)
SHARES, SHARES_BY_PLACE = ANSWERS.flip(0).softmax(1), PLACES.flip(0).softmax(2)
NEVER, NO_LOG = "scores that were never normalised", "probabilities without a log"


@pytest.mark.parametrize(
    ("given", "target", "how"),
    [
        (ANSWERS.log_softmax(1), SHARES, ""),
        (ANSWERS.log_softmax(0), SHARES, "10 of 10"),
        (ANSWERS, SHARES, NEVER),
        (ANSWERS.softmax(1), SHARES, NO_LOG),
        (PLACES.log_softmax(2), SHARES_BY_PLACE, ""),
        (PLACES.log_softmax(1), SHARES_BY_PLACE, "10 of 10"),
        (PLACES.log_softmax(0), SHARES_BY_PLACE, "10 of 10"),
        (PLACES, SHARES_BY_PLACE, NEVER),
    ],
    ids=[
        "right",
        "over rows",
        "raw",
        "no log",
        "right (B, T, C)",
        "over places",
        "over rows (B, T, C)",
        "raw (B, T, C)",
    ],
)
def test_a_divergence_is_given_logarithms_that_sum_to_one_over_the_last_axis(
    given: Tensor, target: Tensor, how: str
) -> None:
    found, counts = told(losses.wrong_axis, F.kl_div, given, target, reduction="batchmean")
    assert counts["classes sum to one"] == (0 if how else 10)
    assert counts["others sum to one"] == (10 if how == "10 of 10" else 0)
    assert (found.code if found else "") == ("S03" if how else "")
    assert found is None or how in (
        found.evidence.get("kl_div is given"),
        found.evidence.get("batches that sum to one over the rows"),
    )


NUMBERED = CLASSES.float()[:, None]


@pytest.mark.parametrize(
    ("given", "target", "stretched", "found"),
    [
        (ANSWERS, NUMBERED, 10, True),
        (ANSWERS, NUMBERED.expand(8, 4).contiguous(), 0, False),
        (ANSWERS, NUMBERED + 0.5, 10, False),
        (ANSWERS, NUMBERED + 1, 10, False),
        (ANSWERS[:, :3], NUMBERED, 10, False),  # more numbers than outputs
        (ANSWERS[:, :3], NUMBERED % 3, 10, True),
        (ANSWERS, (NUMBERED > 1).float(), 10, False),  # two numbers may be anything
        (COLUMN, NUMBERED.T, 0, False),  # all with all, which has a name of its own
    ],
)
def test_class_numbers_stretched_over_the_answers_are_no_quantities(
    given: Tensor, target: Tensor, stretched: int, found: bool
) -> None:
    finding, counts = told(losses.wrong_loss, F.mse_loss, given, target)
    assert counts["targets stretched"] == stretched
    assert (finding.code if finding else "") == ("S06" if found else "")


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (SHARES, False),
        (F.one_hot(CLASSES).float(), False),
        (0.9 * F.one_hot(CLASSES).float() + 0.025, False),
        ((ANSWERS > 0).float(), True),  # several labels of a row
        (0.5 * SHARES, True),
        (torch.cat([SHARES[:7], 2 * SHARES[7:]]), True),
    ],
    ids=["shares", "one of many", "smoothed", "several", "halves", "one row"],
)
def test_shares_of_classes_sum_to_one(target: Tensor, found: bool) -> None:
    finding, _ = told(losses.wrong_loss, F.cross_entropy, ANSWERS, target)
    assert (finding.code if finding else "") == ("S06" if found else "")
    by_place = target[:, :, None].expand(8, 4, 3).contiguous()
    finding, _ = told(losses.wrong_loss, F.cross_entropy, ANSWERS[:, :, None].repeat(1, 1, 3), by_place)
    assert (finding.code if finding else "") == ("S06" if found else "")


def test_whole_numbers_from_zero_are_classes_and_others_may_be_stars() -> None:
    values = torch.arange(20.0)[:, None] % 5
    for target, found in (
        (values, True),
        (values + 1, False),
        (values - 1, False),
        (values.clamp(max=1), False),
        (2 * values, False),
        (values + 0.5, False),
    ):
        finding, _ = told(losses.wrong_loss, F.mse_loss, torch.zeros(20, 1), target)
        assert (finding is not None) == found, target.flatten()
    finding, _ = told(losses.wrong_loss, F.mse_loss, torch.zeros(20, 2), values.expand(20, 2).contiguous())
    assert finding is None  # several quantities of a row


def test_yes_or_no_is_told_from_numbers_by_how_many_there_are() -> None:
    values = torch.arange(12.0)[:, None]
    for target, codes in (
        (values % 2, (None, None)),
        (values % 2 + 1, ("L05", None)),  # from 1
        (2 * (values % 2) - 1, ("L05", None)),
        (values % 4, (None, "S06")),
        (values / 11, (None, None)),
    ):
        found = [
            told(rule, F.binary_cross_entropy_with_logits, torch.zeros(12, 1), target)[0]
            for rule in (labels.encoding, losses.wrong_loss)
        ]
        assert tuple(finding and finding.code for finding in found) == codes


def test_targets_of_both_kinds_are_seen_however_they_are_ordered() -> None:
    chart, target = Chart(), torch.cat([torch.ones(1500), torch.zeros(1500)])
    for _ in range(10):
        note(chart, heard(F.binary_cross_entropy_with_logits, torch.zeros(3000), target))
    assert chart.pairings["bce_logits"].facts["values"] == {0.0, 1.0}
    assert labels.encoding(Case(chart, LIMITS)) is None
