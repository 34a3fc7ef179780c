"""Pooling against torch's, its switches and gradients, and how little a pooled map minds a shift."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from didact.errors import UsageError
from didact.nn.convolution import cross_correlate
from didact.nn.kernels import kernel
from didact.nn.pooling import (
    average_pool,
    change_under_shift,
    global_average,
    max_pool,
    max_pool_backward,
    max_pool_with_switches,
    pooled_shape,
    unpool,
)

WINDOWS = [(2, None), (3, 2), (3, 1), (2, 3), ((2, 3), (1, 2)), (1, None)]  # disjoint, overlapping, with gaps


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(("size", "stride"), WINDOWS)
@pytest.mark.parametrize("shape", [(2, 3, 7, 8), (1, 2, 9, 6)])
def test_maximum_and_switches_are_torchs(shape: tuple[int, ...], size, stride, ceil: bool):
    x = torch.randn(shape)
    values, switches = max_pool_with_switches(x, size, stride, ceil)
    theirs, places = F.max_pool2d(x, size, stride, ceil_mode=ceil, return_indices=True)
    assert torch.equal(values, theirs)
    assert torch.equal(switches, places)
    assert torch.equal(max_pool(x, size, stride, ceil), theirs)


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(("size", "stride"), [(2, None), (3, 2), (2, 3)])
@pytest.mark.parametrize("n", [3, 7, 8, 9])
def test_maximum_and_switches_are_torchs_in_1d(n: int, size: int, stride, ceil: bool):
    x = torch.randn(2, 3, n)
    values, switches = max_pool_with_switches(x, size, stride, ceil)
    theirs, places = F.max_pool1d(x, size, stride, ceil_mode=ceil, return_indices=True)
    assert torch.equal(values, theirs)
    assert torch.equal(switches, places)


@pytest.mark.parametrize(("size", "stride"), WINDOWS)
def test_means_are_torchs(size, stride):
    """pool-average, pool-mean; the gradient of the mean is 1 / F^2 for each pixel."""
    x = torch.randn(2, 3, 7, 8, dtype=torch.float64, requires_grad=True)
    mine, theirs = average_pool(x, size, stride), F.avg_pool2d(x, size, stride)
    torch.testing.assert_close(mine, theirs)
    dy = torch.randn_like(mine)
    torch.testing.assert_close(torch.autograd.grad(mine, x, dy)[0], torch.autograd.grad(theirs, x, dy)[0])
    signal = torch.randn(2, 3, 7)
    torch.testing.assert_close(average_pool(signal, 3, 2), F.avg_pool1d(signal, 3, 2))


def test_each_pixel_of_a_mean_gets_its_share():
    x = torch.randn(1, 1, 6, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(average_pool(x, 3).sum(), x)
    torch.testing.assert_close(gradient, torch.full_like(x, 1 / 9))


def test_the_default_stride_is_the_window():
    """pool-default-stride (004, L324): disjoint windows."""
    x = torch.arange(36.0).view(1, 1, 6, 6)
    assert torch.equal(max_pool(x, 3), max_pool(x, 3, stride=3))
    assert max_pool(x, 3)[0, 0].tolist() == [[14, 17], [32, 35]]
    assert average_pool(x, (2, 3)).shape == (1, 1, 3, 2)
    assert pooled_shape((4, 6, 6), 3) == pooled_shape((4, 6, 6), 3, stride=3) == (4, 2, 2)


def test_sizes():
    """pool-layer-spec: D2 = D1 and (W - F) / S + 1; pool-overlapping: AlexNet's 3x3 at a stride of 2."""
    assert pooled_shape((3, 10, 10), 2) == (3, 5, 5)
    sides = [pooled_shape((96, side, side), 3, stride=2)[1] for side in (55, 27, 13)]
    assert sides == [27, 13, 6]
    for shape, size, stride in (((5, 9, 8), 2, None), ((5, 9, 8), 3, 2), ((2, 11), 4, 3)):
        assert max_pool(torch.zeros(1, *shape), size, stride).shape[1:] == pooled_shape(shape, size, stride)
    with pytest.raises(UsageError, match=r"^stride=0: "):
        pooled_shape((3, 10, 10), 2, stride=0)
    with pytest.raises(UsageError, match=r"^kernel=4: larger than size=3"):
        max_pool(torch.zeros(1, 1, 3, 3), 4)


def test_maps_do_not_mix():
    x = torch.randn(1, 3, 4, 4)
    alone = torch.cat([max_pool(x[:, c : c + 1], 2) for c in range(3)], dim=1)
    assert torch.equal(max_pool(x, 2), alone)


def test_global_average_is_a_number_for_each_map():
    """pool-global-average, global-avg-pool: (B, C, H, W) to (B, C)."""
    x = torch.randn(2, 5, 3, 4)
    torch.testing.assert_close(global_average(x), F.adaptive_avg_pool2d(x, 1).flatten(1))
    torch.testing.assert_close(global_average(x[:, :, 0]), x[:, :, 0].mean(2))


