"""Rules on charts made by hand: what a curve must look like, and what just misses it."""

import math

import numpy as np
import pytest

from didact.doctor.chart import Activation, Chart, Epoch, Look, Pairing, Rows, Weight
from didact.doctor.course import Case, slope
from didact.doctor.finding import Finding
from didact.doctor.limits import LIMITS
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
)
from didact.doctor.rules.neighbours import told_by_all
from didact.doctor.verdict import conclude

UPDATES = 200


def chart(curves: list[tuple[float, float]], accuracy: tuple[float, float] = (math.nan, math.nan)) -> Chart:
    """Losses of training and validation by epoch; accuracies of a kept training batch and of validation."""
    made = Chart(step=UPDATES)
    made.pairings["cross_entropy"] = Pairing(
        "cross_entropy", 50, 32, facts={"integer": True, "outputs": 10}, baseline=2.3
    )
    per = UPDATES // len(curves)
    for train, val in curves:
        made.losses += [(len(made.losses) + k, train) for k in range(per)]
        made.epochs.append(
            Epoch(
                len(made.losses),
                train_loss=train,
                train_accuracy=accuracy[0],
                val_loss=val,
                val_accuracy=accuracy[1],
                val_rows=400,
                in_eval=(train, accuracy[0]),
                gap=accuracy[0] - accuracy[1],
            )
        )
    return made


def case(curves: list[tuple[float, float]], accuracy: tuple[float, float] = (math.nan, math.nan)) -> Case:
    return Case(chart(curves, accuracy), LIMITS)


FALLS = [2.0, 1.0, 0.6, 0.3, 0.2, 0.1, 0.05, 0.02]


def test_overfitting_needs_a_rise_an_aftermath_and_a_gap():
    rises = [1.5, 1.0, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3]
    found = generalisation.overfits(case(list(zip(FALLS, rises, strict=True)), (1.0, 0.7)))
    assert found is not None
    assert found.evidence["best epoch"] == 3
    assert "after epoch 3" in found.fix
    assert generalisation.overfits(case(list(zip(FALLS, rises, strict=True)), (1.0, 0.95))) is None
    assert generalisation.overfits(case(list(zip(FALLS, rises[:1] * 8, strict=True)), (1.0, 0.7))) is None
    late = [1.5, 1.4, 1.3, 1.2, 1.1, 0.8, 0.9, 1.0]  # two epochs past the best
    assert generalisation.overfits(case(list(zip(FALLS, late, strict=True)), (1.0, 0.7))) is None


def test_stopping_early_needs_both_to_fall():
    both = [(2.3 - 0.1 * k, 2.3 - 0.09 * k) for k in range(8)]
    found = generalisation.underfits(case(both))
    assert found is not None
    assert found.evidence["epochs that would do"] > 8
    assert generalisation.underfits(case([(train, 1.7) for train, _ in both])) is None


def test_a_gap_that_neither_closes_nor_widens():
    flat = [(loss, 1.2) for loss in FALLS]
    found = held_out.steady_gap(case(flat, (1.0, 0.6)))
    assert found is not None
    assert found.severity == "warning"
    assert held_out.steady_gap(case(flat, (1.0, 0.85))) is None
    assert (
        held_out.steady_gap(
            case(list(zip(FALLS, [1.0 + 0.1 * k for k in range(8)], strict=True)), (1.0, 0.6))
        )
        is None
    )


def test_a_schedule_that_dies_is_told_from_one_that_ends():
    dying, ending = chart([(2.0, 2.0)] * 4), chart([(2.0, 2.0)] * 4)
    dying.rates = [(k, 0.1 * 0.5**k) for k in range(UPDATES)]
    ending.rates = [(k, 0.1 * (1 - k / UPDATES)) for k in range(UPDATES)]
    assert rates.schedule(Case(dying, LIMITS)) is not None
    assert rates.schedule(Case(ending, LIMITS)) is None


def test_a_rate_that_is_too_high_rises_first():
    stays = case([(2.3, 2.3)] * 4)
    assert rates.rate_too_high(stays) is None
    rises = chart([(2.3, 2.3), (9.0, 9.0), (5.0, 5.0), (3.0, 3.0)])
    rises.rates = [(0, 0.5)]
    found = rates.rate_too_high(Case(rises, LIMITS))
    assert found is not None
    assert found.fix == "lr=0.05: a tenth of 0.5"


