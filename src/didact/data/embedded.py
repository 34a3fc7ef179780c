"""Data sets that need no download: real ones from scikit-learn and Python itself, and the notes' toy problem.

Nothing heavy is imported until a set is read, so that they can be listed at once.
"""

import ast
import re
import sysconfig
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType

from didact.data.raw import Part, Raw
from didact.errors import DataError

PACKAGES = ("asyncio", "email", "importlib", "logging", "unittest", "xml")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
BLANK_LINE = re.compile(r"\n\s*\n")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
LETTERS = re.compile(r"[A-Za-z]{2,}")
SHORTEST = 4  # words; a shorter sentence says too little to tell its package


@dataclass(frozen=True)
class Embedded:
    """One embedded data set.

    Attributes:
        about: One line for a newcomer.
        task: What is learned on it: classify, regress, language or adversarial.
        read: Read it.
    """

    about: str
    task: str
    read: Callable[[], Raw]


def _digits() -> Raw:
    import numpy as np
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    names = tuple(str(name) for name in bunch.target_names)
    part = Part(list(images), [names[label] for label in bunch.target])
    return Raw("digits", "image", "class", {"all": part}, names, target_name="digit", about=_about("digits"))


def _classes(name: str, target_name: str) -> Raw:
    """A table of scikit-learn's whose last column is a class."""
    from sklearn import datasets

    bunch = getattr(datasets, "load_" + name.replace("-", "_"))()
    names = tuple(str(word) for word in bunch.target_names)
    part = Part(_rows(bunch.feature_names, bunch.data), [names[label] for label in bunch.target])
    return Raw(name, "table", "class", {"all": part}, names, target_name=target_name, about=_about(name))


def _diabetes() -> Raw:
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)  # the scaled form was fitted on every row, those of the test too
    part = Part(_rows(bunch.feature_names, bunch.data), bunch.target.tolist())
    return Raw(
        "diabetes", "table", "number", {"all": part}, target_name="progression", about=_about("diabetes")
    )


def _manual() -> Raw:
    """One document a topic. A paragraph stands only in the first topic that has it: no split repeats one."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise DataError("data 'manual' is read from Python's pydoc_data, which this Python lacks") from None
    owner: dict[str, str] = {}
    documents: dict[str, str] = {}
    for topic in sorted(topics):
        own = [
            paragraph
            for paragraph in BLANK_LINE.split(topics[topic].strip())
            if owner.setdefault(_joined(paragraph), topic) == topic and paragraph.strip()
        ]
        if own:
            documents[topic] = "\n\n".join(own)
    part = Part(list(documents.values()), places=list(documents))
    return Raw("manual", "tokens", "next", {"all": part}, target_name="token", about=_about("manual"))


def _docstrings() -> Raw:
    found = [(sentence, package) for package in PACKAGES for sentence in _sentences(package)]
    packages = Counter(sentence for sentence, _ in found)  # what two packages say tells them not apart
    own = [(sentence, package) for sentence, package in found if packages[sentence] == 1]
    if {package for _, package in own} != set(PACKAGES):
        raise DataError(
            "data 'docstrings' is read from the source of Python's own packages, which this Python lacks"
        )
    part = Part([sentence for sentence, _ in own], [package for _, package in own])
    return Raw(
        "docstrings",
        "bag",
        "class",
        {"all": part},
        PACKAGES,
        target_name="package",
        about=_about("docstrings"),
    )


def _gaussian() -> Raw:
    import numpy as np

    draws = np.random.default_rng(0).normal(1.0, 1.0, (20_000, 1)).astype(np.float32)
    part = Part(list(draws))
    return Raw("gaussian", "sample", "none", {"all": part}, target_name="", about=_about("gaussian"))


def _rows(names: list[str], values: object) -> list[dict[str, float]]:
    """Rows of a matrix as dicts, column name -> number."""
    import numpy as np

    return [dict(zip(map(str, names), row, strict=True)) for row in np.asarray(values, dtype=float).tolist()]


@cache
def _sentences(package: str) -> tuple[str, ...]:
    """Every sentence that the docstrings of a package hold, once each, in the order of its files."""
    folder = Path(sysconfig.get_path("stdlib")) / package
    sentences = (
        sentence
        for file in sorted(folder.rglob("*.py"))
        if not {"test", "tests"} & set(file.relative_to(folder).parts)
        for paragraph in _paragraphs(file)
        for sentence in SENTENCE_END.split(paragraph)
    )
    return tuple(dict.fromkeys(s for s in sentences if len(LETTERS.findall(s)) >= SHORTEST))


def _paragraphs(file: Path) -> Iterator[str]:
    """Paragraphs of prose in the docstrings of a source file, which is parsed and never run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in somebody else's source
        tree = ast.parse(file.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED):
            paragraphs = BLANK_LINE.split(ast.get_docstring(node) or "")
            yield from (_joined(paragraph) for paragraph in paragraphs if ">>>" not in paragraph)


def _joined(paragraph: str) -> str:
    """A paragraph on one line, so that the same words compare equal however they are broken."""
    return " ".join(paragraph.split())


def _about(name: str) -> str:
    return EMBEDDED[name].about


EMBEDDED: Mapping[str, Embedded] = MappingProxyType(
    {
        "digits": Embedded("1,797 real handwritten digits, 8x8 pixels", "classify", _digits),
        "iris": Embedded(
            "150 irises of three species, by four lengths", "classify", partial(_classes, "iris", "species")
        ),
        "wine": Embedded(
            "178 wines of three growers, by 13 chemical measures",
            "classify",
            partial(_classes, "wine", "grower"),
        ),
        "breast-cancer": Embedded(
            "569 tumours, malignant or benign, by 30 measures of their cell nuclei",
            "classify",
            partial(_classes, "breast-cancer", "diagnosis"),
        ),
        "diabetes": Embedded(
            "442 patients by ten measures; how far the disease is a year later", "regress", _diabetes
        ),
        "manual": Embedded("English prose: the topics of Python's own manual", "language", _manual),
        "docstrings": Embedded(
            "sentences from Python's library, to be told apart by the package they document",
            "classify",
            _docstrings,
        ),
        "gaussian": Embedded("20,000 draws from N(1, 1), for the notes' first GAN", "adversarial", _gaussian),
    }
)
