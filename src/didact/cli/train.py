"""``didact train``: train a model on data, or go on with a run."""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Literal, get_args, get_origin

from didact.catalog import canonical
from didact.errors import UsageError
from didact.train.recipe import knob_docs, make_recipe, recipe_types

if TYPE_CHECKING:
    from didact.train.run import Run

FLAGS = ("data", "epochs", "batch_size", "lr", "optimizer", "seed", "device", "weights", "transfer")
SWITCHES = ("compile", "allow_bad")
WITH_RESUME = {"resume", "verify", "quiet", "json"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Few flags; every other knob is reached by --set, and listed at the end of the help."""
    docs = _docs()
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="a name of `didact models`; lenet5 by default"
    )
    for flag in FLAGS:
        parser.add_argument("--" + flag.replace("_", "-"), metavar="VALUE", help=docs[flag])
    for flag in SWITCHES:
        parser.add_argument("--" + flag.replace("_", "-"), action="store_true", help=docs[flag])
    parser.add_argument("--no-watch", action="store_true", help="train without the doctor")
    parser.add_argument(
        "--heal", action="store_true", help="train again as the doctor advises; the better run counts"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any knob of the recipe, argument of the model or knob of the task; may be repeated",
    )
    parser.add_argument(
        "--recipe",
        metavar="FILE",
        help="start from a saved recipe.json; or from paper, what the authors did, at full size",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="the run's directory; runs/MODEL-DATA-N by default"
    )
    parser.add_argument(
        "--resume", metavar="RUN", type=Path, help="go on with a run, to the identical result"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="with --resume: train once more without a break and compare bit for bit",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print the finished run as JSON")
    parser.epilog = _knobs(docs)


def run(arguments: argparse.Namespace) -> int:
    """Train."""
    if arguments.resume:
        return _resume(arguments)
    if arguments.verify:
        raise UsageError("--verify checks a run: didact train --resume RUN --verify")
    model = _model(arguments.model) if arguments.model else None
    paper = arguments.recipe == "paper"
    file = Path(arguments.recipe) if arguments.recipe and not paper else None
    recipe = make_recipe(model, arguments.data, settings=_settings(arguments), file=file, paper=paper)

    if arguments.heal:
        from didact.train.heal import fit_and_heal as train
    else:
        from didact.train.fit import fit_recipe as train

    _conclude(train(recipe, arguments.out, quiet=arguments.quiet), arguments.json)
    return 0


def _resume(arguments: argparse.Namespace) -> int:
    given = [name for name, value in vars(arguments).items() if value and name not in WITH_RESUME]
    if given:
        named = ["MODEL" if name == "model" else "--" + name.replace("_", "-") for name in given]
        raise UsageError(f"--resume goes on with the run's own recipe; leave out {', '.join(named)}")

    from didact.train.fit import resume, verify
    from didact.train.run import load

    if load(arguments.resume).finished and not arguments.verify:
        print(f"{arguments.resume} was finished already", file=sys.stderr)
    _conclude(resume(arguments.resume, quiet=arguments.quiet), arguments.json)
    if not arguments.verify:
        return 0
    difference = verify(arguments.resume, quiet=arguments.quiet)
    same = "identical to an uninterrupted run, bit for bit"
    print(f"verify: {'differs: ' + difference if difference else same}", file=sys.stderr)
    return 1 if difference else 0


def _model(name: str) -> str:
    """The catalogue's spelling; data in a model's place is the commonest slip, and gets its own answer."""
    from didact.data.embedded import EMBEDDED

    try:
        return canonical(name)
    except UsageError:
        if name in EMBEDDED or Path(name).exists():
            raise UsageError(f"{name!r} is data, not a model: didact train --data {name}") from None
        raise


def _settings(arguments: argparse.Namespace) -> dict[str, str]:
    """Every knob that was typed, as text."""
    given = vars(arguments)
    settings = {flag: given[flag] for flag in FLAGS if flag != "data" and given[flag] is not None}
    settings |= {flag: "true" for flag in SWITCHES if given[flag]}
    if given["no_watch"]:
        settings["watch"] = "false"
    for text in arguments.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: write KEY=VALUE, such as --set momentum=0.9")
        settings[key.strip()] = value
    return settings


def _docs() -> dict[str, str]:
    """What each knob is, with the values it may take where they are few."""
    docs = {}
    for knob, declared in recipe_types().items():
        text = knob_docs().get(knob, "").removesuffix(".")
        text = text[:1].lower() + text[1:] if text[1:2].islower() else text
        choices = ", ".join(map(str, get_args(declared))) if get_origin(declared) is Literal else ""
        docs[knob] = f"{text} ({choices})" if choices else text
    return docs


def _knobs(docs: Mapping[str, str]) -> str:
    """The end of the help: what --set reaches."""
    knobs = {knob: text for knob, text in docs.items() if knob not in ("model", "model_args", "task_args")}
    margin = " " * (max(map(len, knobs)) + 4)
    width = max(shutil.get_terminal_size().columns - 2, len(margin) + 20)
    lines = [
        line
        for knob, text in knobs.items()
        for line in wrap(text, width, initial_indent=f"  {knob}".ljust(len(margin)), subsequent_indent=margin)
    ]
    more = "`didact models MODEL` lists the arguments of a model."
    return "\n".join(["knobs for --set:", *lines, "", more])


def _conclude(run: "Run", as_json: bool) -> None:
    from didact.cli.table import print_pairs

    if as_json:
        print(json.dumps(run.to_dict()))
    else:
        print_pairs([("test", run.headline()), ("run", run.directory), ("report", run.report)])
