"""``didact doctor``: scripts, modules, runs and codes; what goes where, and how it ends."""

import json
import os
import signal
from pathlib import Path

import pytest
from commands import Call, Child, refused

from didact.doctor.codes import causes
from didact.doctor.finding import Finding, Report

TRAIN = """
import sys, time
import torch
from torch import nn
torch.manual_seed(0)
X = torch.randn(400, 5)
y = (X.sum(1) > 0).long()
model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 2))
if "--soft" in sys.argv:
    model.append(nn.Softmax(-1))
optimizer = torch.optim.Adam(model.parameters(), 1e-2)
for k in range(100):
    i = torch.randint(400, (32,))
    loss = nn.functional.cross_entropy(model(X[i]), y[i])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if "--endless" in sys.argv and k == 80:
        print("at work", file=sys.stderr, flush=True)
        time.sleep(60)
print("done", sys.argv[1:])
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script that trains, in the directory we are in."""
    (tmp_path / "train.py").write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    return Path("train.py")


def test_a_healthy_script(call: Call, script: Path):
    said = call("doctor", script)
    assert (said.code, said.out) == (0, "done []\n")
    assert said.err.startswith("didact: healthy after 100 updates\n")


def test_its_own_arguments_stand_after_two_dashes(call: Call, script: Path):
    said = call("doctor", script, "--budget", 0, "--", "--debug", "--json", "--", "x")
    assert (said.code, said.out) == (0, "done ['--debug', '--json', '--', 'x']\n")
    refused(call("doctor", script, "--lr", 1), 2, "'--lr'", "stand after --: didact doctor train.py -- --lr")
    refused(call("doctor", script, "--jsn"), 2, "did you mean '--json'?")


def test_a_faulty_script(call: Call, script: Path):
    said = call("doctor", script, "--", "--soft")
    assert (said.code, said.out) == (1, "done ['--soft']\n")
    assert "didact: faulty after 100 updates\ncritical S02  a softmax" in said.err


def test_the_first_certain_fault_ends_it(call: Call, script: Path):
    said = call("doctor", script, "--fail-fast", "--", "--soft")
    assert (said.code, said.out) == (1, "")
    assert "stopped at the first certain fault" in said.err


@pytest.mark.parametrize("words", ["train.py --json", "--json train.py", "--json - train.py"])
def test_json_is_all_that_is_printed(call: Call, script: Path, words: str):
    said = call("doctor", *words.split(), "--", "--soft")
    report = json.loads(said.out)
    assert (said.code, report["verdict"], report["findings"][0]["code"]) == (1, "faulty", "S02")
    assert "done ['--soft']" in said.err


def test_json_alone_reaches_a_pipe(script: Path, tmp_path: Path):
    """The file behind standard output is set aside too, for programs that the script starts."""
    (tmp_path / "echo.py").write_text(TRAIN + "\nimport os; os.system('echo from a program')")
    child = Child("doctor", "echo.py", "--json", cwd=tmp_path)
    assert child.end() == 0
    assert json.loads((tmp_path / "stdout").read_text())["verdict"] == "healthy"
    assert "from a program\n" in child.seen


def test_files(call: Call, script: Path, tmp_path: Path):
    files = ["--json", "r.json", "--html", "r.html", "--plot", "r.svg"]
    said = call("doctor", script, *files, "--", "--soft")
    assert (said.code, said.out) == (1, "done ['--soft']\n")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["findings"][0]["code"] == "S02"
    page = (tmp_path / "r.html").read_text()
    assert "S02 a softmax before a loss that applies it" in page
    assert "<script" not in page
    drawn = any(finding["picture"] for finding in report["findings"])
    assert (tmp_path / "r.svg").exists() == drawn
    assert ("drawn: r.svg" if drawn else "not drawn: no finding has a picture") in said.err


def test_a_module(call: Call, script: Path):
    said = call("doctor", "-m", "train", "--", "--soft")
    assert (said.code, said.out) == (1, "done ['--soft']\n")
    refused(call("doctor", "-m", "train", "x"), 2, "put the module's own arguments after --")


@pytest.mark.parametrize(("end", "code"), [("sys.exit(3)", 3), ("raise ValueError('bad rows')", 1)])
def test_a_script_that_fails(call: Call, script: Path, end: str, code: int):
    script.write_text(TRAIN + end)
    said = call("doctor", script)
    assert said.code == 1
    assert f"didact: the script ended with exit code {code}\ndidact: healthy after 100 updates" in said.err
    assert ("ValueError: bad rows\n" in said.err) == (code == 1)


