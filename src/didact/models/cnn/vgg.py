"""VGG (Simonyan and Zisserman, 2014).

https://arxiv.org/abs/1409.1556

Nothing but 3x3: two in a row see 5x5 pixels, three see 7x7, with fewer weights than one large filter and a
ReLU more in between. Five stages; each halves the side and, up to 512, doubles the channels, so a layer costs
about the same everywhere. Depth alone took the error from 10.4 % (11 layers) to 8.0 % (19). The early maps
hold most of the memory, the first linear layer three quarters of the weights.

    image    stage 1   stage 2    stage 3   stage 4   stage 5   pool  fc     fc     head
    3@224 -> 64@224 -> 128@112 -> 256@56 -> 512@28 -> 512@14 -> @7 -> 4096 -> 4096 -> 1000
             1 1 2 2   1 2 2 2    2 2 3 4   2 2 3 4   2 2 3 4         convolutions in VGG-11, 13, 16, 19

Differs from the paper: images of another size are pooled to 7x7 before the linear layers; weights start from
He et al. (2015), where the paper first trained a net of 11 layers to start the others; batch normalisation
(2015), if wanted, comes after each convolution. Names and numbers are torchvision's.
See also: models/cnn/resnet.py, which goes deeper; ``didact train vgg11-bn``.
"""

# B batch, C input channels, H W height and width, K classes; n@s is n maps of s x s

from itertools import pairwise

from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.arguments import check_arguments
from didact.nn.images import check_images
from didact.nn.initialise import he_normal
from didact.nn.width import scale_channels

SIZES = {  # depth: convolutions in each of the five stages
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
CHANNELS = (64, 128, 256, 512, 512)
LAST = 7  # side of the maps that the linear layers read


class VGG(nn.Module):
    """Five stages of 3x3 convolutions and a pooling, three linear layers.

    Args:
        depth: Layers with weights: 11, 13, 16 or 19.
        batch_norm: Normalise after each convolution.
        in_channels: C, 3 for colour.
        num_classes: K.
        dropout: Probability of dropping a number after each hidden linear layer, 0 <= dropout < 1.
        width: Multiplies the channels of each layer; 0.25 suits two cores.

    Input: images (B, C, H, W), H and W 32 or more, 224 in the paper. Output: logits (B, K).
    Parameters: 132,863,336 / 133,047,848 / 138,357,544 / 143,667,240 by depth, without normalisation.

    Example:
        >>> import torch
        >>> VGG(depth=11, num_classes=10, width=0.1)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        depth: int = 16,
        batch_norm: bool = False,
        in_channels: int = 3,
        num_classes: int = 1000,
        dropout: float = 0.5,
        width: float = 1.0,
    ):
        super().__init__()
        if depth not in SIZES:
            raise UsageError(f"depth={depth}: choose from {', '.join(map(str, SIZES))}")
        check_arguments(in_channels=in_channels, num_classes=num_classes, dropout=dropout, width=width)
        self.depth = depth
        self.batch_norm = batch_norm
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.dropout = dropout
        self.width = width
        widths = [in_channels, *(scale_channels(n, width) for n in CHANNELS)]
        layers: list[nn.Module] = []
        for (before, after), count in zip(pairwise(widths), SIZES[depth], strict=True):
            layers += stage(before, after, count, batch_norm)
        self.features = nn.Sequential(*layers)  # (B, C, 224, 224) -> (B, n, 7, 7)
        self.avgpool = nn.AdaptiveAvgPool2d(LAST)
        hidden = scale_channels(4096, width)
        self.classifier = nn.Sequential(
            *(nn.Linear(widths[-1] * LAST * LAST, hidden), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout)),
            nn.Linear(hidden, num_classes),
        )
        he_normal(self)
        _start_small(self.classifier)

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        check_images(x, "VGG", self.in_channels, least=32)
        x = self.avgpool(self.features(x))  # (B, C, H, W) -> (B, n, 7, 7)
        return self.classifier(x.flatten(1))


def stage(before: int, after: int, count: int, batch_norm: bool) -> list[nn.Module]:
    """Some 3x3 convolutions that keep the side, each with its ReLU, and a pooling that halves it."""
    layers: list[nn.Module] = []
    for n in (before, *[after] * (count - 1)):
        layers.append(nn.Conv2d(n, after, 3, padding=1))
        layers += [nn.BatchNorm2d(after)] if batch_norm else []
        layers.append(nn.ReLU())
    return [*layers, nn.MaxPool2d(2)]


def _start_small(classifier: nn.Sequential) -> None:
    """Draw linear layers from N(0, 0.01^2), biases 0."""
    for module in classifier:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
