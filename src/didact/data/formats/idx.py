"""IDX, the format of MNIST and its relatives: a file of images and a file of labels, perhaps gzipped."""

import gzip
import re
import struct
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from didact.data.formats.columns import sort_classes
from didact.data.formats.examples import Example, check_classes, count_copies, to_parts
from didact.data.formats.own_splits import shown, split_word, visible
from didact.data.raw import Raw
from didact.errors import DataError

NAME = re.compile(r"(?P<prefix>.*?)[-_.]?(?P<kind>images|labels)[-.]idx[0-9]-ubyte(\.gz)?")
GZIP = b"\x1f\x8b"
BYTES = b"\x00\x00\x08"  # the magic number's first bytes: two zeros, then the type, unsigned bytes


@dataclass(frozen=True)
class Pair:
    """The two files of one split."""

    images: Path
    labels: Path


def idx_pairs(path: Path) -> dict[str, Pair]:
    """The files of each split in a folder, or those that belong to one file; empty when there are none.

    Raises:
        DataError: One file of a pair is missing, or two pairs would be the same split.
    """
    folder = path if path.is_dir() else path.parent
    found: dict[str, dict[str, Path]] = {}
    for file in visible(folder):
        match = NAME.fullmatch(file.name)
        if match and file.is_file():
            found.setdefault(match["prefix"], {}).setdefault(match["kind"], file)
    if not path.is_dir():
        found = {prefix: files for prefix, files in found.items() if path in files.values()}
    return _by_split(folder, found)


def read_idx(path: Path, pairs: dict[str, Pair]) -> Raw:
    """Read pairs of IDX files.

    Raises:
        DataError: A file is no IDX file or is cut short, or a pair differs in length.
    """
    root = path if path.is_dir() else path.parent
    examples = []
    for split, pair in pairs.items():
        images, labels = read_array(pair.images, 3), read_array(pair.labels, 1)
        if len(images) != len(labels):
            raise DataError(
                f"{pair.images}: {len(images)} images, but {pair.labels.name} holds {len(labels)} labels"
            )
        name = shown(pair.images, root)
        examples += [
            Example(split, image, str(label), f"{name}[{index}]")
            for index, (image, label) in enumerate(zip(images, labels.tolist(), strict=True))
        ]
    classes = sort_classes(example.target for example in examples)
    problems = count_copies(examples, [example.item.tobytes() for example in examples], path.name)
    problems += check_classes(examples, classes, path.name)
    about = f"{len(examples)} images of {len(classes)} classes, in IDX files"
    return Raw(str(path), "image", "class", to_parts(examples), classes, about=about, problems=problems)


def read_array(path: Path, dimensions: int) -> np.ndarray:
    """Read one IDX file of unsigned bytes, with so many dimensions.

    Raises:
        DataError: It is none, or its length is not what its header says.
    """
    data = _unpacked(path)
    magic, start = BYTES + bytes([dimensions]), 4 + 4 * dimensions
    if data[:4] != magic or len(data) < start:
        raise DataError(
            f"{path}: starts with {data[:4].hex(' ') or 'nothing'}, but an IDX file of unsigned "
            f"bytes in {dimensions} dimension(s) starts with {magic.hex(' ')}"
        )
    shape = struct.unpack(f">{dimensions}I", data[4:start])
    held, said = len(data) - start, prod(shape)
    if held != said or not said:
        fault = "truncated" if held < said else "too long" if held > said else "empty"
        raise DataError(
            f"{path}: {fault}: its header says {' x '.join(map(str, shape))} = {said} bytes, "
            f"and it holds {held}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    try:
        return gzip.decompress(data) if data.startswith(GZIP) else data
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error})") from None


def _by_split(folder: Path, found: dict[str, dict[str, Path]]) -> dict[str, Pair]:
    pairs: dict[str, Pair] = {}
    for prefix, files in found.items():
        if len(files) < 2:
            (kind, file), other = next(iter(files.items())), "labels" if "images" in files else "images"
            raise DataError(f"{file}: its {other} are missing ({file.name.replace(kind, other)})")
        word = re.split(r"[-_.]", prefix)[-1]
        split = "all" if len(found) == 1 else "test" if word == "t10k" else split_word(word)
        if split is None or split in pairs:
            names = ", ".join(sorted(files["images"].name for files in found.values()))
            raise DataError(
                f"{folder}: which of these is for training and which for testing? {names}; "
                "keep one data set in a folder, or name one file"
            )
        pairs[split] = Pair(files["images"], files["labels"])
    if pairs and "all" not in pairs and "train" not in pairs:
        raise DataError(f"{folder}: no training images, only {', '.join(pairs)}")
    return pairs
