"""``didact models``: everything that can be trained, or one model in full."""

import argparse
import inspect
import json
from typing import Any

from didact.catalog import CATALOG, canonical
from didact.cli.table import print_pairs, print_table
from didact.entry import Entry
from didact.errors import UsageError, suggest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="one model: its arguments, its recipe, its file"
    )
    tasks = ", ".join(_tasks())
    parser.add_argument("--task", metavar="TASK", help=f"only those that learn this: {tasks}")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List the catalogue, or show one entry of it."""
    if arguments.model and arguments.task:
        raise UsageError("a MODEL is shown whatever it learns; leave out --task")
    if arguments.model in _tasks():
        raise UsageError(f"{arguments.model!r} is a task: didact models --task {arguments.model}")
    if arguments.model:
        _one(canonical(arguments.model), arguments.json)
        return 0
    if arguments.task and arguments.task not in _tasks():
        raise UsageError(f"unknown task {arguments.task!r}; {suggest(arguments.task, _tasks())}")
    chosen = {n: e for n, e in CATALOG.items() if not arguments.task or arguments.task in e.tasks}
    if arguments.json:
        print(json.dumps({name: _facts(entry) for name, entry in chosen.items()}))
    else:
        print_table(
            ("model", "parameters", "learns to", "takes", "data", "about", "source", "code"),
            [
                (n, f"{e.parameters:,}", _list(e.tasks), _list(e.inputs), e.data, e.about, e.source, e.target)
                for n, e in chosen.items()
            ],
        )
    return 0


def _one(name: str, as_json: bool) -> None:
    from didact.catalog import constructor_arguments
    from didact.train.recipe import argument_docs
    from didact.train.words import setting

    entry = CATALOG[name]
    cls = entry.resolve()
    defaults = {
        key: "from the data" if parameter.default is parameter.empty else parameter.default
        for key, parameter in constructor_arguments(name).items()
    }
    built_for = f" on {entry.data}" if "from the data" in defaults.values() else ""
    place = f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    if as_json:
        print(json.dumps({"model": name} | _facts(entry) | {"file": place, "arguments": defaults}))
        return
    print_pairs(
        [
            ("model", name),
            ("about", entry.about),
            ("source", entry.source),
            ("learns to", _list(entry.tasks)),
            ("takes", _list(entry.inputs)),
            ("parameters", f"{entry.parameters:,}{built_for}"),
            ("code", place),
        ]
    )
    docs = argument_docs(cls)
    print("\narguments, for --set:")
    print_pairs([(f"  {key}={setting(value)}", docs.get(key, "")) for key, value in defaults.items()])
    print("\nrecipe, unless you say otherwise:")
    print_pairs([(f"  {key}={setting(value)}", "") for key, value in entry.recipe.items()])
    _paper(name)
    print(f"\n{inspect.getdoc(inspect.getmodule(cls))}")


def _paper(name: str) -> None:
    """What the authors did, where that is written down."""
    from didact.train.papers import paper_of
    from didact.train.words import setting

    try:
        paper = paper_of(name)
    except UsageError:
        return
    print("\nrecipe of the paper, with --recipe paper:")
    print_pairs([(f"  {key}={setting(value)}", "") for key, value in paper.knobs.items()])
    print(f"  {paper.source}\n  other there: {paper.differs}")


def _facts(entry: Entry) -> dict[str, Any]:
    return {
        "about": entry.about,
        "tasks": entry.tasks,
        "inputs": entry.inputs,
        "data": entry.data,
        "parameters": entry.parameters,
        "source": entry.source,
        "code": entry.target,
        "recipe": dict(entry.recipe),
    }


def _tasks() -> list[str]:
    return sorted({task for entry in CATALOG.values() for task in entry.tasks})


def _list(words: tuple[str, ...]) -> str:
    return ", ".join(words)
