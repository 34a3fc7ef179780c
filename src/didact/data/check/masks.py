"""Masks: each pixel names a class, from 0; 255 may say that there is none."""

# H W height and width

import numpy as np

IGNORED = 255
LISTED = 8  # values in a message


def check_masks(mask: np.ndarray, classes: int, size: tuple[int, int] | None = None) -> list[str]:
    """What is wrong with the mask of one image.

    Args:
        mask: (H, W) whole numbers.
        classes: How many there are; 255 besides them marks pixels that do not count.
        size: Height and width of its image, if they are to agree.

    Example:
        >>> check_masks(np.array([[0, 255], [0, 255]]), 2)
        ['holds 0 and 255 only: divide by 255, so that 255 becomes class 1']
    """
    mask = np.asarray(mask)
    if mask.ndim != 2:
        return [f"shape {mask.shape}: a mask is (height, width), a class in each pixel, no colours"]
    wrong = []
    if size is not None and mask.shape != size:
        wrong.append(f"{mask.shape[1]}x{mask.shape[0]} pixels, but its image has {size[1]}x{size[0]}")
    values = np.unique(mask).tolist()
    if any(value != int(value) for value in values if np.isfinite(value)) or not np.isfinite(values).all():
        return [*wrong, "holds fractions or NaN: a pixel names a class by a whole number"]
    return wrong + _values([int(value) for value in values], classes)


def _values(values: list[int], classes: int) -> list[str]:
    if values in ([0, IGNORED], [IGNORED]) and classes == 2:
        return ["holds 0 and 255 only: divide by 255, so that 255 becomes class 1"]
    unknown = [value for value in values if not 0 <= value < classes and value != IGNORED]
    if unknown:
        listed = ", ".join(map(str, unknown[:LISTED])) + (" ..." if len(unknown) > LISTED else "")
        return [f"holds {listed}: there are {classes} classes, from 0; map the values, or give more classes"]
    return [] if any(value != IGNORED for value in values) else ["holds 255 only: no pixel counts"]
