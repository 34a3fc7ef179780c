"""Terminals, pipes and colour: what is drawn where, and nothing in the wrong place."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from commands import COMMAND, ENVIRONMENT, start

from didact.cli import table

ESCAPE = re.compile(r"\033\[[?\d;]*[A-Za-z]")
HIDE_CURSOR, SHOW_CURSOR = "\033[?25l", "\033[?25h"
COLOUR = re.compile(r"\033\[[\d;]+m")
TRAIN = ("train", "softmax-regression", "--epochs", "200")


def on_terminal(*words: object, cwd: Path, columns: int = 100, press: str = "", **environment: str):
    """Run a command on a terminal of its own; ``press`` is typed when the first epoch is done."""
    child, terminal = pty.fork()
    if not child:
        os.chdir(cwd)
        os.execve(COMMAND[0], [*COMMAND, *map(str, words)], ENVIRONMENT | environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    seen = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other side has closed
            break
        if not piece:
            break
        seen += piece
        if press and b"epoch" in seen and b"1/" in seen:
            os.write(terminal, press.encode())
            press = ""
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen.decode().replace("\r\n", "\n")


def test_a_terminal_gets_a_live_bar_and_is_left_tidy(tmp_path: Path):
    code, seen = on_terminal(*TRAIN, cwd=tmp_path)
    assert code == 0
    assert "━" in seen
    assert COLOUR.search(seen)
    assert seen.rindex(SHOW_CURSOR) > seen.rindex(HIDE_CURSOR)
    plain = ESCAPE.sub("", seen)
    assert len(re.findall(r"^.*epoch +\d+/200  train loss", plain, re.M)) == 200
    assert plain.endswith("report  runs/softmax-regression-iris-1/report.html\n")


def test_ctrl_c_on_a_terminal_gives_the_cursor_back(tmp_path: Path):
    code, seen = on_terminal(*TRAIN[:-1], "100000", cwd=tmp_path, press="\x03")
    assert code == 130
    assert seen.rindex(SHOW_CURSOR) > seen.rindex(HIDE_CURSOR)
    last = ESCAPE.sub("", seen).splitlines()[-1]
    assert re.search(r"didact: stopped in epoch \d+, .*didact train --resume runs/\S+-1 goes on$", last)


def test_no_color_and_a_dumb_terminal(tmp_path: Path):
    _, seen = on_terminal(*TRAIN[:-1], "2", cwd=tmp_path, NO_COLOR="1")
    assert not COLOUR.search(seen)
    code, seen = on_terminal(*TRAIN[:-1], "2", cwd=tmp_path, TERM="dumb")
    assert code == 0
    assert "\033" not in seen
    assert "━" not in seen


def test_a_pipe_gets_neither_bar_nor_colour_whatever_force_color_says(tmp_path: Path):
    with start(*TRAIN[:-1], "2", cwd=tmp_path, FORCE_COLOR="1") as process:
        out, err = process.communicate()
    assert process.returncode == 0
    assert "\033" not in out
    assert not {HIDE_CURSOR, "\r", "━"} & set(ESCAPE.findall(err) + list(err))
    assert "epoch 2/2" in err


def test_tables_fit_the_window(tmp_path: Path):
    for columns in (40, 80, 120):
        code, seen = on_terminal("models", cwd=tmp_path, columns=columns, NO_COLOR="1")
        assert code == 0
        assert "\033" not in seen
        too_wide = [line for line in seen.splitlines() if len(line) > columns and len(line.split()) > 2]
        assert not too_wide
        joined = " ".join(seen.split())
        assert "one score per class, linear in the input: the baseline of every classifier" in joined


def test_headings_are_bold_on_a_terminal(tmp_path: Path):
    assert on_terminal("data", cwd=tmp_path)[1].startswith("\033[1mdata  ")


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


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path: Path):
    process = start("models", cwd=tmp_path)
    process.stdout.close()  # type: ignore[union-attr]
    assert process.wait() == 0
    assert process.stderr.read() == ""  # type: ignore[union-attr]
    process.stderr.close()  # type: ignore[union-attr]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
def test_output_that_cannot_be_written_is_one_line(tmp_path: Path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "models"], stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "didact: No space left on device\n"
