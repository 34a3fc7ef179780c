"""A loop over made-up data, and runs without the parts that are slow and tested elsewhere."""

import pytest
import torch

import didact
from didact.data.batches import TensorSplit
from didact.data.facts import Facts
from didact.tasks.classify import Classify
from didact.train.loop import Loop
from didact.train.recipe import Recipe


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
