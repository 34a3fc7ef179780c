"""The page of each cause: its example has the fault, the doctor names it, and the mended one is healthy."""

import ast
import functools
import re
import runpy
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from didact.doctor.codes import causes
from didact.doctor.doctor import Doctor
from didact.doctor.finding import Report
from didact.draw.style import to_svg

DOCS = Path(__file__).parents[2] / "docs"
pictures = SimpleNamespace(**runpy.run_path(str(DOCS / "doctor_pictures.py")))
PAGES: dict[str, Path] = pictures.pages()
HEADINGS = ["What you see", "Why it happens", "How the doctor knows", "What to do", "Example"]
HINTS = {"O03", "I04", "E06"}  # worth a look, by themselves no reason to doubt a run
LONGEST, DEAREST, LARGEST = 40, 60.0, 30_000  # lines and labours of an example, bytes of a picture
ALLOWED = {"torch", "sklearn", "numpy", "didact"} | sys.stdlib_module_names
NUMBER = re.compile(r"-?\d[\d.,e+-]*")
each_page = pytest.mark.parametrize("code", PAGES)


def text_of(code: str) -> str:
    return PAGES[code].read_text(encoding="utf-8")


def example(code: str) -> str:
    return str(pictures.example(PAGES[code]))


def watched(code: str, lines: str) -> tuple[Doctor, float]:
    """The doctor of an example, and how many labours it took: a slow machine is slow at both. One thread."""
    warm_up()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        before, start = labour(), time.thread_time()
        doctor, spent = pictures.trained(lines, code), time.thread_time() - start
        return doctor, 2 * spent / (before + labour())
    finally:
        torch.set_num_threads(threads)


def labour() -> float:
    """Processor seconds of a hundred updates of a small network that nobody watches, (32, 64) to (32, 10)."""
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer, x, y = torch.optim.SGD(model.parameters(), lr=0.1), torch.ones(32, 64), torch.arange(32) % 10
    start = time.thread_time()
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return time.thread_time() - start


@functools.cache
def warm_up() -> None:
    """Import once what torch and scikit-learn import late, and do its first work."""
    pictures.trained(example("A03"), "A03")
    labour()


def words(text: str) -> list[str]:
    """What stands there apart from the numbers."""
    return [word for word in NUMBER.sub("", text).split() if word not in ("nan", "inf", ",")]


# What a page holds


def test_every_code_has_a_page() -> None:
    assert sorted(PAGES) == sorted(causes())


@each_page
def test_title_and_sections(code: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", text_of(code), flags=re.M | re.S)
    assert re.findall(r"^# (.+)$", prose, re.M) == [f"{code}: {causes()[code].name}"]
    assert re.findall(r"^## (.+)$", prose, re.M) == HEADINGS
    for section in re.split(r"^## .+$", prose, flags=re.M)[1:5]:
        assert len(section.split()) >= 20
    assert max(map(len, prose.splitlines())) <= 120


@each_page
def test_the_example_is_short_plain_and_has_a_faulty_line(code: str) -> None:
    lines = example(code)
    imported = [node for node in ast.walk(ast.parse(lines)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {n.module if isinstance(n, ast.ImportFrom) else a.name for n in imported for a in n.names}
    assert {str(name).split(".")[0] for name in names} <= ALLOWED
    assert len(lines.splitlines()) <= LONGEST
    assert max(map(len, lines.splitlines())) <= 120
    assert lines.rstrip().endswith("print(doctor.report())")
    assert len(pictures.FAULT.findall(lines)) == lines.count("# mended: ") >= 1
    ast.parse(pictures.mended(lines))


# What the doctor says, and the picture


@each_page
def test_the_doctor_names_the_fault_and_finds_the_mended_example_healthy(code: str) -> None:
    """One test, so that no example runs twice."""
    faulty, labours = watched(code, example(code))
    healthy, more = watched(code, pictures.mended(example(code)))
    check_named(code, faulty.report())
    check_healthy(code, healthy.report())
    assert max(labours, more) < DEAREST
    check_said(code, faulty.report())
    check_picture(code, to_svg(pictures.draw(faulty, healthy, code)))


def check_named(code: str, report: Report) -> None:
    if code in HINTS:
        assert code in [finding.code for finding in report.findings], str(report)
    else:
        assert report.codes()[:1] == [code], str(report)


def check_healthy(code: str, report: Report) -> None:
    assert report.verdict == "healthy", str(report)
    assert not {code, "DOC"} & {finding.code for finding in report.findings}, str(report)


def check_said(code: str, report: Report) -> None:
    """All but the numbers, which differ a little from one processor to the next."""
    (said,) = pictures.BLOCK["text"].findall(text_of(code))
    assert words(said) == words(pictures.told(report, code))


def check_picture(code: str, drawn: str) -> None:
    """The same words; it is small, and the page shows it."""
    path = DOCS / "images" / "doctor" / f"{code.lower()}.svg"
    kept = words(" ".join(texts(path.read_text(encoding="utf-8"))))
    assert kept == words(" ".join(texts(drawn)))
    assert {"training", "mended", "update"} <= set(kept)
    assert path.stat().st_size <= LARGEST
    assert text_of(code).count(f"](../images/doctor/{path.name})") == 1


def texts(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_no_picture_is_left_over() -> None:
    drawn = {path.stem.upper() for path in (DOCS / "images" / "doctor").iterdir()}
    assert drawn == set(PAGES)


# The index


def test_the_index_lists_every_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS)
    table = runpy.run_path(str(DOCS / "generate.py"))["causes"]().splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]
    assert [row[0] for row in rows] == list(causes())
    for code, name, proof, notes in rows:
        assert name == f"[{causes()[code].name}](doctor/{code.lower()}.md)"
        assert proof == ("exact" if causes()[code].exact else "with a symptom")
        assert notes == causes()[code].notes
    assert "<!-- generated: causes -->" in (DOCS / "doctor.md").read_text(encoding="utf-8")
    assert "(doctor.md)" in (DOCS / "index.md").read_text(encoding="utf-8")
