"""``didact evaluate``: score a run's model."""

import argparse
import json

from didact.cli.table import print_table
from didact.errors import UsageError, suggest

SPLITS = ("train", "val", "test")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("run", metavar="RUN", help="a run's directory")
    parser.add_argument("--split", metavar="SPLIT", help="train, val or test; val by default")
    parser.add_argument("--data", metavar="PATH", help="other labelled data, encoded as in training")
    parser.add_argument("--again", action="store_true", help="look at the test split once more, and count it")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate."""
    split = arguments.split or "val"
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}; {suggest(split, SPLITS)}")
    if arguments.split and arguments.data:
        raise UsageError("--data is scored as a whole; leave out --split")

    from didact.train.run import load

    numbers = load(arguments.run).evaluate(split, data=arguments.data, again=arguments.again)
    if arguments.json:
        print(json.dumps(numbers))
    else:
        rows = [(name, f"{value:.4f}") for name, value in numbers.items()]
        print_table(("number", arguments.data or split), rows)
    return 0
