"""The tasks that no rule was made on: their cases are well formed, one runs, and runs are judged rightly."""

import importlib
import sys
from pathlib import Path

import pytest

from didact.doctor.codes import causes

FOLDER = Path(__file__).parents[2] / "benchmarks" / "doctor" / "unseen"
sys.path.insert(0, str(FOLDER))
examine = importlib.import_module("examine")
cases = importlib.import_module("case")
TASKS = {name: importlib.import_module(name).CASES for name in examine.TASKS}
sys.path.remove(str(FOLDER))


@pytest.mark.parametrize("task", TASKS)
def test_cases_have_names_codes_and_a_healthy_base(task):
    listed = TASKS[task]
    names = [case.name for case in listed]
    assert len(set(names)) == len(names)
    assert all(name.startswith(f"{task}/") for name in names)
    assert {case.base for case in listed} == {names[0]}
    assert not listed[0].accepts
    assert {code for case in listed for code in case.accepts} <= set(causes())
    assert not any(case.exact and not case.accepts for case in listed)


def test_most_codes_have_a_case_and_healthy_runs_are_many():
    everything = [case for listed in TASKS.values() for case in listed]
    assert len({code for case in everything for code in case.accepts}) >= 56
    assert sum(not case.accepts for case in everything) >= 140


def test_a_case_runs_alike_with_the_doctor_and_without(tmp_path, monkeypatch):
    monkeypatch.setattr(examine, "listed", lambda task: {case.name: case for case in TASKS[task]})
    record = examine.run(("wells/three epochs", 0, tmp_path))
    assert record["watched"] == record["unwatched"]
    assert record["errors"] == []
    assert examine.chart_of("wells/three epochs", 0, tmp_path).exists()


def test_what_does_no_harm_does_not_count():
    base = {"unwatched": [0.9, 0.9]}
    healthy, faulty, exact = (
        cases.Case("t/a", accepts, "t/a", lambda seed, doctor: None, exact)
        for accepts, exact in (((), False), (("O01",), False), (("O05",), True))
    )
    for case, outcome, counted in (
        (healthy, [0.85, 0.85], True),
        (healthy, [0.8, 0.8], False),
        (faulty, [0.85, 0.85], False),
        (faulty, [0.7, 0.7], True),
        (faulty, [0.85, 1.0], True),
        (exact, [0.9, 0.9], True),
    ):
        assert examine.counts(case, {"unwatched": outcome}, base) == counted
