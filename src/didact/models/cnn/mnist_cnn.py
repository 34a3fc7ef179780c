"""The digit network of the notes (notes 004, Example 3), after LeCun, Bottou, Bengio and Haffner (1998).

https://doi.org/10.1109/5.726791

LeNet's plan in today's parts: padding keeps the size of the maps, max pooling keeps the strongest answer of
four, ReLU does not saturate. It is small enough to look at whole: 32 filters of 5x5 that can be printed, and
maps of a digit after each layer, which stay pictures of that digit up to the last pooling.

    image   conv1 5x5    pool1 2x2   conv2 5x5    pool2 2x2   flatten   head
    1@28 -> 32@28 -----> 32@14 ----> 64@14 -----> 64@7 -----> 3136 ---> classes
            832          -           51,264       -                     31,370 for ten = 83,466

Differs from the paper: it is not LeNet-5, see models/cnn/lenet.py for that. The diagram of its linear part is
lost from the notes: here one layer goes from the 3136 numbers to the classes. The notes do not print the size
of conv2's filters either; 5x5 as in conv1. They train it by gradient descent at a rate of 0.001, for which
the 1,079 digits at hand make too few updates; the recipe takes Adam at the same rate and batch size.
See also: nn/activation.py; see/filters.py and see/feature_maps.py, which show it from the inside;
``didact train mnist-cnn``; ``didact experiment filters``.
"""

# B batch, C input channels, S pixels a side, K classes; n@s is n maps of s x s

from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.activation import make_activation
from didact.nn.arguments import check_arguments
from didact.nn.images import check_images
from didact.nn.width import scale_channels

LEAST = 4  # pixels a side; fewer leave nothing after two poolings


class MnistCNN(nn.Module):
    """Two rounds of convolution, activation and pooling, and a linear layer.

    A padded convolution leaves s pixels a side as they are, a pooling takes s to s / 2: 28, 14, 7.

    Args:
        in_channels: C, 1 for grey images, 3 for colour.
        num_classes: K.
        image_size: S, pixels a side, which decide how many numbers the linear layer reads; 4 or more.
        width: Multiplies the 32 and 64 maps.
        activation: A name of ``didact.nn.activation``.
        dropout: Probability of dropping a single number before the linear layer, 0 <= dropout < 1.
        spatial_dropout: Probability of dropping a whole map after each pooling, 0 <= spatial_dropout < 1.

    Input: images (B, C, S, S). Output: logits (B, K). Parameters: 83,466 by default.

    Example:
        >>> import torch
        >>> MnistCNN()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        image_size: int = 28,
        width: float = 1.0,
        activation: str = "relu",
        dropout: float = 0.0,
        spatial_dropout: float = 0.0,
    ):
        super().__init__()
        check_arguments(in_channels=in_channels, num_classes=num_classes, width=width, dropout=dropout)
        if image_size < LEAST:
            raise UsageError(f"image_size={image_size}: must be {LEAST} or more, try 28")
        if not 0 <= spatial_dropout < 1:
            raise UsageError(f"spatial_dropout={spatial_dropout}: must be 0 or more and less than 1, try 0.2")
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.image_size = image_size
        self.width = width
        self.activation = activation
        self.dropout = dropout
        self.spatial_dropout = spatial_dropout
        first, second = scale_channels(32, width), scale_channels(64, width)
        self.conv1 = nn.Conv2d(in_channels, first, kernel_size=5, padding=2)
        self.act1 = make_activation(activation)
        self.pool1 = nn.MaxPool2d(2)
        self.drop1 = nn.Dropout2d(spatial_dropout)
        self.conv2 = nn.Conv2d(first, second, kernel_size=5, padding=2)
        self.act2 = make_activation(activation)
        self.pool2 = nn.MaxPool2d(2)
        self.drop2 = nn.Dropout2d(spatial_dropout)
        self.drop3 = nn.Dropout(dropout)
        self.head = nn.Linear(second * (image_size // 4) ** 2, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        self._check(x)
        x = self.drop1(self.pool1(self.act1(self.conv1(x))))  # (B, C, 28, 28) -> (B, 32, 14, 14)
        x = self.drop2(self.pool2(self.act2(self.conv2(x))))  # -> (B, 64, 7, 7)
        return self.head(self.drop3(x.flatten(1)))  # -> (B, 3136) -> (B, K)

    def _check(self, x: Tensor) -> None:
        check_images(x, "MnistCNN", self.in_channels)
        height, width = x.shape[2:]
        if (height, width) != (self.image_size, self.image_size):
            raise UsageError(
                f"images of {height}x{width}: this MnistCNN was built with image_size={self.image_size}, "
                "resize them, or build it for their size"
            )
