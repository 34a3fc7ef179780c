"""Masks: 0 and 255, unknown classes, colours, another size."""

import numpy as np
import pytest

from didact.data.check.masks import check_masks

HALF = np.array([[0, 1], [0, 1]])


@pytest.mark.parametrize(
    ("mask", "classes"),
    [
        (HALF, 2),
        (np.zeros((2, 2)), 2),
        (HALF.astype(np.float32), 2),
        (np.array([[0, 1], [2, 255]], np.uint8), 3),
        (np.array([[0, 255]], np.uint8), 5),
    ],
)
def test_sound_masks_are_silent(mask, classes):
    assert check_masks(mask, classes, mask.shape) == []


@pytest.mark.parametrize(
    ("mask", "part"),
    [
        (HALF * 255, "divide by 255"),
        (np.array([[0, 1, 7]]), "holds 7: there are 2 classes"),
        (np.array([[-1, 0]]), "holds -1"),
        (np.array([[0, 0.5]]), "fractions"),
        (np.array([[0, np.nan]]), "fractions or NaN"),
        (np.zeros((2, 2, 3)), "no colours"),
    ],
)
def test_broken_masks(mask, part):
    (wrong,) = check_masks(mask, 2)
    assert part in wrong


def test_a_mask_of_another_size_or_that_ignores_all():
    assert check_masks(HALF, 2, (4, 6)) == ["2x2 pixels, but its image has 6x4"]
    assert check_masks(np.full((2, 2), 255), 5) == ["holds 255 only: no pixel counts"]
