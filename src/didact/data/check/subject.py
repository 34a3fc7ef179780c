"""What is looked at: the examples of every split, each with its place; all of them, or a sample."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from didact.data.open import Data
from didact.data.raw import Part, Raw

SEED = 8  # of the sample
TO_LEARN = ("train", "all")  # a model is fitted to what stands there


@dataclass(frozen=True, slots=True)
class Seen:
    """One example and where it stands."""

    split: str
    item: Any
    target: Any
    place: str


@dataclass(frozen=True)
class Subject:
    """A data set under examination.

    Attributes:
        raw: The examples looked at, by split.
        given: Whether the splits were given, by the data set or by who opened it; else all is one part.
        strict: Whether the splits are the user's own files, in which one copy is one too many; a benchmark is
            published with some, and a random split may part two.
        total: Examples there are.
    """

    raw: Raw
    given: bool
    strict: bool
    total: int

    @property
    def name(self) -> str:
        """What messages call the data set: the last part of a path."""
        return Path(self.raw.name).name or self.raw.name

    @cached_property
    def examples(self) -> list[Seen]:
        """Every example, split by split."""
        return [
            Seen(split, part.items[i], part.targets[i] if len(part.targets) else None, self.place(split, i))
            for split, part in self.raw.parts.items()
            for i in range(len(part.items))
        ]

    def place(self, split: str, index: int) -> str:
        """File and line, or the index in the split."""
        part = self.raw.parts[split]
        if len(part.places):
            return part.place(index)
        return f"{self.name}[{index}]" if split == "all" else f"{self.name} {split}[{index}]"

    def without(self, places: Collection[str]) -> "Subject":
        """All but the examples at these places."""
        keep = {
            split: [i for i in range(len(part.items)) if self.place(split, i) not in places]
            for split, part in self.raw.parts.items()
        }
        parts = {split: part.pick(keep[split]) for split, part in self.raw.parts.items()}
        return replace(self, raw=replace(self.raw, parts=parts))

    def sample(self, budget: int) -> "Subject":
        """So many examples at most, chosen at random from every split; all where the budget is 0."""
        if not 0 < budget < self.total:
            return self
        share = budget / self.total
        parts = {name: _sample(self, name, share) for name in self.raw.parts}
        return replace(self, raw=replace(self.raw, parts=parts))

    @property
    def learned(self) -> Part:
        """What a model is fitted to: train, or all that is not split yet."""
        return self.raw.parts[self.learned_split]

    @property
    def learned_split(self) -> str:
        """``train`` or ``all``."""
        return next(name for name in self.raw.parts if name in TO_LEARN)

    @cached_property
    def columns(self) -> dict[str, dict[str, np.ndarray]]:
        """Columns of numbers by split: of a table by name, of a sample by index; (N,) float64 each."""
        return {split: _columns(self.raw, part) for split, part in self.raw.parts.items()}

    @property
    def learned_columns(self) -> dict[str, np.ndarray]:
        """Columns of numbers of what a model is fitted to."""
        return self.columns[self.learned_split]


def subject_of(source: Raw | Data) -> Subject:
    """Look at a data set as read or as opened."""
    raw = source if isinstance(source, Raw) else _raw_of(source)
    arrays = all(isinstance(item, np.ndarray) for part in raw.parts.values() for item in part.items[:1])
    given = set(raw.parts) != {"all"}
    return Subject(raw, given, given and source is raw and not arrays, len(raw))


def _raw_of(data: Data) -> Raw:
    """What was read, in the splits that were made of it."""
    facts = data.facts
    categories = frozenset(column.name for column in facts.columns if column.kind == "category")
    return Raw(
        facts.name,
        facts.inputs,
        facts.target,
        data.raw,
        facts.classes,
        categories,
        facts.target_name,
        data.about,
        data.problems,
    )


def _sample(subject: Subject, split: str, share: float) -> Part:
    """A share of a split, in its order, each example with its place."""
    part = subject.raw.parts[split]
    count = min(max(round(len(part.items) * share), 1), len(part.items))
    chosen = sorted(np.random.default_rng(SEED).permutation(len(part.items))[:count].tolist())
    return replace(part.pick(chosen), places=[subject.place(split, index) for index in chosen])


def _columns(raw: Raw, part: Part) -> dict[str, np.ndarray]:
    if raw.inputs == "sample":
        values = np.asarray([np.reshape(item, -1) for item in part.items], dtype=np.float64)
        return {f"number {k}": values[:, k] for k in range(values.shape[1])} if len(values) else {}
    if raw.inputs != "table" or not len(part.items):
        return {}
    names = [name for name in part.items[0] if name not in raw.categories]
    return {name: np.array([item[name] for item in part.items], dtype=np.float64) for name in names}
