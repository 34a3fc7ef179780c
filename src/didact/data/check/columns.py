"""Columns of tables, and numbers of samples: what varies, on which scale, and what only names the row."""

# N rows

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from didact.data.check.finding import Finding, found
from didact.data.check.rules import (
    LOOKED_AT,
    MOSTLY_MISSING,
    NEARLY_CONSTANT,
    NUMBERS_IN_TEXT,
    OFFSET,
    SPREAD,
)
from didact.data.check.subject import Subject
from didact.data.formats.columns import UNKNOWN, number
from didact.data.raw import Problem

NAMES_ROWS = re.compile(r"(^|[ _.-])(id|uuid|guid|key|index|idx|row)([ _.-]|$)|Id$|ID$", re.I)
UNITS = re.compile(r"^[$€£¥]?\s*([-+]?[\d.,'\u00a0 ]*\d)\s*([%°a-zA-Zµ/²³$€£¥]{0,6})$")
MISSING = re.compile(r"column '(?P<name>.*?)': missing value")


def check_columns(subject: Subject) -> list[Finding]:
    """Everything about single columns."""
    findings = _missing(subject) + _not_finite(subject)
    columns = {name: values[np.isfinite(values)] for name, values in subject.learned_columns.items()}
    for name, values in columns.items():
        findings += _numbers(subject, name, values)
    for name in sorted(subject.raw.categories):
        findings += _texts(subject, name, [str(item[name]) for item in subject.learned.items])
    return findings + _scales(subject, columns)


def _missing(subject: Subject) -> list[Finding]:
    """Columns that most rows have no value for: such rows are left out, or "?" is taken for a category."""
    cells = Counter(
        name for name in subject.raw.categories for seen in subject.examples if seen.item[name] in UNKNOWN
    )
    for problem in subject.raw.problems:
        if match := MISSING.match(problem.what):
            cells[match["name"]] += 1
    rows = subject.total + len({p.where for p in subject.raw.problems if _of_row(p)})
    return [
        found(
            "mostly-missing",
            subject.name,
            f"column {name!r} has no value in {count:,} of {rows:,} rows",
            numbers={"share": count / rows},
        )
        for name, count in cells.items()
        if rows >= LOOKED_AT and count > MOSTLY_MISSING * rows
    ]


def _of_row(problem: Problem) -> bool:
    return problem.fatal and problem.what.startswith("column ")


def _not_finite(subject: Subject) -> list[Finding]:
    """NaN and infinity in numbers that did not pass a reader."""
    findings = []
    for split, columns in subject.columns.items():
        for name, values in columns.items():
            bad = np.flatnonzero(~np.isfinite(values))
            if len(bad):
                places = [subject.place(split, index) for index in bad.tolist()]
                what = f"column {name!r}: {values[bad[0]]}; {len(bad):,} in all"
                numbers = {"count": len(bad)}
                findings.append(found("not-finite", places[0], what, places=places, numbers=numbers))
    return findings


def _numbers(subject: Subject, name: str, values: np.ndarray) -> list[Finding]:
    if not len(values):
        return []
    distinct, counts = np.unique(values, return_counts=True)
    if constant := _constant(subject, name, distinct.tolist(), counts.tolist(), len(values)):
        return constant
    whole = bool((values == np.round(values)).all())
    if len(values) < LOOKED_AT or len(distinct) < len(values) or not whole:
        return []
    steps = np.diff(values)
    counts_up, called = bool((steps == steps[0]).all()), bool(NAMES_ROWS.search(name))
    if not (counts_up or called or (steps > 0).all()):
        return []
    how = "counts up" if counts_up else "is different in every row" if called else "only rises"
    what = f"column {name!r} {how}: {values[0]:g}, {values[1]:g}, {values[2]:g} ..."
    return [found("identifier", subject.name, what, severity=None if counts_up or called else "note")]


def _texts(subject: Subject, name: str, cells: Sequence[str]) -> list[Finding]:
    counts = Counter(cells)
    if constant := _constant(subject, name, list(counts), list(counts.values()), len(cells)):
        return constant
    if as_text := _numbers_as_text(subject, name, cells):
        return as_text
    if LOOKED_AT <= len(cells) == len(counts):
        what = f"column {name!r}: {len(cells)} rows, {len(cells)} different texts, such as {cells[0][:40]!r}"
        return [found("identifier", subject.name, what)]
    if len(counts) > 50 and len(counts) > len(cells) / 2:
        what = f"column {name!r}: {len(counts)} different texts in {len(cells)} rows"
        return [found("many-categories", subject.name, what)]
    return []


def _constant(
    subject: Subject, name: str, values: Sequence[object], counts: Sequence[int], rows: int
) -> list[Finding]:
    if len(values) == 1:
        return [found("constant-column", subject.name, f"column {name!r} is always {_shown(values[0])}")]
    most = max(range(len(counts)), key=counts.__getitem__)
    share = counts[most] / rows
    if rows < LOOKED_AT or share < NEARLY_CONSTANT:
        return []
    what = f"column {name!r} is {_shown(values[most])} in {counts[most]:,} of {rows:,} rows"
    return [found("near-constant-column", subject.name, what, numbers={"share": share})]


def _numbers_as_text(subject: Subject, name: str, cells: Sequence[str]) -> list[Finding]:
    """Numbers with a unit, a currency, or commas; a code such as A1 is none, nor are a few categories."""
    hidden = [cell for cell in cells if number(cell) is None and as_number(cell) is not None]
    numbers = len(hidden) + sum(number(cell) is not None for cell in cells)
    if not hidden or numbers < NUMBERS_IN_TEXT * len(cells) or len(set(cells)) < min(10, len(cells) / 2):
        return []
    what = f"column {name!r} holds numbers as text, such as {hidden[0]!r}"
    return [found("numbers-as-text", subject.name, what, numbers={"share": numbers / len(cells)})]


def as_number(text: str) -> float | None:
    """The number in ``"1,234"``, ``"12 kg"``, ``"€ 3,50"``; None where there is none."""
    match = UNITS.match(text.strip())
    if not match:
        return None
    digits = re.sub(r"[\u00a0 ']", "", match[1])
    decimal = re.fullmatch(r"[-+]?\d+,\d{1,2}", digits)
    return number(digits.replace(",", "." if decimal else ""))


def _scales(subject: Subject, columns: dict[str, np.ndarray]) -> list[Finding]:
    """Scales so different that a step fits one column and none of the others."""
    moments = {name: (v.mean(), v.std()) for name, v in columns.items() if len(v) and v.std() > 0}
    if not moments:
        return []
    least, most = (pick(moments, key=lambda n: moments[n][1]) for pick in (min, max))
    spread = float(moments[most][1] / moments[least][1])
    far = [name for name, (mean, std) in moments.items() if abs(mean) > OFFSET * std]
    said = []
    if spread > SPREAD:
        said.append(
            f"column {most!r} deviates by {moments[most][1]:.3g}, {least!r} by {moments[least][1]:.3g}"
        )
    if far:
        more = f", and {len(far) - 1} more" if len(far) > 1 else ""
        said.append(f"column {far[0]!r} lies more than {OFFSET} deviations from 0{more}")
    if not said:
        return []
    numbers = {"spread": spread, "offset": len(far)}
    return [found("scales", subject.name, "; ".join(said), numbers=numbers)]


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
