"""Xception (Chollet, 2016).

https://arxiv.org/abs/1610.02357

An Inception module first mixes channels (1x1), then looks around (3x3) in a few separate sets of them. In the
extreme each channel is a set: a depthwise convolution looks around in each map by itself, a pointwise one
mixes the maps. From C to M maps this costs 9 C + C M weights instead of 9 C M, and the savings buy depth.
Shortcuts as in ResNet carry the gradient through the 36 convolutions.

    entry flow     3@299 --conv 3x3, 3x3--> 64@147 --block--> 128@74 --block--> 256@37 --block--> 728@19
    middle flow    728@19 --[ x + 3 times (relu, separable 3x3, bn) ] 8 times--> 728@19
    exit flow      728@19 --block--> 1024@10 --separable 3x3, 3x3--> 2048@10 --mean--> 2048 --> classes

    block          x --[relu, separable 3x3, bn] 2 times--max pool 3x3 / 2--(+)-->
                   x --1x1 / 2, bn-------------------------------------------^

Differs from the paper: no dropout before the head unless asked for; ``stem="cifar"`` keeps the size in the
first two convolutions, for small images. Names are timm's (``legacy_xception``).
See also: models/cnn/resnet.py; ``didact train xception``.
"""

# B batch, C input channels, K classes, M maps; n@s is n maps of s x s

from itertools import pairwise

from torch import Tensor, nn

from didact.errors import UsageError, suggest
from didact.nn.arguments import check_arguments
from didact.nn.images import check_images
from didact.nn.initialise import he_normal
from didact.nn.stem import STEMS
from didact.nn.width import scale_channels


class SeparableConv(nn.Module):
    """A 3x3 convolution of each map by itself, then 1x1 across the maps; no activation in between.

    Example:
        >>> import torch
        >>> SeparableConv(8, 16)(torch.zeros(1, 8, 6, 6)).shape
        torch.Size([1, 16, 6, 6])
    """

    def __init__(self, inputs: int, maps: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, kernel_size=3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, maps, kernel_size=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Look around, then mix."""
        return self.pointwise(self.conv1(x))


class Block(nn.Module):
    """Separable convolutions, each after a ReLU and before a norm, and a shortcut around them.

    Args:
        widths: Maps of x and of what each convolution gives.
        stride: 2 halves the size, by max pooling, and puts a 1x1 convolution on the shortcut; 1 keeps it.
        start_with_relu: False where x has just been through one.

    Example:
        >>> import torch
        >>> Block((8, 16, 16), stride=2)(torch.zeros(1, 8, 6, 6)).shape
        torch.Size([1, 16, 3, 3])
    """

    def __init__(self, widths: tuple[int, ...], stride: int = 1, start_with_relu: bool = True):
        super().__init__()
        self.skip, self.skipbn = None, None
        if stride == 2:
            self.skip = nn.Conv2d(widths[0], widths[-1], kernel_size=1, stride=2, bias=False)
            self.skipbn = nn.BatchNorm2d(widths[-1])
        layers: list[nn.Module] = []
        for inputs, maps in pairwise(widths):
            layers += [nn.ReLU(), SeparableConv(inputs, maps), nn.BatchNorm2d(maps)]
        if stride == 2:
            layers.append(nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
        self.rep = nn.Sequential(*layers[0 if start_with_relu else 1 :])

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch to its input."""
        out = self.rep(x)
        if self.skip is not None and self.skipbn is not None:
            x = self.skipbn(self.skip(x))
        return out + x


class Xception(nn.Module):
    """Two convolutions, twelve blocks of separable ones with shortcuts, two more, the mean, a linear layer.

    Args:
        in_channels: C, 1 for grey images, 3 for colour.
        num_classes: K.
        width: Multiplies the maps of each layer; 0.25 suits two cores.
        stem: ``imagenet`` (the first convolution halves the size) or ``cifar`` (it does not).
        middle_blocks: Times the block of the middle flow is repeated, 8 in the paper.
        dropout: Probability of dropping a number before the head, 0 <= dropout < 1; the paper has 0.5.

    Input: images (B, C, H, W) of 7 pixels a side or more, 299 in the paper. Output: logits (B, K).
    Parameters: 22,855,952.

    Example:
        >>> import torch
        >>> Xception(num_classes=10, width=0.1, stem="cifar")(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        width: float = 1.0,
        stem: str = "imagenet",
        middle_blocks: int = 8,
        dropout: float = 0.0,
    ):
        super().__init__()
        check_arguments(in_channels=in_channels, num_classes=num_classes, width=width)
        check_arguments(middle_blocks=middle_blocks, dropout=dropout)
        if stem not in STEMS:
            raise UsageError(f"stem={stem!r}: unknown, {suggest(stem, STEMS)}")
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.width = width
        self.stem = stem
        self.middle_blocks = middle_blocks
        self.dropout = dropout

        sizes = (32, 64, 128, 256, 728, 1024, 1536, 2048)
        a, b, c, d, middle, e, f, last = (scale_channels(size, width) for size in sizes)
        small = stem == "cifar"
        self.conv1 = nn.Conv2d(in_channels, a, 3, stride=1 if small else 2, padding=int(small), bias=False)
        self.bn1 = nn.BatchNorm2d(a)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(a, b, 3, padding=int(small), bias=False)
        self.bn2 = nn.BatchNorm2d(b)
        self.act2 = nn.ReLU()
        self.block1 = Block((b, c, c), stride=2, start_with_relu=False)
        self.block2 = Block((c, d, d), stride=2)
        self.block3 = Block((d, middle, middle), stride=2)
        for k in range(4, 4 + middle_blocks):
            self.add_module(f"block{k}", Block((middle,) * 4))
        self.add_module(f"block{4 + middle_blocks}", Block((middle, middle, e), stride=2))
        self.conv3 = SeparableConv(e, f)
        self.bn3 = nn.BatchNorm2d(f)
        self.act3 = nn.ReLU()
        self.conv4 = SeparableConv(f, last)
        self.bn4 = nn.BatchNorm2d(last)
        self.act4 = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(last, num_classes)
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        check_images(x, "Xception", self.in_channels, least=1 if self.stem == "cifar" else 7)
        x = self.act1(self.bn1(self.conv1(x)))  # (B, C, 299, 299) -> (B, 32, 149, 149)
        x = self.act2(self.bn2(self.conv2(x)))  # -> (B, 64, 147, 147)
        for k in range(1, 5 + self.middle_blocks):
            x = self.get_submodule(f"block{k}")(x)  # -> (B, 1024, 10, 10)
        x = self.act3(self.bn3(self.conv3(x)))
        x = self.act4(self.bn4(self.conv4(x)))  # -> (B, 2048, 10, 10)
        return self.fc(self.drop(self.avgpool(x).flatten(1)))
