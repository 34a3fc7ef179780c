"""Crops as the notes cut them from images of any size: random ones for training, ten fixed ones for a test.

In training the recipe's ``crop:0.47`` does the same to images that lie in memory in one size already.

B images in a batch, K crops of each, C channels, H rows, W columns, S pixels a side of a crop.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from didact.errors import UsageError


def resized(images: Tensor, shorter: int) -> Tensor:
    """Images (B, C, H, W) with so many pixels on the shorter side, and the sides' ratio kept."""
    height, width = images.shape[2:]
    scale = shorter / min(height, width)
    size = [max(round(side * scale), shorter) for side in (height, width)]
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)


def random_crops(
    images: Tensor,
    generator: torch.Generator,
    *,
    count: int = 1,
    size: int = 224,
    shorter: tuple[int, int] = (256, 480),
) -> Tensor:
    """Cut (B, K, C, S, S): for each crop draw L, make it the shorter side, cut a square anywhere.

    Raises:
        UsageError: A crop is larger than the image that it is cut from.
    """
    _check_fits(size, min(shorter))
    return torch.stack(
        [
            torch.cat([_random_crop(image[None], generator, size, shorter) for _ in range(count)])
            for image in images
        ]
    )


def ten_crops(images: Tensor, size: int = 224, scales: Sequence[int] = (256,)) -> Tensor:
    """Cut (B, K, C, S, S): at each scale of the shorter side four corners, the middle, and their mirrors.

    With N scales K is 10 N.

    Raises:
        UsageError: A crop is larger than the image that it is cut from.
    """
    _check_fits(size, min(scales))
    five = [crop for scale in scales for crop in _five(resized(images, scale), size)]
    return torch.stack([view for crop in five for view in (crop, crop.flip(3))], 1)


def mean_over_crops(predict: Callable[[Tensor], Tensor], crops: Tensor) -> Tensor:
    """The mean over the crops (B, K, C, S, S) of what a function of (B, C, S, S) predicts of each."""
    predictions = predict(crops.flatten(0, 1))
    return predictions.unflatten(0, crops.shape[:2]).mean(1)


def _random_crop(image: Tensor, generator: torch.Generator, size: int, shorter: tuple[int, int]) -> Tensor:
    low, high = shorter
    image = resized(image, int(torch.randint(low, high + 1, (), generator=generator)))
    top, left = (int(torch.randint(side - size + 1, (), generator=generator)) for side in image.shape[2:])
    return image[:, :, top : top + size, left : left + size]


def _five(images: Tensor, size: int) -> list[Tensor]:
    """Four corners and the middle."""
    down, right = (side - size for side in images.shape[2:])
    corners = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    return [images[:, :, top : top + size, left : left + size] for top, left in corners]


def _check_fits(size: int, shorter: int) -> None:
    if size > shorter:
        raise UsageError(f"size={size}: a crop is at most as large as the shorter side, {shorter}")
