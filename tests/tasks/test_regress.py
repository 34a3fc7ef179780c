"""Regression: torch's losses on the standardised target, scores in the target's own unit."""

import pytest
import torch
from sklearn import metrics as oracle
from torch.nn import functional as F

from didact.data.batches import TensorSplit
from didact.data.facts import Facts
from didact.data.raw import Part
from didact.tasks.regress import Regress

FACTS = Facts("made", "table", "number", (1,), target_name="price", target_mean=100.0, target_std=20.0)
LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss, "smooth-l1": F.smooth_l1_loss}


def made(count=30):
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(count, 1, generator=generator)
    return outputs, outputs + torch.randn(count, 1, generator=generator)


@pytest.mark.parametrize("name", LOSSES)
def test_losses(given, name):
    outputs, targets = made()
    (step,) = Regress(FACTS, loss=name).losses(given, (outputs, targets))
    assert step.loss.item() == LOSSES[name](outputs, targets).item()
    assert step.group == "model"
    score = Regress(FACTS, loss=name).score(given, TensorSplit(outputs, targets))
    assert score["loss"] == pytest.approx(step.loss.item())


@pytest.mark.parametrize(("error", "expected"), [(0, 0), (0.5, 0.125), (1, 0.5), (2, 1.5), (-2, 1.5)])
def test_smooth_l1_worked_example_w19(given, error, expected):
    """Notes 000, section 2.4.3."""
    (step,) = Regress(FACTS, loss="smooth-l1").losses(
        given, (torch.tensor([[float(error)]]), torch.zeros(1, 1))
    )
    assert step.loss.item() == pytest.approx(expected)


@pytest.mark.parametrize(("name", "best"), [("mse", 22.0), ("l1", 3.0)])
def test_the_best_constant_is_the_mean_or_the_median(given, name, best):
    targets = torch.tensor([[1.0], [2.0], [3.0], [4.0], [100.0]])
    task = Regress(FACTS, loss=name)
    losses = {
        c: next(task.losses(given, (torch.full((5, 1), float(c)), targets))).loss.item() for c in range(101)
    }
    assert min(losses, key=losses.get) == best


@pytest.mark.usefixtures("no_draws")
def test_score_in_the_targets_unit(given):
    outputs, targets = made()
    numbers = Regress(FACTS).score(given, TensorSplit(outputs, targets), batch_size=7)
    true, predicted = targets.double().numpy() * 20 + 100, outputs.double().numpy() * 20 + 100
    assert numbers["rmse"] == pytest.approx(oracle.root_mean_squared_error(true, predicted))
    assert numbers["mae"] == pytest.approx(oracle.mean_absolute_error(true, predicted))
    assert numbers["r2"] == pytest.approx(oracle.r2_score(true, predicted))
    assert numbers["loss"] == pytest.approx((numbers["rmse"] / 20) ** 2)


def test_decode_and_examine(given):
    outputs, targets = made()
    assert Regress(FACTS).decode(torch.tensor([[0.0], [1.0], [-2.5]])) == [
        {"price": 100.0},
        {"price": 120.0},
        {"price": 50.0},
    ]
    outcome = Regress(FACTS).examine(given, TensorSplit(outputs, targets), Part(list(range(30))))
    (scatter,) = outcome.exhibits
    assert scatter.name == "price"
    assert scatter.true == pytest.approx((targets.flatten() * 20 + 100).tolist())
    assert scatter.predicted == pytest.approx((outputs.flatten() * 20 + 100).tolist())
    assert outcome.numbers == Regress(FACTS).score(given, TensorSplit(outputs, targets))
