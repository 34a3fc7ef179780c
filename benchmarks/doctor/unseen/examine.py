"""The doctor on tasks that none of its rules and limits was made on.

    python benchmarks/doctor/unseen/examine.py                    every case, unwatched and watched
    python benchmarks/doctor/unseen/examine.py --tasks faces wells
    python benchmarks/doctor/unseen/examine.py --replay           conclude again from what was seen

The tasks (`case.py` says how they are made) were written from the definitions of the codes alone. A
faulty case counts if it does harm, a healthy one if it learns as well as its base, both by its unwatched
run. Outcomes and charts are kept in --scratch. Prints what was not named, totals, and the CPU time of all
watched runs over that of all unwatched ones; writes --out (results/doctor_unseen.json), where the first
contact of the rules with these tasks is kept beside the present one.
"""

import argparse
import collections
import importlib
import io
import json
import math
import multiprocessing
import os
import pickle
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

sys.path.append(str(Path(__file__).parents[1]))
import case as cases
import torch
from totals import shares

from didact.doctor.doctor import Doctor
from didact.doctor.finding import Report
from didact.doctor.verdict import conclude

TASKS = (
    *("faces", "wells", "reviews", "letters", "sprites"),
    *("tides", "notes", "claims", "pairs", "two_heads"),
    *("weather", "blobs_net", "spam", "ring"),
    *("wines", "houses", "citations", "digits_gan", "distil", "denoise"),
    *("reverse", "regions", "ratings", "patches", "tags", "recall"),
    *("tumours", "strokes", "poems", "moons", "glyphs", "sugar"),
    *("mail", "heartbeats", "boxes", "names", "compress"),
    *("wards", "votes", "prices", "cells", "cancer", "coins", "irises", "tunes"),
    *("grammar", "yields", "signs", "stencils", "demand", "clients"),
    *("bearings", "rents", "intents", "leaves"),
    *("loans", "orbits", "fonts"),
    *("gestures", "tariffs", "stories", "scans"),
    *("molecules", "rivers", "keywords", "tickets"),
    *("beads", "sessions"),
    *("soils", "churn", "blooms", "gaits", "bricks", "verses"),
    *("letters_to_editor", "tides_ahead", "numerals", "sketches"),
    *("petals", "currents", "badges", "phrases", "screening", "stamps"),
    *("batteries", "orders", "crystals"),
    *("dates", "parcels", "tiles", "meters"),
    *("strips", "pixels_mlp", "donors", "motifs"),
)
RESULT = Path(__file__).parents[2] / "results" / "doctor_unseen.json"
SCRATCH = Path(tempfile.gettempdir()) / "didact-unseen"


class Watching:
    """The doctor, behind the calls that a case makes."""

    def __init__(self) -> None:
        self.doctor = Doctor(quiet=True)
        self.on_start, self.on_step, self.on_epoch = (
            self.doctor.on_start,
            self.doctor.on_step,
            self.doctor.on_epoch,
        )

    @contextmanager
    def watching(
        self, model: Any, optimizer: Any = None, loss_fn: Any = None, loader: Any = None
    ) -> Iterator[Any]:
        self.doctor.on_start(model, optimizer, loss_fn, loader)
        try:
            yield self.doctor
        finally:
            self.doctor.close()


def listed(task: str) -> dict[str, cases.Case]:
    return {case.name: case for case in importlib.import_module(task).CASES}


def run(job: tuple[str, int, Path]) -> dict[str, Any]:
    """One case from one seed, without and with the doctor."""
    name, seed, scratch = job
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    case, record = listed(name.split("/")[0])[name], {"name": name, "seed": seed}
    for watched in (False, True):
        doctor: Any = Watching() if watched else cases.Nobody()
        begun = time.process_time()
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            outcome = case.train(seed, doctor)
        kind = "watched" if watched else "unwatched"
        record[kind] = [number(outcome.score), number(outcome.reported)]
        record[f"{kind} cpu"] = time.process_time() - begun
    doctor.doctor.close()
    with chart_of(name, seed, scratch).open("wb") as file:
        pickle.dump(doctor.doctor.chart, file)
    return record | {"errors": doctor.doctor.chart.errors}


