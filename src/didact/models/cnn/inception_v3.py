"""Inception v3 (Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, 2015).

https://arxiv.org/abs/1512.00567

The inception module taken apart once more: a 5x5 filter becomes two of 3x3, and an n x n filter one of 1 x n
behind one of n x 1, which sees as far for 2 / n of the cost. Three kinds of module for three sizes of map; in
between, a convolution and a pooling of stride 2 side by side halve the maps without a narrow place.

    image    stem     A A A      B      C C C C   D      E E       mean    head
    3@299 -> 192@35 -> 288@35 -> 768@17 -> 768 -> 1280@8 -> 2048 -> 2048 -> 1000
                                              `-> auxiliary head   (while it trains)

    C: x -+-> 1x1 -------------------------------------------+     B, D: x -+-> ... 3x3/2 ---+
          +-> 1x1 -> 1x7 -> 7x1 -----------------------------+-> cat        +-> ... 3x3/2 ---+-> cat
          +-> 1x1 -> 7x1 -> 1x7 -> 7x1 -> 1x7 ---------------+              +-> pool 3x3/2 --+
          +-> mean 3x3/1 -> 1x1 -----------------------------+

Differs from the paper: the channels of the branches, which it does not print, and the head of 5x5 and 1x1
convolutions are those of Google's code, as are torchvision's, whose names and numbers these are.
See also: models/cnn/googlenet.py; models/cnn/xception.py; ``didact train inception-v3``.
"""

# B batch, C input channels, H W height and width, K classes, m width multiplier; n@s is n maps of s x s

from functools import partial

import torch
from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.arguments import check_arguments
from didact.nn.images import check_images
from didact.nn.width import scale_channels

AUXILIARY_LEAST = 299  # where 17x17 maps leave the auxiliary head its 5x5


class ConvUnit(nn.Module):
    """A convolution, batch normalisation, ReLU.

    Args:
        in_channels: Channels read.
        out_channels: Filters.
        kernel: Side of a filter, or its height and width.
        stride: Step of the filter.
        valid: Do not pad; else a stride of 1 keeps the side.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        valid: bool = False,
    ):
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (0, 0) if valid else (height // 2, width // 2)
        self.conv = nn.Conv2d(in_channels, out_channels, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H', W')."""
        return self.relu(self.bn(self.conv(x)))


class InceptionA(nn.Module):
    """At 35x35, figure 5 of the paper: 1x1; 5x5; 3x3 twice; mean. Output: 64 + 64 + 96 + pool channels."""

    def __init__(self, in_channels: int, pool: int, width: float):
        super().__init__()
        n = partial(scale_channels, width=width)
        self.branch1x1 = ConvUnit(in_channels, n(64), 1)
        self.branch5x5_1 = ConvUnit(in_channels, n(48), 1)
        self.branch5x5_2 = ConvUnit(n(48), n(64), 5)
        self.branch3x3dbl_1 = ConvUnit(in_channels, n(64), 1)
        self.branch3x3dbl_2 = ConvUnit(n(64), n(96), 3)
        self.branch3x3dbl_3 = ConvUnit(n(96), n(96), 3)
        self.mean = nn.AvgPool2d(3, stride=1, padding=1)
        self.branch_pool = ConvUnit(in_channels, n(pool), 1)
        self.out_channels = n(64) + n(64) + n(96) + n(pool)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        small = self.branch1x1(x)
        large = self.branch5x5_2(self.branch5x5_1(x))
        twice = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([small, large, twice, self.branch_pool(self.mean(x))], dim=1)


