"""CIFAR-10 and CIFAR-100 in their binary version. The Python version is pickled, and is never opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from didact.data.formats.decode import read_text
from didact.data.formats.examples import Example, check_classes, count_copies, remark, to_parts
from didact.data.formats.own_splits import shown
from didact.data.raw import Problem, Raw
from didact.errors import DataError

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Layout:
    """How one of the two data sets is kept: labels before each image, the label's own last."""

    name: str
    labels: int
    classes: int
    names: str
    files: Mapping[str, tuple[str, ...]]
    pickled: tuple[str, ...] = field(default=())


LAYOUTS = (
    Layout(
        "CIFAR-10",
        1,
        10,
        "batches.meta.txt",
        {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)},
        ("data_batch_1", "batches.meta"),
    ),
    Layout(
        "CIFAR-100",
        2,
        100,
        "fine_label_names.txt",
        {"train": ("train.bin",), "test": ("test.bin",)},
        ("train", "test", "meta"),
    ),
)


def cifar_layout(folder: Path) -> Layout | None:
    """Which CIFAR lies in a folder, if any.

    Raises:
        DataError: It is the pickled version.
    """
    for layout in LAYOUTS:
        if (folder / layout.files["train"][0]).is_file():
            return layout
        if all((folder / name).is_file() for name in layout.pickled):
            raise DataError(
                f"{folder}: the Python version of {layout.name} is pickled, and a pickle can run "
                "code; get the binary version of the same data"
            )
    return None


def read_cifar(folder: Path, layout: Layout) -> Raw:
    """Read the batches that are there.

    Raises:
        DataError: A file is no whole number of records, or the names are too few.
    """
    classes = _class_names(folder, layout)
    examples: list[Example] = []
    problems: list[Problem] = []
    for split, names in layout.files.items():
        for file in (folder / name for name in names if (folder / name).is_file()):
            read, wrong = _records(file, split, layout, classes, shown(file, folder))
            examples += read
            problems += wrong
    if {example.split for example in examples} == {"train"}:
        problems.append(remark(folder.name, "no test file: test images are held out of the training ones"))
    problems += count_copies(examples, [example.item.tobytes() for example in examples], folder.name)
    problems += check_classes(examples, classes, folder.name)
    about = f"{layout.name}: {len(examples)} colour images of {layout.classes} classes"
    return Raw(str(folder), "image", "class", to_parts(examples), classes, about=about, problems=problems)


def _records(
    file: Path, split: str, layout: Layout, classes: tuple[str, ...], name: str
) -> tuple[list[Example], list[Problem]]:
    """The images (32, 32, 3) of one file; a record is its labels, then all of red, of green and of blue."""
    data = np.frombuffer(file.read_bytes(), np.uint8)
    size = layout.labels + PIXELS
    if not len(data) or len(data) % size:
        raise DataError(
            f"{file}: {len(data)} bytes are no whole number of records of {size} bytes; "
            "the file is truncated, or not the binary version"
        )
    records = data.reshape(-1, size)
    images = records[:, layout.labels :].reshape(-1, *SHAPE).transpose(0, 2, 3, 1)
    labels = records[:, layout.labels - 1].tolist()
    examples, problems = [], []
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = f"{name}[{index}]"
        if label < len(classes):
            examples.append(Example(split, np.ascontiguousarray(image), classes[label], place))
        else:
            problems.append(Problem(place, f"label {label} is out of range: the last is {len(classes) - 1}"))
    return examples, problems


def _class_names(folder: Path, layout: Layout) -> tuple[str, ...]:
    """The names that lie beside the data, or else the numbers."""
    file = folder / layout.names
    if not file.is_file():
        return tuple(str(label) for label in range(layout.classes))
    names = tuple(line.strip() for line in read_text(file, str(file)).splitlines() if line.strip())
    if len(names) != layout.classes or len(set(names)) != layout.classes:
        raise DataError(
            f"{file}: {len(set(names))} different names, but {layout.name} has {layout.classes} classes"
        )
    return names
