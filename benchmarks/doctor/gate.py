"""Is a faulty run worse than its healthy twin, and is an odd run as good as its base?

The twin is the same task in the same style from the same seed. `harm` measures a run by the gate of its fault
(`fault.py` lists them) in units of the margin: 1 and more is clearly worse. An injection on a task is kept
when the median harm over its seeds is 1 or more, and then those of its runs that are at least half as bad; an
injection whose gate is `present` is kept always, and its harm to the score is only told.
"""

import statistics
from dataclasses import dataclass
from typing import Any

from healthy import SLACK

MISLED = 0.15  # by how much a reported figure has to be off
OVERFIT = 1.2  # the last validation loss over the lowest


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    score: float
    reported: float | None
    losses: tuple[float, ...]
    margin: float

    @classmethod
    def of(cls, record: dict[str, Any]) -> "Outcome":
        return cls(record["score"], record["reported"], tuple(record["losses"]), record["margin"])

    @property
    def misled(self) -> float:
        """How far the reported figure is off the truth."""
        return 0.0 if self.reported is None else abs(self.reported - self.score)


def harm(gate: str, run: Outcome, twin: Outcome) -> float:
    """How much worse than the twin, in margins."""
    if gate == "score" or gate == "present":
        return (twin.score - run.score) / run.margin
    if gate == "report":
        return (run.misled - twin.misled) / MISLED
    if gate == "seen":
        both = run.reported is not None and twin.reported is not None
        return (twin.reported - run.reported) / run.margin if both else 0.0
    if gate == "overfit":
        return overfit(run) / OVERFIT
    raise ValueError(f"{gate}: a gate is score, report, seen, overfit or present")


def overfit(run: Outcome) -> float:
    """The last validation loss over the lowest; not a number counts as endless."""
    if not run.losses or min(run.losses) <= 0:
        return 0.0
    ratio = run.losses[-1] / min(run.losses)
    return ratio if ratio == ratio else float("inf")


def keep(gate: str, harms: list[float]) -> list[bool]:
    """Which runs of an injection count, from the harms of its seeds."""
    if gate == "present":
        return [True] * len(harms)
    if statistics.median(harms) < 1:
        return [False] * len(harms)
    return [value >= 0.5 if gate != "overfit" else value >= 1 for value in harms]


def is_healthy(run: Outcome, base: Outcome) -> bool:
    """As good as the base run, and its user is told the truth as there."""
    fair = run.misled - base.misled < MISLED
    return run.score >= base.score - SLACK and fair


def tolerated(run: Outcome) -> frozenset[str]:
    """Codes that are true of a healthy run: overfitting, where the validation loss did rise."""
    return frozenset({"R01"}) if overfit(run) >= OVERFIT else frozenset()
