"""Connected layers read as convolutions, so that a classifier slides over images larger than it was made for.

A linear layer on maps (C, H, W) is a convolution whose filter covers them whole and so has a single position.
On larger maps it has more: each gives the answer for another part of the image, at the cost of one pass, for
neighbours share their maps. A linear layer after it reads one position, it is a 1x1 convolution.

    5x5 maps --flatten, linear--> 10 scores      7x9 maps --5x5 convolution--> 10 scores at 3x5 places

Where the layers before are convolutions without padding, each score equals the network's own on that part,
cut out. With padding it need not: the cut-out has a border of zeros that the same pixels do not have within
the larger image. An adaptive pooling before the head hides the size from it, and has to go.
See also: nn/convolution.py; notes 001, section X.8.
"""

# B batch, C channels, H W height and width, K outputs

from copy import deepcopy

import torch
from torch import Size, nn

from didact.errors import UsageError


def linear_to_convolution(linear: nn.Linear, shape: tuple[int, int, int]) -> nn.Conv2d:
    """A linear layer on flattened maps as a convolution with the same weights, copied.

    Args:
        linear: Reads C x H x W numbers, channel by channel.
        shape: (C, H, W) of the maps before they were flattened; (C, 1, 1) for a vector.

    Returns:
        A convolution from (B, C, H, W) to (B, K, 1, 1), and from larger maps to more positions.

    Example:
        >>> linear_to_convolution(nn.Linear(400, 120), (16, 5, 5))
        Conv2d(16, 120, kernel_size=(5, 5), stride=(1, 1))

    Raises:
        UsageError: The maps have not as many numbers as the layer reads.
    """
    if Size(shape).numel() != linear.in_features:
        raise UsageError(
            f"shape={shape}: has {Size(shape).numel()} numbers, the linear layer reads {linear.in_features}"
        )
    channels, height, width = shape
    weight = linear.weight
    layer = nn.Conv2d(channels, linear.out_features, (height, width), bias=linear.bias is not None)
    layer = layer.to(weight.device, weight.dtype).train(linear.training)
    with torch.no_grad():
        layer.weight.copy_(weight.view(-1, channels, height, width))
        if layer.bias is not None:
            layer.bias.copy_(linear.bias)
    return layer


def fully_convolutional(head: nn.Sequential, shape: tuple[int, int, int]) -> nn.Sequential:
    """The head of a classifier as convolutions, with copied weights: the same answer, and more on more.

    Args:
        head: Flatten, linear layers, activations and dropout, nothing else.
        shape: (C, H, W) of the maps that it reads.

    Returns:
        A module from (B, C, H, W) to scores (B, K, 1, 1), and from larger maps to a map of scores.

    Example:
        >>> head = nn.Sequential(nn.Flatten(), nn.Linear(400, 84), nn.Tanh(), nn.Linear(84, 10))
        >>> fully_convolutional(head, (16, 5, 5))(torch.zeros(1, 16, 7, 9)).shape
        torch.Size([1, 10, 3, 5])

    Raises:
        UsageError: A layer for which a map is not a batch of vectors.
    """
    layers: list[nn.Module] = []
    for layer in head:
        if isinstance(layer, nn.Linear):
            layers.append(linear_to_convolution(layer, shape))
            shape = (layer.out_features, 1, 1)
        elif _is_elementwise(layer):
            layers.append(deepcopy(layer))
        elif not isinstance(layer, nn.Flatten):
            raise UsageError(
                f"layer {type(layer).__name__}: not known to act on each number alone, "
                "give a head of Flatten, Linear, Dropout and activations"
            )
    return nn.Sequential(*layers).train(head.training)


def _is_elementwise(layer: nn.Module) -> bool:
    """Activations and dropout of torch.nn, but for those that look along an axis."""
    along = (nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin, nn.GLU, nn.MultiheadAttention)
    known = type(layer).__module__ == "torch.nn.modules.activation" and not isinstance(layer, along)
    return known or isinstance(layer, nn.Dropout | nn.Identity)
