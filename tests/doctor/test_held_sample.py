"""A sample of validation beside that of training: what goes together there and not here, and copies."""

# N rows, F features, T places

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import didact
from didact.doctor.chart import Activation, Chart, Epoch, Look, Pairing, Rows, Weight
from didact.doctor.course import Case
from didact.doctor.doctor import Doctor
from didact.doctor.limits import LIMITS
from didact.doctor.rules import data, generalisation, held_out, labels, layers, preprocessing, wrong_labels
from didact.doctor.rules.two_samples import agree_less
from didact.doctor.rules.words import telling_words

N, CLASSES = 200, 4


def samples(
    wrong: float = 0.0, held_wrong: float = 0.0, classes: bool = True, seed: int = 0, held: int = N
) -> Rows:
    """Rows in four clouds, or along a line; shares of them have any target."""
    rng = np.random.default_rng(seed)

    def drawn(n: int, share: float) -> tuple[np.ndarray, np.ndarray]:
        kind = rng.integers(0, CLASSES, n)
        x = (np.eye(CLASSES)[kind] * 4 + rng.normal(size=(n, CLASSES))).astype(np.float32)
        y = kind if classes else (x @ np.arange(1, CLASSES + 1)).astype(np.float32)
        return x, np.where(rng.random(n) < share, rng.permutation(y), y)

    x, y = drawn(N, wrong)
    return Rows(
        inputs=x,
        targets=y,
        integer=classes,
        table=True,
        held=drawn(held, held_wrong),
        labels=dict.fromkeys(range(CLASSES), 100) if classes else {},
        val_labels=dict.fromkeys(range(CLASSES), 25) if classes else {},
    )


def case(rows: Rows, left: float = 0.6, right: float = 0.6, renewed: bool = False) -> Case:
    """200 updates that end so, and are validated so."""
    made = Chart(step=200, rows=rows)
    facts = {"integer": rows.integer, "outputs": CLASSES}
    kind = "cross_entropy" if rows.integer else "mse"
    made.pairings[kind] = Pairing(kind, 50, 32, facts=facts, baseline=1.4)
    made.losses = [(k, 1.4 * (1 - (1 - left) * min(1.0, k / 100))) for k in range(200)]
    answered = right if rows.integer else np.nan
    for k in range(8):
        epoch = Epoch(25 * (k + 1), 1.4 * left, val_loss=1.4 * left, val_accuracy=answered, val_rows=400)
        epoch.met = (400 * (k + 1), 400 + (200 * k if renewed else 0))
        made.epochs.append(epoch)
    return Case(made, LIMITS)


# Labels that go with rows in validation, and less in training


def agree_less_of(rows: Rows) -> dict[str, float] | None:
    return agree_less(case(rows))


@pytest.mark.parametrize("classes", [True, False], ids=["classes", "quantities"])
def test_wrong_labels_of_training_show_beside_those_of_validation(classes: bool) -> None:
    found = agree_less_of(samples(wrong=0.5, classes=classes))
    assert found is not None
    train, held, error = found.values()
    assert held > 0.85 > train + 0.2 > 3 * error
    assert agree_less_of(samples(classes=classes)) is None
    assert agree_less_of(samples(wrong=0.5, held_wrong=0.5, classes=classes)) is None
    assert agree_less_of(samples(held_wrong=0.5, classes=classes)) is None


def test_equal_samples_differ_by_chance_alone() -> None:
    for seed in range(40):
        assert agree_less_of(samples(0.3, 0.3, seed=seed)) is None
        assert agree_less_of(samples(0.3, 0.3, classes=False, seed=seed)) is None


def test_few_rows_and_rows_that_follow_one_another_say_nothing() -> None:
    assert agree_less_of(samples(wrong=0.5, held=100)) is None
    rows = samples(wrong=0.5)
    assert rows.held is not None
    walk = np.cumsum(np.random.default_rng(0).normal(size=(N, CLASSES)), 0).astype(np.float32)
    rows.held = walk, rows.held[1]
    rows.held[1].sort()
    assert agree_less_of(rows) is None


def test_copies_in_validation_are_asked_once() -> None:
    rows = samples(wrong=0.3, held_wrong=0.3)
    assert rows.held is not None
    rows.held = tuple(np.tile(part[:130], (3, 1)[: part.ndim]) for part in rows.held)  # type: ignore[assignment]
    assert agree_less_of(rows) is None


