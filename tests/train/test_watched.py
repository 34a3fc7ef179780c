"""The doctor watches every run, changes nothing of it, and writes down what it thinks."""

import argparse
import json
import math
from dataclasses import replace

import pytest
import torch

import didact
from didact.cli import train as train_command
from didact.data.open import open_data
from didact.train.files import load_tensors, same_tensors
from didact.train.fit import fit_recipe, resume
from didact.train.loop import Interrupted
from didact.train.nonfinite import NonFiniteError
from didact.train.progress import in_lines
from didact.train.recipe import Recipe, make_recipe
from didact.train.report import report_page
from didact.train.watched import Watched, ignorance, plain

TEXT = "the quick brown fox jumps over the lazy dog. " * 40
SGD = {"optimizer": "sgd", "epochs": 20}
KINDS = {
    "dropout": ("mlp", "iris", {"epochs": 3, "dropout": 0.3, "ema": 0.9, "batch_size": 16}),
    "accumulate": ("mlp", "iris", {"epochs": 2, "accumulate": 3, "batch_size": 4, "clip_norm": 0.5}),
    "batch norm": (
        "cnn",
        "digits",
        {"epochs": 1, "examples": 60, "batch_norm": True, "maps": (4,), "widths": ()},
    ),
    "images": ("lenet5", "digits", {"epochs": 1, "examples": 100, "augment": ("jitter:0.2",)}),
    "language": ("elman", "text", {"epochs": 2, "hidden_dim": 8, "context": 16}),
    "game": ("gan", "gaussian", {"epochs": 1, "batch_size": 2000}),
}
pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A run with a rate that is far too high, with its page."""
    directory = tmp_path_factory.mktemp("faulty") / "run"
    return didact.fit("mlp", "iris", out=directory, lr=3.0, **SGD)


@pytest.fixture
def sick(tmp_path):
    """A run whose loss became NaN."""
    with pytest.raises(NonFiniteError):
        didact.fit("mlp", "diabetes", out=tmp_path / "run", lr=1e6, **SGD)
    return didact.load(tmp_path / "run")


@pytest.mark.parametrize("kind", KINDS)
def test_it_changes_nothing(kind, tmp_path):
    model, data, knobs = KINDS[kind]
    (tmp_path / "text.txt").write_text(TEXT)
    data = tmp_path / "text.txt" if data == "text" else data
    state = torch.get_rng_state()
    runs = [didact.fit(model, data, out=tmp_path / f"{w}", watch=w, **knobs) for w in (True, False)]
    assert torch.equal(torch.get_rng_state(), state)
    weights = [load_tensors(run.directory / "model.safetensors")[0] for run in runs]
    assert same_tensors(*weights) is None
    assert runs[0].curve == runs[1].curve
    assert runs[0].scores == runs[1].scores
    watched, alone = (run.diagnosis for run in runs)
    assert alone == {}
    assert watched["watched"] == {"after": 0, "to": runs[0].results["cost"]["updates"]}
    assert [f for f in watched["findings"] if f["code"] == "DOC"] == []  # no error of its own


def test_healthy_is_a_line(tmp_path, capsys):
    run = didact.fit("mlp", "iris", out=tmp_path / "run", epochs=20, quiet=False)
    said = capsys.readouterr().err.splitlines()
    assert run.diagnosis["verdict"] == "healthy"
    assert run.diagnosis["version"] == didact.__version__
    (line,) = [line for line in said if line.startswith("diagnosis")]
    assert line == f"diagnosis: healthy, {run.results['cost']['updates']} updates watched"
    first = run.diagnosis["preflight"]["first_loss"]
    assert f"first loss {first:.2f}, ignorance costs 1.10 (log 3)" in said


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_first_loss_is_that_of_the_first_update(tmp_path, dropout):
    run = didact.fit("mlp", "iris", out=tmp_path / "run", epochs=1, dropout=dropout)
    assert run.diagnosis["preflight"]["first_loss"] == run.curve[0]["train"]["loss"]


def test_what_ignorance_costs(make_loop, facts):
    task = make_loop().task
    equal, skewed = torch.arange(30) % 3, torch.tensor([0] * 28 + [1, 2])
    assert ignorance(task, equal, 1.0) == (math.log(3), "log 3")
    shares = torch.tensor([28, 1, 1]) / 30
    cost, words = ignorance(task, skewed, 1.0)
    assert cost == pytest.approx(-float((shares * shares.log()).sum()))
    assert words == "always the classes' shares; log 3 is 1.10"
    assert ignorance(task, None, 1.0) == (math.log(3), "log 3")
    assert ignorance(task, equal, None) == (None, "the best constant answer")
    task.facts = replace(facts, target="number", classes=())
    assert ignorance(task, torch.randn(9), 0.9) == (0.9, "the best constant answer")


def test_a_fault_is_named_with_its_fix(faulty, capsys):
    said = faulty.diagnosis
    assert said["verdict"] == "faulty"
    assert said["findings"][0]["code"] == "O01"
    lines = in_lines(said)
    assert lines[0].startswith("diagnosis: faulty, ")
    assert lines[1].startswith("  O01 ")
    assert lines[2] == f"      fix: {said['findings'][0]['fix']}"


def test_the_report_shows_it(faulty):
    page, finding = report_page(faulty), faulty.diagnosis["findings"][0]
    section = page.split('id="diagnosis"')[1].split("</section>")[0]
    assert "Something spoils the run." in section
    assert finding["fix"] in section
    assert all(name in section for name in finding["evidence"])
    assert f"In the notes: {finding['notes']}." in section
    assert 'alt="training loss"' in section


def test_a_loss_that_is_not_finite_is_diagnosed(sick):
    assert not sick.finished
    assert sick.diagnosis["verdict"] == "faulty"
    assert {"O01", "O08"} & {finding["code"] for finding in sick.diagnosis["findings"]}
    (sick.directory / "diagnosis.json").read_text()


def test_it_is_json_to_the_letter(sick, faulty):
    def refuse(constant):
        raise AssertionError(constant)

    for run in (sick, faulty):
        json.loads((run.directory / "diagnosis.json").read_text(), parse_constant=refuse)
    mixed = {"a": math.nan, 1: [torch.tensor(2.0), -math.inf], "b": (True, None, "x"), "c": {1}}
    assert plain(mixed) == {"a": None, "1": [2.0, None], "b": [True, None, "x"], "c": "{1}"}


def test_nobody_listens_afterwards(sick, faulty, make_loop):
    from torch.optim import optimizer

    assert not hasattr(torch._C._nn.cross_entropy_loss, "__wrapped__")
    assert not hasattr(torch.autograd.backward, "__wrapped__")
    assert not optimizer._global_optimizer_pre_hooks
    loop = make_loop()
    watched = Watched(loop, open_data("iris"), sick.directory)
    watched.begin()
    assert loop.hear is not None
    assert loop.model._forward_hooks
    watched.end()
    assert loop.hear is None
    assert not loop.model._forward_hooks


def test_a_resumed_run_says_from_which_update_on(tmp_path, watcher):
    recipe = make_recipe("mlp", "iris", given={"epochs": 10, "batch_size": 8})
    with pytest.raises(Interrupted):
        fit_recipe(recipe, tmp_path / "run", observers=[watcher(stop_at=30)])
    first = didact.load(tmp_path / "run").diagnosis
    assert first["watched"] == {"after": 0, "to": 30}
    run = resume(tmp_path / "run")
    updates = run.results["cost"]["updates"]
    assert run.diagnosis["watched"] == {"after": 30, "to": updates}
    assert run.diagnosis["preflight"] == first["preflight"]
    assert in_lines(run.diagnosis)[0].endswith(f"{updates - 30} updates watched, from update 31 on")


def test_a_leg_without_updates_keeps_the_diagnosis(tmp_path, monkeypatch):
    recipe = make_recipe("mlp", "iris", given={"epochs": 2})
    with monkeypatch.context() as patch:
        patch.setattr("didact.train.fit._finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fit_recipe(recipe, tmp_path / "run")
    before = (tmp_path / "run" / "diagnosis.json").read_bytes()
    assert resume(tmp_path / "run").finished
    assert (tmp_path / "run" / "diagnosis.json").read_bytes() == before


def test_a_compiled_run_is_not_watched_and_says_so(make_loop, tmp_path):
    loop = make_loop()
    loop.recipe = replace(loop.recipe, compile=True)
    watched = Watched(loop, open_data("iris"), tmp_path)
    watched.begin()
    assert not loop.model._forward_hooks
    watched.end()
    said = watched.diagnosis()
    assert said["verdict"] == "not watched"
    assert in_lines(said) == [
        "not watched: a compiled step lets nobody listen; --set compile=false has it watched"
    ]


def test_odd_data_is_told_before_the_first_update(tmp_path):
    lines = [f"{k % 7},{k % 2},{'ab'[k % 2]}" for k in range(200)]
    (tmp_path / "leak.csv").write_text("\n".join(["noise,tells,answer", *lines]))
    run = didact.fit("mlp", tmp_path / "leak.csv", out=tmp_path / "run", epochs=1)
    found = run.diagnosis["preflight"]["data"]
    assert any("tells" in finding["where"] + finding["what"] for finding in found)
    assert "in the data" in report_page(run)


def test_overfitting_does_no_harm_where_the_best_epoch_is_kept(tmp_path):
    knobs = {"epochs": 60, "lr": 0.01}
    kept, last = (didact.fit("mlp", "diabetes", out=tmp_path / k, keep=k, **knobs) for k in ("best", "last"))
    assert ("R01", "warning") in [(f["code"], f["severity"]) for f in last.diagnosis["findings"]]
    (found,) = [f for f in kept.diagnosis["findings"] if f["code"] == "R01"]
    assert found["severity"] == "hint"
    assert f"the weights of epoch {kept.results['cost']['best_epoch']}" in found["fix"]
    assert kept.diagnosis["verdict"] == "healthy"
    assert any("R01" in line for line in in_lines(kept.diagnosis))


def test_the_command_line_can_do_without():
    parser = argparse.ArgumentParser()
    train_command.add_arguments(parser)
    assert train_command._settings(parser.parse_args(["mlp", "--no-watch"])) == {"watch": "false"}
    assert train_command._settings(parser.parse_args(["mlp"])) == {}
    assert Recipe().watch
    assert not make_recipe("mlp", settings={"watch": "false"}).watch
