"""Does batch normalisation allow higher rates, and learn faster?

The question of notes 004, "Batch Normalization".

command   didact experiment batch-norm
time      2.5 min on one core, for 3 seeds

VGG-11, an eighth as wide and without dropout, with and without normalisation after each convolution, at rates
from 0.001 to 0.03.
"""

from typing import TYPE_CHECKING

from didact.recipes.experiment import Experiment, Variant
from didact.recipes.measures import final_loss, loss_by_epoch
from didact.recipes.table import Numbers, Table

if TYPE_CHECKING:
    from didact.train.run import Run

RATES = (0.001, 0.003, 0.01, 0.03)
ENOUGH = 0.8  # validation accuracy of a network that has learned
ACCURACY, LOSS = "validation accuracy", "training loss"
LINES = {"without": "vgg11", "with": "vgg11-bn"}


def _measure(run: "Run") -> Numbers:
    best = max(record["val"]["accuracy"] for record in run.history)
    return {ACCURACY: best, LOSS: final_loss(run)}


def _learned(table: Table, line: str) -> list[float]:
    """The rates at which every seed has learned."""
    rows = {rate: table.of(f"{line} {rate}", ACCURACY) for rate in RATES}
    return [rate for rate, row in rows.items() if all((value or 0.0) >= ENOUGH for value in row.each)]


def _verdict(table: Table) -> str:
    def told(line: str) -> str:
        return ", ".join(f"{table.of(f'{line} {rate}', ACCURACY)} at {rate}" for rate in RATES)

    bare, normed = (max(_learned(table, line), default=0.0) for line in ("without", "with"))
    faster = all(table.below(f"with {rate}", f"without {rate}", LOSS) for rate in _learned(table, "without"))
    higher = f"{'Seen' if normed > bare else 'Not seen'} of higher rates"
    quicker = f"{'seen' if normed and bare and faster else 'not seen'} of learning faster"
    return (
        f"{higher}, {quicker}: every seed comes to a validation accuracy of {ENOUGH} up to a rate of {normed}"
        f" with normalisation and up to {bare} without; with it {told('with')}; without {told('without')}."
    )


BATCH_NORM = Experiment(
    name="batch-norm",
    question="does batch normalisation allow higher rates?",
    source="notes 004, batch normalization, and 001, section VIII.3",
    claim="with batch normalisation a network learns at higher rates, and faster",
    variants={
        f"{line} {rate}": Variant(
            model, {"epochs": 8, "lr": rate, "augment": (), "dropout": 0.0, "width": 0.125}, line, rate
        )
        for line, model in LINES.items()
        for rate in RATES
    },
    numbers=(ACCURACY, LOSS),
    measure=_measure,
    verdict=_verdict,
    minutes=2.5,
    curve=loss_by_epoch,
    over=ACCURACY,
    at_label="learning rate",
    at_log=True,
)
