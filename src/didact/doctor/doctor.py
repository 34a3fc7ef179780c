"""The doctor at a training loop: calls that the loop makes, or none at all.

doctor = Doctor()
doctor.on_start(model, optimizer, loss_fn, loader)
for epoch in range(n):
    for batch in loader:
        loss = step(batch)                    # the loop's own code, untouched
        doctor.on_step(loss, batch)
    doctor.on_epoch(train_metrics, val_metrics)
print(doctor.report())
"""

import functools
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from pathlib import Path
from time import perf_counter
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from didact.doctor.chart import Chart
from didact.doctor.course import Case
from didact.doctor.finding import Finding, Report
from didact.doctor.hooks import Hook
from didact.doctor.limits import LIMITS, Limits
from didact.doctor.observer import Observer
from didact.doctor.pace import Pace
from didact.doctor.passes import targets_in
from didact.doctor.taps import listening
from didact.doctor.verdict import conclude
from didact.errors import DidactError

CHECKPOINTS = (1, 20, 150)  # updates after which the rules are asked
ALSO = (5, 50, 100, 300)  # and after these, and after epochs, where the budget allows it
PATIENCE = 5  # errors of its own after which the doctor stops asking what made them


class FaultFound(DidactError):
    """``fail_fast`` was asked for and something that spoils the run was found.

    Attributes:
        report: All that was found.
    """

    def __init__(self, report: Report):
        finding = report.findings[0]
        super().__init__(f"{finding.code} {finding.cause}: {finding.fix}")
        self.report = report


