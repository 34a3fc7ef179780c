"""How much faster does ReLU learn than tanh and sigmoid?

The question of notes 004, "Activation function - ReLU".

command   didact experiment relu-tanh
time      2.5 min on one core, for 3 seeds

The digit network, a quarter as wide, by gradient descent with momentum. As in Krizhevsky's figure, what
counts is how many updates it takes until the training loss is low, and each activation has the rate that
suits it best, out of three.
"""

from typing import TYPE_CHECKING

from didact.recipes.experiment import Experiment, Variant
from didact.recipes.measures import WINDOW, final_loss, loss_by_update, updates_until
from didact.recipes.table import Numbers, Row, Table

if TYPE_CHECKING:
    from didact.train.run import Run

LOSS = "training loss"
LEVEL = 0.1
FALLS = f"updates until loss < {LEVEL}"
RATES = (0.01, 0.03, 0.1)
FACTOR = 6  # what the notes quote
KNOBS = {
    "epochs": 20,
    "batch_size": 32,
    "optimizer": "sgd",
    "momentum": 0.9,
    "augment": (),
    "width": 0.25,
}


def _measure(run: "Run") -> Numbers:
    return {FALLS: updates_until(run, LEVEL), LOSS: final_loss(run)}


def _best(table: Table, activation: str) -> Row | None:
    """The rate at which all seeds come below the level, soonest; None where there is no such rate."""
    rows = [table.of(f"{activation} {rate}", FALLS) for rate in RATES]
    whole = [row for row in rows if row.mean is not None and row.n == len(row.each)]
    return min(whole, key=lambda row: row.mean or 0.0, default=None)


def _verdict(table: Table) -> str:
    relu, others = _best(table, "relu"), {name: _best(table, name) for name in ("tanh", "sigmoid")}
    if relu is None or relu.mean is None:
        return f"Nothing can be said: relu does not come below a loss of {LEVEL}."
    said = [f"relu needs {relu} updates (rate {relu.variant.split()[1]})"]
    factors = []
    for name, row in others.items():
        if row is None or row.mean is None:
            said.append(f"{name} does not come there at any rate")
        else:
            factors.append(row.mean / relu.mean)
            said.append(f"{name} {row} (rate {row.variant.split()[1]}), a factor of {factors[-1]:.2g}")
    seen = "Seen" if factors and min(factors) >= FACTOR else "Not seen in full"
    return (
        f"{seen}: to a training loss below {LEVEL} {', '.join(said)}; the notes quote a factor of {FACTOR}."
    )


RELU_TANH = Experiment(
    name="relu-tanh",
    question="how much faster does ReLU learn than tanh and sigmoid?",
    source="notes 004, activation functions",
    claim=f"ReLU learns faster than sigmoid and tanh, by a factor of {FACTOR} in Krizhevsky et al.",
    variants={
        f"{activation} {rate}": Variant(
            "mnist-cnn", {**KNOBS, "activation": activation, "lr": rate}, activation, rate
        )
        for activation in ("relu", "tanh", "sigmoid")
        for rate in RATES
    },
    numbers=(FALLS, LOSS),
    measure=_measure,
    verdict=_verdict,
    minutes=2.5,
    curve=loss_by_update,
    x_label="update",
    y_label=f"training loss, mean of {WINDOW} points",
    over=FALLS,
    at_label="learning rate",
    at_log=True,
)
