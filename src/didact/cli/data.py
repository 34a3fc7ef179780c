"""``didact data``: the embedded data sets, or what was understood of a path and what is wrong with it."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from didact.cli.table import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("source", nargs="?", metavar="NAME|PATH", help="an embedded set, a file or a folder")
    parser.add_argument("--target", metavar="COLUMN", help="the column to predict, for tables")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List the embedded sets, or describe one source; 1 when something is wrong with it."""
    from didact.data.embedded import EMBEDDED

    if arguments.source is None:
        if arguments.json:
            print(json.dumps({name: {"about": e.about, "task": e.task} for name, e in EMBEDDED.items()}))
        else:
            print_table(("data", "task", "about"), [(name, e.task, e.about) for name, e in EMBEDDED.items()])
        return 0

    from didact.data.card import data_card
    from didact.data.open import open_data, read

    raw = read(arguments.source, target=arguments.target)
    fatal = [problem for problem in raw.problems if problem.fatal]
    card = data_card(open_data(arguments.source, target=arguments.target, allow_bad=True))
    if arguments.json:
        for example in card["examples"]:
            example.pop("picture", None)
        print(json.dumps(card))
    else:
        _show(card)
    for problem in raw.problems:
        print(f"{'wrong' if problem.fatal else 'note'}: {problem}", file=sys.stderr)
    if fatal:
        print(
            f"{len(fatal)} wrong in {Path(str(arguments.source))}: mend them, or train with --allow-bad",
            file=sys.stderr,
        )
    return 1 if fatal else 0


def _show(card: dict[str, Any]) -> None:
    learns = {
        "class": f"{card['target_name']}, one of {len(card.get('classes', []))}",
        "number": f"{card['target_name']}, a number",
        "next": "the next token",
        "none": "its distribution",
    }
    shape = " x ".join(map(str, card["input_shape"]))
    rows = [
        ("data", card["name"]),
        ("about", card["about"]),
        ("one example", f"{card['inputs']} {shape}"),
        ("to learn", learns[card["target"]]),
        ("sizes", _pairs(card["sizes"])),
    ]
    if "vocabulary" in card:
        rows.append(("vocabulary", str(card["vocabulary"])))
    rows += [(f"column {name}", kind) for name, kind in card.get("columns", {}).items()]
    rows += [(f"class {name}", _pairs(counts)) for name, counts in card.get("classes", {}).items()]
    print_table(("", ""), [row for row in rows if row[1]])


def _pairs(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
