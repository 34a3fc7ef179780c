"""The programs of the examination: their faults are well formed, one runs, and runs are judged rightly."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

from didact.doctor.codes import causes

FOLDER = Path(__file__).parents[2] / "benchmarks" / "doctor" / "programs"
sys.path.insert(0, str(FOLDER))
examine = importlib.import_module("examine_programs")
sys.path.remove(str(FOLDER))
PROGRAMS = examine.programs()


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_faults_that_a_program_lists_are_in_it(program):
    sound, *faults = examine.listed(program)
    source = ast.parse((FOLDER / f"{program}.py").read_text(encoding="utf-8"))
    words = {node.value for node in ast.walk(source) if isinstance(node, ast.Constant)}
    assert faults
    assert {fault.fault for fault in faults} <= words
    assert {code for fault in faults for code in fault.accepts} <= set(causes())
    assert all(causes()[fault.accepts[0]].exact for fault in faults if fault.exact)
    assert not sound.accepts


def test_the_programs_are_many_and_so_are_their_causes():
    everything = [case for program in PROGRAMS for case in examine.listed(program)]
    assert len(PROGRAMS) >= 50
    assert len({code for case in everything for code in case.accepts}) >= 40


def test_a_program_prints_the_same_with_the_doctor_and_without():
    record = examine.run(examine.Listed("vae_codes"))
    assert not record["different"]
    assert record["scores"][0] > 0.75
    assert record["causes"] == record["hints"] == []


@pytest.mark.parametrize(
    ("printed", "scores"),
    [
        ("loss 0.1\nscore 0.9\n", (0.9, 0.9)),
        ("reported 0.99\nscore 0.7\n", (0.7, 0.99)),
        ("score nan\n", (0.0, 0.0)),
        ("", (0.0, 0.0)),
    ],
)
def test_the_score_is_what_is_printed(printed, scores):
    assert examine.scores(printed) == scores


@pytest.mark.parametrize(
    ("scores", "exact", "counts"),
    [
        ((0.8, 0.8), False, False),
        ((0.7, 0.7), False, True),
        ((0.8, 1.0), False, True),
        ((0.9, 0.9), True, True),
    ],
)
def test_a_fault_counts_where_it_does_harm_or_is_wrong_by_itself(scores, exact, counts):
    case = examine.Listed("one", "fault", ("O01",), exact)
    assert examine.harmed(case, {"scores": scores}, {"scores": (0.9, 0.9)}) == counts


def test_totals_leave_out_what_does_no_harm(monkeypatch, capsys):
    faults = [
        examine.Listed("one", name, ("O01", "O08")) for name in ("named", "third", "silent", "harmless")
    ]
    monkeypatch.setattr(examine, "listed", lambda program: [examine.Listed("one"), *faults])
    common = {"different": False}
    hints = {"silent": ["DOC"]}
    outcomes = {
        "sound": ((0.9, 0.9), ["L04"]),
        "named": ((0.1, 0.1), ["O08"]),
        "third": ((0.1, 0.1), ["P01", "L04", "O01"]),
        "silent": ((0.1, 0.1), []),
        "harmless": ((0.9, 0.9), []),
    }
    records = [
        {"name": f"one/{name}", "scores": scores, "causes": said, "hints": hints.get(name, [])} | common
        for name, (scores, said) in outcomes.items()
    ]
    result = examine.judge(records)
    total = {"healthy": 1, "alarms": 1, "faulty": 3, "flagged": 2, "first": 1, "first three": 2}
    assert result["total"] == total | {"different": 0, "errors": 1}
    assert result["shares"]["flagged"] == pytest.approx(2 / 3, abs=1e-4)
    said = capsys.readouterr().out
    assert "one/sound: nothing, not L04" in said
    assert "one/silent: O01 O08, not nothing" in said
    assert "harmless" not in said
