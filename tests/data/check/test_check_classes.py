"""Classes and labels: missing, rare, frequent, shifted, stray, sorted; and healthy ones."""

from dataclasses import replace

import pytest
from checking import (
    HEADER,
    check_own_splits,
    check_table,
    healthy_rows,
    noise,
    rules,
    the,
    write_flowers,
    write_idx,
    write_table,
)

from didact.data.check.report import check_data
from didact.data.open import read

FOUND = {
    "class-not-in-train",
    "class-not-in-split",
    "empty-class",
    "few-examples",
    "imbalance",
    "label-shift",
    "labels-not-from-0",
    "stray-label",
    "sorted-by-class",
    "one-target",
}


def idx(folder, labels, test=()):
    write_idx(folder, "train", noise(len(labels)), labels)
    if test:
        write_idx(folder, "t10k", noise(len(test), 1), test)
    return check_data(folder)


def test_healthy_classes_are_silent(tmp_path):
    rows = healthy_rows()
    assert not FOUND & rules(check_table(tmp_path, HEADER, rows))
    assert not FOUND & rules(check_own_splits(tmp_path / "own", HEADER, train=rows[:80], test=rows[80:]))
    assert not FOUND & rules(check_data(write_flowers(tmp_path / "flowers")))
    assert not FOUND & rules(idx(tmp_path / "idx", [0, 1, 2] * 20, [2, 1, 0] * 10))


def test_a_class_that_train_lacks(tmp_path):
    rows = healthy_rows()
    elm, oak = [r for r in rows if r[-1] == "elm"], [r for r in rows if r[-1] == "oak"]
    ash = [[*r[:3], "ash"] for r in elm[:9]]
    report = check_own_splits(tmp_path, HEADER, train=elm[9:] + oak[:40], test=oak[40:] + ash)
    lacking = the(report, "class-not-in-train")
    assert (lacking.severity, lacking.law.code) == ("warning", "D04")
    assert "'ash' has 9 in test, but none in train" in lacking.what
    other = the(report, "class-not-in-split")
    assert (other.severity, other.what) == ("note", "class 'elm' has no example in test")


def test_a_class_without_any_example(tmp_path):
    root = write_flowers(tmp_path / "flowers")
    (root / "aster").mkdir()
    assert the(check_data(root), "empty-class").what == "class 'aster' has no example"


@pytest.mark.parametrize(("count", "severity"), [(1, "warning"), (2, "warning"), (3, "note"), (9, "note")])
def test_few_examples(tmp_path, count, severity):
    rows = [*healthy_rows(), *([*row[:3], "ash"] for row in healthy_rows(count, seed=1))]
    finding = the(check_table(tmp_path, HEADER, rows), "few-examples")
    assert (finding.severity, finding.what) == (severity, f"few examples to learn from: 'ash' {count}")


@pytest.mark.parametrize("frequent", [95, 80])
def test_imbalance(tmp_path, frequent):
    finding = the(check_table(tmp_path, HEADER, of_100(frequent)), "imbalance")
    assert (finding.severity, finding.law.code) == ("note", "D02")
    assert f"'oak' has {frequent} of 100 examples, 'elm' {100 - frequent}" in finding.what


def test_a_class_that_is_merely_frequent_is_no_imbalance(tmp_path):
    assert "imbalance" not in rules(check_table(tmp_path, HEADER, of_100(79)))


def of_100(frequent):
    rows = healthy_rows(200)
    return rows[0 : 2 * frequent : 2] + rows[1 : 2 * (100 - frequent) : 2]


def test_the_smallest_of_many_classes(tmp_path):
    labels = [0] * 100 + [1] * 90 + [2] * 10
    numbers = the(idx(tmp_path, labels), "imbalance").numbers
    assert numbers == {"share": 0.5, "ratio": 10}


def test_labels_below_0_that_are_not_rare_are_noted(tmp_path):
    rows = [[*row[:3], 2 * (k % 2) - 1] for k, row in enumerate(healthy_rows())]
    report = check_table(tmp_path, HEADER, rows)
    assert the(report, "labels-not-from-0").what == "the labels are -1, 1"
    assert "stray-label" not in rules(report)


def test_labels_that_start_at_1_are_noted(tmp_path):
    finding = the(idx(tmp_path, [1, 2, 3] * 20), "labels-not-from-0")
    assert (finding.severity, finding.law.code, finding.what) == ("note", "L05", "the labels are 1, 2, 3")


def test_a_stray_label(tmp_path):
    labels = [0, 1, 2] * 50
    labels[17] = 255
    report = idx(tmp_path, labels)
    finding = the(report, "stray-label")
    assert (finding.severity, finding.law.code) == ("warning", "L05")
    assert finding.where.endswith("ubyte[17]")
    assert finding.what == "label 255 beside 0 to 2; 1 such"
    assert "labels-not-from-0" not in rules(report)


def test_a_label_below_0(tmp_path):
    rows = [[*row[:3], k % 2] for k, row in enumerate(healthy_rows())]
    rows[5][-1] = -1
    assert the(check_table(tmp_path, HEADER, rows), "stray-label").where == "trees.csv:7"


@pytest.mark.parametrize(
    "names",
    [["3", "1034", "2281", "9001"], ["01", "02", "03"], ["0", "1", "7"], ["4", "9"]],
)
def test_names_that_happen_to_be_numbers_are_no_stray_labels(tmp_path, names):
    rows = [[*row[:3], names[k % len(names)]] for k, row in enumerate(healthy_rows())]
    raw = read(write_table(tmp_path / "trees.csv", HEADER, rows))
    part = raw.parts["all"]
    part.targets = [names[k % len(names)] for k in range(len(part.items))]
    assert not {"stray-label", "labels-not-from-0"} & rules(check_data(replace(raw, classes=tuple(names))))


def test_labels_that_one_split_counts_from_1(tmp_path):
    report = idx(tmp_path, [0, 1, 2] * 20, [1, 2, 3] * 10)
    finding = the(report, "label-shift")
    assert (finding.severity, finding.law.code) == ("warning", "L05")
    assert finding.what == "the labels of test run 1 to 3, those of train 0 to 2: moved by 1"


def test_rows_that_stand_class_by_class(tmp_path):
    rows = sorted(healthy_rows(), key=lambda row: row[-1])
    finding = the(check_table(tmp_path, HEADER, rows), "sorted-by-class")
    assert (finding.severity, finding.what) == ("note", "all of 'elm' first, all of 'oak' last")


def test_a_number_that_never_varies(tmp_path):
    rows = [[*row[:3], 0.5] for row in healthy_rows()]
    finding = the(check_table(tmp_path, HEADER, rows), "one-target")
    assert (finding.severity, finding.law.code) == ("warning", "L05")
