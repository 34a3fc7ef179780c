"""Progress on the terminal: a live bar where there is one, a line an epoch where there is none."""

import os
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from didact.catalog import find
from didact.tasks.task import Numbers
from didact.train.loop import Loop


class Progress:
    """Prints to standard error; standard output is for data."""

    def __init__(self, console: Console | None = None):
        self.console = console or _console()
        self.bar: LiveBar | None = None
        self.begun: tuple[float, int] | None = None  # clock and updates when this leg of the run began

    def introduce(self, loop: Loop, note: str = "", known: str = "") -> None:
        """Say what is trained, from what, what is known of it, where a resumed run goes on; show the bar."""
        counts = [(parameter.numel(), parameter.requires_grad) for parameter in loop.model.parameters()]
        total, learned = sum(n for n, _ in counts), sum(n for n, learns in counts if learns)
        frozen = f" ({learned:,} of them learn)" if learned < total else ""
        lines = [
            f"{loop.recipe.model}: {find(loop.recipe.model).about}",
            *([note] if note else []),
            f"{total:,} parameters{frozen}, {loop.batches:,} batches an epoch, on {loop.device}",
            *([known] if known else []),
        ]
        if loop.at.step:
            lines.append(f"going on in epoch {loop.at.epoch + 1}, after {loop.at.step:,} updates")
        self.console.print("\n".join(lines), markup=False)
        if self.console.is_terminal:
            self.bar = LiveBar(loop, self.console)
            self.bar.start()

    def on_step(self, loop: Loop, numbers: Numbers) -> None:
        """Note the latest number and the time left."""
        self.begun = self.begun or (time.monotonic(), loop.at.step)
        if self.bar is not None:
            name, value = next(iter(numbers.items()))
            self.bar.note = f"{name} {value:.4f}{self.left(loop)}"

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

    def conclude(self, diagnosis: Mapping[str, Any], stopped: bool = False) -> None:
        """Say what the doctor says; nothing of a run that was stopped and is healthy so far."""
        if not stopped or any(finding["severity"] != "hint" for finding in diagnosis["findings"]):
            self.console.print("\n".join(in_lines(diagnosis)), markup=False)

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


class LiveBar(Bar):
    """A bar that looks where the loop stands each time it is drawn: it costs the loop nothing."""

    def __init__(self, loop: Loop, console: Console):
        columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"))
        super().__init__(*columns, console=console, transient=True, refresh_per_second=4)
        self.loop = loop
        self.note = ""
        self.add_task("", total=loop.recipe.epochs)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar as it stands now."""
        for task in self.tasks:
            task.completed = self.loop.at.epoch + self.loop.at.batch / self.loop.batches
            task.description = self.note
        return super().get_renderables()


def in_lines(diagnosis: Mapping[str, Any]) -> list[str]:
    """A diagnosis on the terminal: a line, and two for each fault."""
    updates = diagnosis["watched"]
    seen = f"{updates['to'] - updates['after']:,} updates watched"
    if updates["after"]:
        seen += f", from update {updates['after'] + 1:,} on"
    lines = [f"diagnosis: {diagnosis['verdict']}, {seen}" if "why" not in diagnosis else diagnosis["why"]]
    for finding in diagnosis["findings"]:
        if finding["severity"] != "hint" or (finding["code"] == "R01" and not finding["because"]):
            place = f" ({finding['where']})" if finding["where"] else ""
            lines += [f"  {finding['code']} {finding['cause']}{place}", f"      fix: {finding['fix']}"]
    return lines


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
