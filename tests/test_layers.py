"""Imports point down the layers, each room keeps to its own, and the packages that break others stay out.

    nn  <  models, data  <  catalog  <  tasks  <  train  <  recipes  <  cli, studio

The rooms at the side: ``anatomy``, ``doctor`` and ``see`` know ``nn`` only, so that they serve any model;
``draw`` and ``syllabus`` know nothing of ours, so that numbers can be had without pictures. Everyone may
raise ``errors`` and say the ``version``. Every import statement counts, inside functions and under
``TYPE_CHECKING`` too; but to name matplotlib's ``Figure`` in a type is not to draw, and what is never
executed loads nothing.
"""

import ast
import functools
import shutil
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).parents[1] / "src" / "didact"

TOOLS = {"anatomy", "doctor", "see"}
BELOW_TASKS = {"nn", "models", "data", "entry", "catalog"}
BELOW_TRAIN = BELOW_TASKS | {"tasks", "draw"}
BELOW_RECIPES = BELOW_TRAIN | TOOLS | {"train"}
MAY_IMPORT: dict[str, set[str]] = {  # room: the rooms it may import, besides itself, errors and version
    "errors": set(),
    "version": set(),
    "nn": set(),
    "draw": set(),
    "syllabus": set(),
    "anatomy": {"nn", "draw"},
    "doctor": {"nn", "draw"},
    "see": {"nn", "draw"},
    "models": {"nn"},
    "data": {"nn"},
    "entry": set(),
    "catalog": {"nn", "models", "data", "entry"},
    "tasks": BELOW_TASKS | {"draw"},
    "train": BELOW_TRAIN | TOOLS,
    "recipes": BELOW_RECIPES,
    "cli": BELOW_RECIPES | {"recipes", "syllabus"},
    "studio": BELOW_RECIPES | {"recipes"},
}
ONLY_IN = {"matplotlib": "draw", "mpl_toolkits": "draw"}
NOWHERE = {"torchvision", "torchmetrics", "timm", "lightning", "pytorch_lightning"}  # DESIGN.md, section 9


def broken_imports(root: Path = ROOT) -> list[str]:
    """One line for each import that breaks a rule: who, what, why."""
    bad = []
    for path in sorted(root.rglob("*.py")):
        me = path.relative_to(root.parent).with_suffix("").parts
        for target, typing_only in imports(path.read_text()):
            why = objection(root, me, target, typing_only)
            if why:
                bad.append(f"{'.'.join(me)} imports {target}: {why}")
    return bad


@functools.cache
def imports(text: str) -> list[tuple[str, bool]]:
    """Every imported name in full (``from a.b import c``: ``a.b.c``); whether only type checkers see it."""
    tree, found = ast.parse(text), []
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if is_type_checking(node)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in for_types) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            found += [(f"{source}.{alias.name}", id(node) in for_types) for alias in node.names]
    return found