STUCK = [(1.2, 1.2)] * 4  # half of what ignorance costs, and flat


def weight(name: str, kind: str, shape: tuple[int, ...], order: int) -> Weight:
    fan_in = math.prod(shape[1:])
    return Weight(
        name, kind, shape, fan_in, 0.3, False, False, trainable=True, in_optimizer=True, order=order
    )


def narrow(*weights: Weight, classes: int = 10) -> Finding | None:
    """What is said of a run that got stuck with these layers."""
    made = chart(STUCK)
    made.weights = list(weights)
    if not classes:
        made.pairings = {"mse": Pairing("mse", 50, 32, baseline=2.3)}
    return layers.too_small(Case(made, LIMITS))


@pytest.mark.parametrize("classes", [10, 0])
def test_a_neck_of_one_is_named(classes: int):
    first, head = weight("first", "linear", (16, 8), 0), weight("head", "linear", (10, 1), 2)
    found = narrow(first, weight("neck", "linear", (1, 16), 1), head, classes=classes)
    assert found is not None
    assert (found.where, found.evidence["width"]) == ("neck", 1)
    found = narrow(
        weight("words", "embedding", (500, 1), 0), weight("head", "linear", (10, 1), 1), classes=classes
    )
    assert found is not None
    assert (found.where, found.evidence["width"]) == ("words", 1)


@pytest.mark.parametrize("classes", [10, 0])
def test_heads_of_one_are_no_neck(classes: int):
    heads = [weight(f"head {k}", "linear", (1, 16), k) for k in (1, 2, 3)]
    assert narrow(weight("first", "linear", (16, 8), 0), *heads, classes=classes) is None


def test_what_is_wide_enough_or_gets_on_is_no_neck():
    first, head = weight("first", "linear", (16, 8), 0), weight("head", "linear", (10, 16), 1)
    assert narrow(weight("words", "embedding", (500, 16), 0), head) is None
    assert narrow(first, head) is None
    falls = chart([(loss, loss) for loss in FALLS])
    falls.weights = [first, weight("neck", "linear", (1, 16), 1), weight("head", "linear", (10, 1), 2)]
    assert layers.too_small(Case(falls, LIMITS)) is None


@pytest.mark.parametrize(("width", "end", "found"), [(1, 1.05, True), (1, 0.95, False), (2, 1.05, False)])
def test_a_neck_of_one_may_still_creep(width: int, end: float, found: bool):
    made = chart([(1.3, 1.3)] * 2 + [(1.25, 1.25), (1.25, 1.25)])
    made.losses[150:] = [(150 + k, 1.25 + (end - 1.25) * k / 49) for k in range(50)]
    made.weights = [
        weight("first", "linear", (16, 8), 0),
        weight("neck", "linear", (width, 16), 1),
        weight("head", "linear", (10, width), 2),
    ]
    assert (layers.too_small(Case(made, LIMITS)) is not None) == found


def test_an_optimizer_that_never_steps_while_another_does():
    def found(updates: int, stepping: tuple[int, ...]) -> Finding | None:
        made = Chart(step=updates, settings=[{}, {}])
        made.idle = [k for k in range(2) if k not in stepping]
        return optimisation.not_applied(Case(made, LIMITS))

    idle = found(300, (0,))
    assert idle is not None
    assert (idle.severity, idle.where) == ("critical", "optimizer 2 of 2")
    assert found(300, (0, 1)) is None
    assert found(200, (0,)) is None  # it may have its turn yet


def test_gradients_that_are_gone_before_every_step():
    def found(gone: int, moved: int) -> Finding | None:
        counts = {"gradients gone before the step": gone, "updates that moved": moved}
        return optimisation.not_applied(Case(Chart(step=30, counts=counts), LIMITS))

    lost = found(30, 0)
    assert lost is not None
    assert "zero_grad() before loss.backward()" in lost.fix
    assert found(2, 0) is None
    assert found(15, 15) is None


def rows_that_are_new(at_first: float, at_the_end: float) -> Rows:
    """Blobs of four classes; such shares of the labels are right in the first rows and in the last."""
    generator = np.random.default_rng(0)
    truth = np.arange(600) % 4
    x = (5 * np.eye(4)[truth] + 0.5 * generator.normal(size=(600, 4))).astype(np.float32)
    share = np.where(np.arange(600) < 400, at_first, at_the_end)
    told = np.where(generator.random(600) < share, truth, generator.integers(4, size=600))
    return Rows(
        inputs=x[:400],
        targets=told[:400],
        integer=True,
        late=(x[400:], told[400:]),
        labels=dict.fromkeys(range(4), 150),
    )


