"""How the tests of the command line call it, and the files they feed it."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

COMMAND = (sys.executable, "-c", "from didact.cli.main import main; raise SystemExit(main())")
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")} | {
    "OMP_NUM_THREADS": "1",
    "TERM": "xterm-256color",
}
IRIS = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
FLOWERS = {"setosa": (5.1, 3.5, 1.4, 0.2), "virginica": (6.3, 3.3, 6.0, 2.5)}


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


Call = Callable[..., Said]


def refused(said: Said, code: int, *parts: str) -> None:
    """A command failed as it should: that code, one line that holds the parts, nothing on standard output."""
    assert (said.code, said.out) == (code, ""), said
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("didact: ")
    for part in parts:
        assert part in said.err, said.err


def start(*words: object, cwd: Path, **environment: str) -> "subprocess.Popen[str]":
    """Start a command in a process of its own, whose output comes in pipes."""
    return subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=ENVIRONMENT | environment,
        text=True,
    )


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, byte by byte."""
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    """A table with a header."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def fruit_rows(count: int = 30) -> list[tuple[object, ...]]:
    """Rows of colour, weight and the fruit it is."""
    kinds = (("red", 150, "apple"), ("yellow", 120, "banana"), ("red", 8, "cherry"))
    return [
        (colour, weight + k / count, name)
        for k, (colour, weight, name) in zip(range(count), kinds * count, strict=False)
    ]


def write_images(folder: Path, count: int = 6) -> Path:
    """A folder a class: light images and dark ones, no two alike."""
    numbers = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (folder / name).mkdir(parents=True)
        for k in range(count):
            pixels = numbers.integers(level - 30, level + 30, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{k}.png")
    return folder
