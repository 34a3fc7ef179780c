"""What many experiments measure of a run, and the curves that they draw."""

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from didact.train.run import Run

Points = Sequence[tuple[float, float]]  # of a curve, in order
WINDOW = 10  # points of the raw training curve whose mean counts, since a single batch tells little


def loss_by_epoch(run: "Run") -> Points:
    """The training loss, as the mean of each epoch."""
    return [(record["epoch"], record["train"]["loss"]) for record in run.history]


def loss_by_update(run: "Run") -> Points:
    """The training loss after each update, as the mean of the last ``WINDOW`` points of the raw curve."""
    curve = [(point["step"], point["train"]["loss"]) for point in run.curve]
    ends = range(WINDOW, len(curve) + 1)
    return [(curve[k - 1][0], statistics.fmean(loss for _, loss in curve[k - WINDOW : k])) for k in ends]


def accuracy_by_epoch(run: "Run") -> Points:
    """The validation accuracy after each epoch."""
    return [(record["epoch"], record["val"]["accuracy"]) for record in run.history]


def updates_until(run: "Run", level: float) -> float | None:
    """The first update at which ``loss_by_update`` is below a level; None where it never is."""
    return next((step for step, loss in loss_by_update(run) if loss < level), None)


def final_loss(run: "Run") -> float:
    """The training loss of the last epoch."""
    return run.history[-1]["train"]["loss"]
