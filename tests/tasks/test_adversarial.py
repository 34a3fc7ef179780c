"""The game of two players: its value, its signs, who is improved when, and what is drawn."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import didact
from didact.data.batches import TensorSplit
from didact.data.facts import Facts
from didact.data.raw import Part
from didact.errors import UsageError
from didact.tasks.adversarial import SCORED_SAMPLES, Adversarial

FACTS = Facts("made", "sample", "none", (1,))


@pytest.fixture
def gan():
    torch.manual_seed(0)
    return didact.build("gan")


@pytest.fixture
def real():
    return torch.randn(12, 1, generator=torch.Generator().manual_seed(0)) + 1


def constant_verdict(gan, logit):
    """Let the discriminator answer the same logit to everything."""
    with torch.no_grad():
        for parameter in gan.discriminator.parameters():
            parameter.zero_()
        gan.discriminator.head.bias.fill_(logit)


def steps_of(task, gan, batch):
    return list(task.losses(gan, (batch, torch.zeros(len(batch)))))


def test_the_value_where_nothing_can_be_told(gan, real):
    """D = 1/2 everywhere: D's loss is 2 ln 2, the generator's ln 2 (minus that in the minimax game)."""
    constant_verdict(gan, 0.0)
    ours, theirs = steps_of(Adversarial(FACTS), gan, real)
    assert ours.loss.item() == pytest.approx(2 * math.log(2))
    assert theirs.loss.item() == pytest.approx(math.log(2))
    _, minimax = steps_of(Adversarial(FACTS, loss="minimax"), gan, real)
    assert minimax.loss.item() == pytest.approx(-math.log(2))
    assert [step.group for step in (ours, theirs)] == ["discriminator", "generator"]


@pytest.mark.parametrize("loss", ["minimax", "non-saturating"])
def test_losses_are_binary_cross_entropy(gan, real, loss):
    task = Adversarial(FACTS, loss=loss)
    torch.manual_seed(7)
    ours, theirs = steps_of(task, gan, real)
    torch.manual_seed(7)
    fake, again = gan(task.draw_noise(gan, 12)), gan(task.draw_noise(gan, 12))
    on_real, on_fake, on_again = map(gan.discriminator, (real, fake, again))
    ones, zeros = torch.ones_like(on_real), torch.zeros_like(on_real)
    entropy = F.binary_cross_entropy_with_logits
    assert ours.loss.item() == pytest.approx((entropy(on_real, ones) + entropy(on_fake, zeros)).item())
    by_hand = -entropy(on_again, zeros) if loss == "minimax" else entropy(on_again, ones)
    assert theirs.loss.item() == pytest.approx(by_hand.item())
    assert ours.logs["d_real"].item() == pytest.approx(on_real.sigmoid().sum().item())
    assert ours.logs["d_fake"].item() == pytest.approx(on_fake.sigmoid().sum().item())


@pytest.mark.parametrize("d_steps", [1, 3, 5])
def test_the_logged_verdict_is_that_of_all_examples(gan, real, d_steps):
    """The loop divides the sums of all steps by the examples of the batch, once for each step."""
    steps = steps_of(Adversarial(FACTS, d_steps=d_steps), gan, real)[:-1]
    mean = sum(step.logs["d_real"].item() for step in steps) / (12 * d_steps)
    assert mean == pytest.approx(gan.discriminator(real).sigmoid().mean().item(), abs=0.02)


@pytest.mark.parametrize("logit", [-100.0, -20.0, 0.0, 20.0, 100.0])
@pytest.mark.parametrize("loss", ["minimax", "non-saturating"])
def test_no_verdict_is_too_sure_for_a_finite_loss(gan, real, loss, logit):
    constant_verdict(gan, logit)
    for step in steps_of(Adversarial(FACTS, loss=loss), gan, real):
        assert step.loss.isfinite()


def test_both_games_push_the_generator_the_same_way_but_minimax_saturates(gan, real):
    """Where D wins, the gradient of log(1 - D) is D / (1 - D) times that of -log D."""
    with torch.no_grad():
        gan.discriminator.head.bias.fill_(-6.0)
    gradients = {}
    for loss in ("minimax", "non-saturating"):
        torch.manual_seed(3)
        step = steps_of(Adversarial(FACTS, loss=loss), gan, real)[1]
        grads = torch.autograd.grad(step.loss, list(gan.generator.parameters()))
        gradients[loss] = torch.cat([grad.flatten() for grad in grads])
    weak, strong = gradients["minimax"], gradients["non-saturating"]
    assert torch.cosine_similarity(weak, strong, 0) > 0.99
    assert 0 < weak.norm() < 0.05 * strong.norm()


def test_the_discriminators_loss_does_not_reach_the_generator(gan, real):
    steps_of(Adversarial(FACTS), gan, real)[0].loss.backward()
    assert all(parameter.grad is None for parameter in gan.generator.parameters())
    assert all(parameter.grad is not None for parameter in gan.discriminator.parameters())


@pytest.mark.parametrize("d_steps", [1, 3])
def test_each_step_is_computed_against_the_discriminator_just_improved(gan, real, d_steps):
    """The losses are made one by one: each sees the weights that the step before has left."""
    task = Adversarial(FACTS, d_steps=d_steps)
    optimizer = torch.optim.SGD(gan.discriminator.parameters(), lr=0.5)
    before = [parameter.detach().clone() for parameter in gan.discriminator.parameters()]
    torch.manual_seed(5)
    for step in task.losses(gan, (real, None)):
        if step.group == "discriminator":
            optimizer.zero_grad()
            step.loss.backward()
            optimizer.step()
    now = list(gan.discriminator.parameters())
    assert not any(torch.equal(old, new) for old, new in zip(before, now, strict=True))
    torch.manual_seed(5)
    for _ in range(d_steps):
        task.draw_noise(gan, 12 // d_steps)
    fake = gan(task.draw_noise(gan, 12))
    assert step.loss.item() == F.softplus(-gan.discriminator(fake)).mean().item()
    with torch.no_grad():
        for parameter, old in zip(now, before, strict=True):
            parameter.copy_(old)
    assert step.loss.item() != F.softplus(-gan.discriminator(fake)).mean().item()


@pytest.mark.parametrize(
    ("count", "d_steps"), [(12, 1), (12, 2), (12, 5), (12, 12), (128, 50), (4, 3), (1, 1)]
)
def test_as_many_discriminator_steps_as_asked_use_every_example_once(gan, count, d_steps):
    shown = []
    gan.discriminator.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0].flatten().tolist()))
    steps = steps_of(Adversarial(FACTS, d_steps=d_steps), gan, torch.arange(100.0, 100 + count)[:, None])
    assert [step.group for step in steps] == ["discriminator"] * d_steps + ["generator"]
    assert [value for part in shown[0:-1:2] for value in part] == list(range(100, 100 + count))


def test_a_short_batch_gives_a_step_an_example(gan):
    """The last batch of an epoch may hold fewer examples than steps; no step may be of nothing (NaN)."""
    steps = steps_of(Adversarial(FACTS, d_steps=5), gan, torch.ones(2, 1))
    assert [step.group for step in steps] == ["discriminator"] * 2 + ["generator"]
    assert all(step.loss.isfinite() for step in steps)


@pytest.mark.parametrize("d_steps", [0, -1])
def test_no_discriminator_step_is_refused(d_steps):
    with pytest.raises(UsageError, match=f"d_steps={d_steps}"):
        Adversarial(FACTS, d_steps=d_steps)


def test_noise(gan):
    uniform = Adversarial(FACTS).draw_noise(gan, 20_000, torch.Generator().manual_seed(0))
    assert uniform.shape == (20_000, 1)
    assert -1 <= uniform.min() < -0.999 < 0.999 < uniform.max() <= 1
    assert uniform.std().item() == pytest.approx(3**-0.5, abs=0.01)
    normal = Adversarial(FACTS, noise="normal").draw_noise(gan, 20_000, torch.Generator().manual_seed(0))
    assert (normal.mean().item(), normal.std().item()) == pytest.approx((0, 1), abs=0.03)


@pytest.mark.usefixtures("no_draws")
def test_generate_repeats_by_seed(gan):
    gan.train()
    first, again, other = (Adversarial(FACTS).generate(gan, 9, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (9, 1)
    assert gan.training


@pytest.mark.usefixtures("no_draws")
def test_score(gan, real):
    """The numbers of 10,000 draws; a discriminator with dropout is asked without it."""
    gan.discriminator.add_module("hidden", nn.Sequential(gan.discriminator.hidden, nn.Dropout(0.5)))
    gan.train()
    task, split = Adversarial(FACTS), TensorSplit(real, torch.zeros(12))
    numbers = task.score(gan, split)
    assert gan.training
    gan.eval()
    samples = task.generate(gan, SCORED_SAMPLES)
    with torch.no_grad():
        assert numbers["d_real"] == pytest.approx(gan.discriminator(real).sigmoid().mean().item())
        assert numbers["d_fake"] == pytest.approx(gan.discriminator(samples).sigmoid().mean().item())
    assert (numbers["mean"], numbers["std"]) == pytest.approx((samples.mean().item(), samples.std().item()))
    assert task.score(gan, TensorSplit(samples, torch.zeros(SCORED_SAMPLES)))["wasserstein"] == 0


def test_examine_and_decode(gan, real):
    task, split = Adversarial(FACTS), TensorSplit(real, torch.zeros(12))
    outcome = task.examine(gan, split, Part(list(real)))
    (histogram,) = outcome.exhibits
    assert len(histogram.edges) == len(histogram.real) + 1 == len(histogram.generated) + 1
    assert sum(histogram.real) >= 10
    assert SCORED_SAMPLES * 0.99 <= sum(histogram.generated) <= SCORED_SAMPLES
    assert outcome.numbers == task.score(gan, split)
    assert task.decode(torch.tensor([[1.5], [2.0]])) == [{"sample": [1.5]}, {"sample": [2.0]}]
