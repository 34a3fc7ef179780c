"""A network as a tree of text: names, kinds, shapes, parameters, and what comes again."""

from collections.abc import Iterator, Sequence

from didact.anatomy.folding import fold, learned_here
from didact.anatomy.parts import Part
from didact.anatomy.trace import Shape

WIDEST = 100  # columns of the terminal


def tree_lines(root: Part) -> Iterator[str]:
    """The whole network as lines: names, kinds, shapes, parameters."""
    rows = [("", root.kind, "", f"{root.parameters:,}")]
    rows += [(stem, kind, _written(shape), count) for stem, kind, shape, count in _rows(root.children, "")]
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    room = WIDEST - sum(widths[1:]) - 6
    for name, kind, shape, count in rows:
        if not name:
            yield f"{kind}: {count} parameters"
            continue
        name = name if len(name) <= room else f"{name[: room - 1]}…"
        first, second = name.ljust(min(widths[0], room)), kind.ljust(widths[1])
        yield f"{first}  {second}  {shape:>{widths[2]}}  {count:>{widths[3]}}".rstrip()


def _rows(parts: Sequence[Part], before: str) -> Iterator[tuple[str, str, Shape, str]]:
    runs = list(fold(parts, alike=False)) if before == "" else list(fold(parts, _many_alike(parts)))
    shown = [(run, repeat, k) for run, repeat in runs for k in range(len(run) // repeat)]
    for number, (run, repeat, k) in enumerate(shown):
        size = len(run) // repeat
        part, last = run[-size + k], number == len(shown) - 1
        times = [run[j * size + k] for j in range(repeat)]
        name = part.last_name if part.role == "block" or part.leaf < 0 or part.kind[0].isupper() else ""
        if repeat > 1 and name:
            name = f"{times[0].last_name}…{name} (x{repeat})"
        what = f"{part.label} {part.detail}".strip() if part.leaf >= 0 else part.kind
        kind = what if part.role not in ("activation", "norm", "none", "recurrent") else part.kind
        counts = [learned_here(part) for part in times]
        learned = f"{sum(counts):,}" if len(set(counts)) > 1 or repeat == 1 else f"{repeat} x {counts[0]:,}"
        label = name or (part.label if part.role == "input" else f"({part.kind})") + f" (x{repeat})" * (
            repeat > 1
        )
        yield f"{before}{'└─ ' if last else '├─ '}{label}", kind, part.shape, learned if sum(counts) else ""
        yield from _rows(part.children, before + ("   " if last else "│  "))


def _many_alike(parts: Sequence[Part]) -> bool:
    """Whether a list of blocks is so long that those which differ in what they read are told once."""
    return sum(bool(part.children) for part in parts) > 3


def _written(shape: Shape) -> str:
    """6@28x28 of maps, 197x768 of tokens, 84 of a vector."""
    if len(shape) == 3:
        return f"{shape[0]}@{shape[1]}x{shape[2]}"
    return "x".join(map(str, shape)) or "1"
