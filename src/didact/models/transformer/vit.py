"""Vision Transformer (Dosovitskiy et al., 2020).

https://arxiv.org/abs/2010.11929

An image is cut into patches, and each is read like a word: its numbers are mapped linearly to D others, plus
a learned vector that says where it was. A Transformer encoder then lets every patch look at every other.
Little is built in: that pixels have neighbours, that a thing may stand anywhere must be learned. So on little
data a convolutional network does better, and on hundreds of millions of images this one does.

    image (B, C, S, S) --patches--> (B, N, C P P) --linear--> (B, N, D) --class token, positions--> z
    z (B, N + 1, D) --[ z + MSA(LN z) --> z + MLP(LN z) ] L times--> LN --> z_0 (B, D) --head--> (B, K)

    size    D      L    heads   MLP        N = (S / P)^2, 196 patches for S = 224 and P = 16
    Ti      192    12   3       768        attention has (N + 1)^2 weights in each head: half the P, four
    S       384    12   6       1536       times the patches, sixteen times the weights
    B       768    12   12      3072
    L       1024   24   16      4096

Differs from the paper: the head starts at small random numbers and not at 0, so that all layers learn from
the first step; Ti and S are from DeiT (Touvron et al., 2020); no dropout unless asked for. The names are
torchvision's.
See also: models/cnn/resnet.py, with what is built in; ``didact train vit-ti-16``.
"""

# B batch, C input channels, S side of the image, P side of a patch, N patches, T = N + 1 tokens,
# D width, h heads, d = D / h width of a head, L layers, K classes

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.errors import UsageError, suggest
from didact.nn.arguments import check_arguments
from didact.nn.images import check_images

HEADS = ("linear", "mlp")


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images into patches, row by row; each becomes one vector of P P C numbers, channel by channel.

    Input: (B, C, H, W). Output: (B, H W / P^2, C P P).

    Example:
        >>> patchify(torch.zeros(1, 3, 224, 224), 16).shape
        torch.Size([1, 196, 768])
    """
    count, channels, height, width = images.shape
    grid = images.reshape(count, channels, height // patch, patch, width // patch, patch)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(count, -1, channels * patch * patch)


def unpatchify(patches: Tensor, patch: int, channels: int) -> Tensor:
    """Put the patches of square images together again: the inverse of ``patchify``.

    Example:
        >>> unpatchify(torch.zeros(1, 196, 768), patch=16, channels=3).shape
        torch.Size([1, 3, 224, 224])
    """
    count, side = len(patches), math.isqrt(patches.shape[1])
    grid = patches.reshape(count, side, side, channels, patch, patch)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(count, channels, side * patch, side * patch)


class SelfAttention(nn.Module):
    """Multi-head self-attention: softmax(Q K^T / sqrt(d)) V in each head, the heads side by side, times W_O.

    One matrix holds W_Q, W_K and W_V, as in torch.nn.MultiheadAttention, whose names these are.

    Attributes:
        written_out: False for torch's fused kernel, True for the equation step by step: the same numbers, and
            the attention weights (B, h, T, T) leave the submodule ``attend``, where a hook sees them.

    Example:
        >>> SelfAttention(dim=8, num_heads=2)(torch.zeros(1, 5, 8)).shape
        torch.Size([1, 5, 8])
    """

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.written_out = False
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.attend = nn.Softmax(dim=-1)
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Let every token look at every token: (B, T, D) -> (B, T, D)."""
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)  # (B, T, 3 D)
        q, k, v = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)  # 3 times (B, h, T, d)
        if self.written_out:
            weights = self.attend(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]))  # (B, h, T, T)
            out = weights @ v
        else:
            out = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(out.transpose(1, 2).flatten(2))  # (B, h, T, d) -> (B, T, D)


class EncoderBlock(nn.Module):
    """z' = z + MSA(LN(z)); z'' = z' + MLP(LN(z')), the MLP with one hidden layer of 4 D and GELU.

    Example:
        >>> EncoderBlock(dim=8, num_heads=2, dropout=0.0)(torch.zeros(1, 5, 8)).shape
        torch.Size([1, 5, 8])
    """

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim, eps=1e-6)
        self.self_attention = SelfAttention(dim, num_heads)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(
            *(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout)),
            *(nn.Linear(4 * dim, dim), nn.Dropout(dropout)),
        )
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, z: Tensor) -> Tensor:
        """Look around, then think, each added to what was there."""
        z = z + self.dropout(self.self_attention(self.ln_1(z)))
        return z + self.mlp(self.ln_2(z))


