"""``didact data``: the embedded data sets, or what was understood of a path and what is wrong with it."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from didact.catalog import CATALOG
from didact.cli.table import print_pairs, print_table
from didact.errors import DataError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from didact.data.open import Data

EXAMPLES = 3  # that are shown
QUIET = 2.0  # seconds between two words on how far a long check has come


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("source", nargs="?", metavar="NAME|PATH", help="an embedded set, a file or a folder")
    parser.add_argument("--target", metavar="COLUMN", help="the column to predict, for tables")
    parser.add_argument(
        "--augment", metavar="LIST", help="show random changes, such as flip,rotate:15; with --plot"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="look for all that is wrong with the data; 1 when something fatal or a warning is found",
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        type=Path,
        help="draw what --augment does, or what --check found, as .svg or .png",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List the embedded sets, or describe one source; 1 when something is wrong with it."""
    _check_plot(arguments)
    if arguments.source is None:
        _list(arguments.json)
        return 0
    if arguments.check:
        return _check(arguments)

    from didact.data.card import data_card
    from didact.data.open import open_data, read

    card = None
    try:
        data = open_data(arguments.source, target=arguments.target, allow_bad=True)
        card, problems = data_card(data), data.problems
        if arguments.plot:
            _draw(data, arguments.augment.split(","), arguments.plot)
    except DataError:  # so little of it is sound that it cannot be opened: still say what is wrong
        problems = read(arguments.source, target=arguments.target).problems
        if not any(problem.fatal for problem in problems):
            raise
    if card:
        _show(card, arguments.json)
    for problem in problems:
        print(f"{'wrong' if problem.fatal else 'note'}: {problem}", file=sys.stderr)
    fatal = sum(problem.fatal for problem in problems)
    if fatal:
        print(f"{fatal} wrong in {arguments.source}: mend it, or train with --allow-bad", file=sys.stderr)
    return 1 if fatal else 0


def _check_plot(arguments: argparse.Namespace) -> None:
    """Refuse one of --augment and --plot without the other, and what cannot be drawn."""
    if arguments.check and not arguments.source:
        raise UsageError("--check: name what to check, such as didact data ./flowers --check")
    if arguments.check and arguments.augment:
        raise UsageError("--augment does not go with --check; leave one of them out")
    if not arguments.check and (
        bool(arguments.augment) != bool(arguments.plot) or (arguments.plot and not arguments.source)
    ):
        raise UsageError(
            "--augment and --plot go together: didact data digits --augment flip --plot changes.svg"
        )
    if arguments.plot and arguments.plot.suffix not in (".svg", ".png"):
        raise UsageError(f"--plot {arguments.plot}: name a file that ends in .svg or .png")


def _check(arguments: argparse.Namespace) -> int:
    """The data doctor: its report on standard output, how far it has come on standard error."""
    from didact.data.check.report import check_data

    report = check_data(arguments.source, target=arguments.target, progress=_Pace())
    print(json.dumps(report.to_dict()) if arguments.json else report)
    if arguments.plot:
        from didact.draw.data_check import draw_data_check

        if exhibits := report.exhibits():
            _save(draw_data_check(exhibits), arguments.plot)
        else:
            print("not drawn: nothing could be read", file=sys.stderr)
    return 1 if report.failed else 0


class _Pace:
    """Says every few seconds how many images were looked at; a short check says nothing."""

    spoke = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Called after each image."""
        now = time.monotonic()
        self.spoke = self.spoke or now
        if now - self.spoke >= QUIET:
            self.spoke = now
            print(f"looked at {done:,} of {total:,} images", file=sys.stderr)


def _draw(data: "Data", steps: list[str], path: Path) -> None:
    """Draw some training images, each beside random versions."""
    from didact.data.augment.versions import versions
    from didact.data.card import picture_uri
    from didact.draw.gallery import draw_gallery

    shown = versions(data, steps)
    pictures, labels = [picture_uri(each["pixels"]) for each in shown], [each["label"] for each in shown]
    _save(draw_gallery(pictures, labels, labels), path)


def _save(figure: "Figure", path: Path) -> None:
    from didact.draw.style import to_png, to_svg
    from didact.train.files import write_bytes

    write_bytes(path, to_svg(figure).encode() if path.suffix == ".svg" else to_png(figure))
    print(f"drawn: {path}", file=sys.stderr)


def _list(as_json: bool) -> None:
    from didact.data.embedded import EMBEDDED

    if as_json:
        print(json.dumps({name: {"about": e.about, "task": e.task} for name, e in EMBEDDED.items()}))
    else:
        print_table(("data", "task", "about"), [(name, e.task, e.about) for name, e in EMBEDDED.items()])


def _show(card: dict[str, Any], as_json: bool) -> None:
    if as_json:
        for example in card["examples"]:
            example.pop("picture", None)
        print(json.dumps(card))
        return
    rows = [
        ("data", card["name"]),
        ("about", card["about"]),
        ("one example", _example(card)),
        ("to learn", _target(card)),
        ("learned by", ", ".join(_models(card)) or "no model yet"),
        ("tokens" if card["inputs"] == "tokens" else "examples", _pairs(card["sizes"])),
    ]
    rows += [(f"column {name}", kind) for name, kind in card.get("columns", {}).items()]
    rows += [(f"class {name}", _pairs(counts)) for name, counts in card.get("classes", {}).items()]
    for example in card["examples"][:EXAMPLES]:
        if "text" in example:
            shown = [example["text"], example["label"]]
            rows.append(("for example", " -> ".join(part for part in shown if part)))
    print_pairs(rows)


def _example(card: dict[str, Any]) -> str:
    size = card["input_shape"][-1]
    if card["inputs"] == "image":
        channels, height, width = card["input_shape"]
        return f"an image of {width} x {height} pixels, {'colour' if channels == 3 else 'grey'}"
    return {
        "table": f"a row of {len(card.get('columns', {}))} columns, {size} numbers to the model",
        "bag": f"a text, as counts of the {size:,} commonest words",
        "tokens": f"text, character by character, of {card.get('vocabulary')} different ones",
        "sample": f"{size} number{'s' * (size > 1)}",
    }[card["inputs"]]


def _target(card: dict[str, Any]) -> str:
    return {
        "class": f"{card['target_name']}, one of {len(card.get('classes', []))}",
        "number": f"{card['target_name']}, a number",
        "next": "the next character",
        "none": "the distribution, to draw more like them",
    }[card["target"]]


def _models(card: dict[str, Any]) -> list[str]:
    """The models that take such inputs and learn such a target."""
    from didact.tasks.choose import LEARNS

    task = LEARNS[card["target"]]
    return [name for name, e in CATALOG.items() if card["inputs"] in e.inputs and task in e.tasks]


def _pairs(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
