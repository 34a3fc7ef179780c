"""What is drawn once with its number: equal blocks in a row, and patterns of layers."""

from collections.abc import Iterator, Sequence
from typing import Any

from didact.anatomy.parts import Part

PERIOD = 8  # parts in a pattern that repeats
SIZED = ("conv", "up-conv", "pool", "linear", "embedding", "recurrent")  # whose results must be of one size


def fold(parts: Sequence[Part], alike: bool) -> Iterator[tuple[list[Part], int]]:
    """Runs of parts, each with how often its pattern comes; the earliest and longest first.

    Example:
        >>> a, b = (Part("", kind, "conv", kind, (1,)) for kind in "ab")
        >>> [(len(run), repeat) for run, repeat in fold([b, a, b, a, b, b], alike=True)]
        [(4, 2), (2, 2)]
    """
    signs = [signature(part, alike) for part in parts]
    at = 0
    while at < len(parts):
        size, repeat = 1, 1
        for period in range(1, min(PERIOD, (len(parts) - at) // 2) + 1):
            pattern, times = signs[at : at + period], 1
            while signs[at + times * period : at + (times + 1) * period] == pattern:
                times += 1
            if (
                times > 1
                and times * period > size * repeat
                and _may_fold(parts[at : at + times * period], alike)
            ):
                size, repeat = period, times
        yield list(parts[at : at + size * repeat]), repeat
        at += size * repeat


def _may_fold(run: Sequence[Part], alike: bool) -> bool:
    """Layers by themselves are only folded where room is short; blocks always."""
    return alike or any(part.children or part.again for part in run)


def signature(part: Part, alike: bool) -> tuple[Any, ...]:
    """What two parts share that are drawn once: equal, or ``alike`` but for how many maps they are given."""
    children = tuple(signature(child, alike) for child in part.children)
    made = part.shape if part.role in SIZED else ()
    own = (part.shape, part.parameters) if not alike else (made,)
    return (part.kind, part.role, part.label, part.detail, *own, children)


def learned_here(part: Part) -> int:
    """Parameters, but nothing for a module that has been called before."""
    return 0 if part.again else part.parameters
