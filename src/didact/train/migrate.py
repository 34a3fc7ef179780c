"""Old and foreign names of weights, turned into the names that the networks of the catalogue bear.

Names change while files live on: what DenseNet called ``norm.1`` in 2017 is ``norm1`` now, timm's Vision
Transformer has other names than torchvision's, and a model saved from several GPUs has ``module.`` before
each name. A name is changed only where the network has no such name, and has the new one.
"""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

WRAPPERS = ("state_dict", "model_state_dict", "model", "model_ema")  # a training state around the weights
PREFIXES = ("module.", "_orig_mod.", "model.", "network.")  # DataParallel, torch.compile, Lightning
COUNTER = "num_batches_tracked"  # of batch normalisation; old files and frozen norms have none

BLOCK = "encoder.layers.encoder_layer_"
RENAMINGS: tuple[tuple[str, str], ...] = (
    # DenseNet before torch 0.4
    (r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.(weight|bias|running_mean|running_var)$", r"\1\2.\3"),
    # torchvision's Vision Transformer before 0.13
    (r"(mlp)\.linear_1\.(weight|bias)$", r"\1.0.\2"),
    (r"(mlp)\.linear_2\.(weight|bias)$", r"\1.3.\2"),
    # timm's Vision Transformer
    (r"^cls_token$", "class_token"),
    (r"^pos_embed$", "encoder.pos_embedding"),
    (r"^patch_embed\.proj\.(weight|bias)$", r"conv_proj.\1"),
    (r"^blocks\.(\d+)\.norm([12])\.(weight|bias)$", rf"{BLOCK}\1.ln_\2.\3"),
    (r"^blocks\.(\d+)\.attn\.qkv\.(weight|bias)$", rf"{BLOCK}\1.self_attention.in_proj_\2"),
    (r"^blocks\.(\d+)\.attn\.proj\.(weight|bias)$", rf"{BLOCK}\1.self_attention.out_proj.\2"),
    (r"^blocks\.(\d+)\.mlp\.fc1\.(weight|bias)$", rf"{BLOCK}\1.mlp.0.\2"),
    (r"^blocks\.(\d+)\.mlp\.fc2\.(weight|bias)$", rf"{BLOCK}\1.mlp.3.\2"),
    (r"^norm\.(weight|bias)$", r"encoder.ln.\1"),
    (r"^head\.(weight|bias)$", r"heads.head.\1"),
)


def unwrapped(content: object) -> dict[str, Tensor] | None:
    """The weights in what a file held: itself, or the part of a training state that holds them."""
    if not isinstance(content, Mapping):
        return None
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            return unwrapped(content[wrapper])
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    return tensors if len(tensors) == len(content) and tensors else None


def migrated(state: Mapping[str, Tensor], wanted: Iterable[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The same tensors under the names that are wanted, and which names were changed, new -> old.

    Example:
        >>> import torch
        >>> state, renamed = migrated({"module.fc.weight": torch.zeros(2, 2)}, ["fc.weight"])
        >>> renamed
        {'fc.weight': 'module.fc.weight'}
    """
    wanted, found, renamed = set(wanted), {}, {}
    for old, tensor in state.items():
        new = _new_name(old, wanted)
        if new.endswith(COUNTER) and new not in wanted:
            continue  # of a norm that is frozen here
        found[new] = tensor
        if new != old:
            renamed[new] = old
    return found, renamed


def _new_name(old: str, wanted: set[str]) -> str:
    """The first spelling that is wanted; the old one where none is."""
    bare = {old, *(old.removeprefix(prefix) for prefix in PREFIXES)}
    for name in sorted(bare, key=len, reverse=True):
        if name in wanted:
            return name
        for pattern, replacement in RENAMINGS:
            new = re.sub(pattern, replacement, name)
            if new != name and new in wanted:
                return new
    return old
