"""Channels of a thinner network: multiples of 8, never far below what was asked."""

import pytest

from didact.nn.width import scale_channels


@pytest.mark.parametrize("channels", [16, 24, 80, 144, 208, 1280])
def test_width_one_changes_nothing(channels: int):
    assert scale_channels(channels, 1.0) == channels


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [
        (32, 0.5, 16),
        (24, 0.5, 16),  # 12 is as near to 8 as to 16
        (24, 0.75, 24),  # 18 is nearest to 16, which would be 11 % too few
        (96, 0.35, 32),  # 33.6, as MobileNet v2 at 0.35 has
        (16, 0.01, 8),
        (1280, 1.4, 1792),
    ],
)
def test_the_rule_of_mobilenet_v2(channels: int, width: float, expected: int):
    assert scale_channels(channels, width) == expected


def test_never_more_than_a_tenth_too_few():
    for channels in range(8, 600):
        for width in (0.1, 0.25, 0.35, 0.5, 0.75, 1.3):
            scaled = scale_channels(channels, width)
            assert scaled % 8 == 0
            assert scaled >= 0.9 * channels * width
