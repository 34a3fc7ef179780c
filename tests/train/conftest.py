"""A loop over made-up data, and runs without the parts that are slow and tested elsewhere."""

import pytest
import torch

import didact
from didact.data.batches import TensorSplit
from didact.data.facts import Facts
from didact.tasks.classify import Classify
from didact.train.files import load_tensors, load_tree, same_tensors
from didact.train.loop import Loop
from didact.train.recipe import Recipe
from didact.train.record import read_metrics


class Watcher:
    """Notes what it is told; may ask the loop to stop after some updates."""

    def __init__(self, stop_at=None, each_step=None):
        self.points, self.epochs, self.stop_at, self.each_step = [], [], stop_at, each_step

    def on_step(self, loop, numbers):
        self.points.append((loop.at.step, numbers))
        if self.each_step:
            self.each_step(loop)
        if loop.at.step == self.stop_at:
            loop.stop_asked = True

    def on_epoch(self, loop, record):
        self.epochs.append(record)


@pytest.fixture
def watcher():
    return Watcher


@pytest.fixture
def facts():
    return Facts("made", "table", "class", (4,), classes=("a", "b", "c"))


@pytest.fixture
def split():
    """Examples (N, 4) of three classes that can be told apart, the same for the same seed."""

    def make(count=24, seed=1):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(3, (count,), generator=generator)
        inputs = torch.randn(count, 4, generator=generator) + torch.eye(4)[labels]
        return TensorSplit(inputs, labels)

    return make


@pytest.fixture
def network():
    """An MLP 4-8-3 by seed."""

    def make(seed=0, **arguments):
        torch.manual_seed(seed)
        return didact.build("mlp", **({"in_features": 4, "out_features": 3, "widths": (8,)} | arguments))

    return make


@pytest.fixture
def make_loop(split, network, facts):
    """A loop that classifies; anything of it may be replaced."""

    def make(model=None, *, task=None, train=None, val=None, observers=(), **knobs):
        recipe = Recipe(model="mlp", **({"epochs": 2, "batch_size": 8, "lr": 0.05} | knobs))
        splits = {"train": train or split(), "val": val or split(16, seed=2)}
        model = model or network(recipe.seed)
        return Loop(recipe, task or Classify(facts), model, splits, torch.device("cpu"), observers)

    return make


@pytest.fixture
def quick(monkeypatch):
    """No page and no TensorBoard: they have tests of their own and take longer than these runs."""
    monkeypatch.setattr("didact.train.fit.write_report", lambda run: None)
    monkeypatch.setattr("didact.train.fit.find_spec", lambda name: None)


def without_seconds(value):
    """What a run may not change, however long it took."""
    if isinstance(value, dict):
        timed = ("seconds", "examples_per_second", "started")
        return {key: without_seconds(item) for key, item in value.items() if key not in timed}
    return [without_seconds(item) for item in value] if isinstance(value, list) else value


def flat(tree, name=""):
    """The tensors of a tree by their place."""
    if isinstance(tree, torch.Tensor):
        return {name: tree}
    if not isinstance(tree, dict | list | tuple):
        return {}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return {place: tensor for key, item in items for place, tensor in flat(item, f"{name}/{key}").items()}


def plain(tree):
    """A tree without its tensors."""
    if isinstance(tree, dict):
        return {key: plain(item) for key, item in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(item) for item in tree]
    return None if isinstance(tree, torch.Tensor) else tree


def assert_same_run(run, expected):
    """Weights, training state, metrics and results are identical, seconds apart."""
    mine, theirs = [load_tensors(r.directory / "model.safetensors") for r in (run, expected)]
    assert same_tensors(mine[0], theirs[0]) is None
    assert mine[1] == theirs[1]
    states = [load_tree(r.directory / "state.safetensors") for r in (run, expected)]
    assert same_tensors(*map(flat, states)) is None
    assert without_seconds(plain(states[0])) == without_seconds(plain(states[1]))
    lines = [without_seconds(list(read_metrics(r.directory / "metrics.jsonl"))) for r in (run, expected)]
    assert lines[0] == lines[1]
    assert without_seconds(run.results) == without_seconds(expected.results)
    files = [{path.name for path in r.directory.iterdir()} for r in (run, expected)]
    assert files[0] == files[1]


@pytest.fixture
def same_run():
    return assert_same_run
