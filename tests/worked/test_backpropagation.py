"""Gradients by hand, number by number, against what training uses.

Notes 000, section 1.4.1; 001, section IV; 003, L68-150.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.data.facts import Facts
from didact.models.linear.mlp import MLP
from didact.tasks.classify import Classify
from didact.tasks.regress import Regress

P = 0.8807970779778823  # sigmoid(2)
ONE_SCORE = Facts("made", "table", "class", (2,), classes=("0", "1"))


class AgainstZero(nn.Module):
    """A network of one score, as two classes: the score of class 0 is fixed at zero, so p = sigmoid(z)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        z = self.network(x)
        return torch.cat([torch.zeros_like(z), z], dim=1)


def test_by_hand():
    """W1, backprop-by-hand: a 2-2-2-1 network, x = (1, 2), y = 0; every number of the worked page."""
    model = MLP(2, 1, (2, 2), "relu").double()
    weights = ([[1.0, -1], [-1, 1]], [[-1.0, 1], [-1, 1]], [[1.0, 1]])
    layers = [model.hidden.linear1, model.hidden.linear2, model.head]
    for layer, values in zip(layers, weights, strict=True):
        layer.weight.data = torch.tensor(values).double()
        nn.init.zeros_(layer.bias)
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            output.retain_grad()
            kept[name] = output

        return hook

    for name, module in model.named_modules():
        module.register_forward_hook(keep(name))
    x = torch.tensor([[1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    (step,) = Classify(ONE_SCORE).losses(AgainstZero(model), (x, torch.tensor([0])))
    step.loss.backward()

    values = {name: tensor.detach()[0].tolist() for name, tensor in kept.items()}
    assert values["hidden.linear1"] == [-1, 1]  # z11, z12
    assert values["hidden.act1"] == [0, 1]  # u11, u12
    assert values["hidden.linear2"] == values["hidden.act2"] == [1, 1]  # z21, z22
    assert values["head"] == [2]
    assert step.loss.item() == pytest.approx(2.1269280110429714)

    deltas = {name: tensor.grad[0].tolist() for name, tensor in kept.items()}
    assert deltas["head"] == pytest.approx([P])  # 0.88
    assert deltas["hidden.linear2"] == pytest.approx([P, P])
    assert deltas["hidden.linear1"] == pytest.approx([0, 2 * P])  # the dead neuron, and 1.76
    gradients = [layer.weight.grad.flatten().tolist() for layer in layers]
    assert gradients[0] == pytest.approx([0, 0, 2 * P, 4 * P])
    assert gradients[1] == pytest.approx([0, P, 0, P])
    assert gradients[2] == pytest.approx([P, P])
    assert x.grad[0].tolist() == pytest.approx([-2 * P, 2 * P])


def sigmoid_network() -> tuple[MLP, Tensor, Tensor]:
    """One hidden layer of sigmoids, one score; four examples with their labels."""
    return MLP(3, 1, (5,), "sigmoid").double(), torch.randn(4, 3).double(), torch.tensor([0, 1, 1, 0])


def test_last_layer_of_sigmoid_and_cross_entropy():
    """bp-ce-sigmoid-last (001, section IV.2): dL/dy^ dy^/ds = y^ - y, and dL/dw_j = (y^ - y) h_j."""
    model, x, labels = sigmoid_network()
    h, y = model.hidden(x).detach(), labels[:, None].double()
    s = model.head(h).detach().requires_grad_()
    predicted = torch.sigmoid(s)
    F.binary_cross_entropy(predicted, y, reduction="sum").backward()
    predicted = predicted.detach()
    first, second = (predicted - y) / (predicted * (1 - predicted)), predicted * (1 - predicted)
    torch.testing.assert_close(first * second, predicted - y)
    torch.testing.assert_close(s.grad, predicted - y)
    (step,) = Classify(ONE_SCORE).losses(AgainstZero(model), (x, labels))
    step.loss.backward()
    torch.testing.assert_close(model.head.weight.grad, (predicted - y).T @ h / 4)  # a mean over four
    torch.testing.assert_close(model.head.bias.grad, (predicted - y).mean(0))


def test_first_layer_of_sigmoid_and_cross_entropy():
    """bp-ce-sigmoid-first: dL/dh = sum (y^ - y) w; dL/ds1 = dL/dh h (1 - h); dL/dw1 = dL/ds1 x.

    The notes' third line sums over the outputs once more; dL/ds1 holds that sum already.
    """
    model, x, labels = sigmoid_network()
    (step,) = Classify(ONE_SCORE).losses(AgainstZero(model), (x, labels))
    step.loss.backward()
    h, y = model.hidden(x).detach(), labels[:, None].double()
    to_h = (torch.sigmoid(model.head(h)) - y).detach() @ model.head.weight.detach()
    to_s1 = to_h * h * (1 - h)
    torch.testing.assert_close(model.hidden.linear1.weight.grad, to_s1.T @ x / 4)
    torch.testing.assert_close(model.hidden.linear1.bias.grad, to_s1.mean(0))


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "gelu", "silu", "prelu"])
def test_every_weight_and_bias_against_finite_differences(activation: str, numbers: Facts):
    """chain-rule-weights (001, section IV.1): each gradient is what a small change of its parameter does."""
    model, x, y = (
        MLP(3, 1, (4, 3), activation).double(),
        torch.randn(6, 3).double(),
        torch.randn(6, 1).double(),
    )

    def loss() -> Tensor:
        return next(iter(Regress(numbers).losses(model, (x, y)))).loss

    loss().backward()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            for index in range(parameter.numel()):
                around = []
                for change in (1e-6, -2e-6):
                    parameter.view(-1)[index] += change
                    around.append(loss().item())
                parameter.view(-1)[index] += 1e-6
                numeric = (around[0] - around[1]) / 2e-6
                assert parameter.grad.view(-1)[index].item() == pytest.approx(numeric, rel=1e-6, abs=1e-9), (
                    name
                )
