"""Rules on charts made by hand: what a curve must look like, and what just misses it."""

import math

import pytest

from didact.doctor.chart import Chart, Epoch, Pairing
from didact.doctor.course import Case, slope
from didact.doctor.limits import LIMITS
from didact.doctor.rules import data, generalisation, optimisation

UPDATES = 200


def chart(curves: list[tuple[float, float]], accuracy: tuple[float, float] = (math.nan, math.nan)) -> Chart:
    """Losses of training and validation by epoch; accuracies of a kept training batch and of validation."""
    made = Chart(step=UPDATES)
    made.pairings["cross_entropy"] = Pairing(
        "cross_entropy", 50, 32, facts={"integer": True, "outputs": 10}, baseline=2.3
    )
    per = UPDATES // len(curves)
    for train, val in curves:
        made.losses += [(len(made.losses) + k, train) for k in range(per)]
        made.epochs.append(
            Epoch(
                len(made.losses),
                train_loss=train,
                train_accuracy=accuracy[0],
                val_loss=val,
                val_accuracy=accuracy[1],
                val_rows=400,
                in_eval=(train, accuracy[0]),
            )
        )
    return made


def case(curves: list[tuple[float, float]], accuracy: tuple[float, float] = (math.nan, math.nan)) -> Case:
    return Case(chart(curves, accuracy), LIMITS)


FALLS = [2.0, 1.0, 0.6, 0.3, 0.2, 0.1, 0.05, 0.02]


def test_overfitting_needs_a_rise_an_aftermath_and_a_gap():
    rises = [1.5, 1.0, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3]
    found = generalisation.overfits(case(list(zip(FALLS, rises, strict=True)), (1.0, 0.7)))
    assert found is not None
    assert found.evidence["best epoch"] == 3
    assert "after epoch 3" in found.fix
    assert generalisation.overfits(case(list(zip(FALLS, rises, strict=True)), (1.0, 0.95))) is None
    assert generalisation.overfits(case(list(zip(FALLS, rises[:1] * 8, strict=True)), (1.0, 0.7))) is None
    late = [1.5, 1.4, 1.3, 1.2, 1.1, 0.8, 0.9, 1.0]  # two epochs past the best
    assert generalisation.overfits(case(list(zip(FALLS, late, strict=True)), (1.0, 0.7))) is None


def test_stopping_early_needs_both_to_fall():
    both = [(2.3 - 0.1 * k, 2.3 - 0.09 * k) for k in range(8)]
    found = generalisation.underfits(case(both))
    assert found is not None
    assert found.evidence["epochs that would do"] > 8
    assert generalisation.underfits(case([(train, 1.7) for train, _ in both])) is None


def test_a_gap_that_neither_closes_nor_widens():
    flat = [(loss, 1.2) for loss in FALLS]
    found = data.steady_gap(case(flat, (1.0, 0.6)))
    assert found is not None
    assert found.severity == "warning"
    assert data.steady_gap(case(flat, (1.0, 0.85))) is None
    assert (
        data.steady_gap(case(list(zip(FALLS, [1.0 + 0.1 * k for k in range(8)], strict=True)), (1.0, 0.6)))
        is None
    )


def test_a_schedule_that_dies_is_told_from_one_that_ends():
    dying, ending = chart([(2.0, 2.0)] * 4), chart([(2.0, 2.0)] * 4)
    dying.rates = [(k, 0.1 * 0.5**k) for k in range(UPDATES)]
    ending.rates = [(k, 0.1 * (1 - k / UPDATES)) for k in range(UPDATES)]
    assert optimisation.schedule(Case(dying, LIMITS)) is not None
    assert optimisation.schedule(Case(ending, LIMITS)) is None


def test_a_rate_that_is_too_high_rises_first():
    stays = case([(2.3, 2.3)] * 4)
    assert optimisation.rate_too_high(stays) is None
    rises = chart([(2.3, 2.3), (9.0, 9.0), (5.0, 5.0), (3.0, 3.0)])
    rises.rates = [(0, 0.5)]
    found = optimisation.rate_too_high(Case(rises, LIMITS))
    assert found is not None
    assert found.fix == "lr=0.05: a tenth of 0.5"


def test_a_slope_is_relative_and_of_the_last_quarter():
    assert slope([8.0, 4.0, 2.0, 1.0]) == pytest.approx((1 - 4) / 4 / 2)
    assert slope([1.0]) == 0.0