def drifted(rows: Rows, curves: list[tuple[float, float]]) -> Finding | None:
    made = chart(curves)
    made.rows = rows
    return labels.out_of_step(Case(made, LIMITS))


def test_labels_that_neighbours_tell_at_first_and_not_at_the_end():
    found = drifted(rows_that_are_new(1.0, 0.0), [(2.3, 2.3)] * 4)
    assert found is not None
    assert found.evidence["neighbours with the same label, at first"] == 1.0
    assert found.evidence["at the end"] < 0.35
    assert found.evidence["by chance"] == 0.25


def test_labels_that_stay_in_step_have_not_drifted():
    assert drifted(rows_that_are_new(1.0, 1.0), [(2.3, 2.3)] * 4) is None
    assert drifted(rows_that_are_new(0.0, 0.0), [(2.3, 2.3)] * 4) is None  # they never told anything
    assert drifted(rows_that_are_new(1.0, 0.0), [(loss, loss) for loss in FALLS]) is None  # it learns


def game(judge_loss: float, spread: float, right: float = 1.0) -> Chart:
    """Two players in turn; so far apart are two fakes, and so often is the judge right."""
    made = Chart(step=400)
    steps = range(0, 400, 10)
    made.rivals = {
        "fakes": [(k, spread) for k in steps],
        "reals": [(k, 1.0) for k in steps],
        "fakes believed": [(k, 1 - right) for k in steps],
        "reals believed": [(k, right) for k in steps],
    }
    made.by_group = {0: [(k, 2.0) for k in range(1, 400, 2)], 1: [(k, judge_loss) for k in range(0, 400, 2)]}
    made.losses = [(k, judge_loss if k % 2 == 0 else 2.0) for k in range(400)]
    made.rates = [(k, 0.001) for k in range(400)]
    return made


def first_code(made: Chart) -> str:
    return next((finding.code for finding in conclude(made) if finding.severity != "hint"), "")


def test_a_judge_that_is_certain_is_told_from_a_generator_that_collapsed():
    assert first_code(game(judge_loss=0.01, spread=0.1)) == "G02"
    assert first_code(game(judge_loss=0.6, spread=0.1)) == "G01"  # right each time, and never certain
    assert first_code(game(judge_loss=0.01, spread=0.1, right=0.7)) == "G01"
    assert first_code(game(judge_loss=0.6, spread=0.9)) == ""


def test_a_judge_that_was_certain_at_the_start_alone_does_not_win():
    made = game(judge_loss=0.6, spread=0.9)
    made.by_group[1] = [(k, 0.01 if k < 40 else 0.6) for k, _ in made.by_group[1]]
    assert games.overpowers(Case(made, LIMITS)) is None
    made.by_group[1] = [(k, 0.01 if k >= 340 else 0.6) for k, _ in made.by_group[1]]
    assert games.overpowers(Case(made, LIMITS)) is not None


def played(ratio: float, spread: float, rate: float) -> Case:
    """A game whose updates have such a length beside their weights."""
    made = game(judge_loss=0.6, spread=spread)
    made.weights = [weight("maker", "linear", (8, 8), 0), weight("judge", "linear", (8, 8), 1)]
    one = np.ones(2)
    made.looks = [Look(k, one, one, ratio * one, 1.0) for k in range(0, 400, 10)]
    made.rates = [(k, rate) for k in range(400)]
    return Case(made, LIMITS)


def test_a_player_that_was_thrown():
    found = rates.rate_too_high(played(ratio=3.0, spread=0.3, rate=0.5))
    assert found is not None
    assert found.fix == "lr=0.05: a tenth of 0.5"
    assert rates.rate_too_high(played(ratio=3.0, spread=2.0, rate=0.5)) is not None
    assert rates.rate_too_high(played(ratio=3.0, spread=1.0, rate=0.5)) is None
    assert rates.rate_too_high(played(ratio=0.5, spread=0.3, rate=0.5)) is None


