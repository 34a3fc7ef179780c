"""What a layer was built with, in a few signs."""

import pytest
from torch import nn

from didact.anatomy.describe import described


@pytest.mark.parametrize(
    ("layer", "signs"),
    [
        (nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), "3->64, 7x7, /2, pad 3, no bias"),
        (nn.Conv2d(8, 8, (1, 7), padding=(0, 3), groups=8), "8->8, 1x7, pad 0x3, 8 groups"),
        (nn.Conv2d(3, 4, 3, padding="same", dilation=2), "3->4, 3x3, pad same, dilation 2"),
        (nn.Conv1d(3, 4, 5), "3->4, 5"),
        (nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1), "4->2, 4x4, /2, pad 1"),
        (nn.Linear(5, 7), "5->7"),
        (nn.Linear(5, 7, bias=False), "5->7, no bias"),
        (nn.Bilinear(5, 6, 7), "5 and 6->7"),
        (nn.BatchNorm2d(64), "64"),
        (nn.InstanceNorm2d(64), "64, not affine"),
        (nn.LayerNorm((4, 5)), "4x5"),
        (nn.MaxPool2d(3, 2, 1, ceil_mode=True), "3x3, /2, pad 1, ceil"),
        (nn.AvgPool1d(2), "2, /2"),
        (nn.Embedding(10, 4), "10->4"),
        (nn.LSTM(5, 6, 2, bidirectional=True), "5->6, 2 layers, bidirectional"),
        (nn.LSTM(5, 6, proj_size=3, bias=False), "5->6, projected to 3, no bias"),
        (nn.GRUCell(5, 6), "5->6"),
        (nn.MultiheadAttention(8, 2), "8, 2 heads"),
        (nn.Dropout(0.25), "0.25"),
        (nn.ReLU(), ""),
        (nn.LeakyReLU(0.1), "negative_slope=0.1"),
    ],
    ids=str,
)
def test_signs(layer: nn.Module, signs: str):
    assert described(layer) == signs
