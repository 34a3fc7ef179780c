"""What the doctor says: findings, and the report that ranks them."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from didact.doctor.codes import causes, named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Severity = Literal["critical", "warning", "hint"]
Verdict = Literal["healthy", "suspect", "faulty"]
BROKEN = "DOC"  # an error of the doctor's own


@dataclass(frozen=True)
class Finding:
    """One cause, with what speaks for it.

    Attributes:
        code: A key of ``didact.doctor.codes.causes()``; ``DOC`` where the doctor itself failed.
        severity: ``critical`` spoils the run, ``warning`` probably does, ``hint`` is worth a look.
        evidence: What was measured, beside its healthy range, and what was ruled out: name -> value.
        where: Layer, parameter, column or file and line, where that is known.
        fix: The change of one line; the cause's own unless the numbers suggest a better one.
        because: The code of the finding that this one follows from; empty for a cause of its own.
        picture: Numbers to draw: a kind and its data.
        seen: Updates after which it was first seen.
    """

    code: str
    severity: Severity
    evidence: Mapping[str, Any]
    where: str = ""
    fix: str = ""
    because: str = ""
    picture: Mapping[str, Any] = field(default_factory=dict)
    seen: int = 0

    @property
    def cause(self) -> str:
        """What is wrong, in words."""
        return causes()[self.code].name if self.code in causes() else "the doctor met an error of its own"

    @property
    def notes(self) -> str:
        """The section of the course that tells of it."""
        return causes()[self.code].notes if self.code in causes() else ""

    @property
    def alike(self) -> tuple[str, ...]:
        """Codes of what is most easily taken for it, if it is a cause: where to look if it is not that."""
        return causes()[self.code].alike if self.code in causes() and self.severity != "hint" else ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "code": self.code,
            "cause": self.cause,
            "severity": self.severity,
            "where": self.where,
            "evidence": dict(self.evidence),
            "fix": self.fix,
            "notes": self.notes,
            "because": self.because,
            "alike": list(self.alike),
            "seen": self.seen,
            "picture": dict(self.picture),
        }

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        follows = f", a consequence of {self.because}" if self.because else ""
        lines = [f"{self.severity:8} {self.code}  {self.cause}{place}{follows}"]
        lines += [f"           {name}: {in_words(value)}" for name, value in self.evidence.items()]
        if self.fix:
            lines.append(f"           fix: {self.fix}")
        if self.alike:
            lines.append(f"           if it is not that: {named(self.alike)}")
        if self.notes:
            lines.append(f"           notes: {self.notes}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Report:
    """A verdict and its findings, the most likely cause first.

    Example:
        >>> report = doctor.report()
        >>> report.verdict, report.codes()
        ('faulty', ['S02'])
    """

    findings: tuple[Finding, ...]
    steps: int = 0
    epochs: int = 0

    @property
    def verdict(self) -> Verdict:
        """``faulty`` when something spoils the run, ``suspect`` when something probably does."""
        grave = {finding.severity for finding in self.findings}
        return "faulty" if "critical" in grave else "suspect" if "warning" in grave else "healthy"

    def codes(self) -> list[str]:
        """Codes of causes and of what follows from them; empty when healthy."""
        return [finding.code for finding in self.findings if finding.severity != "hint" or finding.because]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "verdict": self.verdict,
            "steps": self.steps,
            "epochs": self.epochs,
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def to_json(self, path: str | Path) -> None:
        """Write the report to a file."""
        Path(path).write_text(json.dumps(plain(self.to_dict()), indent=2) + "\n", encoding="utf-8")

    def plot(self) -> "Figure":
        """The picture of each finding that has one, one below the other."""
        from didact.draw.diagnosis import draw_diagnosis

        return draw_diagnosis(self.to_dict())

    def __str__(self) -> str:
        watched = f"{self.steps} updates" + (f", {self.epochs} epochs" if self.epochs else "")
        head = f"{self.verdict} after {watched}"
        return "\n".join([head, *(str(finding) for finding in self.findings)])


def plain(value: Any) -> Any:
    """What JSON has a word for; a number that is not finite is none."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(each) for each in value]
    if hasattr(value, "tolist"):  # numbers of numpy and torch
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def in_words(value: object) -> str:
    """A number in four digits, a list item by item."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(in_words(item) for item in value)
    return str(value)
