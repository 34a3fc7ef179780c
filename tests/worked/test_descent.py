"""Gradient descent and its kin: the tables of the notes, step by step, through the optimizers of a recipe.

Notes 000, section 3.1; 001, sections IV.2 and V.1; 002, section 3; 003, L152-297; 004, L684-831.
"""

from collections.abc import Sequence
from math import sqrt

import pytest
import torch
from torch import Tensor, nn

from didact.data.batches import TensorSplit, count_batches, epoch_batches
from didact.data.facts import Facts
from didact.models.linear.mlp import MLP
from didact.tasks.classify import Classify
from didact.tasks.regress import Regress
from didact.train.optimize import OPTIMIZERS, make_optimizers
from didact.train.recipe import Recipe

G = (1.0, 2.0, 3.0)  # the gradients of W11 to W14


class Weight(nn.Module):
    """One parameter, which starts at zero."""

    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(1, dtype=torch.float64))


def descend(recipe: Recipe, gradients: Sequence[float] = G) -> tuple[list[float], torch.optim.Optimizer]:
    """Where one parameter stands after each of these gradients."""
    model, path = Weight(), []
    optimizer = make_optimizers(recipe, {"model": model})["model"]
    for gradient in gradients:
        model.theta.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        path.append(model.theta.item())
    return path, optimizer


def steps(path: Sequence[float]) -> list[float]:
    return [after - before for before, after in zip([0.0, *path], path, strict=False)]


# The tables


def test_momentum_w11(recipe):
    """V1 = -eps g1, V2 = -eps (a g1 + g2), V3 = -eps (a^2 g1 + a g2 + g3)."""
    path, _ = descend(recipe(lr=0.1, momentum=0.9))
    assert steps(path) == pytest.approx([-0.1, -0.29, -0.561])
    assert path == pytest.approx([-0.1, -0.39, -0.951])


def test_momentum_of_zero_is_plain_descent(recipe):
    assert steps(descend(recipe(lr=0.1, momentum=0.0))[0]) == pytest.approx([-0.1, -0.2, -0.3])


def test_momentum_comes_to_step_alpha_g_over_1_minus_mu(recipe):
    """momentum-heavyball (002, Algorithm 3), under a gradient that stays the same."""
    path, _ = descend(recipe(lr=0.1, momentum=0.9), [2.0] * 300)
    assert steps(path)[-1] == pytest.approx(-0.1 * 2 / (1 - 0.9))


def test_both_forms_of_momentum_walk_alike_at_one_rate(recipe):
    """W25: V <- gamma V - alpha g, W <- W + V. They part where the rate changes; ours is the first of 002."""
    gradients = torch.randn(50).tolist()
    velocity, theta, path = 0.0, 0.0, []
    for gradient in gradients:
        velocity = 0.9 * velocity - 0.1 * gradient
        theta += velocity
        path.append(theta)
    assert descend(recipe(lr=0.1, momentum=0.9), gradients)[0] == pytest.approx(path)


def test_adagrad_w12(recipe):
    """r = sum of g^2 = 1, 5, 14; the effective rate never grows."""
    path, optimizer = descend(recipe(optimizer="adagrad", lr=0.1))
    assert steps(path) == pytest.approx([-0.1, -0.0894427191, -0.0801783726])
    ((state,),) = [list(optimizer.state.values())]
    assert state["sum"].item() == 14
    even, _ = descend(recipe(optimizer="adagrad", lr=0.1), [3.0] * 20)
    assert [-step for step in steps(even)] == pytest.approx([0.1 / sqrt(k) for k in range(1, 21)])