def test_players_that_stand_still():
    found = rates.rate_too_low(played(ratio=1e-5, spread=0.3, rate=1e-6))
    assert found is not None
    assert found.fix == "lr=0.001: 1000 times 1e-06"
    assert rates.rate_too_low(played(ratio=1e-5, spread=1.0, rate=1e-6)) is None
    assert rates.rate_too_low(played(ratio=5e-3, spread=0.3, rate=1e-6)) is None


def test_a_loss_without_a_floor():
    def bent(end: float, players: int = 1) -> Finding | None:
        made = Chart(step=200, losses=[(k, 1.0 + (end - 1.0) * k / 199) for k in range(200)])
        made.by_group = {player: made.losses[player::players] for player in range(players)}
        return losses.bent(Case(made, LIMITS))

    found = bent(-100.0)
    assert found is not None
    assert (found.code, found.where) == ("S07", "loss without a floor")
    assert bent(-5.0) is None  # as a likelihood of numbers may be
    assert bent(0.0) is None
    assert bent(-100.0, players=2) is None


def lopsided(curves: list[tuple[float, float]]) -> Chart:
    """Nine rows of ten are of one class, which gets all answers."""
    made = chart(curves)
    made.rows.labels = {0: 900, 1: 100}
    for epoch in made.epochs:
        epoch.predicted = [400, 0]
    return made


def test_a_majority_that_gets_all_answers_unless_the_run_was_thrown():
    found = data.majority(Case(lopsided([(2.3, 2.3)] * 4), LIMITS))
    assert found is not None
    assert found.where == "class 0"
    rose = lopsided([(2.3, 2.3), (9.0, 9.0), (2.3, 2.3), (2.3, 2.3)])
    assert data.majority(Case(rose, LIMITS)) is None
    broken = lopsided([(2.3, 2.3)] * 4)
    broken.counts["loss not finite"] = 10
    assert data.majority(Case(broken, LIMITS)) is None
    answered = lopsided([(2.3, 2.3)] * 4)
    answered.epochs[-1].predicted = [360, 40]
    assert data.majority(Case(answered, LIMITS)) is None


@pytest.mark.parametrize(
    ("first", "accuracy", "severity"),
    [(20.0, 0.5, "warning"), (20.0, 0.99, "hint"), (5.0, 0.5, "hint"), (2.3, 0.5, None)],
)
def test_a_wild_first_loss_weighs_more_where_something_is_left_to_learn(
    first: float, accuracy: float, severity: str | None
):
    made = chart([(2.0, 2.0)] * 4, (accuracy, accuracy))
    made.losses[0] = (0, first)
    found = layers.first_loss(Case(made, LIMITS))
    assert (found.severity if found else None) == severity


def test_a_slope_is_relative_and_of_the_last_quarter():
    assert slope([8.0, 4.0, 2.0, 1.0]) == pytest.approx((1 - 4) / 4 / 2)
    assert slope([1.0]) == 0.0


def test_a_stuck_run_without_a_cause_is_told_by_one_batch_learned_by_heart():
    codes = {}
    for left in (2.2, 0.01):
        stuck = chart([(2.3, 2.3)] * 8)
        stuck.probes["by heart"] = left
        codes[left] = [f.code for f in conclude(stuck) if f.severity != "hint"]
    assert codes == {2.2: ["A07"], 0.01: ["L02"]}
    learned = chart([(loss, loss) for loss in FALLS])
    learned.probes["by heart"] = 2.2
    assert "A07" not in [f.code for f in conclude(learned)]


