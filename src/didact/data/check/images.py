"""Images: each is decoded once, looked at and let go; what is kept of it fits in two hundred bytes."""

# N images, H W height and width

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from didact.data.check.finding import Finding, found
from didact.data.check.rules import DARKER, RATIO, SIZES_APART
from didact.data.check.subject import Seen, Subject
from didact.errors import DataError

Progress = Callable[[int, int], None]  # images looked at, of how many

AT_ONCE = 64  # images in the hands of the threads
SIDE = 8  # of a difference hash
ORIENTATION, UPRIGHT = 0x0112, 1  # a tag of EXIF, and what it says of most images
GREY = ("1", "L", "LA", "I", "I;16")
MADE_ALIKE = {  # what becomes of pixels that are neither grey nor RGB
    "CMYK": "CMYK, made RGB without a colour profile",
    "P": "a palette, made RGB",
    "I;16": "16 bits, of which the upper 8 are kept",
    "I": "32 bits, of which bits 8 to 15 are kept",
    "RGBA": "transparency, which is dropped: hidden colours show",
    "LA": "transparency, which is dropped: hidden shades show",
    "1": "black and white only",
    "YCbCr": "YCbCr, made RGB",
    "LAB": "Lab, made RGB",
}
SUFFIXES = {  # file name endings by what Pillow calls the format
    "JPEG": {".jpg", ".jpeg"},
    "MPO": {".jpg", ".jpeg"},
    "PNG": {".png"},
    "BMP": {".bmp"},
    "GIF": {".gif"},
    "WEBP": {".webp"},
    "TIFF": {".tif", ".tiff"},
    "PPM": {".ppm", ".pgm"},
}


@dataclass(frozen=True, slots=True)
class Look:
    """What is kept of an image.

    Attributes:
        digest: Of its size and its pixels as RGB or grey; equal for a PNG and a BMP of one picture.
        across, down: Difference hashes, 64 bits each; ``None`` for an image without contrast.
        mean, deviation: Of its grey levels, 0 to 255.
    """

    digest: bytes
    size: tuple[int, int]
    mode: str
    form: str
    turned: bool
    transparent: bool
    mean: float
    deviation: float
    across: int | None
    down: int | None


def look_at_images(
    subject: Subject, progress: Progress | None = None
) -> tuple[Subject, list[Look], list[Finding]]:
    """Look at every image, in order.

    Returns:
        The data set without those that the reader's quick look let pass and that do not decode after all, a
        look at each of the others, and what is wrong with the former.
    """
    looks: list[Look | DataError] = []
    for look in _looks(seen.item for seen in subject.examples):
        looks.append(look)
        if progress:
            progress(len(looks), len(subject.examples))
    bad = [(seen, str(look)) for seen, look in zip(subject.examples, looks, strict=True) if _failed(look)]
    broken = [found("broken-image", seen.place, what, places=[seen.place]) for seen, what in bad]
    rest = subject.without([seen.place for seen, _ in bad]) if bad else subject
    return rest, [look for look in looks if isinstance(look, Look)], broken


def look_at(item: np.ndarray | Path) -> Look:
    """Decode an image and say what it is.

    Raises:
        DataError: It does not decode.
    """
    if isinstance(item, np.ndarray):
        return _look(Image.fromarray(item.squeeze()), form="")
    try:
        data = Path(item).read_bytes()
        with Image.open(BytesIO(data)) as image:
            image.load()
            return _look(image, form=image.format or "")
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{item}: not an image that can be decoded ({error})") from None


def difference_hash(grey: Image.Image) -> tuple[int, int]:
    """Where a thumbnail gets lighter to the right, and downwards: 64 bits each (dHash)."""
    wide = np.asarray(grey.resize((SIDE + 1, SIDE), Image.Resampling.BILINEAR), dtype=np.int16)
    high = np.asarray(grey.resize((SIDE, SIDE + 1), Image.Resampling.BILINEAR), dtype=np.int16)
    return _bits(np.diff(wide, axis=1) > 0), _bits(np.diff(high, axis=0) > 0)


def brightness(subject: Subject, looks: Sequence[Look]) -> dict[str, dict[str, np.ndarray]]:
    """Mean and deviation of each image by split, (N,) each, to compare splits by."""
    splits: dict[str, list[Look]] = {}
    for seen, look in zip(subject.examples, looks, strict=True):
        splits.setdefault(seen.split, []).append(look)
    return {
        split: {
            "brightness": np.array([look.mean for look in own]),
            "contrast": np.array([look.deviation for look in own]),
        }
        for split, own in splits.items()
    }


def check_images(subject: Subject, looks: Sequence[Look]) -> list[Finding]:
    """Images that show nothing, lie on their side, or are of another kind than the rest."""
    seen = list(zip(subject.examples, looks, strict=True))
    named = [(one, look) for one, look in seen if isinstance(one.item, Path)]
    turned = [(one, look) for one, look in named if look.turned]
    constant = [(one, look) for one, look in seen if look.deviation < DARKER]
    misnamed = [(one, look) for one, look in named if _misnamed(one, look)]
    return [
        *_each("constant-image", constant, _shade),
        *_each("rotated-image", turned, _turned),
        *_modes(named),
        *_each("wrong-extension", misnamed, lambda look: f"a {look.form} file by its content"),
        *_sizes(subject, looks),
    ]


