"""Random numbers, one an image, from the generator of the batch alone.

They are drawn on the CPU, so that a batch is the same on every device.
"""

import math

import torch
from torch import Tensor


def between(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    """So many numbers (count,), each as likely as any other between the two."""
    return low + (high - low) * torch.rand(count, generator=generator)


def factors(most: float, count: int, generator: torch.Generator) -> Tensor:
    """So many factors (count,) from 1 / most to most; twice as large is as likely as half as large."""
    return between(-math.log(most), math.log(most), count, generator).exp()


def per_image(draws: Tensor, images: Tensor) -> Tensor:
    """Draws (B,) as (B, 1, 1, 1), on the device of the images."""
    return draws.view(-1, 1, 1, 1).to(images)
