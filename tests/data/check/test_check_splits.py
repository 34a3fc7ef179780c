"""Splits: a validation split that is too small, splits that come from elsewhere; and random ones."""

import numpy as np
import pytest
from checking import HEADER, check_own_splits, check_table, healthy_rows, pixels, rules, save, the

from didact.data.check.report import check_data
from didact.data.check.splits import compare

FOUND = {"drift", "column-drift", "class-drift"}


@pytest.mark.parametrize("seed", range(5))
def test_a_random_split_is_silent(tmp_path, seed):
    rows = healthy_rows(400, seed)
    report = check_own_splits(tmp_path, HEADER, train=rows[:240], val=rows[240:320], test=rows[320:])
    assert not FOUND & rules(report)


def test_a_split_that_was_prepared_otherwise(tmp_path):
    rows = healthy_rows(400)
    other = [[10 * row[0], 10 * row[1], *row[2:]] for row in rows[300:]]
    finding = the(check_own_splits(tmp_path / "trees", HEADER, train=rows[:300], test=other), "drift")
    assert (finding.severity, finding.where, finding.law.code) == ("warning", "trees test", "P02")
    assert finding.numbers["columns"] == 2


def test_one_column_that_moved(tmp_path):
    numbers = np.random.default_rng(0)
    rows = [[*numbers.normal(0, 1, 6).round(4).tolist(), ("oak", "elm")[k % 2]] for k in range(400)]
    moved = [[row[0] + 1, *row[1:]] for row in rows[300:]]
    report = check_own_splits(tmp_path, "a,b,c,d,e,f,kind", train=rows[:300], test=moved)
    finding = the(report, "column-drift")
    assert (finding.severity, finding.law.code) == ("note", "D05")
    assert "'a': mean +1" in finding.what
    assert "drift" not in rules(report)


def test_one_column_that_spread_without_moving(tmp_path):
    numbers = np.random.default_rng(0)
    rows = [[*numbers.normal(0, 1, 6).round(4).tolist(), ("oak", "elm")[k % 2]] for k in range(400)]
    spread = [[row[0] * 3, *row[1:]] for row in rows[300:]]
    report = check_own_splits(tmp_path, "a,b,c,d,e,f,kind", train=rows[:300], test=spread)
    assert (
        "deviation x 3" in the(report, "column-drift").what
        or "deviation x 2.9" in the(report, "column-drift").what
    )


def test_images_of_one_split_that_are_darker(tmp_path):
    for k in range(80):
        factor = 0.3 if k >= 40 else 1
        split = "test" if k >= 40 else "train"
        save(tmp_path / split / ("rose", "tulip")[k % 2] / f"{k}.png", (pixels(k) * factor).astype(np.uint8))
    finding = the(check_data(tmp_path), "drift")
    assert "'brightness'" in finding.what


def test_class_shares_that_differ(tmp_path):
    rows = healthy_rows(400)
    oak, elm = rows[::2], rows[1::2]
    report = check_own_splits(tmp_path, HEADER, train=oak[:150] + elm[:150], test=oak[150:190] + elm[150:155])
    assert "class 'elm' is 50% of train and 11% of test" in the(report, "class-drift").what


@pytest.mark.parametrize(("rows", "small"), [(120, True), (1380, True), (1400, False)])
def test_a_small_validation_split(tmp_path, rows, small):
    """A fifth validates; 0.5 / sqrt(278) is 0.03."""
    report = check_table(tmp_path, HEADER, healthy_rows(rows))
    assert ("small-validation" in rules(report)) is small
    if small:
        finding = the(report, "small-validation")
        assert (finding.severity, finding.law.code) == ("note", "D05")
        assert finding.numbers["error"] == pytest.approx(0.5 / np.sqrt(rows // 5))


def test_too_little_is_not_compared():
    assert compare(np.arange(10.0), np.arange(100.0)) is None
    assert compare(np.ones(100), np.arange(100.0)) is None
    moved = compare(np.arange(100.0), np.arange(100.0) + 50)
    assert moved is not None
    assert moved["shift"] == pytest.approx(50 / np.arange(100).std())
