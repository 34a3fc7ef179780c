"""Convolution written out against torch's, against the loops of its formula, and its gradients."""

import doctest
from itertools import product
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.errors import UsageError
from didact.nn import (
    convolution,
    convolution_trace,
    fully_convolutional,
    kernels,
    layout,
    locally_connected,
    pooling,
    separable,
    transposed,
    windows,
)
from didact.nn.convolution import convolve, cross_correlate, flip
from didact.nn.windows import im2col, pad

ROOM = (
    convolution,
    convolution_trace,
    fully_convolutional,
    kernels,
    layout,
    locally_connected,
    pooling,
    separable,
    transposed,
    windows,
)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("module", ROOM, ids=lambda module: module.__name__)
def test_the_examples_run(module: ModuleType):
    results = doctest.testmod(module)
    assert results.attempted
    assert not results.failed


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        ((1, 1), 1, "valid"),
        ((3, 3), 1, "same"),
        ((3, 5), 2, "same"),
        ((2, 3), (3, 1), (2, 0)),
        ((5, 5), 1, 0),
        ((9, 8), 1, 0),
    ],
)
def test_equals_torch_in_2d(kernel, stride, padding, groups: int):
    """conv2d, strided-conv, conv-padding-same, conv-padding-valid, conv-grouped."""
    x, weight, bias = randn(2, 6, 9, 8), randn(12, 6 // groups, *kernel), randn(12)
    theirs_padding = {"valid": 0, "same": tuple((f - 1) // 2 for f in kernel)}.get(str(padding), padding)
    for b in (bias, None):
        mine = cross_correlate(x, weight, b, stride=stride, padding=padding, groups=groups)
        theirs = F.conv2d(x, weight, b, stride=stride, padding=theirs_padding, groups=groups)
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(1, 1, "valid"), (3, 1, "same"), (4, 3, 2), (7, 2, 0)]
)
def test_equals_torch_in_1d(kernel: int, stride: int, padding, groups: int):
    x, weight, bias = randn(3, 4, 11), randn(8, 4 // groups, kernel), randn(8)
    mine = cross_correlate(x, weight, bias, stride=stride, padding=padding, groups=groups)
    torch.testing.assert_close(mine, F.conv1d(x, weight, bias, stride, padding, groups=groups))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_padding_modes_are_those_of_torchs_layer(mode: str):
    """padding-modes (004, L181); E18: torch's own default is no padding."""
    layer = nn.Conv2d(2, 3, 5, stride=2, padding=2, padding_mode=mode).double()
    x = randn(2, 2, 7, 8)
    mine = cross_correlate(x, layer.weight, layer.bias, stride=2, padding="same", padding_mode=mode)
    torch.testing.assert_close(mine, layer(x))
    assert nn.Conv2d(1, 1, 3).padding == (0, 0)


def test_equals_the_loops_of_the_formula():
    """cross-correlation (003, L334): S(i,j) = sum I(i+m, j+n) K(m,n), summed over the channels too."""
    x, weight = randn(1, 2, 5, 6), randn(3, 2, 3, 2)
    out = torch.zeros(3, 3, 5, dtype=torch.float64)
    for k, i, j, c, m, n in product(*map(range, (3, 3, 5, 2, 3, 2))):
        out[k, i, j] += x[0, c, i + m, j + n] * weight[k, c, m, n]
    torch.testing.assert_close(cross_correlate(x, weight)[0], out)


def test_filtering_is_one_matrix_product():
    """conv-im2col (001, section IX.1): z = w^T x + b on every window."""
    x, weight, bias = randn(2, 3, 6, 5), randn(4, 3, 3, 3), randn(4)
    product = im2col(x, 3) @ weight.flatten(1).T + bias  # (B, L, K)
    torch.testing.assert_close(product.transpose(1, 2).view(2, 4, 4, 3), cross_correlate(x, weight, bias))


def test_convolution_turns_the_filter_around():
    """convolution-true (003, L342-356): S(i,j) = sum I(i-a, j-b) k'(a,b), where k'(m,n) = k(-m,-n)."""
    x, weight = randn(1, 1, 4, 5), randn(1, 1, 3, 2)
    full = torch.zeros(4 + 2, 5 + 1, dtype=torch.float64)
    for i, j, a, b in product(range(6), range(6), range(3), range(2)):
        if 0 <= i - a < 4 and 0 <= j - b < 5:
            full[i, j] += x[0, 0, i - a, j - b] * weight[0, 0, a, b]
    torch.testing.assert_close(convolve(x, weight, padding=(2, 1))[0, 0], full)
    torch.testing.assert_close(cross_correlate(x, flip(weight), padding=(2, 1))[0, 0], full)
    assert not torch.allclose(cross_correlate(x, weight, padding=(2, 1))[0, 0], full)


@pytest.mark.parametrize("mode", ["full", "valid"])
def test_convolution_is_numpys(mode: str):
    x, weight = randn(1, 1, 12), randn(1, 1, 4)
    mine = convolve(x, weight, padding=3 if mode == "full" else 0)
    torch.testing.assert_close(mine[0, 0], torch.from_numpy(np.convolve(x[0, 0], weight[0, 0], mode)))


def test_convolution_commutes_and_cross_correlation_does_not():
    x, y = randn(1, 1, 6), randn(1, 1, 6)
    torch.testing.assert_close(convolve(x, y, padding=5), convolve(y, x, padding=5))
    assert not torch.allclose(cross_correlate(x, y, padding=5), cross_correlate(y, x, padding=5))


def test_convolution_takes_the_other_arguments_too():
    x, weight, bias = randn(2, 4, 7, 7), randn(6, 2, 3, 3), randn(6)
    where = {"stride": 2, "padding": "same", "padding_mode": "reflect", "groups": 2}
    torch.testing.assert_close(
        convolve(x, weight, bias, **where), cross_correlate(x, weight.flip(2, 3), bias, **where)
    )


def test_discrete_convolution_tends_to_the_integral():
    """conv-1d-continuous (001, section IX.1): f * g = int f(tau) g(t - tau) dtau; boxes make a triangle."""
    errors = []
    for step in (0.1, 0.05, 0.025):
        box = torch.ones(1, 1, round(1 / step), dtype=torch.float64)
        sums = step * convolve(box, box, padding=box.shape[2] - 1)[0, 0]
        t = step * torch.arange(1, len(sums) + 1)
        torch.testing.assert_close(sums, torch.minimum(t, 2 - t).double())  # at its corners already exact
    for step in (0.2, 0.1, 0.05):  # exp(-t) * exp(-t) = t exp(-t)
        t = step * torch.arange(round(4 / step), dtype=torch.float64)
        decay = torch.exp(-t).view(1, 1, -1)
        sums = step * convolve(decay, decay, padding=len(t) - 1)[0, 0, : len(t)]
        errors.append((sums - t * torch.exp(-t)).abs().max().item())
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.01)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.01)


