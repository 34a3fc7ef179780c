"""The syllabus keeps its word: every row, path, test, command and page that it names exists."""

import argparse
import ast
import re
import shlex
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from didact.catalog import CATALOG
from didact.cli.main import COMMANDS, Parser, main
from didact.data.embedded import EMBEDDED
from didact.data.facts import Facts
from didact.data.open import open_data
from didact.errors import DidactError
from didact.syllabus.search import Concept, concepts, search
from didact.train.recipe import Recipe
from didact.train.run import build_for, make_task
from didact.train.weights import Weights

ROOT = Path(__file__).parents[2]
CURRICULUM = (Path(__file__).parent / "curriculum_ids.txt").read_text().split()
COMMAND_LINES = sorted({concept.run for concept in concepts() if concept.run})

every_concept = pytest.mark.parametrize("concept", concepts(), ids=lambda concept: concept.id)


def found(words: str) -> list[str]:
    return [concept.id for concept in search(words)]


# The entries


def test_ids_are_unique_and_kebab_case():
    ids = [concept.id for concept in concepts()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in ids)
    titles = [concept.title for concept in concepts()]
    assert len(set(titles)) == len(titles)


def test_the_list_of_rows_is_whole():
    assert len(CURRICULUM) == len(set(CURRICULUM)) == 799
    assert all(re.fullmatch(r"[ab]:[a-z0-9-]+", row) for row in CURRICULUM)


def test_a_row_is_covered_once_and_exists():
    covered = [row for concept in concepts() for row in concept.covers]
    assert sorted(set(covered)) == sorted(covered)
    assert set(covered) <= set(CURRICULUM)


@every_concept
def test_a_concept_is_proven_or_told(concept: Concept):
    assert concept.covers
    assert (concept.code and concept.tests and concept.run) or concept.docs
    assert bool(concept.code) == bool(concept.tests)


@every_concept
def test_code_resolves(concept: Concept):
    for place in concept.code:
        module, names = place.split(":")
        thing = import_module(module)
        for name in names.split("."):
            thing = getattr(thing, name)


@cache
def functions_in(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


@every_concept
def test_tests_exist(concept: Concept):
    for node in concept.tests:
        path, name = node.split("::")
        assert (ROOT / path).is_file(), node
        assert name in functions_in(ROOT / path), node


@cache
def anchors_of(path: Path) -> set[str]:
    """The headings of a page as anchors, what stands in code left out."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_concept
def test_pages_have_the_heading(concept: Concept):
    for place in concept.docs:
        path, anchor = place.split("#")
        assert (ROOT / path).is_file(), place
        assert anchor in anchors_of(ROOT / path), place


# The commands


@cache
def facts_of(data: str) -> Facts:
    return open_data(data).facts


class Reached(DidactError):
    """Training would begin now."""

    exit_code = 77


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """The recipes that ``didact train`` came to; it goes no further."""
    made: list[Recipe] = []

    def stop(recipe: Recipe, *_: object, **__: object) -> None:
        made.append(recipe)
        raise Reached("training")

    monkeypatch.setattr("didact.train.fit.fit_recipe", stop)
    return made


def parse(words: list[str]) -> argparse.Namespace:
    """Parse as the command itself does."""
    parser = Parser(prog=f"didact {words[0]}", allow_abbrev=False)
    import_module(f"didact.cli.{words[0]}").add_arguments(parser)
    return parser.parse_strictly(words[1:])


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_commands_are_understood(line: str, recipes: list[Recipe], monkeypatch: pytest.MonkeyPatch):
    """Each one in a row is parsed; what is to be trained is assembled up to the first update."""
    trained: list[str] = []

    def left_by_an_earlier_command(source: str, model: str) -> Weights:
        assert source.removeprefix("runs/") in trained, "weights may come only from a run before"
        made_by = {"model": model, "arguments": {}, "facts": facts_of(recipes[0].data).to_dict()}
        return Weights(source, Path(source), made_by)

    monkeypatch.setattr("didact.train.weights.find_weights", left_by_an_earlier_command)
    for command in line.split(" && "):
        program, *words = shlex.split(command)
        assert program == "didact"
        assert words[0] in COMMANDS
        arguments = vars(parse(words))
        if words[0] == "train":
            assert main(words) == Reached.exit_code
            recipe = recipes[-1]
            facts = facts_of(recipe.data)
            make_task(recipe, facts)
            if "image_size" not in recipe.origin:  # the facts here are of images as they are
                build_for(recipe, facts)
            number = sum(name.startswith(f"{recipe.model}-{recipe.data}-") for name in trained) + 1
            trained.append(f"{recipe.model}-{recipe.data}-{number}")
        for run in (arguments[name] for name in ("run", "first", "second") if arguments.get(name)):
            assert run.removeprefix("runs/") in trained, "a command may read only what one before it left"
        if words[0] == "models":
            assert arguments["model"] in CATALOG
        if words[0] == "data":
            assert arguments["source"] in EMBEDDED


def test_every_architecture_is_in_the_syllabus():
    for name, entry in CATALOG.items():
        assert any(entry.target in concept.code for concept in concepts()), name
        assert any(f"didact train {name}" in concept.run for concept in concepts()), name


# Search


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("dropout", "dropout"),
        ("adam", "adam"),
        ("early stopping", "early-stopping"),
        ("Early_Stopping", "early-stopping"),
        ("batch", "minibatches"),
        ("relu", "relu"),
        ("test set", "test-set-once"),
        ("gpu", "what-made-it-possible"),
        ("learning rate", "step-decay"),
        ("learning curves", "learning-curves"),
        ("a:lr-plateau", "plateau"),
        ("clip_norm", "gradient-clipping"),
        ("cnn", "why-convolutions"),
    ],
)
def test_a_word_is_found(words: str, first: str):
    assert first in found(words)[:2]


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("droput", "dropout"),
        ("optimisers", "optimizers"),
        ("regularization", "weight-decay"),
        ("sofmax", "softmax"),
        ("early stoping", "early-stopping"),
    ],
)
def test_a_misspelt_word_is_taken_for_the_nearest(typo: str, meant: str):
    assert meant in found(typo)[:2]


def test_every_word_must_be_there():
    assert set(found("learning rate plateau")) == {"plateau"}
    assert found("zzyzx") == []
    assert found("dropout zzyzx") == []


def test_without_words_all_come_in_course_order():
    assert found("") == [concept.id for concept in concepts()]


@every_concept
def test_a_concept_is_found_by_its_id_and_prints_whole(concept: Concept):
    assert concept.id in found(concept.id)
    for part in (concept.title, *concept.covers, *concept.code, *concept.tests, concept.run, *concept.docs):
        assert part in str(concept)
    assert concept.to_dict()["id"] == concept.id
