"""The worked examples on convolution and pooling, with the numbers that the notes print."""

import pytest
import torch
from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.convolution import convolve, cross_correlate
from didact.nn.convolution_trace import trace
from didact.nn.kernels import KERNELS, FilterBank, kernel
from didact.nn.pooling import average_pool, global_average, max_pool, pooled_shape
from didact.nn.transposed import insert_zeros, transposed_convolve, transposed_size
from didact.nn.windows import layer_shape, output_size, same_padding

W1_X = [[4, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]]
W1_W = [[1, 4, 1], [1, 4, 3], [3, 3, 1]]
W1_PRINTED = """\
u(1,1) = 4x1 + 5x4 + 8x1 + 1x1 + 8x4 + 8x3 + 3x3 + 6x3 + 6x1 = 122
u(1,2) = 5x1 + 8x4 + 7x1 + 8x1 + 8x4 + 8x3 + 6x3 + 6x3 + 4x1 = 148
u(2,1) = 1x1 + 8x4 + 8x1 + 3x1 + 6x4 + 6x3 + 6x3 + 5x3 + 7x1 = 126
u(2,2) = 8x1 + 8x4 + 8x1 + 6x1 + 6x4 + 4x3 + 5x3 + 7x3 + 8x1 = 134
4 positions: 36 multiplications, 32 additions"""


def as_batch(rows: list[list[float]]) -> Tensor:
    """A map as (1, 1, H, W)."""
    return torch.tensor(rows, dtype=torch.float64)[None, None]


def same(out: Tensor, printed: list, digits: int) -> bool:
    """Equal to half a unit of the last printed digit."""
    rows = torch.tensor(printed, dtype=torch.float64)
    return out.shape == rows.shape and bool(((out - rows).abs() <= 0.5 * 10**-digits + 1e-12).all())


def test_w1_term_by_term():
    """Notes 004, L135-160: every sum as it is printed."""
    done = trace(W1_X, W1_W)
    assert str(done) == W1_PRINTED
    assert done.output.tolist() == [[122, 148], [126, 134]]
    assert cross_correlate(as_batch(W1_X), as_batch(W1_W))[0, 0].tolist() == [[122, 148], [126, 134]]


def test_w1_is_cross_correlation():
    """E50: with the filter turned around other numbers come out, 148 in the corner alike."""
    assert convolve(as_batch(W1_X), as_batch(W1_W))[0, 0].tolist() == [[119, 148], [121, 143]]