def test_a_moved_image_moves_the_map():
    """conv-equivariance (004, L30): exact where the border does not reach."""
    x, weight = randn(1, 2, 12, 12), randn(3, 2, 3, 3)
    moved = cross_correlate(x.roll((2, 3), (2, 3)), weight)
    assert torch.equal(moved[:, :, 2:, 3:], cross_correlate(x, weight)[:, :, :-2, :-3])
    around = cross_correlate(x.roll(3, 3), weight, padding="same", padding_mode="circular")
    still = cross_correlate(x, weight, padding="same", padding_mode="circular")
    assert torch.equal(around, still.roll(3, 3))


def gradients(function, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A random dL/dy, and autograd's dL/dweight and dL/dx."""
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    y = function(x, weight)
    dy = torch.randn_like(y)
    return dy, *torch.autograd.grad(y, (weight, x), dy)


def test_gradients_of_cross_correlation():
    """conv-backward-filter, and conv-transposed in 2-D: correlate with dy; convolve dy with the filter."""
    x, weight = randn(1, 2, 6, 7), randn(3, 2, 3, 4)
    dy, dw, dx = gradients(cross_correlate, x, weight)
    # dw[k, c] = sum over positions of dy[k] x[c]: dy as a filter on x, each channel an image
    mine = cross_correlate(x.transpose(0, 1), dy.transpose(0, 1)).transpose(0, 1)
    torch.testing.assert_close(mine, dw)
    mine = convolve(dy, weight.transpose(0, 1), padding=(2, 3))
    torch.testing.assert_close(mine, dx)


def test_gradients_of_true_convolution():
    """conv-backward-filter (000, section 2.1.3): dL/dh[i,j] = sum over k, l of dL/dy[k,l] x[k-i, l-j]."""
    x, h = randn(1, 1, 5, 6), randn(1, 1, 3, 2)
    dy, dh, dx = gradients(lambda x, h: convolve(x, h, padding=(2, 1)), x, h)
    printed = torch.zeros(3, 2, dtype=torch.float64)
    for i, j, k, m in product(range(3), range(2), range(7), range(7)):
        if 0 <= k - i < 5 and 0 <= m - j < 6:
            printed[i, j] += dy[0, 0, k, m] * x[0, 0, k - i, m - j]
    torch.testing.assert_close(dh[0, 0], printed)
    torch.testing.assert_close(dx, cross_correlate(dy, h))  # here the way back does not turn the filter


def test_zero_padding_of_a_centred_image_is_padding_with_the_mean():
    """mean-centre-for-pad (002, section 5.1.2.1): 0 then stands for the average intensity."""
    x, weight = randn(1, 1, 6, 6) + 5, randn(1, 1, 3, 3)
    mean = x.mean()
    centred = cross_correlate(x - mean, weight, padding="same")
    filled = cross_correlate(F.pad(x, [1] * 4, value=mean.item()), weight)
    torch.testing.assert_close(centred, filled - mean * weight.sum())


def test_a_frame_of_zeros_is_an_edge_and_a_repeated_border_is_none():
    edge = torch.tensor([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]).view(1, 1, 3, 3)
    grey = torch.ones(1, 1, 5, 5)
    assert cross_correlate(grey, edge, padding="same")[0, 0, 0].tolist() == [5, 3, 3, 3, 5]
    for mode in ("reflect", "replicate", "circular"):
        assert not cross_correlate(grey, edge, padding="same", padding_mode=mode).any()


def test_whole_numbers_and_infinities():
    """Padding adds zeros, not products with zero: an infinite pixel spoils its own windows only."""
    x = torch.tensor([[[torch.inf, 1.0, 2.0, 3.0]]])
    assert cross_correlate(x, torch.ones(1, 1, 3), padding="same").tolist() == [
        [[torch.inf, torch.inf, 6, 5]]
    ]
    assert pad(x, 1).tolist() == [[[0, torch.inf, 1, 2, 3, 0]]]


@pytest.mark.parametrize(
    ("x", "weight", "given", "message"),
    [
        (
            (1, 1, 5, 5),
            (1, 3, 3, 3),
            {},
            "each filter reads 3 channels, and x has 1 in groups=1; give filters of 1$",
        ),
        ((1, 4, 5, 5), (2, 4, 3, 3), {"groups": 2}, "give filters of 2$"),
        (
            (1, 4, 5, 5),
            (3, 2, 3, 3),
            {"groups": 2},
            "^groups=2: must divide 4 channels and 3 filters, try 1$",
        ),
        ((1, 4, 5, 5), (4, 4, 3, 3), {"groups": 0}, "^groups=0: "),
        (
            (5, 5),
            (3, 3),
            {},
            r"^x of shape \(5, 5\) with weight of shape \(3, 3\): give \(batch, channels, size\)",
        ),
        ((1, 1, 5, 5), (1, 1, 3), {}, "^x of shape"),
        (
            (1, 1, 5, 5),
            (2, 1, 3, 3),
            {"bias": torch.zeros(1)},
            r"^bias of shape \(1,\): one number a filter, give \(2,\)$",
        ),
        (
            (1, 1, 5, 5),
            (1, 1, 3, 3),
            {"padding": "full"},
            "^padding='full': unknown, choose valid, same or a number$",
        ),
        (
            (1, 1, 5, 5),
            (1, 1, 2, 2),
            {"padding": "same"},
            "^kernel=2: 'same' needs an odd kernel, try 1 or 3$",
        ),
        ((1, 1, 5, 5), (1, 1, 3, 3), {"stride": 0}, "^stride=0: must be 1 or more"),
        ((1, 1, 5, 5), (1, 1, 7, 7), {}, "^kernel=7: larger than size=5 with padding=0, pad by 1$"),
    ],
)
def test_shapes_that_do_not_belong_together(x: tuple, weight: tuple, given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        cross_correlate(torch.zeros(x), torch.zeros(weight), **given)
