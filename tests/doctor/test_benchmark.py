"""The doctor's benchmark: tasks learn in every style, slips apply, gate and totals count rightly."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks" / "doctor"
sys.path.insert(0, str(FOLDER))
fault, faults, gate, healthy, jobs, tasks, totals = (
    importlib.import_module(name)
    for name in ("fault", "faults", "gate", "healthy", "jobs", "tasks", "totals")
)
clinic, styles = importlib.import_module("clinic"), importlib.import_module("styles")
sys.path.remove(str(FOLDER))

SIXTY = {"D": 7, "L": 5, "P": 4, "A": 8, "I": 4, "S": 7, "O": 12, "R": 4, "E": 6, "G": 3}
SLOW = ("recall-gru", "markov-lm", "ring-gan")  # a few hundred steps before anything is learned


def run(task, style):
    return styles.train(task, style, 0, clinic.Clinic())


def small(task):
    """The task on a few rows, for a look at whether it runs at all."""
    task.keep_rows(torch.arange(min(40, len(task.train[0]))))
    task.epochs, task.batch = 1, min(task.batch, 20)
    return task


@pytest.fixture(autouse=True)
def quiet(recwarn):
    """Broadcasting in a loss warns, as it should; here it is injected."""


@pytest.mark.parametrize("style", styles.USUAL)
@pytest.mark.parametrize("name", [name for name in tasks.TASKS if name not in SLOW])
def test_every_task_learns_in_every_style(name, style):
    task = tasks.make_task(name, 0)
    torch.manual_seed(0)
    untrained = task.truth(task, task.model())
    task.epochs = max(3, task.epochs // 3)
    trained = run(task, style)
    assert task.truth(task, trained.model) > untrained + task.margin
    assert trained.losses[-1] < trained.losses[0]


@pytest.mark.parametrize("style", styles.USUAL)
@pytest.mark.parametrize("name", ["recall-gru", "markov-lm"])
def test_a_sequence_task_begins_to_learn(name, style):
    task = tasks.make_task(name, 0)
    task.epochs = 4 if name == "recall-gru" else 2
    losses = run(task, style).losses
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("style", styles.USUAL)
def test_both_players_of_the_gan_move(style):
    task = tasks.make_task("ring-gan", 0)
    task.epochs = 1
    torch.manual_seed(0)
    before = task.model()
    after = run(task, style).model
    for old, new in zip(before, after, strict=True):
        assert all(not torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True))


def test_the_same_seed_gives_the_same_weights():
    job = jobs.Job("iris-mlp", "classic", 1)
    assert jobs.run_job(job, False)["sha"] == jobs.run_job(job, False)["sha"]
    assert jobs.run_job(job, False)["sha"] != jobs.run_job(jobs.Job("iris-mlp", "classic", 2), False)["sha"]


def test_all_sixty_codes_have_an_injector():
    faults.check_table()
    assert set(faults.CODES) == {f"{letter}{k:02}" for letter, n in SIXTY.items() for k in range(1, n + 1)}
    assert all(each.gate in fault.GATES and each.code == each.accepts[0] for each in faults.FAULTS)


@pytest.mark.parametrize("each", faults.FAULTS, ids=lambda each: each.key)
def test_an_injector_applies(each):
    name, style = each.tasks[0], each.styles[0]
    job = jobs.Job(name, style, 0, each.key)
    task = small(jobs.prepare(job))
    spoiled = styles.train(task, style, 0, clinic.Clinic())
    assert spoiled.steps > 0


@pytest.mark.parametrize("each", healthy.ODDITIES, ids=lambda each: each.name)
def test_an_oddity_applies(each):
    task = small(jobs.prepare(jobs.Job(each.tasks[0], each.styles[0], 0, oddities=(each.name,))))
    assert styles.train(task, each.styles[0], 0, clinic.Clinic()).steps > 0


def test_the_plan_of_healthy_runs_holds_every_oddity_and_repeats_nothing():
    runs = healthy.plan(360)
    assert len(runs) == len({jobs.job_of(each).key for each in runs}) == 360
    assert {name for each in runs for name in each.oddities} == {each.name for each in healthy.ODDITIES}


def outcome(score, reported=None, losses=()):
    return gate.Outcome(score, reported, losses, 0.15)


@pytest.mark.parametrize(
    ("kind", "run", "twin", "expected"),
    [
        ("score", outcome(0.6), outcome(0.9), 2.0),
        ("present", outcome(0.9), outcome(0.9), 0.0),
        ("report", outcome(0.6, 0.95), outcome(0.9, 0.95), 2.0),
        ("seen", outcome(0.9, 0.6), outcome(0.9, 0.9), 2.0),
        ("seen", outcome(0.9), outcome(0.9, 0.9), 0.0),
        ("overfit", outcome(0.9, 0.9, (2.0, 1.0, 2.4)), outcome(0.9), 2.0),
    ],
)
def test_harm_in_margins(kind, run, twin, expected):
    assert gate.harm(kind, run, twin) == pytest.approx(expected)


def test_an_unknown_gate_is_refused():
    with pytest.raises(ValueError, match="gate is score"):
        gate.harm("guess", outcome(1.0), outcome(1.0))


def test_the_gate_asks_for_the_median_and_then_for_each_run():
    assert gate.keep("score", [0.1, 1.2, 2.0]) == [False, True, True]
    assert gate.keep("score", [0.1, 0.9, 2.0]) == [False, False, False]
    assert gate.keep("present", [0.0, -1.0, 0.0]) == [True, True, True]


def test_what_counts_as_healthy():
    base = outcome(0.9, 0.9)
    assert gate.is_healthy(outcome(0.86, 0.9), base)
    assert not gate.is_healthy(outcome(0.84, 0.9), base)
    assert not gate.is_healthy(outcome(0.9, 0.7), base)


def judged(codes, accepts=("S02",), hint=False, hints=(), verdict="faulty"):
    each = fault.Fault(accepts[0], "slip", "as typed", lambda task: None, {}, (), accepts, "score", hint)
    record = {"codes": codes, "hints": list(hints), "verdict": verdict, "seen": {"S02": 5}, "task": "t"}
    return totals.Judged(each, record | {"style": "classic", "seed": 0}, 2.0)


def test_totals_of_faulty_runs():
    runs = [judged(["S02"]), judged(["O01", "S02"]), judged(["S04"]), judged([], verdict="healthy")]
    line = totals.fault_totals(runs)
    assert (line["detection"], line["top1"], line["top3"], line["family"]) == (0.75, 0.25, 0.5, 0.5)
    assert line["steps"] == 5
    assert "-> O01 S02" in totals.confusions(runs)
    assert "-> nothing" in totals.confusions(runs)


def test_a_hint_is_found_when_it_is_named():
    assert judged([], hint=True, hints=["S02"], verdict="healthy").detected
    assert not judged([], hint=True, hints=["S01"], verdict="healthy").detected
    assert not judged([], hints=["S02"], verdict="healthy").detected


def calm_record(*codes, losses=()):
    return {"causes": list(codes), "score": 0.9, "reported": 0.9, "losses": losses, "margin": 0.15}


def test_false_alarms_and_their_bound():
    line = totals.healthy_totals([calm_record()] * 299 + [calm_record("O01", "R01")])
    assert (line["alarms"], line["named"]) == (1, {"O01": 1})
    assert totals.at_most(0, 300) == pytest.approx(
        1 - 0.05 ** (1 / 300)
    )  # none in 300: below one in a hundred
    assert totals.at_most(0, 300) < 0.01 < line["at_most"]


def test_overfitting_that_is_there_is_no_false_alarm():
    assert totals.false_codes(calm_record("R01", losses=(0.2, 0.1, 0.2))) == []
    assert totals.false_codes(calm_record("R01", losses=(0.2, 0.1, 0.11))) == ["R01"]
    assert totals.false_codes(calm_record("R01", "O01", losses=(0.2, 0.1, 0.2))) == ["O01"]


def test_a_ledger_runs_nothing_twice(tmp_path):
    job = jobs.Job("iris-mlp", "plain", 0)
    first = jobs.Ledger(tmp_path / "runs.jsonl")
    first.complete([job], False, 1, tell=lambda line: None)
    again = jobs.Ledger(tmp_path / "runs.jsonl")
    assert again.has(job)
    again.complete([job], False, 1, tell=pytest.fail)
    assert again[job]["score"] == first[job]["score"] > 0.9
