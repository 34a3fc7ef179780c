"""Training loops side by side: didact.fit, one written by hand, the usual DataLoader loop, Lightning, Keras.

    python benchmarks/loop.py            prints a table and writes benchmarks/results/loop.json

All train the same network on the embedded digits at batch 64 with SGD and momentum 0.9, and score the
validation split after each epoch. didact also keeps its metrics, its record and its checkpoints. The
contenders take turns in one process, so that a change of the machine's speed meets all of them; an epoch's
time is taken between the ends of epochs, so starting up and compiling are left out. One thread.
"""

import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"
os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import didact
from didact.train.fit import fit_recipe
from didact.train.recipe import make_recipe

ROUNDS, BATCH, LR = 9, 64, 0.05
RESULT = Path(__file__).parent / "results" / "loop.json"
CASES = {"mlp": (None, {"widths": (32,)}, 40), "lenet5": (32, {}, 4)}  # image size, arguments, epochs a turn

Stamps = list[float]


class Didact:
    """``didact.fit`` with everything on."""

    def __init__(self, case: str, compiled: bool = False):
        size, arguments, self.epochs = CASES[case]
        knobs = {
            "batch_size": BATCH,
            "optimizer": "sgd",
            "lr": LR,
            "schedule": "constant",
            "augment": (),
            "epochs": self.epochs,
            "compile": compiled,
            **arguments,
        }
        if size:
            knobs["image_size"] = size
        self.recipe = make_recipe(case, "digits", given=knobs)

    def __call__(self) -> Stamps:
        stamps: Stamps = []

        class Clock:
            def on_step(self, loop: object, numbers: object) -> None: ...

            def on_epoch(self, loop: object, record: object) -> None:
                stamps.append(time.process_time())

        with tempfile.TemporaryDirectory() as scratch:
            fit_recipe(self.recipe, Path(scratch) / "run", observers=[Clock()])
        return stamps


class HandWritten:
    """What a careful person writes: tensors in memory, one permutation an epoch, indexing by batch."""

    def __init__(self, case: str):
        size, self.arguments, self.epochs = CASES[case]
        data = didact.open_data("digits", image_size=size)
        self.train, self.val = data["train"], data["val"]
        self.build = lambda: didact.build(case, **self.arguments, **self._sizes(case))

    @staticmethod
    def _sizes(case: str) -> dict[str, int]:
        return {"in_features": 64, "out_features": 10} if case == "mlp" else {}

    def batches(self):
        order = torch.randperm(len(self.train))
        for start in range(0, len(order), BATCH):
            index = order[start : start + BATCH]
            yield self.train.inputs[index], self.train.targets[index]

    def __call__(self) -> Stamps:
        model = self.build()
        optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9)
        stamps: Stamps = []
        for _ in range(self.epochs):
            model.train()
            for inputs, labels in self.batches():
                optimizer.zero_grad()
                loss = F.cross_entropy(model(inputs), labels)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                (model(self.val.inputs).argmax(1) == self.val.targets).float().mean().item()
            stamps.append(time.process_time())
        return stamps


class UsualLoader(HandWritten):
    """The same loop over a DataLoader, as most tutorials write it."""

    def __init__(self, case: str):
        super().__init__(case)
        self.loader = DataLoader(TensorDataset(self.train.inputs, self.train.targets), BATCH, shuffle=True)

    def batches(self):
        return iter(self.loader)


class Lightning(UsualLoader):
    """Lightning's Trainer over the same DataLoader, bare: no logger, no checkpoints, no progress bar."""

    def __call__(self) -> Stamps:
        import lightning

        stamps: Stamps = []

        class Module(lightning.LightningModule):
            def __init__(self, model: nn.Module):
                super().__init__()
                self.model = model

            def training_step(self, batch, _):
                return F.cross_entropy(self.model(batch[0]), batch[1])

            def validation_step(self, batch, _):
                self.log("val_accuracy", (self.model(batch[0]).argmax(1) == batch[1]).float().mean())

            def configure_optimizers(self):
                return torch.optim.SGD(self.parameters(), lr=LR, momentum=0.9)

        class Clock(lightning.Callback):
            def on_train_epoch_end(self, trainer, module):
                stamps.append(time.process_time())

        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=self.epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=[Clock()],
        )
        trainer.fit(
            Module(self.build()),
            self.loader,
            DataLoader(TensorDataset(self.val.inputs, self.val.targets), 256),
        )
        return stamps


