"""What every reader reports falls under a rule, with file and line."""

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
from didact.data.formats.detect import read_path


def test_cells_are_gathered_by_column(tmp_path):
    rows = healthy_rows()
    rows[3][0], rows[7][0], rows[9][1], rows[11][1], rows[13][2] = "", "NA", "nan", "heavy", ""
    report = check_table(tmp_path, HEADER, rows)
    missing = [finding for finding in report.findings if finding.rule == "missing-value"]
    assert [(finding.where, len(finding.places)) for finding in missing] == [
        ("trees.csv:5", 2),
        ("trees.csv:15", 1),
    ]
    assert (the(report, "not-finite").where, the(report, "not-finite").law.code) == ("trees.csv:11", "D01")
    assert the(report, "text-among-numbers").where == "trees.csv:13"
    assert report.failed
    assert report.count("fatal") == 4


def test_rows_and_splits_that_are_none(tmp_path):
    rows = [[*row, "train"] for row in healthy_rows()]
    rows[4] = rows[4][:3]
    rows[6][-1] = "later"
    rows[8][-1] = "val"
    report = check_table(tmp_path, "height,weight,colour,kind,split", [[*r[:3], *r[3:]] for r in rows])
    assert the(report, "broken-row").where == "trees.csv:6"
    assert the(report, "unknown-split").where == "trees.csv:8"


def test_images_that_do_not_decode_and_files_passed_over(tmp_path):
    root = write_flowers(tmp_path / "flowers")
    whole = (root / "rose" / "0.png").read_bytes()
    (root / "rose" / "0.png").write_bytes(whole[: len(whole) // 2])
    (root / "rose" / "1.png").write_bytes(b"")
    (root / "rose" / "notes.doc").touch()
    finding = the(check_data(root), "broken-image")
    assert finding.severity == "fatal"
    assert [place.split(":")[0] for place in finding.places] == ["flowers/rose/0.png", "flowers/rose/1.png"]
    assert the(check_data(root), "unread-file").severity == "note"


def test_class_lists_that_differ(tmp_path):
    root = write_flowers(tmp_path / "flowers", ("train", "test"))
    save(root / "test" / "weed" / "0.png", pixels(99))
    finding = the(check_data(root), "class-lists-differ")
    assert (finding.severity, finding.where) == ("fatal", "flowers/test/weed")


def test_texts(tmp_path):
    for label in ("good", "bad"):
        for k in range(12):
            path = tmp_path / "films" / label / f"{k}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"a {label} film, number {k}")
    (tmp_path / "films/bad/3.txt").write_text("  \n")
    (tmp_path / "films/bad/4.txt").write_bytes(b"caf\xe9")
    report = check_data(tmp_path / "films")
    assert (the(report, "empty-text").where, the(report, "empty-text").severity) == (
        "films/bad/3.txt",
        "warning",
    )
    assert (the(report, "not-utf-8").where, the(report, "not-utf-8").severity) == (
        "films/bad/4.txt:1",
        "fatal",
    )


def test_a_list_of_images(tmp_path):
    save(tmp_path / "pets" / "a.png", pixels(1))
    save(tmp_path / "pets" / "b.png", pixels(2))
    (tmp_path / "pets" / "metadata.csv").write_text("file_name,label\na.png,cat\nb.png,dog\nc.png,dog\n")
    assert the(check_data(tmp_path / "pets"), "missing-file").where == "pets/metadata.csv:4"


def test_cifar_labels_beyond_the_last_and_no_test_file(tmp_path):
    record = bytes([3]) + noise(3, side=32).tobytes()
    other = bytes([5]) + noise(3, 1, side=32).tobytes()
    (tmp_path / "data_batch_1.bin").write_bytes((record + other) + bytes([11]) + record[1:])
    report = check_data(tmp_path)
    assert the(report, "label-out-of-range").where.endswith("data_batch_1.bin[2]")
    assert the(report, "label-out-of-range").law.code == "L05"
    assert the(report, "no-test-split").severity == "note"


def test_what_cannot_be_read_is_a_finding(tmp_path):
    write_idx(tmp_path / "digits", "train", noise(6), [0, 1] * 3)
    path = tmp_path / "digits" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-9])
    finding = the(check_data(tmp_path / "digits"), "unreadable")
    assert finding.severity == "fatal"
    assert "truncated" in finding.what


def test_one_class(tmp_path):
    assert "one-class" in rules(check_table(tmp_path, HEADER, healthy_rows()[::2]))


@pytest.mark.parametrize("kind", ["flowers", "trees"])
def test_a_copy_that_was_left_out_is_shown_beside_what_was_kept(tmp_path, kind):
    if kind == "flowers":
        root = write_flowers(tmp_path / kind, ("train", "test"))
        save(root / "train" / "rose" / "copy.png", pixels(25))
        assert np.array_equal(pixels(25), pixels(25))
        report, places = check_data(root), ["flowers/train/rose/copy.png", "flowers/test/rose/0.png"]
    else:
        rows = healthy_rows()
        report = check_own_splits(tmp_path / kind, HEADER, train=rows[:100], test=[*rows[100:], rows[5]])
        places = ["trees/train.csv:7", "trees/test.csv:22"]
    finding = the(report, "same-in-two-splits")
    assert (finding.severity, finding.where, finding.law.code) == ("fatal", places[0], "D06")
    assert [seen.place for seen in finding.show["pair"]] == places
    assert "contradicting-labels" not in rules(report)


def test_a_copy_that_was_left_out_and_had_another_label(tmp_path):
    root = write_flowers(tmp_path / "flowers", ("train", "test"))
    save(root / "train" / "tulip" / "copy.png", pixels(25))  # test/rose/0.png
    finding = the(check_data(root), "contradicting-labels")
    assert (finding.severity, finding.where) == ("warning", "flowers/train/tulip/copy.png")
    assert "'tulip' and not 'rose'" in finding.what


def test_no_problem_of_a_reader_is_lost(tmp_path):
    """Whatever is fatal to a reader is fatal here, and each of its remarks is a finding."""
    root = write_flowers(tmp_path / "flowers", ("train", "test"), count=4)
    save(root / "train/rose/copy.png", pixels(9))
    save(root / "train/rose/twice.png", pixels(1))
    save(root / "test/rose/grey.png", grey_image())
    (root / "test/tulip/broken.png").write_bytes(b"")
    (root / "spare").mkdir()
    problems = read_path(root).problems
    report = check_data(root)
    places = {place.split(": ")[0] for finding in report.findings for place in finding.places}
    assert {problem.where for problem in problems if problem.fatal} <= places
    assert len([problem for problem in problems if not problem.fatal]) > 2
    assert {"image-modes", "image-sizes", "unread-file"} <= rules(report)


def grey_image() -> np.ndarray:
    return np.ascontiguousarray(pixels(77, 32)[:, :, 0])
