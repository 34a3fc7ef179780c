"""``didact data PATH --check``: what it says, where, and how it ends."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import Call, fruit_rows, refused, write_csv, write_images
from PIL import Image

from didact.cli import data as data_command

HEADER = ("colour", "weight", "fruit")


def test_notes_alone_end_well(call: Call):
    said = call("data", "iris", "--check")
    assert (said.code, said.err) == (0, "")
    assert "note: iris[142]: the same row as iris[101] [D06 duplicates]" in said.out
    assert said.out.endswith("iris: 3 notes (all 150)\n")


def test_a_warning_ends_with_1(call: Call, tmp_path: Path):
    folder = write_images(tmp_path / "shades")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "dark" / "black.png")
    said = call("data", folder, "--check")
    assert said.code == 1
    assert "warning: shades/dark/black.png: shows nothing: all black [constant-image]" in said.out
    assert call("data", folder).code == 0, "without --check nothing has changed"


def test_something_fatal_ends_with_1_and_json_has_all_of_it(call: Call, tmp_path: Path):
    rows = [*fruit_rows(), ("red", "", "apple"), ("red", "heavy", "apple")]
    table = write_csv(tmp_path / "fruit.csv", HEADER, rows)
    said = call("data", table, "--check", "--json")
    assert (said.code, said.err) == (1, "")
    report = json.loads(said.out)
    fatal = {f["rule"]: f["where"] for f in report["findings"] if f["severity"] == "fatal"}
    assert fatal == {"missing-value": "fruit.csv:32", "text-among-numbers": "fruit.csv:33"}
    assert report["counts"]["fatal"] == 2


def test_another_target(call: Call, tmp_path: Path):
    rows = [(("red" if k else "green"), *row[1:]) for k, row in enumerate(fruit_rows())]
    table = write_csv(tmp_path / "fruit.csv", HEADER, rows)
    words = ("data", table, "--check", "--target")
    assert "class 'red' has 29 of 30 examples" in call(*words, "colour").out
    assert "class 'red'" not in call(*words, "fruit").out
    refused(call(*words, "color"), 1, "no column 'color'", "did you mean 'colour'")


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_a_picture(call: Call, tmp_path: Path, suffix: str):
    said = call("data", "iris", "--check", "--plot", tmp_path / f"iris{suffix}")
    assert said.code == 0
    assert said.err == f"drawn: {tmp_path / 'iris'}{suffix}\n"
    drawn = (tmp_path / f"iris{suffix}").read_bytes()
    assert b"iris[142]" in drawn if suffix == ".svg" else drawn.startswith(b"\x89PNG")


def test_no_picture_of_what_cannot_be_read(call: Call, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    said = call("data", tmp_path / "empty", "--check", "--plot", tmp_path / "a.svg")
    assert (said.code, said.err) == (1, "not drawn: nothing could be read\n")
    assert "[unreadable]" in said.out
    assert not (tmp_path / "a.svg").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--check"], ["name what to check"]),
        (["digits", "--check", "--augment", "flip"], ["--augment does not go with --check"]),
        (["digits", "--check", "--plot", "a.gif"], ["a.gif", ".svg or .png"]),
        (["iris", "--check", "--target", "petals"], ["petals", "species"]),
    ],
)
def test_what_does_not_go_together(call: Call, words: list[str], parts: list[str]):
    refused(call("data", *words), 2, *parts)


def test_nothing_there(call: Call, tmp_path: Path):
    refused(call("data", tmp_path / "nowhere", "--check"), 1, "nowhere")


def test_a_long_check_says_how_far_it_is(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_images(tmp_path / "shades")
    assert call("data", folder, "--check").err == ""
    clock = iter(range(1, 1000))
    monkeypatch.setattr(data_command.time, "monotonic", lambda: float(next(clock)))
    said = call("data", folder, "--check", "--json")
    assert said.err.splitlines()[0] == "looked at 3 of 12 images"
    assert json.loads(said.out)["total"] == 12