W2_X = [
    [0.5, -0.1, 0.2, 0.3, 0.5],
    [0.8, 0.1, -0.5, 0.5, 0.1],
    [-1.0, 0.2, 0.0, 0.3, -0.2],
    [0.7, 0.1, 0.2, -0.6, 0.3],
    [-0.4, 0.0, 0.2, 0.3, -0.3],
]
W2_W = [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
W2_BIAS = torch.tensor([0.05], dtype=torch.float64)


def test_w2_valid():
    """Notes 004, L434-489, Example 1."""
    u = cross_correlate(as_batch(W2_X), as_batch(W2_W), W2_BIAS)
    assert same(u[0, 0], [[-0.35, 1.35, 0.75], [-0.55, 0.85, 0.05], [0.75, 0.05, 1.15]], digits=10)
    f = torch.sigmoid(u)
    assert same(f[0, 0], [[0.413, 0.794, 0.679], [0.366, 0.701, 0.512], [0.679, 0.512, 0.76]], digits=3)
    assert same(f[0, 0, 1:, 2], [0.512497, 0.75951], digits=5)
    assert same(max_pool(f, 2)[0, 0], [[0.794]], digits=3)


def test_w2_expansion():
    """The sums of L487, where u(2,1) has -0.1x1 for -1.0x1; the printed result has the right one."""
    steps = trace(W2_X, W2_W, bias=0.05).steps
    assert [str(steps[k]) for k in (0, 3)] == [
        "u(1,1) = 0.5x0 - 0.1x1 + 0.2x1 + 0.8x1 + 0.1x0 - 0.5x1 - 1x1 + 0.2x1 + 0x0 + 0.05 = -0.35",
        "u(2,1) = 0.8x0 + 0.1x1 - 0.5x1 - 1x1 + 0.2x0 + 0x1 + 0.7x1 + 0.1x1 + 0.2x0 + 0.05 = -0.55",
    ]
    assert steps[3].total + 0.9 == pytest.approx(0.35)  # what the slip would give


def test_w2_same():
    u = cross_correlate(as_batch(W2_X), as_batch(W2_W), W2_BIAS, padding="same")
    assert same(
        u[0, 0],
        [
            [0.75, 1.65, -0.15, 0.75, 0.95],
            [-0.45, -0.35, 1.35, 0.75, 1.15],
            [1.85, -0.55, 0.85, 0.05, 0.15],
            [-1.05, 0.75, 0.05, 1.15, -0.75],
            [0.85, 0.15, -0.05, -0.35, 0.65],
        ],
        digits=10,
    )
    f = torch.sigmoid(u)
    assert same(
        f[0, 0],
        [
            [0.6792, 0.8389, 0.4626, 0.6792, 0.7211],
            [0.3894, 0.4134, 0.7941, 0.6792, 0.7595],
            [0.8641, 0.3659, 0.7006, 0.5125, 0.5374],
            [0.2592, 0.6792, 0.5125, 0.7595, 0.3208],
            [0.7006, 0.5374, 0.4875, 0.4134, 0.6570],
        ],
        digits=4,
    )
    assert same(max_pool(f, 2)[0, 0], [[0.83889, 0.79413], [0.86413, 0.75951]], digits=5)
    whole = [[0.83889, 0.79413, 0.75951], [0.86413, 0.75951, 0.53743], [0.70057, 0.48750, 0.65701]]
    assert same(max_pool(f, 2, ceil=True)[0, 0], whole, digits=5)


def test_w3_three_fixed_filters():
    """Notes 004, L491-515, Example 2: 28 -> 26 -> 13, three maps; W27 for the sums."""
    weight = torch.stack([-kernel("sobel-x"), kernel("sobel-y"), kernel("blur")])[:, None]
    assert weight[0, 0].tolist() == [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    assert weight[1, 0].tolist() == [[1, 2, 1], [0, 0, 0], [-1, -2, -1]]
    assert weight[2, 0].tolist() == [[3, 4, 3], [4, 5, 4], [3, 4, 3]]
    assert weight.sum((1, 2, 3)).tolist() == [0, 0, 33]
    columns = torch.arange(28.0).expand(1, 1, 28, 28)  # x(i, j) = j
    for image, answers in ((columns, (8, 0)), (columns.transpose(2, 3), (0, -8))):
        maps = cross_correlate(image, weight)
        assert maps.shape == (1, 3, 26, 26)
        assert [maps[0, k].unique().tolist() for k in (0, 1)] == [[answer] for answer in answers]
        assert max_pool(maps, 2).shape == (1, 3, 13, 13)


def test_w4_output_sizes():
    """Notes 004, L156-290; W9 of notes 001 for the last five."""
    assert [output_size(7, 3, stride, strict=True) for stride in (1, 2)] == [5, 3]
    with pytest.raises(UsageError, match=r"= 2\.33 is no number of positions"):
        output_size(7, 3, stride=3, strict=True)
    assert output_size(7, 3, padding=1) == 7
    assert layer_shape((3, 32, 32), 10, kernel=5, padding=2) == (10, 32, 32)
    assert layer_shape((3, 32, 32), 10, kernel=5) == (10, 28, 28)
    assert [same_padding(kernel) for kernel in (3, 5, 7)] == [1, 2, 3]


def test_w4_ten_filters_on_a_volume():
    """10 filters of 3x5x5 at stride 1 and padding 2: 760 parameters, and maps (10, 32, 32)."""
    weight, bias = torch.randn(10, 3, 5, 5), torch.randn(10)
    assert weight.numel() + bias.numel() == (5 * 5 * 3 + 1) * 10 == 760
    assert cross_correlate(torch.randn(1, 3, 32, 32), weight, bias, padding=2).shape == (1, 10, 32, 32)


def test_w4_pooling():
    """Notes 002, sections 5.1.2.2 and 5.1.3.4."""
    assert max_pool(torch.zeros(1, 3, 10, 10), 2).shape[1:] == pooled_shape((3, 10, 10), 2) == (3, 5, 5)
    assert global_average(torch.zeros(1, 512, 64, 64)).shape == (1, 512)


@pytest.mark.parametrize(
    ("size", "given", "positions"),
    [
        (32, {"kernel": 5}, 28),  # LeNet
        (227, {"kernel": 11, "stride": 4}, 55),  # AlexNet
        (55, {"kernel": 3, "stride": 2}, 27),
        (7, {"kernel": 3, "padding": 1}, 7),
    ],
)
def test_w9_sizes_without_a_fraction(size: int, given: dict, positions: int):
    """Notes 001, section IX.3."""
    assert output_size(size, **given, strict=True) == positions


def test_w9_a_real_network_has_a_fraction():
    """The stem of ResNet and GoogLeNet: 112.5, read as 112; to call that illegal refuses them (E42)."""
    assert output_size(224, 7, stride=2, padding=3) == 112
    with pytest.raises(UsageError, match=r"= 112\.50 is no number"):
        output_size(224, 7, stride=2, padding=3, strict=True)


def test_w9_counted_one_by_one():
    """W9 of notes 004, L1308-1319: a 5x5 filter on 3x32x32, (2 x 3 x 25) x 28 x 28 = 117,600 operations."""
    done = trace(torch.rand(3, 32, 32), torch.rand(3, 5, 5), bias=0.1, show=1)
    assert done.output.shape == (28, 28)
    assert done.multiplications == 58_800
    assert done.additions == 58_016 + 784
    assert done.multiplications + done.additions == 117_600
    assert str(done).splitlines()[1] == "... and 783 more"


def test_w7_pooling():
    """Notes 001, section IX.4."""
    x = as_batch([[3, 1, 3, 5], [6, 0, 7, 9], [3, 2, 1, 4], [0, 2, 4, 3]])
    assert max_pool(x, 2)[0, 0].tolist() == [[6, 9], [3, 4]]
    assert average_pool(x, 2)[0, 0].tolist() == [[2.5, 6], [1.75, 3]]


def test_w21_fractional_stride():
    """Notes 004, L4647-4659: 3x3 to 5x5 with a filter of 3x3, stride 2, padding 1."""
    x = as_batch([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    out = [
        [5, 14, 10, 24, 15],
        [16, 40, 26, 60, 36],
        [20, 44, 25, 54, 30],
        [46, 100, 56, 120, 66],
        [35, 74, 40, 84, 45],
    ]
    assert transposed_size(3, 3, stride=2, padding=1) == 5
    assert transposed_convolve(x, x, stride=2, padding=1)[0, 0].tolist() == out
    assert convolve(insert_zeros(x, 2), x, padding=1)[0, 0].tolist() == out  # its parts
    stamps = torch.zeros(7, 7, dtype=torch.float64)  # and as stamps that add where they overlap
    for i in range(3):
        for j in range(3):
            stamps[2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += x[0, 0, i, j] * x[0, 0]
    assert stamps[1:-1, 1:-1].tolist() == out


def test_w26_the_way_back_of_a_filter_of_three():
    """Notes 000, section 2.1.4: z_i = w1 x_i-1 + w2 x_i + w3 x_i+1, and back w3 d_i-1 + w2 d_i + w1 d_i+1."""
    torch.manual_seed(0)
    w, d = torch.randn(1, 1, 3).double(), torch.randn(1, 1, 6).double()
    x = torch.randn(1, 1, 6).double().requires_grad_()
    (gradient,) = torch.autograd.grad(cross_correlate(x, w, padding=1), x, d)
    w1, w2, w3 = w.flatten()
    padded = torch.cat([torch.zeros(1), d.flatten(), torch.zeros(1)])
    printed = w3 * padded[:-2] + w2 * padded[1:-1] + w1 * padded[2:]
    torch.testing.assert_close(gradient.flatten(), printed)
    torch.testing.assert_close(transposed_convolve(d, w, padding=1).flatten(), printed)


@pytest.mark.parametrize(
    ("name", "total"),
    [("edge", 0), ("box", 1), ("gaussian", 1), ("sharpen", 1), ("sobel-x", 0), ("scharr-x", 0)],
)
def test_w27_sums_of_filters(name: str, total: int):
    """Notes 001, section IX.1; a constant image answers with sum x value."""
    assert kernel(name).sum().item() == pytest.approx(total, abs=1e-6)
    answers = FilterBank([name])(torch.full((1, 1, 5, 5), 7.0))
    torch.testing.assert_close(answers, torch.full_like(answers, 7.0 * total))


def test_w27_the_filters_of_notes_001():
    assert {name: KERNELS[name].rows for name in ("edge", "gaussian", "sharpen", "sobel-x", "scharr-x")} == {
        "edge": ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)),
        "gaussian": ((1, 2, 1), (2, 4, 2), (1, 2, 1)),
        "sharpen": ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
        "sobel-x": ((1, 0, -1), (2, 0, -2), (1, 0, -1)),
        "scharr-x": ((3, 0, -3), (10, 0, -10), (3, 0, -3)),
    }
    assert (
        sum(map(sum, KERNELS["gaussian"].rows)) == KERNELS["gaussian"].divisor == 16
    )  # E44: 1/16 is missing
    torch.testing.assert_close(kernel("box"), torch.full((3, 3), 1 / 9))


def test_w28_a_signal():
    """Notes 001, figure IX.1: the mean of three; the signal shrinks, or is padded with zeros."""
    signal = torch.tensor([[[4, 3, 2, -5, 3, 5, 2, 5, 5, 6]]], dtype=torch.float64)
    third = torch.full((1, 1, 3), 1 / 3, dtype=torch.float64)
    inner = torch.tensor([3, 0, 0, 1, 10 / 3, 4, 4, 16 / 3], dtype=torch.float64)
    torch.testing.assert_close(cross_correlate(signal, third).flatten(), inner)
    torch.testing.assert_close(convolve(signal, third).flatten(), inner)  # a box is the same turned around
    padded = cross_correlate(signal, third, padding="same").flatten()
    torch.testing.assert_close(padded[1:-1], inner)
    torch.testing.assert_close(padded[[0, -1]], torch.tensor([7 / 3, 11 / 3], dtype=torch.float64))


def test_feature_maps_are_activations_of_each_filter():
    """conv-activation (004, L117-131): y_k = f(u_k), one map for each of K filters."""
    torch.manual_seed(0)
    layer, x = nn.Conv2d(2, 4, 3), torch.randn(1, 2, 6, 6)
    y = torch.relu(cross_correlate(x, layer.weight, layer.bias))
    assert y.shape == (1, 4, 4, 4)
    by_hand = trace(x[0], layer.weight.detach(), layer.bias.detach())
    torch.testing.assert_close(y[0], torch.relu(by_hand.output))
    torch.testing.assert_close(y, torch.relu(layer(x)))
