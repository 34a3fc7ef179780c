"""The README keeps its word: every command works in order, the code runs, the sample is what is printed."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from didact.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


COMMANDS = [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the reader's own data in it: flowers, patients, a corpus, and new ones of each."""
    folder = tmp_path_factory.mktemp("reader")
    numbers = np.random.default_rng(0)
    for name, tint in (("rose", (200, 20, 60)), ("violet", (90, 20, 200))):
        (folder / "flowers" / name).mkdir(parents=True)
        for k in range(8):
            noise = numbers.integers(0, 50, (40, 40, 3), dtype=np.uint8)
            image = Image.fromarray(noise + np.array(tint, np.uint8))
            image.save(folder / "flowers" / name / f"{k}.jpg")
            image.save(folder / "new.jpg")
    rows = [f"{40 + k},{'yes' if k % 3 else 'no'},{'ill' if k % 2 else 'well'}" for k in range(40)]
    (folder / "patients.csv").write_text("\n".join(["age,smokes,outcome", *rows]))
    (folder / "new.csv").write_text("smokes,age\nno,51\n")
    (folder / "corpus.txt").write_text("The quick brown fox jumps over the lazy dog. " * 100)
    return folder


def test_it_is_short():
    lines = README.splitlines()
    assert len(lines) < 150
    assert max(len(line) for line in lines if not line.startswith("|")) <= 120


def test_every_command_works_in_order(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(workplace)
    ours = [words[1:] for words in COMMANDS if words[0] == "didact"]
    assert len(ours) >= 15
    for words in ours:
        shorter = ["--epochs", "1"] if words[0] == "train" and not {"--resume", "--help"} & set(words) else []
        code = main([*words, *shorter])
        said = capsys.readouterr()
        assert code == 0, f"didact {' '.join(words)}: {said.err}"
        assert said.out
    named = re.findall(r"runs/[\w-]+", " ".join(word for words in ours for word in words))
    assert {Path(run).name for run in named} <= {run.name for run in (workplace / "runs").iterdir()}


def test_the_other_commands_are_known():
    others = [words for words in COMMANDS if words[0] != "didact"]
    assert others == [
        ["pip", "install", "torch", "--index-url", "https://download.pytorch.org/whl/cpu"],
        ["pip", "install", "didact"],
    ]
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"`make (\w+)`", README)) <= set(targets)


def test_the_sample_is_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (sample,) = blocks("console")
    command, called, *shown = sample.splitlines()
    assert command == "$ make demo"
    assert called == ".venv/bin/didact train"
    assert "\ndemo: .venv/core\n\t$(BIN)/didact train\n" in (ROOT / "Makefile").read_text()
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--epochs", "2"]) == 0
    said = capsys.readouterr()
    printed = said.err.splitlines() + said.out.splitlines()
    shown.remove("...")
    assert len(printed) == len(shown)
    for line, form in zip(printed, shown, strict=True):
        assert re.fullmatch(pattern(form), line), f"{line!r} does not have the form of {form!r}"


def pattern(line: str) -> str:
    """The form of a line: other numbers, another device, another time left, a star or none."""
    form = re.escape(line.removesuffix(" *"))
    form = re.sub(r"\\ +\d+\\ s\\ left", ".*", form)
    form = re.sub(r"(\\ )*\d[\d,]*", r" *[\\d,]+", form)
    return form.replace("on\\ cpu", "on .+") + r"(.* left)?( \*)?"


def test_the_code_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(workplace)
    names: dict[str, object] = {}
    for code in blocks("python"):
        exec(compile(code, "README.md", "exec"), names)
    accuracy, page = capsys.readouterr().out.split()
    assert float(accuracy) > 0.8
    assert Path(page).is_file()


def test_the_sample_of_the_doctor_is_what_is_printed(capsys: pytest.CaptureFixture[str]):
    (sample,) = blocks("text")
    command, _, said = sample.partition("\n")
    assert main(shlex.split(command)[2:]) == 0
    assert capsys.readouterr().out == said


def test_a_run_holds_the_files_that_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    listed = (ROOT / "docs/runs.md").read_text(encoding="utf-8").partition("## ")[0]
    run = tmp_path / "run"
    assert main(["train", "softmax-regression", "--epochs", "1", "--quiet", "--out", str(run)]) == 0
    capsys.readouterr()
    files = {file.name for file in run.iterdir()} - {"events"}  # for TensorBoard, where that is installed
    assert set(re.findall(r"^\| `([\w.]+)` ", listed, re.M)) - {"healed.json"} == files


def test_links_lead_somewhere():
    headings = {
        line.lstrip("# ").lower().replace(" ", "-") for line in README.splitlines() if line[:1] == "#"
    }
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert len(links) > 10
    for link in links:
        if link.startswith("#"):
            assert link[1:] in headings
        elif not link.startswith("http"):
            assert (ROOT / link).exists(), link
