"""Images in a folder per class, or listed with their labels in a ``metadata.csv`` or ``metadata.jsonl``."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from didact.data.formats.class_folders import list_class_folders
from didact.data.formats.columns import sort_classes
from didact.data.formats.examples import Example, check_classes, leave_out_copies, remark, to_parts
from didact.data.formats.own_splits import shown, split_folders
from didact.data.formats.rows import columns_of, read_rows
from didact.data.raw import Problem, Raw
from didact.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
LISTS = ("metadata.csv", "metadata.jsonl")


@dataclass(frozen=True)
class Look:
    """What one image file turned out to be."""

    digest: bytes
    size: tuple[int, int] = (0, 0)
    grey: bool = False
    fault: str = ""


def read_image_folder(root: Path) -> Raw:
    """Read images whose class is the name of their folder."""
    found = list_class_folders(root, SUFFIXES)
    return _checked(root, found.examples, found.classes, "class", found.problems)


def image_lists(root: Path) -> dict[str, Path]:
    """The list of each split's images, or ``{"all": list}``; empty when there is none."""
    folders = split_folders(root)
    whole = _list_in(root)
    if whole:
        return {"all": whole}
    lists = {split: found for split, folder in folders.items() if (found := _list_in(folder))}
    return lists if "train" in lists else {}


def read_image_list(root: Path, files: Mapping[str, Path]) -> Raw:
    """Read images and labels that a list names in its columns ``file_name`` and ``label``.

    Raises:
        DataError: The list lacks one of the two columns.
    """
    rows = read_rows(root, files)
    if "label" not in rows.columns:
        raise DataError(f"{next(iter(files.values()))}: no column 'label'; it has {', '.join(rows.columns)}")
    examples = []
    for row in rows.rows:
        folder = files.get(row.split, files.get("all", root)).parent
        name, label = row.cells["file_name"], row.cells["label"]
        if name and label and (folder / name).is_file():
            examples.append(Example(row.split, folder / name, label, f"{shown(folder, root)}/{name}"))
        else:
            what = "no file_name" if not name else f"{name}: no such file" if label else f"{name}: no label"
            rows.problems.append(Problem(row.place, what))
    classes = sort_classes(example.target for example in examples)
    return _checked(root, examples, classes, "label", rows.problems)


def _list_in(folder: Path) -> Path | None:
    return next(
        (
            folder / name
            for name in LISTS
            if (folder / name).is_file() and "file_name" in columns_of(folder / name)
        ),
        None,
    )


def _checked(
    root: Path, examples: Sequence[Example], classes: tuple[str, ...], target: str, problems: list[Problem]
) -> Raw:
    """Decode every image once, and leave out what is broken or stands in two splits."""
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside Python's lock
        looks = list(pool.map(look, [example.item for example in examples]))
    pairs = list(zip(examples, looks, strict=True))
    problems += [Problem(example.place, seen.fault) for example, seen in pairs if seen.fault]
    sound = [example for example, seen in pairs if not seen.fault]
    looks = [seen for seen in looks if not seen.fault]
    kept = leave_out_copies(sound, [seen.digest for seen in looks], "image", problems)
    problems += _differences(root.name, looks) + check_classes(kept, classes, root.name)
    about = f"{len(kept)} images of {len(classes)} classes"
    parts = to_parts(kept)
    return Raw(
        str(root), "image", "class", parts, classes, target_name=target, about=about, problems=problems
    )


def look(path: Path) -> Look:
    """Decode an image (JPEG at an eighth of its size, which reads all of the file) and say what it is."""
    data = path.read_bytes()
    seen = Look(blake2b(data, digest_size=16).digest())
    try:
        with Image.open(BytesIO(data)) as image:
            grey, size = Image.getmodebase(image.mode) == "L", image.size
            image.draft(image.mode, (1, 1))
            image.load()
            if image.mode == "F":
                raise ValueError("floating-point pixels, whose range is unknown")
    except Exception as error:  # a damaged file makes decoders raise nearly anything
        return replace(seen, fault=f"not an image that can be decoded ({_reason(error)})")
    return replace(seen, size=size, grey=grey)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # its message is the address of a buffer
        return "unknown format"
    return str(error) or type(error).__name__


def _differences(name: str, looks: Sequence[Look]) -> list[Problem]:
    """Images that are not all of one kind; they are made alike when they are encoded."""
    problems = []
    sizes = Counter(seen.size for seen in looks)
    if len(sizes) > 1:
        (width, height), _ = sizes.most_common(1)[0]
        problems.append(
            remark(
                name,
                f"images of {len(sizes)} sizes, most of them {width}x{height}; all are "
                "resized to one (image_size chooses it)",
            )
        )
    greys = sum(seen.grey for seen in looks)
    if 0 < greys < len(looks):
        problems.append(remark(name, f"{greys} grey images among {len(looks)}; all are made alike"))
    return problems
