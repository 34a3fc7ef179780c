"""Transposed convolution by zero insertion against torch's, and as the transpose of the matrix."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from didact.errors import UsageError
from didact.nn.convolution import cross_correlate
from didact.nn.separable import ungrouped
from didact.nn.transposed import convolution_matrix, insert_zeros, transposed_convolve, transposed_size


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "output_padding"),
    [
        ((3, 3), 1, 0, 0),
        ((3, 3), 2, 1, 1),
        ((2, 2), 2, 0, 0),
        ((4, 3), (3, 2), (1, 2), (2, 0)),
        ((1, 1), 3, 0, 2),  # stamps smaller than the step: gaps
        ((3, 3), 3, 3, 0),  # more padding than F - 1: the image is cut
        ((2, 3), (1, 4), (1, 0), (0, 3)),
    ],
)
def test_equals_torch_in_2d(kernel, stride, padding, output_padding, groups: int):
    """unpool-zero-insert, fractional-stride-conv, conv-grouped."""
    x, weight, bias = randn(2, 4, 5, 6), randn(4, 3, *kernel), randn(3 * groups)
    where = {"stride": stride, "padding": padding, "output_padding": output_padding, "groups": groups}
    for b in (bias, None):
        torch.testing.assert_close(
            transposed_convolve(x, weight, b, **where), F.conv_transpose2d(x, weight, b, **where)
        )


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "more"), [(3, 1, 1, 0), (4, 2, 1, 0), (3, 2, 1, 1), (2, 5, 0, 4)]
)
def test_equals_torch_in_1d_and_has_the_size_of_the_formula(
    kernel: int, stride: int, padding: int, more: int
):
    x, weight, bias = randn(2, 4, 7), randn(4, 3, kernel), randn(3)
    mine = transposed_convolve(x, weight, bias, stride=stride, padding=padding, output_padding=more)
    torch.testing.assert_close(mine, F.conv_transpose1d(x, weight, bias, stride, padding, more))
    assert mine.shape[2] == transposed_size(7, kernel, stride, padding, more)


@pytest.mark.parametrize(("shape", "kernel"), [((2, 9), (3,)), ((2, 5, 6), (3, 2))])
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 2), (2, 1), (3, 0)])
def test_a_convolution_is_a_matrix_and_the_transposed_one_its_transpose(
    shape, kernel, stride: int, padding: int
):
    """conv-transposed (000, section 2.1.4; 001, section X.8)."""
    x, weight = randn(1, *shape), randn(3, 2, *kernel)
    matrix = convolution_matrix(weight, shape, stride=stride, padding=padding)
    out = cross_correlate(x, weight, stride=stride, padding=padding)
    torch.testing.assert_close(matrix @ x.flatten(), out.flatten())
    y = torch.randn_like(out)
    rest = [(n + 2 * padding - f) % stride for n, f in zip(shape[1:], kernel, strict=True)]
    back = transposed_convolve(y, weight, stride=stride, padding=padding, output_padding=rest)
    assert back.shape == x.shape
    torch.testing.assert_close(matrix.T @ y.flatten(), back.flatten())


def test_the_matrix_is_the_filter_again_and_again():
    """Shared weights: every row of a map has the same numbers, moved; all else is zero."""
    weight = randn(1, 1, 2, 2)
    matrix = convolution_matrix(weight, (1, 3, 3))
    (a, b), (c, d) = weight[0, 0].tolist()
    assert matrix.tolist() == [
        [a, b, 0, c, d, 0, 0, 0, 0],
        [0, a, b, 0, c, d, 0, 0, 0],
        [0, 0, 0, a, b, 0, c, d, 0],
        [0, 0, 0, 0, a, b, 0, c, d],
    ]


def test_it_carries_the_gradient_of_a_convolution():
    x, weight = randn(2, 6, 8, 7).requires_grad_(), randn(4, 3, 3, 3)
    y = cross_correlate(x, weight, stride=2, padding=1, groups=2)
    dy = torch.randn_like(y)
    (dx,) = torch.autograd.grad(y, x, dy)
    mine = transposed_convolve(dy, weight, stride=2, padding=1, output_padding=(1, 0), groups=2)
    torch.testing.assert_close(mine, dx)


def test_zeros_come_between_and_not_after():
    x = torch.arange(1, 5).view(1, 1, 2, 2)
    assert insert_zeros(x, (2, 3))[0, 0].tolist() == [[1, 0, 0, 2], [0, 0, 0, 0], [3, 0, 0, 4]]
    assert torch.equal(insert_zeros(x, 1), x)
    with pytest.raises(UsageError, match=r"^stride=0: must be 1 or more, one number or 2 of them$"):
        insert_zeros(x, 0)


def test_the_shape_comes_back_and_not_the_numbers():
    x, weight = randn(1, 1, 6), randn(1, 1, 3)
    back = transposed_convolve(cross_correlate(x, weight), weight)
    assert back.shape == x.shape
    assert not torch.allclose(back, x)


def test_overlaps_are_summed_or_averaged():
    """transpose-conv (002, section 5.2.3.1); E21: the layer sums where the notes speak of a mean."""
    x, weight, bias = torch.tensor([[[1.0, 2, 4]]]), torch.ones(1, 1, 3), torch.tensor([10.0])
    summed = transposed_convolve(x, weight, bias, stride=2)
    averaged = transposed_convolve(x, weight, bias, stride=2, overlaps="mean")
    assert summed.flatten().tolist() == [11, 11, 13, 12, 16, 14, 14]
    assert averaged.flatten().tolist() == [11, 11, 11.5, 12, 13, 14, 14]
    weight = torch.tensor([[[1.0, 0, 3]]])  # stamps count where they lie, whatever their numbers
    averaged = transposed_convolve(x, weight, stride=2, overlaps="mean")
    assert averaged.flatten().tolist() == [1, 0, (3 + 2) / 2, 0, (6 + 4) / 2, 0, 12]
    gaps = transposed_convolve(x, torch.ones(1, 1, 1), stride=3, overlaps="mean")
    assert gaps.flatten().tolist() == [1, 0, 0, 2, 0, 0, 4]


def test_averaging_keeps_a_constant_for_every_group():
    x, weight = torch.ones(1, 4, 3, 3), torch.ones(4, 1, 3, 3)
    out = transposed_convolve(x, weight, stride=2, padding=1, output_padding=1, groups=4, overlaps="mean")
    assert torch.equal(out, torch.ones(1, 4, 6, 6))


def test_groups_are_blocks():
    x, weight = randn(1, 4, 3, 3), randn(4, 3, 2, 2)
    torch.testing.assert_close(
        transposed_convolve(x, weight, stride=2, groups=2),
        transposed_convolve(x, ungrouped(weight, 2), stride=2),
    )


@pytest.mark.parametrize(
    ("x", "weight", "given", "message"),
    [
        (
            (1, 2, 4, 4),
            (3, 2, 3, 3),
            {},
            r"^weight of shape \(3, 2, 3, 3\): must start with the channels of x",
        ),
        ((1, 2, 4), (2, 3, 3, 3), {}, "^weight of shape"),
        ((1, 3, 4), (3, 2, 3), {"groups": 2}, "^groups=2: must divide 3 channels, try 1$"),
        ((1, 2, 4), (2, 3, 3), {"overlaps": "max"}, "^overlaps='max': unknown, choose sum or mean$"),
        (
            (1, 2, 4),
            (2, 3, 3),
            {"output_padding": 2, "stride": 2},
            "^output_padding=2: must be less than stride=2, try 0$",
        ),
    ],
)
def test_shapes_that_do_not_belong_together(x: tuple, weight: tuple, given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        transposed_convolve(torch.zeros(x), torch.zeros(weight), **given)
