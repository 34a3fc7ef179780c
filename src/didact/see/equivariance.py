"""What is built into a network and what is not: does its map move along when the image moves?

A mapping f is translation equivariant where f(shift(x)) = shift(f(x)) (notes 004, "Inductive bias"). A
convolution is: its filter is the same everywhere. A Vision Transformer is not: each position adds a vector
of its own, and the edges of its patches stay where they are.
"""

# B images, C channels, H W height and width, M maps, s stride of the maps in pixels

from collections.abc import Callable

import torch
from torch import Tensor

from didact.errors import UsageError


def shift_error(maps: Callable[[Tensor], Tensor], images: Tensor, pixels: int) -> float:
    """How far the maps of moved images are from the moved maps: 0 for an equivariant mapping.

    The images are moved right by so many pixels; what leaves on the right comes in on the left. So give
    images that are empty along the edges, where a convolution pads with zeros.

    Args:
        maps: From (B, C, H, W) to (B, M, H / s, W / s), one pixel of a map for s of the image.
        images: (B, C, H, W).
        pixels: A multiple of s, since a map moves by whole pixels of its own.

    Returns:
        The norm of the difference over that of how much the maps vary around their mean.

    Example:
        >>> shift_error(lambda x: 2 * x, torch.randn(1, 1, 8, 8), pixels=3)
        0.0

    Raises:
        UsageError: ``pixels`` is no multiple of s.
    """
    with torch.no_grad():
        before, after = maps(images), maps(images.roll(pixels, dims=-1))
    step = images.shape[-1] // before.shape[-1]
    if pixels % step:
        raise UsageError(
            f"pixels={pixels}: must be a multiple of {step}, the pixels of the image for one of a map"
        )
    difference = after - before.roll(pixels // step, dims=-1)
    spread = before - before.mean((-2, -1), keepdim=True)
    return (difference.norm() / spread.norm()).item()
