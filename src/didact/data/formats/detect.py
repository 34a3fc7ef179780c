"""What lies at a path, and which reader reads it."""

from collections import Counter
from pathlib import Path

from didact.data.formats.cifar import cifar_layout, read_cifar
from didact.data.formats.class_folders import holds_classes
from didact.data.formats.idx import NAME, idx_pairs, read_idx
from didact.data.formats.image_folder import SUFFIXES as IMAGES
from didact.data.formats.image_folder import image_lists, read_image_folder, read_image_list
from didact.data.formats.own_splits import split_files, split_folders, visible
from didact.data.formats.rows import SUFFIXES as ROWS
from didact.data.formats.rows import columns_of
from didact.data.formats.table import read_table
from didact.data.formats.text import SUFFIXES as TEXTS
from didact.data.formats.text import documents, read_documents, read_labelled_folders, read_labelled_rows
from didact.data.raw import Raw
from didact.errors import DataError

FORMATS = (
    "what is read: a folder per class of images or of .txt files, images with a metadata.csv "
    "(file_name, label), IDX, CIFAR (binary), .csv or .tsv with a header, .jsonl with text and label, "
    ".txt or .md"
)


def read_path(path: Path, *, target: str | None = None) -> Raw:
    """Read whatever lies at a path.

    Args:
        path: A file or a folder.
        target: The column of a table to predict; by default the last one.

    Raises:
        DataError: No reader fits, nothing sound is left, or ``target`` is said of what has no columns.
    """
    path = path if path.name else path.resolve()  # "." has no name that messages could use
    raw = _read_folder(path, target) if path.is_dir() else _read_file(path, target)
    if not {"train", "all"} & set(raw.parts):
        first = next((str(problem) for problem in raw.problems if problem.fatal), "")
        raise DataError(f"{path}: {first or 'no example to train on'}", raw.problems)
    if target not in (None, raw.target_name) and raw.inputs != "table":
        raise DataError(f"{path}: target={target!r} names a column to predict, but this is {raw.about}")
    return raw


def _read_file(path: Path, target: str | None) -> Raw:
    suffix = path.suffix.lower()
    if suffix in ROWS:
        return _read_rows(path, {"all": path}, target)
    if suffix in TEXTS:
        return read_documents(path)
    if NAME.fullmatch(path.name):
        return read_idx(path, idx_pairs(path))
    if suffix in IMAGES:
        raise DataError(f"{path}: one image is no data set; {FORMATS}")
    raise DataError(f"{path}: a {suffix or 'nameless'} file is not read; {FORMATS}")


def _read_folder(path: Path, target: str | None) -> Raw:
    """The most telling names first; what any folder may hold comes last."""
    if pairs := idx_pairs(path):
        return read_idx(path, pairs)
    if layout := cifar_layout(path):
        return read_cifar(path, layout)
    if lists := image_lists(path):
        return read_image_list(path, lists)
    if holds_classes(path, IMAGES):
        return read_image_folder(path)
    if files := split_files(path, ROWS) or _only_file(path):
        return _read_rows(path, files, target)
    prose = any(entry.suffix.lower() == ".txt" for entry in visible(path)) and not split_folders(path)
    if holds_classes(path, TEXTS) and not prose:
        return read_labelled_folders(path)
    if documents(path):
        return read_documents(path)
    raise DataError(f"{path}: {_found(path)}; {FORMATS}")


def _read_rows(path: Path, files: dict[str, Path], target: str | None) -> Raw:
    """Labelled texts or a table, as the columns of the first file say."""
    first = next(iter(files.values()))
    columns = columns_of(first)
    if {"text", "label"} <= set(columns) and target in (None, "label"):
        return read_labelled_rows(path, files)
    if first.suffix.lower() == ".jsonl":
        raise DataError(
            f"{first}: a .jsonl file needs text and label in every line; it has "
            f"{', '.join(columns) or 'nothing'}"
        )
    return read_table(path, files, target=target)


def _only_file(folder: Path) -> dict[str, Path]:
    """The one file of rows in a folder, if it is the only one."""
    files = [entry for entry in visible(folder) if entry.is_file() and entry.suffix.lower() in ROWS]
    return {"all": files[0]} if len(files) == 1 else {}


def _found(folder: Path) -> str:
    """What a folder holds, by number and kind."""
    entries = visible(folder)
    if not entries:
        return "an empty folder"
    kinds = Counter(
        "folder" if entry.is_dir() else f"{entry.suffix.lower() or 'plain'} file" for entry in entries
    )
    found = "found " + ", ".join(f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in kinds.most_common(5))
    inside = [file for parent in (folder, *split_folders(folder).values()) for file in visible(parent)]
    images = any(file.suffix.lower() in IMAGES for file in inside)
    return found + " (put the images of each class in a folder of its own)" if images else found
