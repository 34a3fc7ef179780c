"""A column that gives the answer away, in numbers and in categories; and measures that are merely good."""

import numpy as np
import pytest
from checking import HEADER, check_table, healthy_rows, rules, the
from sklearn.metrics import r2_score

from didact.data.check.leak import column_scores, recall_of_categories
from didact.data.check.report import check_data
from didact.data.check.subject import subject_of
from didact.data.open import read

RNG = np.random.default_rng(0)


def leaking(folder, kinds, cells, targets=None):
    rows = [[cell, *row[:3], t] for cell, row, t in zip(cells, healthy_rows(), targets or kinds, strict=True)]
    return check_table(folder, "extra," + HEADER, rows)


KINDS = [("oak", "elm")[k % 2] for k in range(120)]
THREE = [("oak", "elm", "ash")[k % 3] for k in range(120)]
PRICES = [round(float(n), 3) for n in RNG.normal(50, 9, 120)]


@pytest.mark.parametrize(
    ("targets", "cells"),
    [
        (KINDS, [2.5 * (kind == "oak") + RNG.normal(0, 0.3) for kind in KINDS]),
        (KINDS, [{"oak": "felled", "elm": "standing"}[kind] for kind in KINDS]),
        (THREE, [{"oak": 7.1, "elm": 2.2, "ash": 5.5}[kind] + RNG.normal(0, 0.1) for kind in THREE]),
        (PRICES, [price * 1.2 + RNG.normal(0, 0.1) for price in PRICES]),
        (PRICES, [np.exp(price / 9) for price in PRICES]),
    ],
)
def test_a_column_that_tells_the_answer(tmp_path, targets, cells):
    finding = the(leaking(tmp_path, targets, cells), "leak")
    assert (finding.severity, finding.law.code) == ("warning", "D07")
    assert finding.what.startswith("column 'extra' tells 'kind' by itself")
    assert finding.numbers["score"] >= 0.98 > 0.9 > finding.numbers["others"]


@pytest.mark.parametrize(
    ("targets", "cells"),
    [
        (KINDS, [1.0 * (kind == "oak") + RNG.normal(0, 0.6) for kind in KINDS]),
        (KINDS, [f"tree {k}" for k in range(120)]),
        (THREE, [9.0 * (kind == "oak") + RNG.normal(0, 0.1) for kind in THREE]),
        (PRICES, [price + RNG.normal(0, 5) for price in PRICES]),
        (PRICES, [f"tree {k // 2}" for k in range(120)]),
    ],
)
def test_a_column_that_does_not(tmp_path, targets, cells):
    assert "leak" not in rules(leaking(tmp_path, targets, cells))


def test_where_several_columns_are_that_good_the_task_is_easy(tmp_path):
    rows = [[3 * (kind == "oak") + RNG.normal(0, 0.3) for _ in range(3)] + [kind] for kind in KINDS]
    assert "leak" not in rules(check_table(tmp_path, "a,b,c,kind", rows))


@pytest.mark.parametrize("name", ["iris", "wine", "breast-cancer", "diabetes"])
def test_real_sets_have_no_leak(name):
    assert "leak" not in rules(check_data(name))


def test_scores_are_what_they_say():
    scores = column_scores(subject_of(read("diabetes")))
    raw = read("diabetes").parts["all"]
    x, y = np.array([item["bmi"] for item in raw.items]), np.array(raw.targets)
    line = np.polyval(np.polyfit(x, y, 1), x)
    assert scores["bmi"] >= r2_score(y, line) - 1e-9
    assert scores["bmi"] == pytest.approx(r2_score(y, line), abs=0.03)


def test_a_row_does_not_answer_for_itself():
    assert recall_of_categories([str(k) for k in range(20)], ["a", "b"] * 10) == 0
    assert recall_of_categories(["x", "y"] * 10, ["a", "b"] * 10) == 1
