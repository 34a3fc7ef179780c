"""Orders of axes: there and back, and a filter of notes 002 that answers as torch's."""

import pytest
import torch
from torch import nn

from didact.errors import UsageError
from didact.nn.convolution import cross_correlate
from didact.nn.layout import to_layout


def test_an_image_and_filters_as_notes_002_order_them():
    """conv-layout-002 (section 5.1.2): image HxWxC, filters FHxFWxC_outxC_in, maps HxWxC_out."""
    torch.manual_seed(0)
    image, filters = torch.randn(6, 7, 3), torch.randn(2, 3, 4, 3)
    out = torch.zeros(5, 5, 4)
    for m in range(2):
        for n in range(3):
            out += torch.einsum("hwc,kc->hwk", image[m : m + 5, n : n + 5], filters[m, n])
    x, weight = to_layout(image, "HWC", "CHW"), to_layout(filters, "HWOI", "OIHW")
    torch.testing.assert_close(to_layout(cross_correlate(x[None], weight)[0], "CHW", "HWC"), out)


def test_the_weight_of_notes_001_is_torchs_with_two_axes_exchanged():
    """conv-weight-tensor (001, IX.3): (depth, filters, F, F); torch has (filters, depth / g, F, F)."""
    layer = nn.Conv2d(6, 10, 5, groups=2)
    assert layer.weight.shape == (10, 3, 5, 5)
    assert to_layout(layer.weight, "OIHW", "IOHW").shape == (3, 10, 5, 5)
    assert torch.equal(to_layout(layer.weight, "OIHW", "IOHW")[2, 7], layer.weight[7, 2])


def test_there_and_back():
    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(to_layout(to_layout(x, "BCHW", "BHWC"), "BHWC", "BCHW"), x)


@pytest.mark.parametrize(
    ("given", "wanted", "message"),
    [
        ("HWC", "CHX", "^wanted='CHX': must have each letter of 'HWC' once$"),
        ("HWC", "HW", "^wanted='HW'"),
        ("HHC", "CHH", "^wanted='CHH'"),
        ("BHWC", "BCHW", r"^given='BHWC': names 4 axes, x of shape \(4, 5, 3\) has 3$"),
    ],
)
def test_orders_that_cannot_be(given: str, wanted: str, message: str):
    with pytest.raises(UsageError, match=message):
        to_layout(torch.zeros(4, 5, 3), given, wanted)
