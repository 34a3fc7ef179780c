"""How the tests of the command line call it, and the files they feed it."""

import csv
import fcntl
import os
import pty
import struct
import sys
import termios
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image

from didact.cli.main import main

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


class Child:
    """A command in a process of its own: a fork of this one, which has imported torch already.

    Args:
        words: The command.
        cwd: The directory it is in.
        columns: Put it on a terminal so wide; its output comes in pipes without.
        environment: Variables, on top of those that decide on colour.
    """

    def __init__(self, *words: object, cwd: Path, columns: int = 0, **environment: str):
        self.seen = ""
        if columns:
            self.pid, self.source = pty.fork()
        else:
            self.source, sink = os.pipe()
            self.pid = os.fork()
        if self.pid:
            if columns:
                fcntl.ioctl(self.source, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
            else:
                os.close(sink)
            return
        if not columns:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(os.open(cwd / "stdout", os.O_WRONLY | os.O_CREAT), 1)
            os.dup2(sink, 2)
        _run(list(map(str, words)), cwd, ENVIRONMENT | environment)

    def read(self, until: str = "\0") -> str:
        """What it says on the terminal, or on standard error, until it says this or ends."""
        while until not in self.seen:
            try:
                piece = os.read(self.source, 65536)
            except OSError:  # how Linux says that the other side of a terminal has closed
                break
            if not piece:
                break
            self.seen += piece.decode(errors="replace").replace("\r\n", "\n")
        return self.seen

    def end(self) -> int:
        """Wait for its end; the exit code."""
        self.read()
        os.close(self.source)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _run(words: list[str], cwd: Path, environment: Mapping[str, str]) -> NoReturn:
    code = 70
    try:
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(fd, mode, 1) for fd, mode in enumerate("rww"))
        code = main(words)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


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