def test_unknown_words_of_validation_are_another_preprocessing():
    made = chart([(loss, loss) for loss in FALLS])
    made.rows.words = dict.fromkeys(range(50), 20)
    for unknown, found in ((500, True), (100, False)):
        made.rows.val_words = dict.fromkeys(range(50), (1000 - unknown) // 50) | {99: unknown}
        assert (preprocessing.differs(Case(made, LIMITS)) is not None) == found


def test_quantities_that_come_sorted():
    for means, found in ((np.linspace(-2, 2, 20), True), (np.zeros(20), False)):
        made = chart([(2.3, 2.3)] * 8)
        made.rows.levels = [(32, float(mean), 0.01 if found else 1.0) for mean in means]
        assert (data.sorted_batches(Case(made, LIMITS)) is not None) == found


def test_a_metric_that_is_high_may_wander_as_far_as_chance_goes():
    curves = list(zip(FALLS, FALLS, strict=True))

    def told(values: list[float]) -> Case:
        made = chart(curves)
        made.rows.labels = {0: 50, 1: 50}
        for epoch, value in zip(made.epochs, values, strict=True):
            epoch.told, epoch.val_rows = {"val accuracy": value}, 36
        return Case(made, LIMITS)

    assert metrics.contradicts(told([0.94, 0.97, 0.94, 0.94, 0.97, 0.94, 0.97, 0.94])) is None
    assert metrics.contradicts(told([0.94, 0.5, 0.9, 0.6, 0.97, 0.5, 0.97, 0.6])) is not None


def test_a_metric_that_the_doctor_counted_too_contradicts_nothing():
    made = chart(list(zip(FALLS, FALLS, strict=True)), (1.0, 0.7))
    for epoch in made.epochs:
        epoch.told, epoch.measured = {"val accuracy": 0.7}, True
    assert metrics.contradicts(Case(made, LIMITS)) is None
    for epoch in made.epochs:
        epoch.measured = False
    assert metrics.contradicts(Case(made, LIMITS)) is not None


def test_words_that_most_rows_lack_spread_by_chance():
    rng = np.random.default_rng(0)
    words = (rng.random((400, 60)) < 0.004).astype(np.float32)
    made = chart([(2.3, 2.0)] * 5, (0.3, 0.3))
    made.rows.inputs, made.rows.val, made.rows.labels = words, set(range(100)), {0: 50, 1: 50}
    some = (rng.random((100, 60)) < 0.004).astype(np.float32)
    made.rows.moments = {
        name: (len(x), x.mean(0), ((x - x.mean(0)) ** 2).sum(0))
        for name, x in (("train", words), ("val", some))
    }
    assert preprocessing.differs(Case(made, LIMITS)) is None


def test_one_batch_of_all_rows_may_be_sorted():
    made = chart([(2.3, 2.0)] * 5)
    made.rows.labels, made.rows.sizes = {0: 500, 1: 500}, [100] * 10
    made.rows.order = [0.96] * 10
    assert data.sorted_batches(Case(made, LIMITS)) is None
    made.rows.order = [1.0] * 9 + [0.9]
    assert data.sorted_batches(Case(made, LIMITS)) is not None


def test_a_loss_that_arrived_is_not_clamped():
    made = chart([(2.3, math.nan), (0.5, math.nan), (0.1, math.nan), (0.1, math.nan)])
    made.counts["gradient zero"] = 9
    assert losses.bent(Case(made, LIMITS)) is None
    stays = chart([(2.3, math.nan), (2.0, math.nan), (2.0, math.nan)])
    stays.counts["gradient zero"] = 9
    assert losses.bent(Case(stays, LIMITS)) is not None


def test_dead_units_are_no_cause_where_training_lacks_nothing():
    made = chart([(2.3, 2.3), (0.5, 1.5), (0.01, 1.5)], (1.0, 0.5))
    made.rows.labels, made.accuracy = {0: 50, 1: 50}, [(199, 1.0)]
    made.activations = [Activation("relu", "0.weight", 64, dead=[(0, 0.0), (199, 0.6)])]
    assert layers.died(Case(made, LIMITS)) is None
    made.accuracy, made.losses = [(199, 0.5)], [(k, 1.2) for k in range(UPDATES)]
    assert layers.died(Case(made, LIMITS)) is not None


def test_training_that_learns_what_validation_never_knows_is_told_last():
    made = chart([(2.2, 2.4), (1.9, 2.5), (1.7, 2.5), (1.5, 2.6), (1.3, 2.7)])
    made.rows.train = set(range(1000))
    found = labels.never_carried_over(Case(made, LIMITS))
    assert found is not None
    assert found.evidence["lowest validation loss"] == 2.4
    for told, known in ((1.3, True), (2.6, False)):  # a half is descended, to be added up
        made.epochs[-1].told = {"train loss": told}
        assert (labels.never_carried_over(Case(made, LIMITS)) is not None) == known
    made.epochs[1].val_loss = 1.9
    made.epochs[-1].told = {}
    assert labels.never_carried_over(Case(made, LIMITS)) is None


def test_an_accuracy_that_is_told_and_is_not_that_of_the_answers_is_named():
    def told(values: list[float]) -> Finding | None:
        made = chart([(1.0, 1.0)] * 8, (0.9, 0.9))
        for epoch, value in zip(made.epochs, values, strict=True):
            epoch.told, epoch.measured = {"val accuracy": value}, True
        return metrics.contradicts(Case(made, LIMITS))

    found = told([0.53] * 8)
    assert found is not None
    assert found.evidence == {"the metric says": 0.53, "of its answers are right": 0.9}
    assert told([0.8] * 8) is None


def test_an_accuracy_that_is_higher_all_the_time_is_counted_wrongly():
    def told(above: list[float], train: float) -> Finding | None:
        made = chart([(1.0, 1.0)] * 8)
        for k, (epoch, more) in enumerate(zip(made.epochs, above, strict=True)):
            epoch.measured, epoch.val_accuracy, epoch.train_accuracy = True, 0.1 + 0.05 * k, 0.1 + 0.05 * k
            own = epoch.val_accuracy + more
            epoch.told = {"val accuracy": own, "train accuracy": epoch.train_accuracy + train}
        return metrics.contradicts(Case(made, LIMITS))

    found = told([0.3] * 8, 0.0)  # it rises as the answers do
    assert found is not None
    assert list(found.evidence.values()) == pytest.approx([0.75, 0.45])
    assert told([0.3] * 8, 0.3) is None  # another measure by that name
    assert told([0.3] * 7 + [0.1], 0.0) is None
    assert told([-0.3] * 8, 0.0) is None


def test_a_validation_that_is_never_finite_is_told():
    made = chart([(2.3, math.nan), (1.0, math.nan), (0.5, math.nan)])
    for epoch in made.epochs:
        epoch.told = {"val loss": math.nan}
    found = optimisation.exploding(Case(made, LIMITS))
    assert found is not None
    assert found.evidence == {"validation losses that are not finite": 3}
    made.epochs[0].told = {"val loss": 2.0}
    assert optimisation.exploding(Case(made, LIMITS)) is None


def test_a_line_through_the_features_tells_what_neighbours_do_not():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 40)).astype(np.float32)
    told = (x[:, 0] + x[:, 1] > 0).astype(np.int64)
    rows = Rows(inputs=x, targets=told, integer=True)
    assert told_by_all(rows) > 0.5
    rows.targets = rng.integers(2, size=300)
    assert abs(told_by_all(rows)) < 4 / math.sqrt(300)


