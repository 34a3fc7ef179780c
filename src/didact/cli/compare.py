"""``didact compare``: two runs side by side; refused where it would not be fair."""

import argparse
import json
from pathlib import Path

from didact.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("first", metavar="RUN", help="a finished run")
    parser.add_argument("second", metavar="RUN", help="another one, on the same data")
    parser.add_argument(
        "--plot", metavar="FILE", type=Path, help="draw both validation curves, as .svg or .png"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Compare."""
    if arguments.plot and arguments.plot.suffix not in (".svg", ".png"):
        raise UsageError(f"--plot {arguments.plot}: name a file that ends in .svg or .png")

    from didact.train.compare import compare

    comparison = compare(arguments.first, arguments.second)
    if arguments.plot:
        from didact.draw.style import to_png, to_svg
        from didact.train.files import write_bytes

        figure = comparison.plot()
        vector = arguments.plot.suffix == ".svg"
        write_bytes(arguments.plot, to_svg(figure).encode() if vector else to_png(figure))
    print(json.dumps(comparison.to_dict()) if arguments.json else comparison)
    return 0