class Encoder(nn.Module):
    """Positions, L blocks, a last norm.

    Example:
        >>> Encoder(tokens=5, dim=8, depth=2, num_heads=2, dropout=0.0)(torch.zeros(1, 5, 8)).shape
        torch.Size([1, 5, 8])
    """

    def __init__(self, tokens: int, dim: int, depth: int, num_heads: int, dropout: float):
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.empty(1, tokens, dim).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            OrderedDict((f"encoder_layer_{i}", EncoderBlock(dim, num_heads, dropout)) for i in range(depth))
        )
        self.ln = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, z: Tensor) -> Tensor:
        """Tokens (B, T, D) to tokens (B, T, D) that know of each other."""
        return self.ln(self.layers(self.dropout(z + self.pos_embedding)))


class ViT(nn.Module):
    """Patches as words, a class token in front that gathers what the head reads.

    z_0 = [x_class; x_1 E; ...; x_N E] + E_pos, then L encoder blocks, y = head(LN(z_L)) of the first token.

    Args:
        image_size: S, pixels a side; a network reads one size, since each position has its own vector.
        patch_size: P, pixels a side of a patch; it must divide S.
        dim: D, numbers in a token.
        depth: L, encoder blocks.
        num_heads: h, heads of the attention; it must divide D.
        in_channels: C, 1 for grey images, 3 for colour.
        num_classes: K.
        dropout: Probability of dropping a number of a token, of a branch or in the MLP, 0 <= dropout < 1.
        head: ``linear``, or ``mlp`` with one hidden layer of D tanh units, which the paper pre-trains with.

    Input: images (B, C, S, S). Output: logits (B, K). Parameters with P = 16 and 32: 5,717,416 and
    6,131,560 (Ti), 22,050,664 and 22,878,952 (S), 86,567,656 and 88,224,232 (B), 304,326,632 and
    306,535,400 (L).

    Example:
        >>> model = ViT(image_size=32, patch_size=4, dim=64, depth=2, num_heads=4, num_classes=10)
        >>> model(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        in_channels: int = 3,
        num_classes: int = 1000,
        dropout: float = 0.0,
        head: str = "linear",
    ):
        super().__init__()
        check_arguments(image_size=image_size, patch_size=patch_size, dim=dim, depth=depth)
        check_arguments(
            num_heads=num_heads, in_channels=in_channels, num_classes=num_classes, dropout=dropout
        )
        _check_fit(image_size, patch_size, dim, num_heads)
        if head not in HEADS:
            raise UsageError(f"head={head!r}: unknown, {suggest(head, HEADS)}")
        self.image_size = image_size
        self.patch_size = patch_size
        self.dim = dim
        self.depth = depth
        self.num_heads = num_heads
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.dropout = dropout
        self.head = head

        patches = (image_size // patch_size) ** 2
        self.conv_proj = nn.Conv2d(in_channels, dim, patch_size, stride=patch_size)  # E: each patch, linearly
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.encoder = Encoder(patches + 1, dim, depth, num_heads, dropout)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if head == "mlp":
            layers["pre_logits"] = nn.Linear(dim, dim)
            layers["act"] = nn.Tanh()
        layers["head"] = nn.Linear(dim, num_classes)
        self.heads = nn.Sequential(layers)
        nn.init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / (in_channels * patch_size**2)))
        for linear in (layer for layer in layers.values() if isinstance(layer, nn.Linear)):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
        if self.conv_proj.bias is not None:
            nn.init.zeros_(self.conv_proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Read images, score the classes."""
        self._check(x)
        z = self.conv_proj(x).flatten(2).transpose(1, 2)  # (B, C, S, S) -> (B, D, S/P, S/P) -> (B, N, D)
        z = torch.cat([self.class_token.expand(len(z), -1, -1), z], dim=1)  # -> (B, N + 1, D)
        return self.heads(self.encoder(z)[:, 0])  # the class token -> (B, K)

    def _check(self, x: Tensor) -> None:
        check_images(x, "ViT", self.in_channels)
        height, width = x.shape[2:]
        if (height, width) != (self.image_size, self.image_size):
            raise UsageError(
                f"images of {height}x{width}: this ViT was built with image_size={self.image_size}, "
                "resize them, or build it for their size"
            )


def _check_fit(image_size: int, patch_size: int, dim: int, num_heads: int) -> None:
    if image_size % patch_size:
        fitting = next(p for p in range(min(patch_size, image_size), 0, -1) if image_size % p == 0)
        raise UsageError(
            f"patch_size={patch_size}: must divide the {image_size} pixels of image_size, try {fitting}"
        )
    if dim % num_heads:
        below, above = dim - dim % num_heads, dim + num_heads - dim % num_heads
        raise UsageError(
            f"dim={dim}: must be divisible by num_heads={num_heads}, try {below or above} or {above}"
        )
