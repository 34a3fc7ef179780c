"""Which learning algorithm trains the digit network fastest?

The question of notes 004, CNN Example 4.

command   didact experiment learning-algorithms
time      3 min on one core, for 3 seeds

Each has the rate that is usual for it: 0.01 for gradient descent with momentum 0.9 and for AdaGrad, 0.001 for
RMSprop, with the notes' decay of 0.9, and for Adam. Gradient descent without momentum comes at three rates:
0.001, which the notes take in Example 3; 0.01, where momentum alone tells it from the next; and 0.1, since
momentum 0.9 makes steps up to ten times as long.
"""

from typing import TYPE_CHECKING

from didact.recipes.experiment import Experiment, Variant
from didact.recipes.measures import final_loss, loss_by_epoch, updates_until
from didact.recipes.table import Numbers, Table

if TYPE_CHECKING:
    from didact.train.run import Run

LEVEL = 0.3
FALLS = f"updates until loss < {LEVEL}"
LOSS, ACCURACY = "training loss", "test accuracy"
ALIKE = {"augment": (), "epochs": 8}  # the images as they are: their loss can come near 0


def _variant(optimizer: str, lr: float, **knobs: float) -> Variant:
    return Variant("mnist-cnn", {**ALIKE, "optimizer": optimizer, "lr": lr, **knobs})


def _measure(run: "Run") -> Numbers:
    return {
        LOSS: final_loss(run),
        FALLS: updates_until(run, LEVEL),
        ACCURACY: run.scores["test"]["accuracy"],
    }


def _verdict(table: Table) -> str:
    losses = {variant: table.mean(variant, LOSS) for variant in table.variants}
    order = ", ".join(
        f"{variant} {table.of(variant, LOSS)}" for variant in sorted(losses, key=lambda name: losses[name])
    )
    claims = {
        "Momentum ahead of gradient descent at the same rate": table.below("Momentum 0.01", "SGD 0.01", LOSS),
        "RMSprop ahead of AdaGrad": table.below("RMSprop 0.001", "AdaGrad 0.01", LOSS),
    }
    seen = ", ".join(
        f"{claim}: {'seen' if holds else 'not beyond the spread of the seeds'}"
        for claim, holds in claims.items()
    )
    return f"{seen}; the training loss ends at: {order}."


LEARNING_ALGORITHMS = Experiment(
    name="learning-algorithms",
    question="which learning algorithm trains the digit network fastest?",
    source="notes 004, CNN Example 4",
    claim="momentum speeds up gradient descent, RMSprop improves upon AdaGrad, Adam works well widely",
    variants={
        "SGD 0.001": _variant("sgd", 0.001, momentum=0.0),
        "SGD 0.01": _variant("sgd", 0.01, momentum=0.0),
        "SGD 0.1": _variant("sgd", 0.1, momentum=0.0),
        "Momentum 0.01": _variant("sgd", 0.01, momentum=0.9),
        "AdaGrad 0.01": _variant("adagrad", 0.01),
        "RMSprop 0.001": _variant("rmsprop", 0.001, rho=0.9),
        "Adam 0.001": _variant("adam", 0.001),
    },
    numbers=(LOSS, FALLS, ACCURACY),
    measure=_measure,
    verdict=_verdict,
    minutes=3,
    curve=loss_by_epoch,
)
