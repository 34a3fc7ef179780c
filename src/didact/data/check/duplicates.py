"""The same example twice: in two splits, in one, or with two labels. Examples are hashed as they are read."""

# N examples, F columns

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from didact.data.check.finding import Finding, found
from didact.data.check.rules import MANY_COPIES, Severity
from didact.data.check.subject import Seen, Subject
from didact.data.formats.examples import ORDER

BY_CHANCE = 0.1  # of the pairs that agree, expected of columns that know nothing of each other


def digest(item: Any) -> bytes:
    """16 bytes that two examples share only if they are equal: a row, a text, an array, a sample."""
    if isinstance(item, np.ndarray):
        return blake2b(f"{item.shape}".encode() + item.tobytes(), digest_size=16).digest()
    return blake2b(repr(item).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def check_duplicates(subject: Subject, digests: Sequence[bytes]) -> list[Finding]:
    """Copies across splits, copies within them, and equal inputs with different labels.

    Args:
        subject: The data set.
        digests: Of each example's input, in order; of images of their pixels.
    """
    groups: dict[Hashable, list[Seen]] = {}
    for key, seen in zip(digests, subject.examples, strict=True):
        groups.setdefault(key, []).append(seen)
    repeated = [group for group in groups.values() if len(group) > 1]
    if not repeated:
        return []
    likely = agree_by_chance(subject, repeated)
    agreeing = [same for group in repeated for same in _by_target(group).values() if len(same) > 1]
    return [
        *_across(subject, agreeing, likely),
        *_within(subject, agreeing, likely),
        *_contradictions(subject, repeated, likely),
    ]


def agree_by_chance(subject: Subject, repeated: Sequence[Sequence[Seen]]) -> bool:
    """Whether a table is so coarse that rows agree by chance: none of its columns tells most rows apart."""
    if subject.raw.inputs != "table":
        return False
    rows = [seen.item for seen in subject.examples]
    shares = [_collision([row[name] for row in rows]) for name in rows[0]]
    pairs = sum(len(group) * (len(group) - 1) / 2 for group in repeated)
    expected = float(np.prod(shares)) * len(rows) * (len(rows) - 1) / 2
    return expected > BY_CHANCE * pairs or min(shares) > 10 / len(rows)


def _collision(values: Sequence[Any]) -> float:
    """The chance that two cells of a column, of two rows, are equal."""
    counts = np.array(list(Counter(values).values()), dtype=np.float64)
    return float((counts * (counts - 1)).sum()) / max(len(values) * (len(values) - 1), 1)


def _by_target(group: Sequence[Seen]) -> dict[str, list[Seen]]:
    targets: dict[str, list[Seen]] = {}
    for seen in group:
        targets.setdefault(str(seen.target), []).append(seen)
    return targets


def _across(subject: Subject, groups: Sequence[Sequence[Seen]], likely: bool) -> list[Finding]:
    """Examples of one split that another split has too."""
    pairs = []
    for group in groups:
        ordered = sorted(group, key=lambda seen: ORDER.index(seen.split))
        pairs += [(seen, ordered[0]) for seen in ordered if seen.split != ordered[0].split]
    if not pairs:
        return []
    sizes = {name: len(part.items) for name, part in subject.raw.parts.items()}
    shares = [sum(kept.split == name for _, kept in pairs) / size for name, size in sizes.items()]
    accident = max(shares) <= MANY_COPIES or len(pairs) < 2
    severity: Severity = "note" if likely or (accident and not subject.strict) else "warning"
    kept = pairs[0][1]
    same = "pixels" if subject.raw.inputs == "image" else "content"
    what = f"the same {same} as {kept.place}, in the {kept.split} split"
    return [
        _of_pairs("same-in-two-splits", what, pairs, severity, {"count": len(pairs), "share": max(shares)})
    ]


def _within(subject: Subject, groups: Sequence[Sequence[Seen]], likely: bool) -> list[Finding]:
    """Copies that lie in one split, or in a set that is not split yet."""
    pairs = []
    for group in groups:
        first: dict[str, Seen] = {}
        pairs += [(seen, kept) for seen in group if (kept := first.setdefault(seen.split, seen)) is not seen]
    if not pairs:
        return []
    share = len(pairs) / len(subject.examples)
    severity: Severity = "note" if likely or share <= MANY_COPIES else "warning"
    what = f"the same {_kind(subject)} as {pairs[0][1].place}"
    return [_of_pairs("duplicates", what, pairs, severity, {"count": len(pairs), "share": share})]


def _contradictions(subject: Subject, groups: Sequence[Sequence[Seen]], likely: bool) -> list[Finding]:
    """Equal inputs that are labelled differently."""
    if subject.raw.target not in ("class", "number"):
        return []
    pairs = []
    for group in groups:
        kept = group[0]
        pairs += [(seen, kept) for seen in group[1:] if str(seen.target) != str(kept.target)]
    if not pairs:
        return []
    mild = likely or subject.raw.target == "number"
    seen, kept = pairs[0]
    what = f"the same input as {kept.place}, but {seen.target!r} and not {kept.target!r}"
    numbers = {"count": len(pairs), "share": len(pairs) / len(subject.examples)}
    return [_of_pairs("contradicting-labels", what, pairs, "note" if mild else "warning", numbers)]


def _of_pairs(
    rule: str,
    what: str,
    pairs: Sequence[tuple[Seen, Seen]],
    severity: Severity,
    numbers: Mapping[str, float],
) -> Finding:
    what = what if len(pairs) == 1 else f"{what}; {len(pairs):,} such pairs ({numbers['share']:.1%})"
    places = [f"{seen.place} = {kept.place}" for seen, kept in pairs]
    show = {"kind": "pair", "pair": pairs[0]}
    return found(rule, pairs[0][0].place, what, severity=severity, places=places, numbers=numbers, show=show)


def _kind(subject: Subject) -> str:
    return {"image": "image", "table": "row"}.get(subject.raw.inputs, "text")
