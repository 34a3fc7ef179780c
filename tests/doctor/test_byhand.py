"""What an answer was compared with, read from the graph of a loss that was written by hand."""

# B rows, C classes

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import didact
from didact.doctor.byhand import compared_with, normalised_over_rows, of_all_with_all
from didact.doctor.finding import Report

ROWS, CLASSES = 6, 4
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(ROWS, 3, generator=GENERATOR)
Y = torch.randn(ROWS, generator=GENERATOR)
LABELS = torch.randint(CLASSES, (ROWS,), generator=GENERATOR)
YES = (Y > 0).float()
WEIGHT = torch.randn(CLASSES, 3, generator=GENERATOR)


def column() -> Tensor:
    """(B, 1)."""
    return F.linear(X, WEIGHT[:1].clone().requires_grad_())


def row() -> Tensor:
    """(B,)."""
    return column().squeeze(1)


def probability() -> Tensor:
    """(B,) in [0, 1]."""
    return torch.sigmoid(row())


def scores() -> Tensor:
    """(B, C)."""
    return F.linear(X, WEIGHT.clone().requires_grad_())


def picture() -> Tensor:
    """(B, 3) in [0, 1]."""
    return torch.sigmoid(F.linear(X, WEIGHT[:3].clone().requires_grad_()))


def binary(p: Tensor) -> Tensor:
    return -(YES * torch.log(p) + (1 - YES) * torch.log(1 - p)).mean()


def binary_turned(p: Tensor) -> Tensor:
    return -((1 - YES) * torch.log(1 - p) + YES * torch.log(p)).mean()


@dataclass(frozen=True)
class Loss:
    """An answer, a loss of it, and what is to be found."""

    answer: Callable[[], Tensor]
    of: Callable[[Tensor], Tensor]
    target: Tensor
    kind: str = ""
    stretched: bool = False


LOSSES = {
    "squared, squeezed": Loss(column, lambda a: ((a.squeeze(1) - Y) ** 2).mean(), Y, "mse"),
    "squared, flattened": Loss(column, lambda a: ((a.flatten() - Y) ** 2).mean(), Y, "mse"),
    "column against row": Loss(column, lambda a: ((a - Y) ** 2).mean(), Y, "mse", True),
    "row against column": Loss(row, lambda a: ((a - Y[:, None]) ** 2).mean(), Y, "mse", True),
    "from row to column": Loss(column, lambda a: ((Y - a) ** 2).mean(), Y, "mse", True),
    "the other way round": Loss(column, lambda a: (Y[:, None] - a).abs().mean(), Y[:, None], "l1"),
    "times itself": Loss(column, lambda a: _squared(a.squeeze(-1) - Y).sum() / ROWS, Y, "mse"),
    "cubed": Loss(row, lambda a: ((a - Y) ** 3).mean(), Y, ""),
    "length": Loss(column, lambda a: torch.norm(a.squeeze(-1) - Y), Y),
    "whole numbers": Loss(row, lambda a: ((a - LABELS) ** 2).mean(), LABELS.float(), "mse"),
    "by index": Loss(scores, lambda a: -a.log_softmax(1)[torch.arange(ROWS), LABELS].mean(), LABELS),
    "by index of softmax": Loss(
        scores, lambda a: -(a.softmax(1)[range(ROWS), LABELS] + 1e-9).log().mean(), LABELS
    ),
    "by gather": Loss(scores, lambda a: -a.log_softmax(1).gather(1, LABELS[:, None]).mean(), LABELS),
    "by one-hot": Loss(
        scores, lambda a: -(F.one_hot(LABELS, CLASSES) * a.log_softmax(1)).sum(1).mean(), LABELS
    ),
    "yes or no of logits": Loss(row, lambda a: binary(torch.sigmoid(a)), YES),
    "yes or no of probabilities": Loss(probability, binary, YES),
    "no or yes of logits": Loss(row, lambda a: binary_turned(torch.sigmoid(a)), YES),
    "no or yes of probabilities": Loss(probability, binary_turned, YES),
    "with a prior": Loss(
        picture, lambda a: ((a - X.abs()) ** 2).sum(1).mean() + (column() ** 2).mean(), X.abs(), "mse"
    ),
}


def _squared(difference: Tensor) -> Tensor:
    return difference * difference


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_targets_are_found_in_the_graph(loss: Loss):
    answer = loss.answer()
    found = compared_with(loss.of(answer), answer.detach(), answer.grad_fn)
    assert found is not None
    assert found.target.shape == loss.target.shape
    assert found.target.double().numpy() == pytest.approx(loss.target.double().numpy(), abs=1e-5)
    assert (found.kind, found.stretched) == (loss.kind, loss.stretched)


@pytest.mark.parametrize("name", ["whole numbers", "by index", "by gather", "by one-hot"])
def test_class_numbers_are_exact(name: str):
    loss = LOSSES[name]
    answer = loss.answer()
    found = compared_with(loss.of(answer), answer.detach(), answer.grad_fn)
    assert found is not None
    assert torch.equal(found.target, loss.target)


