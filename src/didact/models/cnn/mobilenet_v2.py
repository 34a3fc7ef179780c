"""MobileNet v2 (Sandler, Howard, Zhu, Zhmoginov and Chen, 2018).

https://arxiv.org/abs/1801.04381

What a layer knows fits into few channels, but a ReLU on few channels destroys some of it. So a block expands
to six times the channels, filters them one by one (3x3, depthwise) and projects back without an activation;
the shortcut joins the thin ends, and is said to be inverted, as a bottleneck's joins the thick ones.

    image    conv/2    blocks: t expansion, c channels,       conv 1x1  mean    head
    3@224 -> 32@112    n in a row, s stride of the first      1280@7 -> 1280 -> 1000
                       t 1  6  6  6  6  6   6
                       c 16 24 32 64 96 160 320     a block:  x --1x1--> t x --3x3--> t x --1x1--> c  (+ x)
                       n 1  2  3  4  3  3   1                      ReLU6       ReLU6       linear
                       s 1  2  2  2  1  2   1

Differs from the paper: nothing in the layers, of which the last convolution alone is never narrowed below
1280 channels; names, numbers and the start of the weights are torchvision's.
See also: models/cnn/mobilenet_v1.py; ``didact train mobilenet-v2``.
"""

# B batch, C input channels, H W height and width, K classes, t expansion; n@s is n maps of s x s

from torch import Tensor, nn

from didact.nn.arguments import check_arguments
from didact.nn.images import check_images
from didact.nn.initialise import he_normal
from didact.nn.width import scale_channels

BLOCKS = (  # table 2 of the paper: expansion t, channels c, blocks n, stride s of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
LAST = 1280


class ConvUnit(nn.Sequential):
    """A convolution that keeps the side but for its stride, batch normalisation, ReLU6."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(
            nn.Conv2d(
                in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False
            ),
            nn.BatchNorm2d(out_channels),
            nn.ReLU6(),
        )


class InvertedResidual(nn.Module):
    """Expand, filter each map by itself, project: x + F(x) where the shape stays, else F(x).

    Args:
        in_channels: Channels read.
        out_channels: Channels after the linear projection.
        stride: Of the depthwise filter.
        expansion: t; with 1 there is no expanding convolution.

    Input: (B, in_channels, H, W). Output: (B, out_channels, H / stride, W / stride), rounded up.

    Example:
        >>> import torch
        >>> InvertedResidual(16, 24, stride=2, expansion=6)(torch.zeros(1, 16, 9, 9)).shape
        torch.Size([1, 24, 5, 5])
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int):
        super().__init__()
        hidden = in_channels * expansion
        self.shortcut = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            *([ConvUnit(in_channels, hidden, 1)] if expansion > 1 else []),
            ConvUnit(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """F(x), joined with x where that is possible."""
        return x + self.conv(x) if self.shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """A convolution, 17 inverted residuals, a convolution, a global average, one linear layer.

    Args:
        in_channels: C, 3 for colour.
        num_classes: K.
        dropout: Probability of dropping a number before the head, 0 <= dropout < 1.
        width: Multiplies the channels of each layer; 0.25 suits two cores.

    Input: images (B, C, H, W), 224 in the paper; the side is divided by 32. Output: logits (B, K).
    Parameters: 3,504,872.

    Example:
        >>> import torch
        >>> MobileNetV2(num_classes=10, width=0.1)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self, in_channels: int = 3, num_classes: int = 1000, dropout: float = 0.2, width: float = 1.0
    ):
        super().__init__()
        check_arguments(in_channels=in_channels, num_classes=num_classes, dropout=dropout, width=width)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.dropout = dropout
        self.width = width
        channels, last = scale_channels(32, width), scale_channels(LAST, max(1.0, width))
        layers: list[nn.Module] = [ConvUnit(in_channels, channels, 3, stride=2)]
        for expansion, out, count, stride in BLOCKS:
            after = scale_channels(out, width)
            for block in range(count):
                layers.append(InvertedResidual(channels, after, 1 if block else stride, expansion))
                channels = after
        layers.append(ConvUnit(channels, last, 1))
        self.features = nn.Sequential(*layers)  # (B, C, 224, 224) -> (B, 1280, 7, 7)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        head = nn.Linear(last, num_classes)
        self.classifier = nn.Sequential(nn.Dropout(dropout), head)
        he_normal(self)
        nn.init.normal_(head.weight, std=0.01)
        nn.init.zeros_(head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        check_images(x, "MobileNet v2", self.in_channels)
        x = self.avgpool(self.features(x)).flatten(1)  # (B, C, H, W) -> (B, 1280)
        return self.classifier(x)
