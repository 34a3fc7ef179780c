"""Text: prose to be continued, and texts with labels."""

import json

import pytest

from didact.data.formats.detect import read_path
from didact.data.open import open_data

PROSE = "It was a dark and stormy night; the rain fell in torrents.\n" * 40
SAID = [(f"what a {mood} film, number {i}", mood) for i in range(10) for mood in ("good", "bad")]


def fatal(raw):
    return [str(problem) for problem in raw.problems if problem.fatal]


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_a_file_of_prose_is_cut_in_three(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + PROSE.replace("\n", "\r\n").encode())
    data = open_data(tmp_path / name, context=16)
    assert (data.facts.inputs, data.facts.target, data.facts.input_shape) == ("tokens", "next", (16,))
    assert data.facts.sizes == {"train": 1887, "val": 236, "test": 236}
    assert not {"\r", "\ufeff"} & set(data.facts.vocabulary)
    assert data.facts.model_sizes()["vocab_size"] == len(data.facts.vocabulary)


def test_a_folder_of_documents(tmp_path):
    for index in range(20):
        (tmp_path / f"{index:02}.txt").write_text(f"{PROSE}{index}")
    (tmp_path / ".hidden.txt").write_text("x")
    (tmp_path / "20.txt").write_text(" \n")
    raw = read_path(tmp_path)
    assert len(raw) == 20
    assert [str(problem) for problem in raw.problems] == [f"{tmp_path.name}/20.txt: empty"]
    assert raw.parts["all"].places[0] == f"{tmp_path.name}/00.txt"
    assert {name: len(part.items) for name, part in open_data(tmp_path).raw.items()} == {
        "train": 16,
        "val": 2,
        "test": 2,
    }


def test_prose_in_own_splits(tmp_path, refused):
    for name, start in (("train", 0), ("valid", 5), ("test", 9)):
        (tmp_path / f"{name}.txt").write_text(PROSE[start:])
    data = open_data(tmp_path)
    assert data.facts.sizes == {"train": 2359, "val": 2354, "test": 2350}
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name + PROSE)
    assert open_data(tmp_path).facts.sizes["test"] == 2350  # files named after splits come first
    (tmp_path / "test.txt").write_text(PROSE)
    refused(tmp_path, "train.txt: the same text as", "test.txt, in the test split")


def test_text_that_is_not_utf_8_is_named_and_can_be_left_out(tmp_path, refused):
    for index in range(12):
        (tmp_path / f"{index:02}.txt").write_text(f"{PROSE}{index}")
    (tmp_path / "03.txt").write_bytes(b"fine\nna\xefve")
    refused(tmp_path, "03.txt:2: byte 0xef at offset 7 is not UTF-8")
    assert sum(len(part.items) for part in open_data(tmp_path, allow_bad=True).raw.values()) == 11
    refused(tmp_path / "03.txt", "03.txt:2: byte 0xef", allow_bad=True)


def test_an_empty_text_is_refused(tmp_path, refused):
    (tmp_path / "a.txt").write_text("\n \n")
    refused(tmp_path / "a.txt", "a.txt", "no example to train on")


def test_a_text_shorter_than_the_context_is_refused(tmp_path, refused):
    (tmp_path / "a.txt").write_text("too short")
    refused(tmp_path / "a.txt", "split is empty")


def check_moods(data, count=20):
    assert (data.facts.inputs, data.facts.target, data.facts.classes) == ("bag", "class", ("bad", "good"))
    assert sum(data.facts.sizes.values()) == count
    assert len(data.facts.vocabulary) == data.facts.input_shape[0] > 3


def test_texts_in_a_folder_per_class(tmp_path, refused):
    for index, (text, mood) in enumerate(SAID):
        (tmp_path / mood).mkdir(exist_ok=True)
        (tmp_path / mood / f"{index}.txt").write_text(text)
    data = open_data(tmp_path)
    check_moods(data)
    assert data.raw["train"].place(0).startswith(f"{tmp_path.name}/bad/")
    (tmp_path / "good" / "x.txt").write_bytes(b"\xff")
    refused(tmp_path, "good/x.txt:1: byte 0xff")
    check_moods(open_data(tmp_path, allow_bad=True))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_texts_in_rows(tmp_path, name):
    if name == "a.jsonl":
        lines = [json.dumps({"text": text, "label": mood}) for text, mood in SAID]
    elif name == "a.tsv":
        lines = ["text\tlabel", *(f"{text}\t{mood}" for text, mood in SAID)]
    else:
        lines = ["label,text", *(f'{mood},"{text}"' for text, mood in SAID)]
    path = tmp_path / name
    path.write_text("\n".join(lines))
    check_moods(open_data(path))
    copy = {"a.jsonl": lines[0], "a.tsv": lines[1], "a.csv": lines[1]}[name]
    path.write_text("\n".join([*lines, copy]))
    (remark,) = read_path(path).problems
    assert str(remark).startswith(f"{name}:{len(lines) + 1}: the same text as {name}:")
    assert not remark.fatal


def test_broken_lines_of_json_are_named(tmp_path, refused):
    path = tmp_path / "a.jsonl"
    good = [json.dumps({"text": text, "label": mood, "id": i}) for i, (text, mood) in enumerate(SAID)]
    path.write_text("\n".join([*good, "{", "[1]", '{"text": "x"}', '{"text": null, "label": 1}', ""]))
    raw = read_path(path)
    assert [line.split(" (")[0] for line in fatal(raw)] == [
        "a.jsonl:21: not JSON",
        "a.jsonl:22: not a JSON object, {...}",
        "a.jsonl:23: column 'label': missing value",
        "a.jsonl:24: column 'text': missing value",
    ]
    assert [str(problem) for problem in raw.problems if not problem.fatal] == [
        "a.jsonl: columns that are not used: id"
    ]
    check_moods(open_data(path, allow_bad=True))
    path.write_text('{"a": 1}')
    refused(path, "needs text and label in every line; it has a")


def test_texts_in_files_of_splits(tmp_path, refused):
    for name, rows in (("train", SAID[:12]), ("dev", SAID[12:16]), ("test", SAID[16:])):
        (tmp_path / f"{name}.tsv").write_text("\n".join(["text\tlabel", *("\t".join(row) for row in rows)]))
    data = open_data(tmp_path)
    check_moods(data)
    assert data.facts.sizes == {"train": 12, "val": 4, "test": 4}
    leak = ["text\tlabel", "\t".join(SAID[0]), "\t".join(SAID[17])]
    (tmp_path / "test.tsv").write_text("\n".join(leak))
    refused(tmp_path, "train.tsv:2: the same text as", "test.tsv:2, in the test split")


def test_texts_in_class_folders_of_splits(tmp_path):
    for index, (text, mood) in enumerate(SAID):
        folder = tmp_path / ("test" if index > 15 else "train") / mood
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.txt").write_text(text)
    (tmp_path / "about.txt").write_text("Films, and what was said of them.")
    data = open_data(tmp_path)
    check_moods(data)
    assert data.facts.sizes["test"] == 4


def test_the_target_of_labelled_rows_has_a_name(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["label,text", *(f'{mood},"{text}"' for text, mood in SAID)]))
    assert open_data(path, target="label").facts.target_name == "label"
    assert read_path(path, target="text").inputs == "table"
