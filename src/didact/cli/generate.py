"""``didact generate``: let a language model write, or a generator draw."""

import argparse
import json
import sys

from didact.errors import UsageError
from didact.train.parse import parse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("run", metavar="RUN", help="a run's directory")
    parser.add_argument("--prompt", default="", metavar="TEXT", help="what a language model continues")
    parser.add_argument("--length", default="400", metavar="N", help="characters to write; 400 by default")
    parser.add_argument(
        "--temperature", default="0.7", metavar="T", help="0 takes the likeliest; 0.7 by default"
    )
    parser.add_argument(
        "--top-k", default="0", metavar="K", help="draw among the K likeliest; 0, the default, all"
    )
    parser.add_argument("--count", default="10", metavar="N", help="samples a generator draws; 10 by default")
    parser.add_argument("--seed", default="0", metavar="N", help="the same seed gives the same; 0 by default")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Generate."""
    from didact.tasks.adversarial import Adversarial
    from didact.tasks.language import Language
    from didact.train.run import load

    whole = {
        name: parse(name, getattr(arguments, name), int) for name in ("length", "top_k", "count", "seed")
    }
    temperature = parse("temperature", arguments.temperature, float)
    trained = load(arguments.run)
    task = trained.task
    if isinstance(task, Language):
        text = task.generate(
            trained.model, arguments.prompt, whole["length"], temperature, whole["top_k"], whole["seed"]
        )
        print(json.dumps({"text": text}) if arguments.json else text)
    elif isinstance(task, Adversarial):
        if whole["count"] < 1:
            raise UsageError(f"count={whole['count']}: at least 1 sample")
        rows = task.generate(trained.model, whole["count"], whole["seed"]).tolist()
        print(
            json.dumps({"samples": rows})
            if arguments.json
            else "\n".join(" ".join(f"{value:.6f}" for value in row) for row in rows),
            file=sys.stdout,
        )
    else:
        raise UsageError(f"{trained.recipe.model} learned to {task.name}; didact predict answers with it")
    return 0
