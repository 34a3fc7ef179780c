"""Changes that lose something: noise, dead pixels, compression.

B images in a batch, C channels, H rows, W columns.
"""

from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from didact.data.augment.colour import Scale, plain_grey


def noise(images: Tensor, generator: torch.Generator, deviation: float) -> Tensor:
    """Add Gaussian noise, in units of the standardised pixels."""
    return images + deviation * torch.randn(images.shape, generator=generator).to(images.device)


def salt_pepper(images: Tensor, generator: torch.Generator, share: float, scale: Scale) -> Tensor:
    """Make this share of the pixels white or black, as likely."""
    count, _, height, width = images.shape
    hit, salt = (torch.rand(count, 1, height, width, generator=generator).to(images) for _ in range(2))
    grains = scale.standardised((salt < 0.5).to(images).expand_as(images))
    return torch.where(hit < share, grains, images)


def jpeg(images: Tensor, generator: torch.Generator, worst: float, scale: Scale) -> Tensor:
    """Compress and read again, at a quality between the worst and 100."""
    qualities = torch.randint(int(worst), 101, (len(images),), generator=generator)
    return compressed(images, qualities, scale)


def compressed(images: Tensor, qualities: Tensor, scale: Scale) -> Tensor:
    """Images (B, C, H, W), grey or in colour, written as JPEG of these qualities (B,) and read again."""
    pixels = scale.as_bytes(images)
    read = [_round_trip(image, int(q)) for image, q in zip(pixels, qualities, strict=True)]
    back = torch.from_numpy(np.stack(read)).reshape(pixels.shape).permute(0, 3, 1, 2)
    return scale.standardised(back.to(images) / 255)


def _round_trip(image: np.ndarray, quality: int) -> np.ndarray:
    """One image (H, W, C) of bytes."""
    file = BytesIO()
    Image.fromarray(plain_grey(image)).save(file, "JPEG", quality=quality)
    with Image.open(file) as opened:
        return np.asarray(opened)
