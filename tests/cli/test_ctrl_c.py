"""Stopping: one line that says how to go on, exit 130, and the run that goes on is the one never stopped."""

import os
import shlex
import signal
import time
from pathlib import Path

import pytest
from commands import Call, Child, contents

import didact
from didact.tasks.classify import Classify
from didact.train.files import load_tensors, same_tensors
from didact.train.fit import open_recipe_data
from didact.train.loop import Loop

EPOCHS = 300
TRAIN = ("train", "softmax-regression", "--epochs", EPOCHS, "--out", "the run")
RESUME = "didact train --resume 'the run' goes on"


@pytest.fixture(scope="module")
def whole(home: Path) -> Path:
    """The run that nobody stopped."""
    return didact.fit("softmax-regression", out=home / "whole", epochs=EPOCHS).directory


def goes_on(call: Call, run: Path, whole: Path) -> None:
    """The run is resumed as its last line said, and ends with the same weights."""
    words = shlex.split(RESUME.removesuffix(" goes on"))
    said = call(*words[1:-1], run, "--quiet")
    assert (said.code, said.err) == (0, "")
    assert same_tensors(*(load_tensors(r / "model.safetensors")[0] for r in (run, whole))) is None
    assert len(didact.load(run).history) == EPOCHS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("quiet", [False, True])
def test_a_stopped_run_goes_on_to_the_same_end(
    call: Call, tmp_path: Path, whole: Path, number: signal.Signals, quiet: bool
):
    child = Child(*TRAIN, *(["--quiet"] if quiet else []), cwd=tmp_path)
    if quiet:
        while not (tmp_path / "the run" / "metrics.jsonl").exists():
            time.sleep(0.01)
    else:
        child.read(until="epoch   3/")
    os.kill(child.pid, number)
    assert child.end() == 130
    last = child.seen.splitlines()[-1]
    assert last.startswith("didact: stopped in epoch ")
    assert last.endswith(f" updates; {RESUME}")
    assert child.seen.count("\n") == 1 or not quiet
    assert "Traceback" not in child.seen
    assert (tmp_path / "stdout").read_text() == ""
    goes_on(call, tmp_path / "the run", whole)


def test_a_second_ctrl_c_stops_at_once(
    call: Call, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
):
    def endless(*_: object) -> None:
        os.write(2, b"in an update\n")
        time.sleep(60)

    monkeypatch.setattr(Loop, "update", endless)
    child = Child(*TRAIN, "--no-watch", cwd=tmp_path)  # or the first update would be the rehearsed one
    child.read(until="in an update")
    os.kill(child.pid, signal.SIGINT)
    time.sleep(0.2)
    assert os.waitpid(child.pid, os.WNOHANG) == (0, 0)
    os.kill(child.pid, signal.SIGINT)
    assert child.end() == 130
    assert child.seen.endswith(f"didact: stopped; {RESUME}\n")
    assert "Traceback" not in child.seen
    monkeypatch.undo()
    goes_on(call, tmp_path / "the run", whole)


def test_ctrl_c_while_the_run_is_scored(
    call: Call, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Classify, "examine", interrupted)
    monkeypatch.chdir(tmp_path)
    said = call(*TRAIN, "--quiet")
    assert (said.code, said.out, said.err) == (130, "", f"didact: stopped; {RESUME}\n")
    monkeypatch.undo()
    goes_on(call, tmp_path / "the run", whole)


def test_ctrl_c_before_training_leaves_nothing(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"{open_recipe_data.__module__}.open_recipe_data", interrupted)
    monkeypatch.setattr("didact.train.fit.open_recipe_data", interrupted)
    monkeypatch.chdir(tmp_path)
    said = call(*TRAIN, "--quiet")
    assert (said.code, said.out, said.err) == (130, "", "didact: stopped\n")
    assert contents(tmp_path) == {}


def test_a_run_that_is_stopped_twice(call: Call, tmp_path: Path, whole: Path):
    for words in (TRAIN, ("train", "--resume", "the run")):
        child = Child(*words, cwd=tmp_path)
        child.read(until="left")
        os.kill(child.pid, signal.SIGINT)
        assert child.end() == 130
    assert "going on in epoch" in child.seen
    goes_on(call, tmp_path / "the run", whole)
