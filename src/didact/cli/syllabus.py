"""``didact syllabus``: what the course teaches, where it lives, how to run it."""

import argparse
import json

from didact.cli.table import print_table
from didact.errors import DidactError

IN_FULL = 5  # concepts that are shown in full


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("word", nargs="*", metavar="WORD", help="a concept, or a part of its name or id")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Search; a few concepts are shown in full, many in a table."""
    from didact.syllabus.search import search

    words = " ".join(arguments.word)
    found = search(words)
    if not found:
        raise DidactError(f"nothing in the syllabus about {words!r}; didact syllabus lists all of it")
    if arguments.json:
        print(json.dumps([concept.to_dict() for concept in found]))
    elif words and len(found) <= IN_FULL:
        print("\n\n".join(map(str, found)))
    else:
        print_table(
            ("concept", "what", "code", "run"),
            [(c.id, c.title, ", ".join(c.code or c.docs), c.run) for c in found],
        )
    return 0
