"""Games of two networks: who is shown fakes, what they make, and what a game may do that a run may not."""

# B samples, F numbers in each

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import didact
from didact.doctor.chart import Chart, Pairing
from didact.doctor.course import Case
from didact.doctor.doctor import Doctor
from didact.doctor.finding import Finding
from didact.doctor.inputs import Inputs
from didact.doctor.limits import LIMITS
from didact.doctor.passes import Pass
from didact.doctor.rivals import Rivals
from didact.doctor.rules import games, labels, losses, rates

GENERATOR = torch.Generator().manual_seed(0)
REALS = 3 + 2 * torch.randn(32, 6, generator=GENERATOR)
FAKES = torch.tanh(torch.randn(32, 6, generator=GENERATOR))


def noise(size: float) -> Tensor:
    return size * torch.randn(32, 6, generator=GENERATOR)


def one_pass(name: str, x: Tensor, answer: Tensor) -> Pass:
    return Pass(name, Inputs((x,)), answer, answer, learning=True, training=True)


@pytest.mark.parametrize(
    "shown",
    [FAKES, FAKES.clone(), FAKES + noise(0.1), 2 * FAKES - 1],
    ids=["same", "copy", "noise", "scaled"],
)
def test_fakes_are_known_by_what_they_are_made_of(shown: Tensor) -> None:
    rivals, believed = Rivals(Chart(step=7)), torch.full((32, 1), -2.0)
    passes = [
        one_pass("maker", torch.randn(32, 2), FAKES),
        one_pass("judge", REALS + noise(0.1), -believed),
        one_pass("judge", shown, believed),
    ]
    rivals.note(passes, game=True, step=7)
    found = rivals.chart.rivals
    assert dict(found["fakes"]) == pytest.approx({7: float(torch.pdist(shown).mean())})
    assert 3 < found["reals"][0][1] / float(torch.pdist(FAKES).mean()) < 4
    assert (found["fakes believed"], found["reals believed"]) == ([(7, 0.0)], [(7, 1.0)])
    assert dict(found["fakes reach"]) == pytest.approx({7: float(shown.abs().max())})
    assert found["reals beyond"][0][1] > 0.5


def test_rows_of_nobody_are_no_fakes() -> None:
    rivals = Rivals(Chart())
    maker = one_pass("maker", torch.randn(32, 2), FAKES)
    rivals.note([maker, one_pass("judge", REALS, torch.zeros(32, 1))], game=True, step=0)
    mostly_noise = FAKES + noise(3.0)
    rivals.note([maker, one_pass("judge", mostly_noise, torch.zeros(32, 1))], game=True, step=0)
    assert rivals.chart.rivals == {}  # nobody is a judge who never sees a fake
    rivals.note([maker, one_pass("judge", FAKES, torch.zeros(32, 1))], game=False, step=0)
    assert rivals.chart.rivals == {}


@pytest.mark.parametrize(
    ("producer", "low", "high"), [("Sigmoid", 0.0, 1.0), ("Tanh", -1.0, 1.0), ("Softmax", 0.0, 1.0)]
)
@pytest.mark.parametrize("blur", [0.0, 0.1])
def test_what_lies_beyond_what_the_generator_can_make_is_measured(
    producer: str, low: float, high: float, blur: float
) -> None:
    rivals, fakes = Rivals(Chart(step=7)), low + (high - low) * torch.sigmoid(9 * noise(1.0))
    reals, shown = REALS / 4 + noise(blur), fakes + noise(blur)
    maker = Pass("maker", Inputs((FAKES,)), fakes, fakes, True, True, producer=producer)
    judges = [one_pass("judge", x, torch.zeros(32, 1)) for x in (reals, shown)]
    rivals.note([maker, judges[0]], game=True, step=6)
    assert "reals out of reach" not in rivals.chart.rivals  # no fake has been seen, nor noise on it
    rivals.note([maker, *reversed(judges)], game=True, step=7)
    slack = 0.01 + float((shown - fakes).abs().max())
    out = float(((reals < low - slack) | (reals > high + slack)).double().mean())
    assert dict(rivals.chart.rivals["reals out of reach"]) == pytest.approx({7: out})
    assert out > 0.1


