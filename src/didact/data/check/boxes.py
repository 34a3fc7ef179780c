"""Boxes: each has an area, lies in its image, and is of a class that there is."""

# N boxes

from collections.abc import Sequence

import numpy as np

BOX = 4  # left, top, right, bottom


def check_boxes(
    boxes: np.ndarray, labels: Sequence[int], size: tuple[int, int], classes: int
) -> list[tuple[int, str]]:
    """What is wrong with the boxes of one image.

    Args:
        boxes: (N, 4), left, top, right and bottom in pixels; right and bottom lie outside the box.
        labels: (N,), from 0.
        size: Height and width of the image.
        classes: How many there are.

    Returns:
        Pairs of an index and what is wrong there.

    Raises:
        ValueError: Not (N, 4), or another number of labels.

    Example:
        >>> check_boxes(np.array([[2, 2, 2, 9]]), [0], (10, 10), 1)
        [(0, 'box [2, 2, 2, 9]: no area')]
    """
    boxes = np.asarray(boxes).reshape(-1, BOX) if np.size(boxes) == 0 else np.asarray(boxes)
    if boxes.ndim != 2 or boxes.shape[1] != BOX or len(labels) != len(boxes):
        raise ValueError(f"boxes of shape {boxes.shape} and {len(labels)} labels: give (N, 4) and N")
    wrong = []
    for index, (box, label) in enumerate(zip(boxes.tolist(), labels, strict=True)):
        if fault := _fault(box, size):
            wrong.append((index, f"box {box}: {fault}"))
        if not 0 <= label < classes:
            wrong.append((index, f"class {label} is unknown: there are {classes}, from 0"))
    return wrong


def _fault(box: Sequence[float], size: tuple[int, int]) -> str:
    left, top, right, bottom = box
    height, width = size
    if not np.isfinite(box).all():
        return "not finite"
    if right < left or bottom < top:
        return "ends before it begins; are these width and height?"
    if right == left or bottom == top:
        return "no area"
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        return f"outside the image of {width}x{height}"
    if left < 0 or top < 0 or right > width or bottom > height:
        return f"reaches out of the image of {width}x{height}"
    return ""
