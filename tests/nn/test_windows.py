"""Where filters come to lie: sizes against torch, padding against torch, windows as rows against torch."""

from itertools import accumulate, product

import pytest
import torch
from torch.nn import functional as F

from didact.errors import UsageError
from didact.nn.windows import centres, im2col, layer_shape, output_size, pad, same_padding, windows

SWEEP = [
    (size, kernel, stride, padding)
    for size, kernel, stride, padding in product(range(1, 9), range(1, 6), range(1, 5), range(3))
    if kernel <= size + 2 * padding
]


def test_sizes_are_torchs():
    for size, kernel, stride, padding in SWEEP:
        out = F.conv1d(torch.zeros(1, 1, size), torch.zeros(1, 1, kernel), stride=stride, padding=padding)
        assert output_size(size, kernel, stride, padding) == out.shape[2]


def test_positions_counted_by_their_centres():
    """conv-out-positions (003, L386-405): the first is F/2, and the last N + 2P - F/2 where S divides."""
    for size, kernel, stride, padding in SWEEP:
        places = centres(size, kernel, stride, padding)
        assert len(places) == output_size(size, kernel, stride, padding)
        assert places[0] == kernel / 2
        rest = (size + 2 * padding - kernel) % stride
        assert places[-1] == size + 2 * padding - kernel / 2 - rest


def test_strict_refuses_exactly_the_fractions():
    """conv-fraction-illegal (001, section IX.3)."""
    refused = 0
    for size, kernel, stride, padding in SWEEP:
        if (size + 2 * padding - kernel) % stride == 0:
            exact = (size + 2 * padding - kernel) / stride + 1
            assert output_size(size, kernel, stride, padding, strict=True) == exact
        else:
            refused += 1
            with pytest.raises(UsageError, match=f"^stride={stride}: "):
                output_size(size, kernel, stride, padding, strict=True)
    assert refused > 100


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"size": 7, "kernel": 3, "stride": 3, "strict": True},
            r"^stride=3: \(7 \+ 2x0 - 3\) / 3 \+ 1 = 2.33 is no number of positions, try stride=1 or 2$",
        ),
        ({"size": 3, "kernel": 6}, "^kernel=6: larger than size=3 with padding=0, pad by 2$"),
        ({"size": 7, "kernel": 0}, "^kernel=0: must be 1 or more, try 1$"),
        ({"size": 7, "kernel": 3, "stride": 0}, "^stride=0: must be 1 or more, try 1$"),
        ({"size": 7, "kernel": 3, "padding": -1}, "^padding=-1: must be 0 or more, try 0$"),
    ],
)
def test_sizes_that_cannot_be(given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        output_size(**given)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 9, 11])
def test_same_padding_keeps_the_size(kernel: int):
    """same-pad-rule (004, L230): P = (F - 1) / 2 at stride 1."""
    for size in range(1, 20):
        assert output_size(size, kernel, padding=same_padding(kernel)) == size


@pytest.mark.parametrize("kernel", [0, 2, 4])
def test_same_padding_of_an_even_kernel_is_refused(kernel: int):
    with pytest.raises(UsageError, match=f"^kernel={kernel}: 'same' needs an odd kernel, try"):
        same_padding(kernel)


def test_without_padding_each_layer_takes_f_minus_1():
    """shrinkage (004, L208)."""
    table = list(accumulate(range(5), lambda shape, _: layer_shape(shape, 4, kernel=5), initial=(3, 32, 30)))
    assert table == [(3, 32, 30), (4, 28, 26), (4, 24, 22), (4, 20, 18), (4, 16, 14), (4, 12, 10)]
    assert layer_shape((3, 32, 30), 4, kernel=5, padding=same_padding(5)) == (4, 32, 30)
    with pytest.raises(UsageError, match=r"^stride=2: "):
        layer_shape((3, 32, 30), 4, kernel=5, stride=2, strict=True)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("shape", [(2, 3, 6), (2, 3, 5, 6)])
def test_padding_is_torchs(mode: str, shape: tuple[int, ...]):
    torch.manual_seed(0)
    x = torch.randn(shape)
    axes = len(shape) - 2
    theirs = F.pad(x, [2] * 2 * axes, mode="constant" if mode == "zeros" else mode)
    assert torch.equal(pad(x, 2, mode), theirs)
    uneven = tuple(range(1, 1 + axes))
    both = [width for width in reversed(uneven) for _ in range(2)]
    assert torch.equal(pad(x, uneven, mode), F.pad(x, both, mode="constant" if mode == "zeros" else mode))


@pytest.mark.parametrize(
    ("padding", "mode", "message"),
    [
        (1, "mirror", "^padding_mode='mirror': unknown, "),
        (1, "replicat", "did you mean 'replicate'"),
        (4, "reflect", "^padding=4: an axis of 4 mirrors 3 at most, try replicate$"),
        (-1, "zeros", "^padding=-1: must be 0 or more, one number or 2 of them$"),
        ((1, 1, 1), "zeros", r"^padding=\(1, 1, 1\): must be 0 or more, one number or 2 of them$"),
    ],
)
def test_padding_that_cannot_be(padding: int, mode: str, message: str):
    with pytest.raises(UsageError, match=message):
        pad(torch.zeros(1, 1, 4, 5), padding, mode)


def test_padding_with_the_widest_mirror():
    assert torch.equal(
        pad(torch.arange(4.0).view(1, 1, 4), 3, "reflect")[0, 0],
        torch.tensor([3.0, 2, 1, 0, 1, 2, 3, 2, 1, 0]),
    )


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(1, 1, 0), (3, 1, 1), ((2, 4), (3, 1), (0, 2)), (4, 2, "valid")]
)
def test_rows_are_torchs_columns(kernel, stride, padding):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 7, 6)
    theirs = F.unfold(x, kernel, stride=stride, padding=0 if padding == "valid" else padding)
    assert torch.equal(im2col(x, kernel, stride, padding), theirs.transpose(1, 2))


def test_windows_share_the_memory_of_the_image():
    x = torch.arange(5).view(1, 1, 5)
    cut = windows(x, 3)
    x[0, 0, 2] = 10
    assert cut.tolist() == [[[[0, 1, 10], [1, 10, 3], [10, 3, 4]]]]


def test_windows_that_do_not_fit():
    with pytest.raises(UsageError, match=r"^kernel=4: larger than size=3"):
        im2col(torch.zeros(1, 1, 5, 3), 4)
