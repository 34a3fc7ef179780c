"""Texts whose characters were lost."""

import pytest
from checking import rules, the

from didact.data.check.report import check_data


def films(split, words):
    for k in range(80):
        path = split / ("good", "bad")[k % 2] / f"{k}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"film {k} of {split.name}: " + "fine " * (words + k % 9))


@pytest.mark.parametrize(("words", "moved"), [(5, False), (50, True)])
def test_texts_of_one_split_that_are_longer(tmp_path, words, moved):
    films(tmp_path / "train", 5)
    films(tmp_path / "test", words)
    report = check_data(tmp_path)
    assert ("drift" in rules(report)) is moved
    assert not moved or "'length': mean +" in the(report, "drift").what


def write(folder, odd):
    for label in ("good", "bad"):
        for k in range(12):
            path = folder / "films" / label / f"{k}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"a {label} café film, Århus, number {k}", encoding="utf-8")
    (folder / "films" / "good" / "3.txt").write_text(odd, encoding="utf-8")
    return check_data(folder / "films")


@pytest.mark.parametrize("odd", ["the cafÃ© scene", "it\N{REPLACEMENT CHARACTER}s long", "donâ€™t", "a\0b"])
def test_garbled_texts(tmp_path, odd):
    finding = the(write(tmp_path, odd), "garbled-text")
    assert finding.severity == "warning"
    assert finding.where.startswith("films/good/3.txt, character ")


@pytest.mark.parametrize("fine", ["São Paulo, AÇÃO", "“don’t” — naïve", "日本語", "Ãé"])
def test_texts_of_many_languages_are_fine(tmp_path, fine):
    assert "garbled-text" not in rules(write(tmp_path, fine))
