"""ResNeXt (Xie, Girshick, Dollar, Tu and He, 2016).

https://arxiv.org/abs/1611.05431

Inception showed that a block may split into paths, transform each and merge them, but each path was designed
by hand. ResNeXt takes 32 paths of one kind: next to depth and width their number, the cardinality, is a third
size, and at equal cost the best one to raise. A sum of equal paths is a bottleneck whose 3x3 convolution is
grouped: each output map sees only the maps of its own group.

    256 --1x1--> 128 --3x3 in 32 groups of 4--> 128 --1x1--> 256 --(+)-->     32x4d, first stage: 70,144
    256 ------------------------------------------------------------^         weights, ResNet-50: 69,632

    image   stem, pool   layer1      layer2      layer3       layer4      mean     fc
    3@224 -> 64@56 ----> 256@56 ---> 512@28 ---> 1024@14 ---> 2048@7 ---> 2048 --> classes

Differs from the paper: nothing in the network; its names and sizes are torchvision's.
See also: models/cnn/resnet.py; nn/residual.py, the block; ``didact train resnext50-32x4d``.
"""

# B batch, C input channels, K classes, G groups, d maps of a group in the first stage; n@s is n maps of s x s

from functools import partial

from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.arguments import check_arguments
from didact.nn.images import check_images
from didact.nn.initialise import he_normal
from didact.nn.residual import Bottleneck, make_stage
from didact.nn.stem import make_stem
from didact.nn.width import scale_channels

SIZES = {  # depth: blocks in each stage; 14 is not in the paper
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    14: (1, 1, 1, 1),
}


class ResNeXt(nn.Module):
    """A stem, four stages of grouped bottlenecks, the mean of each map, a linear layer.

    In stage k the 3x3 convolution has G groups of 2^(k-1) d maps, whatever ``width`` is.

    Args:
        depth: Layers with weights: 50, 101 or 152; 14 for trials.
        cardinality: G.
        group_width: d.
        in_channels: C, 1 for grey images, 3 for colour.
        num_classes: K.
        width: Multiplies the maps between the blocks; 0.25 suits two cores, with fewer groups.
        stem: ``imagenet`` (7x7 and pooling, to a quarter of the size) or ``cifar`` (3x3, for small images).

    Input: images (B, C, H, W) of any size. Output: logits (B, K).
    Parameters: 25,028,904 (50, 32x4d), 88,791,336 (101, 32x8d).

    Example:
        >>> import torch
        >>> model = ResNeXt(cardinality=4, num_classes=10, width=0.125, stem="cifar")
        >>> model(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        depth: int = 50,
        cardinality: int = 32,
        group_width: int = 4,
        in_channels: int = 3,
        num_classes: int = 1000,
        width: float = 1.0,
        stem: str = "imagenet",
    ):
        super().__init__()
        if depth not in SIZES:
            raise UsageError(f"depth={depth}: choose from {', '.join(map(str, SIZES))}")
        check_arguments(cardinality=cardinality, group_width=group_width)
        check_arguments(in_channels=in_channels, num_classes=num_classes, width=width)
        self.depth = depth
        self.cardinality = cardinality
        self.group_width = group_width
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.width = width
        self.stem = stem

        counts, first = SIZES[depth], scale_channels(64, width)

        def stage(k: int, inputs: int) -> nn.Sequential:
            inner = cardinality * group_width * 2 ** (k - 1)
            block = partial(Bottleneck, inner=inner, groups=cardinality)
            maps = 4 * first * 2 ** (k - 1)
            return make_stage(block, inputs, maps, counts[k - 1], stride=1 if k == 1 else 2)

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
        check_images(x, "ResNeXt", self.in_channels)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (B, C, H, W) -> (B, 64, H/4, W/4)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # -> (B, 2048, H/32, W/32)
        return self.fc(self.avgpool(x).flatten(1))