def is_type_checking(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def objection(root: Path, me: tuple[str, ...], target: str, typing_only: bool) -> str | None:
    """Why a module may not import a name, or None."""
    parts = tuple(target.split("."))
    room = room_of(me)
    if not parts[0]:
        return "relative"
    if parts[0] in NOWHERE:
        return "breaks where it does not match torch"
    if parts[0] in ONLY_IN:
        return None if typing_only or room == ONLY_IN[parts[0]] else f"only {ONLY_IN[parts[0]]} may"
    if parts[0] != root.name or room == root.name:  # not ours; or didact/__init__, which names everything
        return None
    if is_own_package(root, me, parts):
        return "its own package"
    if room not in MAY_IMPORT or parts[1] not in MAY_IMPORT:
        return "a room without a rule; add it to MAY_IMPORT"
    allowed = MAY_IMPORT[room] | {room, "errors", "version"}
    return None if parts[1] in allowed else f"{room} may import {', '.join(sorted(allowed))}"


def room_of(me: tuple[str, ...]) -> str:
    """``didact/train/loop`` is in ``train``, ``didact/catalog`` in ``catalog``, ``__main__`` in ``cli``."""
    return {"__init__": me[0], "__main__": "cli"}.get(me[1], me[1])


def is_own_package(root: Path, me: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Whether the name is read from the ``__init__`` of a package that the module lies in."""

    def is_module(name: tuple[str, ...]) -> bool:
        path = root.parent.joinpath(*name)
        return path.is_dir() or path.with_suffix(".py").exists()

    package = parts if is_module(parts) else parts[:-1]
    return root.parent.joinpath(*package).is_dir() and me[: len(package)] == package


def test_imports_keep_the_layers():
    assert broken_imports() == []


def test_the_table_itself_points_down():
    for room, below in MAY_IMPORT.items():
        assert room not in below
        for lower in below:
            assert room not in MAY_IMPORT[lower], f"{room} and {lower} import each other"
            assert MAY_IMPORT[lower] <= below, f"{room} imports {lower} but not all that {lower} imports"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A copy of the package to plant imports in, and what is wrong with it before."""
    root = tmp_path_factory.mktemp("planted") / "didact"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns("__pycache__"))
    return root, broken_imports(root)


def found_after_planting(copy: tuple[Path, list[str]], where: str, planted: str) -> list[str]:
    """What is found when these lines end a module, made where there is none; then the copy is restored."""
    root, before = copy
    path = root / where
    text = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{text or ''}\n{planted}\n")
    found = [line for line in broken_imports(root) if line not in before]
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    return found


@pytest.mark.parametrize(
    ("where", "planted", "caught"),
    [
        ("models/linear/mlp.py", "from didact import train", "models may import"),
        ("models/linear/mlp.py", "from didact.train import loop", "models may import"),
        ("models/linear/mlp.py", "from didact.train.loop import Loop", "models may import"),
        ("models/linear/mlp.py", "import didact.train.loop as loop", "models may import"),
        ("models/linear/mlp.py", "def f():\n    from didact import catalog", "models may import"),
        ("models/linear/mlp.py", "from didact.data.facts import Facts", "models may import"),
        ("data/facts.py", "from didact.models.linear.mlp import MLP", "data may import"),
        ("data/facts.py", "if TYPE_CHECKING:\n    from didact.tasks import task", "data may import"),
        ("nn/recurrent.py", "from didact.models.cnn import lenet", "nn may import"),
        ("errors.py", "from didact.nn import activation", "errors may import"),
        ("catalog.py", "from didact.tasks import task", "catalog may import"),
        ("draw/planted.py", "from didact.tasks import task", "draw may import"),
        ("doctor/planted.py", "from didact.train import loop", "doctor may import"),
        ("see/planted.py", "from didact.models import planted", "see may import"),
        ("studio/planted.py", "from didact.cli import main", "studio may import"),
        ("train/planted.py", "from didact.syllabus import planted", "train may import"),
        ("attic/planted.py", "from didact.nn import activation", "a room without a rule"),
        ("models/linear/mlp.py", "from . import softmax_regression", "relative"),
        ("models/linear/mlp.py", "from .softmax_regression import SoftmaxRegression", "relative"),
        ("models/linear/mlp.py", "from didact import build", "its own package"),
        ("models/linear/mlp.py", "import didact", "its own package"),
        ("models/linear/mlp.py", "from didact.models import MLP", "its own package"),
        ("models/linear/mlp.py", "from didact.models.linear import MLP", "its own package"),
        ("models/linear/mlp.py", "import matplotlib.pyplot as plt", "only draw may"),
        ("tasks/planted.py", "def plot():\n    from matplotlib import pyplot", "only draw may"),
        ("data/planted.py", "from torchvision.transforms import v2", "breaks where"),
        ("see/planted.py", "if TYPE_CHECKING:\n    import timm", "breaks where"),
        ("train/planted.py", "import torchmetrics", "breaks where"),
    ],
)
def test_a_planted_import_is_caught(copy: tuple[Path, list[str]], where: str, planted: str, caught: str):
    found = found_after_planting(copy, where, planted)
    assert len(found) == 1
    assert caught in found[0]


@pytest.mark.parametrize(
    ("where", "planted"),
    [
        ("models/generate/gan.py", "from didact.models.linear import mlp"),
        ("models/generate/gan.py", "from didact import errors"),
        ("data/facts.py", "from didact import nn"),
        ("draw/planted.py", "import matplotlib.pyplot as plt"),
        ("tasks/planted.py", "if TYPE_CHECKING:\n    from matplotlib.figure import Figure"),
        ("cli/planted.py", "from didact.syllabus import planted"),
        ("train/planted.py", "from didact.doctor import planted"),
        ("__init__.py", "from didact.train.fit import fit"),
    ],
)
def test_an_import_that_is_allowed_passes(copy: tuple[Path, list[str]], where: str, planted: str):
    assert found_after_planting(copy, where, planted) == []
