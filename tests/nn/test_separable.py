"""Grouped, depthwise, pointwise and separable convolutions: what each connects, and what it costs."""

import pytest
import torch
from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.convolution import cross_correlate
from didact.nn.separable import DepthwiseSeparable, ungrouped
from didact.nn.transposed import convolution_matrix


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_a_grouped_convolution_is_a_block_diagonal_ordinary_one(groups: int):
    """conv-grouped (001, section X.7; 000, section 2.3.4)."""
    x, weight, bias = randn(2, 6, 7, 7), randn(12, 6 // groups, 3, 3), randn(12)
    grouped = cross_correlate(x, weight, bias, padding="same", groups=groups)
    torch.testing.assert_close(grouped, cross_correlate(x, ungrouped(weight, groups), bias, padding="same"))
    read = ungrouped(weight, groups).abs().sum((2, 3)) != 0  # (K, C): which filter reads which channel
    assert torch.equal(read, torch.block_diag(*[torch.ones(12 // groups, 6 // groups)] * groups).bool())


def test_groups_are_convolutions_side_by_side():
    x, weight = randn(1, 6, 5, 5), randn(9, 2, 3, 3)
    parts = [cross_correlate(a, w) for a, w in zip(x.chunk(3, 1), weight.chunk(3), strict=True)]
    torch.testing.assert_close(cross_correlate(x, weight, groups=3), torch.cat(parts, 1))


def test_a_depthwise_filter_reads_one_channel():
    """conv-depthwise (001, section X.7; 004, L1361): as many maps as channels, each of its own channel."""
    x, weight = randn(1, 3, 6, 6), randn(3, 1, 3, 3)
    out = cross_correlate(x, weight, groups=3)
    assert out.shape == (1, 3, 4, 4)
    for c in range(3):
        torch.testing.assert_close(out[:, c], cross_correlate(x[:, c : c + 1], weight[c : c + 1])[:, 0])
    other = x.clone()
    other[:, 1] = 0
    changed = (cross_correlate(other, weight, groups=3) != out).flatten(2).any(2)
    assert changed.tolist() == [[False, True, False]]


def test_a_pointwise_convolution_is_a_linear_layer_on_each_pixel():
    """conv1x1 (001, section X.6): the size stays, the channels change."""
    x, linear = randn(2, 5, 4, 3), nn.Linear(5, 7).double()
    out = cross_correlate(x, linear.weight[:, :, None, None], linear.bias)
    assert out.shape == (2, 7, 4, 3)
    torch.testing.assert_close(out, linear(x.movedim(1, -1)).movedim(-1, 1))


@pytest.mark.parametrize("stride", [1, 2])
def test_the_block_is_its_two_convolutions(stride: int):
    """conv-depthwise-separable (001, section X.7; 004, L1382)."""
    block, x = DepthwiseSeparable(4, 6, kernel=5, stride=stride).double(), randn(2, 4, 9, 8)
    first, second = block.depthwise, block.pointwise
    between = cross_correlate(x, first.weight, first.bias, stride=stride, padding="same", groups=4)
    torch.testing.assert_close(block(x), cross_correlate(between, second.weight, second.bias))
    assert block(x).shape == (2, 6, -(-9 // stride), -(-8 // stride))


def test_it_is_an_ordinary_convolution_whose_filters_are_products():
    """Filter k reads channel c through w_k(c) d_c: all look at a channel alike, up to a factor."""
    block, x = DepthwiseSeparable(3, 5).double(), randn(1, 3, 6, 6)
    weight = block.pointwise.weight * block.depthwise.weight[:, 0]  # (K, C, 1, 1) (C, F, F) -> (K, C, F, F)
    bias = block.pointwise.weight[:, :, 0, 0] @ block.depthwise.bias + block.pointwise.bias
    torch.testing.assert_close(block(x), cross_correlate(x, weight, bias, padding="same"))


def test_with_norm_and_activation_both_follow_each_convolution():
    block, x = DepthwiseSeparable(4, 6, norm=True, activation="relu"), torch.randn(8, 4, 9, 8)
    between = torch.relu(block.norm1(block.depthwise(x)))
    torch.testing.assert_close(block(x), torch.relu(block.norm2(block.pointwise(between))))
    assert block(x).min() == 0
    assert (block.depthwise.bias, block.pointwise.bias) == (None, None)


@pytest.mark.parametrize(("channels", "filters", "size"), [(32, 64, 3), (3, 10, 5), (7, 7, 1)])
def test_parameters(channels: int, filters: int, size: int):
    weights = size**2 * channels + channels * filters
    assert count(DepthwiseSeparable(channels, filters, size)) == weights + channels + filters
    assert count(DepthwiseSeparable(channels, filters, size, norm=True)) == weights + 2 * (channels + filters)
    ordinary = nn.Conv2d(channels, filters, size).weight.numel()
    assert weights / ordinary == pytest.approx(1 / filters + 1 / size**2)


def test_the_matrices_show_what_is_connected():
    """Ones where a number of the answer depends on a number of the image: all, blocks, a diagonal."""
    full = convolution_matrix(torch.ones(2, 2, 3), (2, 5), padding=1)
    depthwise = convolution_matrix(ungrouped(torch.ones(2, 1, 3), 2), (2, 5), padding=1)
    pointwise = convolution_matrix(torch.ones(2, 2, 1), (2, 5))
    band = convolution_matrix(torch.ones(1, 1, 3), (1, 5), padding=1)
    assert torch.equal(full, band.repeat(2, 2))
    assert torch.equal(depthwise, torch.block_diag(band, band))
    assert torch.equal(pointwise, torch.eye(5).repeat(2, 2))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"in_channels": 0}, "^in_channels=0: must be 1 or more, try 1$"),
        ({"out_channels": 0}, "^out_channels=0: "),
        ({"stride": 0}, "^stride=0: "),
        ({"kernel": 4}, "^kernel=4: 'same' needs an odd kernel, try 3 or 5$"),
        ({"activation": "rellu"}, "^activation='rellu': unknown, did you mean"),
    ],
)
def test_nonsense_is_refused(given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        DepthwiseSeparable(**({"in_channels": 3, "out_channels": 4} | given))


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(UsageError, match=r"^groups=2: must divide 3 filters, try 1$"):
        ungrouped(torch.zeros(3, 1, 3, 3), 2)
