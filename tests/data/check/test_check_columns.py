"""Columns: constant, missing, numbers as text, identifiers, scales; and healthy ones."""

import numpy as np
import pytest
from checking import HEADER, check_table, healthy_rows, rules, the

from didact.data.check.columns import as_number
from didact.data.check.report import check_data
from didact.data.raw import Part, Raw

FOUND = {
    "constant-column",
    "near-constant-column",
    "mostly-missing",
    "numbers-as-text",
    "identifier",
    "many-categories",
    "scales",
    "not-finite",
    "empty-column",
}


def with_column(folder, cells, name="extra", count=120):
    """Healthy rows, and a first column of these cells."""
    rows = [[cell, *row] for cell, row in zip(cells, healthy_rows(count), strict=False)]
    return check_table(folder, f"{name},{HEADER}", rows)


def test_healthy_columns_are_silent(tmp_path):
    assert not FOUND & rules(check_table(tmp_path, HEADER, healthy_rows()))


@pytest.mark.parametrize(
    ("cells", "rule", "severity"),
    [
        (["7"] * 120, "constant-column", "warning"),
        (["yes"] * 120, "constant-column", "warning"),
        (["0"] * 119 + ["1"], "near-constant-column", "note"),
        (["no"] * 119 + ["yes"], "near-constant-column", "note"),
        ([str(k) for k in range(120)], "identifier", "warning"),
        ([f"tree {k}" for k in range(120)], "identifier", "warning"),
        ([str(k + k // 10) for k in range(120)], "identifier", "note"),
        ([f"tree {k // 2 if k % 2 else k}" for k in range(120)], "many-categories", "note"),
        ([f"{k * 13 % 97},{k % 10}0 €" for k in range(120)], "numbers-as-text", "warning"),
        ([f"{k * 37 % 101} cm" for k in range(120)], "numbers-as-text", "warning"),
        ([""] * 120, "empty-column", "note"),
        (["?"] * 70 + ["a", "b"] * 25, "mostly-missing", "warning"),
    ],
)
def test_a_column_that_is_odd(tmp_path, cells, rule, severity):
    report = with_column(tmp_path, cells)
    assert FOUND & rules(report) == {rule}
    assert the(report, rule).severity == severity
    assert "'extra'" in the(report, rule).what


@pytest.mark.parametrize(
    "cells",
    [
        ["0"] * 100 + ["1"] * 20,
        [f"A{k % 7}" for k in range(120)],
        [f"{k % 4} doors" for k in range(120)],
        [str((k * 7) % 60) for k in range(120)],
        ["?"] * 30 + ["a", "b"] * 45,
    ],
)
def test_a_column_that_is_not(tmp_path, cells):
    assert not FOUND & rules(with_column(tmp_path, cells))


def test_whole_numbers_without_order_are_an_identifier_only_by_name(tmp_path):
    cells = [str(n) for n in np.random.default_rng(0).permutation(9000)[:120]]
    assert "identifier" not in rules(with_column(tmp_path, cells, "weight_g"))
    for name in ("id", "patient_id", "PatientId", "Row Index"):
        assert the(with_column(tmp_path, cells, name), "identifier").severity == "warning"


def test_a_column_without_a_value_in_most_rows(tmp_path):
    report = with_column(tmp_path, [f"{k}.5" if k % 3 == 0 else "" for k in range(120)])
    finding = the(report, "mostly-missing")
    assert finding.what == "column 'extra' has no value in 80 of 120 rows"
    report = with_column(tmp_path, [f"{k % 50}.5" if k % 3 else "" for k in range(120)])
    assert "mostly-missing" not in rules(report)
    assert "missing-value" in rules(report)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([f"{(k * 37 % 101) * 1000}.5" for k in range(120)], "deviates by"),
        ([f"{1000 + k * 37 % 101 / 50}" for k in range(120)], "deviations from 0"),
    ],
)
def test_scales(tmp_path, cells, said):
    finding = the(with_column(tmp_path, cells), "scales")
    assert (finding.severity, finding.law.code) == ("note", "P01")
    assert said in finding.what


def test_numbers_that_passed_no_reader():
    items = [{"a": float(k * 37 % 101), "b": k * 0.1} for k in range(40)]
    items[3]["a"], items[5]["a"] = float("nan"), float("inf")
    raw = Raw("made", "table", "class", {"all": Part(items, [str(k % 2) for k in range(40)])}, ("0", "1"))
    finding = the(check_data(raw), "not-finite")
    assert (finding.severity, finding.where, finding.law.code) == ("fatal", "made[3]", "D01")
    assert finding.places == ["made[3]", "made[5]"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234", 1234),
        ("1,234.5", 1234.5),
        ("12 kg", 12),
        ("€ 3,50", 3.5),
        ("-7%", -7),
        ("A1", None),
        ("", None),
        ("3 of 4", None),
        ("red", None),
        ("2024-01-01", None),
    ],
)
def test_numbers_that_people_write(text, number):
    assert as_number(text) == number
