"""Images beside random versions of themselves, on disk and on the command line; training with them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import didact
from didact.cli.main import main
from didact.data.augment.offline import enlarge
from didact.data.augment.versions import versions
from didact.data.open import open_data
from didact.errors import DataError, UsageError
from didact.train.files import load_tensors, same_tensors
from didact.train.fit import fit_recipe, resume
from didact.train.loop import Interrupted, Loop
from didact.train.recipe import make_recipe

EVERY = (
    "any:4,flip,vflip,shift:1,rotate:15,shear:10,stretch:1.2,zoom:1.2,crop:0.7,lens:0.2,jitter:0.2,pca:0.1"
)


@pytest.fixture(scope="module")
def flowers(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("flowers")
    rng = np.random.default_rng(0)
    for name in ("rose", "lily"):
        (folder / name).mkdir()
        for k in range(6):
            pixels = rng.integers(0, 256, (10, 14, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{k}.png")
    return folder


def test_a_row_is_an_image_as_it_is_and_versions_of_it():
    data = open_data("digits")
    shown = versions(data, ("flip",), images=2, copies=3)
    names = [f"{target}, as it is" for target in data.raw["train"].targets[:2]]
    assert [each["label"] for each in shown] == [names[0], "", "", "", names[1], "", "", ""]
    for k, each in enumerate(shown):
        original = data.raw["train"].items[k // 4]
        assert each["pixels"].dtype == np.uint8
        assert any(np.array_equal(each["pixels"], o) for o in (original, original[:, ::-1]))
        assert k % 4 or np.array_equal(each["pixels"], original)


def test_colour_images_are_shown_in_colour(flowers):
    shown = versions(open_data(flowers), ("hue:20", "pca:0.1"))
    assert {each["pixels"].shape for each in shown} == {(10, 14, 3)}
    assert len(shown) == 4 * 6


@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<?xml"), (".png", b"\x89PNG")])
def test_the_command_draws_them(tmp_path, capsys, suffix, start):
    picture = tmp_path / f"changes{suffix}"
    assert main(["data", "digits", "--augment", "rotate:15,shear:10", "--plot", str(picture)]) == 0
    said = capsys.readouterr()
    assert picture.read_bytes().startswith(start)
    assert "handwritten digits" in said.out
    assert said.err == f"drawn: {picture}\n"
    before = picture.read_bytes()
    assert main(["data", "digits", "--augment", "rotate:15,shear:10", "--plot", str(picture)]) == 0
    assert picture.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("digits --augment flip", "--augment and --plot go together"),
        ("digits --plot a.png", "--augment and --plot go together"),
        ("--augment flip --plot a.png", "--augment and --plot go together"),
        ("digits --augment flip --plot a.gif", "--plot a.gif: name a file that ends in .svg or .png"),
        ("digits --augment spin --plot a.png", "augment='spin': no such change"),
        ("digits --augment rotate:200 --plot a.png", "number from 0 to 180"),
        ("digits --augment hue:20 --plot a.png", "the images are grey"),
        ("iris --augment flip --plot a.png", "this data holds none"),
    ],
)
def test_what_cannot_be_drawn_is_refused(words, part, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", *words.split()]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert part in said.err
    assert (said.out, list(tmp_path.iterdir())) == ("", [])


# Before training


def test_an_enlarged_data_set_holds_the_images_and_versions_of_those_for_training(flowers, tmp_path):
    """aug-offline: the pixels of every image as it is, and so many changed ones of each in train alone."""
    data = open_data(flowers)
    written = open_data(
        enlarge(data, ("any:1", "rotate:40", "jitter:0.5", "noise:0.5"), 3, tmp_path / "more")
    )
    assert written.facts.classes == data.facts.classes
    sizes = data.facts.sizes
    assert written.facts.sizes == {**sizes, "train": 4 * sizes["train"]}
    for name in ("val", "test"):
        assert pixels(written, name) == pixels(data, name)
    original, all_of_them = pixels(data, "train"), pixels(written, "train")
    assert original < all_of_them
    assert sum(label == "rose" for _, label in all_of_them) == 4 * sum(
        label == "rose" for _, label in original
    )
    assert not [path for path in tmp_path.iterdir() if path.name != "more"]


def pixels(data, name):
    part = data.raw[name]
    return {
        (np.asarray(Image.open(item).convert("RGB")).tobytes(), target)
        for item, target in zip(part.items, part.targets, strict=True)
    }


def test_grey_images_are_written_grey_and_trained_on(tmp_path):
    digits = open_data("digits", examples=100)
    folder = enlarge(digits, ("rotate:15",), 1, tmp_path / "more", seed=1)
    run = didact.fit("softmax-regression", folder, out=tmp_path / "run", epochs=1)
    assert run.facts.input_shape == (1, 8, 8)
    assert run.facts.sizes["train"] == 200


def test_what_cannot_be_written_is_refused(flowers, tmp_path):
    data = open_data(flowers)
    with pytest.raises(DataError, match="is there already"):
        enlarge(data, ("flip",), 1, tmp_path)
    for steps, copies in (((), 1), (("flip",), 0)):
        with pytest.raises(UsageError, match=f"copies={copies}: name changes"):
            enlarge(data, steps, copies, tmp_path / "more")
    assert list(tmp_path.iterdir()) == []


# Training


def test_a_run_that_is_resumed_ends_as_if_it_had_not_stopped(tmp_path, monkeypatch):
    """The components are fitted anew, and every draw belongs to its epoch and its position."""
    knobs = {"augment": tuple(EVERY.split(",")), "epochs": 2, "examples": 200, "batch_size": 50, "threads": 1}
    recipe = make_recipe("lenet5", "digits", given=knobs)
    whole = fit_recipe(recipe, tmp_path / "whole")
    update = Loop.update

    def stopping(loop, batches):
        update(loop, batches)
        loop.stop_asked = loop.at.step == 5

    monkeypatch.setattr(Loop, "update", stopping)
    with pytest.raises(Interrupted):
        fit_recipe(recipe, tmp_path / "stopped")
    monkeypatch.setattr(Loop, "update", update)
    again = resume(tmp_path / "stopped")
    kept = [load_tensors(run.directory / "model.safetensors")[0] for run in (whole, again)]
    assert same_tensors(*kept) is None
    plain = didact.fit("lenet5", "digits", out=tmp_path / "plain", **(knobs | {"augment": ()}))
    assert same_tensors(kept[0], load_tensors(plain.directory / "model.safetensors")[0])


@pytest.mark.parametrize("step", ["hue:20", "rotate:200", "any:3"])
def test_what_cannot_be_done_leaves_no_run_behind(step, tmp_path):
    with pytest.raises(UsageError, match=f"augment='{step}'"):
        didact.fit("lenet5", "digits", out=tmp_path / "run", augment=(step, "flip"))
    assert not (tmp_path / "run").exists()