class InceptionB(nn.Module):
    """From 35x35 to 17x17, figure 10: 3x3; 3x3 twice; pooling. Output: 384 + 96 + in channels."""

    def __init__(self, in_channels: int, width: float):
        super().__init__()
        n = partial(scale_channels, width=width)
        self.branch3x3 = ConvUnit(in_channels, n(384), 3, stride=2, valid=True)
        self.branch3x3dbl_1 = ConvUnit(in_channels, n(64), 1)
        self.branch3x3dbl_2 = ConvUnit(n(64), n(96), 3)
        self.branch3x3dbl_3 = ConvUnit(n(96), n(96), 3, stride=2, valid=True)
        self.pool = nn.MaxPool2d(3, stride=2)
        self.out_channels = n(384) + n(96) + in_channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, (H - 1) / 2, (W - 1) / 2)."""
        twice = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), twice, self.pool(x)], dim=1)


class InceptionC(nn.Module):
    """At 17x17, figure 6: 1x1; 7x7 as 1x7 and 7x1; that twice; mean. Output: 4 x 192 channels.

    ``between`` are the channels inside the branches of 7; they grow with the height.
    """

    def __init__(self, in_channels: int, between: int, width: float):
        super().__init__()
        n = partial(scale_channels, width=width)
        self.branch1x1 = ConvUnit(in_channels, n(192), 1)
        self.branch7x7_1 = ConvUnit(in_channels, n(between), 1)
        self.branch7x7_2 = ConvUnit(n(between), n(between), (1, 7))
        self.branch7x7_3 = ConvUnit(n(between), n(192), (7, 1))
        self.branch7x7dbl_1 = ConvUnit(in_channels, n(between), 1)
        self.branch7x7dbl_2 = ConvUnit(n(between), n(between), (7, 1))
        self.branch7x7dbl_3 = ConvUnit(n(between), n(between), (1, 7))
        self.branch7x7dbl_4 = ConvUnit(n(between), n(between), (7, 1))
        self.branch7x7dbl_5 = ConvUnit(n(between), n(192), (1, 7))
        self.mean = nn.AvgPool2d(3, stride=1, padding=1)
        self.branch_pool = ConvUnit(in_channels, n(192), 1)
        self.out_channels = 4 * n(192)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return torch.cat([self.branch1x1(x), once, twice, self.branch_pool(self.mean(x))], dim=1)


class InceptionD(nn.Module):
    """From 17x17 to 8x8: 3x3; 7x7 in two, then 3x3; pooling. Output: 320 + 192 + in channels."""

    def __init__(self, in_channels: int, width: float):
        super().__init__()
        n = partial(scale_channels, width=width)
        self.branch3x3_1 = ConvUnit(in_channels, n(192), 1)
        self.branch3x3_2 = ConvUnit(n(192), n(320), 3, stride=2, valid=True)
        self.branch7x7x3_1 = ConvUnit(in_channels, n(192), 1)
        self.branch7x7x3_2 = ConvUnit(n(192), n(192), (1, 7))
        self.branch7x7x3_3 = ConvUnit(n(192), n(192), (7, 1))
        self.branch7x7x3_4 = ConvUnit(n(192), n(192), 3, stride=2, valid=True)
        self.pool = nn.MaxPool2d(3, stride=2)
        self.out_channels = n(320) + n(192) + in_channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, (H - 1) / 2, (W - 1) / 2)."""
        small = self.branch3x3_2(self.branch3x3_1(x))
        large = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([small, large, self.pool(x)], dim=1)


class InceptionE(nn.Module):
    """At 8x8, figure 7: 1x1; 1x3 beside 3x1; 3x3 and the same; mean. Output: 320 + 4 x 384 + 192 channels."""

    def __init__(self, in_channels: int, width: float):
        super().__init__()
        n = partial(scale_channels, width=width)
        self.branch1x1 = ConvUnit(in_channels, n(320), 1)
        self.branch3x3_1 = ConvUnit(in_channels, n(384), 1)
        self.branch3x3_2a = ConvUnit(n(384), n(384), (1, 3))
        self.branch3x3_2b = ConvUnit(n(384), n(384), (3, 1))
        self.branch3x3dbl_1 = ConvUnit(in_channels, n(448), 1)
        self.branch3x3dbl_2 = ConvUnit(n(448), n(384), 3)
        self.branch3x3dbl_3a = ConvUnit(n(384), n(384), (1, 3))
        self.branch3x3dbl_3b = ConvUnit(n(384), n(384), (3, 1))
        self.mean = nn.AvgPool2d(3, stride=1, padding=1)
        self.branch_pool = ConvUnit(in_channels, n(192), 1)
        self.out_channels = n(320) + 4 * n(384) + n(192)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        once = self.branch3x3_1(x)
        once = torch.cat([self.branch3x3_2a(once), self.branch3x3_2b(once)], dim=1)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        twice = torch.cat([self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice)], dim=1)
        return torch.cat([self.branch1x1(x), once, twice, self.branch_pool(self.mean(x))], dim=1)


