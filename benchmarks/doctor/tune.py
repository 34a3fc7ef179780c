"""Each limit chosen without the task that it is then measured on.

    python benchmarks/doctor/tune.py      after `run.py --charts`; minutes, no training

For each of the twelve tasks: every number of `Limits` may move to one of a few multiples of itself, if that
is better on the eleven others (Youden's J: exact cause found first, minus false alarms); all that moved are
set together, and the task left out is judged with them. The totals over the twelve are what the rules are
worth on tasks that no number has seen. What stays as it is on all twelve was not tuned to any of them.
Writes results/doctor_left_out.json.
"""

import argparse
import collections
import dataclasses
import json
import multiprocessing
import os
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import run
from faults import find_fault
from jobs import Job, Ledger

from didact.doctor.chart import Chart
from didact.doctor.limits import LIMITS, Limits
from didact.doctor.verdict import conclude

RESULT = run.RESULT.with_name("doctor_left_out.json")
MULTIPLES = (0.5, 0.75, 1.5, 2.0)
WORTH = 0.002  # of J: a smaller gain moves no limit
EVERY = 4  # of the runs that limits are chosen on; the task left out is judged by all of its own

Kept = list[tuple[Job, Chart]]
Count = collections.Counter[str]
trial: "Trial"


def load(scratch: Path) -> Kept:
    """The charts of runs that the gate lets through."""
    plan, unwatched = run.make_plan(run.arguments()), Ledger(scratch / "unwatched.jsonl")
    faulty = run.kept_faults(plan.faults, run.harms(plan.faults, unwatched))
    wanted = {job.key: job for job in [*faulty, *run.kept_healthy(plan.healthy, unwatched)]}
    found = []
    for path in sorted((scratch / "charts").glob("*.pickle")):
        key, chart, _ = pickle.loads(path.read_bytes())
        if key in wanted:
            found.append((wanted[key], chart))
    return found


class Asked:
    """Limits that remember which of them a rule looked at."""

    def __init__(self, limits: Limits):
        self.limits, self.names = limits, set[str]()

    def __getattr__(self, name: str) -> Any:
        self.names.add(name)
        return getattr(self.limits, name)


def outcome(job: Job, chart: Chart, limits: Any) -> Count:
    """Of one run: faulty, flagged, named first, healthy, alarm."""
    codes = [finding.code for finding in conclude(chart, limits) if finding.severity != "hint"]
    if not job.fault:
        return collections.Counter(healthy=1, alarms=bool(codes))
    if find_fault(job.fault).hint:
        return collections.Counter()
    right = bool(codes) and codes[0] in find_fault(job.fault).accepts
    return collections.Counter(faulty=1, flagged=bool(codes), named=right)


def by_task(kept: Kept, outcomes: Iterable[Count]) -> dict[str, Count]:
    """Sums over the runs of each task."""
    sums: dict[str, Count] = collections.defaultdict(collections.Counter)
    for (job, _), count in zip(kept, outcomes, strict=True):
        sums[job.task].update(count)
    return sums


def worth(sums: dict[str, Count], without: str) -> float:
    """Youden's J over all tasks but one."""
    total: Count = collections.Counter()
    for task, count in sums.items():
        if task != without:
            total.update(count)
    return total["named"] / max(total["faulty"], 1) - total["alarms"] / max(total["healthy"], 1)


def alternatives() -> list[tuple[str, Limits]]:
    """Each limit at each multiple, alone."""
    made = []
    for field in dataclasses.fields(Limits):
        for multiple in MULTIPLES:
            present = getattr(LIMITS, field.name)
            value = type(present)(present * multiple)
            made.append((field.name, dataclasses.replace(LIMITS, **{field.name: value})))
    return made


class Trial:
    """The runs that limits are chosen on, as they are judged with the limits of now."""

    def __init__(self, kept: Kept):
        self.kept, self.outcomes, self.asked = kept, list[Count](), list[set[str]]()
        for job, chart in kept:
            limits = Asked(LIMITS)
            self.outcomes.append(outcome(job, chart, limits))
            self.asked.append(limits.names)

    def moved(self, alternative: tuple[str, Limits]) -> dict[str, Count]:
        """The sums with one limit moved: only the runs of which a rule looked at it are judged again."""
        name, limits = alternative
        pairs = zip(self.kept, self.outcomes, self.asked, strict=True)
        return by_task(
            self.kept, (outcome(*run, limits) if name in asked else known for run, known, asked in pairs)
        )


def leave_one_out(kept: Kept) -> dict[str, Any]:
    """Choose without a task, judge with it."""
    global trial
    trial = Trial(kept[::EVERY])
    base = by_task(trial.kept, trial.outcomes)
    with multiprocessing.get_context("fork").Pool() as pool:  # which shares the charts
        sums = pool.map(_moved, alternatives(), chunksize=1)
    tried = list(zip(alternatives(), sums, strict=True))
    rows, total = {}, collections.Counter[str]()
    for task in sorted(base):
        best: dict[str, tuple[float, Any]] = {}
        for (name, limits), there in tried:
            gain = worth(there, task) - worth(base, task)
            if gain > best.get(name, (WORTH, None))[0]:
                best[name] = gain, getattr(limits, name)
        moved = {name: value for name, (_, value) in best.items()}
        limits = dataclasses.replace(LIMITS, **moved)
        count = sum(
            (outcome(job, chart, limits) for job, chart in kept if job.task == task), collections.Counter()
        )
        total.update(count)
        rows[task] = dict(count) | {"moved": moved}
        print(task, dict(count), moved, flush=True)
    return {"runs_chosen_on": len(trial.kept), "tasks": rows, "total": dict(total)}


def _moved(alternative: tuple[str, Limits]) -> dict[str, Count]:
    return dict(trial.moved(alternative))


def main() -> None:
    """Over all charts that there are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, default=run.SCRATCH)
    scratch = parser.parse_known_args()[0].scratch
    np.seterr(all="ignore")
    found = leave_one_out(load(scratch))
    count = found["total"]
    found["shares"] = {
        "flagged": count["flagged"] / count["faulty"],
        "named first": count["named"] / count["faulty"],
        "false alarms": count["alarms"] / max(count["healthy"], 1),
    }
    print(found["shares"])
    RESULT.write_text(json.dumps(run.circumstances() | found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