@pytest.mark.parametrize("producer", ["Relu", "Addmm", ""])
def test_a_generator_without_an_upper_end_has_no_reach(producer: str) -> None:
    rivals = Rivals(Chart())
    maker = Pass("maker", Inputs((REALS,)), FAKES, FAKES, True, True, producer=producer)
    rivals.note([maker, one_pass("judge", FAKES, torch.zeros(32, 1))], game=True, step=0)
    assert "fakes believed" in rivals.chart.rivals
    assert not any("out of reach" in name for name in rivals.chart.rivals)


# Two networks in turn


def play(mode: str = "") -> Doctor:
    """Sixty rounds; the fakes may be ``detached`` where the generator learns, the judge's rows ``noisy``."""
    torch.manual_seed(0)
    maker = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 6))
    judge = nn.Sequential(nn.Linear(6, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    first, second = (torch.optim.Adam(m.parameters(), lr=1e-3, betas=(0.5, 0.999)) for m in (maker, judge))
    ones, zeros = torch.ones(32, 1), torch.zeros(32, 1)
    loss, blur = F.binary_cross_entropy_with_logits, 0.05 if mode == "noisy" else 0.0
    with didact.watch({"maker": maker, "judge": judge}, [first, second], quiet=True) as doctor:
        for _ in range(60):
            fakes = maker(torch.randn(32, 2))
            second.zero_grad()
            reals = REALS + noise(0.3) + noise(blur)
            (loss(judge(reals), ones) + loss(judge(fakes.detach() + noise(blur)), zeros)).backward()
            second.step()
            first.zero_grad()
            loss(judge((fakes.detach() if mode == "detached" else fakes) + noise(blur)), ones).backward()
            first.step()
    assert doctor.chart.errors == []
    return doctor


@pytest.mark.parametrize("mode", ["", "noisy"])
def test_in_a_loop_fakes_and_reals_are_told_apart(mode: str) -> None:
    doctor = play(mode)
    rivals = doctor.chart.rivals
    assert len(rivals["fakes"]) >= len(rivals["reals"]) >= 10
    assert max(v for _, v in rivals["fakes"][:10]) < 3 < 5 < min(v for _, v in rivals["reals"])
    assert not {"O10", "O12"} & set(doctor.report().codes())


def squashed(reals: Callable[[], Tensor], blur: float = 0.0, last: nn.Module | None = None) -> Doctor:
    """Thirty rounds with a generator that ends in a sigmoid, and reaches both of its ends."""
    torch.manual_seed(0)
    wide = nn.Linear(16, 6)
    wide.weight.data *= 20
    maker = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), wide, last or nn.Sigmoid())
    judge = nn.Sequential(nn.Linear(6, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    first, second = (torch.optim.Adam(m.parameters(), lr=1e-3, betas=(0.5, 0.999)) for m in (maker, judge))
    ones, zeros, loss = torch.ones(32, 1), torch.zeros(32, 1), F.binary_cross_entropy_with_logits
    with didact.watch({"maker": maker, "judge": judge}, [first, second], quiet=True) as doctor:
        for _ in range(30):
            fakes = maker(torch.randn(32, 2))
            second.zero_grad()
            fooled = loss(judge(fakes.detach() + noise(blur)), zeros)
            (loss(judge(reals() + noise(blur)), ones) + fooled).backward()
            second.step()
            first.zero_grad()
            loss(judge(fakes + noise(blur)), ones).backward()
            first.step()
    assert doctor.chart.errors == []
    return doctor


def signs() -> Tensor:
    return noise(1.0).sign()


def halves() -> Tensor:
    return noise(1.0).sign().clamp(min=0)


def test_real_rows_below_zero_are_out_of_reach_of_a_sigmoid() -> None:
    doctor = squashed(signs)
    out = [share for _, share in doctor.chart.rivals["reals out of reach"]]
    assert sum(out) / len(out) == pytest.approx(0.5, abs=0.05)
    report = doctor.report()
    assert report.codes()[0] == "S04"
    share = report.findings[0].evidence["share of real numbers that the generator cannot make"]
    assert share == pytest.approx(sum(out) / len(out))


@pytest.mark.parametrize(
    ("reals", "blur", "last"),
    [(halves, 0.0, None), (halves, 0.1, None), (signs, 0.0, nn.Tanh()), (signs, 0.1, nn.Tanh())],
    ids=["sigmoid", "sigmoid and noise", "tanh", "tanh and noise"],
)
def test_real_rows_within_its_reach_are_not_whatever_noise_is_on_both(
    reals: Callable[[], Tensor], blur: float, last: nn.Module | None
) -> None:
    doctor = squashed(reals, blur, last)
    out = [share for _, share in doctor.chart.rivals["reals out of reach"]]
    assert sum(out) / len(out) < 0.01
    assert "S04" not in [finding.code for finding in doctor.report().findings]


def test_fakes_that_are_detached_where_the_generator_learns() -> None:
    doctor = play("detached")
    assert "gradients gone before the step" not in doctor.chart.counts
    finding = doctor.report().findings[0]
    assert (finding.code, finding.severity) == ("O10", "critical")
    assert finding.evidence["parameters without a gradient"] == 4
    assert "maker.0.weight" in finding.where


def test_gradients_put_away_before_one_of_two_players_steps_are_gone() -> None:
    torch.manual_seed(0)
    models = [nn.Linear(6, 6), nn.Linear(6, 1)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.01) for model in models]
    with didact.watch(models, optimizers, quiet=True) as doctor:
        for _ in range(5):
            models[1](models[0](REALS)).pow(2).mean().backward()
            models[0].zero_grad()
            for optimizer in optimizers:
                optimizer.step()
            models[1].zero_grad()
    assert doctor.chart.counts["gradients gone before the step"] == 5  # of one, not of the other


# Rules


def game(spread: float = 1.0, right: float = 0.6, judge_loss: float = 0.6) -> Chart:
    """Two players in turn; so far apart are two fakes, and so often is the judge right."""
    made, steps = Chart(step=400), range(0, 400, 10)
    made.rivals = {
        "fakes": [(k, spread) for k in steps],
        "reals": [(k, 1.0) for k in steps],
        "fakes believed": [(k, 1 - right) for k in steps],
        "reals believed": [(k, right) for k in steps],
    }
    made.by_group = {0: [(k, 2.0) for k in range(1, 400, 2)], 1: [(k, judge_loss) for k in range(0, 400, 2)]}
    made.losses = [(k, judge_loss if k % 2 == 0 else 2.0) for k in range(400)]
    return made


def collapsed(made: Chart) -> Finding | None:
    return games.collapse(Case(made, LIMITS))


def test_fakes_that_are_all_alike_in_the_second_half() -> None:
    found = collapsed(game(spread=0.1))
    assert found is not None
    assert found.evidence["distance of two fakes over two real rows"] == pytest.approx(0.1)
    assert collapsed(game(spread=0.5)) is None
    hops = game(spread=0.1)
    hops.rivals["fakes"] = [(k, 5.0 if k % 40 == 0 else 0.1) for k, _ in hops.rivals["fakes"]]
    assert collapsed(hops) is not None  # wide while it hops to another mode
    begins = game()
    begins.rivals["fakes"] = [(k, 0.1 if k < 190 else 1.0) for k, _ in begins.rivals["fakes"]]
    assert collapsed(begins) is None
    short = game(spread=0.1)
    short.step = 150
    assert collapsed(short) is None


def test_a_judge_that_always_wins_is_right_and_certain() -> None:
    def found(right: float, loss: float) -> bool:
        return games.overpowers(Case(game(right=right, judge_loss=loss), LIMITS)) is not None

    assert found(1.0, 0.01)
    assert not found(1.0, 0.6)
    assert not found(0.8, 0.01)


def test_odd_settings_spoil_a_game_whose_fakes_are_too_close_or_too_far() -> None:
    for spread, severity in ((0.3, "warning"), (3.0, "warning"), (1.0, "hint")):
        made = game(spread)
        made.settings = [{"momentum": 0, "betas": (0.5, 0.999)}, {"betas": (0.999, 0.999)}]
        found = rates.odd_settings(Case(made, LIMITS))
        assert found is not None
        assert (found.severity, dict(found.evidence)) == (severity, {"betas": (0.999, 0.999)})
    made.settings = [{"betas": (0.5, 0.999), "eps": 1e-8}]
    assert rates.odd_settings(Case(made, LIMITS)) is None


def test_a_critic_whose_losses_only_grow_has_no_bound() -> None:
    def found(early: float, late: float, players: int = 2) -> Finding | None:
        made = game(right=0.6)
        made.by_group[1] = [(k, early if k < 200 else late) for k, _ in made.by_group[1]]
        made.by_group = dict(list(made.by_group.items())[2 - players :])
        return games.overpowers(Case(made, LIMITS))

    finding = found(1.0, 100.0)
    assert finding is not None
    assert (finding.code, finding.severity) == ("G02", "critical")
    assert finding.evidence["median size of a player's loss in the second half"] == 100.0
    assert "slope" in finding.fix
    assert found(1.0, -100.0) is not None
    assert found(100.0, 1.0) is None  # at the start alone
    assert found(15.0, 15.0) is None
    assert found(1.0, 100.0, players=1) is None  # a loss alone


def test_there_is_nothing_to_overpower_where_all_fakes_are_one() -> None:
    assert games.overpowers(Case(game(0.3, right=1.0, judge_loss=0.01), LIMITS)) is not None
    one = game(0.01, right=1.0, judge_loss=0.01)
    assert games.overpowers(Case(one, LIMITS)) is None
    one.rivals["fakes"][0] = (0, 1.0)  # it was another thing at first
    assert games.overpowers(Case(one, LIMITS)) is not None


def fooled(share: float) -> Chart:
    made = game()
    made.rivals["fakes believed"] = [(step, share) for step in range(10)]
    return made


def told(made: Chart, calls: int, values: set[float], parts: int) -> Finding | None:
    facts = {"lowest": min(values), "highest": max(values), "values": values, "outputs": 1}
    made.pairings["bce"] = Pairing("bce", calls, 32, facts=facts | {"integer": False})
    made.counts["losses of several parts"] = parts
    return labels.encoding(Case(made, LIMITS))


def test_a_judge_that_is_told_the_same_of_all() -> None:
    found = told(fooled(1.0), 20, {1.0}, parts=20)
    assert found is not None
    assert (found.code, found.evidence["every target is"]) == ("L05", 1.0)
    assert told(fooled(0.5), 20, {1.0}, parts=20) is None  # its other losses were not looked at
    assert told(fooled(1.0), 40, {0.0, 1.0}, parts=20) is None
    alone = Chart(step=200, losses=[(k, 1.0) for k in range(200)])
    assert told(alone, 10, {1.0}, parts=0) is not None
    assert told(alone, 40, {1.0}, parts=20) is None  # another part may tell them apart


@pytest.mark.parametrize(
    ("reals", "looks", "found"),
    [
        (0.3, 10, True),
        (0.3, 2, False),
        (0.005, 10, False),
    ],
)
def test_real_rows_that_are_out_of_reach(reals: float, looks: int, found: bool) -> None:
    made = game()
    made.rivals["reals out of reach"] = [(k, reals) for k in range(looks)]
    finding = losses.out_of_reach(Case(made, LIMITS))
    assert (finding.code if finding else "") == ("S04" if found else "")


@pytest.mark.parametrize(
    ("reach", "beyond", "found"), [(1.0, 0.2, True), (1.0, 0.0, False), (3.0, 0.2, False), (0.5, 0.2, False)]
)
def test_real_rows_that_a_squashed_generator_cannot_make(reach: float, beyond: float, found: bool) -> None:
    made = game()
    made.rivals["fakes reach"] = [(k, 0.2 if k < 90 else reach) for k in range(0, 400, 10)]
    made.rivals["reals beyond"] = [(k, beyond) for k in range(0, 400, 10)]
    finding = losses.out_of_reach(Case(made, LIMITS))
    assert (finding is not None) == found
    assert finding is None or finding.evidence["share of real ones beyond"] == pytest.approx(beyond)


def test_training_of_one_class_that_validation_has_others_beside() -> None:
    alone = Chart(step=200, losses=[(k, 1.0) for k in range(200)])
    alone.rows.val_labels = {0: 100, 1: 100}  # it lacks one, and they are numbered as they should be
    assert told(alone, 10, {1.0}, parts=0) is None
