"""Local connections without sharing: with equal filters a convolution, with others not."""

import pytest
import torch
from torch import nn

from didact.errors import UsageError
from didact.nn.locally_connected import LocallyConnected1d


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_with_one_filter_for_all_places_it_is_a_convolution(stride: int, bias: bool):
    """locally-connected-1d (004, L38-48): the shared triplet."""
    layer = LocallyConnected1d(2, 4, size=9, kernel=3, stride=stride, bias=bias)
    conv = nn.Conv1d(2, 4, 3, stride, bias=bias)
    positions = layer.weight.shape[1]
    with torch.no_grad():
        layer.weight.copy_(conv.weight.flatten(1)[:, None].expand(-1, positions, -1))
        if bias:
            layer.bias.copy_(conv.bias[:, None].expand(-1, positions))
    x = torch.randn(5, 2, 9)
    torch.testing.assert_close(layer(x), conv(x))
    assert sum(p.numel() for p in layer.parameters()) == positions * sum(p.numel() for p in conv.parameters())


def test_each_place_has_a_filter_of_its_own():
    layer, x = LocallyConnected1d(1, 1, size=6, kernel=3), torch.randn(1, 1, 6)
    out = layer(x)[0, 0]
    for place in range(4):
        own = layer.weight[0, place] @ x[0, 0, place : place + 3] + layer.bias[0, place]
        torch.testing.assert_close(out[place], own)


def test_it_does_not_move_with_the_signal():
    layer, x = LocallyConnected1d(1, 3, size=9, kernel=3), torch.randn(1, 1, 9)
    assert not torch.allclose(layer(x.roll(1, 2))[:, :, 1:], layer(x)[:, :, :-1], atol=0.01)


def test_it_connects_neighbours_only():
    x = torch.randn(1, 1, 8, requires_grad=True)
    layer = LocallyConnected1d(1, 1, size=8, kernel=3)
    (reached,) = torch.autograd.grad(layer(x)[0, 0, 2], x)
    assert reached[0, 0].nonzero().flatten().tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"in_channels": 0}, "^in_channels=0: must be 1 or more, try 1$"),
        ({"out_channels": 0}, "^out_channels=0: must be 1 or more, try 1$"),
        ({"kernel": 7}, "^kernel=7: larger than size=6"),
    ],
)
def test_nonsense_is_refused(given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        LocallyConnected1d(**({"in_channels": 1, "out_channels": 1, "size": 6, "kernel": 3} | given))


def test_signals_of_another_size_are_refused():
    with pytest.raises(UsageError, match=r"^input of shape \(1, 1, 7\): this layer reads \(batch, 1, 6\)$"):
        LocallyConnected1d(1, 1, size=6, kernel=3)(torch.zeros(1, 1, 7))
