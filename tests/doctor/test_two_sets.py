"""What two sets of rows say together, and what is said where nobody validates; on charts made by hand."""

# N rows, F features

import math

import numpy as np
import pytest

from didact.doctor.chart import Activation, Chart, Epoch, Look, Pairing, Rows, Weight
from didact.doctor.course import Case
from didact.doctor.limits import LIMITS
from didact.doctor.rules import (
    data,
    generalisation,
    held_out,
    labels,
    optimisation,
    preprocessing,
    rates,
    wrong_labels,
)
from didact.doctor.rules.neighbours import ranks
from didact.doctor.rules.two_samples import renumbered
from didact.doctor.verdict import conclude

N, CLASSES, UPDATES = 200, 4, 200


def code(found: object) -> str:
    return str(getattr(found, "code", ""))


def samples(numbers: list[int], apart: float = 4.0, left_out: tuple[int, ...] = ()) -> Rows:
    """Rows in clouds; in validation each has the number that stands here for it."""
    rng = np.random.default_rng(0)

    def drawn(kinds: list[int]) -> tuple[np.ndarray, np.ndarray]:
        kind = rng.choice(kinds, N)
        return (np.eye(CLASSES)[kind] * apart + rng.normal(size=(N, CLASSES))).astype(np.float32), kind

    x, y = drawn([k for k in range(CLASSES) if k not in left_out])
    held, kind = drawn(list(range(CLASSES)))
    return Rows(inputs=x, targets=y, integer=True, table=True, held=(held, np.array(numbers)[kind]))


def run(rows: Rows, left: float = 0.6, right: float = math.nan, epochs: int = 8) -> Case:
    """200 updates that fall to what is left, and are validated so."""
    made = Chart(step=UPDATES, rows=rows)
    kind, known = ("cross_entropy", {"integer": True}) if rows.integer else ("mse", {})
    made.pairings[kind] = Pairing(kind, 50, 32, facts=known | {"outputs": CLASSES}, baseline=1.4)
    made.losses = [(k, 1.4 * (1 - (1 - left) * min(1.0, k / 100))) for k in range(UPDATES)]
    for k in range(epochs):
        epoch = Epoch(25 * (k + 1), 1.4 * left, val_loss=1.4 * left, val_accuracy=right, val_rows=400)
        epoch.met = (400 * (k + 1), 400)
        made.epochs.append(epoch)
    return Case(made, LIMITS)


# L05: classes that were numbered twice


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ([0, 1, 2, 3], {}),
        ([1, 0, 2, 3], {1: 0, 0: 1}),
        ([1, 2, 3, 0], {1: 0, 2: 1, 3: 2, 0: 3}),
        ([1, 2, 3, 4], {1: 0, 2: 1, 3: 2, 4: 3}),  # from one, and training from zero
        ([1, 1, 2, 3], {}),  # one class lies within another: no other numbers
    ],
)
def test_classes_that_have_other_numbers_in_validation(numbers: list[int], found: dict[int, int]) -> None:
    assert renumbered(samples(numbers)) == found
    said = labels.encoding(run(samples(numbers)))
    assert code(said) == ("L05" if found else "")
    for number, other in found.items():
        assert said is not None
        assert f"{number} is {other}" in said.evidence["classes of validation, and what they are in training"]


def test_classes_that_cannot_be_told_or_were_never_met_say_nothing() -> None:
    assert renumbered(samples([1, 0, 2, 3], apart=0.5)) == {}
    for seed in range(20):
        by_chance, rng = samples([0, 1, 2, 3]), np.random.default_rng(seed)
        by_chance.targets, two = rng.integers(0, 2, (2, N))
        assert by_chance.held is not None
        by_chance.held = by_chance.held[0], two
        assert renumbered(by_chance) == {}
    assert renumbered(samples([0, 1, 2, 3], left_out=(3,))) == {}
    few = samples([1, 0, 2, 3])
    assert few.held is not None
    few.held = few.held[0][:20], few.held[1][:20]
    assert renumbered(few) == {}


@pytest.mark.parametrize("trained", [[0, 1, 2, 2], [0, 0, 2, 2], [0, 1, 2, 9], [0, 1, 8, 9]])
def test_classes_that_lie_within_another_were_never_met(trained: list[int]) -> None:
    rows = samples([0, 1, 2, 3], apart=6.0)
    rows.targets = np.array(trained)[rows.targets]  # type: ignore[index]
    assert renumbered(rows) == {}


# D07: a mark for each class


