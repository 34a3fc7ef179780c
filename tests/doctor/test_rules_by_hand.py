"""More rules on charts made by hand: validation, leaks, words, first weights, soft targets, small batches."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from didact.doctor.chart import Chart, Epoch, Look, Pairing, Rows, Weight
from didact.doctor.course import Case
from didact.doctor.finding import Finding
from didact.doctor.limits import LIMITS
from didact.doctor.pairing import note
from didact.doctor.rows import Register
from didact.doctor.rules import data, generalisation, labels, layers, losses, optimisation, preprocessing
from didact.doctor.taps import LossCall

UPDATES = 200
FALLS = [2.0, 1.0, 0.6, 0.3, 0.2, 0.1, 0.05, 0.02]
FLAT = [2.3] * 8


def chart(train: list[float], val: list[float], right: tuple[float, float] = (math.nan, math.nan)) -> Chart:
    """Ten classes; losses by epoch, and the accuracies of training and of 400 rows of validation."""
    made = Chart(step=UPDATES)
    facts = {"integer": True, "outputs": 10}
    made.pairings["cross_entropy"] = Pairing("cross_entropy", 50, 32, facts=facts, baseline=2.3)
    for each, other in zip(train, val, strict=True):
        made.losses += [(len(made.losses) + k, each) for k in range(UPDATES // len(train))]
        epoch = Epoch(
            len(made.losses), each, right[0], other, right[1], val_rows=400, gap=right[0] - right[1]
        )
        made.epochs.append(epoch)
    return made


def numbers(made: Chart, kind: str = "mse", baseline: float = 2.3) -> Chart:
    made.pairings = {kind: Pairing(kind, 50, 32, baseline=baseline)}
    return made


# L02: nothing that can be told


def memorised(
    val_loss: float = 2.6, trained: float = 0.8, val: float = 0.1, end: float = 0.3, rows: int = 1000
) -> bool:
    made = chart([2.3, 1.5, 1.0, end], [val_loss] * 4, (trained, val))
    made.rows.labels, made.rows.train = dict.fromkeys(range(10), 100), set(range(rows))
    found = labels.unrelated(Case(made, LIMITS))
    assert found is None or found.evidence["share of the largest class"] == 0.1
    return found is not None


def test_labels_that_can_only_be_learned_by_heart() -> None:
    assert memorised()
    assert memorised(val=0.14)  # three standard errors of 400 rows are 0.045
    assert not memorised(val=0.15)
    assert not memorised(trained=0.2)
    assert not memorised(val_loss=2.2)
    assert not memorised(end=2.0)
    assert not memorised(rows=100)  # of which anything can be


@pytest.mark.parametrize("related", [False, True])
def test_several_quantities_that_go_with_nothing(related: bool) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 3)).astype(np.float32)
    y = x @ generator.normal(size=(3, 4)) if related else generator.normal(size=(300, 4))
    y[:, 3] = 1.0  # one of them never changes
    made = numbers(chart(FLAT, FLAT))
    made.rows = Rows(inputs=x, targets=y, table=True)
    found = labels.unrelated(Case(made, LIMITS))
    assert (found is None) == related
    assert found is None or (found.code, found.evidence["rows"]) == ("L02", 300)
    assert labels.unrelated(Case(numbers(chart(FALLS, FALLS)), LIMITS)) is None


# R01, D07, P02


def by_heart(
    different: int = 100, val: tuple[float, ...] = (1.5, 1.3, *[1.2] * 6), accuracy: float = 0.6
) -> Finding | None:
    made = chart(FALLS, list(val), (1.0, accuracy))
    made.rows.train, made.rows.train_seen = set(range(different)), 8 * different
    return generalisation.overfits(Case(made, LIMITS))


def test_a_few_rows_that_are_known_by_heart() -> None:
    found = by_heart()
    assert found is not None
    assert (found.evidence["different rows of training"], found.severity) == (100, "warning")
    assert "more rows" in found.fix
    assert by_heart(different=300) is None
    assert by_heart(accuracy=0.95) is None
    assert by_heart(val=(1.5, 1.4, 1.3, 1.2, 1.1, 1.0, 0.9, 0.8)) is None  # it goes on falling
    assert by_heart(val=(0.6,) * 8) is None


def leaked(features: int, telling: int, second: float = 0.0) -> Finding | None:
    """Some features are the label itself; of one more a share is."""
    generator = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 50)
    x = generator.normal(size=(200, features))
    x[:, 1 : 1 + telling] = y[:, None]
    x[:, 0] = np.where(generator.random(200) < second, y, generator.integers(4, size=200))
    rows = Rows(inputs=x.astype(np.float32), targets=y, integer=True, table=True)
    return data.leak(Case(Chart(rows=rows), LIMITS))


def test_a_few_features_of_many_may_tell_the_label() -> None:
    found = leaked(features=40, telling=2)
    assert found is not None
    assert found.evidence["features like that"] == 2
    assert found.where in ("feature 1", "feature 2")
    one = leaked(features=10, telling=1)
    assert one is not None
    assert (one.where, "features like that" in one.evidence) == ("feature 1", False)
    assert leaked(features=40, telling=3) is None
    assert leaked(features=10, telling=2) is None
    assert leaked(features=40, telling=0) is None
    assert leaked(features=40, telling=2, second=0.98) is None  # what tells is no exception


def words(val: dict[int, int], train: list[float] = FLAT) -> Finding | None:
    made = chart(train, train)
    made.rows.words = dict.fromkeys(range(50), 200)
    made.rows.val_words = val
    return preprocessing.differs(Case(made, LIMITS))


def test_words_that_are_frequent_where_others_were() -> None:
    others = {word: 4000 if word < 25 else 100 for word in range(50)}
    found = words(others)
    assert found is not None
    assert found.evidence["share of tokens that are frequent where others were"] == pytest.approx(
        40 / 41 - 0.5
    )
    assert words(others, FALLS) is None  # it does not harm
    assert words(dict.fromkeys(range(50), 4000)) is None
    assert words(dict.fromkeys(range(25), 1)) is None  # too few to tell
    assert words({}) is None


# The weights that it starts from


def started(gain: float, loss: float, ratio: float = 0.01) -> Case:
    """Three layers of such weights, a run that ends at such a loss, and updates of such a length."""
    made = chart([loss] * 8, [loss] * 8)
    made.losses[0] = (0, 2.3)
    shape, std = (16, 16), gain / 4
    made.weights = [
        Weight(f"layer {k}", "linear", shape, 16, std, False, False, True, True) for k in range(3)
    ]
    one = np.ones(3)
    made.looks = [Look(k, one, one, ratio * one, 1.0) for k in range(0, UPDATES, 10)]
    made.rates = [(k, 0.1) for k in range(UPDATES)]
    return Case(made, LIMITS)


def test_weights_that_were_born_tiny_are_found_in_a_run_that_only_limps() -> None:
    tiny, small, usual = 0.01, 0.1, 1.0
    for gain, loss, found in (
        (tiny, 1.2, True),
        (small, 1.2, False),
        (small, 2.2, True),
        (usual, 2.2, False),
        (tiny, 0.5, False),
    ):
        assert (layers.too_small_weights(started(gain, loss)) is not None) == found, (gain, loss)


def test_large_steps_from_tiny_weights_are_no_large_rate() -> None:
    assert optimisation.rate_too_high(started(1.0, 2.3, ratio=0.5)) is not None
    assert optimisation.rate_too_high(started(0.1, 2.3, ratio=0.5)) is not None
    assert optimisation.rate_too_high(started(0.01, 2.3, ratio=0.5)) is None
    assert optimisation.rate_too_high(started(0.01, 9.0, ratio=0.5)) is not None  # it rose


@pytest.mark.parametrize("module", ["recurrent", "attention", ""])
def test_a_net_that_bends_by_itself_is_not_called_straight(module: str) -> None:
    made = chart(FLAT, FLAT)
    made.probes["bend"] = 0.0
    made.modules = {"weighty": 2} | ({module: 1} if module else {})
    assert (layers.linear(Case(made, LIMITS)) is None) == bool(module)


# Losses


@pytest.mark.parametrize(
    ("producer", "codes"),
    [
        ("Relu", (None, "S04")),
        ("Softplus", (None, "S04")),
        ("Sigmoid", ("S01", None)),
        ("Addmm", (None, None)),
    ],
)
def test_a_logit_that_cannot_be_negative_is_no_probability(
    producer: str, codes: tuple[str | None, ...]
) -> None:
    for calls, known in ((20, codes), (2, (None, None))):
        logits = Pairing("bce_logits", calls, counts={"unit range": calls}, producer=producer)
        case = Case(Chart(pairings={"bce_logits": logits}), LIMITS)
        found = losses.sigmoid_twice(case), losses.out_of_reach(case)
        assert tuple(finding and finding.code for finding in found) == known


def soft(entropy: float, end: float = 0.52) -> Case:
    """Shares as targets, whose entropy is the least that their loss can be."""
    made = numbers(chart([0.69, end], [0.69, end]), "bce_logits", baseline=0.69)
    made.pairings["bce_logits"].facts["entropy"] = entropy
    return Case(made, LIMITS)


def test_what_is_left_is_measured_from_the_least_that_can_be() -> None:
    assert soft(0.5).left == pytest.approx(0.02 / 0.19)
    assert soft(0.0).left == pytest.approx(0.52 / 0.69)
    assert (soft(0.5).floor, soft(0.0).floor) == (0.5, 0.0)
    assert (soft(0.5).bottomless, soft(0.01).bottomless) == (False, True)
    assert (soft(0.5, end=0.68).stuck, soft(0.5, end=0.52).slow) == (True, False)
    assert Case(Chart(), LIMITS).floor == 0.0


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_least_is_what_the_targets_themselves_would_cost(reduction: str) -> None:
    target = torch.rand(32, generator=torch.Generator().manual_seed(0))

    def noted(given: Tensor, target: Tensor) -> float:
        loss = F.binary_cross_entropy_with_logits(given, target, reduction=reduction)
        call = LossCall("bce_logits", given, target, loss, F.binary_cross_entropy_with_logits, (), reduction)
        return float(note(Chart(), call).facts["entropy"])

    least = float(F.binary_cross_entropy(target, target, reduction=reduction))
    assert noted(torch.randn(32), target) == pytest.approx(least, rel=1e-5)
    assert noted(torch.randn(32), target.round()) == 0.0


def baseline(targets: Tensor, size: int, known: float, kind: str = "mse") -> float:
    """What ignorance is said to cost after batches of such a size."""
    made = numbers(chart(FLAT, FLAT), kind, known)
    register = Register(made.rows)
    for batch in targets.split(size):
        register.labels(batch, training=True)
    return Case(made, LIMITS).baseline


QUANTITIES = 2 * torch.randn(1200, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("size", [4, 40])
def test_ignorance_of_squares_costs_the_variance_over_all_batches(size: int, ordered: bool) -> None:
    targets = QUANTITIES.sort().values if ordered else QUANTITIES
    variance = float(targets.var())
    for known in (0.7 * variance, 1.6 * variance):
        assert baseline(targets, size, known) == pytest.approx(variance, rel=0.04)


def test_the_variance_is_not_asked_where_it_does_not_belong() -> None:
    variance = float(QUANTITIES.var())
    assert baseline(QUANTITIES, 40, 0.7 * variance, "l1") == 0.7 * variance
    assert baseline(QUANTITIES, 40, 0.01 * variance) == 0.01 * variance  # the loop scales its targets
    assert baseline(QUANTITIES, 100, 0.7 * variance) == 0.7 * variance  # too few batches


# What is told and what is measured


def contradiction(metric: list[float]) -> Finding | None:
    made = chart(FALLS, FALLS)
    for epoch, value in zip(made.epochs, metric, strict=True):
        epoch.told = {"val f1": value}
    return generalisation.contradicts(Case(made, LIMITS))


def test_a_metric_that_moves_by_less_than_a_hundredth_of_itself() -> None:
    rises = np.linspace(0.0, 1.0, 8)
    found = contradiction((0.5 + 0.004 * rises).tolist())
    assert found is not None
    assert (found.code, found.where) == ("E04", "f1")
    assert contradiction((0.5 + 0.02 * rises).tolist()) is None
    assert contradiction((0.99 + 0.004 * rises).tolist()) is None  # it has nowhere to go


@pytest.mark.parametrize(
    ("shares", "found"),
    [([1, 1, 0, 1, 1], True), ([1, 0.5, 0.5, 1, 0.5], False), ([0, 0, 0, 0, 0, 1, 1, 1], True)],
)
def test_latent_axes_are_unused_by_the_median_of_the_last_looks(shares: list[float], found: bool) -> None:
    made = Chart(step=200, latent=[(100 + 10 * k, share) for k, share in enumerate(shares)])
    assert (generalisation.unused_latent(Case(made, LIMITS)) is not None) == found
    made.latent = [(k, 1.0) for k in range(0, 80, 10)]
    assert generalisation.unused_latent(Case(made, LIMITS)) is None  # at the start alone
