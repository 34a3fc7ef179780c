"""``didact inspect``: what a network is, layer by layer; what one layer does, sees and costs."""

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from didact.errors import UsageError

if TYPE_CHECKING:
    from didact.cli.networks import Network

PICTURES = (".svg", ".png")
VIEWS = ("explain", "field", "against", "sweep", "diagram", "tree", "time")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument(
        "network",
        metavar="NETWORK",
        help="a model of `didact models`; file.py:FUNCTION, whose file is run and whose function or class "
        "gives an nn.Module; or a run's directory",
    )
    parser.add_argument(
        "--input",
        metavar="SIZES",
        help="one example, without the batch: 3x224x224, or 35:int64 for tokens; models and runs know theirs",
    )
    parser.add_argument(
        "--batch", metavar="N", type=int, default=1, help="examples; costs are for all of them"
    )
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="an argument of the model; repeatable"
    )
    parser.add_argument(
        "--optimizer", metavar="NAME", default="adam", help="for the memory that training takes"
    )
    parser.add_argument("--depth", metavar="D", type=int, help="add up what lies deeper than D names")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print comma-separated values")
    form.add_argument("--markdown", action="store_true", help="print a table for a page")
    view = parser.add_mutually_exclusive_group()
    view.add_argument("--explain", metavar="LAYER", help="the lecture's arithmetic of a layer")
    view.add_argument("--field", metavar="LAYER", help="what a layer sees, by the graph and measured")
    view.add_argument("--against", metavar="NETWORK", help="another network beside it")
    view.add_argument("--sweep", metavar="KEY=A,B,C", help="costs for several values of an argument")
    view.add_argument("--diagram", metavar="FILE", type=Path, help="draw the network, as .svg")
    view.add_argument("--tree", action="store_true", help="the network as a tree of parts")
    view.add_argument("--time", action="store_true", help="milliseconds and GFLOP/s of each layer, measured")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw what is shown, as .svg or .png")


def run(arguments: argparse.Namespace) -> int:
    """Inspect."""
    view = next((name for name in VIEWS if getattr(arguments, name)), "table")
    _check(arguments, view)

    from didact.cli.networks import open_network

    network = open_network(arguments.network, arguments.input, arguments.set)
    found = SHOWN[view](network, arguments)
    if arguments.plot:
        _draw(found, arguments.plot)
    if view != "table":
        print(json.dumps(found.to_dict()) if arguments.json else arguments.diagram or found)
    return 0


def _check(arguments: argparse.Namespace, view: str) -> None:
    """Refuse what does not go together before anything is built."""
    if arguments.plot and arguments.plot.suffix not in PICTURES:
        raise UsageError(f"--plot {arguments.plot}: name a file that ends in .svg or .png")
    if arguments.diagram and arguments.diagram.suffix != ".svg":
        raise UsageError(f"--diagram {arguments.diagram}: name a file that ends in .svg")
    if arguments.batch < 1:
        raise UsageError(f"--batch {arguments.batch}: it counts examples, from 1")
    if arguments.depth is not None and arguments.depth < 1:
        raise UsageError(f"--depth {arguments.depth}: it counts names from 1, the parts of the network")
    if view != "table" and (arguments.csv or arguments.markdown):
        raise UsageError(f"--{'csv' if arguments.csv else 'markdown'} is for the table, not for --{view}")
    if view in ("explain", "tree", "diagram") and arguments.plot:
        raise UsageError(f"--plot does not go with --{view}" + "; --diagram FILE draws" * (view == "tree"))


# What is shown


def _table(network: "Network", arguments: argparse.Namespace) -> Any:
    from didact.anatomy.inspection import inspect

    found = inspect(network.model, network.example(arguments.batch), optimizer=arguments.optimizer)
    found = found.folded(arguments.depth) if arguments.depth else found
    if arguments.json:
        print(json.dumps(found.to_dict()))
    elif arguments.csv:
        print(found.csv(), end="")
    elif arguments.markdown:
        print(found.markdown())
    else:
        _print_table(found)
    return found


def _print_table(found: Any) -> None:
    """On a terminal as wide as that is, with headings that stand out; whole in a pipe."""
    from didact.cli.table import wants_colour

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    headings, *rows = found.table(width)
    lines = [f"\033[1m{headings}\033[0m" if wants_colour() else headings, *rows]
    print("\n".join([*lines, "", *found.words(width)]))


def _explain(network: "Network", arguments: argparse.Namespace) -> Any:
    from didact.anatomy.explain import explain

    return explain(network.model, network.example(arguments.batch), arguments.explain)


def _field(network: "Network", arguments: argparse.Namespace) -> Any:
    from didact.anatomy.receptive_field import footprint

    return footprint(network.model, network.shape, arguments.field)


def _against(network: "Network", arguments: argparse.Namespace) -> Any:
    from didact.anatomy.against import against
    from didact.cli.networks import open_network

    other = open_network(arguments.against, arguments.input)
    return against(
        network.model,
        other.model,
        network.example(arguments.batch),
        second_input=other.example(arguments.batch),
        names=(network.name, other.name),
    )


def _sweep(network: "Network", arguments: argparse.Namespace) -> Any:
    from didact.anatomy.against import sweep
    from didact.cli.networks import read_value

    key, _, listed = arguments.sweep.partition("=")
    texts = [text for text in listed.split(",") if text]
    if not texts:
        raise UsageError(f"--sweep {arguments.sweep}: write KEY=A,B,C, such as --sweep width=0.25,0.5,1")
    values = [read_value(key, text, network.types) for text in texts]
    return sweep(network.make, key, values, network.example(arguments.batch))


def _diagram(network: "Network", arguments: argparse.Namespace) -> Any:
    from didact.anatomy.diagram import diagram
    from didact.train.files import write_bytes

    found = diagram(network.model, network.example(arguments.batch), depth=arguments.depth)
    if arguments.diagram:
        write_bytes(arguments.diagram, found.svg().encode())
    return found


def _time(network: "Network", arguments: argparse.Namespace) -> Any:
    from didact.anatomy.timing import time_layers

    return time_layers(network.model, network.example(arguments.batch))


SHOWN: dict[str, Callable[["Network", argparse.Namespace], Any]] = {
    "table": _table,
    "explain": _explain,
    "field": _field,
    "against": _against,
    "sweep": _sweep,
    "diagram": _diagram,
    "tree": _diagram,
    "time": _time,
}


def _draw(found: Any, path: Path) -> None:
    from didact.draw.style import to_png, to_svg
    from didact.train.files import write_bytes

    figure = found.plot()
    write_bytes(path, to_svg(figure).encode() if path.suffix == ".svg" else to_png(figure))
