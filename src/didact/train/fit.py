"""``fit``: from a model's name and a data set's to a trained, scored, recorded run."""

import shlex
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn

from didact.data.batches import Split
from didact.data.card import data_card
from didact.data.open import Data
from didact.errors import RunError, UsageError
from didact.tasks.task import Task, evaluating
from didact.train.files import load_tensors, load_tree, same_tensors, save_tree, write_json
from didact.train.loop import Interrupted, Loop, Observer
from didact.train.progress import Progress
from didact.train.recipe import Recipe, make_recipe
from didact.train.record import Record, TensorBoard
from didact.train.report import write_report
from didact.train.run import Run, build_for, environment, make_task, open_recipe_data, save_model
from didact.train.transfer import network_weights, on_features
from didact.train.watched import Watched
from didact.train.weights import Loaded, find_weights, load_weights


def fit(
    model: str = "lenet5",
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    quiet: bool = True,
    heal: bool = False,
    **knobs: Any,
) -> Run:
    """Train a model of the catalogue on a data set.

    Args:
        model: A name of ``didact.CATALOG``.
        data: An embedded set, or a path; by default what the catalogue pairs the model with.
        out: The run's directory; by default the next free one under ``runs/``.
        quiet: Print no progress.
        heal: Where the doctor finds a fault that another recipe mends, train again with it, and give the
            better run. Such runs lie beside the first.
        **knobs: Any field of ``Recipe``, argument of the model or knob of the task.

    Returns:
        The finished run: ``run.scores``, ``run.model``, ``run.report``.

    Example:
        >>> run = didact.fit("lenet5", "digits", epochs=10)

    Raises:
        UsageError: An unknown name or a value out of range.
        DataError: The data is missing or broken.
        NonFiniteError: The loss became NaN or infinite.
    """
    recipe = make_recipe(model, None if data is None else str(data), given=knobs, origin="call")
    if heal:
        from didact.train.heal import fit_and_heal

        return fit_and_heal(recipe, out, quiet=quiet)
    return fit_recipe(recipe, out, quiet=quiet)


def fit_recipe(
    recipe: Recipe, out: str | Path | None = None, *, quiet: bool = True, observers: Sequence[Observer] = ()
) -> Run:
    """Train a recipe in a new directory."""
    if out is not None:
        _check_free(Path(out))
    with _seeded(recipe):
        data = open_recipe_data(recipe)  # before anything is written: bad input leaves no empty run behind
        task = make_task(recipe, data.facts)
        network, arguments = build_for(recipe, data.facts)
        _try_out(task, network, data["train"])
        device = choose_device(recipe)
        loaded = _start(recipe, network, data)
        loop = _loop(recipe, task, network, data, device)
        directory = make_directory(recipe, out)
        write_json(directory / "facts.json", data.facts.to_dict())
        write_json(directory / "data.json", data_card(data))
        write_json(directory / "environment.json", environment(device))
        if loaded:
            write_json(directory / "weights.json", loaded.to_dict())
        write_json(
            directory / "recipe.json", recipe.to_dict()
        )  # last: its presence makes the directory a run
        return _train(Run(directory), loop, data, arguments, quiet, observers, str(loaded or ""))


def resume(directory: str | Path, *, quiet: bool = True, observers: Sequence[Observer] = ()) -> Run:
    """Continue a run that was interrupted or killed; a finished one is returned as it is.

    Raises:
        RunError: No run, or its data has changed.
    """
    run = Run(directory)
    if run.finished:
        if not run.report.exists():  # the disk was full, say
            write_report(run)
        return run
    with _seeded(run.recipe):
        data = run.data()
        network, arguments = build_for(run.recipe, data.facts)
        state = run.directory / "state.safetensors"
        saved = load_tree(state) if state.exists() else None
        if saved and run.recipe.weights:  # the trunk that features are computed from
            prefix = "network." if run.recipe.transfer == "features" else ""
            network.load_state_dict({n.removeprefix(prefix): t for n, t in saved["model"].items()})
        elif not saved:
            _start(run.recipe, network, data)
        loop = _loop(run.recipe, run.task, network, data, choose_device(run.recipe))
        for leftover in run.directory.glob(".*.tmp"):  # of a process that was killed as it wrote
            leftover.unlink()
        if saved:
            loop.load(saved)
        Record(run.directory / "metrics.jsonl").rewind(loop.at.step, loop.at.epoch)
        return _train(run, loop, data, arguments, quiet, observers)


