"""``check_data``: every check on a data set, and the report of what they found."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from didact.data.check.classes import check_classes
from didact.data.check.columns import check_columns
from didact.data.check.duplicates import check_duplicates, digest
from didact.data.check.exhibits import exhibits_of
from didact.data.check.finding import Finding, found
from didact.data.check.images import Progress, brightness, check_images, look_at_images
from didact.data.check.leak import check_leak
from didact.data.check.near import check_near
from didact.data.check.reader import check_reader
from didact.data.check.rules import SEVERITIES
from didact.data.check.splits import check_splits
from didact.data.check.subject import Subject, subject_of
from didact.data.check.texts import check_texts, lengths
from didact.data.open import Data, read
from didact.data.raw import Problem, Raw
from didact.errors import DataError, UsageError


@dataclass(frozen=True)
class DataReport:
    """What is wrong with a data set.

    Attributes:
        name: What the user called it.
        examples: How many were looked at, by split.
        total: How many there are, without those that the reader left out.
        findings: The worst first.
    """

    name: str
    examples: dict[str, int]
    total: int
    findings: Sequence[Finding]
    subject: Subject | None = field(default=None, repr=False, compare=False)

    @property
    def failed(self) -> bool:
        """Whether anything is fatal or a warning."""
        return any(finding.severity != "note" for finding in self.findings)

    def count(self, severity: str) -> int:
        """How many findings are that bad."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "examples": dict(self.examples),
            "total": self.total,
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def exhibits(self) -> list[dict[str, Any]]:
        """What a person would rather see, as plain values that ``draw.data_check`` draws."""
        return exhibits_of(self.findings, self.subject)

    def __str__(self) -> str:
        lines = [line for finding in self.findings for line in finding.lines()]
        sizes = ", ".join(f"{name} {count:,}" for name, count in self.examples.items())
        return "\n".join([*lines, *([""] if lines else []), f"{self.name}: {self.verdict()} ({sizes})"])

    def verdict(self) -> str:
        """How many findings there are of each severity."""
        said = [
            f"{n} {name}{'s' * (n > 1 and name != 'fatal')}" for name in SEVERITIES if (n := self.count(name))
        ]
        return ", ".join(said) or "nothing wrong"


def check_data(
    source: str | Path | Raw | Data,
    *,
    target: str | None = None,
    budget_rows: int = 0,
    progress: Progress | None = None,
) -> DataReport:
    """Look for what is wrong with a data set, before the first step of training.

    Args:
        source: The name of an embedded set, a path, or data that has been read or opened already.
        target: The column to predict, for tables; by default the last one.
        budget_rows: Look at so many examples at most, chosen at random, and say so; 0 looks at all.
        progress: Called with the images looked at so far, and all there are.

    Raises:
        DataError: Nothing lies there, or ``target`` is no column. What cannot be read is a finding.
        UsageError: A budget below 0, or another target for a set that comes with its own.
    """
    if budget_rows < 0:
        raise UsageError(f"budget_rows={budget_rows}: it counts examples; 0 looks at all")
    try:
        data = read(source, target=target) if isinstance(source, str | Path) else source
    except DataError as error:
        if not Path(str(source)).exists() or (target and not error.problems):
            raise
        return _unreadable(str(source), error)
    whole = subject_of(data)
    subject = whole.sample(budget_rows)
    findings = check_reader(subject.raw.problems, subject) + _sampled(subject)
    if {"train", "all"} & set(subject.raw.parts):
        findings += check_classes(whole) + _checked(whole, subject, progress)
    sizes = {name: len(part.items) for name, part in subject.raw.parts.items()}
    return DataReport(subject.raw.name, sizes, subject.total, _worst_first(findings), whole)


def _checked(whole: Subject, subject: Subject, progress: Progress | None) -> list[Finding]:
    """The checks for what the examples are; only labels are read of all where a sample is looked at."""
    findings: list[Finding] = []
    columns = subject.columns
    if subject.raw.inputs == "image":
        subject, looks, broken = look_at_images(subject, progress)
        findings += broken + check_duplicates(subject, [look.digest for look in looks])
        findings += check_images(subject, looks) + check_near(subject, looks)
        columns = brightness(subject, looks)
    elif subject.raw.inputs != "sample":  # numbers drawn from a distribution may well be equal
        findings += check_duplicates(subject, [digest(seen.item) for seen in subject.examples])
    if subject.raw.inputs in ("bag", "tokens"):
        findings += check_texts(subject)
        columns = lengths(subject)
    return findings + check_columns(subject) + check_leak(subject) + check_splits(whole, columns)


def _sampled(subject: Subject) -> list[Finding]:
    count = len(subject.raw)
    if count == subject.total:
        return []
    what = f"looked at {count:,} of {subject.total:,} examples, chosen at random"
    return [found("sampled", subject.name, what, numbers={"looked_at": count, "examples": subject.total})]


def _unreadable(name: str, error: DataError) -> DataReport:
    """The problems that a reader named, or else its message."""
    problems = [problem for problem in error.problems if isinstance(problem, Problem)]
    findings = check_reader(problems)
    if not any(finding.severity == "fatal" for finding in findings):
        what = str(error).removeprefix(f"{name}: ")
        findings.append(found("unreadable", name, what))
    return DataReport(name, {}, 0, _worst_first(findings))


def _worst_first(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
