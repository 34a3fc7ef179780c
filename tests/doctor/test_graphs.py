"""Losses that are kept with their graphs, by whoever adds them up or writes them down."""

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


def train(note: Callable[[Book, Tensor], None], doctor: Doctor | None = None) -> list[float]:
    """A loop of forty updates; returns their losses."""
    torch.manual_seed(0)
    model, book, losses = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)), Book(), []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    if doctor:
        doctor.on_start(model, optimizer)
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), Y)
        loss.backward()
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


def test_a_loss_without_a_graph_is_passed_over() -> None:
    graphs = Graphs(Chart())
    losses = [torch.ones(1, requires_grad=True) for _ in range(2 * MANY)]
    for loss in losses:
        graphs.heard(loss)
    assert graphs.chart.counts == {}
