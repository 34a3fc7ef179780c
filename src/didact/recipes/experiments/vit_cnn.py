"""Does a Vision Transformer need more examples than a convolutional network?

The question of notes 004, "Performance of ViT".

command   didact experiment vit-cnn
time      3.5 min on one core, for 3 seeds

ViT and ResNet-18, both in their small recipes, on 100, 300 and all 1,079 training digits at 16 pixels a side,
without augmentation, which would put in by hand what the notes say ViT lacks. The epochs grow as the examples
shrink, so that a network makes about as many updates everywhere; ViT, which learns slower, makes four times
as many as ResNet-18. All are tested on the same digits. The notes speak of 1, 14 and 300 million images.
"""

from typing import TYPE_CHECKING

from didact.recipes.experiment import Experiment, Variant
from didact.recipes.measures import final_loss, loss_by_update
from didact.recipes.table import Numbers, Table

if TYPE_CHECKING:
    from didact.train.run import Run

ACCURACY, LOSS = "test accuracy", "training loss"
ALL = 1079  # digits in the training split
SIZES = {100: 45, 300: 15, ALL: 4}  # examples: epochs
LINES = {
    "ViT": ("vit-ti-16", {"patch_size": 4}, 4),  # learns slower: four times the epochs
    "ResNet-18": ("resnet18", {}, 1),
}


def _variant(line: str, examples: int) -> Variant:
    model, own, times = LINES[line]
    knobs = {
        **own,
        "examples": 0 if examples == ALL else examples,
        "epochs": times * SIZES[examples],
        "split": "60/10/30",
        "batch_size": 32,
        "image_size": 16,
        "augment": (),
    }
    return Variant(model, knobs, line, examples)


def _measure(run: "Run") -> Numbers:
    return {ACCURACY: run.scores["test"]["accuracy"], LOSS: final_loss(run)}


def _verdict(table: Table) -> str:
    gaps = {
        size: table.mean(f"ResNet-18 {size}", ACCURACY) - table.mean(f"ViT {size}", ACCURACY)
        for size in SIZES
    }
    told = "; ".join(
        f"with {size} {table.of(f'ViT {size}', ACCURACY)} against {table.of(f'ResNet-18 {size}', ACCURACY)}"
        for size in SIZES
    )
    first, last = gaps[min(gaps)], gaps[max(gaps)]
    seen = "Seen" if first > 0 and first > last else "Not seen"
    passes = "it passes it there" if last < 0 else "it does not pass it"
    return (
        f"{seen} that ViT starts behind and catches up: it is {first:.3f} behind ResNet-18 with {min(gaps)} "
        f"examples and {last:.3f} with {max(gaps)}; {passes} (test accuracy {told})."
    )


VIT_CNN = Experiment(
    name="vit-cnn",
    question="does a Vision Transformer need more examples than a convolutional network?",
    source="notes 004, performance of ViT",
    claim="on few images ViT is worse than a convolutional network, with more it catches up and passes it",
    variants={f"{line} {size}": _variant(line, size) for line in LINES for size in SIZES},
    numbers=(ACCURACY, LOSS),
    measure=_measure,
    verdict=_verdict,
    minutes=3.5,
    curve=loss_by_update,
    x_label="update",
    over=ACCURACY,
    at_label="training examples",
    at_log=True,
)
