"""How far a Vision Transformer looks (Dosovitskiy et al. 2020, section 4.5; notes 004, "Attention distance").

A patch q looks at the patches k with weights A(q, k) that sum to 1. Each weight counts the way it bridges,

    distance of q = sum over k of A(q, k) dist(q, k),

dist in pixels from centre to centre: half the attention on a patch 20 pixels away counts 10. The mean over
all queries and images is one number for each head, what the size of its receptive field is for a filter. In
the first layers some heads look across the whole image, and others no further than the next patches.

The class token stands nowhere in the image. It is left out, as a query and as a key: the weights that go to
it bridge no distance, and the others are not scaled up.
"""

# B images, h heads, T tokens, N patches, P side of a patch

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from didact.errors import UsageError
from didact.see.undisturbed import evaluating

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AT_ONCE = 16  # images, so that the weights of one layer fit in memory


@dataclass(frozen=True)
class AttentionDistance:
    """The mean distance of every head.

    Attributes:
        heads: By layer, first to last, a number of pixels for each of its heads.
        even: What a head would have that looks at all tokens alike.
        images: How many images the mean is over.
    """

    heads: Mapping[str, tuple[float, ...]]
    even: float
    images: int

    def range(self, layer: str) -> tuple[float, float]:
        """The head of a layer that looks least far, and the one that looks farthest."""
        return min(self.heads[layer]), max(self.heads[layer])

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        layers = {
            layer: {"heads": list(heads), "least": min(heads), "most": max(heads)}
            for layer, heads in self.heads.items()
        }
        return {"layers": layers, "even": self.even, "images": self.images}

    def plot(self) -> "Figure":
        """A dot for every head over the layers."""
        from didact.draw.depth import draw_heads

        return draw_heads(
            self.heads, "mean attention distance, pixels", self.even, "a head that looks everywhere alike"
        )

    def __str__(self) -> str:
        wide = max(map(len, self.heads))
        lines = [f"{'layer':<{wide}}  {'least':>7}  {'mean':>7}  {'most':>7}  pixels"]
        for layer, heads in self.heads.items():
            least, most = self.range(layer)
            lines.append(f"{layer:<{wide}}  {least:7.1f}  {sum(heads) / len(heads):7.1f}  {most:7.1f}")
        return "\n".join([*lines, f"a head that looks everywhere alike: {self.even:.1f} pixels"])


def attention_distance(model: nn.Module, images: Tensor, patch_size: int = 0) -> AttentionDistance:
    """Show a Vision Transformer images, in evaluation mode, and measure how far its heads look.

    Args:
        model: Any module whose attention can be written out: parts with an attribute ``written_out`` whose
            weights (B, h, T, T) then leave their submodule ``attend``, as in ``didact.build("vit-ti-16")``.
        images: (B, C, H, W), prepared as for training; the paper takes 128.
        patch_size: P, pixels a side; 0 asks the model's own attribute ``patch_size``.

    Raises:
        UsageError: No such attention, no images, patches of unknown size, fewer tokens than patches.
    """
    attentions = {name: module for name, module in model.named_modules() if _can_be_written_out(module)}
    if not attentions:
        raise UsageError(f"{type(model).__name__}: has no attention to write out, build a vit")
    if images.dim() != 4 or not len(images):
        raise UsageError(f"images of shape {tuple(images.shape)}: give (images, channels, height, width)")
    distances = patch_distances(*_grid(model, images, patch_size)).to(images.device)
    sums: dict[str, Tensor] = {}
    before = {name: module.written_out for name, module in attentions.items()}
    hooks = [
        module.get_submodule("attend").register_forward_hook(partial(_add, sums, name, distances))
        for name, module in attentions.items()
    ]
    try:
        _set_written_out(attentions, dict.fromkeys(attentions, True))
        with evaluating(model):
            for chunk in images.split(AT_ONCE):
                model(chunk)
    finally:
        _set_written_out(attentions, before)
        for hook in hooks:
            hook.remove()
    queries, tokens = len(images) * len(distances), int(sums.pop("tokens"))
    heads = {name: tuple((sums[name] / queries).tolist()) for name in attentions if name in sums}
    return AttentionDistance(heads, (distances.sum(1).mean() / tokens).item(), len(images))


def patch_distances(height: int, width: int, patch_size: int) -> Tensor:
    """Pixels between the centres of all patches of a grid, row by row (N, N).

    Example:
        >>> patch_distances(1, 3, 16)[0].tolist()
        [0.0, 16.0, 32.0]
    """
    places = torch.cartesian_prod(torch.arange(height), torch.arange(width)) * float(patch_size)  # (N, 2)
    return torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")


def mean_distance(weights: Tensor, distances: Tensor) -> Tensor:
    """Sum over keys of weight times distance: (..., N, N) weights to (..., N) pixels.

    Example:
        >>> mean_distance(torch.tensor([0.5]), torch.tensor([20.0])).item()
        10.0
    """
    return (weights * distances).sum(-1)


def _can_be_written_out(module: nn.Module) -> bool:
    return hasattr(module, "written_out") and isinstance(getattr(module, "attend", None), nn.Module)


def _set_written_out(attentions: Mapping[str, Any], values: Mapping[str, bool]) -> None:
    for name, module in attentions.items():
        module.written_out = values[name]


def _grid(model: nn.Module, images: Tensor, patch_size: int) -> tuple[int, int, int]:
    """Rows and columns of patches, and their side."""
    patch = patch_size or getattr(model, "patch_size", 0)
    if not isinstance(patch, int) or patch < 1:
        raise UsageError(f"patch_size={patch_size}: the model does not say its own, give it")
    height, width = images.shape[2:]
    return height // patch, width // patch, patch


def _add(
    sums: dict[str, Tensor], name: str, distances: Tensor, module: nn.Module, inputs: Any, weights: Tensor
) -> None:
    """Add up the distances of all queries and images, head by head; patches are the last tokens."""
    tokens, patches = weights.shape[-1], len(distances)
    if tokens < patches:
        raise UsageError(
            f"patch_size gives {patches} patches: the model has {tokens} tokens, give its own size"
        )
    among_patches = weights[..., tokens - patches :, tokens - patches :].float()  # (B, h, N, N)
    found = mean_distance(among_patches, distances).sum(-1).sum(0)  # (h,)
    sums[name] = sums[name] + found if name in sums else found
    sums["tokens"] = torch.tensor(tokens)