def ties() -> Tensor:
    """Images of 0 and 1 only: most windows have several maxima."""
    return torch.randint(2, (4, 3, 8, 8)).double()


@pytest.mark.parametrize(("size", "stride"), [(2, None), (3, 2), (3, 1)])
def test_of_equals_the_first_wins_as_in_torch(size: int, stride):
    x = ties().requires_grad_()
    mine, theirs = max_pool(x, size, stride), F.max_pool2d(x, size, stride)
    assert torch.equal(
        max_pool_with_switches(x, size, stride).switches,
        F.max_pool2d(x, size, stride, return_indices=True)[1],
    )
    dy = torch.randn_like(mine)
    torch.testing.assert_close(torch.autograd.grad(mine, x, dy)[0], torch.autograd.grad(theirs, x, dy)[0])
    assert max_pool_with_switches(torch.ones(1, 1, 4, 4), 2).switches.flatten().tolist() == [0, 2, 8, 10]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("size", "stride"), [(2, None), (3, 2), (3, 1)])
def test_the_gradient_goes_to_the_winner_alone(tied: bool, size: int, stride):
    """pool-max-backward (000, section 2.2; 003, L407-413): 1 for the largest, 0 for the others."""
    image = ties() if tied else torch.randn(2, 3, 7, 7).double()
    x = image.clone().requires_grad_()
    out, switches = max_pool_with_switches(x, size, stride)
    dy = torch.rand_like(out) + 1
    (gradient,) = torch.autograd.grad(F.max_pool2d(x, size, stride), x, dy)
    mine = max_pool_backward(dy, switches, image.shape[2:])
    torch.testing.assert_close(mine, gradient)
    assert mine.sum().item() == pytest.approx(dy.sum().item())  # nothing is lost, nothing made
    winners = torch.zeros(image.shape).flatten(2).scatter(2, switches.flatten(2), 1).bool()
    assert torch.equal(mine.flatten(2) != 0, winners)


def test_unpooling_by_switches():
    """unpooling-indices (002, section 5.2.3.2): zeros but where the maxima stood; pool(unpool(y)) = y."""
    x = torch.rand(2, 3, 6, 9)
    values, switches = max_pool_with_switches(x, 3)
    back = unpool(values, switches, (6, 9))
    assert torch.equal(back, F.max_unpool2d(values, switches, 3))
    assert torch.equal(max_pool(back, 3), values)
    kept = back != 0
    assert kept.sum() == values.numel()
    assert torch.equal(back[kept], x[kept])
    signal = torch.rand(2, 3, 7)
    values, switches = max_pool_with_switches(signal, 3, 2)
    assert torch.equal(
        unpool(values, switches, (7,)), torch.where(unpool(values, switches, (7,)) != 0, signal, 0)
    )


def test_unpooling_of_overlapping_windows_does_not_count_twice():
    x = torch.tensor([[[1.0, 9, 1]]])
    values, switches = max_pool_with_switches(x, 2, stride=1)
    assert unpool(values, switches, (3,)).tolist() == [[[0, 9, 0]]]


def digits() -> Tensor:
    """100 real digits (100, 1, 8, 8), 0 to 1."""
    return torch.from_numpy(load_digits().images[:100]).float()[:, None] / 16


def test_pooled_maps_mind_a_shift_less():
    """pool-invariance (004, L326-333): slightly; measured on real digits moved by a pixel."""
    images = digits()
    plain = change_under_shift(lambda x: x, images)
    average = change_under_shift(lambda x: average_pool(x, 2), images)
    maximum = change_under_shift(lambda x: max_pool(x, 2), images)
    large = change_under_shift(lambda x: max_pool(x, 4), images)
    assert plain > 0.6
    assert maximum < average < 0.8 * plain
    assert large < maximum < 0.75 * plain
    assert change_under_shift(global_average, images) < 1e-6  # which is invariant: f(g(x)) = f(x)
    assert change_under_shift(lambda x: x, images, pixels=8) == 0  # once around


def test_what_stays_in_its_window_changes_nothing():
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 2, 0] = 1
    assert change_under_shift(lambda x: max_pool(x, 2), x) == 0
    assert change_under_shift(lambda x: max_pool(x, 2), x, pixels=2) > 1


def test_an_edge_filter_and_a_pooling_see_the_edge_wherever_it_is():
    """hubel-wiesel (001, section I.1): the response stays when the edge moves, falls when it is turned."""

    def response(image: Tensor) -> float:
        return max_pool(cross_correlate(image, -kernel("sobel-x")[None, None]), 10).item()

    edge = (torch.arange(12) >= 5).float().expand(1, 1, 12, 12)
    moved = (torch.arange(12) >= 8).float().expand(1, 1, 12, 12)
    assert response(edge) == response(moved) == 4
    assert response(edge.transpose(2, 3)) == 0
