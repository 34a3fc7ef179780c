"""The site builds without a warning, its links lead somewhere, and what it shows runs."""

import json
import re
import shlex
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from didact.errors import DidactError
from didact.syllabus.search import concepts
from didact.train.weights import Weights

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"^(?:\$ )?didact (\S.*?)(?: {3,}.*)?$", re.M)  # an explanation stands three blanks off
ELSEWHERE = re.compile(r"(?<![\w./:-])/(?:home|root|tmp|work|usr|etc|opt|Users|mnt)/")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))


def blocks(page: Path, *languages: str) -> list[str]:
    return [code for language, code in BLOCK.findall(page.read_text()) if language in languages]


# The one block of a cause's page is run, and what it prints is compared, by tests/doctor/test_pages.py.
RUNS = [page for page in PAGES if page.parent.name != "doctor" and blocks(page, "python")]
each_that_runs = pytest.mark.parametrize("page", RUNS, ids=lambda page: str(page.relative_to(DOCS)))


# The site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    for package in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(package, reason="pip install 'didact[docs]'")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", out / ".doctrees", DOCS, out]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return out


def test_every_page_is_built(site: Path):
    for page in PAGES:
        assert (site / page.relative_to(DOCS)).with_suffix(".html").is_file()


def test_links_lead_to_pages_and_headings_that_exist(site: Path):
    ids = {page: set(re.findall(r'\bid="([^"]+)"', page.read_text())) for page in site.rglob("*.html")}
    for page in ids:
        for link in re.findall(r'<a [^>]*href="([^"]+)"', page.read_text()):
            target, _, anchor = unescape(link).partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            there = (page.parent / target).resolve() if target else page
            assert there.is_file(), f"{page.name}: {link}"
            assert not anchor or there not in ids or anchor in ids[there], f"{page.name}: {link}"


def test_the_headings_that_the_syllabus_names_exist(site: Path):
    for place in (place for concept in concepts() for place in concept.docs):
        page, anchor = place.removeprefix("docs/").split("#")
        assert f'id="{anchor}"' in (site / page).with_suffix(".html").read_text(), place


def test_nothing_is_loaded_from_elsewhere(site: Path):
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=\"([^\"]+)\"", page.read_text()
        )
        assert not [address for address in loaded if address.startswith(("http", "//"))], page.name


def test_the_site_holds_what_the_code_says(site: Path):
    from didact.catalog import CATALOG
    from didact.cli.main import COMMANDS
    from didact.train.recipe import knob_docs

    pages = {name: unescape((site / f"{name}.html").read_text()) for name in ("models", "recipes", "cli")}
    assert all(f"{entry.parameters:,}" in pages["models"] for entry in CATALOG.values())
    assert all(f">{knob}<" in pages["recipes"] for knob in knob_docs() if not knob.endswith("_args"))
    assert all(command.about in pages["cli"] for command in COMMANDS.values())
    assert "generated:" not in "".join(pages.values())


def test_what_a_classifier_reached_stands_in_the_table_of_classifiers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(DOCS)
    import generate

    score = {"accuracy": {"mean": 0.9907, "deviation": 0.0042, "each": []}}
    (tmp_path / "bars.json").write_text(
        json.dumps({"classifier:lenet5": {"seeds": 5, "seconds": 10, "scores": score}})
    )
    monkeypatch.setattr(generate, "MEASURED", tmp_path / "bars.json")
    known = generate.figures.published()
    few = {name: known[name] for name in ("lenet5", "googlenet", "wrn28-10")}
    monkeypatch.setattr(generate.figures, "published", lambda: few)
    lenet5, googlenet, wrn = generate.classifiers().splitlines()[2:]
    assert "| 0.991 ± 0.004, n = 5, 10 s |" in lenet5
    assert "| 13,004,888 | 6,624,904 (torchvision 0.29, auxiliary=False) | 1.498 G at 224 |" in googlenet
    assert "| about 36,500,000 (the paper) | 5.243 G at 32 |  | 10.49 G |  | none published |" in wrn
    assert len(generate.bars().splitlines()) == 2  # headings


def test_no_page_holds_a_path_of_one_machine(site: Path):
    sources = [*PAGES, *DOCS.glob("*.py"), ROOT / "CONTRIBUTING.md"]
    for page in [*sources, *site.rglob("*.html")]:
        text = page.read_text()
        assert not ELSEWHERE.search(text), page
        assert str(ROOT) not in text, page


# What it shows


@each_that_runs
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The blocks of a page, one after the other, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    name = f"page_{page.stem}"  # dataclasses look their module up
    module = type(sys)(name)
    monkeypatch.setitem(sys.modules, name, module)
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), vars(module))


class Reached(DidactError):
    """Training would begin now."""

    exit_code = 77


@every_page
def test_commands_are_understood(page: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """Every ``didact ...`` is parsed; a training is assembled up to where its data would be opened."""
    from didact.cli.main import COMMANDS, main

    monkeypatch.syspath_prepend(DOCS)
    from generate import parser_of

    def stop(*_: object, **__: object) -> None:
        raise Reached("training")

    monkeypatch.setattr("didact.train.heal.fit_recipe", stop)  # before what it imports it from
    monkeypatch.setattr("didact.train.fit.fit_recipe", stop)
    monkeypatch.setattr("didact.train.weights.find_weights", lambda source, _: Weights(source, Path(source)))
    for line in (line for block in blocks(page, "console", "text") for line in COMMAND.findall(block)):
        name, *words = shlex.split(line, comments=True)
        assert name in COMMANDS, line
        if "--help" in words:
            continue
        parsed = vars(parser_of(name).parse_strictly(words))
        if name == "train" and not parsed["resume"]:
            assert main([name, *words]) == Reached.exit_code, line


def test_each_page_has_one_title():
    for page in PAGES:
        text = BLOCK.sub("", page.read_text())
        assert len(re.findall(r"^# ", text, re.M)) == 1, page
