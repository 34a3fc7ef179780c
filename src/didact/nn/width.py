"""The width multiplier of MobileNet (Howard et al. 2017): the same network with fewer channels everywhere.

A convolution costs in_channels x out_channels x F^2, so a network of half the width costs a quarter.
"""

MULTIPLE = 8  # channels in multiples of 8 suit vector units


def scale_channels(channels: int, width: float) -> int:
    """The multiple of 8 nearest to ``channels * width``, at least 8, never more than 10 % too few.

    Example:
        >>> scale_channels(64, 1.0), scale_channels(64, 0.3), scale_channels(16, 0.01)
        (64, 24, 8)
    """
    wanted = channels * width
    nearest = max(MULTIPLE, int(wanted / MULTIPLE + 0.5) * MULTIPLE)
    return nearest if nearest >= 0.9 * wanted else nearest + MULTIPLE
