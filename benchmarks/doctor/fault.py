"""What a fault is, and the table that the injectors write themselves into.

An injector changes a fresh task as a person's slip would change it. Its `gate` says how one sees that the run
is worse than its twin without the slip:

    score      the true score on clean test rows falls behind the twin's by the task's margin
    report     the user's validation figure is off the truth by 0.15 more than the twin's
    seen       what the user reads falls behind what the twin's user reads, though the network may be good
    overfit    the validation loss ends at 1.2 times its minimum or more
    present    the mistake is there by construction, whatever the score says: an exact check must name it

`accepts` holds the codes that are a right answer: the fault's own, and others only where a comment in the
injector says why they are the same mistake. A `hint` costs nothing in this run; naming it is enough.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasks import Task

Inject = Callable[..., None]

VECTORS = ("digits-mlp", "iris-mlp", "wine-mlp", "synthetic")  # classes from rows of numbers
LABELLED = (*VECTORS, "digits-cnn", "rows-lstm")  # classes from any numbers
TABLES = ("wine-mlp", "cancer-bce", "diabetes", "synthetic")
NUMBERS = (*LABELLED, "cancer-bce", "diabetes")
ONE_LOSS = (*NUMBERS, "recall-gru", "markov-lm", "digits-vae")  # all but the GAN
GATES = ("score", "report", "seen", "overfit", "present")


@dataclass(frozen=True)
class Fault:
    """One way to spoil a run, at one strength."""

    code: str
    name: str
    strength: str
    inject: Inject
    arguments: dict[str, Any]
    tasks: tuple[str, ...]
    accepts: tuple[str, ...]
    gate: str
    hint: bool = False
    styles: tuple[str, ...] = ("classic", "plain", "split")

    @property
    def key(self) -> str:
        return f"{self.code}/{self.name}/{self.strength}"

    def apply(self, task: Task) -> None:
        self.inject(task, **self.arguments)


FAULTS: list[Fault] = []


def fault(
    code: str,
    on: tuple[str, ...],
    gate: str = "score",
    strengths: dict[str, dict[str, Any]] | None = None,
    also: tuple[str, ...] = (),
    **rest: Any,
) -> Callable[[Inject], Inject]:
    """Enter an injector into the table, once for each strength; `also` are codes that are right as well."""

    def enter(inject: Inject) -> Inject:
        for strength, given in (strengths or {"as typed": {}}).items():
            own = dict(given)
            accepts = (code, *own.pop("also", also))
            FAULTS.append(Fault(code, inject.__name__, strength, inject, own, on, accepts, gate, **rest))
        return inject

    return enter
