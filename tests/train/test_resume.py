"""A run that is stopped anywhere and resumed is the run that was never stopped, bit for bit."""

import json
import os
import random
import shutil
import signal
import threading

import pytest
import torch

import didact
from didact.errors import RunError
from didact.train.files import load_tensors, load_tree, same_tensors, save_tensors, save_tree
from didact.train.fit import fit_recipe, resume, verify
from didact.train.loop import Interrupted
from didact.train.optimize import OPTIMIZERS
from didact.train.recipe import make_recipe
from didact.train.record import read_metrics

TEXT = "the quick brown fox jumps over the lazy dog. " * 60
KINDS = {
    "mlp": (
        "mlp",
        "iris",
        {
            "epochs": 5,
            "batch_size": 16,
            "dropout": 0.3,
            "ema": 0.9,
            "schedule": "plateau",
            "plateau_patience": 1,
        },
    ),
    "accumulate": ("mlp", "iris", {"epochs": 4, "accumulate": 4, "batch_size": 4, "warmup": 2.0}),
    "lenet5": ("lenet5", "digits", {"epochs": 2, "batch_size": 32, "split": "10/10/80"}),
    "lstm": ("lstm", "text", {"epochs": 3, "dropout": 0.3, "num_layers": 2, "hidden_dim": 8, "context": 16}),
    "gan": ("gan", "gaussian", {"epochs": 2, "batch_size": 1000, "d_steps": 2}),
}


@pytest.fixture(scope="module")
def recipe_of(tmp_path_factory):
    """A small recipe of each kind; text lies in a file."""
    text = tmp_path_factory.mktemp("data") / "text.txt"
    text.write_text(TEXT)

    def make(kind):
        model, data, knobs = KINDS[kind]
        return make_recipe(model, str(text) if data == "text" else data, given=knobs)

    return make


@pytest.fixture(scope="module")
def whole(tmp_path_factory, recipe_of):
    """The uninterrupted run of each kind, made once."""
    runs = {}

    def make(kind):
        if kind not in runs:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("didact.train.fit.write_report", lambda run: None)
                patch.setattr("didact.train.fit.find_spec", lambda name: None)
                runs[kind] = fit_recipe(recipe_of(kind), tmp_path_factory.mktemp("whole") / kind)
        return runs[kind]

    return make


def stopped(recipe, directory, watcher, *updates):
    """Start a run and stop it after each of these updates."""
    with pytest.raises(Interrupted):
        fit_recipe(recipe, directory, observers=[watcher(stop_at=updates[0])])
    for update in updates[1:]:
        with pytest.raises(Interrupted):
            resume(directory, observers=[watcher(stop_at=update)])
    return didact.load(directory)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", KINDS)
def test_stopped_anywhere_and_resumed(kind, whole, recipe_of, tmp_path, watcher, same_run):
    expected = whole(kind)
    updates = expected.results["cost"]["updates"]
    for number, update in enumerate({1, random.Random(kind).randrange(2, updates), updates}):
        run = stopped(recipe_of(kind), tmp_path / str(number), watcher, update)
        assert not run.finished
        assert load_tree(run.directory / "state.safetensors")["position"]["step"] == update
        same_run(resume(run.directory), expected)


@pytest.mark.usefixtures("quick")
def test_stopped_again_and_again(whole, recipe_of, tmp_path, watcher, same_run):
    """At each update of the run, the last of an epoch included."""
    expected = whole("accumulate")
    updates = range(1, expected.results["cost"]["updates"] + 1)
    run = stopped(recipe_of("accumulate"), tmp_path / "run", watcher, *updates)
    same_run(resume(run.directory), expected)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_state_of_every_optimizer_is_whole(make_loop, tmp_path, optimizer):
    knobs = {"optimizer": optimizer, "lr": 0.01, "epochs": 3, "ema": 0.5, "clip_norm": 1.0}
    once = make_loop(**knobs)
    once.run()
    first = make_loop(**knobs)
    first.train_epoch()
    first.close_epoch()
    save_tree(tmp_path / "state", first.state())
    again = make_loop(**knobs)
    again.load(load_tree(tmp_path / "state"))
    again.run()
    assert same_tensors(again.model.state_dict(), once.model.state_dict()) is None
    assert same_tensors(again.average.weights, once.average.weights) is None
    assert again.at.scores == once.at.scores


def test_the_scaler_of_fp16_is_saved(make_loop, tmp_path):
    knobs = {"precision": "fp16", "epochs": 2}
    once = make_loop(**knobs)
    once.run()
    first = make_loop(**knobs)
    first.train_epoch()
    first.close_epoch()
    save_tree(tmp_path / "state", first.state())
    again = make_loop(**knobs)
    again.load(load_tree(tmp_path / "state"))
    again.run()
    assert again.state()["scaler"] == once.state()["scaler"]
    assert same_tensors(again.best, once.best) is None


@pytest.mark.usefixtures("quick")
def test_before_the_first_checkpoint_a_run_starts_over(whole, recipe_of, tmp_path, watcher, same_run):
    run = stopped(recipe_of("mlp"), tmp_path / "run", watcher, 7)
    (run.directory / "state.safetensors").unlink()
    (run.directory / "model.safetensors").unlink()
    with pytest.raises(RunError, match="has no weights yet; didact train --resume"):
        _ = run.model
    same_run(resume(run.directory), whole("mlp"))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("update", [6, 8])
