"""``didact evaluate``: score a run's model."""

import argparse
import json

from didact.cli.table import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("run", metavar="RUN", help="a run's directory")
    parser.add_argument(
        "--split", default="val", choices=("train", "val", "test"), help="which split; val by default"
    )
    parser.add_argument("--data", metavar="PATH", help="other labelled data, encoded as in training")
    parser.add_argument("--again", action="store_true", help="look at the test split once more, and count it")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate."""
    from didact.train.run import load

    numbers = load(arguments.run).evaluate(arguments.split, data=arguments.data, again=arguments.again)
    if arguments.json:
        print(json.dumps(numbers))
    else:
        print_table(
            ("number", arguments.data or arguments.split), [(k, f"{v:.4f}") for k, v in numbers.items()]
        )
    return 0
