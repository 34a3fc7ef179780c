"""``didact compare``: two runs side by side; refused where it would not be fair."""

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("first", metavar="RUN", help="a finished run")
    parser.add_argument("second", metavar="RUN", help="another one, on the same data")
    parser.add_argument(
        "--plot", metavar="FILE", type=Path, help="draw both validation curves (svg, png, pdf)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Compare."""
    from didact.train.compare import compare

    comparison = compare(arguments.first, arguments.second)
    if arguments.plot:
        comparison.plot().savefig(arguments.plot)
    print(json.dumps(comparison.to_dict()) if arguments.json else comparison)
    return 0
