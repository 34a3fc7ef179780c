"""``didact predict``: answer new examples from files or standard input."""

import argparse
import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

from didact.errors import DataError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("run", metavar="RUN", help="a run's directory")
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="images; CSV files with a header for tables; texts, one example a line. - is standard "
        "input, which is also read when no file is named",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    """Predict."""
    from didact.train.run import load

    trained = load(arguments.run)
    places, items = read_items(trained.facts.inputs, arguments.files or ["-"])
    for place, answer in zip(places, trained.predict(items), strict=True):
        if arguments.json:
            print(json.dumps({"input": place, **answer}))
        else:
            print(f"{place}  {in_line(answer)}")
    return 0


def read_items(inputs: str, files: list[str]) -> tuple[list[str], list[Any]]:
    """The examples in files, and where each stands.

    Raises:
        DataError: A file is missing or holds nothing.
    """
    if inputs == "sample":
        raise DataError("this run learned to generate, not to answer; use didact generate")
    if inputs == "image":
        if "-" in files:
            image = io.BytesIO(sys.stdin.buffer.read())
            from PIL import Image, UnidentifiedImageError

            try:
                return ["-"], [Image.open(image)]
            except UnidentifiedImageError:
                raise DataError("standard input: not an image that can be decoded") from None
        return files, [Path(file) for file in files]
    places: list[str] = []
    items: list[Any] = []
    for file in files:
        text = _text(file)
        rows: list[Any] = list(csv.DictReader(io.StringIO(text))) if inputs == "table" else text.splitlines()
        if not rows:
            raise DataError(f"{file}: no examples in it")
        items += rows
        places += [f"{file}:{line}" for line in range(2 if inputs == "table" else 1, len(items) + 2)][
            : len(rows)
        ]
    return places, items


def in_line(answer: dict[str, Any]) -> str:
    """An answer for people: the class and how sure, the number, or the next character."""
    if "class" in answer:
        return f"{answer['class']}  {answer['probability']:.1%}"
    name, value = next(iter(answer.items()))
    return f"{value:.4g}" if isinstance(value, float) else f"{name} {value!r}"


def _text(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{file}: no such file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not a text in UTF-8 (byte {error.start})") from None
