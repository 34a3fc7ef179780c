"""DenseNet (Huang, Liu, van der Maaten and Weinberger, 2016).

https://arxiv.org/abs/1608.06993

A residual network adds what a block found to what was there, and so mixes the two. A dense block keeps both:
each layer reads the maps of all layers before it, side by side, and gives only a few of its own, the growth
rate g. Nothing has to be found twice, so layers can be thin, and the gradient reaches each one directly.

    dense layer    C maps --bn--relu--1x1--> 4g --bn--relu--3x3--> g        then C + g maps go on
    transition     C maps --bn--relu--1x1--> C / 2 --mean of 2x2--> half the size

    depth 121, g = 32
    image     stem, pool   6 layers  trans.    12 layers  trans.    24 layers  trans.   16 layers  mean, fc
    3@224 --> 64@56 -----> 256@56 -> 128@28 -> 512@28 --> 256@14 -> 1024@14 -> 512@7 -> 1024@7 --> classes

Differs from the paper: nothing in its "DenseNet-BC" for ImageNet; ``stem="cifar"`` goes with the same four
blocks, not with the paper's three for CIFAR. Names are torchvision's.
See also: models/cnn/resnet.py, which adds; ``didact train densenet121``.
"""

# B batch, C maps of the input, g growth rate, K classes; n@s is n maps of s x s

from collections import OrderedDict

import torch
from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.arguments import check_arguments
from didact.nn.images import check_images
from didact.nn.initialise import he_normal
from didact.nn.stem import make_stem

SIZES = {  # depth: layers of each block
    121: (6, 12, 24, 16),
    161: (6, 12, 36, 24),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    21: (2, 2, 2, 2),  # not in the paper
}


class DenseLayer(nn.Module):
    """g new maps from all that there are: conv2 relu norm2 conv1 relu norm1 x.

    The 1x1 convolution first mixes the many maps into 4 g, so that the 3x3 stays cheap.

    Example:
        >>> DenseLayer(inputs=20, growth=4, dropout=0.0)(torch.zeros(1, 20, 6, 6)).shape
        torch.Size([1, 4, 6, 6])
    """

    def __init__(self, inputs: int, growth: int, dropout: float):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, 4 * growth, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(4 * growth, growth, kernel_size=3, padding=1, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """The new maps alone."""
        x = self.conv1(self.relu1(self.norm1(x)))
        return self.drop(self.conv2(self.relu2(self.norm2(x))))


class DenseBlock(nn.Sequential):
    """Layers that each read everything before them: x, then [x, f1(x)], then [x, f1, f2(...)] and on.

    Example:
        >>> DenseBlock(count=3, inputs=8, growth=4, dropout=0.0)(torch.zeros(1, 8, 6, 6)).shape
        torch.Size([1, 20, 6, 6])
    """

    def __init__(self, count: int, inputs: int, growth: int, dropout: float):
        super().__init__(
            OrderedDict(
                (f"denselayer{i + 1}", DenseLayer(inputs + i * growth, growth, dropout)) for i in range(count)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Append the maps of each layer: (B, C, H, W) -> (B, C + count g, H, W)."""
        for layer in self:
            x = torch.cat([x, layer(x)], dim=1)
        return x


class Transition(nn.Sequential):
    """Half the maps, half the size.

    Example:
        >>> Transition(20)(torch.zeros(1, 20, 6, 6)).shape
        torch.Size([1, 10, 3, 3])
    """

    def __init__(self, inputs: int):
        super().__init__(
            OrderedDict(
                norm=nn.BatchNorm2d(inputs),
                relu=nn.ReLU(),
                conv=nn.Conv2d(inputs, inputs // 2, kernel_size=1, bias=False),
                pool=nn.AvgPool2d(2),
            )
        )


class DenseNet(nn.Module):
    """A stem of 2 g maps, four dense blocks, transitions in between, the mean of each map, a linear layer.

    Args:
        depth: Layers with weights: 121, 161, 169 or 201; 21 for trials.
        growth: g, maps that each layer adds; 48 for 161, 32 for the others in the paper, 8 suits two cores.
        in_channels: C, 1 for grey images, 3 for colour.
        num_classes: K.
        dropout: Probability of dropping a number of a layer's new maps, 0 <= dropout < 1.
        stem: ``imagenet`` (7x7 and pooling, to a quarter of the size) or ``cifar`` (3x3, for small images).

    Input: images (B, C, H, W) of 29 pixels a side or more, 8 with the cifar stem. Output: logits (B, K).
    Parameters: 7,978,856 (121), 28,681,000 (161), 14,149,480 (169), 20,013,928 (201).

    Example:
        >>> DenseNet(growth=4, num_classes=10, stem="cifar")(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        depth: int = 121,
        growth: int = 32,
        in_channels: int = 3,
        num_classes: int = 1000,
        dropout: float = 0.0,
        stem: str = "imagenet",
    ):
        super().__init__()
        if depth not in SIZES:
            raise UsageError(f"depth={depth}: choose from {', '.join(map(str, SIZES))}")
        check_arguments(growth=growth, in_channels=in_channels, num_classes=num_classes, dropout=dropout)
        self.depth = depth
        self.growth = growth
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.dropout = dropout
        self.stem = stem

        maps = 2 * growth
        conv, pool = make_stem(stem, in_channels, maps)
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=conv, norm0=nn.BatchNorm2d(maps), relu0=nn.ReLU(), pool0=pool
        )
        for k, count in enumerate(SIZES[depth], start=1):
            layers[f"denseblock{k}"] = DenseBlock(count, maps, growth, dropout)
            maps += count * growth
            if k < 4:
                layers[f"transition{k}"] = Transition(maps)
                maps //= 2
        layers["norm5"] = nn.BatchNorm2d(maps)
        layers["relu5"] = nn.ReLU()
        self.features = nn.Sequential(layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(maps, num_classes)
        he_normal(self, mode="fan_in")
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        check_images(x, "DenseNet", self.in_channels, least=29 if self.stem == "imagenet" else 8)
        x = self.features(x)  # (B, C, H, W) -> (B, n, H/32, W/32)
        return self.classifier(self.avgpool(x).flatten(1))