@pytest.mark.parametrize("rho", [0.9, None])
def test_rmsprop_w13(rho: float | None, recipe):
    """s <- rho s + (1 - rho) g^2; rho is 0.9 in the notes and 0.99 where torch decides."""
    path, _ = descend(recipe(optimizer="rmsprop", lr=0.1, rho=rho))
    decay = 0.99 if rho is None else rho
    r = [(1 - decay) * sum(decay ** (t - i) * G[i] ** 2 for i in range(t + 1)) for t in range(3)]
    assert steps(path) == pytest.approx([-0.1 * g / (sqrt(s) + 1e-8) for g, s in zip(G, r, strict=True)])
    if rho == 0.9:
        assert r == pytest.approx([0.1, 0.49, 1.341])
        assert steps(path) == pytest.approx([-0.3162277560, -0.2857142816, -0.2590638779])


def test_adam_w14(recipe):
    path, optimizer = descend(recipe(optimizer="adam", lr=0.001))
    assert path == pytest.approx([-0.001, -0.0019651820, -0.0029231832], abs=5e-11)
    ((state,),) = [list(optimizer.state.values())]
    assert state["exp_avg"].item() == pytest.approx(0.561)
    assert state["exp_avg_sq"].item() == pytest.approx(0.013994001)
    group = optimizer.param_groups[0]
    assert (group["betas"], group["eps"]) == ((0.9, 0.999), 1e-8)


def test_adam_averages_with_weights_that_sum_to_one(recipe):
    """adam-bias-derivation (003, L273-297): m^ = (r^2 g1 + r g2 + g3) / (1 + r + r^2) at t = 3, r = 0.9."""
    _, optimizer = descend(recipe(optimizer="adam"))
    ((state,),) = [list(optimizer.state.values())]
    weights = torch.tensor([0.9**2, 0.9, 1.0]).double() / (1 + 0.9 + 0.9**2)
    assert weights.sum() == pytest.approx(1)
    corrected = state["exp_avg"].item() / (1 - 0.9**3)
    assert (
        corrected == pytest.approx((weights @ torch.tensor(G).double()).item()) == pytest.approx(2.0701107011)
    )


@pytest.mark.parametrize("gradient", [1e-3, 1.0, -250.0])
def test_the_first_step_of_adam_has_the_length_of_the_rate(gradient: float, recipe):
    """adam-002: alpha g / (|g| + eps), nearly alpha sign(g)."""
    path, _ = descend(recipe(optimizer="adam", lr=0.01), [gradient])
    assert path[0] == pytest.approx(-0.01 * gradient / (abs(gradient) + 1e-8))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_name_is_torchs_optimizer_of_that_name(name: str, recipe):
    """optimizer-torch-names; torch's own plain loop is the reference, ours takes the fused kernel."""
    torch.manual_seed(0)
    ours, theirs = MLP(4, 1, (5,)).double(), MLP(4, 1, (5,)).double()
    theirs.load_state_dict(ours.state_dict())
    made = make_optimizers(recipe(optimizer=name, lr=0.01), {"model": ours})["model"]
    classes = {cls.__name__.lower(): cls for cls in vars(torch.optim).values() if isinstance(cls, type)}
    assert type(made) is classes[name]
    options = {"weight_decay": 0.0} if name == "adamw" else {}  # the recipe's, where torch has 0.01
    plain = classes[name](theirs.parameters(), lr=0.01, foreach=False, **options)
    for _ in range(10):
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        made.step()
        plain.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-14)


# Batches


def gradient_of(model: nn.Module, batch: tuple[Tensor, Tensor], facts: Facts) -> Tensor:
    model.zero_grad()
    next(iter(Classify(facts).losses(model, batch))).loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.fixture
def split() -> TensorSplit:
    return TensorSplit(torch.randn(96, 4).double(), torch.randint(3, (96,)))


def test_full_batch_descent(numbers: Facts, loop):
    """gd, gradient-descent: theta <- theta - alpha grad L, from the mean over every example."""
    x, y = torch.randn(20, 3).double(), torch.randn(20, 1).double()
    model, by_hand = MLP(3, 1, (4,), "tanh").double(), MLP(3, 1, (4,), "tanh").double()
    by_hand.load_state_dict(model.state_dict())
    loop(model, Regress(numbers), x, y, batch_size=20, epochs=7, lr=0.1).run()
    for _ in range(7):
        loss = ((by_hand(x) - y) ** 2).mean()
        for parameter, gradient in zip(
            by_hand.parameters(), torch.autograd.grad(loss, list(by_hand.parameters())), strict=True
        ):
            parameter.data -= 0.1 * gradient
    for mine, other in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


