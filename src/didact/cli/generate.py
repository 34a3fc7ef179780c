"""``didact generate``: let a language model write, or a generator draw."""

import argparse
import json
from typing import Any

from didact.errors import UsageError
from didact.train.parse import parse

WRITING: dict[str, tuple[type, Any]] = {  # flag: its type and default
    "prompt": (str, ""),
    "length": (int, 400),
    "temperature": (float, 0.7),
    "top_k": (int, 0),
}
DRAWING: dict[str, tuple[type, Any]] = {"count": (int, 10)}
BOTH: dict[str, tuple[type, Any]] = {"seed": (int, 0)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("run", metavar="RUN", help="a run's directory")
    parser.add_argument("--prompt", metavar="TEXT", help="what a language model continues")
    parser.add_argument("--length", metavar="N", help="characters to write; 400 by default")
    parser.add_argument("--temperature", metavar="T", help="0 takes the likeliest; 0.7 by default")
    parser.add_argument("--top-k", metavar="K", help="draw among the K likeliest; 0, the default, all")
    parser.add_argument("--count", metavar="N", help="samples a generator draws; 10 by default")
    parser.add_argument("--seed", metavar="N", help="the same seed gives the same; 0 by default")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Generate."""
    given = {
        flag: parse(flag, getattr(arguments, flag), kind)
        for flag, (kind, _) in (WRITING | DRAWING | BOTH).items()
        if getattr(arguments, flag) is not None
    }
    if not 0 <= given.get("seed", 0) < 2**63:
        raise UsageError(f"seed={given['seed']}: a whole number from 0 on")

    from didact.tasks.adversarial import Adversarial
    from didact.tasks.language import Language
    from didact.train.run import load

    trained = load(arguments.run)
    task = trained.task
    if isinstance(task, Language):
        text = task.generate(trained.model, **_chosen(given, WRITING, "writes text"))
        print(json.dumps({"text": text}) if arguments.json else text)
    elif isinstance(task, Adversarial):
        chosen = _chosen(given, DRAWING, "draws samples")
        if chosen["count"] < 1:
            raise UsageError(f"count={chosen['count']}: at least 1 sample")
        rows = task.generate(trained.model, **chosen).tolist()
        lines = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in rows)
        print(json.dumps({"samples": rows}) if arguments.json else lines)
    else:
        raise UsageError(f"{trained.recipe.model} learned to {task.name}; didact predict answers with it")
    return 0


def _chosen(given: dict[str, Any], flags: dict[str, tuple[type, Any]], does: str) -> dict[str, Any]:
    """The value of each flag that applies.

    Raises:
        UsageError: A flag was given that says nothing to this model.
    """
    known = flags | BOTH
    for flag in given:
        if flag not in known:
            raise UsageError(f"--{flag.replace('_', '-')}: this model {does}; leave it out")
    return {flag: given.get(flag, default) for flag, (_, default) in known.items()}
