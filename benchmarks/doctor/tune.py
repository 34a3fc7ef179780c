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
import os
import pickle
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
EVERY = 3  # of the runs that limits are chosen on; the task left out is judged by all of its own

Kept = list[tuple[Job, Chart]]


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


def judge(kept: Kept, limits: Limits) -> dict[str, collections.Counter[str]]:
    """By task: faulty runs, those flagged, those named first, healthy runs and alarms."""
    by_task: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for job, chart in kept:
        found, count = conclude(chart, limits), by_task[job.task]
        codes = [finding.code for finding in found if finding.severity != "hint"]
        if not job.fault:
            count.update(healthy=1, alarms=bool(codes))
        elif not find_fault(job.fault).hint:
            right = bool(codes) and codes[0] in find_fault(job.fault).accepts
            count.update(faulty=1, flagged=bool(codes), named=right)
    return by_task


def worth(by_task: dict[str, collections.Counter[str]], without: str) -> float:
    """Youden's J over all tasks but one."""
    total: collections.Counter[str] = collections.Counter()
    for task, count in by_task.items():
        if task != without:
            total.update(count)
    return total["named"] / max(total["faulty"], 1) - total["alarms"] / max(total["healthy"], 1)


def alternatives() -> list[tuple[str, Limits]]:
    """Each limit at each multiple, alone."""
    made = []
    for field in dataclasses.fields(Limits):
        for multiple in MULTIPLES:
            value = getattr(LIMITS, field.name) * multiple
            value = round(value) if field.type == "int" else value
            made.append((field.name, dataclasses.replace(LIMITS, **{field.name: value})))
    return made


def leave_one_out(kept: Kept) -> dict[str, Any]:
    """Choose without a task, judge with it."""
    fewer = kept[::EVERY]
    base = judge(fewer, LIMITS)
    tried = [(name, limits, judge(fewer, limits)) for name, limits in alternatives()]
    rows, total = {}, collections.Counter[str]()
    for task in sorted(base):
        best: dict[str, tuple[float, Any]] = {}
        for name, limits, by_task in tried:
            gain = worth(by_task, task) - worth(base, task)
            if gain > best.get(name, (WORTH, None))[0]:
                best[name] = gain, getattr(limits, name)
        moved = {name: value for name, (_, value) in best.items()}
        own = [pair for pair in kept if pair[0].task == task]
        count = judge(own, dataclasses.replace(LIMITS, **moved))[task]
        total.update(count)
        rows[task] = dict(count) | {"moved": moved}
        print(task, dict(count), moved, flush=True)
    return {"runs_chosen_on": len(fewer), "tasks": rows, "total": dict(total)}


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