def test_the_loss_falls_because_the_optimizer_moves_the_weights(numbers: Facts, loop):
    """loss-and-optimization-roles (001, section II.1): the one measures, the other changes theta."""
    x = torch.randn(50, 3).double()
    model = MLP(3, 1, (8,)).double()
    training = loop(model, Regress(numbers), x, x.sum(1, keepdim=True), batch_size=10, epochs=5, lr=0.05)
    before = [p.detach().clone() for p in model.parameters()]
    first = training.validate()["loss"]
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    training.run()
    assert training.at.scores[-1] < first / 2


def test_single_examples_average_to_the_full_gradient(split: TensorSplit, three: Facts):
    """sgd-single (002, section 3.4.2): one example is a noisy and unbiased stand-in for all."""
    model = MLP(4, 3, (5,)).double()
    full = gradient_of(model, (split.inputs, split.targets), three)
    each = [gradient_of(model, batch, three) for batch in epoch_batches(split, 1, seed=0, epoch=0)]
    assert len(each) == 96
    torch.testing.assert_close(torch.stack(each).mean(0), full)


def test_minibatches_average_to_the_empirical_risk(split: TensorSplit, three: Facts):
    """empirical-risk: 1/n sum L_i = E[L_i], which the loss of a random batch estimates without bias."""
    model, task = MLP(4, 3, (5,)).double(), Classify(three)
    losses = [next(iter(task.losses(model, b))).loss.item() for b in epoch_batches(split, 8, seed=1, epoch=0)]
    assert sum(losses) / 12 == pytest.approx(task.score(model, split)["loss"], rel=1e-6)


def test_the_variance_of_a_minibatch_gradient_falls_with_its_size(three: Facts):
    """sgd-minibatch (001, section V.1): proportional to 1/b, times (n - b) / (n - 1) for want of repeats."""
    n, model = 512, MLP(4, 3, ()).double()
    split = TensorSplit(torch.randn(n, 4).double(), torch.randint(3, (n,)))
    full = gradient_of(model, (split.inputs, split.targets), three)

    def variance(b: int) -> float:
        batches = [batch for epoch in range(8) for batch in epoch_batches(split, b, seed=0, epoch=epoch)]
        return sum(
            (gradient_of(model, batch, three) - full).square().sum().item() for batch in batches
        ) / len(batches)

    single = variance(1)
    for b in (4, 16, 64):
        assert variance(b) == pytest.approx(single / b * (n - b) / (n - 1), rel=0.2)


def test_epochs_and_iterations_w15(numbers: Facts, loop):
    """1000 examples in batches of 500: two iterations an epoch."""
    split = TensorSplit(torch.zeros(1000, 3), torch.zeros(1000, 1))
    assert count_batches(split, 500) == 2
    assert [count_batches(split, size) for size in (1000, 999, 128, 1)] == [1, 2, 8, 1000]  # ceil(N / B)
    training = loop(MLP(3, 1, ()), Regress(numbers), split.inputs, split.targets, batch_size=500, epochs=3)
    training.run()
    assert (training.at.epoch, training.at.step) == (3, 6)


def test_gradients_of_parts_average_to_that_of_the_whole(numbers: Facts, loop):
    """gradient-batch-average (001, section IV.2): four batches of eight move the weights as one of 32."""
    x, y = torch.randn(32, 3).double(), torch.randn(32, 1).double()
    weights = []
    for knobs in ({"batch_size": 32}, {"batch_size": 8, "accumulate": 4}):
        torch.manual_seed(0)
        model = MLP(3, 1, (4,)).double()
        training = loop(model, Regress(numbers), x, y, epochs=3, lr=0.1, **knobs)
        training.run()
        assert training.at.step == 3
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*weights)
