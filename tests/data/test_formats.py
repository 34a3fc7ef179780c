"""Folders of images, and finding out what lies at a path: small real files, good and broken."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from didact.data.formats.detect import read_path
from didact.data.open import open_data

RNG = np.random.default_rng(0)


def picture(path, size=(6, 5), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size[::-1] if mode == "L" else (*size[::-1], 3)
    Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8)).save(path)


@pytest.fixture
def flowers(tmp_path):
    root = tmp_path / "flowers"
    for label, suffixes in (("tulip", "png jpg bmp gif"), ("rose", "webp tif ppm jpeg png")):
        for index, suffix in enumerate(suffixes.split()):
            picture(root / label / f"{index}.{suffix}")
    return root


@pytest.fixture
def flowers_in_splits(tmp_path):
    root = tmp_path / "flowers"
    for split, count in (("train", 4), ("valid", 2), ("test", 2)):
        for label in ("rose", "tulip"):
            for index in range(count):
                picture(root / split / label / f"{index}.png")
    return root


def fatal(raw):
    return [str(problem) for problem in raw.problems if problem.fatal]


def remarks(raw):
    return [str(problem) for problem in raw.problems if not problem.fatal]


def test_a_folder_per_class(flowers):
    picture(flowers / ".thumbnails" / "0.png")
    picture(flowers / "rose" / ".hidden.png")
    raw = read_path(flowers)
    assert (raw.inputs, raw.target, raw.classes, raw.problems) == ("image", "class", ("rose", "tulip"), [])
    part = raw.parts["all"]
    assert list(part.places)[:2] == ["flowers/rose/0.webp", "flowers/rose/1.tif"]
    assert list(part.targets) == ["rose"] * 5 + ["tulip"] * 4
    data = open_data(flowers, image_size=4)
    assert data.facts.input_shape == (3, 4, 4)
    assert sum(data.facts.sizes.values()) == 9


def test_folders_of_splits_are_kept(flowers_in_splits):
    data = open_data(flowers_in_splits)
    assert data.facts.sizes == {"train": 8, "val": 4, "test": 4}
    assert data.raw["val"].places[0] == "flowers/valid/rose/0.png"
    assert data["test"].targets.tolist() == [0, 0, 1, 1]
    shutil.rmtree(flowers_in_splits / "valid")
    assert open_data(flowers_in_splits).facts.sizes == {"train": 6, "val": 2, "test": 4}


def test_train_may_be_a_class(tmp_path):
    for label in ("bus", "train"):
        picture(tmp_path / label / "0.png")
    assert read_path(tmp_path).classes == ("bus", "train")


def test_an_empty_class_keeps_its_index(flowers):
    (flowers / "aster").mkdir()
    raw = read_path(flowers)
    assert raw.classes == ("aster", "rose", "tulip")
    assert (fatal(raw), remarks(raw)) == ([], ["flowers: class 'aster' has no example"])
    assert set(open_data(flowers)["train"].targets.tolist()) == {1, 2}


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_broken_image_is_named_and_can_be_left_out(flowers, suffix, refused):
    picture(flowers / "rose" / f"bad.{suffix}", (64, 64))
    whole = (flowers / "rose" / f"bad.{suffix}").read_bytes()
    (flowers / "rose" / f"bad.{suffix}").write_bytes(whole[: len(whole) // 2])
    (flowers / "tulip" / "empty.png").touch()
    (flowers / "tulip" / "text.png").write_text("no image")
    error = refused(flowers, f"flowers/rose/bad.{suffix}: not an image", "2 more", "--allow-bad")
    assert [problem.where for problem in error.problems] == [
        f"flowers/rose/bad.{suffix}",
        "flowers/tulip/empty.png",
        "flowers/tulip/text.png",
    ]
    assert sum(open_data(flowers, allow_bad=True).facts.sizes.values()) == 9


def test_class_folders_must_be_the_same_in_every_split(flowers_in_splits, refused):
    picture(flowers_in_splits / "test" / "weed" / "0.png")
    shutil.rmtree(flowers_in_splits / "valid" / "rose")
    raw = read_path(flowers_in_splits)
    assert [line.split(" (")[0] for line in fatal(raw)] == [
        "flowers/valid: no folder for class 'rose', which train has",
        "flowers/test/weed: class 'weed' is none that train has",
    ]
    refused(flowers_in_splits, "no folder for class 'rose'")
    data = open_data(flowers_in_splits, allow_bad=True)
    assert data.facts.classes == ("rose", "tulip")
    assert data.facts.sizes == {"train": 8, "val": 2, "test": 4}


def test_a_class_that_a_split_lacks_is_remarked(flowers_in_splits):
    for file in (flowers_in_splits / "test" / "rose").iterdir():
        file.unlink()
    raw = read_path(flowers_in_splits)
    assert (fatal(raw), remarks(raw)) == ([], ["flowers: class 'rose' has no example in test"])


def test_an_image_in_two_splits_is_refused_and_the_training_copy_left_out(flowers_in_splits, refused):
    shutil.copy(flowers_in_splits / "test/rose/0.png", flowers_in_splits / "train/tulip/copy.png")
    refused(flowers_in_splits, "flowers/train/tulip/copy.png: the same image as flowers/test/rose/0.png")
    assert open_data(flowers_in_splits, allow_bad=True).facts.sizes == {"train": 8, "val": 4, "test": 4}


def test_copies_odd_sizes_grey_images_and_other_files_are_remarked(flowers):
    shutil.copy(flowers / "rose/0.webp", flowers / "rose/z.webp")
    picture(flowers / "tulip" / "grey.png", (3, 3), "L")
    (flowers / "tulip" / "notes.doc").write_text("x")
    said = " ".join(remarks(read_path(flowers)))
    for part in ("rose/z.webp: the same image", "2 sizes", "1 grey", "tulip/notes.doc: not read"):
        assert part in said
    assert open_data(flowers).facts.input_shape[1:] in ((5, 6), (3, 3))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_images_listed_with_labels(tmp_path, kind):
    rows = [{"file_name": f"images/{i}.png", "label": str(10 - i % 2)} for i in range(8)]
    for row in rows:
        picture(tmp_path / row["file_name"])
    rows += [{"file_name": "images/none.png", "label": "9"}, {"file_name": "images/0.png", "label": ""}]
    lines = [json.dumps(row) for row in rows] if kind == "jsonl" else [",".join(row.values()) for row in rows]
    header = [] if kind == "jsonl" else ["file_name,label"]
    (tmp_path / f"metadata.{kind}").write_text("\n".join(header + lines))
    raw = read_path(tmp_path)
    assert raw.classes == ("9", "10")
    assert raw.parts["all"].targets[0] == "10"
    first = 9 + len(header)
    assert fatal(raw) == [
        f"{tmp_path.name}/metadata.{kind}:{first}: images/none.png: no such file",
        f"{tmp_path.name}/metadata.{kind}:{first + 1}: images/0.png: no label",
    ]
    assert sum(open_data(tmp_path, allow_bad=True).facts.sizes.values()) == 8


def test_a_list_of_images_without_labels_is_refused(tmp_path, refused):
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png,a rose\n")
    refused(tmp_path, "metadata.csv: no column 'label'")


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        ([], ("an empty folder",)),
        (["a.json", "b.json", "c.xml"], ("found 2 .json files, 1 .xml file; what is read: ",)),
        (["a.png"], ("found 1 .png file (put the images of each class in a folder of its own)",)),
        (["train/a.png", "test/a.png"], ("found 2 folders (put the images of each class",)),
        (["a.csv", "b.csv"], ("found 2 .csv files",)),
        (["rose/a.doc", "tulip/b.doc"], ("found 2 folders; ",)),
    ],
)
def test_a_folder_that_is_no_data_set(tmp_path, names, parts, refused):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture(tmp_path / name) if name.endswith("png") else (tmp_path / name).write_text("x")
    refused(tmp_path, *parts)


@pytest.mark.parametrize(
    ("name", "part"), [("a.parquet", ".parquet file is not read"), ("a.png", "one image is no data set")]
)
def test_a_file_that_is_no_data_set(tmp_path, name, part, refused):
    (tmp_path / name).write_text("x")
    refused(tmp_path / name, part, "what is read: ")


def test_one_class_is_nothing_to_tell_apart(flowers, refused):
    shutil.rmtree(flowers / "tulip")
    refused(flowers, "only one class, 'rose'")


def test_when_nothing_sound_is_left_the_reason_is_given(tmp_path, refused):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "0.png").write_text("x")
    refused(tmp_path, "a/0.png: not an image", allow_bad=True)


def test_a_target_is_not_passed_over(flowers, refused):
    refused(flowers, "target='colour'", target="colour")


def test_the_current_folder_has_a_name_in_messages(flowers, monkeypatch):
    monkeypatch.chdir(flowers)
    (flowers / "aster").mkdir()
    assert remarks(read_path(Path("."))) == ["flowers: class 'aster' has no example"]
