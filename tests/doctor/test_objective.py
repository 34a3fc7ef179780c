"""The number that is followed: a loss that was divided is followed whole, one with other parts as it is."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import didact
from didact.doctor.chart import Chart
from didact.doctor.doctor import Doctor
from didact.doctor.objective import Objective
from didact.doctor.taps import LossCall
from didact.doctor.update import Update

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
Y = torch.sin(X[:, :1]) + X[:, 1:2]
MANY = 130  # updates, of which the last are quiet
Descended = Callable[[Tensor, Tensor, int], Tensor]


def train(descended: Descended, by_hand: bool = False, micro: int = 1) -> tuple[Doctor, list[float]]:
    """What was heard, and the mean squares at the first of an update's micro-batches."""
    torch.manual_seed(0)
    model, whole = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)), []
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for k in range(MANY):
            optimizer.zero_grad()
            for part, at in enumerate(torch.arange(64).split(64 // micro)):
                answer = model(X[at])
                loss = ((answer - Y[at]) ** 2).mean() if by_hand else F.mse_loss(answer, Y[at])
                whole += [loss.item()] if part == 0 else []
                descended(loss, next(model.parameters()), k).backward()
            optimizer.step()
    assert doctor.chart.errors == []
    assert len(doctor.chart.losses) == MANY
    return doctor, whole


def followed(doctor: Doctor) -> list[float]:
    return [value for _, value in doctor.chart.losses]


@pytest.mark.parametrize(("by_hand", "micro"), [(False, 1), (False, 4), (True, 1)])
def test_a_loss_divided_to_be_accumulated_is_followed_whole(by_hand: bool, micro: int) -> None:
    doctor, whole = train(lambda loss, weight, k: loss / 4, by_hand, micro)
    assert followed(doctor) == pytest.approx(whole, rel=1e-4)
    assert dict(doctor.chart.by_group[0]) == dict(doctor.chart.losses)
    assert "losses of several parts" not in doctor.chart.counts
    assert "loss as it was called" not in doctor.chart.counts


def test_a_loss_as_it_was_called() -> None:
    doctor, whole = train(lambda loss, weight, k: loss)
    assert followed(doctor) == pytest.approx(whole, rel=1e-6)
    assert doctor.chart.counts["loss as it was called"] >= 100
    assert "losses of several parts" not in doctor.chart.counts


def test_a_second_part_that_grows_is_a_part_and_no_divisor() -> None:
    doctor, _ = train(lambda loss, weight, k: loss + 0.01 * k * weight.pow(2).sum())
    assert doctor.chart.counts["losses of several parts"] > 50
    steady, _ = train(lambda loss, weight, k: 0.5 * loss)
    assert "losses of several parts" not in steady.chart.counts


def test_a_part_that_is_added_by_another_loss() -> None:
    def descended(loss: Tensor, weight: Tensor, k: int) -> Tensor:
        return loss + F.l1_loss(weight, torch.zeros_like(weight))

    doctor, whole = train(descended)
    assert doctor.chart.counts["losses of several parts"] >= 100
    assert all(a > b for a, b in zip(followed(doctor), whole, strict=True))


# One backward


def hears(objective: Objective, told: float, descended: Tensor) -> float:
    """A loss that came to ``told``, of which that is descended."""
    value = torch.tensor(told)
    objective.heard(LossCall("mse", value, value, value, F.mse_loss, learning=True))
    return objective.settle_calls(descended, Update(), objective.differentiated(descended))


def graph(value: float) -> Tensor:
    return torch.ones((), requires_grad=True) * value


def test_what_is_followed_between_looks_is_the_whole() -> None:
    objective = Objective(Chart())
    assert hears(objective, 2.0, graph(0.5)) == 2.0
    assert objective.parts == 4.0
    assert objective.differentiated(graph(0.25)) == 1.0  # quiet: no call is heard
    objective.scale = 1024.0
    assert objective.differentiated(graph(256.0)) == 1.0
    assert objective.scale == 1.0


def test_several_parts_turned_round_clamped_and_cut() -> None:
    for descended, event in (
        (graph(-2.0), "loss turned round"),
        (graph(2.0).clamp(max=1.5), "loss clamped"),
        (torch.tensor(2.0), "loss without a graph"),
        (graph(2.0), "loss as it was called"),
    ):
        objective = Objective(Chart())
        assert hears(objective, 2.0, descended) == 2.0
        assert event in objective.chart.counts
        assert "losses of several parts" not in objective.chart.counts
    for grown in (2.0, 2.2, 2.6):
        hears(objective, 2.0, graph(grown))
    assert objective.chart.counts["losses of several parts"] == 2


def test_a_loss_that_is_not_finite_leaves_the_divisor() -> None:
    objective = Objective(Chart())
    hears(objective, 2.0, graph(1.0))
    assert math.isnan(hears(objective, math.nan, graph(math.nan)))
    assert objective.parts == 2.0


def test_a_loss_that_falls_without_a_floor() -> None:
    objective = Objective(Chart())
    for value in (2.0, -100.0, -1900.0, 0.0):  # likelihoods of quantities are below zero as well
        objective.differentiated(graph(value))
    assert "loss far below zero" not in objective.chart.counts
    begins_small = Objective(Chart())
    for value in (1e-8, -0.1, -900.0):  # a policy's loss is about nothing at first
        begins_small.differentiated(graph(value))
    assert "loss far below zero" not in begins_small.chart.counts
    for _ in range(3):
        objective.differentiated(graph(-2100.0))
    assert objective.chart.counts["loss far below zero"] == 3