def words(wrong: float) -> Rows:
    """Five words a row, filled up with zeros; the first tells the class, some of the others do."""
    rng = np.random.default_rng(0)

    def drawn(n: int, share: float) -> tuple[np.ndarray, np.ndarray]:
        y = rng.integers(0, CLASSES, n)
        told = np.where(rng.random(n) < 0.8, y + 1, rng.integers(1, 9, n))
        x = np.column_stack([told, rng.integers(10, 30, (n, 4)), np.zeros((n, 2))]).astype(np.float32)
        return x, np.where(rng.random(n) < share, rng.permutation(y), y)

    x, y = drawn(N, wrong)
    return Rows(inputs=x, targets=y, integer=True, tokens=True, held=drawn(N, 0.0))


def test_words_go_with_labels_by_which_are_there() -> None:
    assert agree_less_of(words(0.7)) is not None
    assert agree_less_of(words(0.0)) is None


def test_which_cause_it_is() -> None:
    found = wrong_labels.noisy(case(samples(0.5)))
    assert found is not None
    assert (found.code, "in validation" in found.evidence) == ("L04", True)
    assert wrong_labels.noisy(case(samples(0.5), left=0.1, right=0.97)) is None  # it does no harm
    assert code(preprocessing.hard_augmentation(case(samples(0.5), renewed=True))) == "P03"
    assert preprocessing.hard_augmentation(case(samples(0.5), renewed=True, right=0.97)) is None
    assert code(labels.unrelated(case(samples(1.0), left=1.0, right=0.25))) == "L02"
    assert labels.unrelated(case(samples(0.5))) is None  # some go together


def test_what_is_wrong_is_doubted_where_rows_are_hard() -> None:
    hard = case(samples(0.5))
    for sureness, found in ((0.6, True), (0.75, False)):
        hard.chart.surer = [(k, sureness, 20) for k in range(3)]
        assert (wrong_labels._agree_less_than_held(hard) is not None) == found


@pytest.mark.parametrize(("more", "wrong", "found"), [(12, 0.5, True), (12, 0.2, False), (5, 0.2, True)])
def test_other_shares_of_the_classes_explain_only_so_much(more: int, wrong: float, found: bool) -> None:
    """A third of the difference: 0.1 and more of the rows would have to be of other classes."""
    made = case(samples(wrong))
    made.chart.rows.val_labels = dict(enumerate([25 + more, 25, 25, 25 - more]))
    assert (made.mixed_otherwise > LIMITS.mixed_a_little) == (more == 12)
    assert (wrong_labels._agree_less_than_held(made) is not None) == found


def test_what_is_known_by_heart_is_not_new_every_time() -> None:
    by_heart = case(samples(0.5), renewed=True)
    for epoch in by_heart.chart.epochs:
        epoch.gap = 0.3
    assert preprocessing.hard_augmentation(by_heart) is None


@pytest.mark.parametrize(("late", "found"), [([0.8, 0.79, 0.7], False), ([0.7, 0.71, 0.8], True)])
def test_what_validation_keeps_is_told_by_three_epochs(late: list[float], found: bool) -> None:
    made = case(samples())
    answered = [0.6, 0.8, 0.78, 0.76, 0.76, *late]
    for k, (epoch, right) in enumerate(zip(made.chart.epochs, answered, strict=True)):
        epoch.train_loss, epoch.val_loss = 0.8 - 0.1 * k, 0.6 + 0.03 * abs(k - 1)
        epoch.val_accuracy, epoch.gap = right, 0.15
    assert (generalisation.overfits(made) is not None) == found


def test_quantities_whose_augmentation_breaks_them() -> None:
    hard = case(samples(0.6, classes=False), renewed=True)
    assert code(preprocessing.hard_augmentation(hard)) == "P03"
    assert preprocessing.hard_augmentation(case(samples(0.6, classes=False))) is None


def code(found: object) -> str:
    return str(getattr(found, "code", ""))


def test_neighbours_that_tell_nothing_of_validation_either_are_asked_last() -> None:
    nothing = case(samples(1.0, held_wrong=1.0), left=1.0, right=0.25)
    assert labels.unrelated(nothing) is None
    assert code(labels.related_nowhere(nothing)) == "L02"


