"""``didact experiment``: the experiments of the lectures, run, measured, drawn and judged."""

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from didact.cli.table import print_pairs, print_table
from didact.errors import UsageError
from didact.train.parse import parse

if TYPE_CHECKING:
    from didact.recipes.experiment import Experiment, Results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="one experiment; without it they are listed")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="its folder, in which finished runs are found again; runs/experiment-NAME by default",
    )
    parser.add_argument("--seeds", metavar="N", help="how many seeds; 3 by default")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a knob for all variants alike, such as epochs=2; may be repeated",
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing of each run")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List the experiments, or run one."""
    from didact.recipes.experiments.every import EXPERIMENTS, find_experiment

    if arguments.name is None:
        _refuse_idle(arguments)
        _list(list(EXPERIMENTS.values()), arguments.json)
        return 0
    experiment = find_experiment(arguments.name)
    folder = arguments.out or Path("runs") / f"experiment-{experiment.name}"
    results = _run(experiment, folder, arguments)
    if arguments.json:
        print(json.dumps(results.to_dict()))
    else:
        _show(results, folder)
    return 0


def _refuse_idle(arguments: argparse.Namespace) -> None:
    """Nothing that belongs to a run is passed over in silence."""
    given = [flag for flag in ("out", "seeds", "set", "quiet") if getattr(arguments, flag)]
    if given:
        named = ", ".join(f"--{flag}" for flag in given)
        raise UsageError(f"{named} belongs to one experiment; name it: didact experiment NAME")


def _list(experiments: "list[Experiment]", as_json: bool) -> None:
    if as_json:
        listed = {
            e.name: {
                "question": e.question,
                "source": e.source,
                "claim": e.claim,
                "variants": list(e.variants),
                "minutes": e.minutes,
                "seeds": e.seeds,
            }
            for e in experiments
        }
        print(json.dumps(listed))
        return
    rows = [(e.name, f"{e.minutes:g} min", e.question, ", ".join(e.variants)) for e in experiments]
    print_table(("experiment", "time", "question", "variants"), rows)


def _run(experiment: "Experiment", folder: Path, arguments: argparse.Namespace) -> "Results":
    from didact.recipes.experiment import run_experiment
    from didact.train.loop import Interrupted

    seeds = None if arguments.seeds is None else parse("seeds", arguments.seeds, int)
    settings = dict(map(_setting, arguments.set))
    try:
        return run_experiment(experiment, folder, seeds=seeds, quiet=arguments.quiet, settings=settings)
    except (Interrupted, KeyboardInterrupt) as stop:
        where = f" --out {shlex.quote(str(folder))}" if arguments.out else ""
        text = f"stopped; the same command, didact experiment {experiment.name}{where}, goes on"
        raise type(stop)(text) from None


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: write KEY=VALUE, such as --set epochs=2")
    return key.strip(), value


def _show(results: "Results", folder: Path) -> None:
    table, asked = results.table, results.experiment
    print_table(
        ("variant", *table.numbers),
        [(v, *(str(table.of(v, name)) for name in table.numbers)) for v in table.variants],
    )
    print()
    print_pairs(
        [
            ("question", asked.question),
            ("claim", f"{asked.claim} ({asked.source})"),
            ("verdict", results.verdict),
            ("drawn", folder / "experiment.svg"),
        ]
    )
