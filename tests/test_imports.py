"""didact imports anywhere: beside packages that are broken, without torch, and in silence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BROKEN = ("torchvision", "torchmetrics", "timm", "lightning", "pytorch_lightning")

IMPORT_EVERYTHING = """
import pkgutil
from importlib import import_module
import didact
names = [m.name for m in pkgutil.walk_packages(didact.__path__, "didact.") if not m.name.endswith("__main__")]
for name in ["didact", *names]:
    import_module(name)
assert "didact.models.cnn.lenet" in names
"""

HEAVY = """
import sys
import didact, didact.catalog, didact.errors
assert didact.__version__ and didact.CATALOG and "fit" in dir(didact)
loaded = {"torch", "numpy", "matplotlib", "sklearn", "PIL", "rich"} & set(sys.modules)
assert not loaded, loaded
"""


def python(code: str, *path: Path) -> str:
    """Run code in a fresh interpreter and return all it wrote."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder of packages that raise when they are imported, as torchvision does beside another torch."""
    for name in BROKEN:
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    return tmp_path


def test_the_broken_packages_are_broken(broken: Path):
    with pytest.raises(AssertionError, match="operator torchvision::nms does not exist"):
        python("import torchvision", broken)


def test_every_module_imports_in_silence_beside_a_broken_torchvision(broken: Path):
    assert python(IMPORT_EVERYTHING, broken) == ""


def test_import_didact_is_light_and_silent():
    assert python(HEAVY) == ""
