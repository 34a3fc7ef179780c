"""Terminals, pipes and colour: what is drawn where, and nothing in the wrong place."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from commands import COMMAND, ENVIRONMENT, Child

from didact.cli import table

pytestmark = pytest.mark.usefixtures("iris_run")  # what training imports is loaded once, before the forks

ESCAPE = re.compile(r"\033\[[?\d;]*[A-Za-z]")
HIDE_CURSOR, SHOW_CURSOR = "\033[?25l", "\033[?25h"
COLOUR = re.compile(r"\033\[[\d;]+m")
TRAIN = ("train", "softmax-regression", "--epochs")


def test_a_terminal_gets_a_live_bar_and_is_left_tidy(tmp_path: Path):
    child = Child(*TRAIN, "300", cwd=tmp_path, columns=100)
    assert child.end() == 0
    assert "━" in child.seen
    assert COLOUR.search(child.seen)
    assert child.seen.rindex(SHOW_CURSOR) > child.seen.rindex(HIDE_CURSOR)
    plain = ESCAPE.sub("", child.seen)
    assert len(re.findall(r"epoch +\d+/300  train loss", plain)) == 300
    assert plain.endswith("report  runs/softmax-regression-iris-1/report.html\n")


def test_the_bar_moves_however_long_the_run(tmp_path: Path):
    child = Child(*TRAIN, "1000000", cwd=tmp_path, columns=100)
    child.read(until=" 400/1000000  train loss")
    os.kill(child.pid, signal.SIGINT)
    assert child.end() == 130
    assert max(map(int, re.findall(r"(\d+)/1000000\S* \S*━", child.seen))) > 0


def test_ctrl_c_on_a_terminal_gives_the_cursor_back(tmp_path: Path):
    child = Child(*TRAIN, "1000000", cwd=tmp_path, columns=100)
    child.read(until="train loss")
    os.write(child.source, b"\x03")
    assert child.end() == 130
    assert child.seen.rindex(SHOW_CURSOR) > child.seen.rindex(HIDE_CURSOR)
    last = ESCAPE.sub("", child.seen).splitlines()[-1]
    assert re.search(r"didact: stopped in epoch \d+, .*didact train --resume runs/\S+-1 goes on$", last)


def test_no_color_and_a_dumb_terminal(tmp_path: Path):
    child = Child(*TRAIN, "2", cwd=tmp_path, columns=100, NO_COLOR="1")
    assert child.end() == 0
    assert not COLOUR.search(child.seen)
    child = Child(*TRAIN, "2", cwd=tmp_path, columns=100, TERM="dumb")
    assert child.end() == 0
    assert not {"\033", "\r", "━"} & set(child.seen)


def test_a_pipe_gets_no_bar_whatever_force_color_says(tmp_path: Path):
    child = Child(*TRAIN, "2", cwd=tmp_path, FORCE_COLOR="1")
    assert child.end() == 0
    assert "epoch 2/2" in child.seen
    assert not {"\033", "\r", "━"} & set(child.seen + (tmp_path / "stdout").read_text())


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_tables_fit_the_window(tmp_path: Path, columns: int):
    child = Child("models", cwd=tmp_path, columns=columns, NO_COLOR="1")
    assert child.end() == 0
    assert "\033" not in child.seen
    assert not [line for line in child.seen.splitlines() if len(line) > columns and len(line.split()) > 2]
    assert "one score per class, linear in the input: the baseline of every classifier" in " ".join(
        child.seen.split()
    )


def test_headings_are_bold_on_a_terminal(tmp_path: Path):
    child = Child("data", cwd=tmp_path, columns=120)
    assert child.end() == 0
    assert child.seen.startswith("\033[1mdata  ")


@pytest.mark.parametrize(
    ("environment", "terminal", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, True),
    ],
)
def test_who_gets_colour(monkeypatch: pytest.MonkeyPatch, environment, terminal: bool, wanted: bool):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    assert table.wants_colour() == wanted


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch):
    """Make standard output a terminal so many columns wide."""

    def set_width(columns: int) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.delenv("FORCE_COLOR", raising=False)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    return set_width


ROWS = [("a", 5, "short"), ("bb", 1234, "one two three four five six seven eight nine ten")]


def test_a_table_in_a_pipe(capsys: pytest.CaptureFixture[str]):
    table.print_table(("name", "size", "words"), ROWS)
    assert capsys.readouterr().out == (
        "name  size  words\na        5  short\nbb    1234  one two three four five six seven eight nine ten\n"
    )


def test_a_table_whose_last_column_goes_on_below(capsys: pytest.CaptureFixture[str], window):
    window(42)
    table.print_table(("name", "size", "words"), ROWS)
    assert capsys.readouterr().out == (
        "name  size  words\na        5  short\n"
        "bb    1234  one two three four five six\n            seven eight nine ten\n"
    )


def test_a_table_that_becomes_blocks(capsys: pytest.CaptureFixture[str], window):
    window(30)
    table.print_table(("name", "size", "words"), ROWS)
    assert capsys.readouterr().out == (
        "a\n  size   5\n  words  short\n\n"
        "bb\n  size   1234\n  words  one two three four\n         five six seven eight\n         nine ten\n"
    )


def test_wide_letters_are_counted_as_wide(capsys: pytest.CaptureFixture[str]):
    table.print_table(("class", "count"), [("犬", 1), ("cat", 20)])
    assert capsys.readouterr().out == "class  count\n犬         1\ncat       20\n"


def test_an_empty_table(capsys: pytest.CaptureFixture[str]):
    table.print_table(("name", "size"), [])
    assert capsys.readouterr().out == "name  size\n"


def test_a_reader_that_has_seen_enough_is_no_failure():
    process = subprocess.Popen(
        [*COMMAND, "models"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert (process.wait(), process.communicate()[1]) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
def test_output_that_cannot_be_written_is_one_line(tmp_path: Path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "models"], stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "didact: No space left on device\n"
