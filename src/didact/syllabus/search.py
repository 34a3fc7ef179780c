"""From what the course teaches to where it lives and how to run it. The map itself is syllabus.toml."""

import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Concept:
    """One thing a student can look up.

    Attributes:
        covers: Rows of the curriculum: ``a:`` for notes 000, 001 and 003, ``b:`` for notes 002 and 004.
        code: Where it lives, ``package.module:name``.
        tests: Pytest node ids that prove it.
        run: A command that shows it.
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
    """Concepts that hold every word in their title, id, rows or code, best first."""
    wanted = words.lower().replace("_", "-").split()
    found = []
    for concept in concepts():
        title = f"{concept.id} {concept.title}".lower().replace("_", "-")
        places = " ".join([title, *concept.covers, *concept.code]).lower().replace("_", "-")
        if all(word in places for word in wanted):
            found.append((sum(word not in title for word in wanted), concept))
    return [concept for _, concept in sorted(found, key=lambda pair: pair[0])]