def verify(directory: str | Path, *, quiet: bool = True) -> str | None:
    """Train the recipe of a finished run once more, uninterrupted, and compare the weights bit for bit.

    Returns:
        None when they are identical, else the first difference.

    Raises:
        RunError: The run is not finished, or its data has changed.
    """
    run = Run(directory)
    run.check_finished()
    run.data()
    with tempfile.TemporaryDirectory() as scratch:
        again = fit_recipe(run.recipe, Path(scratch) / "again", quiet=quiet)
        first, _ = load_tensors(run.directory / "model.safetensors")
        second, _ = load_tensors(again.directory / "model.safetensors")
    return same_tensors(first, second)


def cross_validate(
    model: str, data: str | Path, *, folds: int = 5, **knobs: Any
) -> dict[str, tuple[float, float]]:
    """Train once for each fold and average the test scores.

    Returns:
        For each number of the test split its mean and standard deviation over the folds.

    Example:
        >>> didact.cross_validate("mlp", "iris", folds=5)["accuracy"]
    """
    scores = []
    with tempfile.TemporaryDirectory() as scratch:
        for fold in range(folds):
            run = fit(model, data, out=Path(scratch) / str(fold), folds=folds, fold=fold, **knobs)
            scores.append(run.scores["test"])
    table = {name: torch.tensor([s[name] for s in scores], dtype=torch.float64) for name in scores[0]}
    return {name: (values.mean().item(), values.std().item()) for name, values in table.items()}


