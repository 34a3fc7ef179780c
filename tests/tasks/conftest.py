"""Small facts and models that give known answers."""

import pytest
import torch
from torch import nn

from didact.data.facts import Facts


class Given(nn.Module):
    """Answers row i of the input with row i: what is scored is what was given."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.scale * x


class Bigram(nn.Module):
    """A language model whose logits depend on the last character alone: row by row of a table."""

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(table.clone())

    def forward(self, tokens, state=None):
        return self.forward_with_state(tokens, state)[0]

    def forward_with_state(self, tokens, state=None):
        return self.table[tokens], state


@pytest.fixture
def given():
    return Given()


@pytest.fixture
def bigram():
    return Bigram


@pytest.fixture
def class_facts():
    def make(count=10):
        names = tuple(f"class {k}" for k in range(count))
        return Facts("made", "table", "class", (count,), classes=names)

    return make


@pytest.fixture
def no_draws():
    """The test may not draw from the global generator."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)
