"""The page says what the code says, and every rule is one that something finds."""

import re
from pathlib import Path

import pytest

from didact.data.check.finding import found
from didact.data.check.rules import RULES, SEVERITIES

ROOT = Path(__file__).parents[3]
SOURCES = "\n".join(path.read_text() for path in (ROOT / "src/didact/data/check").glob("*.py"))
PAGE = (ROOT / "docs" / "data.md").read_text()
TESTED = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_check_*.py"))
TRIED = re.sub(r"^FOUND = \{.*?\}$", "", TESTED, flags=re.M | re.S)  # what is silent proves nothing


def test_the_table_of_the_page_is_that_of_the_code():
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    table = {cells[0].strip("`"): tuple(cell.strip() for cell in cells[1:]) for cells in rows}
    expected = {name: (rule.code or "", rule.severity, rule.when, rule.fix) for name, rule in RULES.items()}
    assert {name: cells for name, cells in table.items() if name in RULES} == expected
    assert list(table) == list(RULES)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_found_by_code_and_tried_by_a_test(name):
    in_code = re.findall(rf'"{name}"', SOURCES)
    assert len(in_code) >= 2, "only in its own table"
    assert f'"{name}"' in TRIED


@pytest.mark.parametrize("name", RULES)
def test_a_rule_has_words_and_a_known_code(name):
    rule = RULES[name]
    assert rule.severity in SEVERITIES
    assert re.fullmatch(r"(D0[1-7]|L0[1-5]|P0[12])?", rule.code)
    assert rule.when
    assert rule.fix
    assert "|" not in rule.when + rule.fix
    assert found(name, "here", "what").severity == rule.severity
