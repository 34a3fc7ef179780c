"""A folder per class, perhaps within a folder per split: how images and labelled texts are often kept."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from didact.data.formats.examples import Example, remark
from didact.data.formats.own_splits import shown, split_folders, visible
from didact.data.raw import Problem
from didact.errors import DataError


@dataclass
class ClassFolders:
    """The files of each class, as examples whose items are paths."""

    examples: list[Example]
    classes: tuple[str, ...]
    problems: list[Problem]


def holds_classes(root: Path, suffixes: Collection[str]) -> bool:
    """Whether there is a folder with such a file, in the folder itself or in that of a split."""
    return any(_files(folder, suffixes) for split in _splits(root).values() for folder in _folders(split))


def list_class_folders(root: Path, suffixes: Collection[str]) -> ClassFolders:
    """List the files of each class, classes sorted by name; a class whose folder is empty keeps its index.

    Raises:
        DataError: The folder of a split holds no folder per class.
    """
    splits = _splits(root)
    for parent in splits.values():
        if not _folders(parent):
            raise DataError(f"{parent}: no folder per class in it")
    classes = tuple(folder.name for folder in _folders(next(iter(splits.values()))))
    found = ClassFolders([], classes, _differences(root, splits, classes))
    for split, parent in splits.items():
        for folder in _folders(parent):
            if folder.name in classes:
                found.examples += [
                    Example(split, file, folder.name, shown(file, root)) for file in _files(folder, suffixes)
                ]
    found.problems += _unread(root, splits, suffixes)
    return found


def _splits(root: Path) -> dict[str, Path]:
    return split_folders(root) or {"all": root}


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in visible(folder) if entry.is_dir()]


def _files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Files of the right kind, at any depth, as torchvision's ImageFolder finds them."""
    return [entry for entry in _all_files(folder) if entry.suffix.lower() in suffixes]


def _all_files(folder: Path) -> list[Path]:
    entries = visible(folder)
    folders = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
    files = [entry for entry in entries if entry.is_file()]
    return files + [file for folder in folders for file in _all_files(folder)]


def _differences(root: Path, splits: dict[str, Path], classes: tuple[str, ...]) -> list[Problem]:
    """Class folders that one split has and another has not: labels would mean different things."""
    problems = []
    for folder in splits.values():
        names = {entry.name for entry in _folders(folder)}
        problems += [
            Problem(shown(folder / name, root), f"class {name!r} is none that train has")
            for name in sorted(names - set(classes))
        ]
        problems += [
            Problem(
                shown(folder, root),
                f"no folder for class {name!r}, which train has (an empty one says that there is no example)",
            )
            for name in classes
            if name not in names
        ]
    return problems


def _unread(root: Path, splits: dict[str, Path], suffixes: Collection[str]) -> list[Problem]:
    """Files and folders that are passed over."""
    others = [
        file
        for split in splits.values()
        for folder in _folders(split)
        for file in _all_files(folder)
        if file.suffix.lower() not in suffixes
    ]
    if splits.keys() != {"all"}:
        others += [folder for folder in _folders(root) if folder not in splits.values()]
    return [
        remark(shown(other, root), f"not read; only {', '.join(sorted(suffixes))} in class folders are")
        for other in others
    ]
