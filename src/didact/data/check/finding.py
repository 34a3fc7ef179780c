"""One thing that the data doctor found: which rule, where, what, and how bad."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from didact.data.check.rules import RULES, Rule, Severity

LISTED = 10  # places that are printed; to_dict has all


@dataclass(frozen=True)
class Finding:
    """A finding.

    Attributes:
        rule: A name of ``rules.RULES``, which knows its code and its fix.
        where: File and line, or index: the first place, where there are several.
        what: What was found there, in words.
        severity: ``fatal``, ``warning`` or ``note``; by default the rule's.
        places: Every place, of pairs as ``this = that``.
        numbers: What was measured.
        show: What a picture needs, by the names of ``exhibits``; nothing when there is no picture.
    """

    rule: str
    where: str
    what: str
    severity: Severity = "note"
    places: Sequence[str] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    show: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def law(self) -> Rule:
        """When such a finding is made, and how to mend it."""
        return RULES[self.rule]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "rule": self.rule,
            "code": self.law.code,
            "severity": self.severity,
            "where": self.where,
            "what": self.what,
            "fix": self.law.fix,
            "places": list(self.places),
            "numbers": dict(self.numbers),
        }

    def lines(self) -> list[str]:
        """On the terminal: the finding, its other places, its fix."""
        head = f"{self.severity}: {self.where}: {self.what}"
        tag = " ".join(part for part in (self.law.code, self.rule) if part)
        shown = [f"  {place}" for place in self.places[:LISTED]] if len(self.places) > 1 else []
        more = len(self.places) - LISTED
        rest = [f"  and {more:,} more; --json lists all"] if more > 0 else []
        return [f"{head} [{tag}]", *shown, *rest, f"  fix: {self.law.fix}"]

    def __str__(self) -> str:
        return self.lines()[0]


def found(
    rule: str,
    where: str,
    what: str,
    *,
    severity: Severity | None = None,
    places: Sequence[str] = (),
    numbers: Mapping[str, float] | None = None,
    show: Mapping[str, Any] | None = None,
) -> Finding:
    """A finding, as severe as its rule unless it is said to be milder."""
    return Finding(rule, where, what, severity or RULES[rule].severity, places, numbers or {}, show or {})
