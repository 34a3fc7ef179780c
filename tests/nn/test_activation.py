"""The activation table: values on paper, names as people type them."""

from math import erf, exp, tanh

import pytest
import torch

from didact.errors import UsageError
from didact.nn.activation import ACTIVATIONS, make_activation

AT_MINUS_ONE = {
    "identity": -1.0,
    "sigmoid": 1 / (1 + exp(1)),
    "tanh": tanh(-1),
    "relu": 0.0,
    "leaky-relu": -0.01,
    "leaky-relu-0.1": -0.1,
    "prelu": -0.25,  # a starts at 0.25
    "elu": exp(-1) - 1,  # -0.6321
    "gelu": -(1 + erf(-(0.5**0.5))) / 2,
    "silu": -1 / (1 + exp(1)),
}


def test_the_table_is_covered():
    assert set(AT_MINUS_ONE) == set(ACTIVATIONS)


@pytest.mark.parametrize(("name", "value"), AT_MINUS_ONE.items())
def test_value_at_minus_one(name: str, value: float):
    out = make_activation(name).double()(torch.tensor([-1.0]).double()).item()
    assert out == pytest.approx(value, abs=1e-7)


def test_sigmoid_of_the_notes():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = make_activation("sigmoid")(x)
    y.sum().backward()
    assert [round(value, 2) for value in y.tolist()] == [0.73, 0.88]
    assert round(x.grad[0].item(), 2) == 0.20


def test_prelu_learns_its_slope():
    activation = make_activation("prelu")
    activation(torch.tensor([-2.0])).backward()
    assert [p.grad.item() for p in activation.parameters()] == [-2.0]


def test_each_call_is_a_module_of_its_own():
    assert make_activation("prelu") is not make_activation("prelu")


@pytest.mark.parametrize("typed", ["leaky-relu", "leaky_relu", "Leaky_ReLU"])
def test_spelling_does_not_matter(typed: str):
    assert make_activation(typed).negative_slope == 0.01


def test_a_typo_is_answered_with_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean 'sigmoid'"):
        make_activation("sigmoyd")
