"""AlexNet (Krizhevsky, Sutskever and Hinton, 2012; in one column: Krizhevsky, 2014).

https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks
https://arxiv.org/abs/1404.5997

LeNet grown a thousandfold: eight layers, a million photographs, a thousand classes. What made that trainable
was ReLU, which does not saturate, dropout in the wide linear layers, which hold 94 % of the weights, and two
GPUs, each of which kept half of the filters.

           image   conv1 11x11/4  pool  conv2 5x5  pool  conv3, 4, 5 3x3   pool   fc     fc     head
    2012   3@227 -> 96@55 ------> @27 -> 256@27 -> @13 -> 384, 384, 256 -> @6 -> 4096 -> 4096 -> 1000
    2014   3@224 -> 64@55 ------> @27 -> 192@27 -> @13 -> 384, 256, 256 -> @6 -> 4096 -> 4096 -> 1000

``AlexNet`` is the network of 2014 as torchvision has it, whose weights load by name. ``AlexNet2012`` is the
first: with groups=2 the halves of 2012 (a filter of conv2, conv4 and conv5 sees its own half only), with
groups=1 the single tower that the notes count. Both pool overlapping windows, 3x3 at a stride of 2.

Differs from the paper: images of another size are pooled to 6x6 before the linear layers; 2012 reads 227x227,
for 224 leaves 54.25 positions where the paper has 55; 2014 drops before its linear layers, as torchvision
does; weights start from torch's, for the paper's N(0, 0.01^2) is made for pixels from 0 to 255 and is lost on
standardised ones. The notes normalise after the pooling, the paper before it, as here.
See also: nn/lrn.py; models/cnn/vgg.py; ``didact train alexnet``, ``didact train alexnet-two-group``.
"""

# B batch, C input channels, H W height and width, K classes; n@s is n maps of s x s

from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.arguments import check_arguments
from didact.nn.images import check_images
from didact.nn.lrn import LocalResponseNorm
from didact.nn.width import scale_channels

LAST = 6  # side of the maps that the linear layers read


class AlexNet(nn.Module):
    """Five convolutions, three linear layers: the one-column network of 2014, torchvision's ``alexnet``.

    Args:
        in_channels: C, 3 for colour.
        num_classes: K.
        dropout: Probability of dropping a number before the first two linear layers, 0 <= dropout < 1.
        width: Multiplies the channels of each layer; 0.25 suits two cores.

    Input: images (B, C, H, W), H and W 63 or more, 224 in the paper. Output: logits (B, K).
    Parameters: 61,100,840.

    Example:
        >>> import torch
        >>> AlexNet(num_classes=10, width=0.1)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self, in_channels: int = 3, num_classes: int = 1000, dropout: float = 0.5, width: float = 1.0
    ):
        super().__init__()
        check_arguments(in_channels=in_channels, num_classes=num_classes, dropout=dropout, width=width)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.dropout = dropout
        self.width = width
        n1, n2, n3, n4, n5, hidden = (scale_channels(n, width) for n in (64, 192, 384, 256, 256, 4096))
        self.features = nn.Sequential(  # (B, C, 224, 224) -> (B, n5, 6, 6)
            *(nn.Conv2d(in_channels, n1, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
            *(nn.Conv2d(n1, n2, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
            *(nn.Conv2d(n2, n3, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(n3, n4, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(n4, n5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(LAST)
        self.classifier = nn.Sequential(
            *(nn.Dropout(dropout), nn.Linear(n5 * LAST * LAST, hidden), nn.ReLU()),
            *(nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.ReLU()),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        check_images(x, "AlexNet", self.in_channels, least=63)
        x = self.avgpool(self.features(x))  # (B, C, H, W) -> (B, n5, 6, 6)
        return self.classifier(x.flatten(1))


class AlexNet2012(nn.Module):
    """The network that won ImageNet 2012, with local response normalisation, in one tower or two halves.

    Args:
        groups: 2 as on the two GPUs of the paper, 1 as the notes count it.
        in_channels: C, 3 for colour.
        num_classes: K.
        dropout: Probability of dropping a number after each hidden linear layer, 0 <= dropout < 1.
        width: Multiplies the channels of each layer; 0.25 suits two cores.

    Input: images (B, C, H, W), H and W 67 or more, 227 in the notes. Output: logits (B, K).
    Parameters: 62,378,344 in one tower, 60,965,224 in two halves.

    Example:
        >>> import torch
        >>> AlexNet2012(groups=2, num_classes=10, width=0.1)(torch.zeros(2, 3, 67, 67)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        groups: int = 1,
        in_channels: int = 3,
        num_classes: int = 1000,
        dropout: float = 0.5,
        width: float = 1.0,
    ):
        super().__init__()
        if groups not in (1, 2):
            raise UsageError(f"groups={groups}: choose 1, one tower, or 2, the halves of the paper")
        check_arguments(in_channels=in_channels, num_classes=num_classes, dropout=dropout, width=width)
        self.groups = groups
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.dropout = dropout
        self.width = width
        n1, n2, n3, n4, n5, hidden = (scale_channels(n, width) for n in (96, 256, 384, 384, 256, 4096))
        self.features = nn.Sequential(  # (B, C, 227, 227) -> (B, n5, 6, 6)
            *(nn.Conv2d(in_channels, n1, 11, stride=4), nn.ReLU()),
            *(LocalResponseNorm(), nn.MaxPool2d(3, stride=2)),
            *(nn.Conv2d(n1, n2, 5, padding=2, groups=groups), nn.ReLU()),
            *(LocalResponseNorm(), nn.MaxPool2d(3, stride=2)),
            *(nn.Conv2d(n2, n3, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(n3, n4, 3, padding=1, groups=groups), nn.ReLU()),
            *(nn.Conv2d(n4, n5, 3, padding=1, groups=groups), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(LAST)
        self.classifier = nn.Sequential(
            *(nn.Linear(n5 * LAST * LAST, hidden), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout)),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        check_images(x, "AlexNet", self.in_channels, least=67)
        x = self.avgpool(self.features(x))  # (B, C, H, W) -> (B, n5, 6, 6)
        return self.classifier(x.flatten(1))
