"""The convolution by hand: equal to torch's, its steps readable, its counts those of the formulas."""

import json
import re

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from didact.errors import UsageError
from didact.nn.convolution_trace import trace


def randn(*shape: int) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize(("stride", "padding"), [(1, "valid"), (1, "same"), (2, 1), ((3, 1), (0, 2))])
def test_equals_torch(stride, padding):
    x, weight, bias = randn(3, 7, 6), randn(4, 3, 3, 5), randn(4)
    done = trace(x, weight, bias, stride=stride, padding=padding)
    theirs = {"valid": 0, "same": (1, 2)}.get(str(padding), padding)
    torch.testing.assert_close(done.output, F.conv2d(x[None], weight, bias, stride, theirs)[0])


def test_one_filter_gives_one_map():
    x, weight = randn(5, 5), randn(3, 3)
    assert trace(x, weight).output.shape == (3, 3)
    torch.testing.assert_close(
        trace(x, weight, 0.5).output, F.conv2d(x[None, None], weight[None, None])[0, 0] + 0.5
    )
    colour = trace(randn(3, 5, 5), randn(3, 3, 3))
    torch.testing.assert_close(colour.output, F.conv2d(randn(3, 5, 5)[None], randn(3, 3, 3)[None])[0, 0])
    assert trace(x.float(), weight.float()).output.dtype == torch.float32
    assert trace(x, weight, padding="same", padding_mode="reflect").output.shape == (5, 5)


def test_padding_mode_is_kept_to():
    ones = torch.ones(4, 4, dtype=torch.float64)
    assert trace(ones, ones[:3, :3], padding="same").output[0, 0] == 4
    assert trace(ones, ones[:3, :3], padding="same", padding_mode="replicate").output[0, 0] == 9


def test_steps_go_by_filter_row_and_column_from_one():
    done = trace(randn(4, 5), randn(2, 1, 3, 3), [0.0, 1.0], stride=(1, 2))
    assert [(s.filter, s.row, s.column) for s in done.steps] == [
        (k, i, j) for k in (1, 2) for i in (1, 2) for j in (1, 2)
    ]
    step = done.steps[3]
    assert torch.equal(step.window[0], randn(4, 5)[1:4, 2:5])
    assert [pixel for pixel, _ in step.terms] == step.window.flatten().tolist()
    assert step.total == pytest.approx(sum(pixel * weight for pixel, weight in step.terms))
    assert str(done.steps[4]).startswith("u2(1,1) = ")
    assert [(s.bias, " + 1 = " in str(s)) for s in done.steps[3:5]] == [(0, False), (1, True)]


def test_a_step_is_read_as_arithmetic():
    """What is printed is a sum that Python evaluates to the number behind its last equals sign."""
    done = trace([[0.5, -0.1], [-2, 3]], [[1, -4], [-0.25, 0]], bias=-0.05)
    line = str(done.steps[0])
    assert line == "u(1,1) = 0.5x1 - 0.1x(-4) - 2x(-0.25) + 3x0 - 0.05 = 1.35"
    _, left, right = line.split(" = ")
    assert eval(left.replace("x", "*")) == pytest.approx(float(right))


def test_long_sums_are_shortened():
    line = str(trace(torch.ones(4, 3, 3), 2 * torch.ones(4, 3, 3), 0.5).steps[0])
    assert line == "u(1,1) = 1x2 + 1x2 + 1x2 + ... + 1x2 + 0.5 = 72.5"
    assert str(trace(torch.ones(3, 3, 3), torch.ones(3, 3, 3)).steps[0]).count("x") == 27


def test_as_many_steps_are_printed_as_asked():
    done = trace(torch.zeros(6, 6), torch.zeros(3, 3), show=3)
    lines = str(done).splitlines()
    assert [line[:6] for line in lines[:3]] == ["u(1,1)", "u(1,2)", "u(1,3)"]
    assert lines[3:] == ["... and 13 more", "16 positions: 144 multiplications, 128 additions"]
    whole = str(trace(torch.zeros(6, 6), torch.zeros(3, 3)))
    assert len(re.findall(r"^u\(", whole, re.M)) == 16
    assert "more" not in whole


def test_per_location_counts():
    """mults-per-location, adds-per-location (004, L1207, L1245): F^2 and F^2 - 1, D F^2 for D channels."""
    step = trace(torch.zeros(3, 3), torch.zeros(3, 3)).steps[0]
    assert (step.multiplications, step.additions) == (9, 8)
    step = trace(torch.zeros(5, 4, 4), torch.zeros(5, 3, 3), bias=0.0).steps[0]
    assert (step.multiplications, step.additions) == (5 * 9, 5 * 9 - 1 + 1)


def test_each_filter_reads_all_channels_and_few_pixels():
    """conv-standard-connectivity (004, L1369): local in space, fully connected across channels."""
    x = torch.arange(2 * 4 * 4.0).view(2, 4, 4)
    for step in trace(x, torch.ones(3, 2, 3, 3)).steps:
        read = {int(pixel) for pixel, _ in step.terms}
        rows, columns = range(step.row - 1, step.row + 2), range(step.column - 1, step.column + 2)
        assert read == {c * 16 + i * 4 + j for c in range(2) for i in rows for j in columns}


def test_as_plain_values():
    plain = json.loads(json.dumps(trace([[1, 2], [3, 4]], [[1, 0], [0, 1]]).to_dict()))
    assert plain == {
        "steps": [
            {
                "filter": 1,
                "row": 1,
                "column": 1,
                "terms": [[1, 1], [2, 0], [3, 0], [4, 1]],
                "bias": None,
                "total": 5,
            }
        ],
        "output": [[5.0]],
        "multiplications": 4,
        "additions": 3,
    }


@pytest.mark.parametrize(
    ("x", "weight", "bias", "message"),
    [
        (
            (4, 4),
            (2, 3, 3),
            None,
            r"^x of shape \(4, 4\) with weight of shape \(2, 3, 3\): give \(height, width\)",
        ),
        ((2, 4, 4), (3, 3), None, "^x of shape"),
        ((1, 1, 4, 4), (1, 1, 3, 3), None, "^x of shape"),
        ((4, 4), (3, 1, 3, 3), [1.0, 2.0], "^bias of 2 numbers: one a filter, give 3$"),
        ((4, 4), (5, 5), None, "^kernel=5: larger than size=4"),
    ],
)
def test_what_does_not_belong_together(x: tuple, weight: tuple, bias, message: str):
    with pytest.raises(UsageError, match=message):
        trace(torch.zeros(x), torch.zeros(weight), bias)
