"""Wide residual networks (Zagoruyko and Komodakis, 2016).

https://arxiv.org/abs/1605.07146

A thousand thin layers bring a residual network little more than a hundred, as each block changes little. So
fewer blocks with more maps each: 16 wide layers beat 1,001 thin ones and train several times as fast, since
wide layers keep the hardware busy. With that many weights dropout helps again, inside the block.

    WRN    image     conv1    layer1     layer2     layer3    bn, relu, mean   fc            6 n + 4 layers
           3@32 ---> 16@32 -> 16k@32 --> 32k@16 --> 64k@8 --> 64k -----------> classes       n blocks a stage

    block  x --bn--relu--+--3x3--bn--relu--dropout--3x3--(+)-->      the norm comes before the convolution,
           x ------------+------ (1x1 of relu bn x) ------^          nothing after the sum (He et al., 2016)

``WideResNet`` is the form for ImageNet: ResNet-50 or 101 whose 3x3 convolutions have k times the maps.

Differs from the paper: nothing in WRN; the names of ``WideResNet``, and where it halves the size, are
torchvision's.
See also: models/cnn/resnet.py; nn/residual.py, the bottleneck; ``didact train wrn28-10``;
``didact train wide-resnet50-2``.
"""

# B batch, C input channels, K classes, k widening factor, n blocks in a stage; n@s is n maps of s x s

from functools import partial

from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.arguments import check_arguments
from didact.nn.images import check_images
from didact.nn.initialise import he_normal
from didact.nn.residual import Bottleneck, make_stage
from didact.nn.stem import make_stem
from didact.nn.width import scale_channels

SIZES = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 14: (1, 1, 1, 1)}  # depth: bottlenecks in each stage


class PreActivation(nn.Module):
    """A block whose shortcut nothing touches: y = x + conv2 drop relu bn2 conv1 relu bn1 x.

    Where the maps or their size change, the shortcut is a 1x1 convolution of relu bn1 x.

    Args:
        inputs: Maps of x.
        maps: Maps of y.
        stride: Of the first convolution and the shortcut.
        dropout: Probability of dropping a number between the convolutions.

    Example:
        >>> import torch
        >>> PreActivation(8, 16, stride=2)(torch.zeros(1, 8, 6, 6)).shape
        torch.Size([1, 16, 3, 3])
    """

    def __init__(self, inputs: int, maps: int, stride: int = 1, dropout: float = 0.0):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, maps, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(maps)
        self.relu2 = nn.ReLU()
        self.drop = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(maps, maps, kernel_size=3, padding=1, bias=False)
        changes = inputs != maps or stride != 1
        self.downsample = nn.Conv2d(inputs, maps, 1, stride=stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch to its input."""
        active = self.relu1(self.bn1(x))
        shortcut = x if self.downsample is None else self.downsample(active)
        out = self.conv1(active)
        return shortcut + self.conv2(self.drop(self.relu2(self.bn2(out))))


class WRN(nn.Module):
    """WRN-d-k for small images: a convolution, three stages of n = (d - 4) / 6 blocks, the mean.

    Args:
        depth: d, 6 n + 4: 10, 16, 22, 28, 34, 40 and on; it counts the convolutions, shortcuts' too.
        widen: k; 1 is a thin residual network.
        in_channels: C, 1 for grey images, 3 for colour.
        num_classes: K.
        dropout: Probability of dropping a number between the convolutions of a block, 0 <= dropout < 1.

    Input: images (B, C, H, W), 32 pixels a side in the paper. Output: logits (B, K).
    Parameters: 36,479,194 for WRN-28-10 and ten classes.

    Example:
        >>> import torch
        >>> WRN(depth=16, widen=1)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        depth: int = 28,
        widen: int = 10,
        in_channels: int = 3,
        num_classes: int = 10,
        dropout: float = 0.0,
    ):
        super().__init__()
        count, rest = divmod(depth - 4, 6)
        if count < 1 or rest:
            raise UsageError(f"depth={depth}: must be 4 more than a multiple of 6, try 16, 28 or 40")
        check_arguments(widen=widen, in_channels=in_channels, num_classes=num_classes, dropout=dropout)
        self.depth = depth
        self.widen = widen
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.dropout = dropout

        block = partial(PreActivation, dropout=dropout)
        maps = 16 * widen
        self.conv1 = nn.Conv2d(in_channels, 16, kernel_size=3, padding=1, bias=False)
        self.layer1 = make_stage(block, 16, maps, count, stride=1)
        self.layer2 = make_stage(block, maps, 2 * maps, count, stride=2)
        self.layer3 = make_stage(block, 2 * maps, 4 * maps, count, stride=2)
        self.bn = nn.BatchNorm2d(4 * maps)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4 * maps, num_classes)
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        check_images(x, "WRN", self.in_channels)
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))  # (B, C, H, W) -> (B, 64k, H/4, W/4)
        return self.fc(self.avgpool(self.relu(self.bn(x))).flatten(1))


class WideResNet(nn.Module):
    """ResNet-50 or 101 with k times as many maps in its 3x3 convolutions; outside the blocks nothing changes.

    Args:
        depth: Layers with weights: 50 or 101; 14 for trials.
        widen: k.
        in_channels: C, 1 for grey images, 3 for colour.
        num_classes: K.
        width: Multiplies the maps of every layer, as in ResNet; 0.25 suits two cores.
        stem: ``imagenet`` (7x7 and pooling, to a quarter of the size) or ``cifar`` (3x3, for small images).

    Input: images (B, C, H, W) of any size. Output: logits (B, K).
    Parameters: 68,883,240 (50, k = 2), 126,886,696 (101, k = 2).

    Example:
        >>> import torch
        >>> WideResNet(num_classes=10, width=0.125, stem="cifar")(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        depth: int = 50,
        widen: int = 2,
        in_channels: int = 3,
        num_classes: int = 1000,
        width: float = 1.0,
        stem: str = "imagenet",
    ):
        super().__init__()
        if depth not in SIZES:
            raise UsageError(f"depth={depth}: choose from {', '.join(map(str, SIZES))}")
        check_arguments(widen=widen, in_channels=in_channels, num_classes=num_classes, width=width)
        self.depth = depth
        self.widen = widen
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.width = width
        self.stem = stem

        counts, first = SIZES[depth], scale_channels(64, width)

        def stage(k: int, inputs: int) -> nn.Sequential:
            maps = first * 2 ** (k - 1)
            block = partial(Bottleneck, inner=widen * maps)
            return make_stage(block, inputs, 4 * maps, counts[k - 1], stride=1 if k == 1 else 2)

        self.conv1, self.maxpool = make_stem(stem, in_channels, first)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.ReLU()
        self.layer1 = stage(1, first)
        self.layer2 = stage(2, 4 * first)
        self.layer3 = stage(3, 8 * first)
        self.layer4 = stage(4, 16 * first)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(32 * first, num_classes)
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        check_images(x, "Wide ResNet", self.in_channels)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (B, C, H, W) -> (B, 64, H/4, W/4)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # -> (B, 2048, H/32, W/32)
        return self.fc(self.avgpool(x).flatten(1))
