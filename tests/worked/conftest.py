"""What the worked examples share: the real loop over a handful of tensors."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from didact.data.batches import TensorSplit
from didact.data.facts import Facts
from didact.tasks.task import Task
from didact.train.loop import Loop
from didact.train.recipe import Recipe, make_recipe


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    """A recipe with a few knobs set; plain gradient descent unless they say otherwise."""

    def make(**knobs: Any) -> Recipe:
        plain = {"optimizer": "sgd", **({} if knobs.get("optimizer", "sgd") != "sgd" else {"momentum": 0.0})}
        return make_recipe("mlp", given=plain | knobs)

    return make


@pytest.fixture
def loop(recipe: Callable[..., Recipe]) -> Callable[..., Loop]:
    """A loop of one model, one task and these examples, which also validate."""

    def make(model: nn.Module, task: Task, inputs: Tensor, targets: Tensor, **knobs: Any) -> Loop:
        split = TensorSplit(inputs, targets)
        return Loop(recipe(**knobs), task, model, {"train": split, "val": split}, torch.device("cpu"))

    return make


@pytest.fixture
def numbers() -> Facts:
    """Facts of rows of numbers with a number to predict, in its own unit."""
    return Facts("made", "table", "number", (3,), target_name="y")


@pytest.fixture
def three() -> Facts:
    """Facts of rows of numbers with three classes."""
    return Facts("made", "table", "class", (3,), classes=("dog", "cat", "bird"))
