"""The curves of activations: values, derivatives, where they saturate."""

import json
from math import exp

import pytest
import torch
from torch import nn

from didact.errors import UsageError
from didact.nn.activation import ACTIVATIONS, make_activation
from didact.nn.maxout import Maxout
from didact.see.activations import activation_curves, plain

INFINITE = float("inf")
SATURATED = {  # beyond which |f'| is less than a hundredth of its most
    "identity": (-INFINITE, INFINITE),
    "sigmoid": (-6.0, 6.0),  # s (1 - s) = 0.0025 at 5.98
    "tanh": (-3.0, 3.0),  # 1 - t^2 = 0.01 at 2.99
    "relu": (0.0, INFINITE),
    "leaky-relu": (-INFINITE, INFINITE),
    "leaky-relu-0.1": (-INFINITE, INFINITE),
    "prelu": (-INFINITE, INFINITE),
    "elu": (-4.65, INFINITE),  # e^x = 0.01 at -4.61
    "gelu": (-3.05, INFINITE),
    "silu": (-6.15, INFINITE),
}


def test_the_table_is_covered():
    assert set(SATURATED) == set(ACTIVATIONS) == set(activation_curves())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_curve_is_the_function(name: str):
    curve = activation_curves([name])[name]
    x = torch.tensor(curve.x, dtype=torch.double)
    assert (curve.x[0], curve.x[140], curve.x[-1], len(curve.x)) == (-7, 0, 7, 281)
    expected = make_activation(name).double()(x)
    torch.testing.assert_close(torch.tensor(curve.values, dtype=torch.double), expected)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_slope_is_the_derivative(name: str):
    """Against differences, away from the corner at 0."""
    curve = activation_curves([name])[name]
    activation, step = make_activation(name).double(), 1e-5
    x = torch.tensor(curve.x, dtype=torch.double)
    differences = (activation(x + step) - activation(x - step)) / (2 * step)
    away = x != 0
    found = torch.tensor(curve.slopes, dtype=torch.double)
    torch.testing.assert_close(found[away], differences[away], atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("name", SATURATED)
def test_where_it_saturates(name: str):
    assert activation_curves([name])[name].saturated == SATURATED[name]


def test_a_flat_place_in_the_middle_is_no_saturation():
    """GELU turns at -0.75, and is as steep as anything on both sides."""
    slopes = dict(
        zip(activation_curves(["gelu"])["gelu"].x, activation_curves(["gelu"])["gelu"].slopes, strict=True)
    )
    assert abs(slopes[-0.75]) < 0.01 < abs(slopes[-1.5])


def test_maxout_and_elu_with_its_alpha():
    maxout = Maxout(1, 1)
    maxout.set_piece(0, torch.tensor([[-0.5]]), torch.tensor([0.0]))
    maxout.set_piece(1, torch.tensor([[1.0]]), torch.tensor([-1.0]))
    curves = activation_curves({"maxout": maxout, "elu": nn.ELU(2.0)})
    at = dict(zip(curves["maxout"].x, curves["maxout"].values, strict=True))
    assert (at[-2.0], at[0.0], at[2.0]) == (1.0, 0.0, 1.0)
    assert curves["maxout"].saturated == (-INFINITE, INFINITE)
    assert set(curves["maxout"].slopes) == {-0.5, 1.0}
    assert curves["elu"].values[0] == pytest.approx(2 * (exp(-7) - 1))
    assert maxout.linear.weight.dtype == torch.float32  # it was not changed
    assert maxout.linear.weight.grad is None


def test_plain_values():
    values = json.loads(json.dumps(plain(activation_curves(["tanh"]))))["tanh"]
    assert values["saturated"] == [-3.0, 3.0]
    assert len(values["x"]) == len(values["values"]) == len(values["slopes"])


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match="did you mean 'tanh'"):
        activation_curves(["tahn"])
