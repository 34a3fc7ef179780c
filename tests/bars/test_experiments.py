"""Every experiment is run and its outcome kept in docs/experiments.json. Minutes long: ``make bars``.

What is checked without running is that the words fit the numbers: a verdict is made again from its table. No
outcome is asked for: a claim that is not seen here is a result too.
"""

import json
import re
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from didact.draw.style import to_svg
from didact.recipes.experiment import Experiment, run_experiment
from didact.recipes.experiments.every import EXPERIMENTS
from didact.recipes.table import Table
from didact.train.files import write_bytes, write_text

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "docs" / "experiments.json"
DRAWN = ROOT / "docs" / "images"
SHOWN = ("filters", "example-2")  # pictures of the filters that the page has room for
ONE_CORE = {"threads": "1"}  # so that the seconds mean the same everywhere

every_experiment = pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda each: each.name)


@pytest.mark.slow
@every_experiment
def test_experiment_is_run_and_recorded(experiment: Experiment, tmp_path: Path):
    before = time.process_time()
    results = run_experiment(experiment, tmp_path, settings=ONE_CORE)
    seconds = time.process_time() - before
    environment = json.loads(next(tmp_path.glob("*-0/environment.json")).read_text())
    found = results.to_dict()
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {package: version(package) for package in ("didact", "torch")},
        "processor": environment["processor"],
        "seconds": round(seconds),
        "seeds": results.seeds,
        "table": found["table"],
        "verdict": found["verdict"],
    }
    write_text(DRAWN / f"experiment-{experiment.name}.svg", to_svg(results.plot()))
    for picture in (path for name in SHOWN for path in tmp_path.glob(f"{name}.png")):
        write_bytes(DRAWN / f"experiment-{experiment.name}-{picture.name}", picture.read_bytes())
    write(experiment.name, record)
    assert results.verdict


def write(name: str, record: dict) -> None:
    measured = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    measured[name] = record
    kept = {each: measured[each] for each in EXPERIMENTS if each in measured}
    MEASURED.write_text(json.dumps(kept, indent=1) + "\n")


@every_experiment
def test_what_is_told_fits_what_was_measured(experiment: Experiment):
    record = json.loads(MEASURED.read_text())[experiment.name]
    table = Table.from_dict(record["table"])
    assert table.variants == list(experiment.variants)
    assert record["seeds"] == experiment.seeds == len(table.rows[0].each)
    assert experiment.verdict(table) == record["verdict"]
    assert (DRAWN / f"experiment-{experiment.name}.svg").exists()


@every_experiment
def test_header_says_command_and_the_time_that_was_measured(experiment: Experiment):
    record = json.loads(MEASURED.read_text())[experiment.name]
    file = experiment.name.replace("-", "_")
    header = (ROOT / "src/didact/recipes/experiments" / f"{file}.py").read_text().split('"""')[1]
    assert f"command   didact experiment {experiment.name}\n" in header
    told = re.search(r"^time      (\S+) min on one core, for 3 seeds$", header, re.M)
    assert told
    assert float(told[1]) == experiment.minutes
    assert abs(experiment.minutes - record["seconds"] / 60) <= 0.5
