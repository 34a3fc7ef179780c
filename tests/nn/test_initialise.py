"""First weights: their variance by the number of inputs, and what becomes of rows through a deep stack."""

from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from didact.nn.initialise import FirstWeights, initialise
from didact.train.recipe import InitName

DEPTH, WIDTH = 20, 256


def drawn(layer: nn.Module, how: FirstWeights) -> Tensor:
    torch.manual_seed(0)
    initialise(layer, how)
    assert layer.bias is None or not layer.bias.any()
    return layer.weight.detach()


@pytest.mark.parametrize(
    ("how", "linear", "convolution"),
    [
        ("normal", 0.01**2, 0.01**2),
        ("xavier", 1 / 300, 1 / (32 * 9)),
        ("glorot", 2 / (300 + 500), 2 / ((32 + 64) * 9)),
        ("he", 2 / 300, 2 / (32 * 9)),
    ],
)
def test_the_variance_by_fan_in(how: FirstWeights, linear: float, convolution: float) -> None:
    assert drawn(nn.Linear(300, 500), how).var().item() == pytest.approx(linear, rel=0.03)
    assert drawn(nn.Conv2d(32, 64, 3), how).var().item() == pytest.approx(convolution, rel=0.03)


def test_a_group_of_a_convolution_has_inputs_of_its_own() -> None:
    grouped = nn.Conv2d(32, 64, 3, groups=4, bias=False)
    assert drawn(grouped, "he").var().item() == pytest.approx(2 / (8 * 9), rel=0.05)


@pytest.mark.parametrize(("inputs", "outputs"), [(20, 30), (30, 20)])
def test_orthogonal_weights_keep_lengths(inputs: int, outputs: int) -> None:
    weight = drawn(nn.Linear(inputs, outputs), "orthogonal")
    assert torch.allclose(torch.linalg.svdvals(weight), torch.ones(20), atol=1e-5)


def test_what_is_no_linear_layer_or_convolution_stays() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 4), nn.LayerNorm(4), nn.LSTM(4, 4), nn.ConvTranspose2d(4, 4, 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    initialise(model, "he")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_recipe_knows_them_all() -> None:
    assert get_args(InitName) == get_args(FirstWeights)


def test_own_weights_are_left_alone() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(4, 4)
    before = layer.weight.clone(), layer.bias.clone()
    initialise(layer, "own")
    assert all(torch.equal(a, b) for a, b in zip(before, (layer.weight, layer.bias), strict=True))


@pytest.mark.parametrize(
    ("how", "activation", "factor"),
    [
        ("he", nn.ReLU, 1),
        ("xavier", nn.ReLU, 1 / 2),  # what a rectifier leaves
        ("xavier", nn.Identity, 1),
        ("orthogonal", nn.Identity, 1),
        ("normal", nn.Identity, 0.01**2 * WIDTH),
    ],
)
def test_the_second_moment_of_what_a_layer_makes_of_the_one_before(
    how: FirstWeights, activation: type[nn.Module], factor: float
) -> None:
    """E[z^2] by depth: kept, halved, or 0.0256 of it a layer, so that nothing arrives."""
    torch.manual_seed(0)
    layers = [layer for _ in range(DEPTH) for layer in (nn.Linear(WIDTH, WIDTH), activation())]
    model = nn.Sequential(*layers[:-1])
    initialise(model, how)
    x = torch.randn(500, WIDTH)
    with torch.no_grad():
        share = float(model(x).square().mean() / model[0](x).square().mean())
    assert share ** (1 / (DEPTH - 1)) == pytest.approx(factor, rel=0.05)
