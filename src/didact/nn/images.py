"""What a network that reads images checks of a batch."""

from torch import Tensor

from didact.errors import UsageError


def check_images(x: Tensor, network: str, in_channels: int, least: int = 1) -> None:
    """Refuse what is no batch of images (B, C, H, W) with C = ``in_channels`` and H, W >= ``least``.

    Raises:
        UsageError: One line that names the network, what came and what it reads.
    """
    if x.dim() != 4:
        raise UsageError(f"input of shape {tuple(x.shape)}: {network} reads (batch, channels, height, width)")
    channels, height, width = x.shape[1:]
    if channels != in_channels:
        raise UsageError(
            f"images with {channels} channels: this {network} was built with in_channels={in_channels}, "
            f"build it with in_channels={channels}"
        )
    if height < least or width < least:
        raise UsageError(
            f"images of {height}x{width}: this {network} reads {least}x{least} or more, "
            f"resize them with image_size={max(least, 32)}"
        )
