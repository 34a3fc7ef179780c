"""ResNet, and its plain twin (He, Zhang, Ren and Sun, 2015).

https://arxiv.org/abs/1512.03385

A deeper plain network should do no worse than a shallow one: its extra layers could be the identity. Yet it
trains worse, since stacked layers find the identity hard to learn. Here each block only learns what to add to
its input, so doing nothing is easy and the gradient has a way past every block. 152 layers then train as 18
did. There is no dropout, and one linear layer only.

    image     stem, pool   layer1      layer2       layer3       layer4      mean    fc
    3@224 --> 64@56 -----> 64@56 ----> 128@28 ----> 256@14 ----> 512@7 ----> 512 --> classes    18 34
                           256@56      512@28       1024@14      2048@7      2048               50 101 152

``shortcut="none"`` leaves the plain twin, to see the degradation that the paper starts from.

Differs from the paper: where a bottleneck halves the size, its 3x3 convolution does and not the 1x1 before it
(torchvision's and everyone's ResNet "1.5"); ``stem="cifar"`` goes with the four stages of the ImageNet
network, not with the paper's three thinner ones for CIFAR; ``zero_gamma`` is from Goyal et al. (2017).
See also: nn/residual.py, the blocks; models/cnn/wide_resnet.py; models/cnn/resnext.py;
``didact train resnet18``; ``didact train plain18``.
"""

# B batch, C input channels, K classes, W maps of the first stage; n@s is n maps of s x s

from functools import partial

from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.arguments import check_arguments
from didact.nn.images import check_images
from didact.nn.initialise import he_normal
from didact.nn.residual import BasicBlock, Bottleneck, make_stage
from didact.nn.stem import make_stem
from didact.nn.width import scale_channels

SIZES = {  # depth: maps out of a block for each map of its 3x3 convolution, blocks in each stage
    18: (1, (2, 2, 2, 2)),
    34: (1, (3, 4, 6, 3)),
    50: (4, (3, 4, 6, 3)),
    101: (4, (3, 4, 23, 3)),
    152: (4, (3, 8, 36, 3)),
    10: (1, (1, 1, 1, 1)),  # not in the paper: one block a stage, the smallest there is
    14: (4, (1, 1, 1, 1)),
}


class ResNet(nn.Module):
    """A stem, four stages of residual blocks, the mean of each map, a linear layer.

    Stage k has 2^(k-1) W maps, four times as many after a bottleneck, and every stage but the first halves
    the size. Depths 10, 18 and 34 have basic blocks, the others bottlenecks.

    Args:
        depth: Layers with weights, shortcuts apart: 18, 34, 50, 101 or 152; 10 or 14 for trials.
        in_channels: C, 1 for grey images, 3 for colour.
        num_classes: K.
        width: Multiplies the maps of each layer, W = 64 width; 0.25 suits two cores.
        shortcut: Where sizes differ, ``projection`` (by 1x1) or ``zero-pad``; ``none`` for a plain network.
        stem: ``imagenet`` (7x7 and pooling, to a quarter of the size) or ``cifar`` (3x3, for small images).
        zero_gamma: Start the last scale of each branch at 0, so that each block starts as the identity.

    Input: images (B, C, H, W) of any size. Output: logits (B, K). Parameters: 11,689,512 (18),
    21,797,672 (34), 25,557,032 (50), 44,549,160 (101), 60,192,808 (152).

    Example:
        >>> import torch
        >>> ResNet(depth=18, num_classes=10, width=0.25, stem="cifar")(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        depth: int = 18,
        in_channels: int = 3,
        num_classes: int = 1000,
        width: float = 1.0,
        shortcut: str = "projection",
        stem: str = "imagenet",
        zero_gamma: bool = False,
    ):
        super().__init__()
        if depth not in SIZES:
            raise UsageError(f"depth={depth}: choose from {', '.join(map(str, SIZES))}")
        check_arguments(in_channels=in_channels, num_classes=num_classes, width=width)
        if zero_gamma and shortcut == "none":
            raise UsageError("zero_gamma=True: a plain network would give nothing but 0, leave it False")
        self.depth = depth
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.width = width
        self.shortcut = shortcut
        self.stem = stem
        self.zero_gamma = zero_gamma

        growth, counts = SIZES[depth]
        first = scale_channels(64, width)

        def stage(k: int, inputs: int) -> nn.Sequential:
            maps = first * 2 ** (k - 1)
            basic = partial(BasicBlock, shortcut=shortcut)
            narrow = partial(Bottleneck, inner=maps, shortcut=shortcut)
            block = basic if growth == 1 else narrow
            return make_stage(block, inputs, growth * maps, counts[k - 1], stride=1 if k == 1 else 2)

        self.conv1, self.maxpool = make_stem(stem, in_channels, first)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.ReLU()
        self.layer1 = stage(1, first)
        self.layer2 = stage(2, growth * first)
        self.layer3 = stage(3, growth * first * 2)
        self.layer4 = stage(4, growth * first * 4)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(growth * first * 8, num_classes)
        he_normal(self)
        if zero_gamma:
            _close_branches(self)

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        check_images(x, "ResNet", self.in_channels)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (B, C, H, W) -> (B, W, H/4, W/4)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # -> (B, 8W or 32W, H/32, W/32)
        return self.fc(self.avgpool(x).flatten(1))


def _close_branches(model: nn.Module) -> None:
    """Multiply the end of every branch by 0: the network starts as its shortcuts alone."""
    for module in model.modules():
        if isinstance(module, BasicBlock):
            nn.init.zeros_(module.bn2.weight)
        elif isinstance(module, Bottleneck):
            nn.init.zeros_(module.bn3.weight)
