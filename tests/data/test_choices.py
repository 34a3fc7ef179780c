"""What of a data set is used, and how its images are read, where the user says so."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from didact.data.encode import encode
from didact.data.open import open_data
from didact.data.split import some_of
from didact.errors import UsageError


def test_some_classes_alone():
    data = open_data("digits", classes=("7", "3"))
    assert data.facts.classes == ("3", "7")
    assert set(data["train"].targets.tolist()) == {0, 1}
    assert sum(data.facts.sizes.values()) == 183 + 179


def test_some_examples_keep_the_class_shares_and_only_train():
    whole, some = open_data("digits"), open_data("digits", examples=100)
    assert some.facts.sizes == {**whole.facts.sizes, "train": 100}
    assert torch.bincount(some["train"].targets).tolist() == [10] * 10
    assert torch.equal(some["test"].targets, whole["test"].targets)


def test_a_larger_choice_holds_every_smaller_one():
    groups = [0] * 30 + [1] * 10 + [2]
    chosen = [set(some_of(groups, count, seed=3)) for count in range(len(groups) + 1)]
    assert all(few < more for few, more in pairwise(chosen))
    assert sum(groups[i] for i in chosen[8]) == 2  # a quarter of the second class, none of the third yet
    assert some_of(groups, 20, seed=3) == some_of(groups, 20, seed=3) != some_of(groups, 20, seed=4)


def test_colour_is_read_as_grey_and_grey_as_colour(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for k in range(5):
            Image.new("RGB", (6, 6), (255, 0, 0)).save(tmp_path / name / f"{k}.png")
    assert open_data(tmp_path, channels=1, standardise=False)["train"].inputs.unique().tolist() == [
        pytest.approx(76 / 255)  # ITU-R 601: 0.299 of red
    ]
    digits = open_data("digits", channels=3, standardise=False)["train"].inputs
    assert digits.shape[1] == 3
    assert torch.equal(digits[:, 0], digits[:, 2])


def test_a_mean_that_is_given_is_used_and_travels():
    data = open_data("digits", mean=(0.5,), std=(0.25,))
    plain = open_data("digits", standardise=False)
    torch.testing.assert_close(data["val"].inputs, (plain["val"].inputs - 0.5) / 0.25)
    again = encode(data.facts, data.raw["val"].items)
    assert torch.equal(again, data["val"].inputs)


def test_cutting_the_middle_out_keeps_proportions(tmp_path):
    """Of a wide image the sides are cut off; squeezed, they are all there."""
    pixels = np.zeros((10, 30), dtype=np.uint8)
    pixels[:, :10] = 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for k in range(5):
            Image.fromarray(pixels).save(tmp_path / name / f"{k}.png")
    cut = open_data(tmp_path, image_size=10, crop=1.0, standardise=False)["train"].inputs
    squeezed = open_data(tmp_path, image_size=10, standardise=False)["train"].inputs
    assert cut.max() == 0
    assert squeezed.max() == 1


@pytest.mark.parametrize(
    ("source", "choice", "message"),
    [
        ("digits", {"classes": ("seven",)}, "classes: digits has no class 'seven'; choose from 0, 1"),
        ("diabetes", {"classes": ("0",)}, "classes=0: diabetes has no classes"),
        ("digits", {"examples": 5000}, "examples=5000: the training split has 1079; 0 takes all"),
        ("manual", {"examples": 5}, "examples=5: manual is one long text"),
        (
            "digits",
            {"mean": (0.5,)},
            r"mean=\(0.5,\), std=\(\): digits is read with 1 channels; give 1 of each",
        ),
        (
            "digits",
            {"mean": (0.5,), "std": (1.0,), "standardise": False},
            "standardise=false would not use it",
        ),
        ("iris", {"mean": (0.5,), "std": (1.0,)}, "iris holds table examples; leave it out"),
    ],
)
def test_what_cannot_be_chosen(source, choice, message):
    with pytest.raises(UsageError, match=message):
        open_data(source, **choice)
