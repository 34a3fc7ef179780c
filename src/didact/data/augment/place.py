"""Changes of place: where each pixel of the new image is found in the old one.

Turning, leaning, stretching, zooming and cutting are matrices (B, 3, 3). Each takes a place of the new image
to its place in the old one, in pixels from the middle, x to the right and y down. Matrices of changes that
follow one another are multiplied, and the image is read once: reading between pixels blurs a little.

What comes in from outside repeats the nearest pixel of the border. A digit stays on its black ground and a
photograph gets no dark corner; a constant would be an edge that no real image has, and a network learns it.

B images in a batch, C channels, H rows, W columns.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from didact.data.augment.draws import between, factors, per_image


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability 1/2."""
    return _mirrored(images, 3, generator)


def vflip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn each image upside down, as in still water, with probability 1/2."""
    return _mirrored(images, 2, generator)


def shift(images: Tensor, generator: torch.Generator, pixels: float) -> Tensor:
    """Move each image by up to so many pixels both ways; what comes in repeats the border."""
    reach, (height, width) = int(pixels), images.shape[2:]
    rows, columns = (
        torch.randint(-reach, reach + 1, (len(images), 1), generator=generator) for _ in range(2)
    )
    y = (torch.arange(height) + rows).clamp(0, height - 1).to(images.device)
    x = (torch.arange(width) + columns).clamp(0, width - 1).to(images.device)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[batch, y[:, :, None], x[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def lens(images: Tensor, generator: torch.Generator, most: float) -> Tensor:
    """Bend each image as a lens does, by a coefficient from -most to most."""
    return bend(images, between(-most, most, len(images), generator))


def rotate(images: Tensor, generator: torch.Generator, degrees: float) -> Tensor:
    """Draw rotations by up to so many degrees both ways, (B, 3, 3)."""
    return rotation(between(-degrees, degrees, len(images), generator))


def shear(images: Tensor, generator: torch.Generator, degrees: float) -> Tensor:
    """Draw shears by up to so many degrees both ways, (B, 3, 3)."""
    return leaning(between(-degrees, degrees, len(images), generator))


def stretch(images: Tensor, generator: torch.Generator, most: float) -> Tensor:
    """Draw a factor for the width and another for the height, (B, 3, 3)."""
    return scaling(factors(most, len(images), generator), factors(most, len(images), generator))


def zoom(images: Tensor, generator: torch.Generator, most: float) -> Tensor:
    """Draw a factor for both sides, (B, 3, 3)."""
    both = factors(most, len(images), generator)
    return scaling(both, both)


def crop(images: Tensor, generator: torch.Generator, least: float) -> Tensor:
    """Draw windows of the image's own shape, anywhere in it, that are then enlarged to the whole: (B, 3, 3).

    The notes draw L, resize the shorter side to L and cut S pixels out: a window of S / L of the side. Here
    every L from S to S / least is as likely as any other, as there.
    """
    count, (height, width) = len(images), images.shape[2:]
    share = 1 / between(1, 1 / least, count, generator)
    right, down = (between(-0.5, 0.5, count, generator) * (1 - share) for _ in range(2))
    return windows(share, right * width, down * height)


def rotation(degrees: Tensor) -> Tensor:
    """The matrices (B, 3, 3) that turn images counter-clockwise by these angles (B,)."""
    angle = torch.deg2rad(degrees)
    return _matrices(angle.cos(), -angle.sin(), angle.sin(), angle.cos())


def leaning(degrees: Tensor) -> Tensor:
    """The matrices (B, 3, 3) that lean images to the right by these angles (B,), as in italics."""
    one, none = torch.ones_like(degrees), torch.zeros_like(degrees)
    return _matrices(one, torch.deg2rad(degrees).tan(), none, one)


def scaling(wide: Tensor, high: Tensor) -> Tensor:
    """The matrices (B, 3, 3) that enlarge images from their middle by these factors (B,)."""
    none = torch.zeros_like(wide)
    return _matrices(1 / wide, none, none, 1 / high)


def windows(share: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """The matrices (B, 3, 3) that enlarge windows, a share (B,) of the sides, so far (B,) from the middle."""
    none = torch.zeros_like(share)
    matrices = _matrices(share, none, none, share)
    matrices[:, 0, 2], matrices[:, 1, 2] = right, down
    return matrices


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Read images (B, C, H, W) where matrices (B, 3, 3) say."""
    x, y = _from_the_middle(images)
    places = torch.stack((x, y, torch.ones_like(x)), 2)
    return _read(images, torch.einsum("bij,hwj->bhwi", matrices[:, :2].to(images), places))


def bend(images: Tensor, k: Tensor) -> Tensor:
    """Read each image (C, H, W) at 1 + k r² times the distance r from the middle; r is 1 in the corners.

    With k above 0 straight lines bulge outwards (barrel), below 0 they bend inwards (pincushion).
    """
    x, y = _from_the_middle(images)
    square = (x**2 + y**2) / (sum(side**2 for side in images.shape[2:]) / 4)
    stretched = 1 + k.to(images).view(-1, 1, 1, 1) * square[:, :, None]
    return _read(images, stretched * torch.stack((x, y), 2))


def _mirrored(images: Tensor, axis: int, generator: torch.Generator) -> Tensor:
    chosen = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(per_image(chosen, images).bool(), images.flip(axis), images)


def _matrices(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Matrices (B, 3, 3) of x' = ax + by, y' = cx + dy."""
    matrices = torch.zeros(len(a), 3, 3)
    matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 0], matrices[:, 1, 1] = a, b, c, d
    matrices[:, 2, 2] = 1
    return matrices


def _from_the_middle(images: Tensor) -> tuple[Tensor, Tensor]:
    """Of every pixel x and y, (H, W) each, counted from the middle of the image."""
    y, x = (torch.arange(side, device=images.device) - (side - 1) / 2 for side in images.shape[2:])
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return columns, rows


def _read(images: Tensor, places: Tensor) -> Tensor:
    """The images at these places (B, H, W, 2), from the middle: between four pixels, their blend."""
    sides = places.new_tensor(images.shape[:1:-1])  # W, H
    last = (sides - 1) / 2
    inside = torch.minimum(torch.maximum(places, -last), last)  # by hand: some devices know no border mode
    read = F.grid_sample(images, 2 * inside / sides, mode="bilinear", align_corners=False)
    last_channels = images.is_contiguous(memory_format=torch.channels_last)
    return read.contiguous(memory_format=torch.channels_last if last_channels else torch.contiguous_format)
