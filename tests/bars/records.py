"""What is written down of a bar: date, versions, seeds, machine, and the scores with their spread."""

import json
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from didact.train.run import Run

MEASURED = Path(__file__).parents[2] / "docs" / "bars.json"


def record(runs: Sequence[Run], metrics: Sequence[str], seconds: Sequence[float]) -> dict[str, Any]:
    """The record of runs that differ in their seed."""
    environment = json.loads((runs[0].directory / "environment.json").read_text())
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {package: version(package) for package in ("didact", "torch")},
        "seeds": len(runs),
        "seconds": round(statistics.mean(seconds)),
        "processor": environment["processor"],
        "scores": {metric: spread([run.scores["test"][metric] for run in runs]) for metric in metrics},
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation, and every value."""
    return {
        "mean": round(statistics.mean(values), 4),
        "deviation": round(statistics.stdev(values), 4) if len(values) > 1 else None,
        "each": [round(value, 4) for value in values],
    }


def read() -> dict[str, Any]:
    """Everything that was measured."""
    return json.loads(MEASURED.read_text())


def write(name: str, entry: dict[str, Any]) -> None:
    """Add or replace one record."""
    measured = read() if MEASURED.exists() else {}
    measured[name] = entry
    MEASURED.write_text(json.dumps(dict(sorted(measured.items())), indent=2) + "\n")
