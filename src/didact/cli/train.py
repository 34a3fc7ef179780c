"""``didact train``: train a model on data, or go on with a run."""

import argparse
import json
import sys
from pathlib import Path

from didact.catalog import find
from didact.errors import UsageError
from didact.train.recipe import make_recipe

FLAGS = ("data", "epochs", "batch-size", "lr", "optimizer", "seed", "device")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Few flags; every other knob is reached by --set, and listed at the end of the help."""
    from didact.train.recipe import knob_docs

    docs = knob_docs()
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="a name of `didact models`; lenet5 by default"
    )
    for flag in FLAGS:
        parser.add_argument(f"--{flag}", metavar="VALUE", help=docs[flag.replace("-", "_")])
    parser.add_argument("--compile", action="store_true", help=docs["compile"])
    parser.add_argument("--allow-bad", action="store_true", help=docs["allow_bad"])
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any knob of the recipe, argument of the model or knob of the task; may be repeated",
    )
    parser.add_argument("--recipe", metavar="FILE", type=Path, help="start from a saved recipe.json")
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
    shown = [key for key in docs if key not in ("model", "model_args", "task_args")]
    parser.epilog = "knobs for --set:\n" + "\n".join(f"  {key:<17} {docs[key]}" for key in shown)


def run(arguments: argparse.Namespace) -> int:
    """Train."""
    if arguments.verify and not arguments.resume:
        raise UsageError("--verify checks a run: didact train --resume RUN --verify")
    if arguments.resume:
        return _resume(arguments)
    settings = {flag.replace("-", "_"): getattr(arguments, flag.replace("-", "_")) for flag in FLAGS[1:]}
    settings = {key: value for key, value in settings.items() if value is not None}
    for flag in ("compile", "allow_bad"):
        if getattr(arguments, flag):
            settings[flag] = "true"
    for text in arguments.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: write KEY=VALUE, such as --set momentum=0.9")
        settings[key.strip()] = value
    recipe = make_recipe(arguments.model, arguments.data, settings=settings, file=arguments.recipe)
    if not arguments.quiet:
        print(f"{recipe.model}: {find(recipe.model).about}", file=sys.stderr)

    from didact.train.fit import fit_recipe

    return _conclude(fit_recipe(recipe, arguments.out, quiet=arguments.quiet), arguments.json)


def _resume(arguments: argparse.Namespace) -> int:
    from didact.train.fit import resume, verify

    given = [f"--{flag}" for flag in FLAGS if getattr(arguments, flag.replace("-", "_")) is not None]
    given += ["MODEL"] * (arguments.model is not None) + ["--set"] * bool(arguments.set)
    if given:
        raise UsageError(f"--resume continues with the run's own recipe; leave out {', '.join(given)}")
    code = _conclude(resume(arguments.resume, quiet=arguments.quiet), arguments.json)
    if arguments.verify:
        difference = verify(arguments.resume)
        same = "identical to an uninterrupted run, bit for bit"
        print(f"verify: {'differs: ' + difference if difference else same}", file=sys.stderr)
        return 1 if difference else code
    return code


def _conclude(run: object, as_json: bool) -> int:
    from didact.train.run import Run

    assert isinstance(run, Run)
    if as_json:
        print(json.dumps(run.to_dict()))
        return 0
    print(f"test {run.headline()}")
    print(f"run    {run.directory}")
    print(f"report {run.report}")
    return 0
