"""The report: order, exit, plain values, the sample, and silence on the sets that come with didact."""

import json
from dataclasses import replace

import numpy as np
import pytest
from checking import (
    HEADER,
    check_own_splits,
    check_table,
    healthy_rows,
    pixels,
    rules,
    save,
    the,
    write_flowers,
    write_table,
)

from didact.data.check.finding import LISTED
from didact.data.check.report import check_data
from didact.data.embedded import EMBEDDED
from didact.data.open import open_data, read
from didact.data.raw import Problem
from didact.errors import DataError, UsageError

EXPECTED = {  # what is true of the embedded sets
    "digits": set(),
    "iris": {"duplicates", "sorted-by-class", "small-validation"},
    "wine": {"sorted-by-class", "scales", "small-validation"},
    "breast-cancer": {"scales", "small-validation"},
    "diabetes": set(),
    "manual": set(),
    "docstrings": {"sorted-by-class"},
    "gaussian": set(),
}


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_sets_have_notes_at_most_and_those_are_true(name):
    report = check_data(name)
    assert not report.failed
    assert rules(report) == EXPECTED[name]
    assert report.total == sum(report.examples.values())


@pytest.mark.parametrize("name", ["digits", "wine", "diabetes", "docstrings"])
@pytest.mark.parametrize("seed", [0, 1])
def test_our_own_splits_of_them_give_no_warning(name, seed):
    assert not check_data(open_data(name, seed=seed)).failed


def test_the_worst_comes_first_and_decides(tmp_path):
    rows = [["7", *row] for row in healthy_rows()]
    rows[5][1] = ""
    report = check_table(tmp_path, "same," + HEADER, rows)
    assert [finding.severity for finding in report.findings] == ["fatal", "warning", "note"]
    assert report.verdict() == "1 fatal, 1 warning, 1 note"
    assert report.failed
    lines = str(report).splitlines()
    assert lines[0] == "fatal: trees.csv:7: column 'height': missing value [missing-value]"
    assert lines[1] == "  fix: drop or impute those rows"
    assert lines[-1].endswith("trees.csv: 1 fatal, 1 warning, 1 note (all 119)")


def test_notes_alone_do_not_fail():
    report = check_data("iris")
    assert (report.failed, report.count("note")) == (False, 3)


def test_plain_values(tmp_path):
    values = json.loads(
        json.dumps(check_table(tmp_path, HEADER, [*healthy_rows(), healthy_rows()[0]]).to_dict())
    )
    assert values["counts"] == {"fatal": 0, "warning": 0, "note": 2}
    assert (values["examples"], values["total"]) == ({"all": 121}, 121)
    first = values["findings"][0]
    assert (first["rule"], first["code"], first["places"]) == (
        "duplicates",
        "D06",
        ["trees.csv:122 = trees.csv:2"],
    )
    assert first["fix"].startswith("keep one")


def test_many_places_are_cut_on_the_terminal_only(tmp_path):
    rows = healthy_rows()
    report = check_table(tmp_path, HEADER, rows + rows[:30])
    finding = the(report, "duplicates")
    assert len(finding.places) == 30
    assert len([line for line in finding.lines() if " = " in line]) == LISTED
    assert "  and 20 more; --json lists all" in finding.lines()


def test_a_budget_takes_a_sample_and_says_so(tmp_path):
    path = write_table(tmp_path / "trees.csv", HEADER, healthy_rows(2000))
    report = check_data(path, budget_rows=300)
    assert report.examples == {"all": 300}
    finding = the(report, "sampled")
    assert (finding.severity, finding.what) == ("note", "looked at 300 of 2,000 examples, chosen at random")
    assert "small-validation" not in rules(report), "it is judged by all examples"
    assert "sampled" not in rules(check_data(path, budget_rows=2000))
    assert check_data(path, budget_rows=300) == report
    with pytest.raises(UsageError, match="budget_rows=-1"):
        check_data(path, budget_rows=-1)


