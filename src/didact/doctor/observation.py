"""Whatever trains in a process, found by what it calls: models, optimizers and the trainings they belong to.

    optimizer is built     ->  these parameters are trained: listen for whoever holds them
    weights move by hand   ->  the same
    a module is called     ->  outermost, and it holds some of them: a model, watched from this very call on
    all of them are known  ->  stop listening; the rest of the run costs what ``watch`` costs

Nothing is read of the script's text and names. A training that begins anew, with another model and another
optimizer, as for every fold of a cross-validation, has a chart of its own; the worst of them is told.
"""

import functools
import gc
import os
import pickle
import shutil
import sys
import tempfile
import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim import Optimizer

from didact.doctor.as_python import Stop
from didact.doctor.doctor import ALSO, CHECKPOINTS, Doctor, unwrapped
from didact.doctor.elsewhere import Elsewhere, worth_watching
from didact.doctor.finding import Report
from didact.doctor.graphs import leaves_of
from didact.doctor.handmade import ByHand
from didact.doctor.hooks import Hook, transformed
from didact.doctor.newborn import as_drawn
from didact.doctor.taps import wrap

ANEW = 20  # updates after which another model with another optimizer is a training of its own
MOST_MODELS = 8  # that are watched at once
MOST_TRAININGS = 30  # whose reports are kept, one after the other
GRAVITY = {"healthy": 0, "suspect": 1, "faulty": 2}
PATIENCE = 5.0  # seconds that other processes have to write their reports after Ctrl-C


@dataclass(frozen=True)
class ScriptReport(Report):
    """What the doctor says of a script.

    Attributes:
        exit_code: As the script ended: 0, what it gave to ``sys.exit``, 1 after an error, 130 after Ctrl-C.
        note: Why there is no verdict, or which of several trainings this is.
        stopped: ``fail_fast`` ended the script.
    """

    exit_code: int = 0
    note: str = ""
    stopped: bool = False

    @property
    def unseen(self) -> bool:
        """No training was seen, so that nothing can be said."""
        return not self.steps and not self.findings

    def to_dict(self) -> dict[str, Any]:
        """For JSON; the verdict on a script that trained nothing is ``unseen``."""
        entries = super().to_dict() | {"exit_code": self.exit_code, "note": self.note}
        return entries | ({"verdict": "unseen"} if self.unseen else {})

    def __str__(self) -> str:
        if self.unseen:
            return self.note
        return "\n".join(part for part in (self.note, super().__str__()) if part)


class _Watcher(Doctor):
    """A doctor that asks for the models of an optimizer before it first steps."""

    def __init__(self, observation: "Observation", **options: Any):
        super().__init__(**options)
        self.observation = observation

    def _before_step(self, optimizer: Optimizer) -> None:
        self.observation.steps(optimizer)
        super()._before_step(optimizer)

    def _after_step(self, optimizer: Optimizer) -> None:
        super()._after_step(optimizer)
        asked = self.chart.step in (*CHECKPOINTS, *ALSO) or self.chart.counts.get("loss not finite")
        if self.observation.fail_fast and asked and self.report().verdict == "faulty":
            self.observation.stopped = True
            raise Stop


