"""LeNet-5 (LeCun, Bottou, Bengio and Haffner, 1998).

https://doi.org/10.1109/5.726791

The same small filter is slid over the whole image, so a stroke is found wherever it is and one filter costs
26 numbers instead of a weight for every pixel. Convolution and pooling alternate: the maps get smaller, their
number grows, until 120 numbers describe the whole digit and two ordinary layers tell which one it is.

    image   conv1 5x5    pool1 2x2    conv2 5x5     pool2 2x2   conv3 5x5   flatten   fc    head
    1@32 -> 6@28 ------> 6@14 ------> 16@10 ------> 16@5 -----> 120@1 ----> 120 ----> 84 -> 10
            156          -            2,416         -           48,120                10,164  850 = 61,706

Differs from the paper: every map of conv2 sees all 6 maps (in the paper 15 of the 16 see fewer, which makes
60,000 parameters); pooling is a plain mean, without a trained scale and bias, and is not squashed; tanh is
not stretched to 1.7159 tanh(2x/3); the output is linear for softmax, not the distance to drawn digits (RBF).
See also: models/linear/mlp.py, which loses the layout of the image; ``didact train lenet5``.
"""

# B batch, C input channels, K classes; n@s is n maps of s x s

from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.activation import make_activation

SIDE = 32  # the only image size whose third convolution leaves 1x1


class LeNet5(nn.Module):
    """Two rounds of convolution and pooling, a convolution that covers what is left, two linear layers.

    A valid convolution takes s to s - 5 + 1, a pooling takes s to s / 2: 32, 28, 14, 10, 5, 1.

    Args:
        in_channels: C, 1 for grey images, 3 for colour.
        num_classes: K.
        activation: A name of ``didact.nn.activation``; the notes have tanh or sigmoid, relu trains faster.

    Input: images (B, C, 32, 32). Output: logits (B, K). Parameters: 61,706 for one channel and ten classes.

    Example:
        >>> import torch
        >>> LeNet5()(torch.zeros(2, 1, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, in_channels: int = 1, num_classes: int = 10, activation: str = "tanh"):
        super().__init__()
        for name, value, example in (("in_channels", in_channels, 1), ("num_classes", num_classes, 10)):
            if value < 1:
                raise UsageError(f"{name}={value}: must be 1 or more, try {example}")
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.activation = activation
        self.conv1 = nn.Conv2d(in_channels, 6, kernel_size=5)
        self.act1 = make_activation(activation)
        self.pool1 = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.act2 = make_activation(activation)
        self.pool2 = nn.AvgPool2d(2)
        self.conv3 = nn.Conv2d(16, 120, kernel_size=5)
        self.act3 = make_activation(activation)
        self.fc = nn.Linear(120, 84)
        self.act4 = make_activation(activation)
        self.head = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        self._check(x)
        x = self.pool1(self.act1(self.conv1(x)))  # (B, C, 32, 32) -> (B, 6, 14, 14)
        x = self.pool2(self.act2(self.conv2(x)))  # -> (B, 16, 5, 5)
        x = self.act3(self.conv3(x)).flatten(1)  # -> (B, 120, 1, 1) -> (B, 120)
        x = self.act4(self.fc(x))  # -> (B, 84)
        return self.head(x)

    def _check(self, x: Tensor) -> None:
        if x.dim() != 4:
            raise UsageError(f"input of shape {tuple(x.shape)}: LeNet-5 reads (batch, channels, 32, 32)")
        channels, height, width = x.shape[1:]
        if (height, width) != (SIDE, SIDE):
            raise UsageError(
                f"images of {height}x{width}: LeNet-5 reads {SIDE}x{SIDE}, resize them with image_size={SIDE}"
            )
        if channels != self.in_channels:
            raise UsageError(
                f"images with {channels} channels: this LeNet-5 was built with "
                f"in_channels={self.in_channels}, build it with in_channels={channels}"
            )