def choose_device(recipe: Recipe) -> torch.device:
    """The device of a recipe; ``auto`` takes an accelerator where there is one.

    Raises:
        UsageError: The device does not exist here.
    """
    if recipe.device == "auto":
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return found or torch.device("cpu")
    try:
        device = torch.device(recipe.device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(f"device={recipe.device!r} is not available here; use auto or cpu") from None
    return device


def _start(recipe: Recipe, network: nn.Module, data: Data) -> Loaded | None:
    """Give a network the weights that it starts from, where the recipe names some."""
    if not recipe.weights:
        return None
    weights = find_weights(recipe.weights, recipe.model)
    return load_weights(network, weights, classes=data.facts.classes)


def _loop(recipe: Recipe, task: Task, network: nn.Module, data: Data, device: torch.device) -> Loop:
    """The loop of a recipe; on features, where only they are asked for."""
    if not recipe.weights or recipe.transfer != "features":
        return Loop(recipe, task, network, data.splits, device)
    learner, splits = on_features(network.to(device), data.splits, recipe.workers)
    return Loop(recipe, task, learner, splits, device)


def _train(
    run: Run,
    loop: Loop,
    data: Data,
    arguments: dict[str, Any],
    quiet: bool,
    observers: Sequence[Observer],
    note: str = "",
) -> Run:
    directory = run.directory
    record = Record(directory / "metrics.jsonl")

    def keep() -> None:
        weights = network_weights(loop.model, loop.best or loop.kept_weights())
        save_model(directory / "model.safetensors", weights, run.recipe, arguments, data.facts)

    def checkpoint() -> None:
        record.flush()
        save_tree(directory / "state.safetensors", loop.state())
        keep()

    loop.checkpoint = checkpoint
    loop.observers = [record, *observers]
    if run.recipe.weights and not loop.at.step:
        checkpoint()  # from here on the file of weights is not needed any more
    with _resumable(directory):
        watched = Watched(loop, data, directory) if run.recipe.watch else None
        with (
            _shown(loop, quiet, note, watched),
            _on_board(loop, directory / "events"),
            _stoppable(loop),
            _listening(loop, watched),
        ):
            loop.run()
        keep()  # once more: a kill may have come between the last state and its weights
        loop.model.load_state_dict(loop.best)
        _finish(run, loop, data)
    return Run(directory)


def _finish(run: Run, loop: Loop, data: Data) -> None:
    """Score the kept weights: validation once more, the test split for the only time."""
    seconds = loop.elapsed()
    outcome = loop.task.examine(loop.model, loop.splits["test"], data.raw["test"])
    examples = len(data["train"]) * loop.at.epoch
    cost = {
        "seconds": seconds,
        "epochs": loop.at.epoch,
        "updates": loop.at.step,
        "best_epoch": loop.at.best_epoch,
        "parameters": sum(p.numel() for p in loop.model.parameters()),
        "examples_per_second": examples / seconds,
    }
    write_json(
        run.directory / "results.json",
        {
            "val": loop.task.score(loop.model, loop.splits["val"]),
            "test": outcome.numbers,
            "test_looks": 1,
            "cost": cost,
            "exhibits": [exhibit.to_dict() for exhibit in outcome.exhibits],
        },
    )
    write_report(Run(run.directory))


def _try_out(task: Task, network: nn.Module, split: Split) -> None:
    """Ask for the losses of two examples, so that a network which cannot read the data fails at once."""
    batch = split.take(split.order(None)[:2])
    with torch.random.fork_rng(devices=[]), evaluating(network):
        for _ in task.losses(network, batch):
            pass


def _check_free(directory: Path) -> None:
    """An existing directory is never written into.

    Raises:
        RunError: There is something in it already.
    """
    if (directory / "recipe.json").exists():
        raise RunError(f"{directory} holds a run; choose another --out, or --resume {directory}")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise RunError(f"{directory} holds something else already; choose another --out")


def make_directory(recipe: Recipe, out: str | Path | None) -> Path:
    """Make ``out``, or the next free directory under ``runs/``: whoever makes it first has it."""
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        return Path(out)
    number = 1
    while True:
        directory = Path("runs") / f"{recipe.model}-{Path(recipe.data).stem or 'data'}-{number}"
        with suppress(FileExistsError):
            directory.mkdir(parents=True)
            return directory
        number += 1


@contextmanager
def _seeded(recipe: Recipe) -> Iterator[None]:
    """Run with the recipe's seed and threads, and leave the caller's random numbers as they were."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(recipe.seed)
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@contextmanager
def _listening(loop: Loop, watched: Watched | None) -> Iterator[None]:
    """Let the doctor listen, and write down what it says whatever ends the training."""
    if watched is None:
        yield
        return
    loop.observers = [*loop.observers, watched]
    watched.begin()
    try:
        yield
    except BaseException as error:
        watched.end(error)
        raise
    watched.end()


@contextmanager
def _shown(loop: Loop, quiet: bool, note: str, watched: Watched | None) -> Iterator[None]:
    """Show progress and the diagnosis, and leave the terminal tidy whatever ends the training."""
    if quiet:
        yield
        return
    progress = Progress()
    progress.introduce(loop, note, str(watched.preflight) if watched else "")
    loop.observers = [progress, *loop.observers]
    try:
        yield
    finally:
        progress.close()
        if watched:
            progress.conclude(watched.diagnosis(), stopped=not loop.at.finished)


@contextmanager
def _on_board(loop: Loop, directory: Path) -> Iterator[None]:
    """Write TensorBoard events too, where that extra is installed."""
    if not find_spec("tensorboard"):
        yield
        return
    board = TensorBoard(directory)
    loop.observers = [*loop.observers, board]
    try:
        yield
    finally:
        board.close()


@contextmanager
def _resumable(directory: Path) -> Iterator[None]:
    """Where a run is stopped, say how to go on with it."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stop:
        how = f"didact train --resume {shlex.quote(str(directory))} goes on"
        raise type(stop)(f"{str(stop) or 'stopped'}; {how}") from None


@contextmanager
def _stoppable(loop: Loop) -> Iterator[None]:
    """Ctrl-C and a polite kill stop the loop after the update at hand; a second Ctrl-C stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        loop.stop_asked = True
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    for number in before:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