@pytest.mark.parametrize(
    "marked", ["all", "but one row", "one class", "none", "few features", "many", "alone"]
)
def test_each_class_has_a_feature_of_its_own(marked: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, N)
    x = rng.normal(size=(N, 4 if marked == "few features" else 30)).astype(np.float32)
    if marked not in ("alone", "few features"):  # else the mark is what is to be found
        x[:, 4:] += rng.normal(size=(CLASSES, 26)).astype(np.float32)[y]
    where = {"one class": y == 0, "none": y < 0}.get(marked, y >= 0)
    x[where, y[where]] = 40.0
    if marked == "many":  # classes that are merely easy
        x += 40.0 * (np.arange(30) % CLASSES == y[:, None])
    if marked == "but one row":
        x[0, y[0]] = 0.0
    rows = Rows(inputs=x, targets=y, integer=True)
    found = data.leak(run(rows))
    assert (found is not None) == (marked == "all")
    if found:
        assert list(found.evidence.values()) == ["0 by 0, 1 by 1, 2 by 2, 3 by 3", 4]


# D05: a validation that does not ask for half of the classes


@pytest.mark.parametrize(
    ("asked", "rows", "found"),
    [
        ({0: 24}, 24, True),
        ({0: 10, 1: 10, 2: 10, 3: 10}, 40, False),
        ({0: 20, 1: 20, 2: 20}, 60, False),  # one of four
        ({0: 1, 1: 1}, 2, False),  # by chance
        ({0: 4}, 4, False),
    ],
)
def test_a_validation_without_most_classes(asked: dict[int, int], rows: int, found: bool) -> None:
    made = run(samples([0, 1, 2, 3]), right=0.95)
    made.chart.rows.labels, made.chart.rows.train_seen = dict.fromkeys(range(4), 100), 1000
    made.chart.rows.val_labels = asked
    for epoch in made.chart.epochs:
        epoch.val_rows = rows
    assert (held_out._never_asked(made, rows) is not None) == found
    if found:
        assert code(held_out.small_validation(made)) == "D05"


@pytest.mark.parametrize(("classes", "rows"), [(2, 2), (2, 4), (10, 10), (100, 100)])
def test_a_validation_of_few_rows_misses_classes_by_chance(classes: int, rows: int) -> None:
    made = run(samples([0, 1, 2, 3]), right=0.5)
    made.chart.rows.labels, made.chart.rows.train_seen = dict.fromkeys(range(classes), 10), 2000
    for seed in range(100):
        drawn = np.random.default_rng(seed).integers(0, classes, rows)
        made.chart.rows.val_labels = dict.fromkeys(drawn.tolist(), 1)
        assert held_out._never_asked(made, len(drawn)) is None


def test_classes_that_are_places_in_a_batch_are_no_classes() -> None:
    made = run(samples([0, 1, 2, 3]), right=0.5)
    made.chart.rows.labels, made.chart.rows.train_seen = dict.fromkeys(range(64), 10), 2000
    made.chart.rows.val_labels = dict.fromkeys(range(32), 10)
    for size, found in ((64, False), (128, True)):
        made.chart.rows.sizes = [size] * 10
        assert (held_out._never_asked(made, 320) is not None) == found


# L02, L04: labels that go with nothing, or are far off


def test_what_validation_answers_was_learned_of_labels_that_go_with_rows() -> None:
    rows = samples([0, 1, 2, 3])
    assert rows.targets is not None
    rows.targets = np.random.default_rng(1).permutation(rows.targets)
    rows.labels = rows.val_labels = dict.fromkeys(range(4), 100)
    for right, found in ((0.25, "L02"), (0.6, "")):
        made = run(rows, left=1.0, right=right)
        for k, epoch in enumerate(made.chart.epochs):
            epoch.val_loss -= 0.05 * k if right > 0.3 else 0.0
        assert code(labels.unrelated(made)) == found


