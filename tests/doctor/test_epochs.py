"""What an epoch is said to have scored: which places count, and where one ends if the loop never says."""

# B rows, C classes, T places

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import didact
from didact.doctor import epochs
from didact.doctor.doctor import Doctor
from didact.doctor.epochs import BRIEF
from didact.doctor.passes import right_answers

ROWS, TRAINED, PLACES = 320, 192, 5
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(ROWS, PLACES, 4, generator=GENERATOR)
SCORES = X[..., :3] + torch.randn(ROWS, PLACES, 3, generator=GENERATOR)
CLASSES, HIDDEN = SCORES.argmax(-1), torch.rand(ROWS, PLACES, generator=GENERATOR) < 0.3


# Places that do not count


class Seen:
    """What a loop itself counts: right answers, and labels that are no place to be ignored."""

    def __init__(self, ignored: int):
        self.ignored = ignored
        self.trained: list[tuple[int, int]] = []
        self.validated: list[float] = []
        self.labels, self.others = torch.zeros(3, dtype=torch.long), torch.zeros(3, dtype=torch.long)

    def share(self, answer: Tensor, y: Tensor) -> tuple[int, int]:
        """Right answers, and all of them; nothing here compares two tensors, which the doctor would hear."""
        known = y != self.ignored
        return int((((answer.argmax(1) - y) == 0) & known).sum()), int(known.sum())

    def counted(self, y: Tensor) -> Tensor:
        return y[y != self.ignored].bincount(minlength=3)


def ignoring(ignored: int, by_loss: bool, places: bool) -> tuple[Doctor, Seen]:
    """Four epochs in which a third of the labels is ``ignored``; one label a row, or one a place."""
    torch.manual_seed(0)
    x, y = (X, CLASSES.masked_fill(HIDDEN, ignored)) if places else (X[:, 0], CLASSES[:, 0].clone())
    if not places:
        y[HIDDEN[:, 0]] = ignored
    model, loss_fn, seen = nn.Linear(4, 3), nn.CrossEntropyLoss(ignore_index=ignored), Seen(ignored)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    with didact.watch(model, optimizer, quiet=True, budget=1.0) as doctor:
        for _ in range(4):
            for at in torch.randperm(TRAINED).split(32):
                optimizer.zero_grad()
                answer = model(x[at]).movedim(-1, 1)
                loss_fn(answer, y[at]).backward()
                optimizer.step()
                seen.trained.append(seen.share(answer, y[at]))
                seen.labels += seen.counted(y[at])
            both = torch.zeros(2)
            with torch.no_grad():
                for at in torch.arange(TRAINED, ROWS).split(48):
                    answer = model(x[at]).movedim(-1, 1)
                    score = loss_fn(answer, y[at]) if by_loss else (answer.argmax(1) == y[at]).sum()
                    assert score.isfinite()
                    both += torch.tensor(seen.share(answer, y[at]))
                    seen.others += seen.counted(y[at])
            seen.validated.append(float(both[0] / both[1]))
    assert doctor.chart.errors == []
    return doctor, seen


