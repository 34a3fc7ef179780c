"""The start of a network for images: what turns pixels into its first maps."""

from torch import nn

from didact.errors import UsageError, suggest

STEMS = ("imagenet", "cifar")


def make_stem(stem: str, in_channels: int, maps: int) -> tuple[nn.Conv2d, nn.Module]:
    """The first convolution and the pooling after its activation.

    ``imagenet``: 7x7 with stride 2, then 3x3 max pooling with stride 2: 224 pixels a side leave 56.
    ``cifar``: 3x3 with stride 1 and no pooling: images of 32 pixels are small already.

    Example:
        >>> make_stem("cifar", in_channels=3, maps=16)[0]
        Conv2d(3, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)

    Raises:
        UsageError: No such stem.
    """
    if stem == "imagenet":
        conv = nn.Conv2d(in_channels, maps, kernel_size=7, stride=2, padding=3, bias=False)
        return conv, nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
    if stem == "cifar":
        return nn.Conv2d(in_channels, maps, kernel_size=3, padding=1, bias=False), nn.Identity()
    raise UsageError(f"stem={stem!r}: unknown, {suggest(stem, STEMS)}")
