"""The standard convolutional network, put together from numbers (LeCun, Bottou, Bengio and Haffner, 1998).

https://doi.org/10.1109/5.726791

Convolutions look for features, and poolings pick the strongest of each neighbourhood; a few such blocks, and
one or two fully connected layers read the classes off what is left. That is the plan of LeNet, AlexNet and
VGG alike. Here it is a list of numbers: how many maps each block has, and how many neurons each layer.

    image     block 1                                   block 2            flatten   connected         head
    C@s ----> [conv -> (norm) -> act] n times -> pool -> m2@s/p^2 -> ... -> F -> [linear -> act] --> classes
              m1@s                               m1@s/p

    convolution   m filters of k x k over c maps, size kept: k^2 c m weights, and m biases
    pooling       p x p pixels become one: s -> s / p, rounded down; nothing to learn
    connected     w (F + 1) numbers, with F = m (s / p^blocks)^2 for the first: mostly the most of all

Differs from the paper: it is no network of its own, but what LeNet has in common with those after it; ReLU
and batch normalisation came later, and there is no table of which map reads which.
See also: models/cnn/lenet.py, models/cnn/alexnet.py and models/cnn/vgg.py, which it can be set to resemble;
models/cnn/mnist_cnn.py; ``didact train cnn``; ``didact train cnn --set maps=16,32,64``.
"""

# B batch, C input channels, S s pixels a side, m maps, k filter size, p pooling size, F features,
# w width of a connected layer, K classes; n@s is n maps of s x s

from collections import OrderedDict
from itertools import pairwise

from torch import Tensor, nn

from didact.errors import UsageError, suggest
from didact.nn.activation import make_activation
from didact.nn.arguments import check_arguments
from didact.nn.images import check_images

POOLINGS = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


class CNN(nn.Module):
    """Blocks of convolutions and a pooling, then connected layers.

    Sizes: a convolution keeps the S pixels a side, each pooling divides them by p and rounds down. With the
    defaults 3@32 -> 32@32 -> 32@16 -> 64@16 -> 64@8 -> 4096 -> 128 -> 10.

    Args:
        maps: m, the maps of each block, first to last.
        kernel: k, pixels a side of every filter; odd, so that padding keeps the size.
        convs_per_block: Convolutions before each pooling.
        pool: p, pixels a side that become one; 1 for no pooling.
        pooling: ``max`` or ``average``.
        widths: w, neurons of each connected layer before the head; ``()`` for the head alone.
        activation: A name of ``didact.nn.activation``.
        batch_norm: Normalise after each convolution, which then has no bias.
        dropout: Probability of dropping a number before each connected layer, 0 <= dropout < 1.
        in_channels: C, 1 for grey images, 3 for colour.
        num_classes: K.
        image_size: S, pixels a side, which decide how many numbers the first connected layer reads.

    Input: images (B, C, S, S). Output: logits (B, K). Parameters: 545,098 by default.

    Example:
        >>> import torch
        >>> CNN(maps=(8, 16), widths=(), in_channels=1, image_size=28)(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        maps: tuple[int, ...] = (32, 64),
        kernel: int = 3,
        convs_per_block: int = 1,
        pool: int = 2,
        pooling: str = "max",
        widths: tuple[int, ...] = (128,),
        activation: str = "relu",
        batch_norm: bool = False,
        dropout: float = 0.0,
        in_channels: int = 3,
        num_classes: int = 10,
        image_size: int = 32,
    ):
        super().__init__()
        check_arguments(kernel=kernel, convs_per_block=convs_per_block, pool=pool, image_size=image_size)
        check_arguments(in_channels=in_channels, num_classes=num_classes, dropout=dropout)
        _check(maps, kernel, pooling, widths)
        left = _size_left(image_size, pool, len(maps))
        self.maps = maps
        self.kernel = kernel
        self.convs_per_block = convs_per_block
        self.pool = pool
        self.pooling = pooling
        self.widths = widths
        self.activation = activation
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.image_size = image_size
        self.blocks = nn.Sequential()
        for number, (before, after) in enumerate(pairwise((in_channels, *maps)), start=1):
            self.blocks.add_module(f"block{number}", self._block(before, after))
        self.connected = self._connected(maps[-1] * left**2)
        self.head = nn.Linear(widths[-1] if widths else maps[-1] * left**2, num_classes)

    def _block(self, before: int, after: int) -> nn.Sequential:
        """Convolution -> norm -> activation so many times, then the pooling."""
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for k in range(1, self.convs_per_block + 1):
            inputs = before if k == 1 else after
            padding = self.kernel // 2
            layers[f"conv{k}"] = nn.Conv2d(
                inputs, after, self.kernel, padding=padding, bias=not self.batch_norm
            )
            if self.batch_norm:
                layers[f"norm{k}"] = nn.BatchNorm2d(after)
            layers[f"act{k}"] = make_activation(self.activation)
        layers["pool"] = POOLINGS[self.pooling](self.pool)
        return nn.Sequential(layers)

    def _connected(self, features: int) -> nn.Sequential:
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        for k, (inputs, width) in enumerate(pairwise((features, *self.widths)), start=1):
            layers[f"drop{k}"] = nn.Dropout(self.dropout)
            layers[f"linear{k}"] = nn.Linear(inputs, width)
            layers[f"act{k}"] = make_activation(self.activation)
        layers["drop"] = nn.Dropout(self.dropout)
        return nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        self._check_size(x)
        x = self.blocks(x)  # (B, C, S, S) -> (B, m, s, s)
        return self.head(self.connected(x))  # -> (B, w) -> (B, K)

    def _check_size(self, x: Tensor) -> None:
        check_images(x, "CNN", self.in_channels)
        height, width = x.shape[2:]
        if (height, width) != (self.image_size, self.image_size):
            raise UsageError(
                f"images of {height}x{width}: this CNN was built with image_size={self.image_size}, "
                "resize them, or build it for their size"
            )


def _check(maps: tuple[int, ...], kernel: int, pooling: str, widths: tuple[int, ...]) -> None:
    if not maps or min(maps) < 1:
        raise UsageError(f"maps={maps}: one block or more, each with 1 map or more, try (32, 64)")
    if kernel % 2 == 0:
        raise UsageError(f"kernel={kernel}: must be odd, so that padding keeps the size, try {kernel + 1}")
    if pooling not in POOLINGS:
        raise UsageError(f"pooling={pooling!r}: unknown, {suggest(pooling, POOLINGS)}")
    if any(width < 1 for width in widths):
        raise UsageError(f"widths={widths}: each connected layer needs 1 neuron or more, try (128,)")


def _size_left(image_size: int, pool: int, blocks: int) -> int:
    """Pixels a side after all poolings."""
    left = image_size
    for _ in range(blocks):
        left //= pool
    if left < 1:
        least = pool**blocks
        raise UsageError(
            f"image_size={image_size}: {blocks} poolings by {pool} leave nothing, give {least} or more"
        )
    return left
