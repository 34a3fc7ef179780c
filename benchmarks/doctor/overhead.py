"""What watching costs: CPU time of a watched over an unwatched run, by the size and the number of updates.

    python benchmarks/doctor/overhead.py

A loop with a DataLoader and a validation after each epoch trains three networks on digits, watched and not in
turns, in one process and on one thread. The report at the end is part of what watching costs. Prints the
median ratios of two runs that follow one another, and writes results/doctor_overhead.json.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import contextlib
import io
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import networks
import torch
from clinic import open_clinic
from run import RESULT, circumstances, save
from styles import train

from tasks import Task, make_task

TURNS = 4  # at least; as many as make 3,000 updates


def wide(seed: int) -> Task:
    """The task of the small MLP for a large one."""
    task = make_task("digits-mlp", seed)
    task.network = partial(networks.plain_mlp, sizes=(64, 1024, 1024, 10))
    task.batch = 128
    return task


NETWORKS: dict[str, tuple[Callable[[int], Task], tuple[int, ...]]] = {  # and numbers of updates
    "MLP 64-64-32-10": (partial(make_task, "digits-mlp"), (250, 1000, 4000)),
    "CNN with batch norm": (partial(make_task, "digits-cnn"), (250, 1000)),
    "MLP 64-1024-1024-10": (wide, (250, 1000)),
}


def spent(make: Callable[[int], Task], updates: int, watched: bool) -> float:
    """CPU seconds of one run."""
    task = make(0)
    task.epochs = -(-updates // -(-len(task.train[0]) // task.batch))
    clinic = open_clinic(watched)
    with contextlib.redirect_stderr(io.StringIO()):
        begun = time.process_time()
        train(task, "classic", 0, clinic)
        clinic.last.close()
        clinic.last.report()
    return time.process_time() - begun


def compare(name: str, make: Callable[[int], Task], updates: int) -> dict[str, Any]:
    """A row of the table."""
    pairs = []
    for turn in range(max(TURNS, 3000 // updates)):
        order = (True, False) if turn % 2 else (False, True)
        times = {watched: spent(make, updates, watched) for watched in order}
        pairs.append((times[False], times[True]))
    return {
        "network": name,
        "updates": updates,
        "milliseconds": round(1e3 * statistics.median(alone for alone, _ in pairs) / updates, 1),
        "overhead": round(statistics.median(watched / alone for alone, watched in pairs) - 1, 3),
        "n": len(pairs),
    }


def main() -> None:
    """The whole table."""
    torch.set_num_threads(1)
    rows = []
    for name, (make, counts) in NETWORKS.items():
        spent(make, counts[0], True)  # the first run of a process pays for what is loaded
        for updates in counts:
            rows.append(compare(name, make, updates))
            print(
                "{network:22} {updates:6} updates of {milliseconds:5} ms  {overhead:+.1%}".format(**rows[-1])
            )
    save(RESULT.with_name("doctor_overhead.json"), circumstances() | {"rows": rows})


if __name__ == "__main__":
    main()
