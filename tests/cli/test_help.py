"""Help and version: an example first, every flag in it real, and an answer at once."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import COMMAND, ENVIRONMENT, Call

from didact.cli.main import COMMANDS, FLAGS
from didact.version import VERSION

LIGHT = """
import sys
from didact.cli.main import main
code = main({words})
heavy = {heavy} & set(sys.modules)
raise SystemExit(f"loaded {{heavy}}" if heavy else code)
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_help_opens_with_an_example_whose_flags_exist(call: Call, name: str):
    said = call(name, "--help")
    example = COMMANDS[name].example
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{example}\n\n")
    flags = set(re.findall(r"--[\w-]+", said.out))
    assert set(re.findall(r"--[\w-]+", example)) <= flags
    assert example.split()[:2] == ["didact", name]
    assert "-h, --help" in said.out


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",)])
def test_the_overview_opens_with_an_example_and_names_every_command(call: Call, words: tuple[str, ...]):
    said = call(*words)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("didact train   ")
    for name, about in {n: c.about for n, c in COMMANDS.items()}.items() | FLAGS.items():
        assert re.search(rf"^  {name} +{re.escape(about)}$", said.out, re.M)


def test_help_of_a_command_by_its_name(call: Call):
    assert call("help", "data") == call("data", "-h")


def test_train_help_lists_every_knob_with_its_choices(call: Call):
    from didact.train.recipe import recipe_types

    said = call("train", "--help").out
    for knob in set(recipe_types()) - {"model", "model_args", "task_args"}:
        assert re.search(rf"^  {knob} +\S", said, re.M), knob
    assert "(sgd, adam, adamw," in said
    assert "(best, last)" in said


@pytest.mark.parametrize("columns", ["60", "200"])
def test_help_keeps_to_the_window(call: Call, monkeypatch: pytest.MonkeyPatch, columns: str):
    monkeypatch.setenv("COLUMNS", columns)
    assert max(map(len, call("train", "--help").out.splitlines())) <= int(columns)


def test_version(call: Call):
    assert call("--version").out == f"didact {VERSION}\n"


def loads_none_of(heavy: set[str], *words: object) -> None:
    """Run a command in a fresh interpreter; these modules are not imported."""
    code = LIGHT.format(words=list(map(str, words)), heavy=heavy)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["train", "--help"], ["generate", "--help"]])
def test_help_loads_nothing_heavy(words: list[str]):
    loads_none_of({"torch", "numpy", "rich", "matplotlib", "sklearn", "PIL"}, *words)


@pytest.mark.parametrize("words", [["models"], ["data"], ["syllabus"]])
def test_lists_answer_without_torch(words: list[str]):
    loads_none_of({"torch", "numpy", "matplotlib", "sklearn", "PIL"}, *words)


def test_answers_do_not_wait_for_what_training_needs(text_run: Path):
    loads_none_of({"torch._dynamo", "sympy", "matplotlib", "tensorboard"}, "generate", text_run)


def test_help_answers_in_half_a_second_of_work():
    before = os.times()
    subprocess.run([*COMMAND, "--help"], env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    worked = after.children_user + after.children_system - before.children_user - before.children_system
    assert worked < 0.5
