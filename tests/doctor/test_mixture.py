"""A loss of several known parts: how much of each, the price of ignorance, and what validation adds up to."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import didact
from didact.doctor.chart import Chart, Pairing
from didact.doctor.course import Case
from didact.doctor.limits import LIMITS
from didact.doctor.mixture import mixed, weights_of

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(320, 4, generator=GENERATOR)
KINDS, PLACES = X[:, :3].argmax(1), X[:, :2] * 3
LOOKS = [1.1, 0.9, 0.7, 0.8, 0.5, 0.4, 0.3]


def chart(whole: list[float]) -> Chart:
    """Seven looks at a loss and two parts that are known."""
    made = Chart(step=len(LOOKS), losses=list(enumerate(whole)))
    made.counts["losses of several parts"] = len(LOOKS)
    squares = [(k, loss**2) for k, loss in enumerate(LOOKS)]
    made.pairings["cross_entropy"] = Pairing("cross_entropy", 7, baseline=1.0, costs=list(enumerate(LOOKS)))
    made.pairings["mse"] = Pairing("mse", 7, baseline=2.0, costs=squares)
    return made


def test_the_weights_of_a_sum_are_found() -> None:
    found = weights_of(chart([loss + 5 * loss**2 for loss in LOOKS]))
    assert found == pytest.approx({"cross_entropy": 1.0, "mse": 5.0})
    assert mixed(found, {"cross_entropy": 2.0, "mse": 0.1}) == pytest.approx(2.5)
    assert math.isnan(mixed(found, {"cross_entropy": 2.0}))


def test_an_unknown_part_leaves_the_price_of_ignorance_unknown() -> None:
    assert weights_of(chart([loss + 5 * loss**2 + math.sin(9 * k) for k, loss in enumerate(LOOKS)])) == {}


def test_a_loss_that_stands_alone_is_no_sum() -> None:
    alone = chart(LOOKS)
    del alone.pairings["mse"]
    assert weights_of(alone) == {}


@pytest.mark.parametrize("kinds", [("other",), ("cross_entropy",), ()])
def test_a_sum_of_which_no_part_is_known_has_no_weights(kinds: tuple[str, ...]) -> None:
    unknown = chart(LOOKS)
    unknown.pairings = {kind: Pairing(kind, 7, baseline=1.0) for kind in kinds}  # and what they cost, never
    assert weights_of(unknown) == {}
    assert Case(unknown, LIMITS).baseline == LOOKS[0]


class Finder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.kind, self.place = nn.Linear(4, 16), nn.Linear(16, 3), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = torch.relu(self.trunk(x))
        return {"kind": self.kind(h), "place": self.place(h)}


def loss_of(model: nn.Module, rows: Tensor) -> Tensor:
    out = model(X[rows])
    return F.cross_entropy(out["kind"], KINDS[rows]) + 2 * F.mse_loss(out["place"], PLACES[rows])


def test_training_and_validation_are_measured_alike() -> None:
    torch.manual_seed(0)
    model, told = Finder(), []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(5):
            for rows in torch.randperm(192).split(16):
                optimizer.zero_grad()
                loss_of(model, rows).backward()
                optimizer.step()
            with torch.no_grad():
                told.append(float(loss_of(model, torch.arange(192, 320))))
    known = Case(doctor.chart, LIMITS)
    assert doctor.chart.errors == []
    assert [epoch.val_loss for epoch in doctor.chart.epochs] == pytest.approx(told, rel=0.02)
    assert known.sure
    ignorance = math.log(3) + 2 * float(PLACES[:192].var(0).mean())
    assert known.baseline == pytest.approx(ignorance, rel=0.1)


def test_two_heads_of_one_loss_count_twice() -> None:
    torch.manual_seed(0)
    heads = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3)])
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    optimizer = torch.optim.Adam([*model.parameters(), *heads.parameters()], lr=0.01)
    with didact.watch([model, *heads], optimizer, quiet=True) as doctor:
        for _ in range(40):
            rows = torch.randint(320, (32,))
            optimizer.zero_grad()
            h = model(X[rows])
            sum(F.cross_entropy(head(h), KINDS[rows]) for head in heads).backward()  # type: ignore[union-attr]
            optimizer.step()
    assert doctor.chart.errors == []
    assert Case(doctor.chart, LIMITS).baseline == pytest.approx(2 * math.log(3), rel=0.1)
