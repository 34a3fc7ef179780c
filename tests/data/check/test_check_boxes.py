"""Boxes: without an area, outside, of an unknown class."""

import numpy as np
import pytest

from didact.data.check.boxes import check_boxes


def test_sound_boxes_are_silent():
    assert check_boxes(np.array([[0, 0, 20, 10], [3, 4, 5.5, 6]]), [0, 2], (10, 20), 3) == []
    assert check_boxes(np.zeros((0, 4)), [], (10, 20), 3) == []


@pytest.mark.parametrize(
    ("box", "part"),
    [
        ([2, 2, 2, 9], "no area"),
        ([2, 5, 6, 5], "no area"),
        ([12, 2, 4, 6], "are these width and height?"),
        ([2, 8, 6, 4], "are these width and height?"),
        ([30, 2, 40, 6], "outside the image of 20x10"),
        ([-9, 2, 0, 6], "outside"),
        ([15, 2, 25, 6], "reaches out of"),
        ([-1, 2, 5, 6], "reaches out of"),
        ([0, 0, np.nan, 6], "not finite"),
    ],
)
def test_broken_boxes(box, part):
    found = check_boxes(np.array([[1, 1, 2, 2], box]), [0, 0], (10, 20), 1)
    assert [index for index, _ in found] == [1]
    assert part in found[0][1]


@pytest.mark.parametrize("label", [-1, 3])
def test_unknown_classes(label):
    found = check_boxes(np.array([[1, 1, 2, 2]]), [label], (10, 20), 3)
    assert found == [(0, f"class {label} is unknown: there are 3, from 0")]


def test_arrays_that_are_no_boxes():
    with pytest.raises(ValueError, match=r"give \(N, 4\) and N"):
        check_boxes(np.zeros((2, 5)), [0, 0], (10, 20), 1)
    with pytest.raises(ValueError, match="1 labels"):
        check_boxes(np.zeros((2, 4)), [0], (10, 20), 1)
