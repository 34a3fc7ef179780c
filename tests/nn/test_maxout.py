"""Maxout: its formula, the functions it holds, what it costs; and that it is trained where ReLU is dead."""

import pytest
import torch
from torch import nn

from didact.errors import UsageError
from didact.nn.activation import make_activation
from didact.nn.maxout import Maxout


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_it_is_its_formula(pieces: int):
    torch.manual_seed(0)
    layer, x = Maxout(4, 3, pieces), torch.randn(6, 4)
    each = []
    for number in range(pieces):
        weight, bias = torch.randn(3, 4), torch.randn(3)
        layer.set_piece(number, weight, bias)
        each.append(x @ weight.T + bias)
    torch.testing.assert_close(layer(x), torch.stack(each).max(0).values)


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_parameters_are_pieces_times_those_of_a_layer(pieces: int):
    """pieces (in + 1) out: twice those of a linear layer for two pieces."""
    layer = Maxout(in_features=7, out_features=4, pieces=pieces)
    assert sum(p.numel() for p in layer.parameters()) == pieces * (7 + 1) * 4


def test_with_a_piece_of_zeros_it_is_relu():
    torch.manual_seed(0)
    layer, linear, x = Maxout(4, 3), nn.Linear(4, 3), torch.randn(6, 4)
    layer.set_piece(0, torch.zeros(3, 4), torch.zeros(3))
    layer.set_piece(1, linear.weight, linear.bias)
    torch.testing.assert_close(layer(x), linear(x).relu())


def test_more_pieces_come_closer_to_a_parabola():
    """x^2 by p of its tangents: convex, in straight pieces; the error falls with the square of p."""
    x = torch.linspace(-1, 1, 2001)[:, None]
    errors = []
    for pieces in (2, 4, 8):
        layer = Maxout(1, 1, pieces)
        for k in range(pieces):
            at = -1 + (2 * k + 1) / pieces
            layer.set_piece(k, torch.tensor([[2 * at]]), torch.tensor([-(at**2)]))
        errors.append((x**2 - layer(x)).max().item())
    assert errors == pytest.approx([1 / 4, 1 / 16, 1 / 64], rel=1e-3)


def test_it_does_not_die():
    """Biases of -5 silence all units of a ReLU; a piece of a maxout is the largest all the same."""
    torch.manual_seed(0)
    x = torch.randn(32, 4)
    linear, layer = nn.Linear(4, 8), Maxout(4, 8)
    for bias in (linear.bias, layer.linear.bias):
        nn.init.constant_(bias, -5.0)
    linear(x).relu().sum().backward()
    layer(x).sum().backward()
    assert linear.weight.grad.abs().sum() == 0
    assert (layer.linear.weight.grad.abs().sum(1).view(2, 8).sum(0) > 0).all()


def test_any_leading_shape():
    assert Maxout(4, 3)(torch.zeros(2, 5, 4)).shape == (2, 5, 3)


def test_no_pieces_are_refused():
    with pytest.raises(UsageError, match=r"^pieces=0: must be 1 or more"):
        Maxout(4, 3, pieces=0)


# ELU and its alpha


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_elu_with_its_alpha(alpha: float):
    """x from 0 on, alpha (e^x - 1) below: continuous at 0; its slope jumps there from alpha to 1."""
    activation = make_activation(f"elu:{alpha}")
    x = torch.tensor([-1.0, -1e-6, 0.0, 1e-6, 2.0], dtype=torch.double, requires_grad=True)
    out = activation(x)
    torch.testing.assert_close(out, torch.where(x < 0, alpha * (x.exp() - 1), x))
    out.sum().backward()
    assert out[1:4].abs().max() < 1e-5
    assert x.grad[[1, 3]].tolist() == pytest.approx([alpha, 1.0], rel=1e-5)


def test_elu_without_alpha_has_1():
    """W: f(-1) = -0.6321."""
    for name in ("elu", "ELU:1"):
        assert make_activation(name)(torch.tensor(-1.0)).item() == pytest.approx(-0.6321, abs=5e-5)


@pytest.mark.parametrize("name", ["elu:", "elu:much", "elu:-1", "elu:0", "elu:inf", "elu:nan"])
def test_other_alphas_are_refused(name: str):
    with pytest.raises(
        UsageError, match=f"^activation='{name}': alpha must be a number more than 0, try elu:1"
    ):
        make_activation(name)
