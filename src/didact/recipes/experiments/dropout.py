"""Does dropout help a convolutional network on few examples, and which kind?

The question of notes 001, IX.6.

command   didact experiment dropout
time      2 min on one core, for 3 seeds

The digit network on one tenth of the digits, tested on seven tenths: nothing dropped, half of the single
numbers before the linear layer, or a fifth of the whole maps after each pooling.
"""

import math
import statistics
from typing import TYPE_CHECKING

from didact.recipes.experiment import Experiment, Variant
from didact.recipes.measures import accuracy_by_epoch, final_loss
from didact.recipes.table import Numbers, Table

if TYPE_CHECKING:
    from didact.train.run import Run

ACCURACY, LOSS = "test accuracy", "training loss"
KNOBS = {"split": "10/20/70", "batch_size": 32, "epochs": 40, "augment": (), "keep": "last"}


def _measure(run: "Run") -> Numbers:
    return {ACCURACY: run.scores["test"]["accuracy"], LOSS: final_loss(run)}


def _verdict(table: Table) -> str:
    none, single, whole = (table.mean(name, ACCURACY) for name in table.variants)
    single_row, whole_row = (table.of(name, ACCURACY) for name in table.variants[1:])
    seen = "Not seen" if _better(table, "single numbers", "nothing") else "Seen"
    return (
        f"{seen}: test accuracy is {table.of('nothing', ACCURACY)} with nothing dropped, {single_row} with "
        f"single numbers ({single - none:+.3f}) and {whole_row} with whole maps ({whole - none:+.3f})."
    )


def _better(table: Table, one: str, other: str) -> bool:
    """Whether a mean is higher by more than twice the standard error of the difference of the seeds."""
    pairs = zip(table.of(one, ACCURACY).each, table.of(other, ACCURACY).each, strict=True)
    gains = [a - b for a, b in pairs if a is not None and b is not None]
    if len(gains) < 2:
        return False
    return statistics.fmean(gains) > 2 * statistics.stdev(gains) / math.sqrt(len(gains))


DROPOUT = Experiment(
    name="dropout",
    question="does dropout help a convolutional network on few examples, and which kind?",
    source="notes 001, section IX.6",
    claim="dropping single numbers does not improve convolutional networks; whole maps are dropped instead",
    variants={
        "nothing": Variant("mnist-cnn", KNOBS),
        "single numbers": Variant("mnist-cnn", {**KNOBS, "dropout": 0.5}),
        "whole maps": Variant("mnist-cnn", {**KNOBS, "spatial_dropout": 0.2}),
    },
    numbers=(ACCURACY, LOSS),
    measure=_measure,
    verdict=_verdict,
    minutes=2,
    curve=accuracy_by_epoch,
    y_label="validation accuracy",
)