def test_a_kept_batch_of_a_few_rows_is_no_evidence_against_validation():
    made = chart([(0.5, 0.5)] * 5, (0.6, 0.95))
    made.rows.labels, made.accuracy = {0: 50, 1: 50}, [(199, 0.95)]
    made.pairings["cross_entropy"].facts["outputs"] = 2
    assert held_out.small_validation(Case(made, LIMITS)) is None
    made.accuracy = [(199, 0.6)]
    found = held_out.small_validation(Case(made, LIMITS))
    assert found is not None
    assert found.severity == "warning"


def test_clipping_is_not_blamed_for_gradients_that_a_rate_made_long():
    rises = chart([(2.3, 2.3), (40.0, 40.0), (30.0, 30.0), (30.0, 30.0)])
    rises.weights = [Weight("0.weight", "linear", (8, 8), 8, 0.1, False, False, True, True)]
    rises.clipped = [(k, 50.0, 1.0) for k in range(20)]
    one = np.array([1.0])
    rises.looks = [Look(k, one, one, np.array([ratio]), 1.0) for k, ratio in enumerate([0.001] * 20)]
    assert optimisation.clipped(Case(rises, LIMITS)) is not None
    rises.looks = [Look(k, one, one, np.array([40.0]), 1.0) for k in range(20)]
    assert optimisation.clipped(Case(rises, LIMITS)) is None


def test_a_graph_that_every_update_leaves_belongs_to_the_loop():
    made = chart([(1.0, 1.0)] * 5)
    made.counts = {"validations with a graph": 71, "updates read": 105}  # an agent acts between two updates
    made.step = 1600
    assert generalisation.keeps_graph(Case(made, LIMITS)) is None
    made.counts["validations with a graph"] = 12
    assert generalisation.keeps_graph(Case(made, LIMITS)) is not None