class Observation(AbstractContextManager["Observation"]):
    """Hears whatever trains in this process, and in those that it starts through ``multiprocessing``.

    Args:
        budget: As in ``Doctor``, like ``quiet``.
        fail_fast: Raise ``Stop`` in an optimizer's step when something that spoils the run is certain.
        quiet: Do not print what is certain before the first update.
    """

    current: "Observation | None" = None

    def __init__(self, budget: float = 0.03, fail_fast: bool = False, quiet: bool = False):
        self.budget, self.fail_fast, self.quiet, self.stopped = budget, fail_fast, quiet, False
        self.reports: list[Report] = []  # of trainings that are over
        self.backwards = self.updates = self.built = 0
        self.process = os.getpid()
        self.optimizers: list[weakref.ref[Optimizer]] = []
        self.born: weakref.WeakKeyDictionary[Optimizer, tuple[int, int]] = weakref.WeakKeyDictionary()
        self.settled: weakref.WeakSet[Optimizer] = weakref.WeakSet()
        self.doubtful: list[str] = []  # names of models that no optimizer moves
        self.stack = ExitStack()
        self.armed: Any = None
        self.known = False  # all that optimizers hold belongs to models that are watched
        self.folder = Path(tempfile.mkdtemp(prefix="didact-doctor-"))
        self.started: list[BaseProcess] = []
        self._begin()

    def __enter__(self) -> "Observation":
        Observation.current = self
        self.stack.callback(wrap(Optimizer, "add_param_group", self._built))
        self.stack.callback(wrap(BaseProcess, "start", self._starts))
        self.stack.callback(self._disarm)
        warnings.filterwarnings("ignore", message="Using `torch.compile.module.` when there are global hooks")
        self.stack.callback(functools.partial(_without_filter, warnings.filters[0]))
        self._arm()
        return self

    def __exit__(self, *raised: object) -> None:
        Observation.current = None
        self.stack.close()
        self.doctor.close()
        if os.getpid() == self.process:
            shutil.rmtree(self.folder, ignore_errors=True)

    # Trainings

    def _begin(self) -> None:
        self.doctor = _Watcher(self, budget=self.budget, quiet=self.quiet)
        self.doctor.on_start({})
        self.doctor.observer.hands.off = bool(self.built)
        self.settled.clear()
        self.doubtful.clear()

    def finish(self, whole: bool) -> None:
        """The training that was watched is over; ``whole`` if it came to its own end."""
        self.doctor.close()
        self.doctor.chart.finished = whole
        if self.built:
            self.doctor.chart.counts["optimizers built"] = self.built
        self.backwards += self.doctor.chart.backwards
        self.updates += self.doctor.chart.step
        report = self.doctor.report()
        if report.steps or report.findings:
            self.reports.append(report)

    def _begin_anew(self) -> None:
        batches = self.doctor.observer.reader.batches
        self.finish(whole=True)
        self._begin()
        self.doctor.observer.reader.batches = batches

    def report(self, code: int) -> ScriptReport:
        """The worst report of all, of this process and of those it started."""
        reports = self.reports or self._from_elsewhere()
        chosen = max(reports, key=lambda report: GRAVITY[report.verdict], default=Report(()))
        return ScriptReport(
            chosen.findings, chosen.steps, chosen.epochs, code, self._note(reports, chosen), self.stopped
        )

    def _note(self, reports: Sequence[Report], chosen: Report) -> str:
        if len(reports) > 1:
            place = next(k for k, report in enumerate(reports) if report is chosen)
            worst = "the worst" if chosen.verdict != "healthy" else "all are healthy"
            return f"training {place + 1} of {len(reports)}, {worst}"
        if reports:
            return ""
        if self.backwards:
            why = f"backward ran {self.backwards:,} times and no optimizer of torch.optim made a step"
        else:
            why = "no optimizer of torch.optim made a step in this process"
        return f"no training was seen: {why}"

    # Other processes

    def _starts(self, original: Callable[[Any], None], process: Any) -> None:
        target = getattr(process, "_target", None)
        if target is not None and worth_watching(target):
            options = {"budget": self.budget}
            process._target = Elsewhere(target, str(self.folder), options)
            self.started.append(process)
        original(process)

    def leave(self) -> None:
        """A process that was forked has an observation of its own."""
        self.stack.close()
        self.doctor.close()

    def write(self, folder: str) -> None:
        """Leave the reports for the process that started this one."""
        name = Path(folder) / f"{os.environ.get('RANK', '')}-{os.getpid()}.pickle"
        with suppress(OSError), open(name.with_suffix(".part"), "wb") as file:
            pickle.dump(self.reports, file)
        with suppress(OSError):
            name.with_suffix(".part").rename(name)

    def _from_elsewhere(self) -> list[Report]:
        for process in self.started:
            with suppress(AssertionError, ValueError):
                process.join(PATIENCE)
        found = []
        for file in sorted(self.folder.glob("*.pickle")):
            found += pickle.loads(file.read_bytes())
        return found

    # Models

    def _arm(self) -> None:
        if self.armed is None and not self.known:
            self.armed = register_module_forward_pre_hook(self._called)

    def _disarm(self) -> None:
        if self.armed is not None:
            self.armed.remove()
            self.armed = None

    def _built(self, original: Callable[..., None], optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
        """Parameters were given to an optimizer, mostly as it was built."""
        original(optimizer, *args, **kwargs)
        if optimizer not in self.born:
            self.built += not isinstance(optimizer, ByHand)
            self.doctor.observer.hands.off = bool(self.built)
            self.born[optimizer] = len(self.reports), self.doctor.chart.step
            self.optimizers = [known for known in self.optimizers if known() is not None]
            self.optimizers.append(weakref.ref(optimizer))
        self.known = False
        self._arm()

    def _called(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Some module is called from outside: what it calls in turn is not heard."""
        doctor = self.doctor
        if torch.compiler.is_compiling() or transformed():
            return
        if doctor.observer.busy or os.getpid() != self.process:
            return
        self._disarm()
        doctor._try(self._consider, module, args)
        handles: list[Any] = []

        def left(*_: Any) -> None:
            if handles:
                handles.pop().remove()
                self._arm()

        try:
            handles.append(module.register_forward_hook(Hook(left), always_call=True))
        except (RuntimeError, AttributeError, TypeError):  # a module that takes no hooks
            self._arm()

    def _consider(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Watch it, if it is trained and not watched yet."""
        root, observer = unwrapped(module), self.doctor.observer
        if observer.name_of(root) is not None:
            return
        own = {id(p) for p in root.parameters() if p.requires_grad and not _unborn(p)}
        if not own or own <= {id(p) for p in observer.parameters}:
            return
        holders = [optimizer for optimizer in self._live() if own & _ids(optimizer)]
        doubtful = not holders
        begun = observer.chart.step or observer.stepped
        if doubtful and (not torch.is_grad_enabled() or not self._live() or begun):
            return
        if holders and self._is_another(own, holders):
            self._begin_anew()
            observer = self.doctor.observer
        now = len(self.reports)  # an optimizer of a training before this one is met if it steps again
        holders = [optimizer for optimizer in holders if self.born.get(optimizer, (now, 0))[0] == now]
        if _is_loss(root, args):
            observer.models[_new_name("loss", observer.models)] = root
            observer.admit({}, holders)
        elif len(observer.models) < MOST_MODELS:
            name = self._admit(root, holders)
            self.doubtful += [name] if doubtful else []
        self.known = bool(begun) and self._all_known()  # before, some may be left out
        if root is module:  # its own hooks are too late for this call
            observer.pass_begins(module, args, {})

    def _is_another(self, own: set[int], holders: Sequence[Optimizer]) -> bool:
        """Whether a training of its own begins with this model: nothing in it was there before."""
        chart, now = self.doctor.chart, len(self.reports)
        young = all(at == now and step for at, step in (self.born.get(o, (now, 0)) for o in holders))
        strange = not own & {id(p) for p in self.doctor.observer.parameters}
        return chart.step >= ANEW and young and strange and now < MOST_TRAININGS

    def _admit(self, root: nn.Module, holders: Sequence[Optimizer]) -> str:
        observer = self.doctor.observer
        if not observer.chart.step:
            inside = {id(part) for part in root.modules()}
            for name in [name for name, model in observer.entries.items() if id(model) in inside]:
                self._forget(name)
        if "" in observer.models and not observer.chart.step:
            self._rename("", _new_name(type(observer.models[""]).__name__, observer.models))
        name = _new_name(type(root).__name__, observer.models) if observer.models else ""
        self.doctor.admit({name: root}, holders)
        return name

    def _forget(self, name: str) -> None:
        observer = self.doctor.observer
        observer.models.pop(name, None)
        observer.entries.pop(name, None)
        observer.update.passes = [one for one in observer.update.passes if one.name != name]

    def _rename(self, old: str, new: str) -> None:
        observer = self.doctor.observer
        self.doubtful = [new if name == old else name for name in self.doubtful]
        for table in (observer.models, observer.entries):
            entries = list(table.items())
            table.clear()
            table.update({new if name == old else name: model for name, model in entries})
        for one in observer.update.passes:
            one.name = new if one.name == old else one.name
        for running in (observer.running, observer.traces):
            if old in running:
                running[new] = running.pop(old)  # type: ignore[assignment]

    def steps(self, optimizer: Optimizer) -> None:
        """An optimizer is about to step: for the first time, all that it moves is looked for."""
        if optimizer in self.settled:
            return
        self.settled.add(optimizer)
        self._drop_doubtful()
        self.known = self._all_known()
        observer = self.doctor.observer
        mine = {id(p) for group in optimizer.param_groups for p in group["params"] if p.requires_grad}
        inside = [
            name for name, model in observer.entries.items() if mine & {id(p) for p in model.parameters()}
        ]
        if mine <= {id(p) for p in observer.parameters} and len(inside) < 2:
            return
        parent = _smallest_holder(mine)
        if parent is not None and all(parent is not model for model in observer.models.values()):
            self._put_into(parent, inside)

    def _drop_doubtful(self) -> None:
        """Models that no optimizer moves were called: they are of interest only where there is no other.

        Or where they are new, a link in a chain, and a gradient has come to them: then they were to learn.
        """
        observer = self.doctor.observer
        out = {name for name in self.doubtful if self._left_out(name)}
        names, self.doubtful = [name for name in self.doubtful if name not in out], []
        if names and set(observer.models) - set(names):
            for name in names:
                self._forget(name)
            if len(observer.models) == 1 and not observer.chart.step:
                self._rename(next(iter(observer.models)), "")
            observer.admit({}, [])

    def _left_out(self, name: str) -> bool:
        """Whether a model would learn if an optimizer had it, and has not learned before."""
        observer = self.doctor.observer
        model = observer.models[name]
        own = {id(p): p.grad for p in model.parameters() if p.requires_grad}
        if not any(grad is not None and bool(grad.any()) for grad in own.values()) or not as_drawn(model):
            return False
        for one in observer.update.passes:
            leaves = {id(leaf) for part in one.inputs.everything for leaf in leaves_of(part)}
            if leaves - own.keys() if one.name == name else leaves & own.keys():
                return True
        return False

    def _put_into(self, parent: nn.Module, names: Sequence[str]) -> None:
        """A model that is never called itself: its parts are, and what it does not call counts too."""
        observer = self.doctor.observer
        if not observer.chart.step:
            places = {id(part): place for place, part in parent.named_modules()}
            for name in names:
                part = places.get(id(observer.models.get(name)))
                if part is not None:
                    observer.models.pop(name)
                    self._rename(name, part)
        base = _new_name(type(parent).__name__, observer.models) if observer.models else ""
        if names:
            observer.models[base] = parent
            observer.admit({}, [])
        else:
            self.doctor.admit({base: parent})
        self.known = self._all_known()

    def _live(self) -> list[Optimizer]:
        return [optimizer for known in self.optimizers if (optimizer := known()) is not None]

    def _all_known(self) -> bool:
        mine = {id(p) for p in self.doctor.observer.parameters}
        return all(_ids(optimizer) <= mine for optimizer in self._live())


def _ids(optimizer: Optimizer) -> set[int]:
    """What an optimizer trains."""
    return {id(p) for group in optimizer.param_groups for p in group["params"] if p.requires_grad}


def _new_name(name: str, taken: Any) -> str:
    names = (name if k == 1 else f"{name} {k}" for k in range(1, len(taken) + 2))
    return next(each for each in names if each not in taken)


def _unborn(parameter: Tensor) -> bool:
    return isinstance(parameter, nn.parameter.UninitializedParameter)


def _is_loss(module: nn.Module, args: Sequence[Any]) -> bool:
    """A loss with parameters of its own, given what a model answered: its calls are not a model's."""
    name = type(module).__name__.lower()
    answers = any(isinstance(each, Tensor) and each.grad_fn is not None for each in args)
    return answers and ("loss" in name or "criterion" in name)


def _without_filter(entry: Any) -> None:
    with suppress(ValueError):
        warnings.filters.remove(entry)  # type: ignore[attr-defined]


def _smallest_holder(parameters: set[int]) -> nn.Module | None:
    """Of all modules there are, the smallest that holds these parameters."""
    best, size = None, sys.maxsize
    for thing in gc.get_objects():
        if issubclass(type(thing), nn.Module):
            with suppress(AttributeError, RuntimeError, TypeError):  # half built
                parts = sum(1 for _ in thing.modules())
                if parts < size and parameters <= {id(p) for p in thing.parameters()}:
                    best, size = thing, parts
    return best
