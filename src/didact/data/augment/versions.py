"""Images beside random versions of themselves, to see what a chain of changes does before it trains."""

from collections.abc import Sequence
from typing import Any

import torch

from didact.data.augment.chain import augmentation
from didact.data.augment.colour import Scale, plain_grey
from didact.data.batches import generator_for
from didact.data.open import Data
from didact.errors import UsageError


def versions(
    data: Data, steps: Sequence[str], *, images: int = 4, copies: int = 5, seed: int = 0
) -> list[dict[str, Any]]:
    """Training images, each followed by random versions.

    Returns:
        For each picture its ``pixels``, uint8 (H, W) or (H, W, 3), and its ``label``, empty for versions.

    Raises:
        UsageError: No changes, or changes that this data cannot take.
    """
    change = augmentation(steps, data.facts, data["train"])
    if change is None:
        raise UsageError("augment='': name changes, such as flip,rotate:15")
    found = torch.arange(min(images, len(data["train"])))
    originals, _ = data["train"].take(found)
    rows = [originals, *(change(originals, generator_for(seed, 0, k)) for k in range(copies))]
    pixels = Scale.of(data.facts).as_bytes(torch.stack(rows, 1).flatten(0, 1))
    targets = data.raw["train"].targets
    labels = [str(targets[k]) if len(targets) else "image" for k in found.tolist()]
    names = [name for label in labels for name in (f"{label}, as it is", *[""] * copies)]
    return [{"pixels": plain_grey(p), "label": name} for p, name in zip(pixels, names, strict=True)]