def _looks(items: Iterator[Any]) -> Iterator[Look | DataError]:
    """Pillow decodes outside Python's lock; a batch at a time, so that memory stays bounded."""
    with ThreadPoolExecutor() as pool:
        while batch := list(islice(items, AT_ONCE)):
            yield from pool.map(_tried, batch)


def _tried(item: np.ndarray | Path) -> Look | DataError:
    try:
        return look_at(item)
    except DataError as error:
        return error


def _failed(look: Look | DataError) -> bool:
    return isinstance(look, DataError)


def _look(image: Image.Image, form: str) -> Look:
    mode = "I;16" if image.mode.startswith("I;16") else image.mode
    transparent = _transparent(image)
    turned = bool(form) and image.getexif().get(ORIENTATION, UPRIGHT) != UPRIGHT
    if mode.startswith("I"):  # as it is encoded
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    grey_mode = Image.getmodebase(image.mode) == "L"
    plain = image.convert("L" if grey_mode else "RGB")
    grey = plain if grey_mode else plain.convert("L")
    levels = np.asarray(grey)
    deviation = float(levels.std())
    across, down = difference_hash(grey) if deviation >= DARKER else (None, None)
    pixels = f"{plain.mode}{plain.size}".encode() + plain.tobytes()
    digest = blake2b(pixels, digest_size=16).digest()
    size, mean = plain.size, float(levels.mean())
    return Look(digest, size, mode, form, turned, transparent, mean, deviation, across, down)


def _transparent(image: Image.Image) -> bool:
    """Whether a pixel lets the background through."""
    if "transparency" in image.info and image.mode == "P":
        image = image.convert("RGBA")
    if image.mode not in ("RGBA", "LA"):
        return False
    least, _ = image.getchannel("A").getextrema()
    return isinstance(least, int | float) and least < 255


def _bits(rises: np.ndarray) -> int:
    return int.from_bytes(np.packbits(rises).tobytes(), "big")


def _each(rule: str, images: Sequence[tuple[Seen, Look]], say: Callable[[Look], str] | str) -> list[Finding]:
    """One finding for all images of a kind, with the first in words."""
    if not images:
        return []
    (first, look), count = images[0], len(images)
    more = f"; {count:,} in all" if count > 1 else ""
    return [
        found(
            rule,
            first.place,
            (say if isinstance(say, str) else say(look)) + more,
            places=[seen.place for seen, _ in images],
            numbers={"count": count},
            show={"kind": "images", "images": [seen for seen, _ in images[:8]]},
        )
    ]


def _shade(look: Look) -> str:
    shade = "black" if look.mean < 1 else "white" if look.mean > 254 else f"grey level {look.mean:.0f}"
    return f"shows nothing: all {shade}"


def _turned(look: Look) -> str:
    width, height = look.size
    return f"EXIF turns it; without, it is read as {width}x{height} pixels, on its side or mirrored"


def _misnamed(seen: Seen, look: Look) -> bool:
    fitting = SUFFIXES.get(look.form)
    return fitting is not None and seen.item.suffix.lower() not in fitting


def _modes(images: Sequence[tuple[Seen, Look]]) -> list[Finding]:
    """Images of another kind than grey or RGB, a finding for each; and grey ones among colour."""
    kinds: dict[str, list[tuple[Seen, Look]]] = {}
    for seen, look in images:
        if look.mode in ("RGBA", "LA") and not look.transparent:
            continue
        if look.mode in MADE_ALIKE:
            kinds.setdefault(MADE_ALIKE[look.mode], []).append((seen, look))
    findings = [each for kind, own in kinds.items() for each in _each("image-modes", own, kind)]
    groups = [[pair for pair in images if (pair[1].mode in GREY) == grey] for grey in (True, False)]
    few = min(groups, key=len)
    what = "grey among colour" if few is groups[0] else "colour among grey"
    return findings + _each("image-modes", few, what)


def _sizes(subject: Subject, looks: Sequence[Look]) -> list[Finding]:
    """Images of several sizes, which are all made one."""
    sizes = Counter(look.size for look in looks)
    if len(sizes) < 2:
        return []
    areas = [width * height for width, height in sizes]
    shapes = [width / height for width, height in sizes]
    wild = max(areas) >= SIZES_APART * min(areas) or max(shapes) >= RATIO * min(shapes)
    (width, height), _ = sizes.most_common(1)[0]
    small, large = (pick(sizes, key=lambda size: size[0] * size[1]) for pick in (min, max))
    what = (
        f"{len(sizes)} sizes, most of them {width}x{height}, from {small[0]}x{small[1]} to "
        f"{large[0]}x{large[1]}{': wildly different' if wild else ''}"
    )
    numbers = {"sizes": len(sizes), "areas": max(areas) / min(areas), "shapes": max(shapes) / min(shapes)}
    return [found("image-sizes", subject.name, what, numbers=numbers)]
