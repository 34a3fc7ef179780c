"""Filters with a meaning, drawn by hand: what image processing had before networks learned theirs.

The numbers are printed as notes 001 print them and are laid over the image as they stand (cross-correlation).
A filter whose numbers sum to 1 keeps the brightness, one whose numbers sum to 0 answers differences only.
The first layer of a trained network holds much the same: edges, blurs, differences of colour.
See also: nn/convolution.py.
"""

# B batch, C channels, H W height and width, n filters, F side of a filter

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from didact.errors import UsageError, suggest
from didact.nn.convolution import cross_correlate


@dataclass(frozen=True)
class Kernel:
    """A filter: its rows as the notes print them, the number they are divided by, what it shows."""

    rows: tuple[tuple[float, ...], ...]
    about: str
    divisor: float = 1

    @property
    def weight(self) -> Tensor:
        """The filter itself (F, F)."""
        return torch.tensor(self.rows, dtype=torch.get_default_dtype()) / self.divisor


KERNELS: Mapping[str, Kernel] = MappingProxyType(
    {
        "edge": Kernel(
            ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)),
            "edges of every direction: a pixel against its eight neighbours",
        ),
        "box": Kernel(((1, 1, 1), (1, 1, 1), (1, 1, 1)), "the mean of nine pixels, a blur", 9),
        "gaussian": Kernel(
            ((1, 2, 1), (2, 4, 2), (1, 2, 1)),
            "a softer blur, near pixels count more; the notes leave out the 1/16 that keeps the brightness",
            16,
        ),
        "sharpen": Kernel(
            ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
            "the pixel and once more what sets it off from its neighbours",
        ),
        "sobel-x": Kernel(
            ((1, 0, -1), (2, 0, -2), (1, 0, -1)), "vertical edges: positive where the left is brighter"
        ),
        "sobel-y": Kernel(
            ((1, 2, 1), (0, 0, 0), (-1, -2, -1)),
            "horizontal edges: positive where the upper side is brighter",
        ),
        "scharr-x": Kernel(
            ((3, 0, -3), (10, 0, -10), (3, 0, -3)), "vertical edges, truer to the angle of slanted ones"
        ),
        "scharr-y": Kernel(((3, 10, 3), (0, 0, 0), (-3, -10, -3)), "horizontal edges, likewise"),
        "blur": Kernel(
            ((3, 4, 3), (4, 5, 4), (3, 4, 3)), "the blur of notes 004, not normalised: 33 times as bright"
        ),
        "diagonal": Kernel(
            ((0.5, 0), (0, 0.6)), "a pixel and its lower right neighbour, the first filter of notes 003"
        ),
    }
)


def kernel(name: str) -> Tensor:
    """A filter (F, F) by its name; hyphens, underscores and case do not matter.

    Example:
        >>> kernel("sobel-x")
        tensor([[ 1.,  0., -1.],
                [ 2.,  0., -2.],
                [ 1.,  0., -1.]])

    Raises:
        UsageError: No such filter; the message suggests the nearest name.
    """
    key = name.lower().replace("_", "-")
    if key not in KERNELS:
        raise UsageError(f"kernel={name!r}: unknown, {suggest(key, KERNELS)}")
    return KERNELS[key].weight


class FilterBank(nn.Module):
    """Fixed filters on each channel by itself. Nothing is learned: the filters are a buffer.

    The border is continued by its last pixels, so that the frame of an image is not taken for an edge. An
    even filter has its first pixel in the middle, as in S(i,j) = sum I(i+m, j+n) K(m,n).

    Args:
        names: Of ``KERNELS``; all of them if not given.

    Input: (B, C, H, W). Output: (B, C n, H, W), the n maps of a channel side by side. Parameters: none.

    Example:
        >>> FilterBank(["sobel-x", "sobel-y"])(torch.zeros(1, 3, 8, 8)).shape
        torch.Size([1, 6, 8, 8])
    """

    weight: Tensor

    def __init__(self, names: Sequence[str] | None = None):
        super().__init__()
        names = tuple(KERNELS) if names is None else tuple(names)
        if not names:
            raise UsageError("names=[]: name one filter or more, or leave it out for all")
        self.names = names
        self.register_buffer("weight", torch.stack([_centred(kernel(name)) for name in names])[:, None])

    def forward(self, x: Tensor) -> Tensor:
        """Filter each channel with every filter."""
        if x.dim() != 4:
            raise UsageError(
                f"input of shape {tuple(x.shape)}: FilterBank reads (batch, channels, height, width)"
            )
        x = x if x.is_floating_point() else x.to(self.weight.dtype)
        alone = x.flatten(0, 1)[:, None]  # (B, C, H, W) -> (B C, 1, H, W)
        maps = cross_correlate(alone, self.weight.to(x.dtype), padding="same", padding_mode="replicate")
        return maps.view(len(x), -1, *x.shape[2:])  # (B C, n, H, W) -> (B, C n, H, W)


def filter_image(image: Tensor, names: Sequence[str] | None = None) -> dict[str, Tensor]:
    """What each filter makes of one image.

    Args:
        image: Grey (H, W), or with channels (C, H, W); whole numbers are read as decimals.
        names: Of ``KERNELS``; all of them if not given.

    Returns:
        For each name maps of the shape of the image.

    Example:
        >>> maps = filter_image(torch.ones(8, 8), ["edge", "box"])
        >>> maps["edge"].abs().max(), maps["box"].shape
        (tensor(0.), torch.Size([8, 8]))
    """
    if image.dim() not in (2, 3):
        raise UsageError(
            f"image of shape {tuple(image.shape)}: give (height, width) or (channels, height, width)"
        )
    bank = FilterBank(names)
    channels = image[None] if image.dim() == 2 else image
    maps = bank(channels[:, None])  # each channel an image: (C, n, H, W)
    return {name: maps[:, k].reshape(image.shape) for k, name in enumerate(bank.names)}


def _centred(weight: Tensor) -> Tensor:
    """In a square of 3x3: a filter of 2x2 gets a row of zeros above and a column to the left."""
    short = 3 - len(weight)
    return nn.functional.pad(weight, (short, 0, short, 0))
