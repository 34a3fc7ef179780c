"""Every image classifier reaches its bar on the digits. Half an hour to hours: ``make bars``.

One thread, and its own seconds: what else the machine does then counts little.
"""

import time

import pytest
from records import read, record, write

from didact.catalog import CATALOG, find
from didact.recipes.bars import CLASSIFIER_BAR, CLASSIFIER_SEEDS
from didact.recipes.digits_classifier import DIGITS_CLASSIFIERS, digits_classifier, trained_as


@pytest.mark.slow
@pytest.mark.parametrize("name", DIGITS_CLASSIFIERS)
def test_classifier_reaches_its_bar(name, tmp_path):
    runs, seconds = [], []
    for seed in range(CLASSIFIER_SEEDS):
        started = time.process_time()
        runs.append(digits_classifier(name, seed=seed, threads=1, out=tmp_path / str(seed)))
        seconds.append(time.process_time() - started)
    entry = record(runs, ["accuracy", "top5_error"], seconds)
    write(f"classifier:{name}", entry)
    assert entry["scores"]["accuracy"]["mean"] >= CLASSIFIER_BAR


@pytest.mark.parametrize("name", DIGITS_CLASSIFIERS)
def test_what_was_measured_reached_the_bar(name):
    """The first network of each file with all seeds; the others, deeper or wider, with one at least."""
    entry = read()[f"classifier:{name}"]
    first = next(other for other in DIGITS_CLASSIFIERS if find(other).target == find(name).target)
    assert entry["seeds"] >= (CLASSIFIER_SEEDS if name == first else 1)
    assert entry["scores"]["accuracy"]["mean"] >= CLASSIFIER_BAR


def test_every_image_classifier_is_measured_or_trains_as_one_that_is():
    for name, entry in CATALOG.items():
        if entry.inputs == ("image",):
            assert trained_as(name) in DIGITS_CLASSIFIERS
    assert trained_as("vit-l-32") == "vit-ti-16"