def test_a_sample_keeps_its_places(tmp_path):
    root = write_flowers(tmp_path / "flowers", count=30)
    for k in range(30):
        save(root / "rose" / f"{k}.png", np.full((40, 40), k * 4, np.uint8))
    report = check_data(root, budget_rows=20)
    assert report.failed, "a warning alone fails"
    finding = the(report, "constant-image")
    in_order = [f"flowers/rose/{name}.png" for name in sorted(map(str, range(30)))]
    assert finding.places == [place for place in in_order if place in finding.places]
    assert 2 < finding.numbers["count"] < 20
    assert all(place.startswith("flowers/rose/") for place in finding.places)


def test_a_sample_does_not_miss_a_class(tmp_path):
    rows = healthy_rows(400)
    rows[200:] = [[*row[:3], f"kind {k // 4}"] for k, row in enumerate(rows[200:])]
    write_table(tmp_path / "train.csv", HEADER, rows)
    write_table(
        tmp_path / "test.csv",
        HEADER,
        [[*row[:3], rows[-k - 1][3]] for k, row in enumerate(healthy_rows(60, 1))],
    )
    whole, sample = check_data(tmp_path), check_data(tmp_path, budget_rows=50)
    of_classes = {"class-not-in-train", "class-not-in-split", "few-examples", "empty-class", "imbalance"}
    assert (
        rules(sample) & of_classes
        == rules(whole) & of_classes
        == {"class-not-in-split", "few-examples", "imbalance"}
    )
    assert sample.exhibits()[-1]["counts"] == whole.exhibits()[-1]["counts"]


def test_a_sample_takes_from_every_split(tmp_path):
    rows = healthy_rows(400)
    report = check_own_splits(tmp_path, HEADER, train=rows[:300], val=rows[300:340], test=rows[340:])
    assert report.examples == {"train": 300, "val": 40, "test": 60}
    assert check_data(tmp_path, budget_rows=100).examples == {"train": 75, "val": 10, "test": 15}


def test_progress_counts_images(tmp_path):
    seen = []
    check_data(write_flowers(tmp_path / "flowers"), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k, 24) for k in range(1, 25)]


def test_data_that_was_opened_is_checked_as_it_was_split(tmp_path):
    path = write_table(tmp_path / "trees.csv", HEADER, [*healthy_rows(300), *healthy_rows(30)])
    report = check_data(open_data(path))
    assert set(report.examples) == {"train", "val", "test"}
    assert the(report, "same-in-two-splits").severity == "warning"
    assert check_data(read(path)) == check_data(path)


def test_a_problem_that_is_unknown_stays_as_bad_as_it_was():
    raw = read("iris")
    strange = [Problem("iris", "something new"), Problem("iris", "something odd", fatal=False)]
    found = [f for f in check_data(replace(raw, problems=strange)).findings if f.rule == "unreadable"]
    assert [(f.severity, f.what) for f in found] == [("fatal", "something new"), ("note", "something odd")]


def test_nothing_there():
    with pytest.raises(DataError, match="neither a file nor an embedded set"):
        check_data("nowhere")


def test_a_healthy_table_has_only_a_note_on_its_size(tmp_path):
    assert rules(check_table(tmp_path, HEADER, healthy_rows())) == {"small-validation"}


def test_a_file_of_which_nothing_is_sound(tmp_path):
    path = write_table(tmp_path / "trees.csv", HEADER, [["nan", 1, "red", "oak"]] * 3)
    report = check_data(path)
    assert (rules(report), report.failed, report.examples) == ({"not-finite"}, True, {})
    assert the(report, "not-finite").places[2].startswith("trees.csv:4")
    assert report.exhibits() == []


def test_columns_that_are_not_used_are_noted(tmp_path):
    rows = [(f"film number {k} was fine", ("good", "bad")[k % 2], k) for k in range(40)]
    report = check_data(write_table(tmp_path / "films.csv", "text,label,year", rows))
    assert the(report, "unused-column").severity == "note"


def test_pictures_of_other_bytes(tmp_path):
    root = write_flowers(tmp_path / "flowers")
    save(root / "rose" / "again.bmp", pixels(1))
    assert the(check_data(root), "duplicates").places == ["flowers/rose/again.bmp = flowers/rose/0.png"]
