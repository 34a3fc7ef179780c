"""The activations of the notes, by their formulas: values, derivatives, ranges and kinks.

Notes 000, section 1.3.1; 001, sections III and VII.2; 004, L380-432.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from didact.nn.activation import make_activation

X = torch.linspace(-6, 6, 241, dtype=torch.float64)  # holds 0
AWAY = X[X.abs() > 1e-9]  # where a kink has a derivative

Formula = Callable[[Tensor], Tensor]

FORMULAS: dict[str, tuple[Formula, Formula]] = {  # name -> (f, f')
    "identity": (lambda x: x, torch.ones_like),
    "sigmoid": (
        lambda x: 1 / (1 + torch.exp(-x)),
        lambda x: 1 / (1 + torch.exp(-x)) * (1 - 1 / (1 + torch.exp(-x))),
    ),
    "tanh": (
        lambda x: (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x)),
        lambda x: 1 - torch.tanh(x) ** 2,
    ),
    "relu": (lambda x: torch.maximum(torch.zeros_like(x), x), lambda x: (x > 0).double()),
    "leaky-relu": (lambda x: torch.maximum(0.01 * x, x), lambda x: torch.where(x > 0, 1.0, 0.01).double()),
    "leaky-relu-0.1": (lambda x: torch.maximum(0.1 * x, x), lambda x: torch.where(x > 0, 1.0, 0.1).double()),
    "prelu": (lambda x: torch.maximum(0.25 * x, x), lambda x: torch.where(x > 0, 1.0, 0.25).double()),
    "elu": (
        lambda x: torch.where(x >= 0, x, torch.exp(x) - 1),
        lambda x: torch.where(x >= 0, 1.0, torch.exp(x)),
    ),
    "gelu": (
        lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2,
        lambda x: (1 + torch.erf(x / 2**0.5)) / 2 + x * torch.exp(-(x**2) / 2) / (2 * torch.pi) ** 0.5,
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values_are_the_formula(name: str):
    torch.testing.assert_close(make_activation(name).double()(X), FORMULAS[name][0](X))


@pytest.mark.parametrize("name", FORMULAS)
def test_derivatives_are_the_formula(name: str):
    x = AWAY.clone().requires_grad_()
    make_activation(name).double()(x).sum().backward()
    torch.testing.assert_close(x.grad, FORMULAS[name][1](AWAY))


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("sigmoid", 0.0, 1.0),
        ("tanh", -1.0, 1.0),
        ("relu", 0.0, torch.inf),
        ("identity", -torch.inf, torch.inf),
    ],
)
def test_ranges_of_the_table(name: str, low: float, high: float):
    """Notes 001, section VII.2: the range of each; its ends are approached and not passed."""
    far = torch.tensor([-1e3, -20.0, 0.0, 20.0, 1e3], dtype=torch.float64)
    out = make_activation(name)(far)
    assert out.isfinite().all()
    assert low <= out.min() <= max(low + 1e-6, -20)
    assert min(high - 1e-6, 20) <= out.max() <= high


def test_tanh_is_zero_centred_and_sigmoid_is_not():
    assert make_activation("tanh")(X).mean().abs() < 1e-12
    assert make_activation("sigmoid")(X).mean() == pytest.approx(0.5)


def test_relu_has_no_gradient_at_zero_and_below():
    x = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    make_activation("relu")(x).sum().backward()
    assert x.grad.tolist() == [0, 0, 1]


def test_both_slopes_of_the_notes_exist():
    """Notes 000 and 004 have max(0.1 x, x), notes 001, section VII.2 has max(0.01 x, x)."""
    at_minus_ten = [
        make_activation(name)(torch.tensor(-10.0)).item() for name in ("leaky-relu-0.1", "leaky-relu")
    ]
    assert at_minus_ten == pytest.approx([-1.0, -0.1])


def test_prelu_has_one_parameter_more():
    assert [p.numel() for p in make_activation("prelu").parameters()] == [1]
    assert list(make_activation("leaky-relu").parameters()) == []


def test_gelu_of_the_paper():
    out = make_activation("gelu")(torch.tensor([0.0, 1.0]))
    assert out.tolist() == pytest.approx([0, 0.8413], abs=5e-5)
