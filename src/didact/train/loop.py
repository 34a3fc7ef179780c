"""The training loop. It knows batches, steps and scores; what they mean is the task's business.

One update: for every step that the task yields, zero the group's gradients, backpropagate the mean over the
accumulated batches, stop at anything that is not finite, clip, and apply. Everything the loop remembers is in
``state`` and ``load``, so that a run can be stopped anywhere and continued to the same end, bit for bit.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from didact.data.augment import augmentation
from didact.data.batches import Batch, Split, TensorSplit, count_batches, epoch_batches
from didact.errors import DidactError
from didact.tasks.task import Numbers, Step, Task
from didact.train.average import WeightAverage
from didact.train.compiled import CannotCompile, CompiledStep, tracing_gradients
from didact.train.nonfinite import CURE, NonFiniteError, explain
from didact.train.optimize import load_optimizer, make_optimizers
from didact.train.recipe import Recipe
from didact.train.schedule import lr_factor, plateau_drops
from didact.train.transfer import freeze

LOOK_EVERY = 50  # steps between two looks at the numbers where a look would stall an accelerator
CURVE_POINTS = 400  # points of the raw training curve, whatever the length of the run


class Interrupted(DidactError):
    """The user asked to stop; the state is saved."""

    exit_code = 130


class Observer(Protocol):
    """Whoever watches a run: the record, the progress line, TensorBoard, the doctor."""

    def on_step(self, loop: "Loop", numbers: Numbers) -> None:
        """After an update that is a point of the raw curve."""

    def on_epoch(self, loop: "Loop", record: dict[str, Any]) -> None:
        """After an epoch, with its averages, validation scores, rate and seconds."""


@dataclass
class Position:
    """Where a run stands. All of it is saved and restored."""

    epoch: int = 0  # epochs completed
    batch: int = 0  # batches of the current epoch that are done
    step: int = 0  # updates done
    rate: float = 1.0  # the schedule's factor at the last update
    seconds: float = 0.0  # spent on earlier legs of a resumed run
    sums: dict[str, list[float]] = field(default_factory=dict)  # name -> [sum, count] of this epoch
    point: dict[str, list[float]] = field(default_factory=dict)  # the same, since the last point of the curve
    scores: list[float] = field(default_factory=list)  # what the task watches, after each epoch
    best_epoch: int = 0
    finished: bool = False


class Loop:
    """Trains one model with one task on one data set."""

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        model: nn.Module,
        splits: Mapping[str, Split],
        device: torch.device,
        observers: Sequence[Observer] = (),
        checkpoint: Callable[[], None] | None = None,
    ):
        self.recipe, self.task, self.device = recipe, task, device
        self.model = model.to(device)
        if recipe.channels_last and task.facts.inputs == "image":
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.observers, self.checkpoint = list(observers), checkpoint
        self.hear: Callable[[Batch], None] | None = None  # told of each batch before its loss is descended
        self.splits = {name: place(split, device, recipe.channels_last) for name, split in splits.items()}
        self.frozen = freeze(model, recipe)
        self.optimizers = make_optimizers(recipe, task.groups(model))
        self.rates = {
            name: [group["lr"] for group in optimizer.param_groups]
            for name, optimizer in self.optimizers.items()
        }
        self.average = WeightAverage(model, recipe.ema) if recipe.ema else None
        self.augment = augmentation(recipe.augment, task.facts, self.splits["train"])
        self.parameters = {
            name: [p for group in optimizer.param_groups for p in group["params"]]
            for name, optimizer in self.optimizers.items()
        }
        self.scaler = torch.amp.GradScaler(device.type) if recipe.precision == "fp16" else None
        self.at = Position()
        self.best: dict[str, Tensor] = {}
        self.stop_asked = False
        self.batches = count_batches(self.splits["train"], recipe.batch_size)
        self.updates = math.ceil(self.batches / recipe.accumulate)  # in an epoch
        self.curve_every = math.ceil(recipe.epochs * self.updates / CURVE_POINTS)
        self.compiled = self.compile() if recipe.compile else None
        self.seen: list[tuple[Step, int]] = []  # steps whose numbers are not read yet, and their examples
        self.started = self.saved = time.monotonic()

    def run(self) -> None:
        """Train to the end, to early stopping, or until asked to stop.

        Raises:
            NonFiniteError: A loss is NaN or infinite.
            Interrupted: ``stop_asked`` was set; the state is saved first.
        """
        with tracing_gradients() if self.compiled else nullcontext():
            while not self.at.finished:
                self.train_epoch()
                self.close_epoch()

    def train_epoch(self) -> None:
        """The rest of the current epoch."""
        self.model.train()
        for module in self.frozen:
            module.eval()
        stream = epoch_batches(
            self.splits["train"],
            self.recipe.batch_size,
            seed=self.recipe.seed,
            epoch=self.at.epoch,
            start=self.at.batch,
            workers=self.recipe.workers,
            augment=self.augment,
        )
        while together := list(islice(stream, self.recipe.accumulate)):
            self.set_rates()
            self.update([self.to_device(batch) for batch in together])
            self.at.batch += len(together)
            self.at.step += 1
            if self.at.step % self.curve_every == 0:
                self.mark_point()
            self.maybe_save()

    def update(self, batches: list[Batch]) -> None:
        """One update of every group, each from all the batches given."""
        if not (self.compiled and self.compiled_update(batches)):
            self.plain_update(batches)
        if self.average:
            self.average.update(self.model)

    def plain_update(self, batches: list[Batch]) -> None:
        """Ask the task for its steps one after the other; each is applied before the next is computed."""
        rounds = [self.task.losses(self.model, batch) for batch in batches]
        while True:
            group = None
            for batch, steps in zip(batches, rounds, strict=True):
                with self.autocast():
                    step = next(steps, None)
                if step is None:
                    break
                if group is None:
                    group = step.group
                    for parameter in self.parameters[group]:
                        parameter.grad = None
                self.observe(batch, step)
                loss = step.loss if len(batches) == 1 else step.loss / len(batches)
                (self.scaler.scale(loss) if self.scaler else loss).backward()
            if group is None:
                break
            self.apply(group)

    def compiled_update(self, batches: list[Batch]) -> bool:
        """The same for a task of one step, as one compiled graph; False where that cannot be."""
        assert self.compiled
        for k, batch in enumerate(batches):
            try:
                with self.autocast():
                    step, gradients = self.compiled(batch, 1 / len(batches))
            except CannotCompile:
                self.compiled = None
                return False
            self.observe(batch, step)
            for parameter, gradient in zip(self.parameters[step.group], gradients, strict=True):
                parameter.grad = gradient if k == 0 else parameter.grad + gradient
        self.apply(step.group)
        return True

    def compile(self) -> CompiledStep | None:
        """Compile each part of the model; where there is one optimizer and no scaler, the whole step."""
        for part in self.task.groups(self.model).values():
            part.compile()
        whole = len(self.optimizers) == 1 and not self.scaler
        return CompiledStep(self.task, self.model, *self.parameters.values()) if whole else None

    def apply(self, group: str) -> None:
        """Clip the group's gradients and let its optimizer step."""
        optimizer, recipe = self.optimizers[group], self.recipe
        if self.scaler:
            self.scaler.unscale_(optimizer)
        if recipe.clip_value:
            nn.utils.clip_grad_value_(self.parameters[group], recipe.clip_value)
        if recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters[group], recipe.clip_norm)
        if self.scaler:
            self.scaler.step(optimizer)
            self.scaler.update()
        else:
            optimizer.step()

    def observe(self, batch: Batch, step: Step) -> None:
        """Remember a step's numbers; on the CPU its loss is looked at before it is applied.

        Raises:
            NonFiniteError: The loss is not finite.
        """
        if self.device.type == "cpu" and not math.isfinite(step.loss.item()):
            raise explain(self.task, self.model, batch, self.at.step + 1, step.group)
        if self.hear:
            self.hear(batch)
        self.seen.append((Step(step.group, step.loss.detach(), step.logs), len(batch[0])))
        if len(self.seen) >= LOOK_EVERY:
            self.look(batch)

    def look(self, batch: Batch | None = None) -> None:
        """Read the numbers of the steps since the last look.

        Raises:
            NonFiniteError: One of the losses is not finite.
        """
        seen, self.seen = self.seen, []
        for step, count in seen:
            loss = step.loss.item()
            if not math.isfinite(loss):
                raise explain(self.task, self.model, batch, self.at.step, step.group)
            name = "loss" if len(self.optimizers) == 1 else f"loss_{step.group}"
            self.add(name, loss * count, count)
            for name, total in step.logs.items():
                self.add(name, total.item(), count)

    def add(self, name: str, total: float, count: int) -> None:
        """Add to the averages of the epoch and of the point at hand."""
        for sums in (self.at.sums, self.at.point):
            entry = sums.setdefault(name, [0.0, 0])
            entry[0] += total
            entry[1] += count

    def mark_point(self) -> None:
        """Hand a point of the raw curve to the observers."""
        self.look()
        numbers = _means(self.at.point)
        self.at.point = {}
        for observer in self.observers:
            observer.on_step(self, numbers)

    def close_epoch(self) -> None:
        """Score the validation split, remember the best weights, decide whether to go on."""
        self.look()
        at, recipe = self.at, self.recipe
        scores = self.validate()
        at.epoch, at.batch = at.epoch + 1, 0
        if scores[self.task.watch] < min(at.scores, default=math.inf):
            at.best_epoch = at.epoch
        at.scores.append(scores[self.task.watch])
        if at.best_epoch == at.epoch or recipe.keep == "last" or not self.best:
            self.best = {name: tensor.detach().clone() for name, tensor in self.kept_weights().items()}
        out_of_patience = bool(recipe.patience) and at.epoch - at.best_epoch >= recipe.patience
        at.finished = at.epoch >= recipe.epochs or out_of_patience
        record = {
            "epoch": at.epoch,
            "step": at.step,
            "lr": recipe.lr * at.rate,
            "seconds": round(self.elapsed(), 3),
            "train": _means(at.sums),
            "val": scores,
            "best": at.best_epoch == at.epoch,
        }
        at.sums = {}
        for observer in self.observers:
            observer.on_epoch(self, record)
        self.maybe_save(now=at.finished)

    def validate(self) -> Numbers:
        """The task's numbers on the validation split, with the averaged weights where there are some.

        Raises:
            NonFiniteError: The last updates have ruined the weights, though no training loss showed it yet.
        """
        with self.average.applied(self.model) if self.average else nullcontext(), self.autocast():
            scores = self.task.score(self.model, self.splits["val"], workers=self.recipe.workers)
        if not math.isfinite(scores[self.task.watch]):
            raise NonFiniteError(
                f"step {self.at.step}: the validation {self.task.watch} is not finite; {CURE}"
            )
        return scores

    def kept_weights(self) -> dict[str, Tensor]:
        """The weights that count: averaged where there is an average."""
        return self.average.weights if self.average else self.model.state_dict()

    def rate(self) -> float:
        """The schedule's factor for the coming update."""
        drops = 0
        if self.recipe.schedule == "plateau":
            drops = plateau_drops(self.at.scores, self.recipe.plateau_patience)
        return lr_factor(self.recipe, self.at.epoch + self.at.batch / self.batches, drops, 1 / self.updates)

    def set_rates(self) -> None:
        """Give every optimizer the rate of the coming update."""
        self.at.rate = self.rate()
        for name, optimizer in self.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self.rates[name], strict=True):
                group["lr"] = rate * self.at.rate

    def maybe_save(self, now: bool = False) -> None:
        """Save when it is time, and always before stopping.

        Raises:
            Interrupted: The user asked to stop.
        """
        due = time.monotonic() - self.saved > self.recipe.checkpoint_every
        if self.checkpoint and (now or due or self.stop_asked):
            self.look()
            self.checkpoint()
            self.saved = time.monotonic()
        if self.stop_asked and not self.at.finished:
            raise Interrupted(f"stopped in epoch {self.at.epoch + 1}, after {self.at.step} updates")

    def elapsed(self) -> float:
        """Seconds spent on the run, earlier legs included."""
        return self.at.seconds + time.monotonic() - self.started

    def to_device(self, batch: Batch) -> Batch:
        """Move a batch; a no-op for what already lies there."""
        inputs, targets = batch
        if inputs.device == self.device:
            return batch
        return inputs.to(self.device, non_blocking=True), targets.to(self.device, non_blocking=True)

    def autocast(self) -> Any:
        """Mixed precision when the recipe asks for it."""
        if self.recipe.precision == "fp32":
            return nullcontext()
        dtype = torch.bfloat16 if self.recipe.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype)

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        return {
            "position": {**vars(self.at), "seconds": self.elapsed()},
            "model": dict(self.model.state_dict()),
            "best": self.best,
            "average": self.average.weights if self.average else {},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "scaler": self.scaler.state_dict() if self.scaler else {},
            "random": {
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            },
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.at = Position(**state["position"])
        self.model.load_state_dict(state["model"])
        self.best = state["best"]
        if self.average:
            self.average.load(state["average"])
        for name, optimizer in self.optimizers.items():
            load_optimizer(optimizer, state["optimizers"][name])
        if self.scaler:
            self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"]["cpu"])
        if state["random"]["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random"]["cuda"])


def place(split: Split, device: torch.device, channels_last: bool) -> Split:
    """Put a split that lies in memory on the device, once."""
    return split.to(device, channels_last) if isinstance(split, TensorSplit) else split


def _means(sums: Mapping[str, Sequence[float]]) -> Numbers:
    return {name: total / count for name, (total, count) in sums.items()}
