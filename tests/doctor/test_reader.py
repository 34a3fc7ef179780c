"""The rows of an update: what tells them apart, whose targets they have, and batches that wait."""

# B rows, C classes

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import didact
from didact.doctor.chart import Chart
from didact.doctor.doctor import Doctor
from didact.doctor.epochs import Epochs
from didact.doctor.pace import Pace
from didact.doctor.passes import Pass
from didact.doctor.probes import Inputs
from didact.doctor.reader import LARGE, MOST, Reader
from didact.doctor.rows import Register
from didact.doctor.taps import LossCall
from didact.doctor.update import Update

ROWS, CLASSES = 192, 4
GENERATOR = torch.Generator().manual_seed(0)
NUMBERS = torch.randn(ROWS, 3, generator=GENERATOR)
KINDS = torch.randint(3, (ROWS, 2), generator=GENERATOR)  # of which there are nine, again and again
SIGNS = (NUMBERS[:, 0] > 0).long()


def test_whole_numbers_and_others_side_by_side_make_one_table() -> None:
    inputs = Inputs((KINDS,), {"numbers": NUMBERS})
    assert inputs.rows is not None
    assert torch.equal(inputs.rows, torch.cat([KINDS.float(), NUMBERS], 1))
    assert inputs.identity is inputs.rows


@pytest.mark.parametrize("mask", [KINDS > 0, KINDS.float()], ids=["bool", "float"])
def test_a_mask_is_no_part_of_a_table(mask: Tensor) -> None:
    inputs = Inputs((KINDS, mask))
    assert inputs.rows is KINDS
    assert inputs.identity is not None
    assert torch.equal(inputs.identity, torch.cat([KINDS, mask], 1).double())


def test_lengths_tell_rows_apart_and_are_no_part_of_a_table() -> None:
    lengths = torch.arange(ROWS)
    inputs = Inputs((NUMBERS, lengths, torch.zeros(7), "text"))
    assert inputs.rows is NUMBERS
    assert [part is whole for part, whole in zip(inputs.parts, (NUMBERS, lengths), strict=True)] == [True] * 2
    assert inputs.identity is not None
    assert torch.equal(inputs.identity, torch.cat([NUMBERS.double(), lengths[:, None]], 1))
    assert Inputs((NUMBERS,)).identity is NUMBERS


class Both(nn.Module):
    """Of two inputs, (B, 2) whole numbers first; the others a column, or several."""

    def __init__(self, width: int):
        super().__init__()
        self.table, self.layers = (
            nn.Embedding(3, 4),
            nn.Sequential(nn.Linear(8 + width, 16), nn.ReLU(), nn.Linear(16, 2)),
        )

    def forward(self, kinds: Tensor, others: Tensor) -> Tensor:
        return self.layers(torch.cat([self.table(kinds).flatten(1), others.reshape(len(kinds), -1)], 1))


@pytest.mark.parametrize("others", [NUMBERS, NUMBERS[:, 0]], ids=["table", "column"])
def test_rows_that_agree_in_one_of_two_inputs_are_different_rows(others: Tensor) -> None:
    torch.manual_seed(0)
    model = Both(others[0].numel())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(8):
            for at in torch.randperm(128).split(32):
                optimizer.zero_grad()
                F.cross_entropy(model(KINDS[at], others[at]), SIGNS[at]).backward()
                optimizer.step()
            with torch.no_grad():
                F.cross_entropy(model(KINDS[128:], others[128:]), SIGNS[128:])
    rows = doctor.chart.rows
    assert doctor.chart.errors == []
    assert (len(rows.train), len(rows.val), rows.repeated, rows.changed) == (128, 64, 0, 0)
    assert rows.again > 500
    assert doctor.chart.probes["overlap"] == (0.0, 0, 64)
    assert not {"L01", "D06"} & {finding.code for finding in doctor.report().findings}


# A model that is asked several times for one loss


