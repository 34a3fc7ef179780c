"""GoogLeNet, or Inception v1 (Szegedy et al., 2014).

https://arxiv.org/abs/1409.4842

Nobody knows whether a feature wants a 1x1, a 3x3 or a 5x5 filter, so an inception module has all of them side
by side and stacks what they find. That would be dear; 1x1 convolutions first reduce the channels that the
large filters read, at a tenth of the cost. Nine modules and a global average in place of wide linear layers
make 22 layers of a ninth of AlexNet's weights. Two heads halfway up helped gradients to reach the bottom.

    naive            +-> 1x1 ------------+        reduced   +-> 1x1 ------------+
             x ------+-> 3x3 ------------+-> cat         x -+-> 1x1 -> 3x3 -----+-> cat
                     +-> 5x5 ------------+                  +-> 1x1 -> 5x5 -----+
                     +-> pool 3x3/1 -----+                  +-> pool 3x3/1 -> 1x1

    image    stem     3a-3b    pool  4a ------- 4d ------- 4e    pool  5a-5b    mean   head
    3@224 -> 192@28 -> 480@28 -> @14 -> 512@14 -> 528@14 -> 832@14 -> @7 -> 1024@7 -> 1024 -> 1000
                                        `-> aux1  `-> aux2      (while it trains)

Differs from the paper: it had no batch normalisation, which is of 2015 and which the notes give it, and 5x5
filters where Google's later code, torchvision and so this file have 3x3; ``batch_norm=False`` is the paper's
network, with biases, 5x5 filters and local response normalisation. The auxiliary heads pool to 4x4 whatever
the size of their maps. Names and numbers are torchvision's, whose weights load by name.
See also: models/cnn/inception_v3.py; tasks/classify.py, which weighs the heads; ``didact train googlenet``.
"""

# B batch, C input channels, H W height and width, K classes; n@s is n maps of s x s

import torch
from torch import Tensor, nn

from didact.nn.arguments import check_arguments
from didact.nn.images import check_images
from didact.nn.lrn import LocalResponseNorm
from didact.nn.width import scale_channels

