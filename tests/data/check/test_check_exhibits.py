"""What a person would rather see: the values, and that each kind of them can be drawn."""

import numpy as np
import pytest
from checking import HEADER, check_own_splits, check_table, healthy_rows, pixels, save, write_flowers

from didact.data.check.report import check_data
from didact.draw.data_check import draw_data_check
from didact.draw.style import to_png, to_svg


def texts(exhibits):
    return to_svg(draw_data_check(exhibits))


def test_two_images_side_by_side(tmp_path):
    root = write_flowers(tmp_path / "flowers", ("train", "test"))
    save(root / "train" / "tulip" / "copy.png", pixels(25))
    exhibits = check_data(root).exhibits()
    pair = exhibits[0]
    assert [example["caption"] for example in pair["examples"]] == [
        "flowers/train/tulip/copy.png (left out): tulip",
        "flowers/test/rose/0.png (test): rose",
    ]
    np.testing.assert_array_equal(pair["examples"][0]["image"], pixels(25))
    assert exhibits[-1]["counts"]["test"] == {"rose": 12, "tulip": 12}
    svg = texts(exhibits)
    assert svg.count("<image") == 2 * sum(exhibit["kind"] == "examples" for exhibit in exhibits)
    assert "copy.png" in svg


def test_two_rows_and_the_column_that_leaks(tmp_path):
    rows = [[3.0 * (row[-1] == "oak") + k / 500, *row] for k, row in enumerate(healthy_rows())]
    report = check_table(tmp_path, "answer," + HEADER, [*rows, rows[0]])
    by_kind = {exhibit["kind"]: exhibit for exhibit in report.exhibits()}
    assert set(by_kind) == {"column", "examples", "classes"}
    assert by_kind["column"]["cells"][:2] == [3.0, 0.002]
    assert by_kind["examples"]["examples"][0]["text"].startswith("answer 3.0, height")
    assert by_kind["classes"]["counts"] == {"all": {"elm": 60, "oak": 61}}
    svg = texts(report.exhibits())
    assert all(word in svg for word in ("leak: trees.csv", "answer", "kind", "trees.csv:122 (all): oak"))


def test_a_category_that_leaks(tmp_path):
    rows = [[{"oak": "felled", "elm": "stands"}[row[-1]], *row] for row in healthy_rows()]
    assert "felled" in texts(check_table(tmp_path, "state," + HEADER, rows).exhibits())


def test_a_column_that_moved(tmp_path):
    rows = healthy_rows(400)
    other = [[row[0] + 50, row[1], *row[2:]] for row in rows[300:]]
    exhibits = check_own_splits(tmp_path, HEADER, train=rows[:300], test=other).exhibits()
    assert exhibits[0]["kind"] == "numbers"
    assert exhibits[0]["values"]["test"].mean() > exhibits[0]["values"]["train"].mean() + 40
    assert "share of the split" in texts(exhibits)


@pytest.mark.parametrize(
    ("name", "kind", "word"),
    [
        ("digits", "classes", "digits: examples by class"),
        ("diabetes", "numbers", "progression"),
        ("manual", "numbers", "characters of a document"),
        ("gaussian", "numbers", "number 0"),
    ],
)
def test_a_healthy_set_shows_itself(name, kind, word):
    (exhibit,) = check_data(name).exhibits()
    assert exhibit["kind"] == kind
    svg = texts([exhibit])
    assert word in svg
    assert svg == texts(check_data(name).exhibits())
    assert to_png(draw_data_check([exhibit])).startswith(b"\x89PNG")


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_data_check([])
