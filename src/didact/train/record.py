"""``metrics.jsonl``: one line a point of the raw curve, one line an epoch, readable by any tool."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from didact.errors import RunError
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
        """Write what was gathered: after each epoch, and before a state is saved that counts on it.

        Raises:
            RunError: The disk is full, say.
        """
        try:
            with open(self.path, "ab") as file:
                file.write("".join(line + "\n" for line in self.lines).encode())
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written ({error.strerror})") from None
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
    """Every line of a record; a last line that was cut off is passed over.

    Raises:
        RunError: Another line is damaged.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except ValueError as error:
            if number < len(lines):
                raise RunError(f"{path}:{number}: damaged ({error})") from None


class TensorBoard:
    """The same numbers as TensorBoard events, by update: ``lr``, ``loss/train``, ``metric/val/...``."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.writer: Any = None

    def on_step(self, loop: Loop, numbers: Numbers) -> None:
        """Nothing: epochs are enough."""

    def on_epoch(self, loop: Loop, record: dict[str, Any]) -> None:
        """Write the epoch's scalars as one event."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        step, now = record["step"], time.time()
        if self.writer is None:
            self.directory.mkdir(exist_ok=True)
            self.writer = EventFileWriter(str(self.directory))
            again = SessionLog(status=SessionLog.START)  # a resumed run replaces what comes after this step
            self.writer.add_event(Event(wall_time=now, step=step, session_log=again))
        scalars = {"lr": record["lr"]}
        for part in ("train", "val"):
            for name, value in record[part].items():
                scalars[f"loss/{part}" if name == "loss" else f"metric/{part}/{name}"] = value
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self.writer.add_event(Event(wall_time=now, step=step, summary=Summary(value=values)))

    def close(self) -> None:
        """Write what is still queued."""
        if self.writer is not None:
            self.writer.close()
