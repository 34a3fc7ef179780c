"""The doctor under examination: hundreds of spoiled runs, hundreds of odd but healthy ones.

    python benchmarks/doctor/run.py                      everything: faults on three seeds, 360 odd runs
    python benchmarks/doctor/run.py --quick              one fault a code, 30 healthy runs: three minutes
    python benchmarks/doctor/run.py --codes S02 O01 --tasks digits-mlp rows-lstm
    python benchmarks/doctor/run.py --charts             keep what the doctor saw
    python benchmarks/doctor/run.py --replay             conclude again from what it saw, in seconds
    python benchmarks/doctor/run.py --survey             no doctor: which injections do harm

First all runs are made unwatched: that says which injections spoil a run and which odd runs learn
(`gate.py`), and what the weights should be. Then the kept ones are made again, watched. Both are resumable:
outcomes lie in --scratch, one line of JSON each, and are used again while their sources stay the same. One
thread a worker. Prints totals, what was confused with what, and the false alarms; writes --out
(results/doctor.json).
"""

import argparse
import collections
import dataclasses
import json
import os
import pickle
import platform
import statistics
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import gate
import healthy
import torch
import totals
from fault import Fault
from faults import FAULTS, find_fault
from jobs import Job, Ledger, conclusion, digest, doctor_version, fault_jobs, job_of

from tasks import TASKS

RESULT = Path(__file__).parent.parent / "results" / "doctor.json"
SCRATCH = Path(tempfile.gettempdir()) / "didact-doctor"
CHEAP = ("digits-mlp", "synthetic", "wine-mlp", "cancer-bce", "diabetes", "rows-lstm")


@dataclasses.dataclass
class Plan:
    """What is to be run."""

    faults: list[Job]
    healthy: list[Job]

    @property
    def twins(self) -> list[Job]:
        return [job.twin for job in (*self.faults, *self.healthy)]

    @property
    def everything(self) -> list[Job]:
        return list(dict.fromkeys([*self.twins, *self.faults, *self.healthy]))


def quick_faults() -> list[Fault]:
    """One injector of each code on one task, a cheap one where there is a choice."""
    first: dict[str, Fault] = {}
    for fault in FAULTS:
        first.setdefault(fault.code, fault)
    cheap = lambda fault: next((t for t in CHEAP if t in fault.tasks), fault.tasks[0])  # noqa: E731
    return [dataclasses.replace(fault, tasks=(cheap(fault),)) for fault in first.values()]


def make_plan(options: argparse.Namespace) -> Plan:
    """The runs that were asked for."""
    faults = quick_faults() if options.quick else FAULTS
    if options.codes:
        faults = [fault for fault in faults if fault.code in options.codes or fault.name in options.codes]
    seeds = 1 if options.quick else options.seeds
    wanted = options.tasks or list(TASKS)
    jobs = [job for job in fault_jobs(faults, seeds) if job.task in wanted]
    count = options.healthy if options.healthy is not None else 30 if options.quick else 360
    odd = [job_of(run) for run in spread(healthy.plan(max(count, 360)), count)] if count else []
    bases = [job_of(run) for run in healthy.base_runs(options.seeds)] if count and not options.quick else []
    return Plan(jobs, [job for job in (*bases, *odd) if job.task in wanted])


