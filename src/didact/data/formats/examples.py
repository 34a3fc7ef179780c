"""Examples as readers collect them, and the checks that every format shares."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from didact.data.raw import Part, Problem

ORDER = ("test", "val", "train", "all")  # of two copies, the one nearer to the test is kept


@dataclass(frozen=True, slots=True)
class Example:
    """One example, the split it belongs to (``all`` when the data set brings none), and where it stands."""

    split: str
    item: Any
    target: Any
    place: str


def remark(where: str, what: str) -> Problem:
    """Something to know about a data set that does not forbid training on it."""
    return Problem(where, what, fatal=False)


def to_parts(examples: Sequence[Example]) -> dict[str, Part]:
    """Examples by split; a split without any is not there."""
    parts: dict[str, Part] = {}
    for split in reversed(ORDER):
        own = [example for example in examples if example.split == split]
        if own:
            targets = [] if own[0].target is None else [example.target for example in own]
            places = [example.place for example in own]
            parts[split] = Part([example.item for example in own], targets, places)
    return parts


def copies(examples: Sequence[Example], keys: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Pairs (copy, original) with the same key, in two splits, or anywhere when they are not split yet."""
    original: dict[Hashable, int] = {}
    pairs = []
    for index in sorted(range(len(examples)), key=lambda i: ORDER.index(examples[i].split)):
        first = original.setdefault(keys[index], index)
        split = examples[index].split
        if first != index and (split == "all" or split != examples[first].split):
            pairs.append((index, first))
    return sorted(pairs)


def leave_out_copies(
    examples: Sequence[Example], keys: Sequence[Hashable], what: str, problems: list[Problem]
) -> list[Example]:
    """Drop examples that stand in two splits, and say so; copies that are not split yet are only named."""
    dropped = set()
    for copy, first in copies(examples, keys):
        example, other = examples[copy], examples[first]
        if example.split == "all":
            problems.append(
                remark(
                    example.place,
                    f"the same {what} as {other.place}; the score is flattered "
                    "when they fall into two splits",
                )
            )
        else:
            where = f"in the {other.split} split"
            problems.append(Problem(example.place, f"the same {what} as {other.place}, {where}"))
            dropped.add(copy)
    return [example for index, example in enumerate(examples) if index not in dropped]


def count_copies(examples: Sequence[Example], keys: Sequence[Hashable], name: str) -> list[Problem]:
    """One line about copies across splits, for benchmarks that are published with them."""
    pairs = [(c, first) for c, first in copies(examples, keys) if examples[c].split != "all"]
    if not pairs:
        return []
    copy, first = (examples[i].place for i in pairs[0])
    return [remark(name, f"{len(pairs)} images stand in two splits, the first: {copy} is {first}")]


def check_classes(examples: Sequence[Example], classes: Sequence[str], name: str) -> list[Problem]:
    """Classes that nothing, or too little, is there to learn from."""
    if len(classes) < 2:
        only = f"only one class, {classes[0]!r}" if classes else "no class"
        return [Problem(name, f"{only}; at least two are needed to tell apart")]
    problems = []
    counts = Counter((example.split, example.target) for example in examples)
    splits = [split for split in reversed(ORDER) if any(example.split == split for example in examples)]
    for label in classes:
        empty = [split for split in splits if not counts[split, label]]
        if empty == splits:
            problems.append(remark(name, f"class {label!r} has no example"))
        elif empty:
            problems.append(remark(name, f"class {label!r} has no example in {' and '.join(empty)}"))
        elif splits == ["all"] and counts["all", label] < 3:
            count = counts["all", label]
            problems.append(remark(name, f"class {label!r} has {count} example(s), too few for three splits"))
    return problems