def number(value: float) -> float:
    """What does not end in a number is worth nothing."""
    return float(value) if math.isfinite(value) else 0.0


def chart_of(name: str, seed: int, scratch: Path) -> Path:
    return scratch / f"{name.replace('/', '-')}-{seed}.pickle"


def complete(jobs: list[tuple[str, int, Path]], workers: int, ledger: Path) -> None:
    """Run what has not been run, the slow and the fast ones mixed."""
    known = {(record["name"], record["seed"]) for record in read(ledger)}
    jobs = sorted((job for job in jobs if job[:2] not in known), key=lambda job: job[0][::-1])
    with multiprocessing.get_context("spawn").Pool(workers) as pool, ledger.open("a") as file:
        for k, record in enumerate(pool.imap_unordered(run, jobs), 1):
            print(json.dumps(record), file=file, flush=True)
            if k % 50 == 0:
                print(f"{k} of {len(jobs)}", flush=True)


def read(ledger: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


def counts(case: cases.Case, record: dict[str, Any], base: dict[str, Any]) -> bool:
    """Whether a faulty run is spoiled, or a healthy one is not, by the unwatched runs."""
    (score, told), (usual, usually_told) = record["unwatched"], base["unwatched"]
    if not case.accepts:
        return score > usual - cases.SLACK
    misled = (told - score) - (usually_told - usual)
    return case.exact or usual - score >= cases.LOWER or misled >= cases.LOWER


def judge(records: list[dict[str, Any]], scratch: Path) -> dict[str, Any]:
    """Ask the rules of now, and count."""
    by_key = {(record["name"], record["seed"]): record for record in records}
    total: collections.Counter[str] = collections.Counter()
    by_task: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for (name, seed), record in sorted(by_key.items()):
        task = name.split("/")[0]
        case = listed(task)[name]
        if not counts(case, record, by_key[case.base, seed]):
            continue
        report = Report(tuple(conclude(pickle.loads(chart_of(name, seed, scratch).read_bytes()))))
        causes = [finding.code for finding in report.findings if finding.severity != "hint"]
        if case.accepts:
            first = bool(causes) and causes[0] in case.accepts
            third = bool(set(report.codes()[:3]) & set(case.accepts))
            found = {"faulty": 1, "flagged": bool(causes), "first": first, "first three": third}
        else:
            first, found = not causes, {"healthy": 1, "alarms": bool(causes)}
        if not first:
            wanted, hints = ",".join(case.accepts) or "nothing", report.codes()[len(causes) :]
            print(f"{name} ({seed}): {wanted}, not {' '.join(causes) or 'nothing'} ({' '.join(hints)})")
        found |= {"different": record["watched"] != record["unwatched"], "errors": bool(record["errors"])}
        by_task[task].update(found)
        total.update(found)
    spent = [sum(record[f"{kind} cpu"] for record in records) for kind in ("watched", "unwatched")]
    return {
        "total": dict(total),
        "shares": shares(total),
        "overhead": round(spent[0] / spent[1] - 1, 4),
        "tasks": {task: dict(count) for task, count in by_task.items()},
    }


def main() -> None:
    """Run, judge, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--replay", action="store_true", help="judge the runs that there are")
    parser.add_argument("--scratch", type=Path, default=SCRATCH)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--as", dest="entry", default="now", help="name of the entry: now, or first contact")
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    ledger = options.scratch / "runs.jsonl"
    names = [name for task in options.tasks for name in listed(task)]
    if not options.replay:
        jobs = [(name, seed, options.scratch) for name in names for seed in range(options.seeds)]
        complete(jobs, options.jobs, ledger)
    result = judge([record for record in read(ledger) if record["name"] in names], options.scratch)
    print(json.dumps({name: result[name] for name in ("total", "shares", "overhead")}, indent=1))
    known = json.loads(options.out.read_text()) if options.out.exists() else {}
    entry = circumstances() | {"replayed": options.replay, "seeds": options.seeds} | result
    options.out.write_text(json.dumps(known | {options.entry: entry}, indent=1) + "\n", encoding="utf-8")


def circumstances() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "processors": os.cpu_count(),
    }


if __name__ == "__main__":
    main()
