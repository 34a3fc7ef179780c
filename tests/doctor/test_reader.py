"""The rows of an update: what tells them apart, whose targets they have, and batches that wait."""

# B rows, C classes, T places of a sequence

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import didact
from didact.doctor.chart import Chart
from didact.doctor.doctor import Doctor
from didact.doctor.epochs import Epochs
from didact.doctor.inputs import Inputs
from didact.doctor.pace import Pace
from didact.doctor.passes import Pass
from didact.doctor.reader import LARGE, MOST, WINDOW, Reader
from didact.doctor.rows import Register, fingerprints
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
    assert inputs.identity() is inputs.rows


@pytest.mark.parametrize("mask", [KINDS > 0, KINDS.float()], ids=["bool", "float"])
def test_a_mask_is_no_part_of_a_table(mask: Tensor) -> None:
    inputs = Inputs((KINDS, mask))
    identity = inputs.identity()
    assert inputs.rows is KINDS
    assert identity is not None
    assert torch.equal(identity, torch.stack([KINDS, mask], -1).flatten(1).double())


def test_lengths_tell_rows_apart_and_are_no_part_of_a_table() -> None:
    lengths = torch.arange(ROWS)
    inputs = Inputs((NUMBERS, lengths, torch.zeros(7), "text"))
    assert inputs.rows is NUMBERS
    assert [part is whole for part, whole in zip(inputs.parts, (NUMBERS, lengths), strict=True)] == [True] * 2
    identity = inputs.identity()
    assert identity is not None
    assert torch.equal(identity, torch.cat([NUMBERS.double(), lengths[:, None]], 1))
    assert inputs.identity(but={1}) is NUMBERS
    assert Inputs((NUMBERS,)).identity() is NUMBERS


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


# Inputs that are made of what a loader gave

CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "turned": lambda x: x.flip(1),
    "halved": lambda x: x / 2,
    "as it is": lambda x: x,
}


def by_hand(answer: Tensor, y: Tensor) -> Tensor:
    return -answer.log_softmax(1)[torch.arange(len(y)), y].mean()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("loss_fn", [F.cross_entropy, by_hand])
@pytest.mark.parametrize("told", [False, True], ids=["silent", "told"])
def test_inputs_that_are_changed_after_the_loader_gave_them_keep_their_own_labels(
    told: bool, loss_fn: Callable[[Tensor, Tensor], Tensor], change: Callable[[Tensor], Tensor]
) -> None:
    torch.manual_seed(0)
    model, right = nn.Linear(3, 2), []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(3):
            for x, y in DataLoader(TensorDataset(NUMBERS, SIGNS), 32, shuffle=True):
                optimizer.zero_grad()
                answer = model(change(x))
                right.append(float((answer.argmax(1) == y).double().mean()))
                loss = loss_fn(answer, y)
                loss.backward()
                optimizer.step()
                if told:
                    doctor.on_step(loss, (x, y))
    assert doctor.chart.errors == []
    assert [value for _, value in doctor.chart.accuracy] == pytest.approx(right)
    own = dict(zip(fingerprints(change(NUMBERS)), SIGNS.tolist(), strict=True))
    assert doctor.observer.register.target_of == own
    assert (doctor.chart.rows.again, doctor.chart.rows.changed) == (2 * ROWS, 0)


ORDERS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "as they came": (lambda y: y, False),
    "another order": (lambda y: y[torch.randperm(len(y))], True),
    "others": (lambda y: torch.zeros_like(y), False),  # what a row is said to be stays what it was
    "shares": (lambda y: F.one_hot(y, 2).float(), False),
}


@pytest.mark.parametrize(("order", "changed"), ORDERS.values(), ids=ORDERS)
def test_targets_have_the_order_in_which_the_loss_got_them(
    order: Callable[[Tensor], Tensor], changed: bool
) -> None:
    torch.manual_seed(0)
    model, right = nn.Linear(3, 2), []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(3):
            for x, y in DataLoader(TensorDataset(NUMBERS, SIGNS), 32, shuffle=True):
                optimizer.zero_grad()
                answer, targets = model(x), order(y)
                F.cross_entropy(answer, targets).backward()
                right.append(float((answer.argmax(1) == (targets if changed else y)).double().mean()))
                optimizer.step()
    assert doctor.chart.errors == []
    rows = doctor.chart.rows
    assert rows.again == 2 * ROWS
    assert (rows.changed > 0.3 * rows.again) == changed
    assert changed or rows.changed == 0
    assert [value for _, value in doctor.chart.accuracy] == pytest.approx(right)
    assert ("L01" in doctor.report().codes()) == changed


# A decoder that is given the words before those it has to say

SOURCES = torch.cartesian_prod(*[torch.arange(9)] * 3)[torch.randperm(729, generator=GENERATOR)[:ROWS]]
BEGIN = 9


