"""Convolutions that do not connect everything: grouped, depthwise, pointwise, and the two in a row.

A convolution is local in space and fully connected across channels: each map reads all channels. Cut those
connections into g groups, and each map reads C / g of them, for 1/g of the weights. With a group for each
channel (depthwise) filters look around but never mix; a 1x1 convolution (pointwise) mixes but never looks
around, and makes up for it.

                    weights of C -> K maps        looks around    mixes channels
    convolution     F^2 C K                       yes             yes
    grouped         F^2 C K / g                   yes             in its group
    depthwise       F^2 C        (K = C = g)      yes             no
    pointwise       C K                           no              yes
    separable       F^2 C + C K                   yes, then       yes

The last is 1/K + 1/F^2 of the first: an eighth to a ninth for 3x3.
See also: models/cnn/xception.py, models/cnn/mobilenet_v1.py and models/cnn/resnext.py, built of them.
"""

# B batch, C channels, H W height and width, K filters, F side of a filter, g groups, S stride

from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.activation import make_activation
from didact.nn.windows import same_padding


class DepthwiseSeparable(nn.Module):
    """A filter for each channel, then 1x1 filters that mix the channels.

    As it is, the pair of Xception; with ``norm=True`` and an activation, the pair of MobileNet, where both
    follow each of the two convolutions.

    Args:
        in_channels: C, channels read, and depthwise filters.
        out_channels: K, pointwise filters.
        kernel: F, odd.
        stride: S, of the depthwise filters.
        norm: Batch normalisation after each convolution, which then needs no bias.
        activation: A name of ``didact.nn.activation``, after each convolution.

    Input: (B, C, H, W). Output: (B, K, H / S, W / S), rounded up. Parameters: F^2 C + C K weights; a bias for
    each of the C + K filters, or 2 (C + K) of the normalisation.

    Example:
        >>> import torch
        >>> layer = DepthwiseSeparable(32, 64, stride=2)
        >>> layer(torch.zeros(1, 32, 9, 9)).shape
        torch.Size([1, 64, 5, 5])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        norm: bool = False,
        activation: str = "identity",
    ):
        super().__init__()
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels), ("stride", stride)):
            if value < 1:
                raise UsageError(f"{name}={value}: must be 1 or more, try 1")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel = kernel
        self.stride = stride
        self.norm = norm
        self.activation = activation
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, kernel, stride, same_padding(kernel), groups=in_channels, bias=not norm
        )
        self.norm1 = nn.BatchNorm2d(in_channels) if norm else nn.Identity()
        self.act1 = make_activation(activation)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=not norm)
        self.norm2 = nn.BatchNorm2d(out_channels) if norm else nn.Identity()
        self.act2 = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Look around in each map, then mix the maps."""
        x = self.act1(self.norm1(self.depthwise(x)))  # (B, C, H, W) -> (B, C, H / S, W / S)
        return self.act2(self.norm2(self.pointwise(x)))  # -> (B, K, H / S, W / S)


def ungrouped(weight: Tensor, groups: int) -> Tensor:
    """The filters of a grouped convolution as those of an ordinary one: zeros where a filter does not read.

    Seen as a matrix of filters by channels it is block-diagonal, a block for each group.

    Args:
        weight: (K, C / g, F, F), or with one axis less.
        groups: g.

    Returns:
        (K, C, F, F).

    Example:
        >>> import torch
        >>> ungrouped(torch.tensor([[[1], [2]], [[3], [4]]]), groups=2)[:, :, 0]
        tensor([[1, 2, 0, 0],
                [0, 0, 3, 4]])
    """
    if groups < 1 or len(weight) % groups:
        raise UsageError(f"groups={groups}: must divide {len(weight)} filters, try 1")
    read, made = weight.shape[1], len(weight) // groups
    full = weight.new_zeros(len(weight), read * groups, *weight.shape[2:])
    for group, block in enumerate(weight.chunk(groups)):
        full[group * made : (group + 1) * made, group * read : (group + 1) * read] = block
    return full
