"""Trainings without an optimizer, and networks without a module."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import didact
from didact.doctor.handmade import Hands
from didact.doctor.script import run_script

START = """
import torch
from torch import nn
from torch.nn import functional as F
torch.manual_seed(0)
X = torch.randn(300, 6)
Y = X[:, :3].argmax(1)
def tensors(size=1.0):
    shapes = (6, 32), (32,), (32, 3), (3,)
    return [(size * torch.randn(*s) / 3 if len(s) > 1 else torch.zeros(*s)).requires_grad_() for s in shapes]
def answer(x, weights):
    a, b, c, d = weights
    return torch.relu(x @ a + b) @ c + d
"""
BY_HAND = """
weights = tensors()
for k in range(300):
    i = torch.randint(300, (30,))
    loss = F.cross_entropy(answer(X[i], weights){0}, Y[i])
    loss.backward()
    with torch.no_grad():
        for w in weights:
            w -= {1} * w.grad
            {2}
print(F.cross_entropy(answer(X, weights), Y).item())
"""
ZEROED = "w.grad = None"


@pytest.fixture
def told(tmp_path: Path) -> Callable[[str], Any]:
    def run(text: str) -> Any:
        path = tmp_path / "train.py"
        path.write_text(START + text)
        return run_script(path, quiet=True)

    return run


def by_hand(model: nn.Module, x: Tensor, y: Tensor, rate: float, updates: int = 200) -> None:
    """Gradient descent as one writes it the first time."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(updates):
        rows = torch.randint(len(x), (30,), generator=generator)
        loss = F.cross_entropy(model(x[rows]), y[rows])
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= rate * p.grad


def problem() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(300, 6)
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3)), x, x[:, :3].argmax(1)


def weights_of(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_updates_by_hand_are_updates_and_stay_what_they_are():
    alone, x, y = problem()
    by_hand(alone, x, y, 0.3)
    model, x, y = problem()
    with didact.watch(model) as doctor:
        by_hand(model, x, y, 0.3)
    report = doctor.report()
    assert weights_of(model).equal(weights_of(alone))
    assert (report.codes(), doctor.chart.errors) == ([], [])
    assert report.steps == 199  # the first backward tells what may move
    assert sum(bool((look.ratio > 0).all()) for look in doctor.chart.looks) > 5


def test_a_rate_by_hand_is_too_low():
    model, x, y = problem()
    with didact.watch(model) as doctor:
        by_hand(model, x, y, 1e-6)
    first = doctor.report().findings[0]
    assert first.code == "O02"
    assert "nan" not in str(first)


@pytest.mark.parametrize(
    ("softmax", "rate", "zeroed", "code"),
    [
        ("", 0.3, ZEROED, None),
        (".softmax(1)", 0.3, ZEROED, "S02"),
        ("", 0.3, "pass", "O05"),
        ("", 300.0, ZEROED, "O01"),
    ],
)
def test_a_script_of_tensors_alone(told, softmax, rate, zeroed, code):
    report = told(BY_HAND.format(softmax, rate, zeroed))
    assert report.exit_code == 0
    assert report.steps == 299
    assert report.codes()[:1] == ([code] if code else [])


@pytest.mark.parametrize(
    ("size", "rate", "code"), [(1.0, 0.3, None), (0.0, 0.3, "I01"), (1e-4, 0.01, "I02"), (1.0, 1e-7, "O02")]
)
def test_tensors_alone_in_an_optimizer(told, size, rate, code):
    report = told(f"""
weights = tensors({size})
optimizer = torch.optim.SGD(weights, {rate}, momentum=0.9)
for k in range(300):
    i = torch.randint(300, (30,))
    optimizer.zero_grad()
    F.cross_entropy(answer(X[i], weights), Y[i]).backward()
    optimizer.step()
""")
    assert report.steps == 300
    assert report.codes()[:1] == ([code] if code else [])


def test_what_nobody_moves_is_no_training(told):
    report = told("""
net = nn.Linear(6, 3)
for k in range(60):
    x = X[k:k + 1].clone().requires_grad_()
    net(x)[0, 1].backward()
    x.grad.abs().sum()
""")
    assert report.unseen
    assert "backward ran 60 times" in report.note


def test_hands_are_seen_once_something_has_moved():
    weight = torch.ones(40, requires_grad=True)
    hands = Hands()
    for _ in range(3):
        hands.look((2 * weight).sum())
        assert hands.optimizer is None
    weight.data[-1] += 1  # not among those that are compared
    hands.look((2 * weight).sum())
    assert hands.optimizer is None
    weight.data += 1
    hands.look((2 * weight).sum())
    assert hands.optimizer is not None
    assert hands.optimizer.param_groups[0]["params"][0] is weight


def test_who_never_moves_anything_is_not_looked_at_for_ever():
    weight = torch.ones(4, requires_grad=True)
    hands = Hands()
    for _ in range(30):
        hands.look((2 * weight).sum())
    with torch.no_grad():
        weight += 1
    hands.look((2 * weight).sum())
    assert hands.optimizer is None
    assert not hands.before


# Modules without an optimizer


CHAIN = """
encoder, decoder = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 4)), nn.Linear(4, 6)
optimizer = torch.optim.Adam({}, 1e-2)
for k in range(100):
    x = X[torch.randint(300, (30,))]
    loss = F.mse_loss(decoder(encoder(x).tanh()), x)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


@pytest.mark.parametrize(
    ("held", "left"),
    [
        ("[*encoder.parameters(), *decoder.parameters()]", None),
        ("decoder.parameters()", "Sequential.0.weight"),
        ("encoder.parameters()", "Linear.weight"),
        ("decoder.parameters()); encoder.requires_grad_(False); (1", None),
    ],
)
def test_a_link_of_a_chain_is_left_out(told, held, left):
    report = told(CHAIN.format(held))
    assert report.exit_code == 0
    assert ("O06" in report.codes()) == bool(left)
    assert left is None or left in report.findings[0].where


def test_who_learned_before_or_only_teaches_is_not_left_out(told):
    report = told("""
net = lambda: nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3))
trunk, head, teacher = nn.Linear(6, 32), nn.Linear(32, 3), net()
with torch.no_grad():
    for p in trunk.parameters():
        p.mul_(1.5)
optimizer = torch.optim.Adam(head.parameters(), 1e-2)
for k in range(100):
    i = torch.randint(300, (30,))
    loss = F.cross_entropy(head(trunk(X[i]).relu()), Y[i]) + 1e-6 * teacher(X[i]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""")
    assert report.exit_code == 0
    assert "O06" not in report.codes()


def test_a_new_head_on_a_trained_trunk_is_a_training_of_its_own(told):
    report = told("""
trunk, head = nn.Sequential(nn.Linear(6, 32), nn.ReLU()), nn.Linear(32, 3)
def fit(optimizer):
    for k in range(100):
        i = torch.randint(300, (30,))
        loss = F.cross_entropy(head(trunk(X[i])), Y[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
first = torch.optim.Adam([*trunk.parameters(), *head.parameters()], 1e-2)
fit(first)
head = nn.Linear(32, 3)
optimizer = torch.optim.Adam(head.parameters(), 1e-2)
trunk.requires_grad_(False)
fit(optimizer)
trunk.requires_grad_(True)
optimizer.add_param_group({"params": trunk.parameters(), "lr": 1e-3})
fit(optimizer)
""")
    assert report.codes() == []
    assert report.note == "training 1 of 2, all are healthy"
