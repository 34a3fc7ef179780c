"""Kill a run with SIGKILL at random moments, resume it, and compare with an uninterrupted one, bit for bit.

    python benchmarks/kill.py            ten kills; prints each and writes benchmarks/results/kill.json

Each round trains LeNet-5 on the embedded digits in a process of its own, on one thread, kills it at a random
moment between its first file and its last, checks that no file is half-written, resumes it in a new process,
and compares every tensor of the weights with those of a run that was left alone.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from didact.train.files import load_tensors, read_json, same_tensors

KILLS, SEED = 10, 0
RESULT = Path(__file__).parent / "results" / "kill.json"
KNOBS = [
    "--epochs",
    "12",
    "--set",
    "threads=1",
    "--set",
    "checkpoint_every=0.2",
    "--set",
    "ema=0.9",
    "--quiet",
]


def train(*arguments: str) -> subprocess.Popen[bytes]:
    """Start ``didact train`` in a process of its own."""
    command = [sys.executable, "-m", "didact", "train", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for it, and insist that it ends well."""
    if process.wait() != 0:
        raise SystemExit(f"training failed with exit code {process.returncode}")


def check_files(directory: Path) -> list[str]:
    """Read every file of a run as what it is; a half-written one raises."""
    for path in sorted(directory.iterdir()):
        if path.name.startswith("."):
            continue  # a temporary name: nobody reads it
        if path.suffix == ".json":
            read_json(path)
        elif path.suffix == ".safetensors":
            load_tensors(path)
        elif path.suffix == ".jsonl":
            for line in path.read_text().splitlines(keepends=True):
                json.loads(line)
                assert line.endswith("\n")
    return [path.name for path in directory.iterdir()]


def main() -> None:
    """Ten kills."""
    moments = random.Random(SEED)
    rounds = []
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        finish(train("lenet5", "--out", str(whole), *KNOBS))
        expected, _ = load_tensors(whole / "model.safetensors")
        span = json.loads((whole / "results.json").read_text())["cost"]["seconds"]
        for number in range(KILLS):
            run = Path(scratch) / str(number)
            process = train("lenet5", "--out", str(run), *KNOBS)
            while not (run / "recipe.json").exists():
                time.sleep(0.002)
            moment = moments.uniform(0, span)
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
            killed = process.wait() == -signal.SIGKILL
            files = check_files(run)
            finish(train("--resume", str(run), "--quiet"))
            weights, _ = load_tensors(run / "model.safetensors")
            difference = same_tensors(expected, weights)
            check_files(run)
            rounds.append(
                {
                    "after_seconds": round(moment, 3),
                    "killed": killed,
                    "had_state": "state.safetensors" in files,
                    "difference": difference,
                }
            )
            print(rounds[-1])
    result = {
        "what": "SIGKILL at random moments; weights of the resumed run against an uninterrupted one",
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {n: version(n) for n in ("didact", "torch")},
        "run_seconds": round(span, 2),
        "rounds": rounds,
        "identical": sum(r["difference"] is None for r in rounds),
        "of": len(rounds),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{result['identical']} of {result['of']} identical")


if __name__ == "__main__":
    main()
