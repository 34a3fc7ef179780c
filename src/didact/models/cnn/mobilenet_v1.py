"""MobileNet (Howard et al., 2017).

https://arxiv.org/abs/1704.04861

A convolution does two things at once: it filters in space and mixes channels. Done one after the other, a
3x3 filter for each map (depthwise), then a 1x1 convolution (pointwise), they cost 1/D + 1/9 of it for D
channels: an eighth to a ninth. Thirteen such pairs fit into a telephone, and ``width`` makes them smaller.

    image    conv/2   pairs, c channels, s stride                          mean    head
    3@224 -> 32@112   c 64 128 128 256 256 512 512 512 512 512 512 1024 1024 -> 1024 -> 1000
                      s  1   2   1   2   1   2   1   1   1   1   1    2    1
    a pair:  x --3x3, each map by itself--> normalise, ReLU6 --1x1--> normalise, ReLU6

Differs from the paper: the stride of the last pair is 1, where its table 1 has a 2 that would not give its
7x7; ReLU6, which Google's code has, for ReLU; channels in multiples of 8 at another width. Its second knob,
the resolution, is ``image_size``. Names and numbers are those of timm's ``mobilenetv1_100``.
See also: models/cnn/mobilenet_v2.py; models/cnn/xception.py; ``didact train mobilenet-v1``.
"""

# B batch, C input channels, H W height and width, K classes; n@s is n maps of s x s

from torch import Tensor, nn

from didact.nn.arguments import check_arguments
from didact.nn.images import check_images
from didact.nn.width import scale_channels

STAGES = (  # table 1 of the paper by side: channels, pairs, stride of the first
    (64, 1, 1),
    (128, 2, 2),
    (256, 2, 2),
    (512, 6, 2),
    (1024, 2, 2),
)


class SeparablePair(nn.Module):
    """A depthwise and a pointwise convolution, each with batch normalisation and ReLU6.

    Args:
        in_channels: Channels read, and filters of 3x3, one for each.
        out_channels: Filters of 1x1.
        stride: Of the depthwise filters.

    Input: (B, in_channels, H, W). Output: (B, out_channels, H / stride, W / stride), rounded up.
    Parameters: 9 in + in out weights, and 2 (in + out) of the normalisation.

    Example:
        >>> import torch
        >>> SeparablePair(32, 64, stride=2)(torch.zeros(1, 32, 9, 9)).shape
        torch.Size([1, 64, 5, 5])
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv_dw = nn.Conv2d(
            in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False
        )
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.act1 = nn.ReLU6()
        self.conv_pw = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.act2 = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        """Filter in space, then mix the channels."""
        x = self.act1(self.bn1(self.conv_dw(x)))
        return self.act2(self.bn2(self.conv_pw(x)))


class MobileNetV1(nn.Module):
    """A convolution, thirteen separable pairs, a global average, one linear layer.

    Args:
        in_channels: C, 3 for colour.
        num_classes: K.
        dropout: Probability of dropping a number before the head, 0 <= dropout < 1.
        width: alpha of the paper, multiplies the channels of each layer; 0.25 suits two cores.

    Input: images (B, C, H, W), 224 in the paper; the side is divided by 32. Output: logits (B, K).
    Parameters: 4,231,976.

    Example:
        >>> import torch
        >>> MobileNetV1(num_classes=10, width=0.1)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self, in_channels: int = 3, num_classes: int = 1000, dropout: float = 0.0, width: float = 1.0
    ):
        super().__init__()
        check_arguments(in_channels=in_channels, num_classes=num_classes, dropout=dropout, width=width)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.dropout = dropout
        self.width = width
        channels = scale_channels(32, width)
        self.conv_stem = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU6()
        stages = []
        for out, count, stride in STAGES:
            after = scale_channels(out, width)
            pairs = [SeparablePair(channels, after, stride)]
            pairs += [SeparablePair(after, after, 1) for _ in range(count - 1)]
            stages.append(nn.Sequential(*pairs))
            channels = after
        self.blocks = nn.Sequential(*stages)  # (B, 32, 112, 112) -> (B, 1024, 7, 7)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)
        self._start()

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        check_images(x, "MobileNet", self.in_channels)
        x = self.blocks(self.act1(self.bn1(self.conv_stem(x))))  # (B, C, H, W) -> (B, 1024, H/32, W/32)
        return self.classifier(self.drop(self.avgpool(x).flatten(1)))

    def _start(self) -> None:
        """He's weights, counting the outputs that a weight reaches within its group."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                reached = module.weight[:, 0].numel() // module.groups  # out F^2 / groups
                nn.init.normal_(module.weight, std=(2 / reached) ** 0.5)
