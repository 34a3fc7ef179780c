"""Broken data, damaged runs, full disks: one line that names it, exit 1, and nothing is lost."""

import errno
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import IRIS, Call, contents, fruit_rows, refused, write_csv, write_images

from didact.train.files import load_tensors, same_tensors, save_tensors
from didact.train.run import load

# data


def bad_table(folder: Path, line: int = 5) -> Path:
    rows = fruit_rows()
    rows[line - 2] = ("red", "heavy", "apple")
    return write_csv(folder / "fruit.csv", ("colour", "weight", "fruit"), rows)


def bad_image(folder: Path) -> Path:
    write_images(folder / "shades")
    (folder / "shades" / "dark" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    return folder / "shades"


def empty_folder(folder: Path) -> Path:
    (folder / "nothing").mkdir()
    return folder / "nothing"


def no_header(folder: Path) -> Path:
    return write_csv(folder / "plain.csv", ("1.5", "2.5", "3"), [(1.5, 2.5, k % 2) for k in range(20)])


def same_column_twice(folder: Path) -> Path:
    return write_csv(folder / "twice.csv", ("a", "a", "b"), [(1, 2, k % 2) for k in range(20)])


def one_class(folder: Path) -> Path:
    return write_csv(folder / "one.csv", ("a", "b"), [(k + 0.5, "same") for k in range(20)])


def other_text(folder: Path) -> Path:
    (folder / "t.txt").write_bytes(b"caf\xe9 " * 50)
    return folder / "t.txt"


def pickled(folder: Path) -> Path:
    (folder / "data.pkl").write_bytes(pickle.dumps({"x": [1, 2]}))
    return folder / "data.pkl"


@pytest.mark.parametrize(
    ("model", "make", "parts"),
    [
        ("mlp", lambda folder: folder / "missing.csv", ["missing.csv", "neither a file nor an embedded set"]),
        ("mlp", empty_folder, ["nothing"]),
        ("mlp", bad_image, ["shades/dark/3.png", "not an image that can be decoded", "--allow-bad"]),
        ("mlp", bad_table, ["fruit.csv:5", "'weight'", "text in a numeric column: 'heavy'", "--allow-bad"]),
        ("mlp", no_header, ["plain.csv:1", "the first line must name the columns"]),
        ("mlp", same_column_twice, ["twice.csv:1", "two columns are called 'a'"]),
        ("mlp", one_class, ["one.csv"]),
        ("lstm", other_text, ["t.txt", "UTF-8"]),
        ("mlp", pickled, ["data.pkl", "is not read"]),
    ],
)
def test_broken_data_is_refused(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, make: Callable, parts: list[str]
):
    data = make(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    refused(call("train", model, "--data", data, "--epochs", "1"), 1, *parts)
    assert contents(tmp_path) == before
    assert not (tmp_path / "runs").exists()


def test_a_column_that_is_not_there(call: Call, tmp_path: Path):
    table = write_csv(tmp_path / "fruit.csv", ("colour", "weight", "fruit"), fruit_rows())
    said = call("train", "mlp", "--data", table, "--set", "target=fruits")
    refused(said, 1, "fruit.csv", "no column 'fruits'", "did you mean 'fruit'?")


def test_several_faults_are_all_named(call: Call, tmp_path: Path):
    rows = fruit_rows()
    rows[3], rows[7] = ("red", "heavy", "apple"), ("red", "", "banana")
    table = write_csv(tmp_path / "fruit.csv", ("colour", "weight", "fruit"), rows)
    said = call("train", "mlp", "--data", table)
    assert (said.code, said.out) == (1, "")
    first, second = said.err.splitlines()
    assert first.startswith("didact: fruit.csv:5: column 'weight'")
    assert f"and 1 more: didact data {table}" in first
    assert second == "  fruit.csv:9: column 'weight': missing value"


def test_allow_bad_leaves_them_out(call: Call, tmp_path: Path):
    run = tmp_path / "run"
    said = call("train", "mlp", "--data", bad_table(tmp_path), "--allow-bad", "--epochs=1", "--out", run)
    assert said.code == 0
    assert sum(load(run).facts.sizes.values()) == 29


def test_a_loss_that_is_no_number_stops_the_run(call: Call, tmp_path: Path):
    said = call("train", "mlp", "--data", "iris", "--lr", "1e30", "--out", tmp_path / "run", "--quiet")
    refused(said, 1, "is not finite", "--lr")


# damaged runs


@pytest.fixture
def run(tmp_path: Path, iris_run: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(iris_run, tmp_path / "run"))


def weights_of_another_shape(run: Path) -> None:
    weights, metadata = load_tensors(run / "model.safetensors")
    save_tensors(run / "model.safetensors", {k: torch.zeros(2, 2) for k in weights}, metadata)


def weights_of_another_name(run: Path) -> None:
    weights, metadata = load_tensors(run / "model.safetensors")
    save_tensors(run / "model.safetensors", {f"x.{k}": v for k, v in weights.items()}, metadata)


def weights_of_somebody_else(run: Path) -> None:
    save_tensors(run / "model.safetensors", {"weight": torch.zeros(2)}, {})


def weights_in_a_pickle(run: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, run / "model.safetensors")


def weights_cut_off(run: Path) -> None:
    data = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").write_bytes(data[: len(data) // 2])


def no_weights(run: Path) -> None:
    (run / "model.safetensors").unlink()


def no_facts(run: Path) -> None:
    (run / "facts.json").unlink()


def recipe_of_a_wrong_type(run: Path) -> None:
    (run / "recipe.json").write_text('{"epochs": {"value": "many", "from": "default"}}')


def recipe_with_a_wrong_word(run: Path) -> None:
    (run / "recipe.json").write_text('{"epoch": {"value": 3, "from": "default"}}')


def recipe_cut_off(run: Path) -> None:
    (run / "recipe.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (weights_of_another_shape, ["model.safetensors", "has shape (2, 2), but softmax-regression wants"]),
        (weights_of_another_name, ["model.safetensors", "wants"]),
        (weights_of_somebody_else, ["model.safetensors", "names no model"]),
        (weights_in_a_pickle, ["model.safetensors", "a pickle, which could run code"]),
        (weights_cut_off, ["model.safetensors", "not a safetensors file"]),
        (no_weights, ["has no weights yet", "didact train --resume"]),
        (no_facts, ["facts.json: no such file"]),
        (recipe_cut_off, ["recipe.json: not a recipe"]),
        (recipe_with_a_wrong_word, ["recipe.json", "'epoch'", "did you mean 'epochs'?"]),
    ],
)
def test_a_damaged_run_is_refused(call: Call, run: Path, damage: Callable[[Path], None], parts: list[str]):
    damage(run)
    before = contents(run)
    table = write_csv(run.parent / "new.csv", IRIS, [(5, 3, 1, 0.5)])
    for command in (("evaluate", run), ("predict", run, table)):
        refused(call(*command), 1, *parts)
    assert contents(run) == before


def test_a_damaged_recipe_is_refused(call: Call, run: Path):
    recipe_of_a_wrong_type(run)
    said = call("evaluate", run)
    assert said.code in (1, 2)
    refused(said, said.code, "epochs='many' is not a whole number")


@pytest.mark.parametrize("damage", ["cut off", "pickle", "other"])
def test_a_damaged_state_is_refused_and_kept(call: Call, run: Path, image_run: Path, damage: str):
    (run / "results.json").unlink()
    state = run / "state.safetensors"
    if damage == "pickle":
        torch.save({"weight": torch.zeros(2)}, state)
    elif damage == "cut off":
        state.write_bytes(state.read_bytes()[:100])
    else:
        shutil.copy(image_run / "state.safetensors", state)
    before = contents(run)
    said = call("train", "--resume", run)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("didact: ")
    assert said.err.count("\n") == 1
    assert contents(run) == before


@pytest.mark.parametrize(
    "command",
    ["evaluate {}", "predict {} -", "generate {}", "report {}", "compare {} {}", "train --resume {}"],
)
def test_a_directory_that_is_no_run(call: Call, tmp_path: Path, command: str):
    (tmp_path / "thesis.txt").write_text("years of work")
    refused(
        call(*(str(tmp_path) if w == "{}" else w for w in command.split())), 1, "not a run", "recipe.json"
    )
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


def test_data_that_has_changed_is_noticed(call: Call, tmp_path: Path):
    table = write_csv(tmp_path / "fruit.csv", ("colour", "weight", "fruit"), fruit_rows())
    call("train", "mlp", "--data", table, "--epochs", "1", "--quiet", "--out", tmp_path / "run")
    write_csv(table, ("colour", "weight", "fruit"), fruit_rows()[:-3])
    refused(call("evaluate", tmp_path / "run"), 1, "fingerprint differs")


# full disks


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the disk be full from the so-manyth write on."""

    def full_after(writes: int) -> None:
        done = iter(range(writes))

        def fsync(_: int) -> None:
            if next(done, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("os.fsync", fsync)

    return full_after


def test_a_disk_that_is_full_at_any_write_loses_nothing(
    call: Call, tmp_path: Path, iris_run: Path, full: Callable, monkeypatch: pytest.MonkeyPatch
):
    weights, _ = load_tensors(iris_run / "model.safetensors")
    went_on = 0
    for writes in range(20):
        run = tmp_path / str(writes)
        full(writes)
        said = call("train", "softmax-regression", "--epochs", "2", "--quiet", "--out", run)
        if said.code == 0:
            break
        refused(said, 1, str(run), "cannot be written (No space left on device)")
        assert not list(run.glob(".*"))
        monkeypatch.undo()
        if (run / "recipe.json").exists():
            went_on += 1
            said = call("train", "--resume", run, "--quiet")
            assert said.code == 0, said.err
            assert same_tensors(load_tensors(run / "model.safetensors")[0], weights) is None
            assert load(run).report.exists()
    assert said.code == 0
    assert went_on >= 3


@pytest.mark.parametrize(
    "command", ["report {}", "evaluate {} --split test --again", "compare {} {} --plot {}/curves.svg"]
)
def test_what_was_written_before_the_disk_was_full_stays(call: Call, run: Path, full: Callable, command: str):
    (run / "curves.svg").write_text("an older picture")
    before = contents(run)
    full(0)
    refused(call(*command.format(run, run, run).split()), 1, "No space left on device", "untouched")
    assert contents(run) == before


@pytest.fixture
def small_disk(tmp_path: Path):
    """A disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_really_full(call: Call, small_disk: Path):
    run = small_disk / "run"
    (small_disk / "thesis.txt").write_text("years of work")
    said = call("train", "softmax-regression", "--epochs", "2", "--quiet", "--out", run)
    refused(said, 1, str(run), "cannot be written (No space left on device)")
    assert (small_disk / "thesis.txt").read_text() == "years of work"
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    said = call("train", "--resume", run, "--quiet")
    assert (said.code, said.err) == (0, "") or said.err == f"{run} was finished already\n"
    assert load(run).report.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(call: Call, tmp_path: Path):
    tmp_path.chmod(0o500)
    said = call("train", "softmax-regression", "--epochs", "1", "--quiet", "--out", tmp_path / "run")
    tmp_path.chmod(0o700)
    refused(said, 1, "Permission denied")
