"""Gradients by depth: the numbers, the order, a model left as it was, and what shortcuts do to them."""

import json
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from didact.errors import UsageError
from didact.models.cnn.resnet import ResNet
from didact.see.gradients import GradientNorms, gradient_norms

SEEDS = range(3)


class Stack(nn.Module):
    """Many layers of tanh, one after the other or each added to its input; no normalisation."""

    def __init__(self, depth: int, residual: bool):
        super().__init__()
        self.residual = residual
        self.first = nn.Linear(8, 32)
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))
        self.last = nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for layer in self.layers:
            x = torch.tanh(layer(x)) + (x if self.residual else 0)
        return self.last(x)


def stack(depth: int, residual: bool, seed: int) -> GradientNorms:
    torch.manual_seed(seed)
    x, y = torch.randn(64, 8), torch.arange(64) % 4
    return gradient_norms(Stack(depth, residual), lambda model: F.cross_entropy(model(x), y))


def loss_on(x: torch.Tensor, classes: int) -> Callable[[nn.Module], torch.Tensor]:
    return lambda model: F.cross_entropy(model(x), torch.arange(len(x)) % classes)


# The numbers


def test_means_are_those_of_backward():
    torch.manual_seed(0)
    model = ResNet(depth=10, in_channels=1, num_classes=3, width=0.125, stem="cifar")
    loss_of = loss_on(torch.randn(4, 1, 16, 16), 3)
    found = gradient_norms(model, loss_of)
    loss_of(model).backward()
    for name in found.mean:
        gradient = model.get_submodule(name).weight.grad
        assert found.mean[name] == pytest.approx(gradient.abs().mean().item(), rel=1e-4)
        assert found.rms[name] == pytest.approx(gradient.square().mean().sqrt().item(), rel=1e-4)
    assert "bn1" not in found.mean
    assert {"conv1", "layer1.0.conv1", "fc"} <= set(found.mean)


def test_layers_stand_in_the_order_in_which_they_are_run():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.idle, self.first = nn.Linear(3, 1), nn.Linear(2, 2), nn.Linear(2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(x))

    found = gradient_norms(Backwards(), lambda model: model(torch.ones(1, 2)).sum())
    assert list(found.mean) == ["first", "last"]


def test_plain_values_and_table():
    found = gradient_norms(
        nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False)),
        lambda model: 4 * model[1].weight.sum() + model(torch.tensor([[3.0, -1.0]])).sum() * 0,
    )
    assert found.mean == {"0": 0.0, "1": 4.0}
    assert json.loads(json.dumps(found.to_dict()))["layers"]["1"] == {"mean": 4.0, "rms": 4.0}
    assert found.first_to_last == 0
    assert str(found).splitlines()[-1] == "first layer to last: 0.00e+00"
    assert len(str(found).splitlines()) == 4


def test_plot_of_several_networks():
    (axes,) = stack(3, True, 0).plot(plain=stack(3, False, 0)).axes
    assert [line.get_label() for line in axes.lines] == ["network", "plain"]
    assert len(axes.lines[0].get_ydata()) == 5


# Why residual networks work


@pytest.mark.parametrize("seed", SEEDS)
def test_in_a_deep_plain_stack_the_gradient_vanishes_and_past_shortcuts_it_does_not(seed: int):
    """30 layers: the first gets less than a millionth of what the last gets, with shortcuts over a tenth."""
    assert stack(30, residual=False, seed=seed).first_to_last < 1e-6
    assert 0.1 < stack(30, residual=True, seed=seed).first_to_last < 1


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_depth_that_does_it(seed: int):
    """Three times the depth: a ten-thousandth in the plain stack, about the same in the residual one."""
    plain = [stack(depth, residual=False, seed=seed).first_to_last for depth in (10, 30)]
    residual = [stack(depth, residual=True, seed=seed).first_to_last for depth in (10, 30)]
    assert plain[1] < 1e-4 * plain[0]
    assert residual[1] > 0.25 * residual[0]


def at_the_stem(shortcut: str, seed: int) -> float:
    """How much more gradient the first convolution of a ResNet-34 gets than the last."""
    torch.manual_seed(seed)
    x = torch.randn(16, 1, 32, 32)
    model = ResNet(depth=34, in_channels=1, num_classes=10, width=0.125, stem="cifar", shortcut=shortcut)
    mean = gradient_norms(model, loss_on(x, 10)).mean
    return mean["conv1"] / mean["layer4.2.conv2"]


@pytest.mark.parametrize("seed", SEEDS)
def test_with_normalisation_it_explodes_instead_and_shortcuts_tame_it(seed: int):
    """ResNet-34 and plain-34 as they are built: 280 times as much at the stem, and 2,300 to 2,700 times."""
    plain, residual = at_the_stem("none", seed), at_the_stem("projection", seed)
    assert plain > 1000
    assert residual < 500
    assert plain > 5 * residual


# The model


def test_the_model_is_left_as_it_was():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(3)
    )
    x = torch.randn(4, 1, 6, 6)
    loss_on(x, 3)(model).backward()
    model[2].eval()
    modes = [module.training for module in model.modules()]
    state = [tensor.clone() for tensor in model.state_dict().values()]
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    random = torch.get_rng_state()
    model[2].train()
    first = gradient_norms(model, loss_on(x, 3))
    assert first == gradient_norms(model, loss_on(x, 3))  # the same dropout twice
    model[2].eval()
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(a, b) for a, b in zip(state, model.state_dict().values(), strict=True))
    assert all(torch.equal(a, p.grad) for a, p in zip(gradients, model.parameters(), strict=True))
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_it_is_put_back_where_the_loss_fails():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))

    def fail(model: nn.Module) -> torch.Tensor:
        model(torch.randn(4, 2))
        raise RuntimeError("no loss")

    before = model[0].running_mean.clone()
    with pytest.raises(RuntimeError, match="no loss"):
        gradient_norms(model, fail)
    assert torch.equal(model[0].running_mean, before)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_what_is_frozen_is_left_out():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    assert list(gradient_norms(model, lambda m: m(torch.ones(1, 2)).sum()).mean) == ["1"]


X = torch.ones(1, 2)


@pytest.mark.parametrize(
    ("model", "loss_of", "message"),
    [
        (nn.ReLU(), lambda m: m(X).sum(), "^ReLU: has no layers inside, give a network$"),
        (nn.Sequential(nn.Linear(2, 2)), lambda m: m(X), r"^loss of shape \(1, 2\): must be one number"),
        (
            nn.Sequential(nn.Linear(2, 2)),
            lambda m: X.sum(),
            r"^loss of shape \(\): must be one number that dep",
        ),
        (nn.Sequential(nn.Linear(2, 2)), lambda m: m[0].bias.sum(), "^no layer that learns has a part"),
    ],
)
def test_what_cannot_be_measured_is_refused(model: nn.Module, loss_of, message: str):
    with pytest.raises(UsageError, match=message):
        gradient_norms(model, loss_of)
