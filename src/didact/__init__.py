"""didact trains every network that a deep-learning course teaches.

It shows what happens inside them and says why one is not learning. Nothing heavy is imported until it
is used, so that ``import didact`` and ``didact --help`` answer at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from didact.version import VERSION as __version__

_PUBLIC = {
    "CATALOG": "didact.catalog",
    "build": "didact.catalog",
    "inspect": "didact.anatomy.inspection",
    "open_data": "didact.data.open",
    "fit": "didact.train.fit",
    "cross_validate": "didact.train.fit",
    "load": "didact.train.run",
    "load_weights": "didact.train.weights",
    "replace_head": "didact.nn.head",
    "Recipe": "didact.train.recipe",
    "Run": "didact.train.run",
    "Doctor": "didact.doctor.doctor",
    "watch": "didact.doctor.doctor",
}

__all__ = [
    "CATALOG",
    "Doctor",
    "Recipe",
    "Run",
    "__version__",
    "build",
    "cross_validate",
    "fit",
    "inspect",
    "load",
    "load_weights",
    "open_data",
    "replace_head",
    "watch",
]

if TYPE_CHECKING:
    from didact.anatomy.inspection import inspect
    from didact.catalog import CATALOG, build
    from didact.data.open import open_data
    from didact.doctor.doctor import Doctor, watch
    from didact.nn.head import replace_head
    from didact.train.fit import cross_validate, fit
    from didact.train.recipe import Recipe
    from didact.train.run import Run, load
    from didact.train.weights import load_weights


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'didact' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
