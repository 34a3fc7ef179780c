"""From outcomes to the figures of the protocol, and to a list of what was confused with what.

detection     verdict suspect or faulty; for a hint, that its code is named at all
top-1, top-3  an accepted code is the first, or among the first three
family        the first code's letter is that of an accepted code
false alarm   a healthy run with a code above a hint; `at most` is the 95 % bound (Clopper-Pearson). R01 is no
              false alarm where the validation loss did end at 1.2 times its minimum: there it is true
steps         updates until an accepted code was first seen
identical     the weights are those of the unwatched twin, bit by bit
"""

import collections
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fault import Fault
from gate import Outcome, tolerated
from scipy.stats import beta


@dataclass(frozen=True)
class Judged:
    """A faulty run and what was said of it."""

    fault: Fault
    record: dict[str, Any]
    harm: float

    @property
    def said(self) -> list[str]:
        """Codes in order; for a hint the hints count too."""
        codes = self.record.get("codes", [])
        return [*codes, *self.record.get("hints", [])] if self.fault.hint else codes

    @property
    def detected(self) -> bool:
        return self.within(99) if self.fault.hint else self.record.get("verdict", "healthy") != "healthy"

    def within(self, first: int) -> bool:
        """An accepted code is among the first few."""
        return any(code in self.fault.accepts for code in self.said[:first])

    @property
    def family(self) -> bool:
        return bool(self.said) and self.said[0][0] in {code[0] for code in self.fault.accepts}

    @property
    def steps(self) -> int | None:
        """Updates until an accepted code was seen."""
        seen = [self.record.get("seen", {}).get(code) for code in self.fault.accepts if code in self.said]
        return min((step for step in seen if step is not None), default=None)


def at_most(alarms: int, runs: int, level: float = 0.95) -> float:
    """The upper bound of a rate, one-sided."""
    return 1.0 if alarms >= runs else float(beta.ppf(level, alarms + 1, runs - alarms))


def share(values: Iterable[bool]) -> float | None:
    values = list(values)
    return round(sum(values) / len(values), 4) if values else None


def shares(count: collections.Counter[str]) -> dict[str, float]:
    """Of counted runs: flagged, named and among the first three; and of the healthy ones with an alarm."""
    names = ("flagged", "first", "first three")
    found = {name: round(count[name] / max(count["faulty"], 1), 4) for name in names}
    return found | {"false alarms": round(count["alarms"] / max(count["healthy"], 1), 4)}


def fault_totals(judged: list[Judged]) -> dict[str, Any]:
    """Detection and causes of some runs."""
    steps = [run.steps for run in judged if run.steps is not None]
    return {
        "runs": len(judged),
        "detection": share(run.detected for run in judged),
        "top1": share(run.within(1) for run in judged),
        "top3": share(run.within(3) for run in judged),
        "family": share(run.family for run in judged),
        "steps": statistics.median(steps) if steps else None,
    }


def per_code(judged: list[Judged]) -> dict[str, dict[str, Any]]:
    groups = collections.defaultdict(list)
    for run in judged:
        groups[run.fault.code].append(run)
    return {code: fault_totals(groups[code]) for code in sorted(groups)}


def mean_of_codes(table: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Every code counts alike, however many runs it has."""
    names = ("detection", "top1", "top3", "family")
    return {name: round(statistics.fmean(row[name] for row in table.values()), 4) for name in names}


def false_codes(record: dict[str, Any]) -> list[str]:
    """What was said of a healthy run and is not so."""
    true = tolerated(Outcome.of(record))
    return [code for code in record["causes"] if code not in true]


def healthy_totals(records: list[dict[str, Any]]) -> dict[str, Any]:
    """False alarms."""
    alarms = [record for record in records if false_codes(record)]
    rate = at_most(len(alarms), len(records)) if records else 1.0
    named = collections.Counter(false_codes(record)[0] for record in alarms)
    return {
        "runs": len(records),
        "alarms": len(alarms),
        "rate": share(bool(false_codes(record)) for record in records),
        "at_most": round(rate, 4),
        "named": dict(named.most_common()),
    }


def all_totals(judged: list[Judged], healthy: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything that is written down."""
    faulty = [run for run in judged if not run.fault.hint]
    hints = [run for run in judged if run.fault.hint]
    harmful = [run for run in faulty if run.harm >= 1]
    codes = per_code(judged)
    alarms = healthy_totals(healthy)
    detection = fault_totals(faulty)
    found = detection["detection"]
    return {
        "faulty": detection,
        "harmful": fault_totals(harmful),
        "hints": fault_totals(hints),
        "mean_of_codes": mean_of_codes(codes) if codes else {},
        "healthy": alarms,
        "youden": None if found is None or not healthy else round(found - alarms["rate"], 4),
        "codes": codes,
        "tasks": {
            task: fault_totals([run for run in faulty if run.record["task"] == task])
            for task in sorted({run.record["task"] for run in faulty})
        },
    }


# What people read


def percent(value: float | None) -> str:
    return "    -" if value is None else f"{100 * value:5.1f}"


def row(name: str, line: dict[str, Any]) -> str:
    numbers = " ".join(percent(line[key]) for key in ("detection", "top1", "top3", "family"))
    return f"{name:12} {line['runs']:5} {numbers} {'-' if line['steps'] is None else line['steps']:>6}"


def in_words(totals: dict[str, Any]) -> str:
    """The table."""
    lines = ["              runs found  top1  top3 family steps"]
    lines += [row(code, line) for code, line in totals["codes"].items()]
    lines += ["", *(row(task, line) for task, line in totals["tasks"].items()), ""]
    lines += [row(name, totals[name]) for name in ("faulty", "harmful", "hints")]
    alarms = totals["healthy"]
    lines.append(
        f"healthy      {alarms['runs']:5} runs, {alarms['alarms']} alarms {percent(alarms['rate'])} %, "
        f"at most {percent(alarms['at_most'])} %; {alarms['named']}"
    )
    return "\n".join(lines)


def confusions(judged: list[Judged]) -> str:
    """What was injected and what was said instead, alike ones in one line."""
    groups: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for run in judged:
        if not run.within(99 if run.fault.hint else 1):
            said = " ".join(run.said[:3]) or "nothing"
            if not run.fault.hint and run.record.get("hints"):
                said += f" ({' '.join(run.record['hints'][:3])})"
            if "error" in run.record:
                said = "the run broke"
            record = run.record
            groups[run.fault.key, said].append(f"{record['task']}/{record['style'][0]}{record['seed']}")
    lines = [f"{key:44} -> {said:20} {' '.join(places)}" for (key, said), places in sorted(groups.items())]
    return "\n".join(lines)


def alarms_in_words(records: list[dict[str, Any]]) -> str:
    """Each false alarm."""
    found = [record for record in records if false_codes(record)]
    return "\n".join(f"healthy {record['key']:60} -> {' '.join(false_codes(record))}" for record in found)
