"""Near duplicates: a picture saved again, resized or relit; found by difference hashes, then by pixels."""

# N images

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from didact.data.check.finding import Finding, found
from didact.data.check.images import Look
from didact.data.check.ranks import correlation
from didact.data.check.rules import NEAR_ALIKE, NEAR_BITS, NEAR_SIDE
from didact.data.check.subject import Subject

BANDS = 4  # of 16 bits: hashes that differ in at most 3 bits agree in one of them
CROWD = 100  # images that share a band are compared in groups of so many
MOST = 2000  # pairs that are compared by pixels
THUMBNAIL = 32


def check_near(subject: Subject, looks: Sequence[Look]) -> list[Finding]:
    """Images that are nearly the same, though not byte for byte."""
    pairs = [pair for pair in near_pairs(looks)[:MOST] if _alike(subject, *pair)]
    if not pairs:
        return []
    examples = subject.examples
    across = [pair for pair in pairs if examples[pair[0]].split != examples[pair[1]].split]
    first, second = (examples[index] for index in (across or pairs)[0])
    where = f", in the {first.split} split" if across else ""
    more = f"; {len(pairs):,} such pairs, {len(across):,} across splits" if len(pairs) > 1 else ""
    places = [f"{examples[j].place} ~ {examples[i].place}" for i, j in (*across, *(set(pairs) - set(across)))]
    return [
        found(
            "near-duplicates",
            second.place,
            f"nearly the same picture as {first.place}{where}{more}",
            places=[*places[: len(across)], *sorted(places[len(across) :])],
            numbers={"count": len(pairs), "across": len(across)},
            show={"kind": "pair", "pair": (second, first)},
        )
    ]


def near_pairs(looks: Sequence[Look]) -> list[tuple[int, int]]:
    """Pairs of images whose hashes nearly agree and whose pixels do not."""
    able = [i for i, look in enumerate(looks) if look.across is not None and min(look.size) >= NEAR_SIDE]
    pairs = {
        (i, j)
        for i, j in _candidates([looks[i].across or 0 for i in able], able)
        if looks[i].digest != looks[j].digest and _bits_apart(looks[i], looks[j]) <= NEAR_BITS
    }
    return sorted(pairs)


def _candidates(hashes: Sequence[int], indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs that agree in a band; the pigeonhole principle lets none escape but in a crowd."""
    for band in range(BANDS):
        groups: dict[int, list[int]] = {}
        for value, index in zip(hashes, indices, strict=True):
            groups.setdefault(value >> 16 * band & 0xFFFF, []).append(index)
        for group in groups.values():
            for start in range(0, len(group), CROWD):
                yield from combinations(group[start : start + CROWD], 2)


def _bits_apart(first: Look, second: Look) -> int:
    across = (first.across or 0) ^ (second.across or 0)
    down = (first.down or 0) ^ (second.down or 0)
    return max(across.bit_count(), down.bit_count())


def _alike(subject: Subject, first: int, second: int) -> bool:
    """Whether two images also agree pixel by pixel, whatever their brightness."""
    one, other = (_thumbnail(subject.examples[index].item) for index in (first, second))
    return correlation(one, other) >= NEAR_ALIKE


def _thumbnail(item: Any) -> np.ndarray:
    """(H W,) grey levels."""
    with Image.open(item) if isinstance(item, Path) else Image.fromarray(item.squeeze()) as image:
        grey = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
    return np.asarray(grey, dtype=np.float64).reshape(-1)