@pytest.mark.parametrize("places", [False, True], ids=["rows", "places"])
@pytest.mark.parametrize("by_loss", [True, False], ids=["loss", "=="])
@pytest.mark.parametrize("ignored", [7, -100])
def test_places_that_do_not_count_are_in_no_accuracy_and_no_label_count(
    ignored: int, by_loss: bool, places: bool
) -> None:
    doctor, seen = ignoring(ignored, by_loss, places)
    chart = doctor.chart
    assert [value for _, value in chart.accuracy] == pytest.approx([a / b for a, b in seen.trained])
    by_epoch = torch.tensor(seen.trained).double().reshape(4, -1, 2).sum(1)
    assert [epoch.train_accuracy for epoch in chart.epochs] == pytest.approx(
        (by_epoch[:, 0] / by_epoch[:, 1]).tolist()
    )
    assert [epoch.val_accuracy for epoch in chart.epochs] == pytest.approx(seen.validated)
    assert all(epoch.measured for epoch in chart.epochs)
    assert [sum(epoch.predicted) for epoch in chart.epochs] == [int(seen.others.sum()) // 4] * 4
    assert chart.rows.labels == dict(enumerate(seen.labels.tolist()))
    assert chart.rows.val_labels == dict(enumerate(seen.others.tolist()))
    assert chart.rows.ignored == ignored


def test_an_ignored_number_may_be_that_of_a_class() -> None:
    doctor, seen = ignoring(1, by_loss=False, places=False)
    assert doctor.chart.rows.labels == {k: n for k, n in enumerate(seen.labels.tolist()) if k != 1}
    assert set(doctor.chart.rows.val_labels) == {0, 2}
    assert [epoch.val_accuracy for epoch in doctor.chart.epochs] == pytest.approx(seen.validated)


# A loop whose every update sees all rows

UPDATES = 40
TRAIN = torch.arange(ROWS) < TRAINED
Score = Callable[[nn.Module], float]


def right(answers: Tensor) -> float:
    return float((answers == CLASSES[~TRAIN, 0]).double().mean())


def under_a_mask(model: nn.Module) -> float:
    with torch.no_grad():
        return right(model(X[:, 0])[~TRAIN].argmax(1))


def after_no_grad(model: nn.Module) -> float:
    with torch.no_grad():
        out = model(X[:, 0])
    return right(out[~TRAIN].argmax(1))


def answers_under_a_mask(model: nn.Module) -> float:
    with torch.no_grad():
        answers = model(X[:, 0]).argmax(1)
    return right(answers[~TRAIN])


def rows_of_their_own(model: nn.Module) -> float:
    with torch.no_grad():
        return right(model(X[~TRAIN, 0]).argmax(1))


SCORERS = (under_a_mask, after_no_grad, answers_under_a_mask, rows_of_their_own)


def whole(score: Score, dropout: float = 0.0, mode: bool = True) -> tuple[Doctor, list[float]]:
    """One update and one validation each epoch; ``mode``: the model is put into evaluation for it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))
    optimizer, true = torch.optim.Adam(model.parameters(), lr=0.02), []
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(UPDATES):
            model.train()
            optimizer.zero_grad()
            F.cross_entropy(model(X[:, 0])[TRAIN], CLASSES[TRAIN, 0]).backward()
            optimizer.step()
            model.train(not mode)
            true.append(score(model))
    assert doctor.chart.errors == []
    return doctor, true


@pytest.mark.parametrize("score", SCORERS)
def test_a_loop_of_one_update_an_epoch_has_epochs_and_not_too_many(score: Score) -> None:
    doctor, true = whole(score)
    epochs = doctor.chart.epochs
    assert all(epoch.measured for epoch in epochs)
    assert [epoch.val_accuracy for epoch in epochs] == pytest.approx([true[e.step - 1] for e in epochs])
    assert true[0] < 0.55 < true[-1]
    steps = [epoch.step for epoch in epochs]
    assert steps[-1] == UPDATES  # the last is closed with the run
    assert [later - step for step, later in pairwise(steps[1:-1])] == [BRIEF] * (len(steps) - 3)
    assert len(steps) > UPDATES / BRIEF
    assert doctor.chart.counts["validations"] == UPDATES


@pytest.mark.parametrize("score", SCORERS)
def test_there_too_a_validation_in_training_mode_is_found(score: Score) -> None:
    def found(dropout: float, mode: bool) -> bool:
        doctor, _ = whole(score, dropout, mode)
        return "E01" in [finding.code for finding in doctor.report().findings]

    assert found(0.2, mode=False)
    assert not found(0.2, mode=True)
    assert not found(0.0, mode=False)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_pass_that_only_supplies_another_is_no_validation(dropout: float) -> None:
    """Before every update, and never scored: as in a model that learns from its own answers."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(UPDATES):
            with torch.no_grad():
                supplied = model(X[:TRAINED, 0]).softmax(1)
            optimizer.zero_grad()
            answer = model(X[:TRAINED, 0])
            assert 0 <= int((answer.argmax(1) == CLASSES[:TRAINED, 0]).sum()) <= TRAINED
            F.cross_entropy(answer, 0.9 * F.one_hot(CLASSES[:TRAINED, 0], 3) + 0.1 * supplied).backward()
            optimizer.step()
    assert (doctor.chart.errors, doctor.chart.epochs) == ([], [])
    assert "E01" not in [finding.code for finding in doctor.report().findings]


@pytest.mark.parametrize(("first", "leaked"), [(68, 68), (64, 0), (5, 5)])
def test_training_rows_that_end_within_a_batch_of_validation_are_of_it(first: int, leaked: int) -> None:
    """Some rows of training are scored, then others: two sets if each ends with a batch of its own."""
    torch.manual_seed(0)
    x, y = torch.randn(360, 5), torch.randint(3, (360,))
    model = nn.Linear(5, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(2):
            for at in torch.randperm(200).split(20):
                optimizer.zero_grad()
                F.cross_entropy(model(x[at]), y[at]).backward()
                optimizer.step()
            with torch.no_grad():
                for at in torch.arange(200 - first, 360).split(32):
                    F.cross_entropy(model(x[at]), y[at])
    assert doctor.chart.probes["overlap"][1] == leaked


@pytest.mark.parametrize("shape", [(5,), (1, 4, 4), (17, 16, 16)])
def test_a_row_of_validation_that_was_trained_on_is_shown(shape: tuple[int, ...]) -> None:
    """The fortieth is the first of them; a row of more than 4,096 numbers is not kept."""
    x, y = torch.randn(160, *shape), torch.randint(3, (160,))
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    model(x)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(2):
            for at in torch.randperm(100).split(20):
                optimizer.zero_grad()
                F.cross_entropy(model(x[at]), y[at]).backward()
                optimizer.step()
            with torch.no_grad():
                for at in torch.tensor([*range(100, 139), 60, *range(139, 150), *range(40)]).split(32):
                    F.cross_entropy(model(x[at]), y[at])
    finding = next(finding for finding in doctor.report().findings if finding.code == "D06")
    if shape == (17, 16, 16):
        assert finding.picture == {}
    else:
        assert finding.picture["names"][0] == "row 40 of validation"
        assert all(np.array_equal(row, x[60].numpy()) for row in finding.picture["rows"])


@pytest.mark.parametrize(("told", "leaks"), [({"loss": 0.3}, True), ({}, False)])
def test_the_training_rows_told_as_the_validation_leak(told: dict[str, float], leaks: bool) -> None:
    model, rows = nn.Linear(4, 2), torch.randn(60, 4)
    optimizer, labels = torch.optim.SGD(model.parameters(), 0.1), (rows[:, 0] > 0).long()
    doctor = Doctor(quiet=True)
    doctor.on_start(model, optimizer)
    for _ in range(6):
        for part in torch.arange(60).split(20):
            optimizer.zero_grad()
            F.cross_entropy(model(rows[part]), labels[part]).backward()
            optimizer.step()
        with torch.no_grad():
            F.cross_entropy(model(rows), labels)
        doctor.on_epoch({"loss": 0.3}, told)
    doctor.close()
    assert ("D06" in doctor.report().codes()) == leaks


# Losses of a validation wait for each other


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_losses_that_wait_are_read_as_one_by_one(reduction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop writes each batch over the one before; batches of 32 and one of 16 are read in two parts."""
    sizes: list[int] = []

    def count(given: Tensor, target: Tensor) -> tuple[Tensor, Tensor] | None:
        sizes.append(len(given))
        return right_answers(given, target)

    monkeypatch.setattr(epochs, "right_answers", count)
    torch.manual_seed(0)
    x, y, model = X[:, 0], CLASSES[:, 0], nn.Linear(4, 3)
    optimizer, loss_fn = torch.optim.Adam(model.parameters(), lr=0.02), nn.CrossEntropyLoss()
    score, rows, labels = nn.CrossEntropyLoss(reduction=reduction), torch.empty(32, 4), torch.empty(32).long()
    expected: list[tuple[float, float]] = []
    with didact.watch(model, optimizer, quiet=True, budget=0.0) as doctor:
        for _ in range(3):
            for at in torch.randperm(TRAINED).split(32):
                optimizer.zero_grad()
                loss_fn(model(x[at]), y[at]).backward()
                optimizer.step()
            total, right = 0.0, 0
            with torch.no_grad():
                for at in torch.arange(TRAINED, ROWS - 16).split(32):
                    here = rows[: len(at)].copy_(x[at]), labels[: len(at)].copy_(y[at])
                    answer = model(here[0])
                    loss = float(score(answer, here[1]))
                    total += loss * (len(at) if reduction == "mean" else 1)
                    right += int((answer.argmax(1) - here[1] == 0).sum())
                    answer.zero_()
                    labels.zero_()
            expected.append((total / 112, right / 112))
            sizes.append(0)
    found = [(epoch.val_loss, epoch.val_accuracy) for epoch in doctor.chart.epochs]
    assert np.allclose(found, expected, rtol=1e-6)
    assert doctor.chart.errors == []
    kept = [32, 32]  # which is scored in both modes after an epoch
    assert sizes[:14] == [32, 32, 32, 16, 0, *kept, 32, 0, 80, *kept, 32, 0]


def test_losses_that_wait_are_forgotten_with_their_validation() -> None:
    """A validation after each update: every fifth ends an epoch, and tells its own losses alone."""
    torch.manual_seed(0)
    x, y, model = X[:, 0], CLASSES[:, 0], nn.Linear(4, 3)
    optimizer, loss_fn = torch.optim.Adam(model.parameters(), lr=0.02), nn.CrossEntropyLoss()
    expected: dict[int, float] = {}
    with didact.watch(model, optimizer, quiet=True, budget=0.0) as doctor:
        for at in torch.arange(TRAINED).repeat(4).split(32):
            optimizer.zero_grad()
            loss_fn(model(x[at]), y[at]).backward()
            optimizer.step()
            with torch.no_grad():
                held = torch.arange(TRAINED, ROWS).split(32)
                losses = [float(loss_fn(model(x[rows]), y[rows])) for rows in held]
            expected[len(expected) + 1] = sum(losses) / len(losses)
    often = doctor.chart.epochs[3:]  # until it is plain that there is one after each update
    assert len(often) > 2
    assert all(b.step - a.step == BRIEF for a, b in pairwise(often[:-1]))
    assert np.allclose(
        [epoch.val_loss for epoch in often], [expected[epoch.step] for epoch in often], rtol=1e-6
    )


# What a validation is of


def denoised(yardstick: bool) -> Doctor:
    """Three epochs; a validation may also say what the noise itself would cost."""
    torch.manual_seed(0)
    clean = torch.randn(400, 8)
    noisy = clean + torch.randn(400, 8)
    model = nn.Linear(8, 8)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    with didact.watch(model, optimizer) as doctor:
        for _ in range(3):
            for rows in torch.arange(300).split(30):
                optimizer.zero_grad()
                F.mse_loss(model(noisy[rows]), clean[rows]).backward()
                optimizer.step()
            with torch.no_grad():
                for rows in torch.arange(300, 400).split(50):
                    F.mse_loss(model(x := noisy[rows]), clean[rows])
                    if yardstick:
                        F.mse_loss(x, clean[rows])
    return doctor


def test_what_the_inputs_would_cost_is_no_loss_of_a_validation() -> None:
    with_one, without = denoised(True), denoised(False)
    scored = [[e.val_loss for e in doctor.chart.epochs] for doctor in (with_one, without)]
    assert scored[0] == scored[1]
    assert len(scored[0]) == 3
    assert np.isfinite(scored[0]).all()


def test_rows_of_a_validation_are_those_of_the_model_that_training_rows_go_into() -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 6)
    encoder, decoder = nn.Linear(6, 3), nn.Linear(3, 6)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 0.01)
    with didact.watch([encoder, decoder], optimizer) as doctor:
        for _ in range(3):
            for rows in torch.arange(100).split(20):
                code = 50 * encoder(x[rows])
                optimizer.zero_grad()
                F.mse_loss(decoder(code), x[rows]).backward()
                optimizer.step()
            with torch.no_grad():
                decoder(50 * encoder(x[100:150]))
                decoder(50 * encoder(x[150:]))
    assert {rows for name, (rows, *_) in doctor.chart.rows.moments.items() if "val" in name}
    assert all(len(mean) == 6 for _, mean, _ in doctor.chart.rows.moments.values())
    assert len(doctor.chart.rows.val) == 100