def spread(runs: list[Any], count: int) -> list[Any]:
    """So many, from all over the list."""
    return [runs[k * len(runs) // count] for k in range(count)] if count < len(runs) else runs


# The gate


def harms(jobs: Iterable[Job], unwatched: Ledger) -> dict[str, float]:
    """How bad each faulty run is, by its key; broken ones are left out and told of."""
    found = {}
    for job in jobs:
        record, twin = unwatched[job], unwatched[job.twin]
        if "error" in record or "error" in twin:
            print(f"broken: {job.key}: {(record.get('error') or twin['error']).splitlines()[-1]}")
            continue
        kind = find_fault(job.fault).gate
        found[job.key] = gate.harm(kind, gate.Outcome.of(record), gate.Outcome.of(twin))
    return found


def kept_faults(jobs: list[Job], harm: dict[str, float]) -> list[Job]:
    """Those that do harm over their seeds."""
    groups: dict[tuple[str, str], list[Job]] = collections.defaultdict(list)
    for job in jobs:
        if job.key in harm:
            groups[job.fault, job.task].append(job)
    kept = []
    for (fault, _), group in groups.items():
        verdicts = gate.keep(find_fault(fault).gate, [harm[job.key] for job in group])
        kept += [job for job, good in zip(group, verdicts, strict=True) if good]
    return kept


def kept_healthy(jobs: list[Job], unwatched: Ledger) -> list[Job]:
    """Those that learn as well as their base."""
    kept = []
    for job in jobs:
        record, base = unwatched[job], unwatched[job.twin]
        if "error" in record:
            print(f"broken: {job.key}: {record['error'].splitlines()[-1]}")
        elif gate.is_healthy(gate.Outcome.of(record), gate.Outcome.of(base)):
            kept.append(job)
        else:
            print(f"not healthy, dropped: {job.key}: {record['score']:.2f} beside {base['score']:.2f}")
    return kept


def print_survey(jobs: list[Job], harm: dict[str, float]) -> None:
    """The harm of each injection, by task, in margins."""
    rows: dict[str, dict[str, list[float]]] = {}
    for job in jobs:
        if job.key in harm:
            rows.setdefault(job.fault, {}).setdefault(job.task, []).append(harm[job.key])
    for key, places in rows.items():
        numbers = " ".join(f"{task}:{statistics.median(values):.1f}" for task, values in places.items())
        print(f"{find_fault(key).gate:8}{key:45}{numbers}")


# The doctor


def replay(jobs: list[Job], ledger: Ledger, charts: Path) -> None:
    """Conclude again from the charts, with the rules and limits of now."""
    from didact.doctor.finding import Report
    from didact.doctor.limits import LIMITS
    from didact.doctor.verdict import conclude

    wanted = {job.key: job for job in jobs}
    for path in charts.glob("*.pickle"):
        key, chart, seen = pickle.loads(path.read_bytes())
        if key in wanted and key in ledger.records:
            report = Report(tuple(conclude(chart, LIMITS, seen)))
            ledger.records[key] = ledger.records[key] | conclusion(report)


def watched_ledger(options: argparse.Namespace) -> Ledger:
    """The outcomes of this doctor; those of all before it too, when only conclusions are asked again."""
    ledger = Ledger(options.scratch / f"watched-{doctor_version()}.jsonl")
    if options.replay:
        older = sorted(options.scratch.glob("watched-*.jsonl"), key=lambda path: path.stat().st_mtime)
        ledger.records = {key: record for path in older for key, record in Ledger(path).records.items()}
    return ledger


def examine(options: argparse.Namespace, plan: Plan, unwatched: Ledger) -> dict[str, Any]:
    """Watch what the gate lets through, and judge."""
    harm = harms(plan.faults, unwatched)
    faulty, odd = kept_faults(plan.faults, harm), kept_healthy(plan.healthy, unwatched)
    print(
        f"kept {len(faulty)} of {len(plan.faults)} faulty and {len(odd)} of {len(plan.healthy)} healthy runs"
    )
    watched, charts = watched_ledger(options), options.scratch / "charts"
    if options.replay:
        replay([*faulty, *odd], watched, charts)
        faulty, odd = ([job for job in jobs if job.key in watched.records] for jobs in (faulty, odd))
    else:
        watched.complete([*faulty, *odd], True, options.jobs, charts if options.charts else None)
    judged = [totals.Judged(find_fault(job.fault), watched[job], harm[job.key]) for job in faulty]
    calm = [watched[job] for job in odd if "error" not in watched[job]]
    result = totals.all_totals(judged, calm) | interference([*faulty, *odd], watched, unwatched)
    print(totals.confusions(judged), totals.alarms_in_words(calm), sep="\n")
    print(totals.in_words(result))
    print(f"identical: {result['identical']}; errors of the doctor: {result['doctor_errors']}")
    return result


def interference(jobs: list[Job], watched: Ledger, unwatched: Ledger) -> dict[str, Any]:
    """Are the weights those of the unwatched twins, and did the doctor stumble?"""
    ran = [job for job in jobs if "error" not in watched[job]]
    different = [job.key for job in ran if watched[job]["sha"] != unwatched[job]["sha"]]
    errors = collections.Counter(e for job in ran for e in watched[job].get("errors", []))
    broke = [job.key for job in jobs if "error" in watched[job]]
    return {
        "identical": {"runs": len(ran), "different": different[:20], "count": len(different)},
        "broke": broke,
        "doctor_errors": dict(errors.most_common(12)),
    }


def save(path: Path, result: dict[str, Any]) -> None:
    """Into the file, whose other parts stay."""
    known = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known | result, indent=2) + "\n")


def circumstances() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {name: version(name) for name in ("didact", "torch")},
        "doctor": doctor_version(),
        "benchmark": digest(*sorted(Path(__file__).parent.rglob("*.py"))),
        "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--codes", nargs="*", help="codes, or names of injectors")
    parser.add_argument("--tasks", nargs="*", choices=list(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--healthy", type=int, help="odd runs; 0 for none")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--scratch", type=Path, default=SCRATCH)
    for flag in ("--quick", "--charts", "--replay", "--survey"):
        parser.add_argument(flag, action="store_true")
    return parser.parse_args()


def main() -> None:
    """As asked."""
    options, started = arguments(), time.time()
    torch.set_num_threads(1)
    plan, unwatched = make_plan(options), Ledger(options.scratch / "unwatched.jsonl")
    unwatched.complete(plan.everything, False, options.jobs)
    if options.survey:
        harm = harms(plan.faults, unwatched)
        print_survey(plan.faults, harm)
        kept = kept_faults(plan.faults, harm), kept_healthy(plan.healthy, unwatched)
        print(
            f"kept {len(kept[0])} of {len(plan.faults)} faults, {len(kept[1])} of {len(plan.healthy)} healthy"
        )
        return
    result = examine(options, plan, unwatched)
    whole = not (options.quick or options.codes or options.tasks)
    if whole or options.out != RESULT:
        save(options.out, circumstances() | {"replayed": options.replay} | result)
    print(f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