class Doctor:
    """Watches a training loop and says why it is not learning.

    It changes nothing: no random number is drawn from the run's generators, no weight is touched, and an
    error inside it becomes a finding of its own while the run goes on.

    Args:
        budget: Share of the run's time that it may use beside the looks that are certain.
        fail_fast: Raise ``FaultFound`` in ``on_step`` when something that spoils the run is certain.
        limits: The numbers the rules compare with.
        quiet: Do not print what is certain before the first update.

    Attributes:
        chart: All that was observed, as plain numbers.
    """

    def __init__(
        self,
        budget: float = 0.03,
        fail_fast: bool = False,
        limits: Limits = LIMITS,
        quiet: bool = False,
    ):
        self.chart, self.limits = Chart(), limits
        self.fail_fast, self.quiet = fail_fast, quiet
        self.observer = Observer(self.chart, Pace(budget))
        self.observer.finished, self.observer.guard = self._finished, self._try
        self.observer.moved = self._after_step
        self.seen: dict[str, int] = {}
        self._stack = ExitStack()
        self._shown = False
        self._closer_at = 1  # the update at which one batch was last tried by heart
        self._awaited: Optimizer | None = None  # its closure has not run yet
        self._failed: Counter[str] = Counter()  # errors of our own, by the method
        self._trying = False  # inside of a call that is guarded

    def on_start(
        self,
        model: nn.Module | Sequence[nn.Module] | Mapping[str, nn.Module],
        optimizer: Optimizer | Sequence[Optimizer] | Mapping[str, Optimizer] | None = None,
        loss_fn: Callable[..., Any] | None = None,
        loader: Any = None,
    ) -> None:
        """Begin to watch.

        Args:
            model: One, or several that play with each other.
            optimizer: One or several; others are met when they step.
            loss_fn: Not needed, the losses are heard; a module with parameters of its own is watched too.
            loader: Not needed and never drawn from: the batches are seen as they pass.
        """
        models = _named(model, "")
        if isinstance(loss_fn, nn.Module) and any(True for _ in loss_fn.parameters()):
            models["loss"] = loss_fn
        self.admit(models, list(_named(optimizer, "").values()))
        self._stack.enter_context(listening(_Guarded(self)))

    def admit(self, models: Mapping[str, nn.Module], optimizers: Sequence[Optimizer] = ()) -> None:
        """Watch these too, by the name they go by; also while the run goes on."""
        models = {name: unwrapped(model) for name, model in models.items()}
        self._try(self.observer.admit, models, optimizers)
        for each in models.values():
            self._listen_to(each)

    def on_step(self, loss: Any = None, batch: Any = None) -> None:
        """After an update or a micro-batch.

        Args:
            loss: A number, a tensor or a mapping of them.
            batch: As the loop has it: ``(x, y)``, a mapping with labels, or the inputs alone.

        Raises:
            FaultFound: Only with ``fail_fast``.
        """
        if not self.observer.quiet:
            self._try(self._on_step, loss, batch)
        if self.fail_fast:
            self._fail_fast()

    def _on_step(self, loss: Any, batch: Any) -> None:
        self.observer.told_step(_number(loss), targets_in(batch, None))

    def on_epoch(
        self, train_metrics: Mapping[str, float] | None = None, val_metrics: Mapping[str, float] | None = None
    ) -> None:
        """After an epoch and its validation, with the loop's own metrics; none are needed."""
        self._try(self.observer.close_epoch, _floats(train_metrics), _floats(val_metrics))
        if len(self.chart.epochs) & (len(self.chart.epochs) - 1) == 0:  # 1, 2, 4, 8 ...
            self._check_if_affordable()

    def report(self) -> Report:
        """What the doctor thinks so far."""
        self._try(self._settle)
        self._try(self._look_closer)
        found = conclude(self.chart, self.limits, self.seen)
        return Report(tuple(found), self.chart.step, len(self.chart.epochs))

    def close(self) -> None:
        """Stop watching: every hook and tap is taken away. ``report`` still works."""
        self._try(self._settle)
        if self.observer.epochs.validation.passes and self.observer.epochs.validated:
            self._try(self.observer.close_epoch, {}, {})
        self._try(self._look_closer)
        self._stack.close()
        self.chart.finished = True

    def _look_closer(self) -> None:
        """A run that has learned nothing and gives no reason: can the model learn one batch by heart?"""
        case = Case(self.chart, self.limits)
        if self.chart.step < 2 * self._closer_at or not case.none_the_wiser:
            return
        if all(finding.severity == "hint" for finding in conclude(self.chart, self.limits)):
            self._closer_at = self.chart.step
            self.observer.try_by_heart()

    def _settle(self) -> None:
        self.observer.hands_off()
        if self.observer.stepped:
            self.observer.finish()
        self.observer.reader.catch_up()
        self.observer.register.settle()
        if self.chart.by_group:
            self.chart.idle = self.observer.movement.idle(self.chart.by_group)

    # Hearing

    def _listen_to(self, model: nn.Module) -> None:
        observer, ends = self.observer, functools.partial(model.register_forward_hook, always_call=True)
        for register, method, idle in (
            (model.register_forward_pre_hook, observer.pass_begins, observer.idle),
            (ends, observer.pass_ends, lambda model: not observer.running),
        ):
            hook = Hook(functools.partial(self._try, method), idle)
            self._stack.callback(register(hook, with_kwargs=True).remove)

    def _listen_to_parts(self) -> None:
        """A model that is never called itself: what it is made of is."""
        for name, model in list(self.observer.models.items()):
            for part, module in model.named_children():
                self.observer.entries[f"{name}.{part}".lstrip(".")] = module
                self._listen_to(module)
            self.observer.in_parts = len(list(model.children())) > 1 and len(self.observer.place) > 1

    def _try(self, call: Callable[..., Any], *args: Any) -> Any:
        """Never take the run down, and count what it costs."""
        if self._failed and self._failed[call.__qualname__] >= PATIENCE:
            return None
        within, self._trying, begun = self._trying, True, perf_counter()
        try:
            return call(*args)
        except Exception as error:
            self._failed[call.__qualname__] += 1
            place = _innermost(error)
            self.chart.errors.append(f"{type(error).__name__} in {place}: {error}")
            return None
        finally:
            self._trying = within
            if not within:
                self.observer.pace.spent += perf_counter() - begun

    def _steps(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """``step(closure)`` computes its gradients itself: look at the update once it has."""
        if optimizer is self.observer.gliding:
            return None
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if not callable(closure):
            return self._try(self._before_step, optimizer)
        self._awaited = optimizer

        def observed() -> Any:
            loss = closure()
            if self._awaited is optimizer:  # the first time
                self._awaited = None
                self._try(self._before_step, optimizer)
            return loss

        if len(args) > 1:
            return (args[0], observed, *args[2:]), kwargs
        return args, {**kwargs, "closure": observed}

    def _before_step(self, optimizer: Optimizer) -> None:
        self.observer.before_step(optimizer)

    def _gradients(self) -> None:
        """They are there, and no optimizer steps: the loop moves its weights itself."""
        hands = self.observer.hands
        if hands.optimizer is not None and not self.observer.busy:
            if hands.optimizer is not self.observer.gliding:
                self._before_step(hands.optimizer)
            hands.waiting = True

    def _after_step(self, optimizer: Optimizer) -> None:
        self.observer.after_step(optimizer)

    def _finished(self) -> None:
        """An update is written down."""
        step = self.chart.step
        if step == 1 and not self.observer.met:
            self._listen_to_parts()
        if step in CHECKPOINTS:
            self._check()
        elif step in ALSO:
            self._check_if_affordable()

    def _check_if_affordable(self) -> None:
        if self.observer.pace.affordable():
            self._try(self._check)

    def _check(self) -> None:
        """Ask the rules, and remember when each cause was first seen."""
        self.observer.reader.catch_up()
        if self.chart.epochs:
            self.observer.register.settle()
        for finding in conclude(self.chart, self.limits, {}):
            self.seen.setdefault(finding.code, self.chart.step)
            if self.chart.step <= 1 and not self._shown and finding.severity == "critical":
                self._shown = True
                self._show(finding)

    def _show(self, finding: Finding) -> None:
        if not self.quiet:
            print(finding, file=sys.stderr)

    def _fail_fast(self) -> None:
        if self.chart.step in (*CHECKPOINTS, *ALSO) or self.chart.counts.get("loss not finite"):
            report = self.report()
            if report.verdict == "faulty":
                self.close()
                raise FaultFound(report)


class _Guarded:
    """The listener that taps talk to: the observer, behind the guard."""

    def __init__(self, doctor: Doctor):
        guarded = functools.partial(functools.partial, doctor._try)
        self._doctor = doctor
        observer = self._observer = doctor.observer
        self.heard_loss = guarded(observer.heard_loss)
        self.heard_backward = guarded(observer.heard_backward)
        self.heard_clipping = guarded(observer.heard_clipping)
        self.heard_scale = guarded(observer.heard_scale)
        self.heard_batch = guarded(observer.heard_batch)
        self.heard_equal = guarded(observer.heard_equal)
        self.before_step = doctor._steps
        self.after_step = guarded(doctor._after_step)

    def heard_gradients(self) -> None:
        if self._observer.hands.optimizer is not None:
            self._doctor._try(self._doctor._gradients)

    quiet = property(attrgetter("_observer.quiet"))  # asked at every loss


@contextmanager
def watch(
    model: nn.Module | Sequence[nn.Module] | Mapping[str, nn.Module],
    optimizer: Optimizer | Sequence[Optimizer] | Mapping[str, Optimizer] | None = None,
    loss_fn: Callable[..., Any] | None = None,
    loader: Any = None,
    **options: Any,
) -> Iterator[Doctor]:
    """Watch whatever training happens inside; the loop needs no calls.

    Args:
        model: As in ``Doctor.on_start``, like the three after it.
        optimizer: One or several.
        loss_fn: Not needed.
        loader: Not needed.
        **options: Arguments of ``Doctor``.

    Example:
        >>> with didact.watch(model, optimizer) as doctor:
        ...     train(model, optimizer)
        >>> print(doctor.report())
    """
    doctor = Doctor(**options)
    doctor.on_start(model, optimizer, loss_fn, loader)
    try:
        yield doctor
    finally:
        doctor.close()


def unwrapped(model: nn.Module) -> nn.Module:
    """What a wrapper such as DistributedDataParallel holds, which has the names and is called in turn."""
    while list(model._modules) == ["module"] and not model._parameters:
        model = model.get_submodule("module")
    return model


def _named(given: Any, alone: str) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, Mapping) and not isinstance(given, nn.Module):
        return dict(given)
    if isinstance(given, list | tuple):
        return {str(k): each for k, each in enumerate(given)}
    return {alone: given}


def _number(loss: Any) -> float | None:
    if isinstance(loss, Mapping):
        loss = next(iter(loss.values()), None)
    if isinstance(loss, list | tuple):
        loss = loss[0] if loss else None
    if isinstance(loss, Tensor):
        return float(loss.detach()) if loss.numel() == 1 else None
    return float(loss) if isinstance(loss, int | float) else None


def _floats(metrics: Mapping[str, Any] | None) -> dict[str, float]:
    found = {}
    for name, value in (metrics or {}).items():
        number = _number(value)
        if number is not None:
            found[str(name)] = number
    return found


def _innermost(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
