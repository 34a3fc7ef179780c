"""``didact transfer``: what to train again of a network that was trained before, measured on your data."""

import argparse
import json
from pathlib import Path

from didact.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("model", metavar="MODEL", help="a classifier of `didact models`")
    parser.add_argument("--data", metavar="VALUE", required=True, help="your images, a folder for each class")
    parser.add_argument(
        "--weights",
        metavar="VALUE",
        default="imagenet",
        help="a file, a run, an address, hub:OWNER/NAME; imagenet by default, the published ones",
    )
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw the map, as .svg or .png")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Advise."""
    if arguments.plot and arguments.plot.suffix not in (".svg", ".png"):
        raise UsageError(f"--plot {arguments.plot}: name a file that ends in .svg or .png")

    from didact.train.advice import advise

    advice = advise(arguments.model, arguments.weights, arguments.data)
    if arguments.plot:
        from didact.draw.style import to_png, to_svg
        from didact.train.files import write_bytes

        figure = advice.plot()
        vector = arguments.plot.suffix == ".svg"
        write_bytes(arguments.plot, to_svg(figure).encode() if vector else to_png(figure))
    print(json.dumps(advice.to_dict()) if arguments.json else advice)
    return 0
