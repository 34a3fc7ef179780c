"""The doctor beside a training loop: before the first update, during the run, and what it says in the end."""

# C classes or tokens

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from didact.data.batches import Batch, epoch_batches
from didact.data.check.report import check_data
from didact.data.open import Data
from didact.doctor.codes import causes
from didact.doctor.doctor import Doctor
from didact.doctor.finding import Finding, Report
from didact.errors import DidactError
from didact.tasks.task import Numbers, Task
from didact.train.files import read_json, write_json
from didact.train.loop import Loop
from didact.train.nonfinite import NonFiniteError
from didact.version import VERSION

FILE = "diagnosis.json"
CHECKED_ROWS = 300  # examples that the data doctor looks at before a run; `didact data --check` looks at all
LARGE = 20_000_000  # numbers in a model that is not copied for a rehearsal
EQUAL = 0.02  # by so much may the labels' entropy fall short of log C before that is said
OVERFITS = "R01"
COMPILED = "not watched: a compiled step lets nobody listen; --set compile=false has it watched"


@dataclass(frozen=True)
class Preflight:
    """What is known before the first update.

    Attributes:
        first_loss: Of the first batch.
        ignorance: What the best constant answer costs.
        words: Where that number comes from: ``log 10``.
        faults: Exact faults that a rehearsed update showed, as findings.
        data: What the data doctor found in a sample, as findings.
    """

    first_loss: float | None = None
    ignorance: float | None = None
    words: str = ""
    faults: list[dict[str, Any]] = field(default_factory=list)
    data: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """A line or two for the terminal; nothing where nothing is known."""
        lines = []
        if self.first_loss is not None and self.ignorance is not None:
            lines.append(
                f"first loss {self.first_loss:.2f}, ignorance costs {self.ignorance:.2f} ({self.words})"
            )
        lines += [f"{fault['code']} {fault['cause']}; {fault['fix']}" for fault in self.faults]
        odd = [finding for finding in self.data if finding["severity"] != "note"]
        if odd:
            more = f" (and {len(odd) - 1} more: didact data --check)" if len(odd) > 1 else ""
            lines.append(f"data: {odd[0]['where']}: {odd[0]['what']}{more}")
        return "\n".join(lines)


class Watched:
    """Lets the doctor listen to a loop. It is one of the loop's observers; the loop goes on as without it.

    Args:
        loop: Ready to run, fresh or resumed.
        data: What it trains on.
        directory: Of the run.

    Attributes:
        since: The update after which this leg of the run began.
    """

    def __init__(self, loop: Loop, data: Data, directory: Path):
        self.loop, self.path, self.since = loop, directory / FILE, loop.at.step
        self.preflight = Preflight() if self.since else preflight(loop, data)
        earlier = read_json(self.path) if self.since and self.path.exists() else {}
        self.before = earlier.get("preflight") or self.preflight.to_dict()
        self.doctor = None if loop.recipe.compile else Doctor(quiet=True)

    def begin(self) -> None:
        """Listen, from now to ``end``."""
        if self.doctor is None:
            return
        groups = self.loop.task.groups(self.loop.model)
        alone = len(groups) == 1
        self.doctor.on_start(self.loop.model if alone else groups, self.loop.optimizers)
        self.loop.hear = self._hear if alone else None  # in a game, a batch belongs to no step alone

    def end(self, error: BaseException | None = None) -> None:
        """Stop listening, whatever ended the training, and write down what is known."""
        self.loop.hear = None
        if self.doctor is not None:
            if isinstance(error, NonFiniteError):  # the loop stops before the doctor could hear of it
                self.doctor.chart.count("loss not finite")
            self.doctor.close()
        watched = self.loop.at.step > self.since
        if watched or error is not None or not self.path.exists():
            write_json(self.path, self.diagnosis())

    def diagnosis(self) -> dict[str, Any]:
        """The doctor's report, with the version and what was watched."""
        nothing = {"verdict": "not watched", "steps": 0, "epochs": 0, "findings": []}
        report = self._report().to_dict() if self._heard() else nothing
        updates = {"after": self.since, "to": self.loop.at.step}
        why = {} if self.doctor else {"why": COMPILED}
        return plain({"version": VERSION, **report, **why, "watched": updates, "preflight": self.before})

    def _report(self) -> Report:
        """What the doctor says; overfitting does no harm where the weights of the best epoch are kept."""
        assert self.doctor
        report, recipe = self.doctor.report(), self.loop.recipe
        if recipe.keep == "last":
            return report
        epoch = self.loop.at.best_epoch
        kept = f"none needed: the weights of epoch {epoch}, from before it overfitted, are kept"
        told = [replace(f, severity="hint", fix=kept) if _overfits(f) else f for f in report.findings]
        return replace(report, findings=tuple(sorted(told, key=lambda f: f.severity == "hint")))

    def _heard(self) -> bool:
        """Whether there was anything to hear."""
        return self.doctor is not None and (self.doctor.chart.step > 0 or bool(self.doctor.chart.counts))

    def _hear(self, batch: Batch) -> None:
        """The loop has a batch and its loss: the targets in the shape they came in."""
        if self.doctor is not None:
            self.doctor.on_step(None, batch)

    def on_step(self, loop: Loop, numbers: Numbers) -> None:
        """Nothing: the doctor hears every update."""

    def on_epoch(self, loop: Loop, record: Mapping[str, Any]) -> None:
        """Hand on the scores that count; the others may be at their ceiling from the first epoch on."""
        if self.doctor is not None:
            shown = ("loss", loop.task.metric)
            self.doctor.on_epoch(record["train"], {k: v for k, v in record["val"].items() if k in shown})


