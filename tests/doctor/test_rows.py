"""Fingerprints, labels and moments of the rows that pass."""

import numpy as np
import pytest
import torch

from didact.doctor.chart import Rows
from didact.doctor.rows import Register, chance, fingerprints
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


def test_order_of_labels():
    register = Register(Rows())
    register.labels(torch.tensor([0, 0, 0, 1, 1, 1]), training=True)
    register.labels(torch.tensor([0, 1, 0, 1]), training=True)
    assert register.rows.order == [0.8, 0.0]
    assert register.rows.labels == {0: 5, 1: 5}
    assert chance(register.rows.labels) == 0.5


def test_targets_that_are_the_inputs_and_those_one_step_on():
    register, tokens = Register(Rows()), torch.randint(9, (4, 12))
    register.looks_into(tokens[:, :-1], tokens[:, 1:])
    assert (register.rows.shifted, register.rows.visible[0] < 0.5) == (1, True)
    register.looks_into(tokens.T[:-1], tokens.T[1:].flatten())
    assert register.rows.shifted == 0
    register.rows.visible.pop()
    register.looks_into(tokens, tokens.flatten())
    assert register.rows.visible[1] == 1.0


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
