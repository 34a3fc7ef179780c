"""More rules on charts made by hand: validation, leaks, words, first weights, soft targets, small batches."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import didact
from didact.doctor.chart import Chart, Epoch, Look, Pairing, Rows, Weight
from didact.doctor.course import Case
from didact.doctor.finding import Finding
from didact.doctor.limits import LIMITS
from didact.doctor.pairing import note
from didact.doctor.rows import Register
from didact.doctor.rules import (
    data,
    games,
    generalisation,
    held_out,
    labels,
    layers,
    losses,
    metrics,
    optimisation,
    preprocessing,
    rates,
    wrong_labels,
)
from didact.doctor.taps import LossCall
from didact.doctor.verdict import LAST, conclude

UPDATES = 200
FALLS = [2.0, 1.0, 0.6, 0.3, 0.2, 0.1, 0.05, 0.02]
FLAT = [2.3] * 8


def chart(train: list[float], val: list[float], right: tuple[float, float] = (math.nan, math.nan)) -> Chart:
    """Ten classes; losses by epoch, and the accuracies of training and of 400 rows of validation."""
    made = Chart(step=UPDATES)
    facts = {"integer": True, "outputs": 10}
    made.pairings["cross_entropy"] = Pairing("cross_entropy", 50, 32, facts=facts, baseline=2.3)
    for each, other in zip(train, val, strict=True):
        made.losses += [(len(made.losses) + k, each) for k in range(UPDATES // len(train))]
        epoch = Epoch(
            len(made.losses), each, right[0], other, right[1], val_rows=400, gap=right[0] - right[1]
        )
        made.epochs.append(epoch)
    return made


def numbers(made: Chart, kind: str = "mse", baseline: float = 2.3) -> Chart:
    made.pairings = {kind: Pairing(kind, 50, 32, baseline=baseline)}
    return made


# L02: nothing that can be told


def memorised(
    val_loss: float = 2.6, trained: float = 0.8, val: float = 0.1, end: float = 0.3, rows: int = 1000
) -> bool:
    made = chart([2.3, 1.5, 1.0, end], [val_loss] * 4, (trained, val))
    made.rows.labels, made.rows.train = dict.fromkeys(range(10), 100), set(range(rows))
    found = labels.unrelated(Case(made, LIMITS))
    assert found is None or found.evidence["share of the largest class"] == 0.1
    return found is not None


def test_labels_that_can_only_be_learned_by_heart() -> None:
    assert memorised()
    assert memorised(val=0.14)  # three standard errors of 400 rows are 0.045
    assert not memorised(val=0.15)
    assert not memorised(trained=0.2)
    assert not memorised(val_loss=2.2)
    assert not memorised(end=2.0)
    assert not memorised(rows=100)  # of which anything can be


@pytest.mark.parametrize("related", [False, True])
def test_several_quantities_that_go_with_nothing(related: bool) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 3)).astype(np.float32)
    y = x @ generator.normal(size=(3, 4)) if related else generator.normal(size=(300, 4))
    y[:, 3] = 1.0  # one of them never changes
    made = numbers(chart(FLAT, FLAT))
    made.rows = Rows(inputs=x, targets=y, table=True)
    found = labels.unrelated(Case(made, LIMITS))
    assert (found is None) == related
    assert found is None or (found.code, found.evidence["rows"]) == ("L02", 300)
    assert labels.unrelated(Case(numbers(chart(FALLS, FALLS)), LIMITS)) is None


@pytest.mark.parametrize(("new", "code"), [(0, "L02"), (30, "L02"), (100, "P03"), (180, "P03"), (199, "L02")])
def test_rows_that_come_back_in_a_few_ways_may_no_longer_be_what_they_are_said_to_be(
    new: int, code: str
) -> None:
    made = renewed(chart(FLAT, FLAT), new)
    made.probes["by heart"] = 0.01
    found = labels.only_by_heart(Case(made, LIMITS))
    assert found is not None
    assert (found.code, found.severity) == (code, "warning")
    made.probes["by heart"] = 2.2
    assert labels.only_by_heart(Case(made, LIMITS)) is None


# L01, L04: labels that change, or are wrong in training


@pytest.mark.parametrize(
    ("times", "share", "size", "found"),
    [
        (30, 0.7, 20, True),  # in a third of what was met again, and as they had been before and after
        (30, 0.4, 20, False),
        (4, 1.0, 20, False),  # and not in ten batches in a row
        (30, 0.7, 4, False),  # of too few rows
    ],
)
def test_labels_that_were_shifted_once(times: int, share: float, size: int, found: bool) -> None:
    made = chart(FLAT, FLAT)
    lately = [(size, 0)] * 30 + [(size, int(share * size))] * times + [(size, 0)] * 100
    again, changed = (sum(column) for column in zip(*lately, strict=True))
    made.rows = Rows(train=set(range(1000)), again=again, changed=changed, lately=lately)
    assert changed < LIMITS.changed * again
    finding = labels.out_of_step(Case(made, LIMITS))
    assert (finding.code if finding else "") == ("L01" if found else "")
    if found:
        assert finding is not None
        assert finding.evidence["rows met again with another label"] == pytest.approx(share)


@pytest.mark.parametrize(
    ("again", "changed", "repeated", "at_odds", "found"),
    [
        (100, 30, 0, 0, True),
        (100, 10, 0, 0, False),
        (40, 30, 0, 0, False),
        (100, 30, 300, 0, True),  # copies, all of one label
        (100, 30, 300, 100, False),  # rows that are equal and labelled otherwise from the start
        (100, 30, 300, 10, True),
    ],
)
def test_labels_that_are_ambiguous_from_the_start_have_not_changed(
    again: int, changed: int, repeated: int, at_odds: int, found: bool
) -> None:
    made = chart(FLAT, FLAT)
    made.rows = Rows(train=set(range(1000)), again=again, changed=changed, repeated=repeated, at_odds=at_odds)
    finding = labels.out_of_step(Case(made, LIMITS))
    assert (finding.code if finding else "") == ("L01" if found else "")
    made.epochs[0].met = 400, 400  # none was equal in the first epoch: they were met again since
    finding = labels.out_of_step(Case(made, LIMITS))
    assert (finding.code if finding else "") == ("L01" if found or at_odds == 100 else "")


def answered(
    trained: float = 0.5,
    val: list[float] | float = 0.8,
    train: list[float] | float = 1.5,
    rows: int = 400,
    dropout: float = 0.0,
    others: dict[int, int] | None = None,
    new: int = 0,
    surer: float = math.nan,
) -> Finding | None:
    """What is said of eight epochs with such accuracies; ``others``: labels of validation."""
    loss = train if isinstance(train, list) else [train] * 8
    made = renewed(chart(loss, loss), new)
    for k, epoch in enumerate(made.epochs):
        epoch.train_accuracy, epoch.val_rows = trained, rows
        epoch.val_accuracy = val[k] if isinstance(val, list) else val
    made.dropout, made.surer = dropout, [(k, surer, 0.99) for k in range(3)]
    made.rows.labels, made.rows.val_labels = {0: 500, 1: 500}, others or {0: 200, 1: 200}
    return wrong_labels.noisy(Case(made, LIMITS))


def test_validation_that_is_labelled_better_than_training() -> None:
    found = answered()
    assert found is not None
    assert (found.code, found.severity) == ("L04", "warning")
    assert found.evidence["validation accuracy over that of the next epoch of training"] == pytest.approx(0.3)
    assert found.evidence["epochs"] == "7 of 7"
    assert answered(val=0.6) is None
    assert answered(rows=10) is None  # by chance
    assert answered(val=[0.8] * 2 + [0.5] * 6) is None  # in two epochs
    assert answered(val=[0.8] * 5 + [0.5] * 3) is not None
    assert answered(others={0: 250, 1: 150}) is not None
    assert answered(others={0: 340, 1: 60}) is None  # other shares of the classes explain as much
    assert answered(new=100) is None  # rows are changed at random
    assert answered(dropout=0.5) is not None
    assert answered(dropout=0.5, val=0.7) is None
    assert answered(dropout=0.6) is None
    assert answered(surer=0.6) is not None
    assert answered(surer=0.9) is None  # the rows that are answered wrong are merely hard


@pytest.mark.parametrize(
    ("rows", "best", "end", "found"),
    [
        (400, 1.9, 2.6, ["L04", "R01"]),
        (200, 1.9, 2.6, ["R01"]),  # too few to learn from
        (400, 1.2, 2.6, ["R01"]),  # of which a good part was learned
        (400, 1.9, 1.95, ["D04"]),  # and nothing is lost again
        (400, 2.4, 3.2, ["R01"]),  # nothing was ever gained: they may have nothing to do with the rows
    ],
)
def test_rows_enough_that_are_learned_by_heart(rows: int, best: float, end: float, found: list[str]) -> None:
    made = chart(
        [2.0, 1.8, 1.5, 1.2, 0.9, 0.6, 0.4, 0.3], [best + 0.1, best, *np.linspace(best, end, 6)], (0.9, 0.5)
    )
    made.rows.train = set(range(rows))
    assert [each.code for each in conclude(made) if each.severity != "hint" or each.because] == found


def test_wrong_labels_learned_by_heart_cost_validation() -> None:
    paid = [0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.75, 0.7]
    assert answered(val=paid, train=FALLS) is not None
    assert answered(val=0.8, train=FALLS) is None  # training caught up, and validation is none the worse


def wrong_and_sure(
    surer: float = 0.55, right: float = 0.6, windows: int = 3, loss: float = 1.5, new: int = 0
) -> Chart:
    """Ten classes, and windows in which right answers are surer than wrong ones so often."""
    made = renewed(chart([loss] * 8, [loss] * 8), new)
    made.rows.labels = dict.fromkeys(range(10), 100)
    made.surer = [(k, surer, right) for k in range(windows)]
    return made


def test_errors_that_look_like_no_errors() -> None:
    def found(made: Chart) -> Finding | None:
        return wrong_labels.noisy(Case(made, LIMITS))

    finding = found(wrong_and_sure())
    assert finding is not None
    assert (finding.code, finding.severity) == ("L04", "warning")
    assert finding.evidence["surer of a right answer than of a wrong one"] == 0.55
    assert found(wrong_and_sure(surer=0.75)) is None
    assert found(wrong_and_sure(surer=math.nan)) is None
    assert found(wrong_and_sure(right=0.9)) is None  # too few errors
    assert found(wrong_and_sure(right=0.3)) is None  # nearly all are
    assert found(wrong_and_sure(windows=2)) is None
    assert found(wrong_and_sure(loss=2.2)) is None
    assert found(wrong_and_sure(loss=0.5)) is None
    assert found(wrong_and_sure(surer=0.63)) is not None
    assert found(wrong_and_sure(surer=0.63, new=100)) is None  # rows that are changed are harder
    words = wrong_and_sure()
    words.rows.visible = [0.1]
    assert found(words) is None
    dropped = wrong_and_sure()
    dropped.dropout = 0.6
    assert found(dropped) is None


# R01, D07, P02


def by_heart(
    different: int = 100, val: tuple[float, ...] = (1.5, 1.3, *[1.2] * 6), accuracy: float = 0.6
) -> Finding | None:
    made = chart(FALLS, list(val), (1.0, accuracy))
    made.rows.train, made.rows.train_seen = set(range(different)), 8 * different
    return generalisation.overfits(Case(made, LIMITS))


def test_a_few_rows_that_are_known_by_heart() -> None:
    found = by_heart()
    assert found is not None
    assert (found.evidence["different rows of training"], found.severity) == (100, "warning")
    assert "more rows" in found.fix
    assert by_heart(different=300) is None
    assert by_heart(accuracy=0.95) is None
    assert by_heart(val=(1.5, 1.4, 1.3, 1.2, 1.1, 1.0, 0.9, 0.8)) is None  # it goes on falling
    assert by_heart(val=(0.6,) * 8) is None


def leaked(features: int, telling: int, second: float = 0.0) -> Finding | None:
    """Some features are the label itself; of one more a share is."""
    generator = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 50)
    x = generator.normal(size=(200, features))
    x[:, 1 : 1 + telling] = y[:, None] * np.arange(1, 1 + telling)  # the same twice would be one feature
    x[:, 0] = np.where(generator.random(200) < second, y, generator.integers(4, size=200))
    rows = Rows(inputs=x.astype(np.float32), targets=y, integer=True, table=True)
    return data.leak(Case(Chart(rows=rows), LIMITS))


def test_a_few_features_of_many_may_tell_the_label() -> None:
    found = leaked(features=40, telling=2)
    assert found is not None
    assert found.evidence["features like that"] == 2
    assert found.where in ("feature 1", "feature 2")
    one = leaked(features=10, telling=1)
    assert one is not None
    assert (one.where, "features like that" in one.evidence) == ("feature 1", False)
    assert leaked(features=40, telling=3) is None
    assert leaked(features=10, telling=2) is None
    assert leaked(features=40, telling=0) is None
    assert leaked(features=40, telling=2, second=0.98) is None  # what tells is no exception


@pytest.mark.parametrize(
    ("features", "values", "found"),
    [(30, 4, True), (5, 4, False), (20, 2, False), (40, 2, True), (1, 1000, True)],
)
def test_rows_of_which_many_features_would_have_to_agree_are_copies(
    features: int, values: int, found: bool
) -> None:
    generator = np.random.default_rng(0)
    x = generator.integers(values, size=(400, features)).astype(np.float32)
    made = Chart(rows=Rows(inputs=x, train=set(range(1000)), repeated=30))
    made.probes["overlap"] = (0.05, 20, 400)
    finding = held_out.overlap(Case(made, LIMITS))
    assert (finding.code if finding else "") == ("D06" if found else "")
    made.probes["overlap"] = (0.2, 80, 400)  # far more than training rows repeat one another
    assert held_out.overlap(Case(made, LIMITS)) is not None
    made.epochs, made.rows.val = [Epoch(10, val_rows=400)], set(range(350))  # which has twins of its own
    assert (held_out.overlap(Case(made, LIMITS)) is not None) == found
    made.probes["overlap"] = (0.005, 2, 400)
    assert held_out.overlap(Case(made, LIMITS)) is None


def test_words_agree_by_nature() -> None:
    x = np.random.default_rng(0).integers(4, size=(400, 30)).astype(np.float32)
    for tokens in (False, True):
        rows = Rows(inputs=x, tokens=tokens, train=set(range(1000)), repeated=30)
        made = Chart(rows=rows, probes={"overlap": (0.05, 20, 400)})
        assert (held_out.overlap(Case(made, LIMITS)) is None) == tokens
    made.rows.inputs = None
    assert held_out.overlap(Case(made, LIMITS)) is None


@pytest.mark.parametrize(("times", "found"), [(4, True), (2, False)])
def test_long_texts_that_are_met_often_in_an_epoch_are_copies(times: int, found: bool) -> None:
    x = np.random.default_rng(0).integers(4, size=(400, 30)).astype(np.float32)
    rows = Rows(inputs=x, tokens=True, train=set(range(250)), repeated=30)
    made = Chart(rows=rows, probes={"overlap": (0.05, 20, 400)})
    made.epochs = [Epoch(10, val_rows=400, met=(250 * times, 250))]
    made.rows.val = set(range(350))
    assert (held_out.overlap(Case(made, LIMITS)) is not None) == found
    made.rows.inputs = x[:, :5]  # five of four words are often the same
    assert held_out.overlap(Case(made, LIMITS)) is None


def moments(
    mean: float = 0.0, wider: float = 1.0, narrower: float = 1.0, rows: int = 1000
) -> dict[str, tuple[int, np.ndarray, np.ndarray]]:
    """Twelve features; in validation five are so much wider and five so much narrower, two as they were."""
    std = np.array([wider] * 5 + [narrower] * 5 + [1.0] * 2)
    return {
        "train": (rows, np.zeros(12), rows * np.ones(12)),
        "val": (rows, mean * np.ones(12), rows * std**2),
    }


@pytest.mark.parametrize(
    ("wider", "narrower", "found"),
    [(4.0, 0.25, True), (4.0, 4.0, True), (0.25, 0.25, True), (1.8, 0.6, False), (4.0, 1.0, False)],
)
def test_features_of_which_half_are_wider_and_half_narrower(
    wider: float, narrower: float, found: bool
) -> None:
    made = chart(FLAT, FLAT)
    made.rows.val, made.rows.moments = set(range(100)), moments(wider=wider, narrower=narrower)
    finding = preprocessing.differs(Case(made, LIMITS))
    assert (finding.code if finding else "") == ("P02" if found else "")


def renewed(made: Chart, new: int, first: int = 200) -> Chart:
    """Two hundred rows an epoch: of the first so many are different, of each later one so many are new."""
    for k, epoch in enumerate(made.epochs):
        epoch.step = 10 * (k + 1)
        epoch.met = (200 * (k + 1), first + k * new)
    return made


def augmented(
    mean: float = 0.3, new: int = 100, rows: int = 1000, first: int = 200, val: float = math.nan
) -> Chart:
    """Rows that are changed at random: validation has another mean, in deviations, or is answered so."""
    made = renewed(chart([1.5] * 8, [1.5] * 8, (0.5, val)), new, first)
    made.rows.moments, made.rows.labels = moments(mean, rows=rows), dict.fromkeys(range(10), 100)
    return made


def hard(made: Chart) -> Finding | None:
    return preprocessing.hard_augmentation(Case(made, LIMITS))


def test_rows_that_are_renewed_and_whose_means_lie_far_from_those_of_validation() -> None:
    found = hard(augmented())
    assert found is not None
    assert (found.code, found.severity) == ("P03", "warning")
    assert found.evidence["distance of the means, in variances of a feature"] == pytest.approx(0.09)
    assert hard(augmented(mean=0.1)) is None
    assert hard(augmented(new=30)) is None  # of two hundred
    assert hard(augmented(new=200)) is not None
    assert hard(augmented(rows=99)) is None
    assert hard(augmented(first=150)) is None  # drawn with repetition
    assert hard(augmented(val=0.9)) is None  # it does no harm
    assert hard(augmented(val=0.8)) is not None
    same = chart([1.5] * 8, [1.5] * 8)
    same.rows.moments = moments(mean=0.3)
    assert hard(same) is None  # the same rows again and again
    numbered = numbers(augmented())
    assert hard(numbered) is None


def test_rows_that_are_renewed_and_answered_worse_than_those_of_validation() -> None:
    def found(val: float, new: int = 100, dropout: int = 0) -> Finding | None:
        made = augmented(mean=0.0, val=val, new=new)
        made.modules["dropout"] = dropout
        for epoch in made.epochs:
            epoch.measured = True
        return hard(made)

    finding = found(0.8)
    assert finding is not None
    assert dict(finding.evidence) == {"validation accuracy": 0.8, "training accuracy": 0.5}
    assert found(0.65) is None
    assert found(0.8, new=0) is None
    assert found(0.8, dropout=1) is None
    assert found(0.99) is None


@pytest.mark.parametrize(
    ("mean", "val", "new", "others", "found"),
    [
        (0.3, 2.0, 0, 100, True),
        (0.1, 2.0, 0, 100, False),
        (0.3, 1.8, 0, 100, False),  # answered as well
        (0.3, 2.0, 100, 100, False),  # rows are changed at random
        (0.3, 2.0, 0, 500, False),  # of other shares of the classes
        (0.3, math.nan, 0, 100, False),  # nobody scores it
    ],
)
def test_rows_of_validation_that_lie_elsewhere(
    mean: float, val: float, new: int, others: int, found: bool
) -> None:
    made = renewed(chart([1.5] * 8, [val] * 8), new)
    made.rows.moments, made.rows.labels = moments(mean), dict.fromkeys(range(10), 100)
    made.rows.val_labels = {0: others} | dict.fromkeys(range(1, 10), 100)
    finding = held_out.of_another_kind(Case(made, LIMITS))
    assert (finding.code if finding else "") == ("D04" if found else "")


@pytest.mark.parametrize(
    ("alike", "pairs", "found"),
    [(0.0, 900, True), (0.5, 900, True), (0.95, 900, False), (-0.5, 900, True), (0.95, 10, True)],
)
def test_rows_that_follow_each_other_and_are_alike_tell_less_of_a_mean(
    alike: float, pairs: int, found: bool
) -> None:
    made = chart([1.5] * 8, [2.0] * 8)
    made.rows.moments, made.rows.labels = moments(0.3), dict.fromkeys(range(10), 100)
    made.rows.val_labels = made.rows.labels
    made.rows.successive = pairs, 2 * (1 - alike) * pairs * np.ones(12)  # von Neumann 1941
    finding = held_out.of_another_kind(Case(made, LIMITS))
    assert (finding.code if finding else "") == ("D04" if found else "")
    made.rows.moments = moments(0.3, rows=100)  # too few to tell, and not more for being unlike
    assert held_out.of_another_kind(Case(made, LIMITS)) is None


@pytest.mark.parametrize(("rows", "kept", "found"), [(1000, 400, True), (40, 400, False), (1000, 12, False)])
def test_a_row_that_is_met_again_tells_no_more_of_a_mean(rows: int, kept: int, found: bool) -> None:
    made = chart([1.5] * 8, [2.0] * 8)
    made.rows.moments, made.rows.labels = moments(0.3), dict.fromkeys(range(10), 100)
    made.rows.val_labels, made.rows.val = made.rows.labels, set(range(kept))
    made.rows.train = set(range(rows))
    finding = held_out.of_another_kind(Case(made, LIMITS))
    assert (finding.code if finding else "") == ("D04" if found else "")


def words(val: dict[int, int], train: list[float] = FLAT) -> Finding | None:
    made = chart(train, train)
    made.rows.words = dict.fromkeys(range(50), 200)
    made.rows.val_words = val
    return preprocessing.differs(Case(made, LIMITS))


def test_words_that_are_frequent_where_others_were() -> None:
    others = {word: 4000 if word < 25 else 100 for word in range(50)}
    found = words(others)
    assert found is not None
    assert found.evidence["share of tokens that are frequent where others were"] == pytest.approx(
        40 / 41 - 0.5
    )
    assert words(others, FALLS) is None  # it does not harm
    assert words(dict.fromkeys(range(50), 4000)) is None
    assert words(dict.fromkeys(range(25), 1)) is None  # too few to tell
    assert words({}) is None


# The weights that it starts from


def started(gain: float, loss: float, ratio: float = 0.01) -> Case:
    """Three layers of such weights, a run that ends at such a loss, and updates of such a length."""
    made = chart([loss] * 8, [loss] * 8)
    made.losses[0] = (0, 2.3)
    shape, std = (16, 16), gain / 4
    made.weights = [
        Weight(f"layer {k}", "linear", shape, 16, std, False, False, True, True) for k in range(3)
    ]
    one = np.ones(3)
    made.looks = [Look(k, one, one, ratio * one, 1.0) for k in range(0, UPDATES, 10)]
    made.rates = [(k, 0.1) for k in range(UPDATES)]
    return Case(made, LIMITS)


def test_weights_that_were_born_tiny_are_found_in_a_run_that_only_limps() -> None:
    tiny, small, usual = 0.01, 0.1, 1.0
    for gain, loss, found in (
        (tiny, 1.2, True),
        (small, 1.2, False),
        (small, 2.2, True),
        (usual, 2.2, False),
        (tiny, 0.5, False),
    ):
        assert (layers.too_small_weights(started(gain, loss)) is not None) == found, (gain, loss)


def test_large_steps_from_tiny_weights_are_no_large_rate() -> None:
    assert rates.rate_too_high(started(1.0, 2.3, ratio=0.5)) is not None
    assert rates.rate_too_high(started(0.1, 2.3, ratio=0.5)) is not None
    assert rates.rate_too_high(started(0.01, 2.3, ratio=0.5)) is None
    assert rates.rate_too_high(started(0.01, 9.0, ratio=0.5)) is not None  # it rose


def test_a_rate_that_may_be_too_high_is_asked_last() -> None:
    def codes(made: Chart) -> list[str]:
        return [finding.code for finding in conclude(made) if finding.severity != "hint"]

    case = started(1.0, 1.8, ratio=0.1)
    assert rates.rate_too_high(case) is None
    found = rates.perhaps_too_high(case)
    assert found is not None
    assert (found.code, found.severity, found.fix) == ("O01", "critical", "lr=0.01: a tenth of 0.1")
    assert codes(case.chart) == ["O01"]
    other = started(1.0, 1.8, ratio=0.1).chart
    other.counts["updates in evaluation mode"] = 100
    assert codes(other) == ["E02"]  # whatever else is found explains it
    assert LAST[-1] == ("O01", rates.perhaps_too_high)


def test_a_rate_that_may_be_too_high_has_large_updates_and_learns_little() -> None:
    def found(loss: float, ratio: float, gain: float = 1.0, heart: float = math.nan) -> bool:
        case = started(gain, loss, ratio)
        case.chart.probes |= {"by heart": heart} if math.isfinite(heart) else {}
        return rates.perhaps_too_high(case) is not None

    assert found(1.8, 0.1)
    assert not found(1.8, 0.04)
    assert not found(1.5, 0.1)
    assert not found(1.8, 0.1, gain=0.01)  # born tiny
    assert not found(2.2, 0.1)  # it is stuck, and nobody tried one batch by heart
    assert found(2.2, 0.1, heart=0.01)


def test_a_loss_that_is_never_differentiated() -> None:
    def found(updates: int = 40, zero: int = 3, backwards: int = 0) -> Finding | None:
        made = Chart(step=updates, backwards=backwards, counts={"gradient zero": zero})
        return optimisation.detached(Case(made, LIMITS))

    finding = found()
    assert finding is not None
    assert (finding.code, finding.severity, finding.where) == ("O10", "critical", "the loss itself")
    assert dict(finding.evidence) == {"updates": 40, "backward passes": 0}
    assert found(updates=39) is None
    assert found(zero=2) is None
    assert found(backwards=1) is None


def test_a_loop_without_a_backward_is_told() -> None:
    torch.manual_seed(0)
    model, x = torch.nn.Linear(4, 2), torch.randn(32, 4)
    optimizer = torch.optim.Adam(model.parameters())
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(45):
            optimizer.zero_grad()
            F.cross_entropy(model(x), (x[:, 0] > 0).long())
            optimizer.step()
    report = doctor.report()
    assert (doctor.chart.errors, report.codes()) == ([], ["O10"])
    assert report.findings[0].evidence["backward passes"] == 0


def test_gradients_of_which_some_came_are_not_gone() -> None:
    made = chart(FLAT, FLAT)
    made.backwards, made.counts = 200, {"gradients gone before the step": 5, "loss without a graph": 5}
    made.weights = [Weight("layer", "linear", (4, 4), 4, 0.5, False, False, True, True)]
    assert optimisation.detached(Case(made, LIMITS)) is None
    made.weights[0].received = 1
    assert optimisation.detached(Case(made, LIMITS)) is not None


@pytest.mark.parametrize(
    ("kind", "start", "keeps", "found"),
    [
        ("mse", 2.3, 0.97, True),
        ("mse", 2.3, 0.985, False),
        ("mse", 1.3, 0.94, True),
        ("mse", 1.3, 0.96, False),  # slowly, near the end
        ("mse", 0.9, 0.94, False),  # less than a third is left
        ("l1", 2.3, 0.97, True),
        ("l1", 1.7, 0.94, False),  # no squares: half is little
        ("mse", 1.7, 0.94, True),
    ],
)
def test_losses_that_fall_fast_enough_to_go_on(kind: str, start: float, keeps: float, found: bool) -> None:
    curve = [start * keeps**k for k in range(8)]
    finding = generalisation.underfits(Case(numbers(chart(curve, curve), kind), LIMITS))
    assert (finding.code if finding else "") == ("R03" if found else "")
    rises = [*curve[:-1], curve[-2]]
    assert generalisation.underfits(Case(numbers(chart(curve, rises), kind), LIMITS)) is None


@pytest.mark.parametrize(
    ("reach", "attention", "loss", "found"),
    [(0.0, 1, 2.3, True), (0.0, 1, 1.0, False), (0.0, 0, 2.3, False), (0.1, 1, 2.3, False)],
)
def test_attention_that_never_hears_its_own_row(
    reach: float, attention: int, loss: float, found: bool
) -> None:
    made = chart([loss] * 8, [loss] * 8)
    made.probes, made.modules = {"reach": reach, "mixing": 0.0}, {"attention": attention}
    finding = layers.mixing(Case(made, LIMITS))
    assert (finding.code if finding else "") == ("A04" if found else "")


@pytest.mark.parametrize("module", ["recurrent", "attention", ""])
def test_a_net_that_bends_by_itself_is_not_called_straight(module: str) -> None:
    made = chart(FLAT, FLAT)
    made.probes["bend"] = 0.0
    made.modules = {"weighty": 2} | ({module: 1} if module else {})
    assert (layers.linear(Case(made, LIMITS)) is None) == bool(module)


# Losses


@pytest.mark.parametrize(
    ("producer", "codes"),
    [
        ("Relu", (None, "S04")),
        ("Softplus", (None, "S04")),
        ("Sigmoid", ("S01", None)),
        ("Addmm", (None, None)),
    ],
)
def test_a_logit_that_cannot_be_negative_is_no_probability(
    producer: str, codes: tuple[str | None, ...]
) -> None:
    for calls, known in ((20, codes), (2, (None, None))):
        logits = Pairing("bce_logits", calls, counts={"unit range": calls}, producer=producer)
        case = Case(Chart(pairings={"bce_logits": logits}), LIMITS)
        found = losses.sigmoid_twice(case), losses.out_of_reach(case)
        assert tuple(finding and finding.code for finding in found) == known


def soft(entropy: float, end: float = 0.52) -> Case:
    """Shares as targets, whose entropy is the least that their loss can be."""
    made = numbers(chart([0.69, end], [0.69, end]), "bce_logits", baseline=0.69)
    made.pairings["bce_logits"].facts["entropy"] = entropy
    return Case(made, LIMITS)


def test_what_is_left_is_measured_from_the_least_that_can_be() -> None:
    assert soft(0.5).left == pytest.approx(0.02 / 0.19)
    assert soft(0.0).left == pytest.approx(0.52 / 0.69)
    assert (soft(0.5).floor, soft(0.0).floor) == (0.5, 0.0)
    assert (soft(0.5).bottomless, soft(0.01).bottomless) == (False, True)
    assert (soft(0.5, end=0.68).stuck, soft(0.5, end=0.52).slow) == (True, False)
    assert Case(Chart(), LIMITS).floor == 0.0


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_least_is_what_the_targets_themselves_would_cost(reduction: str) -> None:
    target = torch.rand(32, generator=torch.Generator().manual_seed(0))

    def noted(given: Tensor, target: Tensor) -> float:
        loss = F.binary_cross_entropy_with_logits(given, target, reduction=reduction)
        call = LossCall("bce_logits", given, target, loss, F.binary_cross_entropy_with_logits, (), reduction)
        return float(note(Chart(), call).facts["entropy"])

    least = float(F.binary_cross_entropy(target, target, reduction=reduction))
    assert noted(torch.randn(32), target) == pytest.approx(least, rel=1e-5)
    assert noted(torch.randn(32), target.round()) == 0.0


def baseline(targets: Tensor, size: int, known: float, kind: str = "mse") -> float:
    """What ignorance is said to cost after batches of such a size."""
    made = numbers(chart(FLAT, FLAT), kind, known)
    register = Register(made.rows)
    for batch in targets.split(size):
        register.labels(batch, training=True)
    return Case(made, LIMITS).baseline


QUANTITIES = 2 * torch.randn(1200, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("size", [4, 40])
def test_ignorance_of_squares_costs_the_variance_over_all_batches(size: int, ordered: bool) -> None:
    targets = QUANTITIES.sort().values if ordered else QUANTITIES
    variance = float(targets.var())
    for known in (0.7 * variance, 1.6 * variance):
        assert baseline(targets, size, known) == pytest.approx(variance, rel=0.04)


def test_the_variance_is_not_asked_where_it_does_not_belong() -> None:
    variance = float(QUANTITIES.var())
    assert baseline(QUANTITIES, 40, 0.7 * variance, "l1") == 0.7 * variance
    assert baseline(QUANTITIES, 40, 0.01 * variance) == 0.01 * variance  # the loop scales its targets
    assert baseline(QUANTITIES, 100, 0.7 * variance) == 0.7 * variance  # too few batches


# What is told and what is measured


def contradiction(metric: list[float]) -> Finding | None:
    made = chart(FALLS, FALLS)
    for epoch, value in zip(made.epochs, metric, strict=True):
        epoch.told = {"val f1": value}
    return metrics.contradicts(Case(made, LIMITS))


def test_a_metric_that_moves_by_less_than_a_hundredth_of_itself() -> None:
    rises = np.linspace(0.0, 1.0, 8)
    found = contradiction((0.5 + 0.004 * rises).tolist())
    assert found is not None
    assert (found.code, found.where) == ("E04", "f1")
    assert contradiction((0.5 + 0.02 * rises).tolist()) is None
    assert contradiction((0.99 + 0.004 * rises).tolist()) is None  # it has nowhere to go


FALLS_HALF = [2.0, 1.5, 1.2, 1.0, 0.9, 0.8, 0.8, 0.8]  # of 2.3


def perfect(
    told: list[float], val: list[float] = FALLS_HALF, kind: str = "mse", name: str = "val r2"
) -> Finding | None:
    made = chart(val, val) if kind == "classes" else numbers(chart(val, val), kind)
    for epoch, value in zip(made.epochs, told, strict=True):
        epoch.told = {name: value}
    return metrics.contradicts(Case(made, LIMITS))


def test_a_metric_that_is_perfect_while_a_good_part_of_the_variance_is_left() -> None:
    good = [0.2, 0.9, *[0.99] * 6]
    found = perfect(good)
    assert found is not None
    assert (found.code, found.where, found.evidence["the metric says"]) == ("E04", "r2", 0.99)
    assert found.evidence["validation loss left of ignorance"] == pytest.approx(0.8 / 2.3)
    assert perfect(good, kind="smooth_l1") is not None
    assert perfect(good, kind="l1") is None  # of which a share says little
    assert perfect(good, kind="classes") is None
    assert perfect(good, val=FALLS) is None  # it is perfect
    for first, kind in ((2.3, "mse"), (2.3, "l1"), (2.3, "classes")):  # when nothing was known yet
        assert perfect([1.0] * 8, val=[first, *FALLS[1:]], kind=kind) is not None
    assert perfect([1.0] * 8, val=FALLS, kind="classes") is None
    assert perfect([0.2, 0.5, 0.9, *[0.99] * 5]) is None
    assert perfect([*good[:-1], 1.01]) is None
    assert perfect(good, val=[2.0] * 8) is None  # nothing was learned, and the metric knows better


@pytest.mark.parametrize(
    ("shares", "found"),
    [([1, 1, 0, 1, 1], True), ([1, 0.5, 0.5, 1, 0.5], False), ([0, 0, 0, 0, 0, 1, 1, 1], True)],
)
def test_latent_axes_are_unused_by_the_median_of_the_last_looks(shares: list[float], found: bool) -> None:
    made = Chart(step=200, latent=[(100 + 10 * k, share) for k, share in enumerate(shares)])
    assert (games.unused_latent(Case(made, LIMITS)) is not None) == found
    made.latent = [(k, 1.0) for k in range(0, 80, 10)]
    assert games.unused_latent(Case(made, LIMITS)) is None  # at the start alone