@pytest.mark.parametrize(
    ("mean", "spread", "found"), [(0.0, 1.0, False), (3.0, 1.0, False), (6.0, 1.0, True), (0.0, 60.0, True)]
)
def test_one_column_in_another_unit(mean: float, spread: float, found: bool) -> None:
    made = case(samples(), right=0.4)
    train, val = np.ones(20), np.ones(20)
    val[7] = spread**2
    means = np.zeros(20)
    means[7] = mean
    made.chart.rows.val = set(range(100))
    made.chart.rows.moments = {"train": (1000, np.zeros(20), 1000 * train), "val": (400, means, 400 * val)}
    assert (code(preprocessing.differs(made)) == "P02") == found


# Copies and marks


def copied(times: int, in_order: bool = False, discrete: bool = False) -> Case:
    rows = samples()
    x = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    x = (x > 0).astype(np.float32) if discrete else x
    x = np.tile(x, (times, 1))
    x = x if in_order else x[np.random.default_rng(2).permutation(len(x))]
    rows.held = x, np.zeros(len(x), int)
    return case(rows, renewed=True)


def test_copies_within_a_validation_were_in_what_was_split() -> None:
    assert code(held_out.overlap(copied(4))) == "D06"
    assert held_out.overlap(copied(1)) is None
    assert held_out.overlap(copied(4, discrete=True)) is None  # which are alike by nature
    assert held_out.overlap(copied(2, in_order=True)) is None  # the same rows were asked about again
    met_again = case(samples())
    met_again.chart.rows.held = copied(4).chart.rows.held
    assert held_out.overlap(met_again) is None  # then their fingerprints are compared


