"""The two blocks of residual networks (He et al., 2015), which ResNet, Wide ResNet and ResNeXt stack.

A block learns what to add to its input, F(x) = H(x) - x, instead of the whole mapping H. To do nothing it has
to learn F = 0, which is easy, and the gradient dH/dx = dF/dx + I always has the I to flow through.

    basic        x --3x3--bn--relu--3x3--bn------------------(+)--relu-->
                 x --------------- downsample ----------------^
    bottleneck   x --1x1--bn--relu--3x3--bn--relu--1x1--bn---(+)--relu-->     the 3x3 works on fewer maps

The submodules bear torchvision's names.
"""

# B batch, C input maps, M output maps, N maps inside a bottleneck, H W height and width, s stride

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from didact.errors import UsageError, suggest

SHORTCUTS = ("projection", "zero-pad", "none")


class ZeroPad(nn.Module):
    """A shortcut without parameters (option A of the paper): leave pixels out, fill new maps with zeros.

    Input: (B, C, H, W). Output: (B, C + extra, H / s, W / s), rounded up.

    Example:
        >>> import torch
        >>> ZeroPad(extra=8, stride=2)(torch.zeros(1, 8, 6, 6)).shape
        torch.Size([1, 16, 3, 3])
    """

    def __init__(self, extra: int, stride: int):
        super().__init__()
        self.extra = extra
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Subsample and pad."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


def make_shortcut(kind: str, inputs: int, maps: int, stride: int) -> nn.Module | None:
    """The path around a block from ``inputs`` to ``maps`` maps; where nothing changes it is the identity.

    Args:
        kind: ``projection`` (1x1 convolution, option B), ``zero-pad`` (option A), ``none`` (a plain network).
        inputs: C.
        maps: M.
        stride: s.

    Raises:
        UsageError: No such shortcut.
    """
    if kind not in SHORTCUTS:
        raise UsageError(f"shortcut={kind!r}: unknown, {suggest(kind, SHORTCUTS)}")
    if kind == "none":
        return None
    if inputs == maps and stride == 1:
        return nn.Identity()
    if kind == "zero-pad":
        return ZeroPad(maps - inputs, stride)
    return nn.Sequential(
        nn.Conv2d(inputs, maps, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(maps)
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions: y = relu(F(x) + x), F = bn2 conv2 relu bn1 conv1.

    Args:
        inputs: C.
        maps: M.
        stride: s, of the first convolution and the shortcut.
        shortcut: As in ``make_shortcut``.

    Input: (B, C, H, W). Output: (B, M, H / s, W / s), rounded up.

    Example:
        >>> import torch
        >>> BasicBlock(8, 16, stride=2)(torch.zeros(1, 8, 6, 6)).shape
        torch.Size([1, 16, 3, 3])
    """

    def __init__(self, inputs: int, maps: int, stride: int = 1, shortcut: str = "projection"):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, maps, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(maps)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(maps, maps, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(maps)
        self.downsample = make_shortcut(shortcut, inputs, maps, stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch to its input; a plain block has the branch alone."""
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            out = out + self.downsample(x)
        return self.relu2(out)


class Bottleneck(nn.Module):
    """1x1 to fewer maps, 3x3 on those, 1x1 back: y = relu(F(x) + x), F three convolutions with their norms.

    From 256 maps to 64 and back the convolutions cost 69,632 weights, one 3x3 on all 256 costs 589,824.

    Args:
        inputs: C.
        maps: M.
        stride: s, of the 3x3 convolution and the shortcut.
        inner: N, maps of the 3x3 convolution.
        groups: Sets of maps that the 3x3 convolution keeps apart; each output map sees N / groups maps.
        shortcut: As in ``make_shortcut``.

    Input: (B, C, H, W). Output: (B, M, H / s, W / s), rounded up.

    Example:
        >>> import torch
        >>> Bottleneck(16, 32, stride=2, inner=8)(torch.zeros(1, 16, 6, 6)).shape
        torch.Size([1, 32, 3, 3])
    """

    def __init__(
        self,
        inputs: int,
        maps: int,
        stride: int = 1,
        *,
        inner: int,
        groups: int = 1,
        shortcut: str = "projection",
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(inner, maps, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(maps)
        self.downsample = make_shortcut(shortcut, inputs, maps, stride)
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch to its input; a plain block has the branch alone."""
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            out = out + self.downsample(x)
        return self.relu3(out)


def make_stage(
    block: Callable[[int, int, int], nn.Module], inputs: int, maps: int, count: int, stride: int
) -> nn.Sequential:
    """``count`` blocks in a row; the first changes the number of maps and their size, the rest neither."""
    return nn.Sequential(
        block(inputs, maps, stride),
        *(block(maps, maps, 1) for _ in range(count - 1)),
    )
