"""The errors a user can cause. Each message is one line: the value, the rule and the fix."""

from collections.abc import Iterable
from difflib import get_close_matches


class DidactError(ValueError):
    """Something the user can mend. The command line prints the message alone and exits with ``exit_code``."""

    exit_code = 1


class UsageError(DidactError):
    """The command or call itself is wrong: an unknown name, a value out of range."""

    exit_code = 2


class RunError(DidactError):
    """A run directory is missing, damaged, or used against its rules."""


class DataError(DidactError):
    """Data that cannot be trained on. ``problems`` lists every finding with its file and line."""

    def __init__(self, message: str, problems: Iterable[object] = ()):
        super().__init__(message)
        self.problems = list(problems)


def suggest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, or list them all: ``did you mean 'lenet5'?``."""
    known = sorted(known)
    near = get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else "choose from " + ", ".join(known)


def needs_extra(extra: str) -> DidactError:
    """Return the error of a feature whose optional dependency is not installed."""
    return DidactError(f"this needs: pip install 'didact[{extra}]'")