def test_a_script_that_trains_nothing(call: Call, script: Path):
    script.write_text("print('hello')")
    said = call("doctor", script, "--json")
    assert said.code == 1
    assert json.loads(said.out)["verdict"] == "unseen"
    assert "hello\ndidact: no training was seen: no optimizer of torch.optim made a step" in said.err


def test_ctrl_c_ends_it_with_the_verdict(script: Path, tmp_path: Path):
    child = Child("doctor", script, "--", "--endless", cwd=tmp_path)
    child.read(until="at work")
    os.kill(child.pid, signal.SIGINT)
    assert child.end() == 130
    assert "didact: stopped; this is what was seen so far\ndidact: healthy after 81 updates\n" in child.seen
    assert "Traceback" not in child.seen


def test_torchrun_hears_of_crashes_alone(call: Call, script: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert call("doctor", script, "--", "--soft").code == 0
    monkeypatch.setenv("RANK", "1")
    assert call("doctor", script, "--", "--soft").err == ""
    script.write_text("import sys; sys.exit(3)")
    assert call("doctor", script).code == 1


@pytest.mark.parametrize("code", causes())
def test_every_code_is_explained(call: Call, code: str):
    said = call("doctor", code.lower())
    cause = causes()[code]
    assert (said.code, said.err) == (0, "")
    words = " ".join(said.out.split())
    assert all(" ".join(part.split()) in words for part in (cause.name, cause.fix, cause.notes))


def test_what_a_cause_is_easily_taken_for_stands_wherever_it_is_told(call: Call, tmp_path: Path):
    unlike, alike = causes()["S02"], causes()["L04"].alike
    assert (unlike.alike, alike) == ((), ("P03", "L02"))
    assert all(causes()[code].name in " ".join(call("doctor", "L04").out.split()) for code in alike)
    assert "if it is not that" not in call("doctor", "S02").out
    report = Report((Finding("L04", "warning", {}), Finding("D04", "hint", {})))
    (tmp_path / "recipe.json").write_text("{}")
    report.to_json(tmp_path / "diagnosis.json")
    said = call("doctor", tmp_path, "--html", tmp_path / "r.html")
    assert said.out.count(f"if it is not that: P03 {causes()['P03'].name}; L02") == 1  # not of a hint
    assert (tmp_path / "r.html").read_text().count(f"If it is not that: P03 {causes()['P03'].name}; L02") == 1
    told = json.loads((tmp_path / "diagnosis.json").read_text())["findings"]
    assert [finding["alike"] for finding in told] == [["P03", "L02"], []]
    assert report.codes() == ["L04"]  # what nothing was found for is no finding


def test_the_list_of_codes(call: Call):
    said = call("doctor", "--codes", "--json")
    assert [entry["code"] for entry in json.loads(said.out)] == list(causes())
    assert len(causes()) == 60
    assert call("doctor", "--codes").out.count("\n") >= 60


def test_a_run(call: Call, tmp_path: Path):
    (tmp_path / "recipe.json").write_text("{}")
    refused(call("doctor", tmp_path), 1, "no diagnosis.json in it")
    finding = {"code": "S02", "cause": "c", "severity": "critical", "where": "", "evidence": {"loss": 1.5}}
    finding |= {"fix": "drop it", "notes": "n", "because": "", "seen": 5, "picture": {}}
    (tmp_path / "diagnosis.json").write_text(json.dumps({"verdict": "faulty", "findings": [finding]}))
    said = call("doctor", tmp_path)
    assert said.code == 1
    assert said.out.startswith("faulty\ncritical S02  a softmax")
    assert json.loads(call("doctor", tmp_path, "--json").out)["findings"] == [finding]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("", ["name a script"]),
        ("nowhere.py", ["nowhere.py: no such file"]),
        ("S0", ["neither a file nor a code", "didact doctor --codes"]),
        (".", ["neither a script nor a run"]),
        ("train.py --json train.txt", ["--json train.txt", ".json"]),
        ("train.py --html a.txt", ["--html a.txt", ".html"]),
        ("train.py --plot a.pdf", ["--plot a.pdf", ".svg or .png"]),
        ("train.py --budget 3", ["--budget 3.0", "from 0 to 1"]),
    ],
)
def test_wrong_words(call: Call, script: Path, words: str, parts: list[str]):
    refused(call("doctor", *words.split()), 2, *parts)
