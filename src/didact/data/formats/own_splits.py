"""Splits that a data set brings along, by the usual names of their files and folders."""

from collections.abc import Collection
from pathlib import Path

from didact.errors import DataError

WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def split_word(word: str) -> str | None:
    """Which split a word stands for, if any: ``"valid"`` is ``val``."""
    return WORDS.get(word.strip().lower())


def visible(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without hidden entries."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX")))


def split_folders(root: Path) -> dict[str, Path]:
    """The folder of each split, if there is one for training; ``train`` may also be the name of a class."""
    folders = [entry for entry in visible(root) if entry.is_dir()]
    chosen = _by_split(folders)
    if "train" not in chosen:
        return {}
    nested = any(entry.is_dir() for entry in visible(chosen["train"]))
    return chosen if nested or len(chosen) == len(folders) else {}


def split_files(root: Path, suffixes: Collection[str]) -> dict[str, Path]:
    """The file of each split (``train.csv``), if there is one for training."""
    files = [entry for entry in visible(root) if entry.is_file() and entry.suffix.lower() in suffixes]
    chosen = _by_split(files)
    return chosen if "train" in chosen else {}


def shown(path: Path, root: Path) -> str:
    """A path as messages show it: from the folder that the user named on."""
    return str(root.name / path.relative_to(root))


def _by_split(entries: list[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for entry in entries:
        name = split_word(entry.stem if entry.is_file() else entry.name)
        if name in found:
            raise DataError(
                f"{entry.parent}: {found[name].name} and {entry.name} are both a {name} split; keep one"
            )
        if name:
            found[name] = entry
    return {name: found[name] for name in ("train", "val", "test") if name in found}
