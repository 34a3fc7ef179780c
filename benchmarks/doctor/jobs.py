"""One run of the benchmark in a worker process, and the ledger of all that were run.

A job says what to run: a task, a style, a seed, and either a fault's key or some oddities. Its outcome is one
line of JSON in a ledger; a job whose line is there, from the same sources, is not run again. Unwatched runs
have a ledger of their own: they tell what a fault does and what the weights should be, and stay valid while
the doctor changes. Charts are pickled beside the ledger when asked for, to be concluded from again without
training.
"""

import contextlib
import functools
import hashlib
import io
import json
import multiprocessing
import os
import pickle
import signal
import time
import traceback
import warnings
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from clinic import open_clinic
from fault import Fault
from faults import find_fault
from healthy import HealthyRun, find_oddity
from styles import Run, train
from torch import nn

from tasks import Task, make_task

HERE = Path(__file__).parent
DOCTOR = HERE.parent.parent / "src" / "didact" / "doctor"
PATIENCE = 180  # seconds of one run
SHARED = ("networks.py", "tasks.py", "styles.py", "clinic.py", "jobs.py")


@dataclass(frozen=True)
class Job:
    """What to run."""

    task: str
    style: str
    seed: int
    fault: str = ""
    oddities: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        what = self.fault or "+".join(self.oddities) or "base"
        return f"{what}|{self.task}|{self.style}|{self.seed}"

    @property
    def twin(self) -> "Job":
        """The same without the fault and the oddities."""
        return Job(self.task, "classic" if self.style == "closure" else self.style, self.seed)


def job_of(run: HealthyRun) -> Job:
    return Job(run.task, run.style, run.seed, oddities=run.oddities)


def fault_jobs(faults: Iterable[Fault], seeds: int) -> Iterator[Job]:
    """Each fault on each of its tasks; the styles take turns over the seeds."""
    for fault in faults:
        for task in fault.tasks:
            turn = zlib.crc32(f"{fault.key}{task}".encode())
            for seed in range(seeds):
                style = fault.styles[(turn + seed) % len(fault.styles)]
                yield Job(task, style, seed, fault.key)


# Sources


@functools.cache
def digest(*paths: Path) -> str:
    """A short hash of files."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


def source_of(job: Job) -> str:
    """The hash of all that decides what the job does, but for the doctor."""
    files = [HERE / name for name in SHARED]
    if job.fault:
        module = find_fault(job.fault).inject.__module__.replace(".", "/")
        files.append(HERE / f"{module}.py")
    elif job.oddities:
        files.append(HERE / "healthy.py")
    return digest(*files)


def doctor_version() -> str:
    """The hash of the doctor's files."""
    return digest(*sorted(path for path in DOCTOR.rglob("*") if path.suffix in (".py", ".toml")))


# One run


def prepare(job: Job) -> Task:
    """The task with its fault or its oddities."""
    task = make_task(job.task, job.seed)
    torch.manual_seed(1000 + job.seed)
    if job.fault:
        find_fault(job.fault).apply(task)
    for name in job.oddities:
        find_oddity(name).apply(task)
    return task


def weights_hash(models: nn.Module | tuple[nn.Module, ...]) -> str:
    """Of every parameter and buffer, bit by bit."""
    total = hashlib.sha256()
    for model in models if isinstance(models, tuple) else (models,):
        for name, tensor in sorted(model.state_dict().items()):
            total.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return total.hexdigest()[:16]


def outcome(job: Job, task: Task, run: Run, doctor: Any) -> dict[str, Any]:
    """What a run came to, and what was said of it."""
    record = {
        "score": task.truth(task, run.model),
        "reported": run.reported[-1] if run.reported else None,
        "losses": run.losses,
        "margin": task.margin,
        "steps": run.steps,
        "sha": weights_hash(run.model),
    }
    report = doctor.report()
    if report is None:
        return record
    return record | conclusion(report) | {"errors": list(getattr(doctor.chart, "errors", []))}


def conclusion(report: Any) -> dict[str, Any]:
    """What a report says."""
    return {
        "verdict": report.verdict,
        "causes": [finding.code for finding in report.findings if finding.severity != "hint"],
        "codes": report.codes(),
        "hints": [finding.code for finding in report.findings if finding.severity == "hint"],
        "seen": {finding.code: getattr(finding, "seen", None) for finding in report.findings},
    }


def run_job(job: Job, watched: bool, charts: Path | None = None) -> dict[str, Any]:
    """Train once; an error is an outcome too."""
    record: dict[str, Any] = {"key": job.key, "source": source_of(job), **asdict(job)}
    started = time.process_time()
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            task = prepare(job)
            clinic = open_clinic(watched)
            run = train(task, job.style, job.seed, clinic)
            record["cpu"] = round(time.process_time() - started, 3)
            clinic.last.close()
            record |= outcome(job, task, run, clinic.last)
        if charts and watched:
            save_chart(charts, job, clinic.last)
    except Exception:
        record["error"] = traceback.format_exc(limit=-4)
    return record


def save_chart(charts: Path, job: Job, doctor: Any) -> None:
    """The record of what was seen, for conclusions without training."""
    path = charts / f"{hashlib.sha256(job.key.encode()).hexdigest()[:20]}.pickle"
    path.write_bytes(pickle.dumps((job.key, doctor.chart, getattr(doctor, "seen", {}))))


# Many runs


def _start_worker() -> None:
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


def _give_up(signum: int, frame: object) -> None:
    raise TimeoutError(f"more than {PATIENCE} seconds")


def _work(order: tuple[Job, bool, Path | None]) -> dict[str, Any]:
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        os._exit(1)  # nobody waits for the rest
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(PATIENCE)
    try:
        return run_job(*order)
    finally:
        signal.alarm(0)


class Ledger:
    """Outcomes by key, on disk as they come."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self.records = {record["key"]: record for record in map(json.loads, filter(str.strip, lines))}

    def __getitem__(self, job: Job) -> dict[str, Any]:
        return self.records[job.key]

    def has(self, job: Job) -> bool:
        """Whether the job was run, from the sources of today."""
        record = self.records.get(job.key)
        return record is not None and record["source"] == source_of(job)

    def add(self, record: dict[str, Any]) -> None:
        self.records[record["key"]] = record
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def complete(
        self, jobs: Iterable[Job], watched: bool, workers: int, charts: Path | None = None, tell: Any = print
    ) -> None:
        """Run what is missing."""
        orders = [(job, watched, charts) for job in dict.fromkeys(jobs) if not self.has(job)]
        if charts:
            charts.mkdir(parents=True, exist_ok=True)
        started = time.time()
        with contextlib.ExitStack() as stack:
            results: Iterable[dict[str, Any]] = map(_work, orders)
            if workers > 1 and len(orders) > 1:
                context = multiprocessing.get_context("spawn")
                pool = stack.enter_context(context.Pool(workers, _start_worker))
                results = pool.imap_unordered(_work, orders)
            for number, record in enumerate(results, 1):
                self.add(record)
                if number % 100 == 0 or number == len(orders):
                    tell(f"  {number}/{len(orders)} runs, {time.time() - started:.0f} s")
