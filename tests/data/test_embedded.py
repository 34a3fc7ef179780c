"""Embedded sets: listed without anything heavy, real, and the same each time."""

import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch

from didact.data.embedded import EMBEDDED
from didact.data.open import open_data, read
from didact.errors import DataError, UsageError

TASKS = {
    "digits": "classify",
    "iris": "classify",
    "wine": "classify",
    "breast-cancer": "classify",
    "diabetes": "regress",
    "manual": "language",
    "docstrings": "classify",
    "gaussian": "adversarial",
}
SIZES = {"digits": 1797, "iris": 150, "wine": 178, "breast-cancer": 569, "diabetes": 442, "gaussian": 20_000}


def test_the_list():
    assert {name: entry.task for name, entry in EMBEDDED.items()} == TASKS
    assert all(entry.about and "\n" not in entry.about for entry in EMBEDDED.values())


def test_listing_imports_nothing_heavy():
    code = (
        "import sys, didact.data.embedded; "
        "print([name for name in ('torch', 'sklearn', 'numpy', 'PIL') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_set_is_whole_and_the_same_each_time(name):
    raw = read(name)
    assert (raw.name, raw.problems, raw.about) == (name, [], EMBEDDED[name].about)
    part = raw.parts["all"]
    assert len(raw) == SIZES.get(name, len(raw)) > 0
    assert repr(part.items[:50]) == repr(read(name).parts["all"].items[:50])
    if raw.target == "class":
        assert set(part.targets) == set(raw.classes)


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_set_opens(name):
    data = open_data(name)
    sizes = {split: len(getattr(data[split], "tokens", data[split])) for split in ("train", "val", "test")}
    assert data.facts.sizes == sizes
    assert min(sizes.values()) > 0
    assert len(data.raw) == 3
    assert sum(len(part.items) for part in data.raw.values()) == len(read(name))
    inputs, targets = data["train"].take(torch.tensor([0, 1]))
    assert inputs.shape[1:] == data.facts.input_shape
    assert torch.isfinite(inputs.float()).all()
    assert len(targets) == 2


def test_facts_are_the_same_each_time_and_the_fingerprint_follows_the_split():
    first, again, other = (open_data("iris", seed=seed).facts for seed in (0, 0, 1))
    assert first == again
    assert len(first.fingerprint) == 64
    assert first.fingerprint != other.fingerprint


def test_digits_use_the_whole_range_of_a_byte():
    items = read("digits").parts["all"].items
    assert items[0].shape == (8, 8)
    assert items[0].dtype == np.uint8
    assert (min(i.min() for i in items), max(i.max() for i in items)) == (0, 255)


def test_tables_have_named_columns_and_classes():
    iris, diabetes = read("iris"), read("diabetes")
    assert iris.parts["all"].items[0] == {
        "sepal length (cm)": 5.1,
        "sepal width (cm)": 3.5,
        "petal length (cm)": 1.4,
        "petal width (cm)": 0.2,
    }
    assert iris.classes == ("setosa", "versicolor", "virginica")
    assert read("breast_cancer").classes == ("malignant", "benign")
    assert (diabetes.target, diabetes.target_name) == ("number", "progression")
    assert diabetes.parts["all"].targets[0] == 151
    assert diabetes.parts["all"].items[0]["age"] == 59


def test_the_manual_repeats_no_paragraph_in_two_topics():
    part = read("manual").parts["all"]
    assert list(part.places) == sorted(part.places)
    paragraphs = [{" ".join(p.split()) for p in re.split(r"\n\s*\n", text)} for text in part.items]
    assert max(Counter(p for topic in paragraphs for p in topic).values()) == 1
    assert all(text.strip() for text in part.items)


def test_docstrings_are_sentences_of_one_package_each():
    raw = read("docstrings")
    part = raw.parts["all"]
    assert len(set(part.items)) == len(part.items) > 3000
    assert min(Counter(part.targets).values()) > 300
    assert all(len(re.findall(r"[A-Za-z]{2,}", text)) >= 4 for text in part.items)


def test_the_gaussian_is_a_normal_distribution_around_one():
    draws = np.asarray(read("gaussian").parts["all"].items)
    assert draws.shape == (20_000, 1)
    assert draws.dtype == np.float32
    assert draws.mean() == pytest.approx(1, abs=0.03)
    assert draws.std() == pytest.approx(1, abs=0.03)


def test_a_typo_is_answered_with_a_suggestion():
    with pytest.raises(DataError, match="did you mean 'digits'"):
        open_data("digit")


def test_another_target_is_not_passed_over():
    with pytest.raises(UsageError, match="species"):
        open_data("iris", target="petal width (cm)")
    assert open_data("iris", target="species").facts.target_name == "species"
