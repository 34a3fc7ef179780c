"""One batch learned by heart: by a model that can, by one that cannot, and of two inputs."""

import math
from time import sleep

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.doctor.by_heart import by_heart
from didact.doctor.inputs import Inputs
from didact.doctor.taps import LossCall

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
Y = torch.randint(3, (16,), generator=torch.Generator().manual_seed(1))


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(3, 32), nn.Linear(3, 32), nn.Linear(32, 3)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.out(torch.tanh(self.one(a) + self.two(b)))


def left(model: nn.Module, *args: Tensor) -> float | None:
    scores = model(*args).detach()
    call = LossCall("cross_entropy", scores, Y, F.cross_entropy(scores, Y), F.cross_entropy)
    before = [p.detach().clone() for p in model.parameters()]
    found = by_heart(model, Inputs(args), call)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    return found


def test_what_can_be_learned_is_and_the_model_stays_as_it_was() -> None:
    torch.manual_seed(0)
    alone = left(nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 3)), X)
    both = left(Both(), X[:, :3], X[:, 3:])
    assert alone is not None
    assert both is not None
    assert max(alone, both) < 0.05


def test_a_machine_that_is_busy_with_others_leaves_a_try_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Waits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 3))

        def forward(self, x: Tensor) -> Tensor:
            if torch.is_grad_enabled() and not waited:
                waited.append(True)
                sleep(0.6)
            return self.layers(x)

    torch.manual_seed(0)
    waited = [True]
    model = Waits()
    scores = model(X).detach()
    call = LossCall("cross_entropy", scores, Y, F.cross_entropy(scores, Y), F.cross_entropy)
    monkeypatch.setattr("didact.doctor.by_heart.LONGEST", 0.5)
    waited.clear()
    found = by_heart(model, Inputs((X,)), call)
    assert len(waited) == 1
    assert found is not None
    assert found < 0.05


def test_what_is_too_small_keeps_most_of_its_loss() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scores = nn.Parameter(torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.scores.expand(len(x), 3)

    share = Y.bincount(minlength=3) / len(Y)
    entropy = float(torch.special.entr(share).sum())
    found = left(Constant(), X)
    assert found is not None
    assert math.isclose(found, entropy, rel_tol=0.02)
