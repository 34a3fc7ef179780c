"""``didact report``: write a run's page again."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("run", metavar="RUN", help="a run's directory")


def run(arguments: argparse.Namespace) -> int:
    """Write report.html."""
    from didact.train.report import write_report
    from didact.train.run import load

    print(write_report(load(arguments.run)))
    return 0
