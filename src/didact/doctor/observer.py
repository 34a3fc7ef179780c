"""Hears what happens in a loop and writes it into a chart.

A *pass* is one call of a model from outside. With gradients that reach its answer it was training; without,
it was validation, or a model that only supplies others. Between two passes lie losses, backward and updates.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from didact.doctor.activity import Activity
from didact.doctor.by_heart import by_heart
from didact.doctor.chart import Chart, Look
from didact.doctor.epochs import Epochs
from didact.doctor.graphs import Graphs
from didact.doctor.handmade import Hands
from didact.doctor.hooks import Hook
from didact.doctor.inputs import Inputs, answer_of
from didact.doctor.movement import Movement
from didact.doctor.newborn import describe, layers_with_weights, rate_of
from didact.doctor.objective import Objective
from didact.doctor.operations import CUTTERS, Operations, producer
from didact.doctor.pace import DENSE, READ, Pace
from didact.doctor.pairing import guess
from didact.doctor.passes import Pass, has_modes
from didact.doctor.probes import probe
from didact.doctor.reader import Reader, agree
from didact.doctor.rivals import Rivals
from didact.doctor.rows import Register
from didact.doctor.taps import LossCall
from didact.doctor.update import Update

SNAPSHOT = 10  # updates from one look at how far the weights move to the next
WASTED = 3  # passes with a graph for nothing that count as a validation, where they are heard in one update
MOST_READ = 4  # passes and losses of an update that are read


class Observer:
    """Fills a ``Chart``. Its methods are called by hooks and taps; ``Doctor`` guards every one of them.

    Attributes:
        close: This update is looked at in every way.
        reading: Its rows are noted.
        quiet: Neither: it leaves its loss, its rate and its seconds.
        gliding: Where it does, the only optimizer: nothing needs to be seen before or after its step.
        busy: With a probe of our own; what happens now is not the run's.
    """

    def __init__(self, chart: Chart, pace: Pace):
        self.chart, self.pace = chart, pace
        self.models: dict[str, nn.Module] = {}
        self.entries: dict[str, nn.Module] = {}  # whose calls are passes: the models, or their parts
        self.optimizers: list[Optimizer] = []
        self.place: dict[int, int] = {}  # of an optimizer among them, by its id
        self.parameters: list[Tensor] = []
        self.register = Register(chart.rows)
        self.activity, self.movement = Activity(chart), Movement(chart)
        self.epochs = Epochs(chart, self.register, pace)
        self.rivals, self.graphs = Rivals(chart), Graphs(chart)
        self.objective = Objective(chart)
        self.reader = Reader(chart, self.register, self.epochs)
        self.update, self.hands = Update(), Hands()
        self.close, self.reading, self.quiet, self.busy = True, True, False, False
        self.gliding: Optimizer | None = None
        self.begun = self.ended = self.before = 0.0  # first pass of this update; ends of the last two
        self.loading = self.waited = 0.0  # seconds that loaders take for the next, and took for this one
        self.running: dict[str, ExitStack] = {}  # passes that have begun
        self.traces: dict[str, Operations] = {}
        self.moded: dict[str, bool] = {}  # whether training and evaluation differ, by entry
        self.stepped = False  # an optimizer has, and the update is not written down yet
        self.finished: Callable[[], None] = lambda: None  # called when it is
        self.moved: Callable[[Optimizer], None] = self.after_step  # called when the loop has done so by hand
        self.guard: Callable[..., Any] = lambda call, *args: call(*args)  # an error in it is kept apart
        self.next_look = DENSE
        self.asked = self.met = False  # the probes' questions were put; some pass was met
        self.in_parts = False  # a model is never called itself, several of its parts are

    def idle(self, model: nn.Module) -> bool:
        """Whether a pass that begins now is of no interest: one that learns, in a quiet update."""
        if not self.quiet or self.stepped or not torch.is_grad_enabled():
            return False
        if not model.training:
            self.chart.count("quiet passes in evaluation mode with a graph")
        if not self.begun:
            self._begin(perf_counter())
        self.epochs.unscored = []
        return True

    def admit(self, models: Mapping[str, nn.Module], optimizers: Sequence[Optimizer]) -> None:
        """Describe models and optimizers as they are now; what is known already keeps what was seen of it."""
        self.models.update({name: _plain(model) for name, model in models.items()})
        self.entries.update(models)
        self.optimizers += [o for o in optimizers if all(o is not known for known in self.optimizers)]
        self.place = {id(optimizer): k for k, optimizer in enumerate(self.optimizers)}
        seen = {id(p): weight for p, weight in zip(self.parameters, self.chart.weights, strict=True)}
        self.chart.late |= self.hands.optimizer is not None and not self.parameters
        self.parameters = describe(self.chart, self.models, self.optimizers)
        for k, parameter in enumerate(self.parameters if self.chart.step else ()):
            if id(parameter) in seen:
                now, self.chart.weights[k] = self.chart.weights[k], seen[id(parameter)]
                self.chart.weights[k].in_optimizer = now.in_optimizer
        for look in self.chart.looks:
            _widen(look, len(self.parameters))
        self.movement.before, self.gliding = [], None
        self.activity.admit(self.parameters)
        self.movement.admit(self.parameters, self.optimizers)

    @property
    def several(self) -> bool:
        """Whether there are several networks, which may supply or judge one another."""
        return len(self.models) > 1 or self.in_parts

    def name_of(self, model: nn.Module) -> str | None:
        """The name of a model or part whose calls are passes."""
        return next((name for name, known in self.entries.items() if known is model), None)

    # Passes

    def pass_begins(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """A model is called."""
        self.hands_off()
        now = perf_counter()
        if self.stepped:
            self.finish()
        if not self.begun:
            self._begin(now)
        if self.busy or (self.quiet and torch.is_grad_enabled()):
            return
        name = self.name_of(model)
        if name is None or name in self.running:
            return
        self.met = True
        if torch.is_grad_enabled():
            self.epochs.unscored = []
        stack = self.running[name] = ExitStack()
        self.traces.pop(name, None)
        if self.close and torch.is_grad_enabled() and not _compiled(model):
            self.traces[name] = stack.enter_context(Operations(self.parameters))

    def _begin(self, now: float) -> None:
        """The first pass of an update: what loaders give from here on is for the next."""
        self.begun, self.waited, self.loading = now, self.loading, 0.0

    def pass_ends(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any
    ) -> None:
        """It has answered, or failed with ``output`` None."""
        name = self.name_of(model) if self.running and not self.busy else None
        if name is None or name not in self.running:
            return
        self.running.pop(name).close()
        trace, answer = self.traces.pop(name, None), answer_of(output)
        if answer is None:
            return
        learning = torch.is_grad_enabled() and answer.requires_grad
        one = Pass(name, Inputs(args, kwargs), answer.detach(), _detached(output), learning, model.training)
        if learning:
            one.producer, one.made_by = producer(answer), answer.grad_fn
            one.turn, one.operations = self.update.backwards, trace.calls if trace else []
            one.batch = self.reader.batches.of(one.inputs.tensor)
            one.strangers = frozenset(trace.strangers if trace else ())
            if self.close and _scored_itself(output):
                self.register.own_loss = True
            answer.register_hook(Hook(one.receive if self.close else one.hear))
        elif model.training and torch.is_grad_enabled() and any(p.requires_grad for p in model.parameters()):
            one.operations = trace.calls if trace else []  # cut off: it was used all the same
            self.activity.read(one)
        else:
            self.reader.catch_up()
            self.epochs.looked(model, one)
        if learning or self.several:
            self.update.add(one)

    # Losses

    def heard_loss(self, call: LossCall) -> None:
        """A loss was computed: with a graph in training, without in validation."""
        if self.busy:
            return
        if call.learning:
            self.register.own_loss = self.register.own_loss or bool(self.running)
            self.objective.heard(call)
        elif not torch.is_grad_enabled() and call.value.numel() == 1:
            self.epochs.scored(call)

    def heard_scale(self, scale: float) -> None:
        """The next loss is multiplied by this."""
        self.objective.scale = scale or 1.0

    def heard_batch(self, batch: Any, seconds: float) -> None:
        """A loader gave a batch."""
        self.loading += seconds
        if not (self.quiet or self.busy):
            self.reader.batches.heard(batch)

    def heard_equal(self, one: Tensor, other: Tensor) -> None:
        """Two tensors were compared: in a validation, answers with what they should be."""
        if not self.busy:
            self.epochs.compared(one, other)

    def heard_clipping(self, norm: Tensor, limit: float) -> None:
        """Gradients of this norm are clipped to a limit."""
        if self.close and not self.busy:
            self.chart.clipped.append((self.chart.step, float(norm), limit))

    def heard_backward(self, loss: Tensor) -> None:
        """A loss is about to be differentiated."""
        if self.busy:
            return
        self.hands_off()
        if self.stepped:
            self.finish()
        if not self.optimizers:
            self.hands.look(loss)
        self.chart.backwards += 1
        self.update.backwards += 1
        if self.quiet and not loss.is_cpu:  # to read it would wait for the accelerator
            return
        value = self.objective.differentiated(loss)
        if self.epochs.validation.passes:
            with self._apart():
                self.epochs.learning_again()
        if not self.quiet:
            value = self.objective.settle_calls(loss, self.update, value)
            self.movement.backward()
            self.graphs.heard(loss)
        if self.update.loss is None:
            self.update.loss = value
        if not self.several:
            self.pace.heard(value)
        if not math.isfinite(value):
            self._find_not_finite()

    # Updates

    def hands_off(self) -> None:
        """A pass or a backward begins: what the loop does to its weights by hand is done."""
        if self.hands.waiting and self.hands.optimizer is not None and not self.busy:
            self.hands.waiting = False
            self.moved(self.hands.optimizer)

    def before_step(self, optimizer: Optimizer) -> None:
        """An optimizer is about to step: the gradients are complete."""
        if self.busy:
            return
        if id(optimizer) not in self.movement.held:
            if self.models:
                self.place[id(optimizer)] = len(self.optimizers)
                self.optimizers.append(optimizer)
                self.movement.meet(optimizer)
                self.gliding = None
            else:
                self.admit({}, [optimizer])
        if not self.quiet:
            self.guard(self._look, optimizer)
        self._note_loss(optimizer)

    def _look(self, optimizer: Optimizer) -> None:
        """Everything that is gone after an update."""
        self.movement.tell_zeroed(optimizer)
        if not self.stepped:
            self._note_modes()
        if self.movement.emptied(optimizer) and self._felt(optimizer):
            self.chart.count("gradients gone before the step")
        if not self.asked:
            self._ask()
        if self.close:
            for one in self.update.passes:
                self.activity.read(one)
                if strange := one.strangers - self.movement.all_held:
                    self.chart.counts["parameters of no module"] = len(strange)
            self.movement.gradients(optimizer)
            if self.chart.step % SNAPSHOT == 0 or self.chart.step < 3:
                self.movement.remember()

    def _felt(self, optimizer: Optimizer) -> bool:
        """Whether a gradient came back to the answer of a model that this optimizer moves, and went on."""
        mine = self.movement.held[id(optimizer)]
        passes = [one for one in self.update.passes if one.felt and one.producer not in CUTTERS]
        models = [self.entries[one.name] for one in passes]
        return any(id(parameter) in mine for model in models for parameter in model.parameters())

    def _note_loss(self, optimizer: Optimizer) -> None:
        chart, step = self.chart, self.chart.step
        loss = self.update.loss
        if loss is not None:
            chart.by_group.setdefault(self.place[id(optimizer)], []).append((step, loss))
            if not self.stepped:
                chart.losses.append((step, loss))
                self.epochs.training.add_loss(loss, 1)
        if not self.stepped:
            quick = self.quiet and len(chart.rates) > 1
            rate = optimizer.param_groups[0]["lr"] if quick else rate_of(optimizer)
            chart.rates.append((step, float(rate)))

    def _note_modes(self) -> None:
        """Were dropout and batch norm in training mode? And which passes recorded a graph for nothing?"""
        for one in self.update.passes:
            if one.answered and self._has_modes(one.name):
                how = "training" if one.training else "evaluation"
                self.chart.count(f"updates in {how} mode", one.name)
        self.chart.count("updates read")
        passes = self.update.passes
        idle = [one for one in passes if one.learning and not one.answered]
        if any(one.answered and one.training for one in passes) and any(not one.training for one in idle):
            self.chart.count("evaluations with a graph")
        wasted = len(idle)
        if 0 < wasted < len(self.update.passes) and not self.several:
            self.chart.count("validations with a graph", times=max(1, wasted // WASTED))

    def _has_modes(self, name: str) -> bool:
        if self.close or name not in self.moded:
            self.moded[name] = has_modes(self.entries[name])
        return self.moded[name]

    def after_step(self, optimizer: Optimizer) -> None:
        """An optimizer has stepped: how far did each weight move? Another may step on the same gradients."""
        if self.busy:
            return
        if optimizer is self.gliding:
            self.before, self.ended = self.ended, perf_counter()
            self._note_loss(optimizer)
            self.finish()
            return
        if not self.quiet:
            self.guard(self.movement.updates, optimizer)
        if not self.stepped:
            self.before, self.ended = self.ended, perf_counter()
        self.stepped = True

    def finish(self) -> None:
        """Write down the update that was made; called when the next one begins."""
        chart, self.stepped = self.chart, False
        if self.before and not self.close:
            chart.seconds.append((chart.step, self.ended - self.before))
            between = max(self.begun - self.before, 0.0)
            chart.waits.append((chart.step, min(self.waited or between, between)))
        if self.quiet:
            self.update.clear()
        else:
            self.guard(self._read_update)
            self.reader.batches.used()
            self.movement.forget()
            self.update = Update()
        self.begun = 0.0
        self.epochs.updates += 1
        chart.step += 1
        self.close = self.pace.due(chart.step) or (self.several and self._late_look())
        self.reading = self.close or chart.step < READ
        self.quiet = not self.reading
        self.gliding = self.optimizers[0] if self.quiet and len(self.optimizers) == 1 else None
        self.finished()

    def _late_look(self) -> bool:
        """In a game, whose end counts: a look each time the run has grown by a seventh, whatever it costs."""
        if self.chart.step < self.next_look:
            return False
        self.next_look = int(1.15 * self.chart.step) + 1
        return True

    def _read_update(self) -> None:
        """Losses, rows, answers and rivals of the update that has just been made."""
        update, training = self.update, self.update.training
        if self.close:
            self.rivals.note(update.passes, self.several, self.chart.step)
            if training and not update.heard:
                self.objective.guess(update, training[-1], self.reader.targets(update, training[-1]))
            self.objective.read(update.heard[-MOST_READ:])
        self.reader.read(update, training[: 1 if self.several else MOST_READ], self.close)
        last = training[-1] if training else None
        if last is None or last.name not in self.models or update.handed_on(last):
            return  # a part of a model tells little of it
        if own := _of_answer(last.answer, update.heard):
            self.epochs.keep(_plain(self.entries[last.name]), last.inputs, last.answer, own)

    def _find_not_finite(self) -> None:
        """The loss is NaN or infinite: where did that come from?"""
        self.chart.count("loss not finite")
        made = {one.answer.data_ptr() for one in self.update.passes}  # by another part, no data
        for one in self.update.passes:
            x = one.inputs.tensor
            if x is not None and x.dim() > 1 and not x.requires_grad and x.data_ptr() not in made:
                self.reader.check_finite(x)
        bad = (
            weight.name
            for weight, parameter in zip(self.chart.weights, self.parameters, strict=True)
            if not bool(parameter.isfinite().all())
        )
        if "weight not finite" not in self.chart.where:
            self.chart.where["weight not finite"] = next(bad, "")

    def _ask(self) -> None:
        """Put the probes' questions, before the first update."""
        update = self.update
        training = [one for one in update.training if one.answered]
        self.asked = True
        if not 1 <= len(training) <= 2:
            return
        one = training[0]
        with self._apart():
            targets, x = self.reader.targets(update, one), one.inputs.tensor
            if x is not None and targets is not None:
                self.register.looks_into([x, *one.inputs.parts[1:]], targets)
                targets = self.register.by_row(targets)
            call = update.heard[-1] if update.heard else None
            if call is None and targets is not None and update.loss is not None:
                call = guess(one.answer, targets, update.loss, one.producer)
            shifted = self.chart.rows.shifted
            model = _plain(self.entries[one.name])
            found = probe(model, one.inputs, targets, call, shifted)
            if one.name not in self.models or layers_with_weights(model) < 2:  # a part may be one linear map
                for name in ("bend", "bend but for pools", "unreached"):
                    found.pop(name, None)
            self.chart.probes.update(found)

    def try_by_heart(self) -> None:
        """Can the model learn one batch, where it learned nothing of all?"""
        if self.epochs.first is not None:
            with self._apart():
                left = by_heart(*self.epochs.first)
            if left is not None:
                self.chart.probes["by heart"] = left

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """What happens inside is our own doing."""
        self.busy = True
        try:
            yield
        finally:
            self.busy = False

    # What the loop tells

    def told_step(self, loss: float | None, targets: Tensor | None) -> None:
        """An update, or a micro-batch, is done: its loss, and its targets where the loop knows them."""
        self.update.told = loss
        training = self.update.training
        for one in reversed(training):
            if one.targets is not None or targets is None or one.turn != training[-1].turn:
                break
            one.targets = targets  # a batch may be seen twice; of several the loop may tell the last alone

    def close_epoch(self, train: Mapping[str, float], val: Mapping[str, float]) -> None:
        """The loop says that an epoch is over."""
        if self.stepped:
            self.finish()
        self.epochs.told = True
        with self._apart():
            self.reader.catch_up()
            self.epochs.close(train, val)


def _detached(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output.detach()
    return tuple(_detached(part) for part in output) if isinstance(output, list | tuple) else None


def _of_answer(answer: Tensor, calls: Sequence[LossCall]) -> LossCall | None:
    """The loss that was given an answer, and no other targets beside."""
    own = [call for call in calls if call.given.numel() == answer.numel()]
    return own[-1] if own and agree(own) else None


def _scored_itself(output: Any) -> bool:
    """Whether a loss is among what a model gave."""
    if isinstance(output, Tensor):
        return not output.dim() and output.requires_grad
    parts = output.values() if isinstance(output, Mapping) else output
    return isinstance(output, Mapping | list | tuple) and any(map(_scored_itself, parts))


def _widen(look: Look, count: int) -> None:
    """Make room for weights that were met later."""
    for name in ("gradient", "weight", "ratio"):
        numbers = getattr(look, name)
        setattr(look, name, np.pad(numbers, (0, count - len(numbers)), constant_values=np.nan))


def _plain(model: nn.Module) -> nn.Module:
    """Before it was compiled."""
    return getattr(model, "_orig_mod", model)


def _compiled(model: nn.Module) -> bool:
    return hasattr(model, "_orig_mod") or getattr(model, "_compiled_call_impl", None) is not None
