"""What a task of the examination is made of.

A task is one file with one loop, as a user would write it, and keyword switches: a case is the loop with a
few of them set. Whoever wrote the tasks had not seen the doctor's rules, its limits, or any of the
tasks that they were tuned on.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LOWER = 0.15  # by how much a faulty run scores lower, or reports more than it scores
SLACK = 0.07  # by how much an odd healthy run may score lower


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        score: In 0 to 1, on clean rows in evaluation mode, measured out of the doctor's sight.
        reported: What the user's own loop believes.
    """

    score: float
    reported: float


@dataclass(frozen=True)
class Case:
    """A loop with some switches set.

    Attributes:
        name: ``task/what``.
        accepts: Codes that are right, the true one first; none for a healthy run.
        base: The name of the healthy case that it is compared with.
        train: Takes a seed and a doctor.
        exact: A mechanical mistake, wrong even where this run survives it.
    """

    name: str
    accepts: tuple[str, ...]
    base: str
    train: Callable[[int, Any], Outcome]
    exact: bool = False


class Nobody:
    """The doctor's calls, and nothing behind them."""

    def watching(self, model: Any, optimizer: Any = None, loss_fn: Any = None, loader: Any = None) -> Any:
        return contextlib.nullcontext()

    def on_start(
        self, model: Any, optimizer: Any = None, loss_fn: Any = None, loader: Any = None
    ) -> None: ...

    def on_step(self, loss: Any = None, batch: Any = None) -> None: ...

    def on_epoch(self, train_metrics: Any = None, val_metrics: Any = None) -> None: ...


def cases(task: str, train: Callable[..., Outcome]) -> tuple[list[Case], Callable[..., None]]:
    """An empty list of cases and the function that adds to it.

    ``add(name, accepts, exact=False, **switches)``: accepts is a code, several with spaces, or "" if healthy.
    The first case that is added is the base of all others.
    """
    listed: list[Case] = []

    def add(name: str, accepts: str = "", exact: bool = False, **switches: Any) -> None:
        full = f"{task}/{name}"
        run = lambda seed, doctor: train(seed, doctor, **switches)  # noqa: E731
        base = listed[0].name if listed else full
        listed.append(Case(full, tuple(accepts.split()), base, run, exact))

    return listed, add