def siamese() -> Doctor:
    """Are two rows of one class? Every row comes again with another partner."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(12):
            for a, b in torch.randperm(ROWS).reshape(-1, 2, 16):
                optimizer.zero_grad()
                distance = (model(NUMBERS[a]) - model(NUMBERS[b])).pow(2).sum(1)
                F.binary_cross_entropy_with_logits(1 - distance, (SIGNS[a] == SIGNS[b]).float()).backward()
                optimizer.step()
    return doctor


def test_a_row_that_comes_again_in_another_pair_is_no_row_with_another_label(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doctor = siamese()
    assert doctor.chart.errors == []
    assert (doctor.chart.rows.changed, doctor.report().verdict) == (0, "healthy")
    assert len(doctor.chart.rows.train) > 5 * ROWS  # pairs
    monkeypatch.setattr(Update, "together", False)
    assert "L01" in [finding.code for finding in siamese().report().findings]


def one_pass(name: str, learning: bool = True) -> Pass:
    return Pass(name, Inputs((NUMBERS,)), NUMBERS, NUMBERS, learning, training=True)


@pytest.mark.parametrize(
    ("passes", "backwards", "together"),
    [
        ([one_pass("a"), one_pass("a")], 1, True),
        ([one_pass("a"), one_pass("a")], 2, False),  # micro-batches
        ([one_pass("a"), one_pass("b")], 1, False),
        ([one_pass("a"), one_pass("a", learning=False)], 1, False),
        ([one_pass("a"), one_pass("b", learning=False), one_pass("a")], 1, True),
    ],
)
def test_what_is_asked_together(passes: list[Pass], backwards: int, together: bool) -> None:
    assert Update(passes, backwards=backwards).together == together


# Batches that wait


def reader() -> Reader:
    chart = Chart()
    register = Register(chart.rows)
    return Reader(chart, register, Epochs(chart, register, Pace(0.0)))


def give(to: Reader, x: Tensor, y: Tensor, answer: Tensor) -> None:
    """One update, quickly."""
    one = Pass("", Inputs((x,)), answer, answer, learning=True, training=True)
    call = LossCall("cross_entropy", answer, y, torch.tensor(1.0), F.cross_entropy)
    update = Update([one], [call], backwards=1)
    to.read(update, update.training, close=False)
    to.chart.step += 1


def batches() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Three rounds over the rows, the last batch of each smaller; a few labels change in the last."""
    generator = torch.Generator().manual_seed(1)
    for turn in range(3):
        for at in torch.randperm(ROWS, generator=generator).split(40):
            y = SIGNS[at].clone()
            y[:3] = (y[:3] + (turn == 2)) % 2
            yield NUMBERS[at], y, torch.randn(len(at), CLASSES, generator=generator)


def test_what_waits_is_read_as_if_it_had_not_and_may_be_overwritten() -> None:
    at_once, later, most = reader(), reader(), 0
    buffers = torch.empty(40, 3), torch.empty(40, dtype=torch.long), torch.empty(40, CLASSES)
    for x, y, answer in batches():
        give(at_once, x, y, answer)
        at_once.catch_up()
        views = [buffer[: len(x)] for buffer in buffers]
        for view, part in zip(views, (x, y, answer), strict=True):
            view.copy_(part)
        give(later, *views)
        most = max(most, len(later.waiting))
    later.catch_up()
    assert most > 10
    assert later.waiting == []
    assert later.chart.accuracy == at_once.chart.accuracy
    right = [float((answer.argmax(1) == y).double().mean()) for _, y, answer in batches()]
    assert [value for _, value in later.chart.accuracy] == pytest.approx(right)
    assert later.epochs.training == at_once.epochs.training
    one, other = later.chart.rows, at_once.chart.rows
    assert one.train == other.train
    assert len(one.train) == ROWS
    assert (one.labels, one.order, one.sizes) == (other.labels, other.order, other.sizes)
    assert (one.again, one.changed, one.lately) == (other.again, other.changed, other.lately)
    assert one.changed == 15
    assert sum(one.labels.values()) == one.train_seen == 3 * ROWS


def test_several_labels_a_row_are_answered_one_by_one() -> None:
    y = (NUMBERS > 0).float()
    for answer, share in ((NUMBERS, 1.0), (NUMBERS * torch.tensor([1, 1, -1]), 2 / 3)):
        to = reader()
        for at in torch.arange(ROWS).split(48):
            give(to, NUMBERS[at], y[at], answer[at])
        to.catch_up()
        assert [value for _, value in to.chart.accuracy] == pytest.approx([share] * 4)


def test_batches_of_another_shape_do_not_wait_together() -> None:
    to = reader()
    for width, waiting in ((3, 1), (3, 2), (5, 1), (5, 2), (3, 1)):
        give(to, torch.randn(8, width), torch.zeros(8, dtype=torch.long), torch.randn(8, CLASSES))
        assert len(to.waiting) == waiting
    assert to.chart.rows.train_seen == 32


def test_what_is_large_or_has_waited_long_is_read() -> None:
    to, y, answer = reader(), torch.zeros(8, dtype=torch.long), torch.randn(8, CLASSES)
    for k in range(1, MOST + 1):
        give(to, torch.randn(8, 3), y, answer)
        assert len(to.waiting) == k % MOST
    assert to.chart.rows.train_seen == 8 * MOST
    give(to, torch.randn(8, LARGE // (8 * MOST) + 1), y, answer)
    assert (to.waiting, to.chart.rows.train_seen) == ([], 8 * MOST + 8)
