"""Pulling the plug: what is on the disk when a run is killed parses, and the resumed run is the same run."""

import os
import random
import signal
import sys
import time

import pytest

from didact.errors import RunError
from didact.train.files import load_tensors, load_tree, read_json
from didact.train.fit import fit_recipe, resume
from didact.train.recipe import make_recipe

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks a process that has torch loaded"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.usefixtures("quick"),
]
KNOBS = {"epochs": 24, "batch_size": 8, "dropout": 0.2, "ema": 0.9, "checkpoint_every": 0.005}
KILLS = 4


def killed(work, directory, lines, seconds):
    """Let another process do the work, and kill it so long after that many lines of metrics are written."""
    child = os.fork()
    if child == 0:  # leaves by os._exit, whatever happens: it must not go on with pytest
        try:
            work()
        finally:
            os._exit(0)
    deadline, metrics = time.monotonic() + 20, directory / "metrics.jsonl"
    while time.monotonic() < deadline:
        if (directory / "recipe.json").exists() and (not lines or written(metrics) >= lines):
            break
        time.sleep(0.001)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def written(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def check_files(directory):
    """Every file is whole; the temporary ones are not files of the run."""
    for path in directory.iterdir():
        if path.suffix == ".json":
            assert read_json(path)
        elif path.name == "metrics.jsonl":
            text = path.read_text()
            assert text == "" or text.endswith("\n")
            assert all(line.startswith("{") and line.endswith("}") for line in text.splitlines())
        elif path.name == "state.safetensors":
            assert load_tree(path)["position"]["step"] > 0
        elif path.suffix == ".safetensors":
            assert load_tensors(path)[1]["model"] == "mlp"
        else:
            assert path.name.endswith(".tmp"), path


def test_killed_at_random_moments(tmp_path, same_run):
    recipe = make_recipe("mlp", "iris", given=KNOBS)
    expected = fit_recipe(recipe, tmp_path / "whole")
    length, lines = expected.results["cost"]["seconds"], written(tmp_path / "whole" / "metrics.jsonl")
    directory, moments, hits, steps = tmp_path / "run", random.Random(0), 0, [0]
    for number in range(KILLS):
        work = (lambda: fit_recipe(recipe, directory)) if number == 0 else (lambda: resume(directory))
        hits += killed(work, directory, number * lines // KILLS, moments.uniform(0, 0.2) * length / KILLS)
        check_files(directory)
        if (directory / "state.safetensors").exists():
            steps.append(load_tree(directory / "state.safetensors")["position"]["step"])
    assert hits >= KILLS - 1, "the run was over before it could be killed"
    assert steps == sorted(steps)
    assert steps[-1] > 0
    same_run(resume(directory), expected)


@pytest.mark.parametrize(
    "broken", ["state.safetensors", "model.safetensors", "metrics.jsonl", "results.json"]
)
def test_a_disk_that_is_full_ends_the_run_with_one_line(tmp_path, same_run, monkeypatch, broken):
    """And once there is room again the run goes on to the same end."""
    recipe = make_recipe("mlp", "iris", given={"epochs": 3, "batch_size": 16, "checkpoint_every": 1e-9})
    expected = fit_recipe(recipe, tmp_path / "whole")
    real_replace, real_open, left = os.replace, open, [2]

    def no_room(*_):
        raise OSError(28, "No space left on device")

    def replace(source, target):
        left[0] -= target.name == broken
        if target.name == broken and (left[0] < 0 or broken == "results.json"):
            no_room()
        real_replace(source, target)

    def half_written(path, mode):
        left[0] -= broken == "metrics.jsonl"
        if left[0] < 0:
            with real_open(path, mode) as file:
                file.write(b'{"step": 3, "ep')
            no_room()
        return real_open(path, mode)

    with monkeypatch.context() as patch:
        patch.setattr("didact.train.files.os.replace", replace)
        patch.setattr("didact.train.record.open", half_written, raising=False)
        with pytest.raises(RunError, match=rf"{broken}.*No space left on device") as caught:
            fit_recipe(recipe, tmp_path / "run")
    assert "\n" not in str(caught.value)
    same_run(resume(tmp_path / "run"), expected)
