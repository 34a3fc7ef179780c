"""didact experiment: what is listed, what is run, what is refused."""

import json
import re
from pathlib import Path

import pytest
from commands import Call, refused

from didact.recipes.experiment import Experiment, Variant
from didact.recipes.experiments import every
from didact.recipes.experiments.every import EXPERIMENTS
from didact.recipes.measures import final_loss, loss_by_epoch

TINY = Experiment(
    name="tiny",
    question="does it run?",
    source="notes 000",
    claim="it does",
    variants={
        label: Variant("softmax-regression", {"data": "iris", "epochs": 2, "lr": lr})
        for label, lr in (("slow", 0.001), ("fast", 0.1))
    },
    numbers=("loss",),
    measure=lambda run: {"loss": final_loss(run)},
    verdict=lambda table: f"Seen: {table.of('slow', 'loss')} and {table.of('fast', 'loss')}.",
    minutes=0.01,
    curve=loss_by_epoch,
    seeds=2,
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The tiny experiment in the list's place; the folder that the command is in."""
    monkeypatch.setattr(every, "EXPERIMENTS", {"tiny": TINY})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_experiments_are_listed_with_question_variants_and_time(call: Call):
    said = call("experiment")
    assert (said.code, said.err) == (0, "")
    heading, *rows = (re.split(r" {2,}", line.strip()) for line in said.out.splitlines())
    assert heading == ["experiment", "time", "question", "variants"]
    assert [row[0] for row in rows] == list(EXPERIMENTS)
    for name, time, question, variants in rows:
        experiment = EXPERIMENTS[name]
        assert time == f"{experiment.minutes:g} min"
        assert (question, variants) == (experiment.question, ", ".join(experiment.variants))


def test_the_list_as_json(call: Call):
    listed = json.loads(call("experiment", "--json").out)
    assert listed.keys() == EXPERIMENTS.keys()
    assert listed["degradation"]["variants"] == list(EXPERIMENTS["degradation"].variants)
    assert listed["degradation"]["seeds"] == 3


def test_an_experiment_is_run_and_judged(call: Call, tiny: Path):
    said = call("experiment", "TINY", "--set", "epochs=1")
    assert said.code == 0
    assert [line.split(":")[0] for line in said.err.splitlines()] == [f"{k} of 4" for k in (1, 2, 3, 4)]
    folder = tiny / "runs" / "experiment-tiny"
    found = json.loads((folder / "experiment.json").read_text())
    table, words = (block.splitlines() for block in said.out.split("\n\n"))
    assert table[0].split() == ["variant", "loss"]
    assert [line.split()[0] for line in table[1:]] == ["slow", "fast"]
    shown = dict(re.split(r" {2,}", line) for line in words)
    assert shown["question"] == TINY.question
    assert shown["claim"] == "it does (notes 000)"
    assert shown["verdict"] == found["verdict"]
    assert shown["drawn"] == "runs/experiment-tiny/experiment.svg"
    assert len(found["curves"]["slow"][0]) == 1
    assert "<svg" in (folder / "experiment.svg").read_text()


def test_quiet_json_with_one_seed_in_a_folder_of_ones_own(call: Call, tiny: Path):
    said = call("experiment", "tiny", "--quiet", "--json", "--seeds", "1", "--out", "here")
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out) == json.loads((tiny / "here" / "experiment.json").read_text())
    assert {path.name for path in (tiny / "here").iterdir() if path.is_dir()} == {"slow-0", "fast-0"}
    again = call("experiment", "tiny", "--quiet", "--json", "--seeds", "1", "--out", "here")
    assert again.out == said.out


def test_a_stopped_experiment_says_how_to_go_on(call: Call, tiny: Path, monkeypatch: pytest.MonkeyPatch):
    from didact.train.loop import Loop

    close = Loop.close_epoch

    def stop(loop: Loop) -> None:
        loop.stop_asked = True
        close(loop)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "close_epoch", stop)
        said = call("experiment", "tiny", "--quiet", "--out", "a folder")
    refused(said, 130, "the same command, didact experiment tiny --out 'a folder', goes on")
    assert call("experiment", "tiny", "--quiet", "--out", "a folder").code == 0


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["degredation"], ["unknown experiment 'degredation'", "did you mean 'degradation'?"]),
        (["--seeds", "2"], ["--seeds belongs to one experiment", "didact experiment NAME"]),
        (["--set", "epochs=2", "--quiet"], ["--set, --quiet belongs to one experiment"]),
        (["degradation", "--seeds", "many"], ["seeds='many' is not a whole number"]),
        (["degradation", "--seeds", "0"], ["seeds=0: at least 1"]),
        (["degradation", "--set", "epochs"], ["--set epochs: write KEY=VALUE"]),
        (["degradation", "--set", "epoch=2"], ["did you mean 'epochs'?"]),
        (["degradation", "--set", "epochs=two"], ["epochs='two'"]),
        (["degradation", "--set", "seed=2"], ["seed=2: an experiment takes its seeds"]),
        (["degradation", "--sedes", "2"], ["did you mean '--seeds'?"]),
    ],
)
def test_wrong_usage(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], parts: list[str]
):
    monkeypatch.chdir(tmp_path)
    refused(call("experiment", *words), 2, *parts)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_other_runs_is_left_alone(call: Call, tiny: Path):
    assert call("experiment", "tiny", "--quiet", "--seeds", "1", "--out", "here").code == 0
    said = call("experiment", "tiny", "--quiet", "--seeds", "1", "--out", "here", "--set", "epochs=3")
    refused(said, 1, "was trained by another recipe", "--out")
