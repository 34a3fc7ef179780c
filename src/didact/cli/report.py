"""``didact report``: write a run's page again."""

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("run", metavar="RUN", help="a run's directory")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Write report.html."""
    from didact.train.report import write_report
    from didact.train.run import load

    page = write_report(load(arguments.run))
    print(json.dumps({"report": str(page)}) if arguments.json else page)
    return 0
