"""From what the course teaches to where it lives and how to run it. The map itself is syllabus.toml."""

import re
import tomllib
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

LIKENESS = 0.75  # of a word that is taken for another: "droput", "optimiser"


@dataclass(frozen=True)
class Concept:
    """One thing a student can look up.

    Attributes:
        covers: Rows of the curriculum: ``a:`` for notes 000, 001 and 003, ``b:`` for notes 002 and 004.
        code: Where it lives, ``package.module:name``.
        tests: Pytest node ids that prove it.
        run: A command that shows it; two in a row where the second needs what the first leaves.
        docs: For what is told and not run: the page and heading.
    """

    id: str
    title: str
    covers: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    run: str = ""
    docs: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @property
    def name(self) -> str:
        """Id and title, as they are searched."""
        return _plain(f"{self.id} {self.title}")

    @property
    def text(self) -> str:
        """All that is searched."""
        return _plain(" ".join([self.id, self.title, *self.covers, *self.code, self.run, *self.docs]))

    def __str__(self) -> str:
        lines = [f"{self.title} ({self.id})"]
        lines += [f"  code  {place}" for place in self.code]
        lines += [f"  told  {place}" for place in self.docs]
        lines += [f"  test  {place}" for place in self.tests]
        lines += [f"  run   {self.run}"] if self.run else []
        return "\n".join([*lines, f"  notes {', '.join(self.covers)}"])


@cache
def concepts() -> tuple[Concept, ...]:
    """Every concept, in course order."""
    table = tomllib.loads((Path(__file__).parent / "syllabus.toml").read_text(encoding="utf-8"))
    entries: list[dict[str, Any]] = table["concept"]
    lists = ("covers", "code", "tests", "docs")
    return tuple(Concept(**entry | {name: tuple(entry.get(name, ())) for name in lists}) for entry in entries)


def search(words: str) -> list[Concept]:
    """Concepts that hold every word, best first; where none does, a misspelt word is taken for the nearest.

    Best are those with the words in their name, whole before in part; without words, all in course order.

    Example:
        >>> [concept.id for concept in search("droput")][0]
        'dropout'
    """
    wanted = _plain(words).split()
    return _holding(wanted) or _holding([_nearest(word) for word in wanted])


def _holding(wanted: list[str]) -> list[Concept]:
    found = [concept for concept in concepts() if all(word in concept.text for word in wanted)]
    return sorted(found, key=lambda concept: sum(_distance(word, concept) for word in wanted))


def _distance(word: str, concept: Concept) -> int:
    """How far from the name a word stands: whole in it 0, part of one of its words 1, elsewhere 2."""
    if word in concept.id.split("-") + _words(concept.name):
        return 0
    return 1 if word in concept.name else 2


def _nearest(word: str) -> str:
    known = {part for concept in concepts() for part in _words(concept.text)}
    return next(iter(get_close_matches(word, sorted(known), n=1, cutoff=LIKENESS)), word)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9][a-z0-9-]*", text)


def _plain(text: str) -> str:
    return text.lower().replace("_", "-")
