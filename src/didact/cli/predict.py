"""``didact predict``: answer new examples from files or standard input."""

import argparse
import json
import sys
from typing import Any

TOGETHER = 256  # examples that are answered in one go


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("run", metavar="RUN", help="a run's directory")
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="images, or a folder of them; tables with a header; texts, one example a line. - is standard "
        "input, which is also read when no file is named",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    """Predict."""
    from didact.cli.examples import STDIN, read_examples
    from didact.train.run import load

    trained = load(arguments.run)
    examples = read_examples(trained.facts, arguments.files or [STDIN])
    for note in examples.notes:
        print(f"note: {note}", file=sys.stderr)
    for start in range(0, len(examples.items), TOGETHER):
        some = slice(start, start + TOGETHER)
        answers = trained.predict(examples.items[some])
        for place, answer in zip(examples.places[some], answers, strict=True):
            print(json.dumps({"input": place, **answer}) if arguments.json else f"{place}  {in_line(answer)}")
    return 0


def in_line(answer: dict[str, Any]) -> str:
    """An answer for people: the class and how sure, the number, or the next character."""
    if "class" in answer:
        return f"{answer['class']}  {answer['probability']:.1%}"
    name, value = next(iter(answer.items()))
    return f"{value:.4g}" if isinstance(value, float) else f"{name} {value!r}"
