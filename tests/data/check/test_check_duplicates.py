"""The same example twice: across splits, within one, with two labels; and rows that agree by chance."""

import numpy as np
import pytest
from checking import (
    HEADER,
    check_own_splits,
    check_table,
    healthy_rows,
    noise,
    pixels,
    rules,
    save,
    the,
    write_flowers,
    write_idx,
)

from didact.data.check.report import check_data
from didact.data.open import open_data

FOUND = {"same-in-two-splits", "duplicates", "contradicting-labels", "near-duplicates"}


def test_healthy_data_is_silent(tmp_path):
    rows = healthy_rows(200)
    assert not FOUND & rules(check_table(tmp_path, HEADER, rows))
    assert not FOUND & rules(check_own_splits(tmp_path / "own", HEADER, train=rows[:150], val=rows[150:]))
    assert not FOUND & rules(check_data(write_flowers(tmp_path / "flowers", ("train", "test"))))
    write_idx(tmp_path / "idx", "train", noise(40), [0, 1] * 20)
    write_idx(tmp_path / "idx", "t10k", noise(20, 1), [0, 1] * 10)
    assert not FOUND & rules(check_data(tmp_path / "idx"))


@pytest.mark.parametrize(("copies", "severity"), [(1, "note"), (2, "note"), (12, "warning")])
def test_copies_of_rows(tmp_path, copies, severity):
    rows = healthy_rows(200)
    finding = the(check_table(tmp_path, HEADER, [*rows, *rows[:copies]]), "duplicates")
    assert (finding.severity, finding.where, finding.law.code) == (severity, "trees.csv:202", "D06")
    assert finding.places[0] == "trees.csv:202 = trees.csv:2"
    assert finding.numbers["count"] == copies


def test_rows_of_few_values_agree_by_chance(tmp_path):
    numbers = np.random.default_rng(0)
    rows = [[*numbers.integers(0, 3, 4).tolist(), ("oak", "elm")[k % 2]] for k in range(200)]
    report = check_table(tmp_path, "a,b,c,d,kind", rows)
    assert the(report, "duplicates").severity == "note"
    assert the(report, "contradicting-labels").severity == "note"
    assert not report.failed


def test_equal_rows_with_different_labels(tmp_path):
    rows = healthy_rows(200)
    wrong = [*rows[0][:3], "elm"]
    report = check_table(tmp_path, HEADER, [*rows, wrong])
    finding = the(report, "contradicting-labels")
    assert (finding.severity, finding.where, finding.law.code) == ("warning", "trees.csv:202", "L04")
    assert "trees.csv:2, but 'elm' and not 'oak'" in finding.what
    assert "duplicates" not in rules(report)


def test_equal_rows_with_different_numbers_are_only_noted(tmp_path):
    rows = [[*row[:3], k * 0.37] for k, row in enumerate(healthy_rows(60))]
    report = check_table(tmp_path, HEADER, [*rows, [*rows[0][:3], 99.5]])
    assert the(report, "contradicting-labels").severity == "note"


@pytest.mark.parametrize(("copies", "severity"), [(1, "note"), (10, "warning")])
def test_copies_across_splits_of_idx(tmp_path, copies, severity):
    train, test = noise(60), noise(40, 1)
    test[:copies] = train[:copies]
    write_idx(tmp_path / "idx", "train", train, [0, 1] * 30)
    write_idx(tmp_path / "idx", "t10k", test, [0, 1] * 20)
    finding = the(check_data(tmp_path / "idx"), "same-in-two-splits")
    assert (finding.severity, finding.law.code) == (severity, "D06")
    assert finding.places[0].endswith("t10k-images-idx3-ubyte[0]")
    assert finding.numbers["count"] == copies


def test_one_picture_in_two_formats_is_the_same_picture(tmp_path):
    root = write_flowers(tmp_path / "flowers", ("train", "test"))
    save(root / "test" / "rose" / "copy.bmp", pixels(1))  # train/rose/0.png, in other bytes
    finding = the(check_data(root), "same-in-two-splits")
    assert finding.severity == "warning"
    assert finding.places == ["flowers/train/rose/0.png = flowers/test/rose/copy.bmp"]


def test_the_same_picture_in_two_class_folders(tmp_path):
    root = write_flowers(tmp_path / "flowers")
    save(root / "tulip" / "copy.png", pixels(1))
    report = check_data(root)
    assert the(report, "contradicting-labels").severity == "warning"
    assert "'tulip' and not 'rose'" in the(report, "contradicting-labels").what


def test_copies_of_texts(tmp_path):
    rows = [(f"text number {k} of the film", ("good", "bad")[k % 2]) for k in range(40)]
    path = tmp_path / "films.csv"
    path.write_text("\n".join(f"{text},{label}" for text, label in [("text", "label"), *rows, *rows[:5]]))
    report = check_data(path)
    assert (the(report, "duplicates").severity, the(report, "duplicates").where) == (
        "warning",
        "films.csv:42",
    )


def test_the_one_true_copy_of_iris_is_a_note_however_it_falls():
    assert the(check_data("iris"), "duplicates").places == ["iris[142] = iris[101]"]
    for seed in range(4):
        report = check_data(open_data("iris", seed=seed))
        copies = [f for f in report.findings if f.rule in ("duplicates", "same-in-two-splits")]
        assert [finding.severity for finding in copies] == ["note"]
