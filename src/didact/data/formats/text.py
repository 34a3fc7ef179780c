"""Text: prose to be continued, or texts to be classified (a folder per class, or columns text and label)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from didact.data.formats.class_folders import list_class_folders
from didact.data.formats.columns import sort_classes
from didact.data.formats.decode import decode
from didact.data.formats.examples import Example, check_classes, leave_out_copies, remark, to_parts
from didact.data.formats.own_splits import shown, split_files, split_folders, visible
from didact.data.formats.rows import read_rows
from didact.data.raw import Problem, Raw

SUFFIXES = (".txt", ".md")


def read_documents(path: Path) -> Raw:
    """Read a file, or every text file of a folder, as prose; ``train.txt`` and its like are splits."""
    problems: list[Problem] = []
    root = path if path.is_dir() else path.parent
    named = [
        Example(split, file, None, shown(file, root) if path.is_dir() else file.name)
        for split, file in documents(path)
    ]
    examples = _read(named, problems)
    examples = leave_out_copies(examples, [example.item for example in examples], "text", problems)
    characters = sum(len(example.item) for example in examples)
    about = f"{characters:,} characters of text in {len(examples)} file(s)"
    parts = to_parts(examples)
    return Raw(str(path), "tokens", "next", parts, target_name="token", about=about, problems=problems)


def documents(path: Path) -> list[tuple[str, Path]]:
    """The text files at a path, each with its split: one, or those of a folder or of its splits' folders."""
    if not path.is_dir():
        return [("all", path)]
    folders = split_folders(path) or {"all": path}
    files = [
        (split, entry)
        for split, folder in folders.items()
        for entry in visible(folder)
        if entry.is_file() and entry.suffix.lower() in SUFFIXES
    ]
    return list(split_files(path, SUFFIXES).items()) or files


def read_labelled_folders(root: Path) -> Raw:
    """Read texts whose class is the name of their folder."""
    found = list_class_folders(root, SUFFIXES)
    return _labelled(root, _read(found.examples, found.problems), found.classes, "class", found.problems)


def read_labelled_rows(path: Path, files: Mapping[str, Path]) -> Raw:
    """Read texts from the column ``text`` and their classes from the column ``label``."""
    rows = read_rows(path, files)
    examples = []
    for row in rows.rows:
        missing = [column for column in ("text", "label") if not row.cells[column]]
        if missing:
            rows.problems.append(Problem(row.place, f"column {missing[0]!r}: missing value"))
        else:
            examples.append(Example(row.split, row.cells["text"], row.cells["label"], row.place))
    unused = [column for column in rows.columns if column not in ("text", "label")]
    if unused:
        rows.problems.append(remark(path.name, f"columns that are not used: {', '.join(unused)}"))
    classes = sort_classes(example.target for example in examples)
    return _labelled(path, examples, classes, "label", rows.problems)


def _read(named: Sequence[Example], problems: list[Problem]) -> list[Example]:
    """Put the text in the place of each file; files that are empty or not UTF-8 are left out."""
    examples = []
    for example in named:
        text = decode(example.item, example.place)
        if isinstance(text, Problem):
            problems.append(text)
        elif not text.strip():
            problems.append(remark(example.place, "empty"))
        else:
            prose = text.replace("\r\n", "\n").strip("\n")
            examples.append(Example(example.split, prose, example.target, example.place))
    return examples


def _labelled(
    path: Path, examples: Sequence[Example], classes: tuple[str, ...], target: str, problems: list[Problem]
) -> Raw:
    kept = leave_out_copies(examples, [example.item for example in examples], "text", problems)
    problems += check_classes(kept, classes, path.name)
    about = f"{len(kept)} texts of {len(classes)} classes"
    parts = to_parts(kept)
    return Raw(str(path), "bag", "class", parts, classes, target_name=target, about=about, problems=problems)
