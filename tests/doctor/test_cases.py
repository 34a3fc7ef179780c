"""Twelve faults of known repositories: each is real, its thread is named, and the doctor finds the cause."""

import ast
import contextlib
import functools
import io
import json
import os
import re
import runpy
import subprocess
import sys
import time
import tomllib
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "doctor"
CASES: dict[str, dict[str, Any]] = {
    case["script"]: case
    for case in tomllib.loads((FOLDER / "cases.toml").read_text(encoding="utf-8"))["case"]
}
ALLOWED = {"torch", "sklearn", "numpy"} | sys.stdlib_module_names
each_case = pytest.mark.parametrize("script", CASES)
QUICK = ("lightning_bolts.py", "texar.py")
each_run = pytest.mark.parametrize(
    "script", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES]
)


@functools.cache
def ran(script: str, fixed: bool) -> tuple[dict[str, float], float]:
    """The scores that a script printed, by what stands before them, and its processor seconds."""
    printed, start = io.StringIO(), time.process_time()
    words = [script, "--fixed"] if fixed else [script]
    with (
        mock.patch.object(sys, "argv", words),
        contextlib.redirect_stdout(printed),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        runpy.run_path(str(FOLDER / script), run_name="__main__")
    scores = re.findall(r"^([a-z].*) (-?\d+\.\d+)$", printed.getvalue(), re.M | re.I)
    return {label: float(number) for label, number in scores}, time.process_time() - start


def diagnosis(script: str, *words: str) -> dict[str, Any]:
    """What the doctor says of a script run with those words."""
    command = [sys.executable, "-m", "didact", "doctor", str(FOLDER / script), "--json", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert "{" in said.stdout, said.stderr
    return json.loads(said.stdout[said.stdout.index("{") :])


def test_twelve_different_codes_and_every_script_in_the_table() -> None:
    assert len({case["code"] for case in CASES.values()}) == len(CASES) == 12
    assert set(CASES) == {path.name for path in FOLDER.glob("*.py")}


@each_case
def test_its_card_says_what_the_table_says(script: str) -> None:
    case, card = CASES[script], ast.get_docstring(ast.parse((FOLDER / script).read_text(encoding="utf-8")))
    said = dict(re.findall(r"^(Repository|Thread|Wrong|Mended|Expected): (.+)$", card or "", re.M))
    assert (said["Repository"], said["Thread"], said["Expected"]) == (
        case["repository"],
        case["url"],
        case["code"],
    )
    assert re.fullmatch(
        rf"https://github\.com/{re.escape(case['repository'])}/(issues|pull)/\d+", case["url"]
    )
    assert {"Wrong", "Mended"} <= set(said)
    assert case["code"] in case["accepted"]
    assert case["sentence"].endswith(".")
    assert case["proof"]


@each_case
def test_it_is_a_plain_script(script: str) -> None:
    text = (FOLDER / script).read_text(encoding="utf-8")
    imported = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {n.module if isinstance(n, ast.ImportFrom) else a.name for n in imported for a in n.names}
    assert {str(name).split(".")[0] for name in names} <= ALLOWED
    assert "didact" not in text
    assert 40 <= len(text.splitlines()) <= 90


@each_run
def test_the_fault_is_real(script: str) -> None:
    case = CASES[script]
    (faulty, seconds), (fixed, more) = ran(script, False), ran(script, True)
    if "reported" in case:
        astray = [abs(scores[case["reported"]] - scores[case["true"]]) for scores in (faulty, fixed)]
        assert astray[0] >= case["gap"] > 2 * astray[1]
    else:
        assert fixed[case["score"]] - faulty[case["score"]] >= case["gap"]
    assert seconds + more < 40


@each_run
def test_the_doctor_names_the_cause(script: str) -> None:
    said = diagnosis(script)
    assert said["verdict"] != "healthy"
    assert said["findings"][0]["code"] in CASES[script]["accepted"], said["findings"]


@pytest.mark.slow
@each_case
def test_the_doctor_finds_the_mended_script_healthy(script: str) -> None:
    said = diagnosis(script, "--", "--fixed")
    assert said["verdict"] == "healthy", said["findings"]
