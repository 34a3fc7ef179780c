"""The ``didact`` command: parse first, import only what the chosen command needs."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn

from didact.errors import DataError, DidactError, UsageError, suggest

LISTED = 20  # problems of broken data that are named; didact data names all


@dataclass(frozen=True)
class Command:
    """A command: its line in the help and the example that opens its own help."""

    about: str
    example: str


COMMANDS = {
    "train": Command("train a model on data", "didact train lenet5 --data digits"),
    "transfer": Command(
        "what to train again of a trained network", "didact transfer resnet18 --data ./flowers"
    ),
    "evaluate": Command("score a run's model", "didact evaluate runs/lenet5-digits-1"),
    "predict": Command("answer new examples", "didact predict runs/lenet5-digits-1 seven.png"),
    "generate": Command(
        "let a generative model write or draw", "didact generate runs/lstm-manual-1 --length 300"
    ),
    "models": Command("everything that can be trained", "didact models --task classify"),
    "inspect": Command(
        "a network layer by layer: output, parameters, MACs, FLOPs, receptive field",
        "didact inspect vgg16 --input 3x224x224",
    ),
    "doctor": Command(
        "why a training is not learning: any PyTorch script, unchanged, under observation",
        "didact doctor my_train.py -- --lr 0.1",
    ),
    "data": Command("embedded data, or what was understood of a path", "didact data ./flowers"),
    "report": Command("write a run's report.html again", "didact report runs/lenet5-digits-1"),
    "compare": Command("two runs side by side", "didact compare runs/mlp-digits-1 runs/mlp-digits-2"),
    "experiment": Command("the experiments of the lectures", "didact experiment degradation --seeds 1"),
    "syllabus": Command("what the course teaches, where it lives, how to run it", "didact syllabus dropout"),
}
FLAGS = {
    "--help": "this text; didact COMMAND --help shows an example and every flag",
    "--version": "the version",
    "--debug": "show a traceback when something fails",
}


class Parser(argparse.ArgumentParser):
    """Help that opens with an example; errors of one line that suggest what was meant.

    Attributes:
        passes_on: What follows ``--`` is somebody else's: it is not parsed, and found as ``passed_on``.
    """

    passes_on = False

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise UsageError(f"{message}; see {self.prog} --help")

    def parse_strictly(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse, and name the nearest flag when one is unknown."""
        arguments, others = _cut(arguments) if self.passes_on else (arguments, [])
        parsed, unknown = self.parse_known_args(arguments)
        parsed.passed_on = others
        if unknown:
            known = [option for action in self._actions for option in action.option_strings]
            flag = unknown[0].split("=")[0]
            hint = f"did you mean --data {flag}?" if "--data" in known else f"see {self.prog} --help"
            hint = suggest(flag, known) if flag.startswith("-") else hint
            if self.passes_on:
                near = f"{hint} " if "did you mean" in hint else ""
                hint = f"{near}The script's own arguments stand after --: {self.prog} train.py -- {flag}"
            raise UsageError(f"{self.prog} does not understand {flag!r}; {hint}")
        return parsed


def overview() -> str:
    """The help of ``didact`` itself."""
    width = max(map(len, [*COMMANDS, *FLAGS]))
    commands = "\n".join(f"  {name:<{width}}  {command.about}" for name, command in COMMANDS.items())
    flags = "\n".join(f"  {name:<{width}}  {about}" for name, about in FLAGS.items())
    return (
        "didact train                     LeNet-5 learns handwritten digits: start here\n\n"
        "didact trains every network that a deep-learning course teaches, and shows what happens inside.\n\n"
        f"commands:\n{commands}\n\nflags:\n{flags}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 1 (failed), 2 (wrong usage) or 130 (Ctrl-C)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    ours, others = _cut(words)
    debug = "--debug" in ours
    words = [word for word in ours if word != "--debug"] + (["--", *others] if "--" in words else [])
    try:
        code = _dispatch(words)
        sys.stdout.flush()
    except KeyboardInterrupt as stop:
        _say(str(stop) or "stopped")
        return 130
    except BrokenPipeError:  # the reader has seen enough: didact models | head
        _drop_output()
        return 0
    except Exception as error:
        if debug:
            raise
        _say(_explained(error))
        _drop_output_that_cannot_be_written()
        return error.exit_code if isinstance(error, DidactError) else 1
    return code


def _cut(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before ``--``, and after it."""
    place = words.index("--") if "--" in words else len(words)
    return list(words[:place]), list(words[place + 1 :])


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0
    if words[0] == "--version":
        from didact.version import VERSION

        print(f"didact {VERSION}")
        return 0
    name, *rest = words
    if name not in COMMANDS:
        raise UsageError(f"unknown command {name!r}; {suggest(name, [*COMMANDS, *FLAGS])}")
    command = COMMANDS[name]
    parser = Parser(
        prog=f"didact {name}",
        description=f"{command.example}\n\n{command.about[0].upper()}{command.about[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    module = import_module(f"didact.cli.{name}")
    module.add_arguments(parser)
    try:
        parsed = parser.parse_strictly(rest)
    except SystemExit:  # argparse has printed the help
        return 0
    return int(module.run(parsed))


def _explained(error: Exception) -> str:
    """One line, whatever happened; below it, where data is broken in several places, the others."""
    if isinstance(error, DataError):
        return "\n  ".join([str(error), *map(str, error.problems[1:LISTED])])
    if isinstance(error, DidactError):
        return str(error)
    if isinstance(error, OSError):
        return ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return "not enough memory; try a smaller --batch-size, or a smaller model"
    return f"{type(error).__name__}: {text} (--debug shows where)"


def _say(message: str) -> None:
    print(f"didact: {message}", file=sys.stderr)


def _drop_output_that_cannot_be_written() -> None:
    """Spare the interpreter a second failure at its end when standard output is on a full disk."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
