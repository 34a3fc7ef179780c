"""The taps hear every loss, backward, clipping, scale, step and batch, however a loop is written."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import cross_entropy, mse_loss
from torch.optim import Optimizer
from torch.utils.data import DataLoader, TensorDataset

from didact.doctor.operations import producer
from didact.doctor.taps import LossCall, listening


class Ear:
    def __init__(self) -> None:
        self.quiet = False
        self.events: list[tuple[str, Any]] = []

    def heard_loss(self, call: LossCall) -> None:
        self.events.append(("loss", call))

    def heard_backward(self, loss: Tensor) -> None:
        self.events.append(("backward", float(loss.detach())))

    def heard_gradients(self) -> None:
        self.events.append(("gradients", None))

    def heard_clipping(self, norm: Tensor, limit: float) -> None:
        self.events.append(("clipping", (float(norm), limit)))

    def heard_scale(self, scale: float) -> None:
        self.events.append(("scale", scale))

    def before_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        self.events.append(("before", optimizer))

    def after_step(self, optimizer: Optimizer) -> None:
        self.events.append(("after", optimizer))

    def heard_batch(self, batch: Any, seconds: float) -> None:
        self.events.append(("batch", batch))

    def heard_equal(self, one: Tensor, other: Tensor) -> None:
        self.events.append(("equal", (one, other)))

    def names(self) -> list[str]:
        return [name for name, _ in self.events]


SCORES, LABELS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3]]), torch.tensor([0, 2])
NUMBERS, UNIT = torch.tensor([0.2, 0.7]), torch.tensor([0.0, 1.0])
LOSSES = [
    ("cross_entropy", lambda: F.cross_entropy(SCORES, LABELS, label_smoothing=0.1), "mean"),
    ("cross_entropy", lambda: cross_entropy(SCORES, LABELS, reduction="sum"), "sum"),
    ("cross_entropy", lambda: nn.CrossEntropyLoss(weight=torch.ones(3))(SCORES, LABELS), "mean"),
    ("nll", lambda: nn.NLLLoss(reduction="none")(SCORES.log_softmax(1), LABELS), "none"),
    ("bce", lambda: F.binary_cross_entropy(NUMBERS, UNIT), "mean"),
    ("bce_logits", lambda: nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0))(NUMBERS, UNIT), "mean"),
    ("mse", lambda: mse_loss(NUMBERS, UNIT, reduction="sum"), "sum"),
    ("l1", lambda: nn.L1Loss()(NUMBERS, UNIT), "mean"),
    ("smooth_l1", lambda: F.smooth_l1_loss(NUMBERS, UNIT, beta=0.5), "mean"),
    ("huber", lambda: F.huber_loss(NUMBERS, UNIT, reduction="sum"), "sum"),
    ("kl", lambda: F.kl_div(NUMBERS.log(), UNIT, reduction="sum"), "sum"),
]


@pytest.mark.parametrize(("kind", "loss", "reduction"), LOSSES, ids=[f"{k}-{r}" for k, _, r in LOSSES])
def test_every_way_to_call_a_loss_is_heard(kind: str, loss: Any, reduction: str):
    expected, ear = loss(), Ear()
    with listening(ear):
        value = loss()
    ((name, call),) = ear.events
    assert torch.equal(value, expected)
    assert (name, call.kind, call.reduction) == ("loss", kind, reduction)
    assert torch.equal(call.again(call.given, call.target), expected)


def test_a_step_of_a_loop_is_heard_in_order():
    model, ear = nn.Linear(3, 2), Ear()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(torch.randn(4, 3), torch.tensor([0, 1, 0, 1])), batch_size=2)
    with listening(ear):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.01)
            optimizer.step()
    assert ear.names() == ["batch", "loss", "backward", "gradients", "clipping", "before", "after"] * 2
    norm, limit = ear.events[4][1]
    assert norm > limit == 0.01


def test_the_scale_of_half_precision_is_heard():
    ear, x = Ear(), torch.ones(1, requires_grad=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    with listening(ear):
        scaler.scale(x.sum()).backward()
    assert ear.events == [("scale", 8.0), ("backward", 8.0), ("gradients", None)]


def test_who_is_quiet_hears_only_what_validates():
    ear, weight = Ear(), torch.zeros(2, 3, requires_grad=True)
    ear.quiet = True
    with listening(ear):
        F.cross_entropy(SCORES + weight, LABELS)
        with torch.no_grad():
            F.cross_entropy(SCORES, LABELS)
    assert ear.names() == ["loss"]
    assert not ear.events[0][1].learning


def test_no_graph_is_kept():
    ear, weight = Ear(), torch.zeros(2, 3, requires_grad=True)
    with listening(ear):
        F.cross_entropy(torch.softmax(SCORES + weight, 1), LABELS)
    call = ear.events[0][1]
    assert call.given.grad_fn is None
    assert call.value.grad_fn is None
    assert (call.producer, call.learning) == ("Softmax", True)


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (lambda x: x.softmax(1).log_softmax(1), "LogSoftmax of Softmax"),
        (lambda x: x.softmax(1).view(2, 3, 1).squeeze(2).log_softmax(1).flatten(), "LogSoftmax of Softmax"),
        (lambda x: x.log_softmax(1), "LogSoftmax"),
        (lambda x: (2 * x.softmax(1)).log_softmax(1), "LogSoftmax"),  # of some temperature
        (lambda x: x.softmax(1), "Softmax"),
    ],
)
def test_what_normalises_what_has_been_normalised(made: Callable[[Tensor], Tensor], kind: str) -> None:
    assert producer(made(torch.zeros(2, 3, requires_grad=True) * 2)) == kind


def test_everything_is_put_back_even_after_an_error():
    before = torch.autograd.backward, torch._C._nn.mse_loss, torch.amp.GradScaler.scale
    with pytest.raises(ZeroDivisionError), listening(Ear()):
        raise ZeroDivisionError
    assert before == (torch.autograd.backward, torch._C._nn.mse_loss, torch.amp.GradScaler.scale)


def test_two_tensors_are_compared():
    ear, ones = Ear(), torch.ones(3)
    with listening(ear):
        for same in (
            ones == ones.clone(),
            ones.eq(ones.clone()),
            torch.eq(ones, ones.clone()),
            ones == 1,
        ):
            assert bool(same.all())
    assert [name for name, _ in ear.events] == ["equal"] * 3
    assert "__eq__" not in vars(Tensor)
