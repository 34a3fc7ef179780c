"""Graphs that nobody needs: of losses that are kept, and of evaluations that record gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.doctor.chart import Chart
from didact.doctor.doctor import Doctor
from didact.doctor.graphs import MANY, Graphs

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
Y = torch.sin(X[:, :1])


class Book:
    """What a loop keeps."""

    def __init__(self) -> None:
        self.losses: list[Tensor | float] = []
        self.total: Tensor | float = 0.0

    def keep(self, loss: Tensor) -> None:
        self.losses.append(loss)

    def keep_number(self, loss: Tensor) -> None:
        self.losses.append(loss.item())

    def add(self, loss: Tensor) -> None:
        self.total += loss

    def add_number(self, loss: Tensor) -> None:
        self.total += loss.detach()

    def keep_the_last(self, loss: Tensor) -> None:
        self.losses = [*self.losses, loss][-3:]


def train(
    note: Callable[[Book, Tensor], None],
    doctor: Doctor | None = None,
    descended: Callable[[Tensor], Tensor] = lambda loss: loss,
) -> list[float]:
    """A loop of forty updates; ``descended`` is made of a loss for its backward. Returns the losses."""
    torch.manual_seed(0)
    model, book, losses = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)), Book(), []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    if doctor:
        doctor.on_start(model, optimizer)
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), Y)
        descended(loss).backward()
        optimizer.step()
        note(book, loss)
        losses.append(loss.item())
    if doctor:
        doctor.close()
    return losses


@pytest.mark.parametrize(
    ("note", "kept"),
    [
        (Book.keep, True),
        (Book.add, True),
        (Book.keep_number, False),
        (Book.add_number, False),
        (Book.keep_the_last, False),
    ],
)
def test_graphs_that_are_kept_are_told(note: Callable[[Book, Tensor], None], kept: bool) -> None:
    doctor = Doctor(quiet=True)
    losses = train(note, doctor)
    assert losses == train(note)
    assert doctor.chart.errors == []
    found = [finding for finding in doctor.report().findings if finding.code == "E03"]
    assert bool(found) == kept
    assert doctor.chart.counts.get("graphs kept", 0) == (40 - MANY if kept else 0)
    assert all("loss.item()" in finding.fix for finding in found)


SCALED: dict[str, Callable[[Tensor], Tensor]] = {
    "divided": lambda loss: loss / 2,
    "by a tensor": lambda loss: loss / torch.tensor(2.0),
    "multiplied": lambda loss: 0.5 * loss,
    "twice": lambda loss: 4 * (loss / 2),
    "turned twice": lambda loss: loss.neg().neg(),
}


@pytest.mark.parametrize("descended", SCALED.values(), ids=SCALED)
@pytest.mark.parametrize(("note", "kept"), [(Book.keep, True), (Book.add, True), (Book.keep_number, False)])
def test_a_loss_is_kept_whose_multiple_is_descended(
    note: Callable[[Book, Tensor], None], kept: bool, descended: Callable[[Tensor], Tensor]
) -> None:
    doctor = Doctor(quiet=True)
    train(note, doctor, descended)
    assert doctor.chart.errors == []
    assert doctor.chart.counts.get("graphs kept", 0) == (40 - MANY if kept else 0)
    assert ("E03" in [finding.code for finding in doctor.report().findings]) == kept


def test_a_loss_without_a_graph_is_passed_over() -> None:
    graphs = Graphs(Chart())
    losses = [torch.ones(1, requires_grad=True) for _ in range(2 * MANY)]
    for loss in losses:
        graphs.heard(loss)
    assert graphs.chart.counts == {}


# Evaluations

LABELS = (X[:, 0] > 0).long()


def validate(
    epochs: int, updates: int, graph: bool, mode: bool = True, answered: bool = False
) -> tuple[Doctor, list[str]]:
    """After so many updates each, a pass in evaluation ``mode`` with or without a ``graph``.

    ``answered``: the updates too are made in that mode.
    """
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 2))
    optimizer, doctor = torch.optim.Adam(model.parameters(), lr=0.01), Doctor(budget=0.0, quiet=True)
    doctor.on_start(model, optimizer)
    for _ in range(epochs):
        model.train(not answered)
        for _ in range(updates):
            optimizer.zero_grad()
            F.cross_entropy(model(X), LABELS).backward()
            optimizer.step()
        model.train(not mode)
        with torch.set_grad_enabled(graph):
            model(X).argmax(1).tolist()
    doctor.close()
    assert doctor.chart.errors == []
    return doctor, [finding.code for finding in doctor.report().findings]


@pytest.mark.parametrize(("epochs", "updates"), [(3, 60), (30, 1), (150, 1)])
def test_evaluations_that_record_a_graph_for_nothing(epochs: int, updates: int) -> None:
    doctor, codes = validate(epochs, updates, graph=True)
    assert "E03" in codes
    finding = next(finding for finding in doctor.report().findings if finding.code == "E03")
    assert finding.evidence["updates with a graph of evaluation, for nothing"] == pytest.approx(epochs, abs=2)
    doctor, codes = validate(epochs, updates, graph=False)
    assert "E03" not in codes
    assert not {"evaluations with a graph", "quiet passes in evaluation mode with a graph"} & set(
        doctor.chart.counts
    )


@pytest.mark.parametrize(("epochs", "updates"), [(3, 60), (150, 1)])
def test_what_is_trained_in_evaluation_mode_asks_for_its_graphs(epochs: int, updates: int) -> None:
    doctor, codes = validate(epochs, updates, graph=False, answered=True)
    assert doctor.chart.counts["quiet passes in evaluation mode with a graph"] > 40
    assert "evaluations with a graph" not in doctor.chart.counts
    assert "E03" not in codes
    assert "E02" in codes