@pytest.mark.parametrize(("new", "kind"), [(0.0, "P02"), (0.2, "D04")])
def test_words_that_were_never_met_are_of_another_kind_and_others_are_numbered_anew(new: float, kind: str):
    made = chart([(2.0, 3.0)] * 5, (0.5, 0.1))
    trained = {word: 100 if word < 10 else 5 for word in range(30)}
    there = {word: 5 if word < 10 else 100 for word in range(30)}
    there[30] = int(new * sum(there.values()))
    made.rows.words, made.rows.val_words = trained, there
    made.rows.labels, made.rows.val_labels = dict(trained), {k: n for k, n in there.items() if n}
    made.rows.train_seen, made.rows.visible = 200, [0.3, 0.3]
    made.pairings["cross_entropy"].facts["outputs"] = 40
    known = Case(made, LIMITS)
    found = {"P02": preprocessing.differs(known), "D04": held_out.not_representative(known)}
    assert [code for code, finding in found.items() if finding is not None] == [kind]


def test_a_loss_that_was_seen_far_below_zero_has_no_floor():
    for times, players, found in ((5, 1, "S07"), (4, 1, ""), (5, 2, "")):
        made = chart([(1.0, 1.0)] * 4)  # a part of it alone is followed
        made.counts["loss far below zero"] = times
        made.by_group = {player: made.losses[player::players] for player in range(players)}
        finding = losses.bent(Case(made, LIMITS))
        assert (finding.code if finding else "") == found


@pytest.mark.parametrize(
    ("first", "end", "found"), [(30.0, 4.0, "I04"), (30.0, 1.9, "R03"), (6.0, 4.0, "R03")]
)
def test_a_run_that_comes_back_from_where_it_began_is_not_merely_short(first: float, end: float, found: str):
    falls = np.linspace(min(first, 6.0), end, 8)
    made = chart([(float(each), float(each)) for each in falls], (0.3, 0.3))
    made.losses[0] = 0, first
    said = [finding.code for finding in conclude(made) if finding.severity != "hint"]
    assert said[0] == found


def test_a_constant_that_costs_less_than_the_loss_of_training_tells_nothing():
    made = chart([(2.2, 2.4), (1.9, 2.5), (1.7, 2.5), (1.5, 2.6), (1.3, 2.7)])
    made.rows.train = set(range(1000))
    made.pairings["cross_entropy"].facts["entropy"] = 1.6  # the least, and training is below it
    assert labels.never_carried_over(Case(made, LIMITS)) is None
    made.pairings["cross_entropy"].facts["entropy"] = 1.2
    assert labels.never_carried_over(Case(made, LIMITS)) is not None


@pytest.mark.parametrize(
    ("train", "val", "found"),
    [
        (1.0, 0.1, True),
        (1.0, 3.0, True),
        (1.0, 1.5, False),
        (0.6, 0.1, False),  # it tells another measure of both
        (1.0, -1.0, False),  # turned round, which has a finding of its own
    ],
)
def test_a_validation_loss_that_is_told_otherwise_than_it_was_heard(train: float, val: float, found: bool):
    made = chart([(2.0 - 0.1 * k, 2.1 - 0.1 * k) for k in range(8)])
    for epoch in made.epochs:
        epoch.told = {"train loss": train * epoch.train_loss, "val loss": val * epoch.val_loss}
    finding = metrics.contradicts(Case(made, LIMITS))
    assert (finding.code if finding else "") == ("E04" if found else "")
    made.epochs = made.epochs[:3]  # too few to tell
    assert metrics.contradicts(Case(made, LIMITS)) is None


@pytest.mark.parametrize(
    ("thrown", "end", "partly", "found"),
    [(4.0, 1.2, True, True), (0.8, 1.2, True, False), (4.0, 0.6, True, False), (4.0, 0.6, False, False)],
)
def test_a_run_that_was_thrown_and_whose_loss_is_known_in_part(
    thrown: float, end: float, partly: bool, found: bool
):
    made = chart([(2.3, 2.3), *[(end, end)] * 7])
    made.weights = [weight(name, "linear", (8, 8), k) for k, name in enumerate("ab")]
    made.modules["weighty"] = 2
    made.looks = [
        Look(10 * k, np.ones(2), np.ones(2), np.full(2, 0.05 if k else thrown), 1.0) for k in range(20)
    ]
    if partly:
        made.counts["losses of several parts"] = 50
        made.pairings["cross_entropy"].costs = [(k, value) for k, value in made.losses if k % 20 == 0]
    judged = Case(made, LIMITS)
    assert judged.partly == partly
    assert (rates.rate_too_high(judged) is not None) == found
