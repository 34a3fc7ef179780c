"""From a raw example to the tensor a model takes. The one path for training, evaluation and prediction.

``fit`` reads the training split and returns facts; ``encode`` applies them to anything. Nothing is ever
fitted on validation or test examples (notes 003, L415-485; 000 section 3.2).
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from didact.data.facts import Column, Facts, Interpolation
from didact.errors import DataError

MAX_WORDS = 2000
RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
WORD = re.compile(r"\w+|[^\w\s]")


def fit(facts: Facts, items: Sequence[Any], categories: frozenset[str], standardise: bool) -> Facts:
    """Complete the facts from the training items: columns, vocabulary, shape, mean and standard deviation.

    A mean that the facts have already is kept, with its standard deviation.
    """
    if facts.inputs == "table":
        columns = tuple(_column(name, items, name in categories) for name in items[0])
        facts = replace(facts, columns=columns, input_shape=(sum(column.width for column in columns),))
    elif facts.inputs == "bag":
        vocabulary = _common_words(items)
        facts = replace(facts, vocabulary=vocabulary, input_shape=(len(vocabulary),))
    elif facts.inputs == "tokens":
        characters = sorted(set("\n\n".join(items)) - {"\N{REPLACEMENT CHARACTER}"})
        return replace(facts, vocabulary=("\N{REPLACEMENT CHARACTER}", *characters))
    if not standardise or facts.mean or facts.inputs == "sample":
        return facts
    mean, std = _moments(facts, items)
    return replace(facts, mean=mean, std=std)


def encode(facts: Facts, items: Sequence[Any]) -> Tensor:
    """Encode raw examples as one batch, (N, *input_shape); for tokens, all documents as one stream (T,)."""
    if facts.inputs == "tokens":
        return encode_text(facts, "\n\n".join(items))
    return _standardised(facts, _plain(facts, items))


def encode_text(facts: Facts, text: str) -> Tensor:
    """Characters to token indices, (T,) int64; a character that training never saw becomes index 0."""
    index = {token: i for i, token in enumerate(facts.vocabulary)}
    return torch.tensor([index.get(char, 0) for char in text], dtype=torch.long)


def read_image(
    item: np.ndarray | str | Path | Image.Image,
    channels: int,
    size: tuple[int, int],
    crop: float = 0.0,
    interpolation: Interpolation = "bilinear",
) -> np.ndarray:
    """Decode, convert to grey or RGB, and resize one image: uint8 (H, W, C).

    With ``crop`` the shorter side becomes size / crop and the middle is cut out, so that nothing is squeezed.

    Raises:
        DataError: The file is missing or is no image that decodes; the message names it.
    """
    try:
        image = item if isinstance(item, Image.Image) else _open_image(item)
        image = _eight_bits(image).convert("L" if channels == 1 else "RGB")
        if crop:
            image = _middle(image, size, crop, RESAMPLING[interpolation])
        elif image.size != size[::-1]:
            image = image.resize(size[::-1], RESAMPLING[interpolation])
    except FileNotFoundError:
        raise DataError(f"{item}: no such file") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{item}: not an image that can be decoded ({error})") from None
    return np.asarray(image, dtype=np.uint8).reshape(*size, channels)


def _middle(
    image: Image.Image, size: tuple[int, int], crop: float, resampling: Image.Resampling
) -> Image.Image:
    """Resize with the sides' ratio kept, then cut: as published weights expect it."""
    height, width = size
    short = round(min(size) / crop)
    wide, high = (int(short * side / min(image.size)) for side in image.size)
    image = image.resize((max(wide, width), max(high, height)), resampling)
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def words(text: str) -> list[str]:
    """Lower-case words and punctuation marks: ``"my work is cool!"`` has five."""
    return WORD.findall(text.lower())


