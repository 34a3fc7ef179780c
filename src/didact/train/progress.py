"""Progress on the terminal: a live bar where there is one, a line an epoch where there is none."""

import os
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from didact.catalog import find
from didact.tasks.task import Numbers
from didact.train.loop import Loop


class Progress:
    """Prints to standard error; standard output is for data."""

    def __init__(self, console: Console | None = None):
        self.console = console or _console()
        self.bar: Bar | None = None
        self.begun: tuple[float, int] | None = None  # clock and updates when this leg of the run began

    def introduce(self, loop: Loop) -> None:
        """Say what is trained, and where a resumed run goes on."""
        parameters = sum(parameter.numel() for parameter in loop.model.parameters())
        lines = [
            f"{loop.recipe.model}: {find(loop.recipe.model).about}",
            f"{parameters:,} parameters, {loop.batches:,} batches an epoch, on {loop.device}",
        ]
        if loop.at.step:
            lines.append(f"going on in epoch {loop.at.epoch + 1}, after {loop.at.step:,} updates")
        self.console.print("\n".join(lines), markup=False)

    def on_step(self, loop: Loop, numbers: Numbers) -> None:
        """Move the live bar."""
        self.begun = self.begun or (time.monotonic(), loop.at.step)
        if not self.console.is_terminal:
            return
        if self.bar is None:
            columns = (
                TextColumn("epoch"),
                MofNCompleteColumn(),
                BarColumn(),
                TextColumn("{task.fields[now]}"),
            )
            self.bar = Bar(*columns, console=self.console, transient=True)
            self.bar.add_task("", total=loop.recipe.epochs, now="")
            self.bar.start()
        name, value = next(iter(numbers.items()))
        share = loop.at.epoch + loop.at.batch / loop.batches
        self.bar.update(self.bar.task_ids[0], completed=share, now=f"{name} {value:.4f}{self.left(loop)}")

    def on_epoch(self, loop: Loop, record: dict[str, Any]) -> None:
        """Print the epoch's line; a star marks the best so far."""
        shown = [
            f"train {name} {value:.4f}"
            for name, value in list(record["train"].items())[:2]
            if name.startswith("loss")
        ]
        shown += [
            f"val {name} {record['val'][name]:.4f}"
            for name in dict.fromkeys(["loss", loop.task.metric])
            if name in record["val"]
        ]
        width = len(str(loop.recipe.epochs))
        star = " *" if record["best"] else ""
        self.console.print(
            f"epoch {record['epoch']:>{width}}/{loop.recipe.epochs}  {'  '.join(shown)}"
            f"{self.left(loop)}{star}"
        )

    def close(self) -> None:
        """Take the live bar away."""
        if self.bar is not None:
            self.bar.stop()

    def left(self, loop: Loop) -> str:
        """The estimated time left, once there is something to estimate from."""
        if self.begun is None or loop.at.step <= self.begun[1] or loop.at.finished:
            return ""
        pace = (time.monotonic() - self.begun[0]) / (loop.at.step - self.begun[1])
        return f"  {in_time(pace * (loop.recipe.epochs * loop.updates - loop.at.step))} left"


def _console() -> Console:
    """Standard error; a live bar needs a terminal that can draw one, whatever FORCE_COLOR says."""
    live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return Console(stderr=True, highlight=False, soft_wrap=True, force_terminal=None if live else False)


def in_time(seconds: float) -> str:
    """Seconds as a person says them: ``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
