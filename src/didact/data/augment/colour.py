"""Changes of light and colour. Where they happen, nothing moves.

Images come standardised. What a number of them means as light, from black (0) to white (1), is the ``Scale``
of the data: its mean and standard deviation. Amounts are shares of that range, so that ``brightness:0.2`` is
the same for every data set.

B images in a batch, C channels, H rows, W columns.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from didact.data.augment.draws import between, per_image
from didact.data.batches import Split, ordered_batches
from didact.data.facts import Facts

SEEN = (0.299, 0.587, 0.114)  # how bright red, green and blue look (ITU-R BT.601)


@dataclass(frozen=True)
class Scale:
    """What was subtracted from the light of each channel, and what it was divided by; nothing where empty."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @classmethod
    def of(cls, facts: Facts | None) -> "Scale":
        """The scale of a data set; without facts the images are light already."""
        return cls(facts.mean, facts.std) if facts else cls()

    def light(self, images: Tensor) -> Tensor:
        """From standardised images (B, C, H, W) to light from 0 to 1."""
        return images * self.unit(images) + images.new_tensor(self.mean or 0.0).view(1, -1, 1, 1)

    def standardised(self, light: Tensor) -> Tensor:
        """Back from light."""
        return (light - light.new_tensor(self.mean or 0.0).view(1, -1, 1, 1)) / self.unit(light)

    def as_bytes(self, images: Tensor) -> np.ndarray:
        """The images as they are kept in files, uint8 (B, H, W, C)."""
        light = self.light(images).clamp(0, 1).mul(255).round()
        return light.byte().permute(0, 2, 3, 1).cpu().numpy()

    def unit(self, images: Tensor) -> Tensor:
        """One unit of the images as light, (1, C, 1, 1)."""
        return images.new_tensor(self.std or 1.0).view(1, -1, 1, 1)

    def clipped(self, images: Tensor) -> Tensor:
        """Standardised images that are nowhere darker than black or brighter than white."""
        one = images.new_ones(1, 1, 1, 1)
        return torch.minimum(torch.maximum(images, self.standardised(0 * one)), self.standardised(one))


def brightness(images: Tensor, generator: torch.Generator, most: float, scale: Scale) -> Tensor:
    """Add up to ``most`` of the range from black to white, or take it away; black and white are the ends."""
    return brighter(images, between(-most, most, len(images), generator), scale)


def contrast(images: Tensor, generator: torch.Generator, most: float) -> Tensor:
    """Multiply each pixel's distance from the image's mean by 1 - most to 1 + most."""
    return contrasted(images, 1 + between(-most, most, len(images), generator))


def jitter(images: Tensor, generator: torch.Generator, most: float, scale: Scale) -> Tensor:
    """Change the brightness, then the contrast, each by up to ``most``."""
    return contrast(brightness(images, generator, most, scale), generator, most)


def saturation(images: Tensor, generator: torch.Generator, most: float, scale: Scale) -> Tensor:
    """Multiply each pixel's distance from the grey that looks as bright by 1 - most to 1 + most."""
    return saturated(images, 1 + between(-most, most, len(images), generator), scale)


def hue(images: Tensor, generator: torch.Generator, degrees: float, scale: Scale) -> Tensor:
    """Turn the circle of colours by up to so many degrees both ways."""
    return turned(images, between(-degrees, degrees, len(images), generator), scale)


def pca(images: Tensor, generator: torch.Generator, deviation: float, components: Tensor) -> Tensor:
    """Add to all pixels of an image one offset along the principal components of the data's colours.

    Along each component it is normal with ``deviation`` times the spread of the training pixels there.
    """
    draws = deviation * torch.randn(len(images), len(components), generator=generator)
    return images + (draws @ components.T).to(images)[:, :, None, None]


def principal_components(train: Split, scale: Scale) -> Tensor:
    """The principal components (C, C) of the colours of all training pixels, one a column.

    They are those of the light, and come in units of the standardised images. Each is as long as the standard
    deviation of the pixels along it.
    """
    total, square, count = torch.zeros(()), torch.zeros(()), 0
    for images, _ in ordered_batches(train, 256):  # slice by slice; means near 0 make the one-pass form safe
        pixels = images.detach().cpu().double().transpose(0, 1).flatten(1)  # (C, B·H·W)
        total, square, count = total + pixels.sum(1), square + pixels @ pixels.T, count + pixels.shape[1]
    unit = torch.tensor(scale.std or 1.0, dtype=torch.float64).expand(len(total))
    covariance = (square / count - torch.outer(total, total) / count**2) * torch.outer(unit, unit)
    variances, directions = torch.linalg.eigh(covariance)
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))  # an axis has no sign: fix one
    return (directions * largest.sign() * variances.clamp(min=0).sqrt() / unit[:, None]).float()


def brighter(images: Tensor, light: Tensor, scale: Scale) -> Tensor:
    """Images (B, C, H, W) with so much light (B,) added, from -1 to 1."""
    return scale.clipped(images + per_image(light, images) / scale.unit(images))


def contrasted(images: Tensor, factors: Tensor) -> Tensor:
    """Images (B, C, H, W) with their contrast multiplied by factors (B,); each channel keeps its mean."""
    return images + per_image(factors - 1, images) * (images - images.mean((2, 3), keepdim=True))


def saturated(images: Tensor, factors: Tensor, scale: Scale) -> Tensor:
    """Images (B, 3, H, W) with their colours multiplied by factors (B,): 0 leaves grey."""
    light = scale.light(images)
    grey = (light * light.new_tensor(SEEN).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return scale.clipped(scale.standardised(light + per_image(factors - 1, light) * (light - grey)))


def turned(images: Tensor, degrees: Tensor, scale: Scale) -> Tensor:
    """Images (B, 3, H, W) with their colours turned about the axis of the greys by angles (B,).

    A third of the circle takes red to green, green to blue and blue to red; greys stay.
    """
    angle = torch.deg2rad(degrees)[:, None]
    along = torch.cat([(1 + 2 * (angle - k * torch.pi * 2 / 3).cos()) / 3 for k in range(3)], 1)
    index = (torch.arange(3)[:, None] - torch.arange(3)) % 3
    light = torch.einsum("bij,bjhw->bihw", along[:, index].to(images), scale.light(images))
    return scale.clipped(scale.standardised(light))


def plain_grey(pixels: np.ndarray) -> np.ndarray:
    """Pixels (H, W, C) as Pillow takes them: grey ones without their channel."""
    return pixels.squeeze(2) if pixels.shape[2] == 1 else pixels