MODULES = {  # table 1 of the paper: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, behind the pool
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
AUXILIARY_SIDE, AUXILIARY_DROPOUT = 4, 0.7


class ConvUnit(nn.Module):
    """A convolution that keeps the side, batch normalisation or a bias, ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, batch_norm: bool = True
    ):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=not batch_norm
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001) if batch_norm else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)."""
        return self.relu(self.bn(self.conv(x)))


class NaiveInception(nn.Module):
    """The idea before it was affordable: three sizes of filter and a pooling on all the channels.

    The pooling hands all its channels on, so maps only grow: out = n1 + n3 + n5 + in.

    Args:
        in_channels: Channels read.
        n1, n3, n5: Filters of 1x1, 3x3 and 5x5.

    Input: (B, in_channels, H, W). Output: (B, n1 + n3 + n5 + in_channels, H, W).

    Example:
        >>> NaiveInception(192, 64, 128, 32)(torch.zeros(1, 192, 7, 7)).shape
        torch.Size([1, 416, 7, 7])
    """

    def __init__(self, in_channels: int, n1: int, n3: int, n5: int):
        super().__init__()
        self.branch1 = ConvUnit(in_channels, n1, 1, batch_norm=False)
        self.branch2 = ConvUnit(in_channels, n3, 3, batch_norm=False)
        self.branch3 = ConvUnit(in_channels, n5, 5, batch_norm=False)
        self.branch4 = nn.MaxPool2d(3, stride=1, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """The four answers, one behind the other."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class Inception(nn.Module):
    """An inception module with 1x1 reductions; a row of ``MODULES``.

    Args:
        in_channels: Channels read.
        n1: Filters of 1x1.
        reduce3, n3: Channels left for the 3x3 filters, and their number.
        reduce5, n5: The same for the large filters.
        pool: Channels left behind the pooling.
        batch_norm: False has 5x5 filters and biases as in the paper, True 3x3 filters and normalisation.

    Input: (B, in_channels, H, W). Output: (B, n1 + n3 + n5 + pool, H, W).

    Example:
        >>> Inception(192, *MODULES["3a"])(torch.zeros(2, 192, 7, 7)).shape
        torch.Size([2, 256, 7, 7])
    """

    def __init__(
        self,
        in_channels: int,
        n1: int,
        reduce3: int,
        n3: int,
        reduce5: int,
        n5: int,
        pool: int,
        batch_norm: bool = True,
    ):
        super().__init__()

        def unit(before: int, after: int, kernel: int) -> ConvUnit:
            return ConvUnit(before, after, kernel, batch_norm=batch_norm)

        large = 3 if batch_norm else 5
        self.branch1 = unit(in_channels, n1, 1)
        self.branch2 = nn.Sequential(unit(in_channels, reduce3, 1), unit(reduce3, n3, 3))
        self.branch3 = nn.Sequential(unit(in_channels, reduce5, 1), unit(reduce5, n5, large))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), unit(in_channels, pool, 1))
        self.out_channels = n1 + n3 + n5 + pool

    def forward(self, x: Tensor) -> Tensor:
        """The four answers, one behind the other."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class AuxiliaryHead(nn.Module):
    """Classes from the middle of the network: mean to 4x4, 1x1 convolution, two linear layers.

    Args:
        in_channels: Channels of the maps it reads.
        num_classes: K.
        width: Multiplies its channels.
        batch_norm: As of the network.

    Input: (B, in_channels, H, W). Output: logits (B, K).
    """

    def __init__(self, in_channels: int, num_classes: int, width: float, batch_norm: bool):
        super().__init__()
        maps, hidden = scale_channels(128, width), scale_channels(1024, width)
        self.avgpool = nn.AdaptiveAvgPool2d(AUXILIARY_SIDE)
        self.conv = ConvUnit(in_channels, maps, 1, batch_norm=batch_norm)
        self.fc1 = nn.Linear(maps * AUXILIARY_SIDE**2, hidden)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(AUXILIARY_DROPOUT)
        self.fc2 = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score the classes."""
        x = self.conv(self.avgpool(x)).flatten(1)
        return self.fc2(self.dropout(self.relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """A stem that shrinks the image to an eighth, nine inception modules, a global average, one linear layer.

    Args:
        in_channels: C, 3 for colour.
        num_classes: K.
        dropout: Probability of dropping a number before the head, 0 <= dropout < 1.
        width: Multiplies the channels of each layer; 0.25 suits two cores.
        auxiliary: Build the two auxiliary heads, which only training reads.
        batch_norm: False is the paper's network: biases, 5x5 filters, local response normalisation.

    Input: images (B, C, H, W), H and W 15 or more, 224 in the paper. Output: logits (B, K).
    Parameters: 13,004,888, of which 6,379,984 are of the auxiliary heads; 13,378,280 in the paper.

    Example:
        >>> GoogLeNet(num_classes=10, width=0.1)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 10])
    """

    auxiliary_weight = 0.3  # of each auxiliary head's loss, section 5 of the paper

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        dropout: float = 0.2,
        width: float = 1.0,
        auxiliary: bool = True,
        batch_norm: bool = True,
    ):
        super().__init__()
        check_arguments(in_channels=in_channels, num_classes=num_classes, dropout=dropout, width=width)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.dropout = dropout
        self.width = width
        self.auxiliary = auxiliary
        self.batch_norm = batch_norm
        first, second = scale_channels(64, width), scale_channels(192, width)

        def inception(name: str, before: int) -> Inception:
            n1, reduce3, n3, reduce5, n5, pool = (scale_channels(n, width) for n in MODULES[name])
            return Inception(before, n1, reduce3, n3, reduce5, n5, pool, batch_norm)

        def normalise() -> nn.Module:
            return nn.Identity() if batch_norm else LocalResponseNorm()

        self.conv1 = ConvUnit(in_channels, first, 7, stride=2, batch_norm=batch_norm)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.norm1 = normalise()
        self.conv2 = ConvUnit(first, first, 1, batch_norm=batch_norm)
        self.conv3 = ConvUnit(first, second, 3, batch_norm=batch_norm)
        self.norm2 = normalise()
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = inception("3a", second)
        self.inception3b = inception("3b", self.inception3a.out_channels)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = inception("4a", self.inception3b.out_channels)
        self.inception4b = inception("4b", self.inception4a.out_channels)
        self.inception4c = inception("4c", self.inception4b.out_channels)
        self.inception4d = inception("4d", self.inception4c.out_channels)
        self.inception4e = inception("4e", self.inception4d.out_channels)
        self.maxpool4 = nn.MaxPool2d(2, ceil_mode=True)
        self.inception5a = inception("5a", self.inception4e.out_channels)
        self.inception5b = inception("5b", self.inception5a.out_channels)
        if auxiliary:
            self.aux1 = AuxiliaryHead(self.inception4a.out_channels, num_classes, width, batch_norm)
            self.aux2 = AuxiliaryHead(self.inception4d.out_channels, num_classes, width, batch_norm)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(self.inception5b.out_channels, num_classes)
        self._start()

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        check_images(x, "GoogLeNet", self.in_channels, least=15)
        return self._top(self._middle(self._bottom(x)))

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits, and those of the auxiliary heads, aux1 before aux2, where the network has them."""
        check_images(x, "GoogLeNet", self.in_channels, least=15)
        at_4a = self._bottom(x)
        at_4d = self._middle(at_4a)
        logits = self._top(at_4d)
        return (logits, self.aux1(at_4a), self.aux2(at_4d)) if self.auxiliary else (logits,)

    def _bottom(self, x: Tensor) -> Tensor:
        x = self.norm1(self.maxpool1(self.conv1(x)))  # (B, C, 224, 224) -> (B, 64, 56, 56)
        x = self.maxpool2(self.norm2(self.conv3(self.conv2(x))))  # -> (B, 192, 28, 28)
        x = self.inception3b(self.inception3a(x))  # -> (B, 480, 28, 28)
        return self.inception4a(self.maxpool3(x))  # -> (B, 512, 14, 14)

    def _middle(self, x: Tensor) -> Tensor:
        return self.inception4d(self.inception4c(self.inception4b(x)))  # -> (B, 528, 14, 14)

    def _top(self, x: Tensor) -> Tensor:
        x = self.maxpool4(self.inception4e(x))  # -> (B, 832, 7, 7)
        x = self.inception5b(self.inception5a(x))  # -> (B, 1024, 7, 7)
        return self.fc(self.drop(self.avgpool(x).flatten(1)))  # -> (B, 1024) -> (B, K)

    def _start(self) -> None:
        """Small weights where batch normalisation sets the scale, else Glorot's, which keep the signal."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                if self.batch_norm:
                    nn.init.normal_(module.weight, std=0.01)
                else:
                    nn.init.xavier_uniform_(module.weight)
