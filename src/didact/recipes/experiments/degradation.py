"""Do deeper plain networks train worse, and residual ones not?

The question of notes 001, X.5, and 003.

command   didact experiment degradation
time      6.5 min on one core, for 3 seeds

ResNet and its plain twin, which lacks the shortcuts alone, at three depths: an eighth of the paper's maps,
the digits at 16 pixels a side, the paper's gradient descent with momentum 0.9 from a rate of 0.1. A deeper
network could do at least what a shallower one does, so a higher training loss is a failure to learn, not
overfitting.
"""

from typing import TYPE_CHECKING

from didact.recipes.experiment import Experiment, Variant
from didact.recipes.measures import final_loss, loss_by_epoch
from didact.recipes.table import Numbers, Table

if TYPE_CHECKING:
    from didact.train.run import Run

DEPTHS = (18, 34, 101)
LOSS, ACCURACY = "training loss", "test accuracy"
KNOBS = {
    "epochs": 15,
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 0.0001,
    "augment": (),
    "image_size": 16,
    "width": 0.125,
    "stem": "cifar",
}


def _variant(depth: int, line: str) -> Variant:
    shortcut = "none" if line == "plain" else "projection"
    return Variant(f"resnet{depth}", {**KNOBS, "shortcut": shortcut}, line, depth)


def _measure(run: "Run") -> Numbers:
    return {LOSS: final_loss(run), ACCURACY: run.scores["test"]["accuracy"]}


def _verdict(table: Table) -> str:
    def told(line: str) -> str:
        return ", ".join(str(table.of(f"{line} {depth}", LOSS)) for depth in DEPTHS)

    first, *_, last = DEPTHS
    worse = table.below(f"plain {first}", f"plain {last}", LOSS)
    better = table.below(f"residual {last}", f"residual {first}", LOSS)
    times = table.mean(f"plain {last}", LOSS) / table.mean(f"residual {last}", LOSS)
    seen = (
        f"{'Seen' if worse else 'Not seen'} of plain networks, {'seen' if better else 'not seen'} of residual"
    )
    return (
        f"{seen} ones: at depths {', '.join(map(str, DEPTHS))} the plain networks end at a training loss of "
        f"{told('plain')}, the residual ones at {told('residual')}; at {last} the plain one has {times:.0f} "
        "times the loss of the other."
    )


DEGRADATION = Experiment(
    name="degradation",
    question="do deeper plain networks train worse, and residual ones not?",
    source="notes 001, section X.5, and 003",
    claim="with depth the training error of a plain network rises; deeper residual networks do better",
    variants={f"{line} {depth}": _variant(depth, line) for line in ("plain", "residual") for depth in DEPTHS},
    numbers=(LOSS, ACCURACY),
    measure=_measure,
    verdict=_verdict,
    minutes=6.5,
    curve=loss_by_epoch,
    over=LOSS,
    at_label="layers with weights",
    at_log=True,
)