def test_what_was_recorded_after_the_checkpoint_is_forgotten(
    whole, recipe_of, tmp_path, watcher, same_run, update
):
    """As after a kill: the record is ahead of the state, its last line is cut, temporary files lie about.

    After update 6 the state is that before the first epoch was closed, whose line has the same step.
    """
    run = stopped(recipe_of("mlp"), tmp_path / "run", watcher, update)
    lines = list(read_metrics(whole("mlp").directory / "metrics.jsonl"))
    ahead = "".join(json.dumps(line) + "\n" for line in lines[:15])
    (run.directory / "metrics.jsonl").write_text(ahead + json.dumps(lines[15])[:20])
    (run.directory / ".state.safetensors.123.tmp").write_bytes(b"half")
    same_run(resume(run.directory), whole("mlp"))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_polite_kill_save_first(whole, recipe_of, tmp_path, watcher, same_run, number):
    before = signal.getsignal(number)
    asks = watcher(each_step=lambda loop: loop.at.step == 9 and os.kill(os.getpid(), number))
    with pytest.raises(Interrupted, match="stopped in epoch 2, after 9 updates; didact train --resume"):
        fit_recipe(recipe_of("mlp"), tmp_path / "run", observers=[asks])
    assert signal.getsignal(number) is before
    same_run(resume(tmp_path / "run"), whole("mlp"))


@pytest.mark.usefixtures("quick")
def test_a_second_ctrl_c_stops_at_once(recipe_of, tmp_path, watcher):
    def impatient(loop):
        if loop.at.step == 9:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"didact train --resume .*run goes on"):
        fit_recipe(recipe_of("mlp"), tmp_path / "run", observers=[watcher(each_step=impatient)])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("quick")
def test_another_thread_trains_the_same(whole, recipe_of, tmp_path, same_run):
    """Signals belong to the main thread; the random numbers to whoever trains."""
    runs = []
    thread = threading.Thread(target=lambda: runs.append(fit_recipe(recipe_of("mlp"), tmp_path / "run")))
    thread.start()
    thread.join()
    same_run(runs[0], whole("mlp"))


@pytest.mark.usefixtures("quick")
def test_trained_but_not_scored_is_only_scored(whole, recipe_of, tmp_path, monkeypatch, same_run):
    monkeypatch.setattr("didact.train.fit._finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        fit_recipe(recipe_of("mlp"), tmp_path / "run")
    monkeypatch.undo()
    monkeypatch.setattr("didact.train.fit.write_report", lambda run: None)
    monkeypatch.setattr("didact.train.fit.find_spec", lambda name: None)
    monkeypatch.setattr("didact.train.loop.Loop.train_epoch", lambda _: pytest.fail("trains again"))
    same_run(resume(tmp_path / "run"), whole("mlp"))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("update", [30, 3])
def test_killed_between_a_state_and_its_weights(whole, recipe_of, tmp_path, watcher, same_run, update):
    """The state is the last one, finished or not; the weights beside it are still those of an older one."""
    old = stopped(recipe_of("mlp"), tmp_path / "old", watcher, 2)
    run = stopped(recipe_of("mlp"), tmp_path / "run", watcher, update)
    if update == 30:
        shutil.copy(whole("mlp").directory / "state.safetensors", run.directory)
        shutil.copy(whole("mlp").directory / "metrics.jsonl", run.directory)
    shutil.copy(old.directory / "model.safetensors", run.directory)
    same_run(resume(run.directory), whole("mlp"))


@pytest.mark.usefixtures("quick")
def test_a_finished_run_is_left_as_it_is(whole):
    run = whole("mlp")
    before = {path: path.stat().st_mtime_ns for path in run.directory.iterdir()}
    assert resume(run.directory).scores == run.scores
    assert {path: path.stat().st_mtime_ns for path in run.directory.iterdir()} == before


@pytest.fixture
def table(tmp_path):
    """A table that can be changed after a run was trained on it."""
    path = tmp_path / "table.csv"
    rows = [f"{i % 7},{i * 37 % 11},{'yes' if i % 2 else 'no'}" for i in range(60)]
    path.write_text("a,b,answer\n" + "\n".join(rows) + "\n")
    return path


@pytest.mark.usefixtures("quick")
def test_changed_data_is_refused(table, tmp_path, watcher):
    recipe = make_recipe("mlp", str(table), given={"epochs": 2, "batch_size": 16})
    run = stopped(recipe, tmp_path / "run", watcher, 2)
    state = (run.directory / "state.safetensors").read_bytes()
    table.write_text(table.read_text().replace("3,1,yes", "3,2,yes"))
    with pytest.raises(RunError, match=r"is not what .* was trained on") as caught:
        resume(run.directory)
    assert "\n" not in str(caught.value)
    assert (run.directory / "state.safetensors").read_bytes() == state


@pytest.mark.usefixtures("quick")
def test_verify(whole, recipe_of, tmp_path, watcher):
    """Identical, or the first difference: one flipped bit is enough."""
    run = resume(stopped(recipe_of("mlp"), tmp_path / "run", watcher, 11).directory)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert verify(run.directory) is None
    assert torch.equal(torch.get_rng_state(), before)
    path = run.directory / "model.safetensors"
    weights, metadata = load_tensors(path)
    weights["head.weight"].view(torch.int32)[0, 0] ^= 1
    save_tensors(path, weights, metadata)
    assert verify(run.directory).startswith("head.weight: largest difference ")


@pytest.mark.usefixtures("quick")
def test_verify_needs_a_finished_run_on_the_same_data(table, tmp_path, watcher):
    recipe = make_recipe("mlp", str(table), given={"epochs": 2, "batch_size": 16})
    run = stopped(recipe, tmp_path / "run", watcher, 2)
    with pytest.raises(RunError, match="is not finished"):
        verify(run.directory)
    resume(run.directory)
    table.write_text(table.read_text().replace("3,1,yes", "3,2,yes"))
    with pytest.raises(RunError, match=r"is not what .* was trained on"):
        verify(run.directory)
