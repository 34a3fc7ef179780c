"""How the tests of the data doctor write small data sets and read its findings."""

import csv
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from didact.data.check.finding import Finding
from didact.data.check.report import DataReport, check_data


def rules(report: DataReport) -> set[str]:
    return {finding.rule for finding in report.findings}


def the(report: DataReport, rule: str) -> Finding:
    """The one finding of a rule."""
    (finding,) = [finding for finding in report.findings if finding.rule == rule]
    return finding


def write_table(path: Path, header: str, rows: Iterable[Sequence[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return path


def healthy_rows(count: int = 120, seed: int = 0) -> list[list[object]]:
    """Two measures and a colour, none of which tells the kind by itself."""
    numbers = np.random.default_rng(seed)
    return [
        [
            round(float(numbers.normal(5 + k % 2, 1)), 4),
            round(float(numbers.normal(2, 3)), 4),
            ("red", "blue", "green")[int(numbers.integers(3))],
            ("oak", "elm")[k % 2],
        ]
        for k in range(count)
    ]


HEADER = "height,weight,colour,kind"


def check_table(path: Path, header: str, rows: Iterable[Sequence[object]]) -> DataReport:
    return check_data(write_table(path / "trees.csv", header, rows))


def check_own_splits(path: Path, header: str, **splits: Iterable[Sequence[object]]) -> DataReport:
    """Tables in files named after their splits."""
    for name, rows in splits.items():
        write_table(path / f"{name}.csv", header, rows)
    return check_data(path)


def pixels(seed: int, side: int = 40) -> np.ndarray:
    """A picture of smooth shapes, unlike that of any other seed: (side, side, 3)."""
    numbers = np.random.default_rng(seed)
    small = numbers.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def save(path: Path, image: np.ndarray | Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(path, **options)
    return path


def write_flowers(root: Path, splits: Sequence[str] = ("",), count: int = 12, side: int = 40) -> Path:
    """A folder per class, perhaps in a folder per split; no two images alike."""
    seed = 0
    for split in splits:
        for label in ("rose", "tulip"):
            for k in range(count):
                seed += 1
                save(root / split / label / f"{k}.png", pixels(seed, side))
    return root


def write_idx(folder: Path, prefix: str, images: np.ndarray, labels: Sequence[int]) -> None:
    """A pair of IDX files."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = struct.pack(">3I", *images.shape)
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + shape + images.tobytes())
    head = b"\0\0\x08\x01" + struct.pack(">I", len(labels))
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(head + bytes(labels))


def noise(count: int, seed: int = 0, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)
