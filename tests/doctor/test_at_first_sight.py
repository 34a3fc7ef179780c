"""Rules that ask how rows were answered when they were first met, and what lately learned to look closer."""

# N rows, F features, D quantities of a row, T places

import math
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
from didact.doctor.finding import Finding
from didact.doctor.limits import LIMITS
from didact.doctor.rules import (
    data,
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
from didact.doctor.verdict import conclude

UPDATES, BATCH, EPOCHS = 200, 32, 8
PER = UPDATES // EPOCHS
FALLS = [2.0, 1.0, 0.6, 0.3, 0.2, 0.1, 0.05, 0.02]
Curve = float | list[float]


def each(values: Curve) -> list[float]:
    return values if isinstance(values, list) else [values] * EPOCHS


def chart(
    train: Curve = 1.5, val: Curve = 1.5, right: Curve = math.nan, met: Curve = math.nan, classes: int = 10
) -> Chart:
    """Losses by epoch; shares of right answers of 400 rows of validation, and of training when met."""
    made = Chart(step=UPDATES)
    facts = {"integer": True, "outputs": classes}
    made.pairings["cross_entropy"] = Pairing("cross_entropy", 50, BATCH, facts=facts, baseline=2.3)
    for loss, other, answered, own in zip(each(train), each(val), each(right), each(met), strict=True):
        steps = range(len(made.losses), len(made.losses) + PER)
        made.losses += [(k, loss) for k in steps]
        made.accuracy += [(k, own) for k in steps if math.isfinite(own)]
        made.epochs.append(
            Epoch(steps.stop, loss, val_loss=other, val_accuracy=answered, val_rows=400, gap=own - answered)
        )
    made.rows = Rows(
        labels=dict.fromkeys(range(classes), 100),
        val_labels=dict.fromkeys(range(classes), 40),
        train=set(range(400)),  # enough to tell, and few enough to be known by heart
        train_seen=BATCH * UPDATES,
    )
    return made


def numbers(made: Chart, kind: str = "mse") -> Chart:
    made.pairings, made.rows.labels, made.rows.val_labels = {kind: Pairing(kind, 50, BATCH)}, {}, {}
    made.pairings[kind].baseline = 2.3
    return made


def case(made: Chart) -> Case:
    return Case(made, LIMITS)


def code(found: Finding | None) -> str:
    return found.code if found else ""


def moments(mean: float = 0.0, spread: float = 1.0, size: float = 1.0) -> dict[str, tuple]:
    """Twelve features of training, of such a size; all of them lie so elsewhere in validation."""
    train, val = size**2 * np.ones(12), (spread * size) ** 2 * np.ones(12)
    return {
        "train": (1000, np.zeros(12), 1000 * train),
        "val": (1000, mean * size * np.ones(12), 1000 * val),
    }


def elsewhere(made: Chart, mean: float = 0.0, spread: float = 1.0) -> Chart:
    made.rows.moments, made.rows.val = moments(mean, spread), set(range(100))
    return made


def renewed(made: Chart) -> Chart:
    """Rows that are changed at random: half of those of each later epoch were never met."""
    for k, epoch in enumerate(made.epochs):
        epoch.met = (200 * (k + 1), 200 + 100 * k)
    return made


def moving(made: Chart, ratios: list[float]) -> Chart:
    """Three layers of such updates, in lengths of the weight, from look to look."""
    made.weights = [weight(f"layer {k}", k) for k in range(3)]
    made.looks = [Look(10 * k, np.ones(3), np.ones(3), r * np.ones(3), 1.0) for k, r in enumerate(ratios)]
    made.rates = [(k, 0.1) for k in range(UPDATES)]
    return made


def weight(name: str, order: int, shape: tuple[int, ...] = (16, 16), kind: str = "linear") -> Weight:
    return Weight(name, kind, shape, shape[-1], 0.25, False, False, True, True, used=True, order=order)


# Rows as they are first met


def test_rows_at_first_sight_are_those_late_in_the_first_epoch() -> None:
    made = chart(met=[0.5, *[0.9] * 7])
    made.accuracy = [(k, 0.0 if k < PER / 2 else right) for k, right in made.accuracy]
    assert case(made).at_first_sight == pytest.approx((0.5, 12 * BATCH))
    made.epochs = []
    assert math.isnan(case(made).at_first_sight[0])
    assert not case(made).relates


@pytest.mark.parametrize(("met", "relates"), [(0.17, True), (0.15, False), (math.nan, False)])
def test_labels_go_with_rows_that_are_answered_beyond_chance_at_first_sight(
    met: float, relates: bool
) -> None:
    assert case(chart(met=met)).relates == relates  # four errors of 384 rows are 0.061
    assert not case(chart(met=[0.1, *[0.9] * 7])).relates  # by heart, later
    unknown = chart(met=met)
    unknown.rows.labels = {}
    assert not case(unknown).relates


def never_as_good(met: Curve = 0.6, right: Curve = 0.3, change: Callable[[Chart], object] = id) -> str:
    made = chart(right=right, met=met)
    change(made)
    return code(held_out.not_representative(case(made)))


def test_validation_that_is_never_answered_as_well_as_rows_at_first_sight() -> None:
    found = held_out.not_representative(case(chart(right=0.3, met=0.6)))
    assert found is not None
    assert (found.code, found.severity) == ("D04", "critical")
    assert found.evidence["accuracy of training rows at first sight"] == pytest.approx(0.6)
    assert found.evidence["best of validation"] == 0.3
    assert never_as_good(right=0.5) == ""
    assert never_as_good(right=[0.5, *[0.3] * 7]) == ""  # it was, once
    assert never_as_good(right=[0.3] * 2 + [math.nan] * 6) == ""  # too few
    assert never_as_good(met=[0.1, *[0.9] * 7]) == ""  # training is learned by heart
    assert never_as_good(met=0.16, right=0.0) == ""


def in_order(made: Chart) -> None:
    made.rows.order, made.rows.sizes = [0.8, 0.9] * 5, [BATCH] * 10


def normed(made: Chart) -> None:
    made.modules["batch_norm"] = 1
    for epoch in made.epochs:
        epoch.in_train, epoch.in_eval = (1.0, 0.6), (3.0, 0.3)


CAUSES: dict[str, Callable[[Chart], object]] = {
    "other classes": lambda made: made.rows.val_labels.update({0: 100}),
    "changed at random": renewed,
    "other inputs": lambda made: elsewhere(made, mean=1.0),
    "sorted": in_order,
    "modes that differ": normed,
    "trained in evaluation": lambda made: made.counts.update({"updates in evaluation mode": 100}),
    "not finite": lambda made: made.counts.update({"loss not finite": 1}),
}


@pytest.mark.parametrize("change", CAUSES.values(), ids=CAUSES)
def test_what_explains_a_worse_validation_is_told_instead(change: Callable[[Chart], object]) -> None:
    assert never_as_good() == "D04"
    assert never_as_good(change=change) == ""


# D02: a class that has nearly all rows, where validation is mixed otherwise, and rare ones that are missed


def leaning(
    rows: dict[int, int], there: dict[int, int], predicted: list[int], right: float, **more: int
) -> Finding | None:
    made = chart(right=right, met=0.9, classes=len(rows))
    made.rows.labels, made.rows.val_labels = rows, there
    made.rows.train = set(range(more.get("different", 800)))
    for epoch in made.epochs:
        epoch.predicted, epoch.val_rows = predicted, more.get("val_rows", 400)
    if more.get("dead"):
        made.activations = [Activation("relu", "0.weight", 64, dead=[(0, 0.0), (199, 0.6)])]
    return data.majority(case(made))


def test_a_class_with_nearly_all_rows_is_answered_too_often_where_validation_is_mixed_otherwise() -> None:
    most, even = {0: 850, 1: 150}, {0: 200, 1: 200}
    found = leaning(most, even, [340, 60], 0.6)
    assert found is not None
    assert (found.code, found.where, found.evidence["share of the answers it gets"]) == (
        "D02",
        "class 0",
        0.85,
    )
    assert leaning(most, even, [260, 140], 0.6) is None
    assert leaning(most, even, [340, 60], 0.85) is None  # it is answered well
    assert leaning(most, {}, [340, 60], 0.6) is None
    assert leaning(most, {0: 340, 1: 60}, [340, 60], 0.6) is None  # as often as it is there
    assert leaning({0: 700, 1: 300}, even, [340, 60], 0.6) is None
    assert leaning(most, even, [340, 60], 0.6, dead=1) is None  # the units that died explain it


def test_rare_rows_that_are_not_found() -> None:
    rare, there = {0: 970, 1: 30}, {0: 388, 1: 12}
    assert code(leaning(rare, there, [396, 4], 0.97)) == "D02"
    assert leaning(rare, there, [388, 12], 0.99) is None  # ten of twelve are found
    assert code(leaning(rare, there, [396, 4], 0.97, dead=1)) == "D02"
    assert leaning({0: 930, 1: 70}, {0: 372, 1: 28}, [390, 10], 0.93) is None  # not so rare
    assert leaning(rare, {0: 400}, [396, 4], 0.97, different=200) is None  # of which validation has none
    few = {0: 97, 1: 3}
    assert leaning(rare, few, [99, 1], 0.96, val_rows=100) is None  # too few to tell
    assert code(leaning(rare, few, [99, 1], 0.96, val_rows=100, different=200)) == "D02"  # and to learn from


def test_of_several_rare_classes_the_found_ones_are_bounded() -> None:
    assert code(leaning({0: 960, 1: 40}, {0: 384, 1: 16}, [392, 8], 0.97)) == "D02"
    three = {0: 960, 1: 20, 2: 20}, {0: 384, 1: 8, 2: 8}
    assert leaning(*three, [392, 4, 4], 0.97) is None
    assert code(leaning(*three, [392, 4, 4], 0.96)) == "D02"


# D04 and P02: other rows, or other inputs


def far(targets: float = 0.0, spread: float = 1.0, inputs: float = 1.0, val: float = 1.5) -> list[str]:
    """Validation whose targets, and whose inputs, lie so many deviations elsewhere."""
    made = elsewhere(numbers(chart(val=val)), mean=inputs)
    made.rows.levels = [(BATCH, 0.0, 1.0)] * 20
    made.rows.val_levels = [(BATCH, targets, spread**2)] * 5
    return [code(rule(case(made))) for rule in (held_out.not_representative, preprocessing.differs)]


def test_targets_that_lie_elsewhere_are_of_other_rows_and_not_of_other_preprocessing() -> None:
    assert far() == ["", "P02"]
    assert far(targets=1.0) == ["D04", ""]
    assert far(targets=0.4) == ["", "P02"]
    assert far(targets=10.0, spread=4.0) == ["", "P02"]  # in another unit
    assert far(targets=1.0, inputs=0.0) == ["", ""]
    assert far(targets=1.0, val=math.nan) == ["", ""]  # nobody scores it


def test_the_level_of_targets_that_come_sorted_is_that_of_all_batches() -> None:
    made = elsewhere(numbers(chart()), mean=1.0)
    made.rows.levels = [(BATCH, float(mean), 0.01) for mean in np.linspace(-3, 3, 20)]
    made.rows.val_levels = [(BATCH, 0.6, 3.0)]
    assert not preprocessing.targets_elsewhere(case(made))  # 0.6 of a deviation of 1.8
    made.rows.val_levels = [(BATCH, 1.2, 3.0)]
    assert preprocessing.targets_elsewhere(case(made))


def understood(
    met: Curve = 0.6, right: Curve = 0.1, often: int = 260, words: int = 20, rows: int = 400
) -> Finding | None:
    """Half of the words of validation come so often, of four thousand, as others do not."""
    made = chart(right=right, met=met)
    made.rows.words = dict.fromkeys(range(words), 4000 // words)
    usual, half = 4000 // words, words // 2
    made.rows.val_words = dict.fromkeys(range(half), often * usual // 200)
    made.rows.val_words |= dict.fromkeys(range(half, words), (400 - often) * usual // 200)
    for epoch in made.epochs:
        epoch.val_rows = rows
    return preprocessing.differs(case(made))


def test_words_that_training_tells_at_first_sight_and_validation_never() -> None:
    found = understood()
    assert found is not None
    assert (found.code, found.severity) == ("P02", "critical")
    assert found.evidence["best validation accuracy"] == 0.1
    assert found.evidence["share of tokens that are frequent where others were"] == pytest.approx(0.15)
    assert understood(right=0.3) is None
    assert understood(right=[*[0.1] * 7, 0.3]) is None  # in the end
    assert understood(often=204) is None  # as often as by chance
    assert understood(met=[0.1, *[0.9] * 7]) is None  # training is learned by heart
    assert understood(met=0.25) is None  # little is understood of either
    assert understood(rows=50) is None
    assert understood(words=10) is not None
    assert understood(words=8) is None


def test_ten_words_are_enough_to_know_others_from() -> None:
    for words, found in ((10, "P02"), (9, "")):
        made = chart()
        made.rows.words = dict.fromkeys(range(words), 100)
        made.rows.val_words = {0: 100, 99: 100}
        assert code(preprocessing.differs(case(made))) == found


@pytest.mark.parametrize(("train", "val", "found"), [(1.7, 2.2, "D04"), (1.7, 2.1, ""), (2.0, 2.2, "")])
def test_a_validation_of_which_nothing_is_known_is_not_answered_as_well(
    train: float, val: float, found: str
) -> None:
    made = elsewhere(chart(train, val), mean=0.3)
    assert code(held_out.of_another_kind(case(made))) == found


# D07: channels, words, quantities


def table(columns: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return generator.normal(size=(200, columns)).astype(np.float32), np.repeat(np.arange(4), 50)


def leaked(x: np.ndarray, y: np.ndarray, tokens: bool = False, shifted: int | None = None) -> Finding | None:
    rows = Rows(x.astype(np.float32), y, y.dtype.kind == "i", tokens=tokens, shifted=shifted)
    return data.leak(case(Chart(rows=rows)))


def test_a_channel_that_is_the_same_at_all_places_is_one_feature() -> None:
    x, y = table(10, np.random.default_rng(0))
    x[:, 4:8] = y[:, None]
    found = leaked(x, y)
    assert found is not None
    assert (found.code, "features like that" in found.evidence) == ("D07", False)
    x[:, 4:8] = y[:, None] * [1, 2, 3, 4]
    assert leaked(x, y) is None  # four that tell it, of ten
    assert leaked(np.repeat(y[:, None], 6, axis=1), y) is None  # there is nothing else


@pytest.mark.parametrize(("best", "found"), [(1.0, "D07"), (0.99, "")])
def test_a_feature_that_tells_all_may_have_a_good_one_beside_it(best: float, found: str) -> None:
    x, y = table(10, np.random.default_rng(0))
    x[:, 0], x[:, 1] = y, y
    if best < 1:
        x[10, 0] = 3
    for row in (20, 70, 120, 170):
        x[row, 1] = (y[row] + 2) % 4
    told = data.told_by_each(Rows(inputs=x, targets=y, integer=True), True)
    assert told is not None
    assert 0.9 < told[1] < 0.95
    assert (told[0] > 0.998) == (best == 1)
    assert told[0] > 0.98
    assert code(leaked(x, y)) == found


@pytest.mark.parametrize(("share", "found"), [(0.7, "D07"), (0.0, "")])
def test_a_word_that_tells_the_label_leaks_where_the_others_tell_it_too(share: float, found: str) -> None:
    generator = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 50)
    x = generator.integers(20, 60, size=(200, 8))
    places = generator.integers(1, 8, size=200)
    telling = generator.random(200) < share
    x[telling, places[telling]] = 10 + y[telling]
    assert leaked(x, y, tokens=True) is None
    x[:, 0] = y  # where nothing else tells it, that is the task
    assert code(leaked(x, y, tokens=True)) == found


def quantities(*of: str, noise: float = 0.0, shifted: int | None = None) -> Finding | None:
    """Three quantities of a row, some of which, or whose mean, are among its eight features."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(200, 8)), generator.normal(size=(200, 3))
    for column, name in enumerate(of, 2):
        value = y.mean(1) if name == "mean" else y[:, int(name)]
        x[:, column] = 3 * value + 1 + noise * generator.normal(size=200)
    return leaked(x, y, shifted=shifted)


def test_quantities_that_are_features_of_their_row() -> None:
    found = quantities("0", "1", "2")
    assert found is not None
    assert (found.code, found.severity, found.where) == ("D07", "critical", "feature 2")
    assert found.evidence["quantities that are features"] == "3 of 3"
    mean = quantities("mean")
    assert mean is not None
    assert (mean.evidence["quantities that are features"], mean.evidence["their mean is one"]) == (
        "0 of 3",
        "yes",
    )
    assert quantities("0", "1") is None
    assert quantities("0", "1", "2", noise=0.1) is None
    assert quantities("0", "1", "2", shifted=1) is None  # a series that goes on
    assert quantities() is None
    x, _ = table(8, np.random.default_rng(0))
    one = leaked(x, x[:, :1].astype(float))  # a single one is asked as labels are
    assert one is not None
    assert (one.where, "told by this feature alone" in one.evidence) == ("feature 0", True)


# L: labels


def surely(made: Chart, surer: float, right: float = 0.3, windows: int = 3) -> Chart:
    made.surer = [(k, surer, right) for k in range(windows)]
    return made


def known_of(
    right: Curve = 0.6, train: Curve = 2.0, surer: float = 0.55, met: float = 0.3, dropout: float = 0.0
) -> Chart:
    made = surely(chart(train, each(train)[-1], right, met), surer)
    made.dropout = dropout
    return made


def test_what_is_known_of_validation_never_shows_in_the_loss_of_training() -> None:
    found = wrong_labels.never_as_good(case(known_of()))
    assert found is not None
    assert (found.code, found.severity) == ("L04", "warning")
    assert found.evidence["training accuracy"] == pytest.approx(0.3)
    for healthy in (
        known_of(surer=0.7),  # hard rows
        known_of(train=1.5),
        known_of(right=0.4),
        known_of(right=0.3, met=0.1, train=2.2),  # little is known of either
        known_of(right=[0.6] * 2 + [math.nan] * 6),
        known_of(dropout=0.6),
        surely(known_of(), 0.55, windows=2),
    ):
        assert wrong_labels.never_as_good(case(healthy)) is None


def test_a_run_that_rose_may_have_wrong_labels_all_the_same() -> None:
    rose = known_of(train=[2.3, 6.0, *[2.0] * 6])
    assert case(rose).rose
    assert code(wrong_labels.noisy(case(rose))) == "L04"
    assert wrong_labels.noisy(case(known_of())) is None  # else it is asked last
    assert wrong_labels.noisy(case(known_of(train=[2.3, 6.0, *[2.0] * 6], surer=0.7))) is None


def codes(made: Chart) -> list[str]:
    return [finding.code for finding in conclude(made) if finding.severity != "hint"]


def test_wrong_labels_are_asked_for_last_and_explain_a_validation_that_is_better() -> None:
    made = known_of()
    assert codes(made) == ["L04"]
    for epoch in made.epochs:
        epoch.in_eval = (2.0, 0.3)
    assert code(held_out.small_validation(case(made))) == "D05"
    assert codes(made) == ["L04"]
    made.surer = []
    assert codes(made) == ["D05"]
    other = known_of()
    other.counts["updates in evaluation mode"] = 100
    assert codes(other) == ["E02"]


def test_targets_of_which_some_are_off() -> None:
    def found(train: float = 1.5, val: float = 0.9, rows: int = 400, dropout: float = 0.0) -> Finding | None:
        made = numbers(chart(train, val))
        made.dropout = dropout
        for epoch in made.epochs:
            epoch.val_rows = rows
        return wrong_labels.never_as_near(case(made))

    finding = found()
    assert finding is not None
    assert (finding.code, finding.evidence["validation loss over training loss"]) == (
        "L04",
        pytest.approx(0.6),
    )
    assert "largest losses" in finding.fix
    assert found(val=1.2) is None
    assert found(train=1.0, val=0.6) is None  # most is learned
    assert found(train=2.3, val=1.0) is None  # nothing is
    assert found(rows=50) is None
    assert found(dropout=0.1) is None
    assert wrong_labels.never_as_near(case(renewed(numbers(chart(1.5, 0.9))))) is None
    assert wrong_labels.never_as_near(case(chart(1.5, 0.9))) is None  # classes
    assert codes(numbers(chart(1.5, 0.9))) == ["L04"]


@pytest.mark.parametrize(
    ("val", "there", "found"),
    [
        (0.8, {0: 200, 1: 200}, "L04"),
        (0.8, {0: 280, 1: 120}, "L04"),  # a fifth of the rows, and nearly a third of the answers
        (0.68, {0: 280, 1: 120}, ""),
        (0.68, {0: 200, 1: 200}, "L04"),
        (0.8, {0: 340, 1: 60}, ""),
    ],
)
def test_a_mix_of_classes_explains_as_much_as_it_differs(
    val: float, there: dict[int, int], found: str
) -> None:
    made = chart(1.5, 1.5, right=val, classes=2)
    made.rows.labels, made.rows.val_labels = {0: 500, 1: 500}, there
    for epoch in made.epochs:
        epoch.train_accuracy = 0.5
    assert code(wrong_labels.noisy(case(made))) == found


@pytest.mark.parametrize(
    ("val", "train", "found"), [(math.nan, 1.2, "L04"), (0.6, 1.2, ""), (0.5, 1.2, "L04"), (0.6, 1.5, "L04")]
)
def test_errors_that_look_like_none_may_be_of_long_ago(val: float, train: float, found: str) -> None:
    made = surely(chart(train, train, right=val), 0.55, right=0.4)
    assert code(wrong_labels.noisy(case(made))) == found


def test_a_run_that_had_no_time_is_not_blamed_for_its_labels() -> None:
    for val, found in ([2.0] * 8, "L04"), ([2.3 - 0.1 * k for k in range(8)], ""):
        train = [2.3 - 0.1 * k for k in range(8)]
        made = surely(chart(train, val), 0.55, right=0.4)
        assert (code(generalisation.underfits(case(made))) == "R03") == (not found)
        assert code(wrong_labels.noisy(case(made))) == found


@pytest.mark.parametrize(("mean", "found"), [(0.0, "L01"), (1.0, "")])
def test_rows_that_lie_elsewhere_drift_by_themselves(mean: float, found: str) -> None:
    generator = np.random.default_rng(0)
    truth = np.arange(600) % 4
    x = (5 * np.eye(4)[truth] + 0.5 * generator.normal(size=(600, 4))).astype(np.float32)
    told = np.where(np.arange(600) < 400, truth, generator.integers(4, size=600))
    made = elsewhere(chart(2.3, 2.3, classes=4), mean)
    made.rows.inputs, made.rows.targets, made.rows.integer = x[:400], told[:400], True
    made.rows.late = (x[400:], told[400:])
    assert code(labels.out_of_step(case(made))) == found


@pytest.mark.parametrize(
    ("met", "words", "found"),
    [(0.1, False, "L02"), (0.5, False, ""), (0.5, True, "L02"), (math.nan, False, "L02")],
)
def test_labels_that_are_told_at_first_sight_are_not_learned_by_heart(
    met: float, words: bool, found: str
) -> None:
    made = chart([2.3, 2.0, 1.8, 1.5, 1.0, 0.8, 0.5, 0.3], 2.6, right=0.1, met=met)
    made.epochs[-1].train_accuracy = 0.8
    made.rows.visible = [0.1] * words  # at a place of a text one word is likelier than at others
    assert code(labels.unrelated(case(made))) == found


@pytest.mark.parametrize("related", [False, True])
def test_a_validation_that_is_easier_from_the_start_knows_nothing(related: bool) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 3)).astype(np.float32)
    y = x @ generator.normal(size=(3, 2)) if related else generator.normal(size=(300, 2))

    def found(train: float, val: Curve) -> str:
        made = numbers(chart(train, val))
        made.rows = Rows(inputs=x, targets=y, table=True)
        return code(labels.unrelated(case(made)))

    assert found(2.3, 1.5) == ("" if related else "L02")
    assert found(2.3, [1.5, 1.3, *[1.0] * 6]) == ""  # something is learned of it
    assert found(2.0, 1.5) == ""


# O: steps and gradients


def deep(waits: int, shares: tuple[float, float] = (1e-6, 0.1), after: float = 1.0) -> Finding | None:
    """Four layers, the first of which hears so little of the loss until and after it falls."""
    made = chart()
    made.losses = [(k, 2.3 if k < waits else after) for k in range(UPDATES)]
    made.weights = [weight(f"layer {k}", k) for k in range(4)]
    for step in range(0, UPDATES, 10):
        heard = np.array([shares[step >= waits], 0.5, 0.5, 1.0])
        made.looks.append(Look(step, heard, np.ones(4), 0.01 * np.ones(4), 1.0))
    return optimisation.vanishing(case(made))


def test_gradients_that_vanish_until_something_is_learned_after_all() -> None:
    found = deep(130)
    assert found is not None
    assert (found.code, found.where) == ("O07", "layer 0")
    assert found.evidence["gradient of the first layer over the last"] == pytest.approx(1e-6)
    assert deep(80) is None
    assert deep(130, after=0.1) is None  # it works
    assert deep(130, shares=(0.1, 0.1)) is None
    assert deep(UPDATES) is not None
    assert deep(150, after=2.3) is not None  # a stuck run is judged by its early looks


@pytest.mark.parametrize(
    ("varies", "gradient", "ratio", "loss", "found"),
    [
        ((1.0, 0.1, 0.01, 0.001), 1e-3, 1e-5, 2.3, "O07"),
        ((1.0, 0.4, 0.2, 0.1), 1e-3, 1e-5, 2.3, ""),  # rows arrive: the rate is too low
        ((1.0, 0.1, 0.01, 0.001), 1e-2, 1e-5, 2.3, ""),  # and so it is where gradients are as usual
        ((1.0, 0.1, 0.01, 0.001), 1e-3, 9e-4, 2.3, ""),  # the optimizer divides by their size
        ((1.0, 0.1, 0.01, 0.001), 1e-3, 1e-5, 1.0, ""),  # something is learned
        ((math.nan, 1.0, 0.1, 0.001), 1e-3, 1e-5, 2.3, ""),  # three layers
        ((0.0, 0.0, 0.0, 0.0), 1e-3, 1e-5, 2.3, ""),  # inputs that are all the same
    ],
)
def test_rows_that_become_alike_from_layer_to_layer(
    varies: tuple[float, ...], gradient: float, ratio: float, loss: float, found: str
) -> None:
    made = chart(loss)
    made.losses = [(k, loss) for k in range(UPDATES)]
    made.rates = [(k, 0.01) for k in range(UPDATES)]
    made.weights = [weight(f"layer {k}", k) for k in range(4)]
    for layer, deviation in zip(made.weights, varies, strict=True):
        layer.varies = deviation
    heard = np.full(4, gradient)
    made.looks = [Look(k, heard, np.ones(4), np.full(4, ratio), 1.0) for k in range(0, UPDATES, 10)]
    assert code(optimisation.vanishing(case(made))) == found


def test_how_far_rows_differ_after_each_layer_is_known_of_the_first_batch() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    x, y = torch.randn(32, 2, 4, 4), torch.randint(3, (32,))
    maps = model[0](x)
    expected = [out.detach().var(0).mean().sqrt() for out in (maps.movedim(1, -1).flatten(0, -2), model(x))]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    known = [layer.varies for layer in doctor.chart.weights if len(layer.shape) > 1]
    assert known == pytest.approx([float(each) for each in expected])


def test_a_row_by_itself_differs_from_no_other() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for x in torch.randn(5, 4):  # (F,), and no batch
            optimizer.zero_grad()
            F.cross_entropy(model(x), torch.tensor(1)).backward()
            optimizer.step()
    assert doctor.chart.errors == []
    assert all(math.isnan(layer.varies) for layer in doctor.chart.weights)


def test_an_answer_that_no_place_reaches_as_of_steps_over_padding() -> None:
    def found(reach: float = 0.0, loss: float = 2.3, dropout: float = 0.0, module: str = "recurrent") -> str:
        made = moving(chart(loss, loss), [0.01] * 20)
        made.probes, made.dropout = {"memory": [1.0] * 12, "reach": reach}, dropout
        made.modules[module] = 1
        return code(optimisation.forgets(case(made)))

    assert found() == "O09"
    assert found(reach=0.1) == ""
    assert found(loss=1.8) == ""  # slow, and something is heard
    assert found(dropout=0.8) == ""  # which silences it
    assert found(module="attention") == ""


def test_who_is_blind_to_everything_is_not_blind_to_order() -> None:
    for reach, found in ((0.0, ""), (0.1, "A06")):
        made = chart(2.3, 2.3)
        made.probes, made.modules["attention"] = {"order": 0.0, "reach": reach}, 1
        assert code(layers.order_blind(case(made))) == found


@pytest.mark.parametrize(
    ("loss", "early", "late", "found"),
    [(2.3, 0.15, 0.6, "O01"), (2.3, 0.08, 0.6, ""), (1.9, 0.15, 0.6, ""), (2.3, 0.15, 0.3, "")],
)
def test_a_rate_that_killed_what_was_alive(loss: float, early: float, late: float, found: str) -> None:
    made = moving(chart(loss, loss), [early, *[0.001] * 19])
    made.activations = [Activation("relu", "0.weight", 64, dead=[(0, 0.0), (199, late)])]
    assert code(rates.rate_too_high(case(made))) == found


@pytest.mark.parametrize(
    ("spread", "new", "found"), [(4.0, True, ""), (2.5, True, "O01"), (4.0, False, "O01"), (1.0, True, "O01")]
)
def test_an_augmentation_that_drowns_the_rows_is_no_rate(spread: float, new: bool, found: str) -> None:
    made = elsewhere(moving(chart(2.3, 2.3), [0.5] * 20), spread=spread)
    made = renewed(made) if new else made
    assert preprocessing.drowned(case(made)) == (found == "")
    assert code(rates.rate_too_high(case(made))) == found


@pytest.mark.parametrize(
    ("right", "momentum", "severity"), [(0.4, 0.99, "warning"), (0.8, 0.99, "hint"), (0.4, 0.9, "")]
)
def test_settings_that_nobody_uses_weigh_more_where_answers_are_poor(
    right: float, momentum: float, severity: str
) -> None:
    made = chart(1.0, 1.0, right=right)
    made.settings = [{"optimizer": "SGD", "momentum": momentum}]
    assert not case(made).slow
    found = rates.odd_settings(case(made))
    assert (found.severity if found else "") == severity


@pytest.mark.parametrize(("ratio", "found"), [(0.7, ""), (0.4, "O11")])
def test_a_rate_that_throws_makes_gradients_long(ratio: float, found: str) -> None:
    made = moving(chart([2.3, 40.0, *[30.0] * 6], 30.0), [ratio] * 20)
    made.clipped = [(k, 50.0, 1.0) for k in range(20)]
    assert code(optimisation.clipped(case(made))) == found


# R: what a validation says that has no loss, and decay


def counted(
    right: Curve = 0.5,
    rows: int = 150,
    train: Curve | None = None,
    met: float = 1.0,
    seen: int = 8,
    val: Curve = math.nan,
) -> str:
    """A validation whose answers are counted, and which has no loss."""
    made = chart(train or [*FALLS], val, right, met)
    made.rows.train, made.rows.train_seen = set(range(rows)), seen * rows
    return code(generalisation.overfits(case(made)))


def test_a_few_rows_are_known_by_heart_where_validation_is_only_counted() -> None:
    assert counted() == "R01"
    assert counted(rows=250) == ""
    assert counted(rows=90) == ""  # too few of a class to learn anything
    assert counted(right=0.8) == ""
    assert counted(right=[0.1 + 0.05 * k for k in range(8)]) == ""  # it gets better
    assert counted(train=[*FALLS[:-1], 0.1]) == ""
    assert counted(seen=4) == ""
    assert counted(val=[1.0] * 3 + [math.nan] * 5) == ""  # or of which it is not told
    assert counted(right=[math.nan, *[0.5] * 7]) == ""


DOWN, UP = [2.3 - 0.12 * k for k in range(8)], [0.1 + 0.03 * k for k in range(8)]


@pytest.mark.parametrize(
    ("train", "right", "found"),
    [
        (DOWN, UP, "R03"),
        (DOWN, [*UP[:-1], UP[-2]], ""),
        ([*DOWN[:-1], DOWN[-2]], UP, ""),
        ([2.3 - 0.02 * k for k in range(8)], UP, ""),  # hardly
        ([1.8 - 0.1 * k for k in range(8)], UP, ""),  # less than half is left
        (DOWN, math.nan, ""),
    ],
)
def test_answers_that_get_better_from_epoch_to_epoch(train: Curve, right: Curve, found: str) -> None:
    finding = generalisation.underfits(case(chart(train, math.nan, right)))
    assert code(finding) == found
    assert finding is None or "about" in finding.fix


def shrunk(
    rate: float = 0.1, decay: float = 0.05, kind: str = "SGD", momentum: float = 0.0, ratio: float = 0.01
) -> str:
    """Weights that end at three tenths of what they were, in a run that learns little."""
    made = moving(chart(1.8, 1.8), [ratio] * 20)
    for k, look in enumerate(made.looks):
        look.weight = (1 - 0.7 * k / 19) * np.ones(3)
    made.rates = [(k, rate) for k in range(UPDATES)]
    made.settings = [{"optimizer": kind, "weight_decay": decay, "momentum": momentum}]
    return code(generalisation.too_regular(case(made)))


def test_a_decay_that_does_not_explain_how_far_the_weights_shrank() -> None:
    assert shrunk() == "R02"
    assert shrunk(rate=0.01) == ""
    assert shrunk(rate=0.01, momentum=0.9) == "R02"  # which makes steps ten times as long
    assert shrunk(rate=0.01, kind="AdamW") == ""
    assert shrunk(rate=0.01, kind="Adam") == "R02"  # gradients scale it
    assert shrunk(decay=0.01, rate=1.0) == "R02"
    assert shrunk(decay=0.01, rate=1.0, ratio=0.15) == ""  # the rate throws them
    assert shrunk(ratio=0.15) == "R02"


# E04, P01, A06, G03, S02, O10


R2 = [-0.2, -0.1, 0.0, 0.05, 0.08, 0.1, 0.1, 0.1]


@pytest.mark.parametrize(
    ("told", "name", "kind", "found"),
    [
        (R2, "r2", "mse", "E04"),
        (R2, "R2", "huber", "E04"),
        (R2, "r2", "l1", ""),
        (R2, "score", "mse", ""),
        ([value + 0.5 for value in R2], "r2", "mse", ""),
        ([value - 9 for value in R2], "r2", "mse", ""),  # of another unit
        ([0.2, 0.5, *[0.93] * 6], "r2", "mse", "E04"),  # a quarter of what is left, by the loss, is 0.087
        ([0.2, 0.5, *[0.9] * 6], "r2", "mse", ""),
        ([*[0.93] * 7, 0.9], "r2", "mse", ""),
    ],
)
def test_a_share_of_the_variance_that_the_loss_contradicts(
    told: list[float], name: str, kind: str, found: str
) -> None:
    val = [2.0, 1.5, 1.2, 1.0, 0.9, 0.8, 0.8, 0.8]
    made = numbers(chart(val, val), kind)
    for epoch, value in zip(made.epochs, told, strict=True):
        epoch.told = {f"val {name}": value}
    finding = metrics.contradicts(case(made))
    assert code(finding) == found
    assert finding is None or finding.evidence["by the validation loss"] == pytest.approx(1 - 0.8 / 2.3)
    made.rows.moments, made.rows.val = moments(spread=5.0), set(range(100))
    above = min(told[4:]) > 0.9
    assert code(metrics.contradicts(case(made))) == ("" if above else found)  # it may vary more there


@pytest.mark.parametrize(
    ("size", "loss", "right", "severity"),
    [(40.0, 1.0, 0.5, "critical"), (40.0, 0.5, 0.5, "hint"), (40.0, 1.0, 0.95, "hint"), (20.0, 1.0, 0.5, "")],
)
def test_large_features_weigh_where_something_is_left_to_learn(
    size: float, loss: float, right: float, severity: str
) -> None:
    made = chart(loss, loss, right)
    made.rows.moments = moments(size=size)
    found = preprocessing.unscaled(case(made))
    assert (found.severity if found else "") == severity


def attending(
    used: bool = False, shape: tuple[int, ...] = (1, 12, 16), right: float = 0.5, attention: int = 1
) -> Chart:
    made = chart(1.5, 1.5, right)
    made.weights = [weight("attend.in_proj", 0, (48, 16), "other"), weight("head", 1, (10, 16))]
    places = weight("places", -1, shape, "other")
    places.used, places.empty = used, 9
    made.weights.append(places)
    made.modules["attention"] = attention
    return made


def test_places_that_are_never_added_are_a_hint_beside_them() -> None:
    found = layers.order_blind(case(attending()))
    assert found is not None
    assert (found.code, found.severity, found.where) == ("A06", "hint", "places")
    assert found.evidence["places that are never added"] == 12
    assert [finding.code for finding in conclude(attending())][:2] == ["A08", "A06"]
    for healthy in (
        attending(used=True),
        attending(shape=(1, 12, 8)),  # of another width
        attending(shape=(1, 1, 16)),  # a vector that stands for the whole
        attending(shape=(4, 12, 16)),
        attending(right=0.95),
        attending(attention=0),
    ):
        assert layers.order_blind(case(healthy)) is None


def test_a_latent_that_is_unused_follows_from_what_drowned_it() -> None:
    made = chart(2.0, 2.0)
    made.latent = [(100 + 10 * k, 1.0) for k in range(5)]
    assert codes(made) == ["G03"]
    made.dropout = 0.8
    assert codes(made)[0] == "R02"


def test_the_least_that_a_loss_of_probabilities_can_be() -> None:
    made = Chart()
    for producer, found in (("LogSoftmax of Softmax", "S02"), ("LogSoftmax", "")):
        made.pairings["nll"] = Pairing("nll", 9, facts={"outputs": 3}, producer=producer)
        finding = losses.softmax_twice(case(made))
        assert code(finding) == found
        if finding is not None:
            least = float(F.nll_loss(torch.eye(3)[:1].log_softmax(1), torch.tensor([0])))
            assert finding.evidence["the loss cannot fall below"] == pytest.approx(least)
    made.pairings["nll"] = Pairing("nll", 2, facts={"outputs": 3}, producer="LogSoftmax of Softmax")
    assert losses.softmax_twice(case(made)) is None


# The same in loops


GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(320, 6, generator=GENERATOR)
Y = X[:, :3].argmax(1)


def watched(model: nn.Module, loss: Callable[[nn.Module, Tensor], Tensor], updates: int = 60) -> Doctor:
    """So many updates in epochs over the rows."""
    optimizer, order = torch.optim.Adam(model.parameters(), lr=0.01), torch.arange(0)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(updates):
            order = order if len(order) else torch.randperm(320)
            batch, order = order[:BATCH], order[BATCH:]
            optimizer.zero_grad()
            loss(model, batch).backward()
            optimizer.step()
    assert doctor.chart.errors == []
    return doctor


@pytest.mark.parametrize("twice", [True, False])
def test_probabilities_that_are_normalised_again(twice: bool) -> None:
    torch.manual_seed(0)
    ends = [nn.Softmax(1)] if twice else []
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3), *ends, nn.LogSoftmax(1))
    doctor = watched(model, lambda m, rows: F.nll_loss(m(X[rows]), Y[rows]))
    assert ("S02" in doctor.report().codes()) == twice


class Sampler(nn.Module):
    """A variational autoencoder of three latent axes; with ``cut`` the answer is told nothing of the rows."""

    def __init__(self, cut: bool) -> None:
        super().__init__()
        self.read, self.tell = nn.Linear(6, 6), nn.Linear(3, 6)
        self.cut = cut

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.read(x).chunk(2, 1)
        latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return self.tell(latent.detach() if self.cut else latent), mean, log_variance


@pytest.mark.parametrize("cut", [True, False])
def test_a_latent_that_is_cut_before_the_answer_hears_a_penalty_alone(cut: bool) -> None:
    def loss(model: nn.Module, rows: Tensor) -> Tensor:
        answer, mean, log_variance = model(X[rows])
        away = (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
        return F.mse_loss(answer, X[rows]) + 0.1 * away

    torch.manual_seed(0)
    doctor = watched(Sampler(cut), loss)
    assert doctor.chart.probes["unreached"] == (["read.weight", "read.bias"] if cut else [])
    report = doctor.report()
    assert ("O10" in report.codes()) == cut
    assert not cut or "read.weight" in report.findings[0].where


def cut_off(unreached: list[str], loss: float = 2.3, received: int = 9) -> str:
    made = moving(chart(loss, loss), [0.01] * 20)
    for each_weight in made.weights:
        each_weight.received = received
    made.probes["unreached"] = unreached
    return code(optimisation.detached(case(made)))


def test_only_first_layers_are_cut_before_the_answer() -> None:
    assert cut_off(["layer 0", "layer 1"]) == "O10"
    assert cut_off([]) == ""
    assert cut_off(["layer 2"]) == ""  # a head of another loss
    assert cut_off(["layer 0", "layer 2"]) == ""
    assert cut_off(["layer 0"], loss=1.0) == ""  # it learns
    assert cut_off(["layer 0"], received=0) == ""  # and hears nothing at all
