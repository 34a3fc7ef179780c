"""Fingerprints, labels and moments of the rows that pass."""

import math

import numpy as np
import pytest
import torch

from didact.doctor.chart import Chart, Rows
from didact.doctor.course import Case
from didact.doctor.finding import Finding
from didact.doctor.limits import LIMITS
from didact.doctor.rows import Register, chance, fingerprints
from didact.doctor.rules import held_out
from didact.doctor.rules.labels import visible
from didact.doctor.rules.neighbours import neighbours, told_by_each


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bfloat16, torch.bool])
def test_equal_rows_have_equal_fingerprints_in_any_batch(dtype: torch.dtype):
    rows = torch.randn(20, 3, 4).to(dtype)
    rows[7] = rows[3]
    prints = fingerprints(rows)
    assert prints[7] == prints[3]
    assert fingerprints(rows[3:4]) == [prints[3]]
    if dtype.is_floating_point:
        assert len(set(prints)) == 19


MANY = 20_000


@pytest.mark.parametrize(
    "rows",
    [
        torch.randn(MANY, 5, generator=torch.Generator().manual_seed(0)),
        torch.randint(4, (MANY, 6), generator=torch.Generator().manual_seed(0)),
        torch.randint(4, (MANY, 7), generator=torch.Generator().manual_seed(0)).float(),
        torch.randint(4, (MANY, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8),
        torch.randint(256, (MANY, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8),
    ],
    ids=["numbers", "tokens", "whole numbers", "bytes", "three bytes"],
)
def test_rows_have_equal_fingerprints_only_if_they_are_equal(rows: torch.Tensor):
    prints = fingerprints(rows)
    different, which = rows.unique(dim=0, return_inverse=True)
    assert len(prints) == MANY
    assert len(set(prints)) == len(different) == len(set(zip(prints, which.tolist(), strict=True)))


def test_a_place_in_a_row_counts():
    row = torch.tensor([[1.0, 2.0, 3.0]])
    prints = [*fingerprints(row), *fingerprints(row.flip(1)), *fingerprints(row.roll(1, 1))]
    assert len(set(prints)) == 3
    assert len(set(fingerprints(torch.eye(3, dtype=torch.uint8)))) == 3


def test_rows_met_again_with_another_label_are_counted():
    rows, register = Rows(), None
    register = Register(rows)
    x, y = torch.randn(40, 5), torch.arange(40) % 4
    for labels in (y, y, y.roll(1)):
        register.train(x, labels, fingerprints(x))
    assert (rows.again, rows.changed) == (80, 40)
    assert len(rows.train) == 40
    assert rows.repeated == 0


QUANTITIES = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("later", "changed"),
    [(QUANTITIES.roll(1, 0), 40), (QUANTITIES, 0), (QUANTITIES + 1, 0)],
    ids=["of other rows", "the same", "estimated anew"],
)
def test_rows_met_again_with_the_quantities_of_another_are_counted(later: torch.Tensor, changed: int) -> None:
    register, x = Register(Rows()), torch.randn(40, 5)
    for targets in (QUANTITIES, QUANTITIES, later):
        register.train(x, targets, fingerprints(x))
    assert (register.rows.again, register.rows.changed) == (80, changed)


def test_quantities_of_validation_have_levels_of_their_own() -> None:
    register, other = Register(Rows()), 5 + QUANTITIES[:20, 0]
    register.labels(torch.tensor([0, 1, 1, 0]), training=True)
    register.labels(other, training=False)
    rows = register.rows
    assert (rows.levels, rows.labels) == ([], {0: 2, 1: 2})  # which those of validation do not clear
    assert rows.val_levels[0] == pytest.approx((20, float(other.mean()), float(other.var())))
    register.labels(QUANTITIES[:, 0], training=True)
    assert (len(rows.levels), len(rows.val_levels), rows.labels) == (1, 1, {})
    register.labels(other[:3], training=False)  # too few to tell
    assert len(rows.val_levels) == 1


def test_the_last_batches_are_kept_beside_the_first_rows():
    register, generator = Register(Rows()), torch.Generator().manual_seed(0)
    x, y = torch.randn(1000, 5, generator=generator), torch.arange(1000)
    for at in torch.arange(1000).split(50):
        register.train(x[at], y[at], fingerprints(x[at]))
    register.settle()
    rows = register.rows
    assert rows.inputs is not None
    assert rows.targets is not None
    assert rows.late is not None
    assert np.array_equal(rows.targets, np.arange(400))
    assert np.array_equal(rows.inputs, x[:400].numpy())
    assert np.array_equal(rows.late[1], np.arange(800, 1000))
    assert np.array_equal(rows.late[0], x[800:].numpy())


def test_moments_are_those_of_all_batches_together():
    register, x = Register(Rows()), 3 + 2 * torch.randn(90, 4)
    for part in x.split((7, 50, 33)):
        register.moments(part, training=True)
    n, mean, square = register.rows.moments["train"]
    assert n == 90
    assert mean == pytest.approx(x.double().mean(0).numpy())
    assert square / n == pytest.approx(x.double().var(0, correction=0).numpy(), rel=1e-5)


def test_rows_of_validation_that_follow_each_other_are_compared():
    register, x = Register(Rows()), torch.arange(24.0).reshape(12, 2)
    register.moments(x, training=True)
    assert register.rows.successive is None
    for part in x.split(5):  # each row is two beyond the one before; batches are not joined
        register.moments(part, training=False)
    pairs, moved = register.rows.successive
    assert pairs == 9
    assert moved.tolist() == [36.0, 36.0]


def test_order_of_labels():
    register = Register(Rows())
    register.labels(torch.tensor([0, 0, 0, 1, 1, 1]), training=True)
    register.labels(torch.tensor([0, 1, 0, 1]), training=True)
    assert register.rows.order == [0.8, 0.0]
    assert register.rows.labels == {0: 5, 1: 5}
    assert chance(register.rows.labels) == 0.5


def test_targets_that_are_the_inputs_and_those_one_step_on():
    register, tokens = Register(Rows()), torch.randint(9, (4, 12))
    register.looks_into([tokens[:, :-1]], tokens[:, 1:])
    assert (register.rows.shifted, register.rows.visible[0] < 0.5) == (1, True)
    register.looks_into([tokens.T[:-1]], tokens.T[1:].flatten())
    assert register.rows.shifted == 0
    register.rows.visible.pop()
    register.looks_into([tokens], tokens.flatten())
    assert register.rows.visible[1] == 1.0


SOURCE, TARGET = (torch.randint(9, (4, n), generator=torch.Generator().manual_seed(n)) for n in (7, 6))


def one_place_back(target: torch.Tensor) -> torch.Tensor:
    """What a decoder is given: a word to begin with, and all but the last of those it has to say, (B, T)."""
    return torch.cat([torch.full((len(target), 1), 9), target[:, :-1]], 1)


@pytest.mark.parametrize("time_first", [False, True])
@pytest.mark.parametrize("flat", [False, True])
def test_the_words_of_a_decoder_are_the_targets_one_place_back(time_first: bool, flat: bool) -> None:
    source, words, target = (
        rows.T if time_first else rows for rows in (SOURCE, one_place_back(TARGET), TARGET)
    )
    register = Register(Rows())
    register.looks_into([source, words], target.flatten() if flat else target)
    assert register.given_away == {1}
    assert register.rows.told[0] < 0.5
    assert torch.equal(register.by_row(target.flatten()), TARGET)
    assert (register.rows.visible, register.rows.shifted) == ([], None)


def test_flattened_targets_stay_as_they_are_where_nothing_tells_their_shape() -> None:
    register, flat = Register(Rows()), TARGET.flatten()
    assert register.by_row(flat) is flat
    register.looks_into([SOURCE, one_place_back(TARGET)], TARGET)
    assert register.by_row(flat[:-1]).shape == (23,)
    assert register.by_row(TARGET) is TARGET


@pytest.mark.parametrize(
    "part",
    [torch.randint(9, (4, 6)), one_place_back(TARGET).float(), one_place_back(TARGET)[:, :5], torch.ones(4)],
    ids=["others", "numbers", "fewer", "lengths"],
)
def test_other_parts_are_not_given_away(part: torch.Tensor) -> None:
    register = Register(Rows())
    register.looks_into([SOURCE, part], TARGET)
    assert register.given_away == set()
    assert all(share < 0.5 for share in register.rows.told)


def test_a_decoder_that_is_given_what_it_has_to_say() -> None:
    def found(words: list[torch.Tensor]) -> Finding | None:
        register = Register(Rows())
        for each in words:
            register.looks_into([SOURCE, each], TARGET.flatten())
        assert register.rows.told == pytest.approx(
            [float((each == TARGET).double().mean()) for each in words]
        )
        return visible(Case(Chart(rows=register.rows), LIMITS))

    finding = found([TARGET] * 2)
    assert finding is not None
    assert (finding.code, finding.severity) == ("L03", "critical")
    assert found([TARGET]) is None  # once may be chance
    assert found([TARGET, one_place_back(TARGET)]) is None


def columns(on: list[float], val: list[float], rows: int = 1000) -> Rows:
    """Labels that are on for such shares of the rows of training, and of a hundred rows of validation."""
    register = Register(Rows(train_seen=rows))
    for shares, count, training in ((on, rows, True), (val, 100, False)):
        places = torch.arange(count)[:, None] / count
        for part in (places < torch.tensor(shares)).float().split(50):
            register.labels(part, training)
    return register.rows


def test_several_labels_of_a_row_are_counted_one_by_one() -> None:
    rows = columns([0.5, 0.0, 0.1], [0.2, 0.3, 0.0])
    assert rows.columns == {0: 500, 1: 0, 2: 100}
    assert rows.val_columns == {0: 20, 1: 30, 2: 0}
    assert (rows.labels, rows.levels) == ({}, [])
    register = Register(Rows())
    for others in (torch.rand(9, 3), torch.zeros(9, 65), torch.zeros(9, 3, 2), 2 * torch.ones(9, 3)):
        register.labels(others, training=True)
    assert register.rows.columns == {}


def test_a_label_of_several_that_training_never_has() -> None:
    def found(rows: Rows) -> Finding | None:
        return held_out.not_representative(Case(Chart(rows=rows), LIMITS))

    finding = found(columns([0.5, 0.0, 0.1], [0.2, 0.05, 0.0]))
    assert finding is not None
    assert (finding.code, finding.where) == ("D04", "label 1: never met in training")
    assert (finding.evidence["labels in training"], finding.evidence["never on"]) == (2, 1)
    assert found(columns([0.5, 0.0, 0.1], [0.2, 0.04, 0.0])) is None  # four rows of a hundred
    assert found(columns([0.5, 0.002, 0.1], [0.2, 0.9, 0.0])) is None
    assert found(columns([0.5, 0.0, 0.1], [0.2, 0.9, 0.0], rows=400)) is None  # it may come yet


@pytest.mark.parametrize("at_odds", [False, True])
def test_rows_met_twice_in_one_epoch_may_be_at_odds(at_odds: bool) -> None:
    register, x = Register(Rows()), torch.arange(50.0)[:, None].repeat(1, 3)
    x[40:] = x[:10]  # ten of the fifty are copies
    y = torch.arange(50)
    y[40:] = y[:10] + at_odds
    for at in (slice(25), slice(25, 50)):
        register.train(x[at], y[at], fingerprints(x[at]))
    rows = register.rows
    assert (rows.repeated, rows.at_odds, rows.again) == (10, 10 * at_odds, 0)


def test_neighbours_and_the_feature_that_tells():
    generator = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 50)
    x = generator.normal(size=(150, 3)).astype(np.float32)
    x[:, 1] = 10 * y + generator.normal(size=150)
    rows = Rows(inputs=x, targets=y, integer=True, table=True)
    told = told_by_each(rows, classes=True)
    assert told is not None
    assert told.argmax() == 1
    assert told[1] > 0.98
    assert max(told[0], told[2]) < 0.3
    near = neighbours(rows)
    assert near is not None
    assert near.shape == (150, 5)
    assert (near == y[:, None]).mean() > 0.8


@pytest.mark.parametrize("on", [[0.5, 0.0, 0.0], [0.3, 0.1, 0.0], []])
def test_labels_of_which_a_row_has_none_or_several_are_no_classes(on: list[float]) -> None:
    rows = columns(on, on) if on else Rows()
    assert math.isnan(Case(Chart(rows=rows), LIMITS).chance)


def test_labels_of_which_each_row_has_one_are_classes() -> None:
    register = Register(Rows(train_seen=60))
    kinds = torch.arange(60) % 6 // 3 * 2  # of the classes 0 and 2, and of 1 as few
    kinds[:12] = 1
    register.labels(torch.nn.functional.one_hot(kinds, 3).float(), training=True)
    assert Case(Chart(rows=register.rows), LIMITS).chance == pytest.approx(24 / 60)