class Keras(HandWritten):
    """Keras 3 on its torch backend: ``compile`` and ``fit`` with validation data."""

    def __init__(self, case: str):
        super().__init__(case)
        self.case = case

    def network(self):
        from keras import Sequential, layers

        if self.case == "mlp":
            return Sequential([layers.Flatten(), layers.Dense(32, activation="relu"), layers.Dense(10)])
        pool = layers.AveragePooling2D
        return Sequential(
            [
                layers.Conv2D(6, 5, activation="tanh"),
                pool(2),
                layers.Conv2D(16, 5, activation="tanh"),
                pool(2),
                layers.Conv2D(120, 5, activation="tanh"),
                layers.Flatten(),
                layers.Dense(84, activation="tanh"),
                layers.Dense(10),
            ]
        )

    def __call__(self) -> Stamps:
        import keras

        stamps: Stamps = []

        class Clock(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                stamps.append(time.process_time())

        model = self.network()
        model.compile(
            keras.optimizers.SGD(LR, momentum=0.9),
            metrics=["accuracy"],
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        last = [part.inputs.permute(0, 2, 3, 1).numpy() for part in (self.train, self.val)]
        model.fit(
            last[0],
            self.train.targets.numpy(),
            batch_size=BATCH,
            epochs=self.epochs,
            verbose=0,
            validation_data=(last[1], self.val.targets.numpy()),
            callbacks=[Clock()],
        )
        return stamps


CONTENDERS: dict[str, Callable[[str], Callable[[], Stamps]]] = {
    "hand-written": HandWritten,
    "didact": Didact,
    "didact, compiled": lambda case: Didact(case, compiled=True),
    "DataLoader loop": UsualLoader,
    "Lightning": Lightning,
    "Keras 3 on torch": Keras,
}


def epoch_seconds(stamps: Stamps) -> float:
    """CPU seconds of an epoch, the first one left out."""
    return (stamps[-1] - stamps[0]) / (len(stamps) - 1)


def measure(case: str) -> dict[str, dict[str, float]]:
    """Let the contenders take turns; ratios are taken within a turn."""
    contenders = {name: make(case) for name, make in CONTENDERS.items()}
    for contender in contenders.values():
        contender()
    turns = [{name: epoch_seconds(run()) for name, run in contenders.items()} for _ in range(ROUNDS)]
    examples = len(contenders["hand-written"].train)
    table = {}
    for name in contenders:
        ratios = [turn[name] / turn["hand-written"] for turn in turns]
        seconds = statistics.median(turn[name] for turn in turns)
        table[name] = {
            "ratio": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
            "examples_per_cpu_second": examples / seconds,
        }
    return table


def main() -> None:
    """Measure both networks, print and save."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    import logging

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    from importlib.metadata import version

    result = {
        "what": "CPU time of an epoch as a ratio to the hand-written loop in the same turn; lower is faster",
        "date": datetime.now(UTC).date().isoformat(),
        "rounds": ROUNDS,
        "batch_size": BATCH,
        "threads": 1,
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "platform": platform.platform(),
            "capability": torch.backends.cpu.get_cpu_capability(),
        },
        "versions": {name: version(name) for name in ("didact", "torch", "lightning", "keras")},
        "cases": {},
    }
    for case in CASES:
        with contextlib.redirect_stdout(sys.stderr):
            result["cases"][case] = measure(case)
        print(f"\n{case:<18} ratio   (lowest-highest)  examples per CPU second")
        for name, row in result["cases"][case].items():
            print(
                f"{name:<18} {row['ratio']:5.2f}   ({row['lowest']:.2f}-{row['highest']:.2f})"
                f"{row['examples_per_cpu_second']:16,.0f}"
            )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")


if __name__ == "__main__":
    main()