def quantities(
    far: float = 0.0, events: float = 0.0, noise: float = 0.1, tails: float = 0.0, random: bool = False
) -> Rows:
    """A smooth target of four features, of which a share is in another unit, or spread with heavy tails."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)).astype(np.float32)
    y = x @ np.array([1.0, 0.5, -0.5, 0.2]) + 3 + noise * rng.normal(size=400)
    y = rng.permutation(y) if random else y
    y = np.where(rng.random(400) < events, y + 40 + rng.normal(size=400), y)
    y = np.where(rng.random(400) < far, 100 * y, y) + tails * rng.standard_cauchy(400) ** 3
    return Rows(inputs=x, targets=y.astype(np.float32), table=True)


@pytest.mark.parametrize(
    ("rows", "left", "found"),
    [
        (quantities(far=0.1), 0.7, True),
        (quantities(far=0.1), 0.2, False),
        (quantities(events=0.1), 0.7, False),  # which features do not tell
        (quantities(), 0.7, False),
        (quantities(noise=1.0), 0.7, False),
        (quantities(tails=0.001), 0.7, False),
        (quantities(far=0.025, noise=0.5), 0.7, False),
    ],
)
def test_quantities_in_another_unit(rows: Rows, left: float, found: bool) -> None:
    assert code(wrong_labels.noisy(run(rows, left, epochs=0))) == ("L04" if found else "")


def test_targets_that_are_mostly_nothing_are_ranked_alike() -> None:
    rare = quantities(random=True)
    assert rare.targets is not None
    rare.targets = np.where(np.arange(400) % 20 == 0, rare.targets, 0.0).astype(np.float32)
    assert code(labels.related_nowhere(run(rare, left=1.0, epochs=0))) == "L02"
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_a_few_that_are_far_off_do_not_hide_what_the_others_go_with() -> None:
    for rows, found in ((quantities(far=0.1), False), (quantities(random=True), True)):
        assert (code(labels.related_nowhere(run(rows, left=0.9, epochs=0))) == "L02") == found


@pytest.mark.parametrize(("left", "found"), [(0.9, True), (0.8, True), (0.5, False)])
def test_targets_that_go_with_nothing_where_nobody_validates(left: float, found: bool) -> None:
    made = run(quantities(random=True), left, epochs=0)
    assert (code(labels.unrelated(made)) == "L02") == found


# R01, P04: few rows, and targets that are out of sight


@pytest.mark.parametrize(("kept", "found"), [(0.01, True), (0.2, False), (math.nan, False)])
def test_a_few_rows_are_known_by_heart_if_dropout_is_off(kept: float, found: bool) -> None:
    made = run(samples([0, 1, 2, 3]), left=0.12, right=0.6)
    made.chart.rows.train, made.chart.rows.train_seen = set(range(60)), 1000
    for epoch in made.chart.epochs[:-1]:
        epoch.val_loss, epoch.gap, epoch.in_eval = 0.6, 0.3, (kept, 1.0) if math.isfinite(kept) else None
    made.chart.epochs[-1].val_loss, made.chart.epochs[-1].gap = 0.61, 0.3
    assert (code(generalisation.overfits(made)) == "R01") == found


@pytest.mark.parametrize(
    ("size", "left", "found"), [(800.0, 0.95, True), (800.0, 0.6, False), (20.0, 0.95, False)]
)
def test_targets_that_a_run_never_gets_near_are_out_of_sight(size: float, left: float, found: bool) -> None:
    made = run(quantities(), left, epochs=0)
    assert made.pairing is not None
    made.pairing.facts = {"first answers": 0.1, "middle": 0.0, "spread": size}
    assert (code(preprocessing.far_targets(made)) == "P04") == found


@pytest.mark.parametrize(
    ("first", "size", "found"), [(4.0, 20.0, True), (2.0, 20.0, False), (4.0, 8.0, False)]
)
def test_targets_whose_mean_is_far_off_as_well(first: float, size: float, found: bool) -> None:
    made = run(quantities(), left=0.6, epochs=0)
    assert made.pairing is not None
    made.chart.losses[0] = 0, first  # ignorance costs 1.4
    made.pairing.facts = {"first answers": 0.1, "middle": size, "spread": 1.0}
    assert (code(preprocessing.far_targets(made)) == "P04") == found


# P02, P03: rows of another unit, and rows that are drawn


@pytest.mark.parametrize(
    ("mean", "spread", "found"), [(3.0, 0.01, True), (1.7, 0.01, False), (3.0, 0.0, False), (3.0, 0.2, False)]
)
def test_a_column_that_hardly_varies_any_more_is_in_another_unit(
    mean: float, spread: float, found: bool
) -> None:
    made = run(samples([0, 1, 2, 3]), right=0.4)
    means, spreads = np.zeros(20), np.ones(20)
    means[7], spreads[7] = mean, spread**2
    made.chart.rows.val = set(range(100))
    made.chart.rows.moments = {
        "train": (1000, np.zeros(20), 1000 * np.ones(20)),
        "val": (400, means, 400 * spreads),
    }
    assert (code(preprocessing.differs(made)) == "P02") == found  # one value alone is a choice of rows


@pytest.mark.parametrize("count", [1, 10, 20])
@pytest.mark.parametrize(("start", "found"), [(1.7e9, False), (1.7e6, True)])
def test_a_clock_runs_on_in_validation_and_is_in_the_same_unit(count: int, start: float, found: bool) -> None:
    """So far from zero no other unit is looked for; nearer to it, it is."""
    made = run(samples([0, 1, 2, 3]), right=0.4)
    means, spreads, later = np.zeros(20), np.ones(20), np.zeros(20)
    means[:count], spreads[:count], later[:count] = start, 1e4**2, 1e5
    made.chart.rows.val = set(range(100))
    made.chart.rows.moments = {
        "train": (1000, means, 1000 * spreads),
        "val": (400, means + later, 400 * spreads),
    }
    assert (code(preprocessing.differs(made)) == "P02") == found


def drawn_from(total: int, size: int = 400, epochs: int = 8) -> list[tuple[int, int]]:
    """How many rows were read and how many were different, if each is drawn from all."""
    rng, met, found = np.random.default_rng(0), set[int](), []
    for k in range(epochs):
        met.update(rng.integers(0, total, size).tolist())
        found.append((size * (k + 1), len(met)))
    return found


def test_windows_that_are_drawn_from_a_text_are_no_augmentation() -> None:
    made = run(samples([0, 1, 2, 3]))
    for epoch, met in zip(made.chart.epochs, drawn_from(8000), strict=True):
        epoch.step, epoch.met = epoch.step // 4, met  # within what is read
    assert not preprocessing.changed_at_random(made)
    for k, epoch in enumerate(made.chart.epochs):  # a few were equal from the start, then all are new
        epoch.met = (400 * (k + 1), 395 + 395 * k)
    assert preprocessing.changed_at_random(made)
    for k, epoch in enumerate(made.chart.epochs):  # in eight ways each, and some are equal from the start
        epoch.met = (400 * (k + 1), 390 + 150 * k)
    assert preprocessing.changed_at_random(made)


def test_a_text_has_several_answers_by_nature() -> None:
    for width, found in ((1, True), (24, False)):
        made = run(samples([0, 1, 2, 3]), right=0.5)
        made.chart.rows.tokens, made.chart.rows.held = True, None
        made.chart.rows.targets = np.zeros((N, width), int)
        made.chart.rows.train, made.chart.rows.train_seen = set(range(3000)), 3000
        made.chart.rows.sizes, made.chart.surer = [32] * 8, [(k, 0.5, 0.5) for k in range(3)]
        assert (code(preprocessing.hard_augmentation(made)) == "P03") == found


# P01, O02, O12, D03: what is said of a run that does not get on


@pytest.mark.parametrize(
    ("left", "least", "most", "found"),
    [(1.0, 1, 20, True), (0.5, 1, 20, False), (1.0, 4, 20, False), (1.0, 0.1, 4, False)],
)
def test_a_run_that_is_stuck_has_features_of_different_size(
    left: float, least: float, most: float, found: bool
) -> None:
    made = run(samples([0, 1, 2, 3]), left)
    spread = np.linspace(least, most, 10)
    made.chart.rows.moments = {"train": (1000, spread, 1000 * spread**2)}
    assert (code(preprocessing.unscaled(made)) == "P01") == found


@pytest.mark.parametrize(
    ("kind", "order", "norms", "found"), [("norm", 0, 1, False), ("norm", 5, 1, True), ("norm", 0, 0, True)]
)
def test_a_network_that_normalises_its_inputs_itself(kind: str, order: int, norms: int, found: bool) -> None:
    made = run(samples([0, 1, 2, 3]), left=1.0)
    made.chart.rows.moments = {"train": (1000, np.zeros(10), 1000 * np.linspace(1, 300, 10) ** 2)}
    made.chart.modules["batch_norm"] = norms  # else it is of another kind, that leaves them as they are
    made.chart.weights = [
        Weight("first", kind, (10,), 0, 0.0, False, False, True, True, used=True, order=order),
        Weight("next", "linear", (8, 10), 10, 0.3, False, False, True, True, used=True, order=2),
    ]
    assert (code(preprocessing.unscaled(made)) == "P01") == found


@pytest.mark.parametrize(
    ("norms", "embeds", "found"), [(0, False, True), (1, False, False), (1, True, True), (0, True, True)]
)
def test_a_batch_norm_evens_out_how_large_features_are(norms: int, embeds: bool, found: bool) -> None:
    made = run(samples([0, 1, 2, 3]), left=0.6, right=0.4)
    made.chart.rows.moments = {"train": (1000, np.full(10, 60.0), 1000 * np.full(10, 60.0**2))}
    made.chart.modules["batch_norm"] = norms
    weight = Weight("names", "embedding", (50, 8), 8, 1.0, False, False, True, True, used=True, order=0)
    made.chart.weights = [weight] if embeds else []  # then they are mixed with others first
    assert (code(preprocessing.unscaled(made)) == "P01") == found


def falling(ratio: float, shape: str, left: float = 0.7) -> Case:
    """A loss that falls with the rate, or has stopped to; updates of such a length."""
    made = run(samples([0, 1, 2, 3]), left).chart
    rng = np.random.default_rng(0)
    made.rates = [(k, 1e-4 * (1 + math.cos(math.pi * k / UPDATES)) / 2) for k in range(UPDATES)]
    way = np.cumsum([rate for _, rate in made.rates])
    way /= way[-1]
    done = {
        "as a logarithm": np.log1p(20 * way) / math.log(21),
        "on its way": way,
        "arriving": 1 - np.exp(-4 * way),
        "arrived": np.minimum(1.0, way * 3),
    }[shape]
    made.losses = [(k, float(1.4 * (1 - (1 - left) * d) + 0.005 * rng.normal())) for k, d in enumerate(done)]
    made.weights = [Weight("0", "linear", (8, 4), 4, 0.3, False, False, True, True, used=True, order=0)]
    made.looks = [Look(20 * k, np.ones(1), np.ones(1), np.array([ratio]), 1.0) for k in range(UPDATES // 20)]
    return Case(made, LIMITS)


@pytest.mark.parametrize(
    ("ratio", "shape", "left", "found"),
    [
        (1.5e-3, "on its way", 0.68, True),
        (1.5e-3, "arriving", 0.7, False),
        (1.5e-3, "as a logarithm", 0.68, False),
        (1.5e-3, "arrived", 0.7, False),  # it falls no more
        (1e-2, "on its way", 0.7, False),  # steps as they should be: it may want more of them
        (1.5e-3, "on its way", 0.3, False),  # not far from done
    ],
)
def test_a_rate_is_low_if_the_loss_falls_as_fast_as_ever(
    ratio: float, shape: str, left: float, found: bool
) -> None:
    made = falling(ratio, shape, left)
    assert (code(rates.on_its_way(made)) == "O02") == found
    made.chart.rows.tokens = True
    assert rates.on_its_way(made) is None  # of a text more is left by nature


def test_gradients_that_a_silent_layer_stops_were_not_put_away() -> None:
    for silent, found in ((1.0, ""), (0.9, "O12")):
        made = run(samples([0, 1, 2, 3]), left=1.0).chart
        made.counts = {"gradients gone before the step": 20}
        made.activations = [Activation("relu", "out.weight", 1, dead=[(5, silent), (50, 1.0)])]
        assert code(optimisation.not_applied(Case(made, LIMITS))) == found


def test_targets_in_order_are_followed_batch_by_batch() -> None:
    made = run(quantities(), left=0.1, epochs=0).chart
    means, made.rows.again = np.linspace(-2, 2, 20), 100
    for within, found in ((0.01, "D03"), (0.3, "")):
        made.rows.levels = [(32, float(mean), within) for mean in means]
        assert code(data.sorted_batches(Case(made, LIMITS))) == found
    made.rows.levels = [(32, float(mean), 0.01) for mean in means]
    made.rows.again = 0  # a level that drifts, as of what is foretold of the future
    assert data.sorted_batches(Case(made, LIMITS)) is None
    made.rows.again = 100
    made.epochs = [Epoch(100, 0.14, val_loss=0.15, val_rows=400)]
    assert data.sorted_batches(Case(made, LIMITS)) is None  # it is validated, and knows them


def test_rows_that_are_mixed_let_answers_see_what_comes_later() -> None:
    made = run(samples([0, 1, 2, 3])).chart
    made.probes = {"mixing": 0.5, "future": 0.5}
    found = conclude(made)
    assert [(finding.code, finding.because) for finding in found][:2] == [("A04", ""), ("A05", "A04")]
    made.probes = {"mixing": 0.0, "future": 0.5}
    assert conclude(made)[0].code == "A05"