class Writer(nn.Module):
    """A sentence of nine words, of another one and of the words before each, (B, T) and (B, T)."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.write, self.head = nn.Embedding(9, 8), nn.Embedding(10, 8), nn.Linear(8, 9)

    def forward(self, source: Tensor, words: Tensor) -> Tensor:
        return self.head(torch.tanh(self.read(source).mean(1, keepdim=True) + self.write(words)))


def write(moving: bool = False, given: bool = False, flat: bool = False) -> Doctor:
    """Four rounds; a source may have another target in each, or the decoder be ``given`` the target."""
    torch.manual_seed(0)
    model = Writer()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for turn in range(4):
            targets = SOURCES.flip(1).roll(turn if moving else 0, 0)
            for at in torch.randperm(ROWS).split(32):
                target = targets[at]
                before = torch.cat([torch.full((len(at), 1), BEGIN), target[:, :-1]], 1)
                optimizer.zero_grad()
                answer = model(SOURCES[at], target if given else before)
                if flat:
                    F.cross_entropy(answer.flatten(0, 1), target.flatten()).backward()
                else:
                    F.cross_entropy(answer.movedim(2, 1), target).backward()
                optimizer.step()
    assert doctor.chart.errors == []
    return doctor


def test_a_source_with_another_target_is_met_again_and_changed() -> None:
    doctor = write(moving=True)
    rows = doctor.chart.rows
    assert doctor.observer.register.given_away == {1}
    assert len(rows.train) == ROWS
    assert (rows.again, rows.repeated) == (3 * ROWS, 0)
    assert rows.changed > 0.95 * rows.again
    assert "L01" in doctor.report().codes()
    steady = write()
    assert (steady.chart.rows.again, steady.chart.rows.changed) == (3 * ROWS, 0)
    assert not {"L01", "L03"} & set(steady.report().codes())


@pytest.mark.parametrize("flat", [False, True])
def test_a_decoder_that_is_given_the_target_itself_is_told(flat: bool) -> None:
    report = write(given=True, flat=flat).report()
    assert report.codes()[0] == "L03"
    assert report.findings[0].evidence["targets equal to a token that has been read"] == 1.0
    assert "L03" not in write(flat=flat).report().codes()


def test_flattened_targets_of_a_decoder_are_asked_about_by_row() -> None:
    assert {"mixing", "reach"} <= set(write(flat=True).chart.probes)


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


def test_how_sure_right_and_wrong_answers_are_is_written_down_by_window() -> None:
    to, answers, right, windows = reader(), [], [], 0
    for x, y, answer in [*batches(), *batches()]:
        give(to, x, y, answer)
        to.catch_up()
        answers.append(answer)
        right.append(answer.argmax(1) == y)
        if sum(map(len, right)) >= WINDOW:
            best, next_best = torch.cat(answers).topk(2, 1).values.T
            sure, correct = best - next_best, torch.cat(right)
            by_pairs = float((sure[correct][:, None] > sure[~correct]).double().mean())
            assert to.chart.surer[-1] == pytest.approx(
                (to.chart.step, by_pairs, float(correct.double().mean()))
            )
            answers, right, windows = [], [], windows + 1
    assert len(to.chart.surer) == windows == 4
    assert to.window.ranked == sum(map(len, right))


def test_places_that_do_not_count_are_in_no_window() -> None:
    to, y = reader(), SIGNS.clone()
    to.chart.rows.ignored = 7
    y[::2] = 7
    answer = F.one_hot(SIGNS, CLASSES).float() + torch.arange(ROWS)[:, None]
    for at in torch.arange(ROWS).split(32):
        give(to, NUMBERS[at], y[at], answer[at])
    to.catch_up()
    assert (to.window.ranked, to.window.hit, to.chart.surer) == (ROWS // 2, 1.0, [])
    assert [value for _, value in to.chart.accuracy] == [1.0] * 6
    assert to.chart.rows.labels == dict(enumerate(SIGNS[1::2].bincount().tolist()))


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


@pytest.mark.parametrize("shown", [True, False])
def test_a_decoder_that_is_a_model_of_its_own_is_given_what_it_has_to_say(shown: bool) -> None:
    torch.manual_seed(0)
    source, target = torch.randn(200, 5), torch.randint(6, (200, 4))
    given = target if shown else torch.randint(6, (200, 4))

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.out = nn.Embedding(6, 8), nn.Linear(8, 6)

        def forward(self, words: Tensor, memory: Tensor) -> Tensor:
            return self.out((self.words(words) + memory[:, None]).tanh())

    encoder, decoder = nn.Linear(5, 8), Decoder()
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 0.01)
    with didact.watch([encoder, decoder], optimizer) as doctor:
        for _ in range(4):
            for rows in torch.randperm(200).split(20):
                answer = decoder(given[rows], encoder(source[rows]))
                optimizer.zero_grad()
                F.cross_entropy(answer.flatten(0, 1), target[rows].flatten()).backward()
                optimizer.step()
    assert ("L03" in doctor.report().codes()) == shown
    assert doctor.chart.errors == []