class AuxiliaryHead(nn.Module):
    """Classes from 17x17 maps: mean to 5x5, 1x1, 5x5 that leaves one place, a linear layer."""

    def __init__(self, in_channels: int, num_classes: int, width: float):
        super().__init__()
        n = partial(scale_channels, width=width)
        self.mean = nn.AvgPool2d(5, stride=3)
        self.conv0 = ConvUnit(in_channels, n(128), 1)
        self.conv1 = ConvUnit(n(128), n(768), 5, valid=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(n(768), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, 17, 17) -> logits (B, K)."""
        return self.fc(self.avgpool(self.conv1(self.conv0(self.mean(x)))).flatten(1))


class InceptionV3(nn.Module):
    """A stem, three modules A, B, four C, D, two E, a global average, one linear layer.

    Args:
        in_channels: C, 3 for colour.
        num_classes: K.
        dropout: Probability of dropping a number before the head, 0 <= dropout < 1.
        width: Multiplies the channels of each layer; 0.25 suits two cores.
        auxiliary: Build the auxiliary head, which only training reads, and which needs images of 299.

    Input: images (B, C, H, W), H and W 75 or more, 299 in the paper. Output: logits (B, K).
    Parameters: 27,161,264, of which 3,326,696 are of the auxiliary head.

    Example:
        >>> InceptionV3(num_classes=10, width=0.1)(torch.zeros(2, 3, 112, 112)).shape
        torch.Size([2, 10])
    """

    auxiliary_weight = 0.4  # of the auxiliary head's loss, as in Google's code; the paper prints none

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        dropout: float = 0.5,
        width: float = 1.0,
        auxiliary: bool = True,
    ):
        super().__init__()
        check_arguments(in_channels=in_channels, num_classes=num_classes, dropout=dropout, width=width)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.dropout = dropout
        self.width = width
        self.auxiliary = auxiliary
        n = partial(scale_channels, width=width)
        self.Conv2d_1a_3x3 = ConvUnit(in_channels, n(32), 3, stride=2, valid=True)
        self.Conv2d_2a_3x3 = ConvUnit(n(32), n(32), 3, valid=True)
        self.Conv2d_2b_3x3 = ConvUnit(n(32), n(64), 3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = ConvUnit(n(64), n(80), 1)
        self.Conv2d_4a_3x3 = ConvUnit(n(80), n(192), 3, valid=True)
        self.maxpool2 = nn.MaxPool2d(3, stride=2)
        self.Mixed_5b = InceptionA(n(192), 32, width)
        self.Mixed_5c = InceptionA(self.Mixed_5b.out_channels, 64, width)
        self.Mixed_5d = InceptionA(self.Mixed_5c.out_channels, 64, width)
        self.Mixed_6a = InceptionB(self.Mixed_5d.out_channels, width)
        self.Mixed_6b = InceptionC(self.Mixed_6a.out_channels, 128, width)
        self.Mixed_6c = InceptionC(self.Mixed_6b.out_channels, 160, width)
        self.Mixed_6d = InceptionC(self.Mixed_6c.out_channels, 160, width)
        self.Mixed_6e = InceptionC(self.Mixed_6d.out_channels, 192, width)
        if auxiliary:
            self.AuxLogits = AuxiliaryHead(self.Mixed_6e.out_channels, num_classes, width)
        self.Mixed_7a = InceptionD(self.Mixed_6e.out_channels, width)
        self.Mixed_7b = InceptionE(self.Mixed_7a.out_channels, width)
        self.Mixed_7c = InceptionE(self.Mixed_7b.out_channels, width)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(self.Mixed_7c.out_channels, num_classes)
        self._start()

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        check_images(x, "Inception v3", self.in_channels, least=75)
        return self._top(self._bottom(x))

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits, and those of the auxiliary head where the network has it."""
        if not self.auxiliary:
            return (self(x),)
        check_images(x, "Inception v3", self.in_channels, least=75)
        if min(x.shape[2:]) < AUXILIARY_LEAST:
            raise UsageError(
                f"images of {x.shape[2]}x{x.shape[3]}: the auxiliary head of Inception v3 needs "
                f"{AUXILIARY_LEAST}x{AUXILIARY_LEAST} or more; resize them, or set auxiliary=False"
            )
        middle = self._bottom(x)
        return self._top(middle), self.AuxLogits(middle)

    def _bottom(self, x: Tensor) -> Tensor:
        x = self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))  # (B, C, 299, 299) -> (B, 32, 147, 147)
        x = self.maxpool1(self.Conv2d_2b_3x3(x))  # -> (B, 64, 73, 73)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))  # -> (B, 192, 71, 71)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(x))))  # -> (B, 288, 35, 35)
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))  # -> (B, 768, 17, 17)
        return self.Mixed_6e(self.Mixed_6d(x))

    def _top(self, x: Tensor) -> Tensor:
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # (B, 768, 17, 17) -> (B, 2048, 8, 8)
        return self.fc(self.drop(self.avgpool(x).flatten(1)))  # -> (B, 2048) -> (B, K)

    def _start(self) -> None:
        """Weights as in Google's code: batch normalisation scales, the auxiliary head starts small."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.normal_(module.weight, std=0.1)
        if self.auxiliary:
            nn.init.normal_(self.AuxLogits.conv1.conv.weight, std=0.01)
            nn.init.normal_(self.AuxLogits.fc.weight, std=0.001)
