"""``didact models``: everything that can be trained."""

import argparse
import inspect
import json
from typing import Any

from didact.catalog import CATALOG, canonical
from didact.cli.table import print_table
from didact.errors import UsageError, suggest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="one model, with its arguments and its file"
    )
    parser.add_argument(
        "--task", metavar="TASK", help="only those that learn this: classify, regress, language ..."
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List."""
    if arguments.model:
        return _one(canonical(arguments.model), arguments.json)
    tasks = sorted({task for entry in CATALOG.values() for task in entry.tasks})
    if arguments.task and arguments.task not in tasks:
        raise UsageError(f"unknown task {arguments.task!r}; {suggest(arguments.task, tasks)}")
    chosen = {n: e for n, e in CATALOG.items() if not arguments.task or arguments.task in e.tasks}
    if arguments.json:
        print(
            json.dumps(
                {
                    n: {"tasks": e.tasks, "about": e.about, "source": e.source, "code": e.target}
                    for n, e in chosen.items()
                }
            )
        )
    else:
        print_table(
            ("model", "learns to", "data", "about", "source"),
            [(n, ", ".join(e.tasks), e.data, e.about, e.source) for n, e in chosen.items()],
        )
    return 0


def _one(name: str, as_json: bool) -> int:
    from didact.catalog import constructor_arguments

    entry = CATALOG[name]
    cls = entry.resolve()
    arguments = {
        k: ("from the data" if p.default is p.empty else p.default)
        for k, p in constructor_arguments(name).items()
    }
    size = _size(name)
    facts: dict[str, Any] = {
        "model": name,
        "about": entry.about,
        "source": entry.source,
        "learns to": ", ".join(entry.tasks),
        "parameters": size,
        "code": f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}",
        "arguments": arguments,
        "recipe": dict(entry.recipe),
    }
    if as_json:
        print(json.dumps(facts))
        return 0
    print_table(
        ("", name),
        [
            (k, ", ".join(f"{a}={v}" for a, v in value.items()) if isinstance(value, dict) else value)
            for k, value in facts.items()
            if k != "model"
        ],
    )
    print(f"\n{inspect.getdoc(inspect.getmodule(cls))}")
    return 0


def _size(name: str) -> str:
    """Parameters on the data that the catalogue pairs it with."""
    from didact.train.recipe import make_recipe
    from didact.train.run import build_for, open_recipe_data

    recipe = make_recipe(name)
    model, arguments = build_for(recipe, open_recipe_data(recipe).facts)
    sizes = ", ".join(f"{k}={v}" for k, v in arguments.items())
    return f"{sum(p.numel() for p in model.parameters()):,} on {recipe.data} ({sizes})"
