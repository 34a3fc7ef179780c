"""Softmax regression against its formula and the notes' counts."""

import pytest
import torch

from didact.errors import UsageError
from didact.models.linear.softmax_regression import SoftmaxRegression


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("in_features", "num_classes", "parameters"),
    [
        (784, 100, 78_500),  # W28 of notes 004: 100 x 784 + 100
        (784, 10, 7_850),
        (4, 3, 15),
    ],
)
def test_parameters(in_features: int, num_classes: int, parameters: int):
    assert count(SoftmaxRegression(in_features, num_classes)) == parameters


def test_scores_are_w_x_plus_b():
    model = SoftmaxRegression(6, 3)
    x = torch.randn(5, 1, 2, 3)
    W, b = model.linear.weight, model.linear.bias
    expected = torch.stack([torch.stack([W[k] @ row.flatten() + b[k] for k in range(3)]) for row in x])
    torch.testing.assert_close(model(x), expected)


def test_it_is_blind_to_the_layout_of_an_image():
    model, x = SoftmaxRegression(64, 10), torch.randn(2, 1, 8, 8)
    assert torch.equal(model(x), model(x.flatten(1)))


def test_wrong_sizes_say_what_was_expected():
    with pytest.raises(UsageError, match=r"has 49 numbers an example; this .* in_features=64"):
        SoftmaxRegression(64, 10)(torch.zeros(2, 1, 7, 7))
    with pytest.raises(UsageError, match="num_classes=0"):
        SoftmaxRegression(64, 0)