def _open_image(item: np.ndarray | str | Path) -> Image.Image:
    if isinstance(item, np.ndarray):
        return Image.fromarray(item)
    return Image.open(BytesIO(Path(item).read_bytes()))  # a path would stay open for formats with many frames


def _eight_bits(image: Image.Image) -> Image.Image:
    """Keep the high byte of 16-bit pixels, which Pillow's own conversion would clip to white."""
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown")
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))


def _plain(facts: Facts, items: Sequence[Any]) -> Tensor:
    """Encode without standardising."""
    if facts.inputs == "image":
        channels, height, width = facts.input_shape
        size = (height, width)
        pixels = np.stack([read_image(i, channels, size, facts.crop, facts.interpolation) for i in items])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255).contiguous()
    if facts.inputs == "table":
        return torch.tensor([_row(facts.columns, item) for item in items], dtype=torch.float32)
    if facts.inputs == "bag":
        return _bags(facts.vocabulary, items)
    return torch.as_tensor(np.asarray(items), dtype=torch.float32).reshape(len(items), *facts.input_shape)


def _standardised(facts: Facts, plain: Tensor) -> Tensor:
    if not facts.mean:
        return plain
    shape = (1, -1, 1, 1) if facts.inputs == "image" else (1, -1)
    mean, std = (torch.tensor(values).view(shape) for values in (facts.mean, facts.std))
    return (plain - mean) / std


def _moments(facts: Facts, items: Sequence[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population standard deviation in float64; an input that never varies gets std 1."""
    if facts.inputs == "image":  # decoded a slice at a time; values in [0, 1] make the one-pass form safe
        total = square = np.zeros(facts.input_shape[0])
        for start in range(0, len(items), 512):
            plain = _plain(facts, items[start : start + 512]).double().numpy()
            total, square = total + plain.mean((2, 3)).sum(0), square + (plain**2).mean((2, 3)).sum(0)
        mean = total / len(items)
        variance = np.maximum(square / len(items) - mean**2, 0)
    else:
        plain = _plain(facts, items).double().numpy()
        mean, variance = plain.mean(0), plain.var(0)
    std = np.where(variance > 1e-12 * mean**2, np.sqrt(variance), 1.0)
    return tuple(mean.tolist()), tuple(std.tolist())


def _column(name: str, items: Sequence[Mapping[str, Any]], category: bool) -> Column:
    if not category:
        return Column(name, "number")
    return Column(name, "category", tuple(sorted({str(item[name]) for item in items})))


def _row(columns: Sequence[Column], item: Mapping[str, Any]) -> list[float]:
    """One table row as numbers; an unseen category is all zeros.

    Raises:
        DataError: A column is missing, or a number column holds text.
    """
    row: list[float] = []
    for column in columns:
        if column.name not in item:
            raise DataError(
                f"column {column.name!r} is missing; this model was trained on "
                + ", ".join(c.name for c in columns)
            )
        value = item[column.name]
        if column.kind == "category":
            row += [float(str(value) == known) for known in column.values]
            continue
        try:
            row.append(float(value))
        except (TypeError, ValueError):
            raise DataError(f"column {column.name!r} holds {value!r}, but a number is needed") from None
    return row


def _common_words(texts: Sequence[str]) -> tuple[str, ...]:
    """Words that at least two training texts use, the most used first; index 0 is every other word."""
    counts = Counter(word for text in texts for word in set(words(text)))
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    common = [word for word, count in ranked if count > 1]
    return ("\N{REPLACEMENT CHARACTER}", *common[: MAX_WORDS - 1])


def _bags(vocabulary: Sequence[str], texts: Sequence[str]) -> Tensor:
    """How often each word of the vocabulary stands in each text, as log(1 + count), (N, V)."""
    index = {word: i for i, word in enumerate(vocabulary)}
    counts = torch.zeros(len(texts), len(vocabulary))
    for row, text in zip(counts, texts, strict=True):
        for word in words(text):
            row[index.get(word, 0)] += 1
    return counts.log1p()