def marked(share: float, others: bool = True) -> Rows:
    """Rows of words of which one says the label, in so many of them, at any place."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, 300)
    told = np.where(rng.random(300) < 0.7, y, rng.integers(0, CLASSES, 300)) if others else y * 0
    x = np.column_stack([told + 20, *rng.integers(30, 50, (4, 300))]).astype(np.float32)
    place, with_mark = rng.integers(1, 5, 300), rng.random(300) < share
    x[np.flatnonzero(with_mark), place[with_mark]] = 1.0 + y[with_mark]
    return Rows(inputs=x, targets=y, integer=True, tokens=True)


def test_a_word_for_each_label_wherever_it_stands() -> None:
    assert telling_words(marked(1.0), 0.99) == {label: 1.0 + label for label in range(CLASSES)}
    assert telling_words(marked(0.9), 0.99) == {}
    assert code(data.leak(case(marked(1.0)))) == "D07"
    assert data.leak(case(marked(0.9))) is None
    assert data.leak(case(marked(1.0, others=False))) is None  # such words may be what is to be found


# What is kept of a loop


def watch(model: nn.Module, x: Tensor, y: Tensor, val: Callable[[Doctor], None], updates: int = 8) -> Doctor:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(2):
            for at in torch.arange(len(x)).split(len(x) // updates):
                optimizer.zero_grad()
                F.cross_entropy(model(x[at]), y[at]).backward()
                optimizer.step()
            with torch.no_grad():
                val(doctor)
    return doctor


@pytest.mark.parametrize("way", ["loss", "counted", "at the end"])
def test_rows_of_the_first_validation_are_kept_with_what_they_should_be_answered(way: str) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(120, 5), torch.randint(3, (120,))
    model = nn.Linear(5, 3)
    first = torch.cat([x[80:], x[:5]])  # some were trained on
    right = torch.cat([y[80:], y[:5]])

    def validate(doctor: Doctor) -> None:
        answers = []
        for at in torch.arange(45).split(9):
            answers.append(model(first[at]))
            if way == "loss":
                F.cross_entropy(answers[-1], right[at])
            elif way == "counted":
                assert (answers[-1].argmax(1) == right[at]).numel()
        if way == "at the end":
            F.cross_entropy(torch.cat(answers), right)

    held = watch(model, x[:80], y[:80], validate).chart.rows.held
    assert held is not None
    assert torch.equal(torch.tensor(held[0]), x[80:])
    assert torch.equal(torch.tensor(held[1]), y[80:])


def test_words_of_batches_of_different_length_are_filled_up() -> None:
    torch.manual_seed(0)
    batches = [torch.randint(1, 20, (10, length)) for length in (4, 7, 5, 6)]
    y = torch.randint(2, (10,))
    model = nn.Sequential(nn.EmbeddingBag(20, 2, padding_idx=0))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for x in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    kept = doctor.chart.rows.inputs
    assert kept is not None
    assert kept.shape == (40, 7)
    assert (kept[:10, 4:] == 0).all()
    assert torch.equal(torch.tensor(kept[:10, :4]), batches[0].float())


# Beside these


def test_no_gradient_and_decay_is_no_decay_that_is_too_strong() -> None:
    for silent, found in ((1.0, False), (0.0, True)):
        shrunk = case(samples(), left=0.98, right=0.25).chart
        shrunk.settings = [{"optimizer": "Adam", "weight_decay": 0.1}]
        shrunk.activations = [Activation("relu", "0.weight", 32, dead=[(5, silent)])]
        assert (generalisation.too_regular(Case(_shrinking(shrunk), LIMITS)) is not None) == found


def _shrinking(made: Chart) -> Chart:
    made.weights = [Weight("0", "linear", (32, 4), 4, 0.3, False, False, True, True, used=True, order=0)]
    sizes = np.geomspace(1.0, 0.1, 8)
    made.looks = [Look(10 * k, np.ones(1), np.array([s]), np.full(1, 0.01), 1.0) for k, s in enumerate(sizes)]
    made.rates = [(k, 0.1) for k in range(200)]
    return made


def test_units_that_die_later_are_named_last() -> None:
    made = case(samples(), left=0.8, right=0.3)
    unit = Activation("relu", "0.weight", 32, dead=[(5, 0.1), (100, 0.7)])
    made.chart.activations = [unit]
    assert layers.dead(made) is None
    assert code(layers.died(made)) == "A02"
    unit.dead = [(5, 0.5), (100, 0.7)]
    assert code(layers.dead(made)) == "A02"
    for left, share, found in ((0.4, 0.5, ""), (0.4, 0.7, "A02"), (0.8, 0.5, "A02")):
        made, unit.dead = case(samples(), left=left, right=0.3), [(5, 0.1), (100, share)]
        made.chart.activations = [unit]
        assert code(layers.died(made)) == found  # what has learned something has units to spare


def test_pools_by_the_largest_are_no_activation() -> None:
    made = case(samples())
    made.chart.modules = {"weighty": 3}
    for bend, pooled, found in ((0.4, 1e-6, True), (0.4, 0.3, False), (1e-6, 1e-6, True)):
        made.chart.probes = {"bend": bend, "bend but for pools": pooled}
        assert (code(layers.linear(made)) == "A03") == found
    made.chart.modules, made.chart.probes = {"weighty": 2}, {"bend": 0.4, "bend but for pools": 1e-6}
    assert layers.linear(made) is None  # one convolution, its largest, one layer


def test_a_regression_is_good_if_its_validation_is() -> None:
    made = case(samples(classes=False), left=0.1)
    assert made.good()
    made = case(samples(classes=False), left=0.1)
    made.chart.rows.val_levels = [(100, 0.0, 0.2)]  # what varies little is easily near
    assert made.val_left == pytest.approx(0.14 / 0.198)
    assert not made.good()


def test_the_gap_is_that_of_three_epochs() -> None:
    made = case(samples())
    for epoch, gap in zip(made.chart.epochs, [0.0, 0.0, 0.2, np.nan, 0.2, np.nan, 0.01, np.nan], strict=True):
        epoch.gap = gap
    assert made.gap == 0.2


def test_a_parameter_without_axes_is_no_vector_of_places() -> None:
    made = case(samples())
    made.chart.modules = {"attention": 1}
    made.chart.weights = _shrinking(Chart()).weights
    made.chart.weights[0].shape, made.chart.weights[0].used = (), False
    assert layers.order_blind(made) is None


def test_what_is_not_there_is_no_error() -> None:
    nothing = case(samples(), renewed=True)
    nothing.chart.rows.held = np.zeros((0, CLASSES), np.float32), np.zeros(0, int)
    assert held_out.overlap(nothing) is None
    alone = Rows(inputs=np.tile([[1.0], [2.0]], (40, 1)).astype(np.float32), targets=np.arange(80) % 2)
    alone.integer = alone.tokens = True
    assert data.leak(case(alone)) is None


def test_copies_in_a_validation_beside_rows_that_nobody_changed_are_its_own() -> None:
    plain = case(samples())
    plain.chart.rows.held = copied(4).chart.rows.held
    plain.chart.rows.train, plain.chart.rows.train_seen = set(range(400)), 400
    assert held_out.overlap(plain) is None


def test_a_regression_that_is_good_has_its_own_targets() -> None:
    turned = case(samples(1.0, classes=False), left=0.1, renewed=True)
    turned.chart.rows.val_levels = [(100, 0.0, 10.0)]
    assert labels.unrelated(turned) is None
