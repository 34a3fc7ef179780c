"""Each schedule against torch's scheduler, epoch by epoch, and the warm-up on top of any of them."""

import math

import pytest
import torch
from torch.optim import lr_scheduler

from didact.train.recipe import Recipe
from didact.train.schedule import SCHEDULES, lr_factor, plateau_drops

EPOCHS = 12


def recipe(schedule, **knobs):
    return Recipe(schedule=schedule, **({"epochs": EPOCHS} | knobs))


def torchs(make, steps=EPOCHS):
    """The learning rate before each of so many steps of a scheduler on a base rate of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("schedule", "knobs", "make"),
    [
        ("constant", {}, lambda o: lr_scheduler.LambdaLR(o, lambda _: 1)),
        ("step", {"step_epochs": 5, "decay": 0.3}, lambda o: lr_scheduler.StepLR(o, 5, 0.3)),
        ("exponential", {"decay": 0.8}, lambda o: lr_scheduler.ExponentialLR(o, 0.8)),
        ("cosine", {}, lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS)),
        ("linear", {}, lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, EPOCHS)),
    ],
)
def test_at_epochs_as_torch(schedule, knobs, make):
    ours = [lr_factor(recipe(schedule, **knobs), epoch) for epoch in range(EPOCHS)]
    assert ours == pytest.approx(torchs(make))


def test_one_cycle_as_torch():
    """torch counts 1,000 steps from the first to the last rate; ours is a function of the share done."""
    theirs = torchs(lambda o: lr_scheduler.OneCycleLR(o, 1.0, 1000, cycle_momentum=False), steps=1000)
    at = recipe("one-cycle", epochs=1)
    ours = [lr_factor(at, step / 1000) for step in range(1000)]
    assert ours == pytest.approx(theirs, abs=0.006)  # at most a step of torch's apart
    assert ours[0] == pytest.approx(1 / 25) == theirs[0]
    assert lr_factor(at, 0.3) == pytest.approx(1) == max(theirs)
    assert lr_factor(at, 1.0) == pytest.approx(theirs[-1]) == pytest.approx(1 / 250_000)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("patience", [1, 2, 5])
def test_plateau_as_torch(seed, patience):
    scores = torch.rand(60, generator=torch.Generator().manual_seed(seed)).sqrt().tolist()
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, threshold=0, eps=0)
    knobs = recipe("plateau", decay=0.5, plateau_patience=patience)
    for epoch, score in enumerate(scores, 1):
        scheduler.step(score)
        ours = lr_factor(knobs, epoch, plateau_drops(scores[:epoch], patience))
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"])


def test_plateau_counts_by_hand():
    """Patience 2: the third score that is no better drops the rate, and the count starts again."""
    assert [plateau_drops([3, 2, 2, 2, 2, 2, 2, 2, 1, 1][:n], 2) for n in range(11)] == [0] * 5 + [1] * 3 + [
        2
    ] * 3
    assert plateau_drops([], 1) == 0


def test_worked_example_w23():
    """alpha0 = .1: step with t = .5 gives .1, .05, .025, .0125; exponential with t = .9, .1, .09, .081."""
    halved = recipe("step", step_epochs=1, decay=0.5)
    assert [0.1 * lr_factor(halved, epoch) for epoch in range(4)] == pytest.approx([0.1, 0.05, 0.025, 0.0125])
    fading = recipe("exponential", decay=0.9)
    assert [0.1 * lr_factor(fading, epoch) for epoch in range(3)] == pytest.approx([0.1, 0.09, 0.081])


@pytest.mark.parametrize("schedule", ["step", "exponential"])
def test_drops_come_between_epochs_only(schedule):
    knobs = recipe(schedule, step_epochs=1, decay=0.5)
    for batches in (3, 7, 10, 49):  # sums of fractions that floating point does not hold exactly
        for epoch in range(4):
            inside = {lr_factor(knobs, epoch + batch / batches) for batch in range(batches)}
            assert inside == {0.5**epoch}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_factor_is_usable_to_the_last_update(schedule):
    knobs = recipe(schedule)
    factors = [lr_factor(knobs, update / 10, update=0.1) for update in range(EPOCHS * 10)]
    assert all(0 < factor <= 1 for factor in factors)
    assert all(isinstance(factor, float) for factor in factors)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.5, 2.0, 3.3])
def test_warm_up_rises_from_above_zero_to_the_schedule(schedule, warmup):
    plain, warm = recipe(schedule), recipe(schedule, warmup=warmup)
    updates = [update / 10 for update in range(EPOCHS * 10)]
    shares = [lr_factor(warm, at, update=0.1) / lr_factor(plain, at, update=0.1) for at in updates]
    assert shares[0] == pytest.approx(0.1 / warmup)
    assert shares == sorted(shares)
    reached = next(at for at, share in zip(updates, shares, strict=True) if share == pytest.approx(1))
    assert reached == pytest.approx(math.ceil(warmup * 10 - 1e-9) / 10 - 0.1)


def test_warm_up_as_torch():
    """5 updates of warm-up: 1/5, 2/5 ... 1, as LinearLR from 1/5."""
    warm = recipe("constant", warmup=0.5)
    ours = [lr_factor(warm, update / 10, update=0.1) for update in range(8)]
    assert ours == pytest.approx(torchs(lambda o: lr_scheduler.LinearLR(o, 0.2, 1.0, 4), 8))


def test_beyond_the_last_epoch_nothing_rises_again():
    assert lr_factor(recipe("cosine"), EPOCHS + 1) == pytest.approx(0)
    assert lr_factor(recipe("linear"), EPOCHS + 1) == 0
    assert lr_factor(recipe("one-cycle"), EPOCHS + 1) == pytest.approx(1 / 250_000)
