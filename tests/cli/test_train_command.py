"""``didact train``: from typed words to a run, and on with it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from commands import Call, contents, fruit_rows, refused, write_csv, write_images

from didact.train.files import load_tensors, same_tensors, save_tensors
from didact.train.run import load

QUICK = ("train", "softmax-regression", "--epochs", "2")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of its own to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_results_go_to_standard_output_and_progress_to_standard_error(call: Call):
    said = call(*QUICK)
    run = load("runs/softmax-regression-iris-1")
    assert said.code == 0
    assert said.out.splitlines() == [
        f"test    {run.headline()}",
        "run     runs/softmax-regression-iris-1",
        "report  runs/softmax-regression-iris-1/report.html",
    ]
    lines = said.err.splitlines()
    assert lines[0].startswith("softmax-regression: one score per class")
    assert lines[1] == "15 parameters, 6 batches an epoch, on cpu"
    assert lines[2] == "first loss 0.95, ignorance costs 1.10 (log 3)"
    assert [line.split("  ")[0] for line in lines[3:5]] == ["epoch 1/2", "epoch 2/2"]
    assert lines[5:] == ["diagnosis: healthy, 12 updates watched"]
    assert "\033" not in said.out + said.err
    assert run.report.is_file()


def test_quiet_says_the_result_alone(call: Call):
    said = call(*QUICK, "--quiet")
    assert said.err == ""
    assert len(said.out.splitlines()) == 3


def test_json_is_one_object(call: Call):
    said = call(*QUICK, "--json")
    run = json.loads(said.out)
    assert run["recipe"]["epochs"] == 2
    assert run["scores"]["test"]["accuracy"] <= 1
    assert load(run["directory"]).finished


def test_runs_are_numbered_and_an_own_name_is_kept(call: Call):
    call(*QUICK, "--quiet")
    assert "runs/softmax-regression-iris-2\n" in call(*QUICK, "--quiet").out
    assert "mine/first\n" in call(*QUICK, "--quiet", "--out", "mine/first").out


@pytest.mark.parametrize("name", ["run", "folder", "file"])
def test_what_exists_is_never_written_into(call: Call, here: Path, name: str, iris_run: Path):
    out = here / "out"
    if name == "run":
        shutil.copytree(iris_run, out)
    elif name == "folder":
        out.mkdir()
        (out / "thesis.txt").write_text("years of work")
    else:
        out.write_text("years of work")
    before = contents(here)
    said = call(*QUICK, "--out", out)
    refused(said, 1, f"{out} holds", "choose another --out")
    assert ("--resume" in said.err) == (name == "run")
    assert contents(here) == before


def test_an_empty_folder_may_be_named(call: Call, here: Path):
    (here / "out").mkdir()
    assert call(*QUICK, "--quiet", "--out", "out").code == 0


def test_a_saved_recipe_is_repeated_to_the_bit(call: Call, iris_run: Path):
    call("train", "--recipe", iris_run / "recipe.json", "--quiet", "--out", "again")
    weights, _ = load_tensors(iris_run / "model.safetensors")
    again, _ = load_tensors(Path("again") / "model.safetensors")
    assert same_tensors(weights, again) is None
    origin = json.loads((Path("again") / "recipe.json").read_text())["epochs"]["from"]
    assert origin == f"file {iris_run / 'recipe.json'}"


def test_typed_words_win_over_a_recipe_and_say_so(call: Call, iris_run: Path):
    call("train", "--recipe", iris_run / "recipe.json", "--epochs", "1", "--quiet", "--out", "again")
    knob = json.loads((Path("again") / "recipe.json").read_text())["epochs"]
    assert knob == {"value": 1, "from": "command line"}


def test_a_table_by_its_path(call: Call, here: Path):
    write_csv(here / "fruit.csv", ("fruit", "colour", "weight"), [row[::-1] for row in fruit_rows()])
    said = call("train", "mlp", "--data", "fruit.csv", "--set", "target=fruit", "--epochs", "1", "--quiet")
    assert said.code == 0, said.err
    assert "runs/mlp-fruit-1\n" in said.out
    assert load("runs/mlp-fruit-1").facts.classes == ("apple", "banana", "cherry")


def test_a_folder_per_class(call: Call, here: Path):
    write_images(here / "shades")
    said = call("train", "lenet5", "--data", "shades", "--epochs", "1", "--quiet", "--set", "augment=")
    assert said.code == 0, said.err
    assert load("runs/lenet5-shades-1").facts.classes == ("dark", "light")


def test_a_text(call: Call, prose: Path):
    small = ("--set", "hidden_dim=8", "--set", "embedding_dim=8", "--set", "context=16")
    said = call("train", "elman", "--data", prose, "--epochs", "1", "--quiet", *small)
    assert said.code == 0, said.err
    assert said.out.startswith("test    bits_per_token ")


def test_resume_of_a_finished_run_says_so(call: Call, iris_run: Path):
    before = contents(iris_run)
    said = call("train", "--resume", iris_run)
    assert (said.code, said.err) == (0, f"{iris_run} was finished already\n")
    assert said.out.startswith("test    accuracy")
    assert contents(iris_run) == before


def test_verify_proves_that_a_run_can_be_repeated(call: Call, iris_run: Path):
    said = call("train", "--resume", iris_run, "--verify", "--quiet")
    assert (said.code, said.err) == (0, "verify: identical to an uninterrupted run, bit for bit\n")


def test_verify_tells_other_weights(call: Call, here: Path, iris_run: Path):
    shutil.copytree(iris_run, here / "run")
    weights, metadata = load_tensors(here / "run" / "model.safetensors")
    name, tensor = next(iter(weights.items()))
    nudged = weights | {name: torch.nextafter(tensor, tensor + 1)}
    save_tensors(here / "run" / "model.safetensors", nudged, metadata)
    said = call("train", "--resume", here / "run", "--verify", "--quiet")
    assert said.code == 1
    assert said.err.startswith(f"verify: differs: {name}: largest difference")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--epochs 3", "--epochs"),
        ("--data iris", "--data"),
        ("--set lr=1", "--set"),
        ("--out elsewhere", "--out"),
        ("--compile", "--compile"),
        ("--allow-bad", "--allow-bad"),
        ("--recipe recipe.json", "--recipe"),
        ("--batch-size 3 mlp", "MODEL, --batch-size"),
    ],
)
def test_resume_takes_no_other_words(call: Call, iris_run: Path, words: str, named: str):
    refused(call("train", "--resume", iris_run, *words.split()), 2, f"leave out {named}\n")