@pytest.mark.parametrize(
    "of", [lambda a: ((a - a.mean()) ** 2).mean(), lambda a: a.mean(), lambda a: (a**2).mean()]
)
def test_a_loss_without_targets_has_none(of: Callable[[Tensor], Tensor]):
    answer = column()
    assert compared_with(of(answer), answer.detach(), answer.grad_fn) is None


@pytest.mark.parametrize(("times", "known"), [(1.0, True), (1e6, False)])
def test_a_target_that_was_lost_to_rounding_is_not_made_up(times: float, known: bool):
    answer = times * row()
    found = compared_with(((answer - Y) ** 2).mean(), answer.detach(), answer.grad_fn)
    assert (found is not None) == known


def test_nothing_changes_by_being_asked():
    gradients: list[Tensor] = []
    for asked in (False, True):
        weight = WEIGHT[:1].clone().requires_grad_()
        answer = F.linear(X, weight)
        loss = ((answer - Y[:, None]) ** 2).mean()
        if asked:
            assert compared_with(loss, answer.detach(), answer.grad_fn) is not None
        gradients += torch.autograd.grad(loss, weight)
    assert torch.equal(gradients[0], gradients[1])


def watched(squeezed: bool) -> Report:
    """A loop of one's own: index batches and a squared error, with one dimension too many or without."""
    torch.manual_seed(0)
    x = torch.randn(256, 4)
    y = torch.sin(x[:, 0]) + x[:, 1] * x[:, 2] / 2
    model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(25):
            for at in torch.randperm(256).split(32):
                optimizer.zero_grad()
                answer = model(x[at])
                answer = answer.squeeze(1) if squeezed else answer
                ((answer - y[at]) ** 2).mean().backward()
                optimizer.step()
    assert doctor.chart.errors == []
    return doctor.report()


def test_a_loop_by_hand_that_compares_all_with_all_is_told_so():
    report = watched(squeezed=False)
    assert (report.verdict, report.codes()[0]) == ("faulty", "S05")
    assert report.findings[0].evidence["batches compared all with all"] >= 3


def test_the_same_loop_squeezed_is_healthy():
    report = watched(squeezed=True)
    assert (report.verdict, report.codes()) == ("healthy", [])


# What goes over the rows


@pytest.mark.parametrize(
    ("loss", "wrong"),
    [
        (lambda a: -(a.log_softmax(0)[range(len(a)), LABELS]).mean(), True),
        (lambda a: -(a.softmax(-2).log()[range(len(a)), LABELS]).mean(), True),
        (lambda a: -(a.view(ROWS, 1, CLASSES).log_softmax(0)).mean(), True),
        (lambda a: -(a.log_softmax(1)[range(len(a)), LABELS]).mean(), False),
        (lambda a: -(a.softmax(-1).log()[range(len(a)), LABELS]).mean(), False),
        (lambda a: -(a @ a.T).log_softmax(0).diagonal().mean(), False),
        (lambda a: -a[:CLASSES].log_softmax(0).diagonal().mean(), False),
        (lambda a: -a[:, :1].log_softmax(0).mean(), False),
        (lambda a: F.cross_entropy(a, LABELS), False),
    ],
)
def test_a_softmax_of_the_answer_over_its_rows_is_seen(loss: Callable[[Tensor], Tensor], wrong: bool) -> None:
    answer = scores()
    assert normalised_over_rows(loss(answer), answer.grad_fn) == wrong


def test_so_is_one_that_made_the_answer() -> None:
    for axis, wrong in ((0, True), (1, False)):
        answer = scores().log_softmax(axis)
        assert normalised_over_rows(F.nll_loss(answer, LABELS), answer.grad_fn) == wrong


@pytest.mark.parametrize(
    ("loss", "wrong"),
    [
        (lambda: (row() * Y[:, None]).mean(), True),
        (lambda: (column() * Y).mean(), True),
        (lambda: (row().exp() / (1 + Y[:, None].abs())).mean(), True),
        (lambda: (row() * column()).mean(), True),
        (lambda: (row() * Y).mean(), False),
        (lambda: (column() * Y[:, None]).mean(), False),
        (lambda: (scores() * Y[:, None]).mean(), False),
        (lambda: (row() * torch.eye(ROWS)).sum(), False),
        (lambda: (row()[None] * column()[:, :1].T).mean(), False),
        (lambda: (2 * row()).mean(), False),
    ],
)
def test_a_line_by_a_column_is_seen(loss: Callable[[], Tensor], wrong: bool) -> None:
    assert of_all_with_all(loss()) == wrong


def test_a_policy_normalised_over_its_rows_is_named() -> None:
    torch.manual_seed(0)
    policy = nn.Linear(3, CLASSES)
    optimizer = torch.optim.SGD(policy.parameters(), 0.1)
    with didact.watch(policy, optimizer) as doctor:
        for _ in range(30):
            chosen = policy(X).log_softmax(0).gather(1, LABELS[:, None])[:, 0]
            optimizer.zero_grad()
            (-(chosen * Y).mean()).backward()
            optimizer.step()
    assert doctor.report().codes()[0] == "S03"
