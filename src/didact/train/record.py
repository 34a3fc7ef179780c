"""``metrics.jsonl``: one line a point of the raw curve, one line an epoch, readable by any tool."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from didact.tasks.task import Numbers
from didact.train.files import write_text
from didact.train.loop import Loop


class Record:
    """Appends to ``metrics.jsonl`` whole lines in one write call, so that a kill never leaves half a line."""

    def __init__(self, path: Path):
        self.path = path
        self.lines: list[str] = []

    def on_step(self, loop: Loop, numbers: Numbers) -> None:
        """A point of the raw training curve."""
        self.lines.append(json.dumps({"step": loop.at.step, "epoch": loop.at.epoch + 1, "train": numbers}))

    def on_epoch(self, loop: Loop, record: dict[str, Any]) -> None:
        """An epoch: training averages, validation scores, rate, seconds."""
        self.lines.append(json.dumps(record))
        self.flush()

    def flush(self) -> None:
        """Write what was gathered: after each epoch, and before a state is saved that counts on it."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, "".join(line + "\n" for line in self.lines).encode())
        finally:
            os.close(descriptor)
        self.lines = []

    def rewind(self, step: int, epoch: int) -> None:
        """Forget what was written after the checkpoint that a resumed run starts from."""
        kept = [
            record
            for record in read_metrics(self.path)
            if record["step"] <= step and (record["epoch"] <= epoch or "val" not in record)
        ]
        write_text(self.path, "".join(json.dumps(record) + "\n" for record in kept))


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Every line of a record; a last line that was cut off is passed over."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return


class TensorBoard:
    """The same numbers as TensorBoard events, by update: ``lr``, ``loss/train``, ``metric/val/...``."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.writer: Any = None

    def on_step(self, loop: Loop, numbers: Numbers) -> None:
        """Nothing: epochs are enough."""

    def on_epoch(self, loop: Loop, record: dict[str, Any]) -> None:
        """Write the epoch's scalars."""
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.directory), purge_step=record["step"])
        self.writer.add_scalar("lr", record["lr"], record["step"])
        for part in ("train", "val"):
            for name, value in record[part].items():
                tag = f"loss/{part}" if name == "loss" else f"metric/{part}/{name}"
                self.writer.add_scalar(tag, value, record["step"])
        self.writer.flush()
