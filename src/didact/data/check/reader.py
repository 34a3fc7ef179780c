"""What the readers reported, as findings: problems of one kind together, with all their places.

What a reader only remarks and a check finds again, better, is left to the check.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from didact.data.check.finding import Finding, found
from didact.data.check.rules import Severity
from didact.data.check.subject import Seen, Subject
from didact.data.raw import Problem

COLUMN = re.compile(r"column '(?P<name>.*?)': ")
COPY = re.compile(r"the same (?:image|row|text) as (?P<kept>.*), in the \w+ split")
LATER = ""  # the checks find it again
KINDS: tuple[tuple[str, str], ...] = (  # what a reader says -> the rule; the first that fits counts
    (r"the same (?:image|row|text) as .*, in the \w+ split$", "same-in-two-splits"),
    (r"the same \w+ as .*; the score is flattered", LATER),
    (r"images stand in two splits", LATER),
    (r"is none that train has$|^no folder for class ", "class-lists-differ"),
    (r"^only one class|^no class; at least two", "one-class"),
    (r"^class '.*' has no example|^class '.*' has \d+ example\(s\)", LATER),
    (r"^label \d+ is out of range", "label-out-of-range"),
    (r"^not an image that can be decoded", "broken-image"),
    (r"^images of \d+ sizes|grey images among", LATER),
    (r"^column '.*': missing value", "missing-value"),
    (r"^column '.*': text in a numeric column", "text-among-numbers"),
    (r"^column '.*': not a finite number", "not-finite"),
    (r"^column '.*': no value at all", "empty-column"),
    (r"^column '.*': (?:always |only numbers the rows|\d+ different texts)", LATER),
    (r"cells, but the header names|^not JSON|^not a JSON object", "broken-row"),
    (r"^column 'split': ", "unknown-split"),
    (r"no such file$|^no file_name$|no label$", "missing-file"),
    (r"is not UTF-8", "not-utf-8"),
    (r"^empty$", "empty-text"),
    (r"^not read; only", "unread-file"),
    (r"^columns that are not used|^a column without a name", "unused-column"),
    (r"^no test file", "no-test-split"),
)


def rule_of(problem: Problem) -> str | None:
    """The rule that a problem falls under; None where a check finds it again."""
    for pattern, rule in KINDS:
        if re.search(pattern, problem.what):
            return None if rule == LATER and not problem.fatal else rule or "unreadable"
    return "unreadable"


def check_reader(problems: Sequence[Problem], subject: Subject | None = None) -> list[Finding]:
    """One finding for each kind of problem, and for each column of a table.

    Args:
        problems: What the reader reported.
        subject: What it could read, if anything.
    """
    kinds: dict[tuple[str, str, bool], list[Problem]] = {}
    for problem in problems:
        rule = rule_of(problem)
        column = COLUMN.match(problem.what)
        if rule is not None:
            name = column["name"] if column and rule != "unknown-split" else ""
            kinds.setdefault((rule, name, problem.fatal), []).append(problem)
    findings = [_together(rule, together) for (rule, _, _), together in kinds.items()]
    return findings if subject is None else _shown(subject, findings) + _relabelled(subject, problems)


def left_out(subject: Subject, problems: Sequence[Problem]) -> list[tuple[Seen, Seen]]:
    """Copies that the reader left out, each with the example of another split that it kept.

    What was left out is what was kept, but for its place; and for its label, which a class folder tells.
    """
    kept = {seen.place: seen for seen in subject.examples}
    pairs = []
    for problem in problems:
        match = COPY.fullmatch(problem.what)
        if match and match["kept"] in kept:
            other = kept[match["kept"]]
            folders = [part for part in problem.where.split("/")[:-1] if part in subject.raw.classes]
            label = folders[-1] if folders else other.target
            pairs.append((Seen("left out", other.item, label, problem.where), other))
    return pairs


def _shown(subject: Subject, findings: Sequence[Finding]) -> list[Finding]:
    pairs = {copy.place: (copy, kept) for copy, kept in left_out(subject, subject.raw.problems)}
    return [
        replace(finding, show={"kind": "pair", "pair": pairs[finding.where]})
        if finding.rule == "same-in-two-splits" and finding.where in pairs
        else finding
        for finding in findings
    ]


def _relabelled(subject: Subject, problems: Sequence[Problem]) -> list[Finding]:
    """Copies that were left out and had another label."""
    pairs = [(copy, kept) for copy, kept in left_out(subject, problems) if copy.target != kept.target]
    if not pairs:
        return []
    copy, kept = pairs[0]
    more = f"; {len(pairs):,} such pairs" if len(pairs) > 1 else ""
    what = f"the same input as {kept.place}, but {copy.target!r} and not {kept.target!r}{more}"
    places = [f"{copy.place} = {kept.place}" for copy, kept in pairs]
    show = {"kind": "pair", "pair": pairs[0]}
    numbers = {"count": len(pairs)}
    return [found("contradicting-labels", copy.place, what, places=places, numbers=numbers, show=show)]


def _together(rule: str, problems: Sequence[Problem]) -> Finding:
    first, count = problems[0], len(problems)
    what = first.what if count == 1 else f"{first.what}; {count:,} in all"
    severity: Severity | None = None if first.fatal or rule == "empty-text" else "note"
    places = [str(problem) for problem in problems]
    return found(rule, first.where, what, severity=severity, places=places, numbers={"count": count})
