"""Augmentation before training: a data set written out, larger by random versions of its training images.

Training with the recipe's ``augment`` makes new versions in every epoch and needs no room on the disk. This
is for other programs, and for changes that are slow.
"""

import csv
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from shutil import rmtree

from PIL import Image
from torch import Tensor

from didact.data.augment.chain import augmentation
from didact.data.augment.colour import Scale, plain_grey
from didact.data.batches import Augment, generator_for, ordered_batches
from didact.data.facts import Facts
from didact.data.open import Data
from didact.errors import DataError, UsageError

TOGETHER = 256  # images that are changed at once


def enlarge(data: Data, steps: Sequence[str], copies: int, folder: str | Path, *, seed: int = 0) -> Path:
    """Write each split as PNG files with a ``metadata.csv``; of a training image also so many versions.

    Validation and test images are written as they are.

    Returns:
        The folder, which ``open_data`` reads.

    Raises:
        UsageError: No changes or copies, or data that is no images with classes.
        DataError: There is something in the folder's place already.
    """
    folder, change = Path(folder), augmentation(steps, data.facts, data["train"])
    if change is None or copies < 1:
        raise UsageError(f"copies={copies}: name changes, such as flip,rotate:15, and at least 1 copy")
    if data.facts.target != "class":
        raise UsageError(f"{data.facts.name}: images with classes can be written, and this data has none")
    if folder.exists():
        raise DataError(f"{folder} is there already; choose another folder")
    unfinished = folder.with_name(f".{folder.name}.tmp")
    rmtree(unfinished, ignore_errors=True)
    for name in data.splits:
        versions = _versions(data, name, change, copies if name == "train" else 0, seed)
        _write(data.facts, unfinished / name, versions)
    unfinished.rename(folder)
    return folder


def _versions(
    data: Data, split: str, change: Augment, copies: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of a split, each followed by so many changed ones."""
    for position, (images, targets) in enumerate(ordered_batches(data[split], TOGETHER)):
        yield images, targets
        for copy in range(copies):
            yield change(images, generator_for(seed, copy, position)), targets


def _write(facts: Facts, folder: Path, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
    """Write images, numbered, and the list of their labels."""
    folder.mkdir(parents=True)
    scale, number = Scale.of(facts), count()
    with open(folder / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("file_name", "label"))
        for images, targets in batches:
            for pixels, target in zip(scale.as_bytes(images), targets.tolist(), strict=True):
                name = f"{next(number):06}.png"
                Image.fromarray(plain_grey(pixels)).save(folder / name)
                rows.writerow((name, facts.classes[target]))