def _overfits(finding: Finding) -> bool:
    return finding.code == OVERFITS and not finding.because


def preflight(loop: Loop, data: Data) -> Preflight:
    """What can be known before the first update; the loop and all random numbers stay as they are."""
    found = check_data(data, budget_rows=CHECKED_ROWS).findings
    checked = [finding.to_dict() for finding in found if finding.rule != "sampled"]
    loss, constant, faults = _rehearsal(loop)
    known, words = ignorance(loop.task, getattr(loop.splits["train"], "targets", None), constant)
    return Preflight(loss, known, words, faults, checked)


def ignorance(task: Task, targets: Tensor | None, constant: float | None) -> tuple[float | None, str]:
    """What it costs to know nothing, and where that number comes from.

    Args:
        task: Knows the classes, or the vocabulary.
        targets: Of the training split, where they lie in memory.
        constant: The cost of the best constant answer to a batch, where there is one.
    """
    count = len(task.facts.classes or task.facts.vocabulary)
    if constant is None or count < 2:
        return constant, "the best constant answer"
    equal = math.log(count)
    if targets is None or not task.facts.classes:
        return equal, f"log {count}"
    shares = targets.flatten().bincount(minlength=count).double() / targets.numel()
    entropy = float(-torch.special.xlogy(shares, shares).sum())
    if entropy < (1 - EQUAL) * equal:
        return entropy, f"always the classes' shares; log {count} is {equal:.2f}"
    return equal, f"log {count}"


def _rehearsal(loop: Loop) -> tuple[float | None, float | None, list[dict[str, Any]]]:
    """The first update, on a copy: its loss, the cost of the best constant, and exact faults."""
    size = sum(parameter.numel() for parameter in loop.model.parameters())
    if len(loop.optimizers) > 1 or loop.recipe.compile or size > LARGE:
        return None, None, []
    doctor = Doctor(quiet=True)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            _rehearse(loop, doctor)
        except DidactError:  # the loop will meet it too, and say it better
            return None, None, []
        finally:
            doctor.close()
    exact = [f.to_dict() for f in doctor.report().findings if f.code in causes() and causes()[f.code].exact]
    heard = [pairing for pairing in doctor.chart.pairings.values() if math.isfinite(pairing.baseline)]
    if len(heard) != 1 or heard[0].calls != 1 or not doctor.chart.losses:  # a loss of several parts, say
        return None, None, exact
    return doctor.chart.losses[0][1], heard[0].baseline, exact


def _rehearse(loop: Loop, doctor: Doctor) -> None:
    recipe = replace(loop.recipe, accumulate=1)
    twin = Loop(recipe, loop.task, copy.deepcopy(loop.model), loop.splits, loop.device)
    train = twin.splits["train"]
    stream = epoch_batches(train, recipe.batch_size, seed=recipe.seed, epoch=0, augment=twin.augment)
    batch = twin.to_device(next(stream))
    twin.model.train()
    for module in twin.frozen:
        module.eval()
    doctor.on_start(twin.model, twin.optimizers)
    twin.set_rates()
    twin.update([batch])


def plain(value: Any) -> Any:
    """A value as JSON can hold it: no NaN, no infinity, nothing of numpy's."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)
