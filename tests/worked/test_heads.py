"""Output heads and their losses: softmax, cross-entropy, and a gradient that is predicted minus observed.

Notes 000, section 1.3.2; 001, section VII.1; 003, L22-62; 004, L552-610.
"""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.data.facts import Facts
from didact.models.generate.gan import GAN
from didact.models.linear.mlp import MLP
from didact.tasks.adversarial import Adversarial
from didact.tasks.classify import Classify
from didact.tasks.metrics import bits
from didact.tasks.regress import Regress

N = 6


class Scores(nn.Module):
    """A network whose output is its parameter: the gradient of a loss by its output is there to be read."""

    def __init__(self, scores: Tensor):
        super().__init__()
        self.scores = nn.Parameter(scores.double())

    def forward(self, _: Tensor) -> Tensor:
        return self.scores


def gaussian(facts: Facts) -> tuple[Tensor, Tensor, Tensor]:
    """N(y | z, I): half the squared error is the negative log-likelihood but for a constant."""
    z, y = torch.randn(N, 1), torch.randn(N, 1).double()
    head = Scores(z)
    next(iter(Regress(facts).losses(head, (torch.zeros(N, 1), y)))).loss.backward()
    return head.scores.grad / 2, z.double(), y


def bernoulli(_: Facts) -> tuple[Tensor, Tensor, Tensor]:
    """Ber(y | sigmoid(z)): the discriminator, on real (y = 1) and made (y = 0) examples."""
    model = GAN().double()
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        output.retain_grad()
        seen.append(output)

    model.discriminator.register_forward_hook(keep)
    task = Adversarial(Facts("made", "sample", "none", (1,)))
    task.draw_noise = lambda model, count: torch.rand(count, 1).double()  # type: ignore[method-assign]
    next(iter(task.losses(model, (torch.randn(N, 1).double(), torch.zeros(N))))).loss.backward()
    on_real, on_made = seen
    z, gradient = torch.cat([on_real, on_made]), torch.cat([on_real.grad, on_made.grad])
    return gradient, z.detach().sigmoid(), torch.cat([torch.ones(N, 1), torch.zeros(N, 1)]).double()


def categorical(_: Facts) -> tuple[Tensor, Tensor, Tensor]:
    """softmax(z) over C classes."""
    z, labels = torch.randn(N, 4), torch.randint(4, (N,))
    head = Scores(z)
    facts = Facts("made", "table", "class", (1,), classes=tuple("abcd"))
    next(iter(Classify(facts).losses(head, (torch.zeros(N, 1), labels)))).loss.backward()
    return head.scores.grad, z.double().softmax(1), F.one_hot(labels, 4).double()


@pytest.mark.parametrize("head", [gaussian, bernoulli, categorical])
def test_the_gradient_of_each_head_is_predicted_minus_observed(head, numbers: Facts):
    """error-equals-pred-minus-obs: of the mean over N examples, hence the 1/N."""
    gradient, predicted, observed = head(numbers)
    torch.testing.assert_close(gradient * N, predicted - observed)


def test_the_loss_of_each_head_is_its_mean_negative_log_likelihood(numbers: Facts, three: Facts):
    """nll-objective, with the logarithm that notes 003 leave out: J = -1/N sum log p(y | x)."""
    z, y, labels = torch.randn(N, 1).double(), torch.randn(N, 1).double(), torch.randint(3, (N,))
    normal = torch.distributions.Normal(z, 1.0)
    squared = next(iter(Regress(numbers).losses(Scores(z), (z, y)))).loss
    torch.testing.assert_close(squared / 2 + math.log(2 * math.pi) / 2, -normal.log_prob(y).mean())
    scores = torch.randn(N, 3).double()
    chosen = torch.distributions.Categorical(logits=scores)
    torch.testing.assert_close(Classify(three).loss(scores, labels), -chosen.log_prob(labels).mean())


def test_a_confident_mistake_keeps_its_gradient_with_cross_entropy_only():
    """sigmoid-output-ok (003, L48-50): sigmoid(z) - y is near 1 where the gradient of the square dies."""
    z = torch.tensor(10.0, dtype=torch.float64, requires_grad=True)  # sure of 1, and the truth is 0
    facts = Facts("made", "table", "class", (1,), classes=("0", "1"))
    task, zero = Classify(facts), torch.zeros((), dtype=torch.float64)

    def gradient(label: int) -> float:
        loss = task.loss(torch.stack([zero, z])[None], torch.tensor([label]))
        return torch.autograd.grad(loss, z)[0].item()

    assert gradient(0) == pytest.approx(1, abs=1e-4)
    assert gradient(1) == pytest.approx(0, abs=1e-4)  # right, and sure of it
    squared = torch.autograd.grad(torch.sigmoid(z) ** 2, z)[0].item()
    assert squared == pytest.approx(0, abs=1e-4)


def test_softmax_of_the_notes(three: Facts):
    """W5 of notes 004: (2.0, 1.0, 0.1) -> (.66, .24, .10), as an answer of the classifier."""
    (answer,) = Classify(three).decode(torch.tensor([[2.0, 1.0, 0.1]], dtype=torch.float64))
    assert answer["class"] == "dog"
    assert list(answer["best"].values()) == pytest.approx([0.65900, 0.24243, 0.09857], abs=5e-6)
    assert [round(share, 2) for share in answer["best"].values()] == [0.66, 0.24, 0.10]


def test_softmax_sums_to_one_and_shifts_do_not_matter(three: Facts):
    scores = torch.randn(20, 3).double()
    task = Classify(three)
    for plain, shifted in zip(task.decode(scores), task.decode(scores + 1e3), strict=True):
        assert sum(plain["best"].values()) == pytest.approx(1)
        assert plain["best"] == pytest.approx(shifted["best"])


def test_softmax_is_stable():
    """softmax-stable (001, section VII.1): s = (1000, 1000) -> (.5, .5), and no infinity in the loss."""
    task = Classify(Facts("made", "table", "class", (2,), classes=("a", "b")))
    (answer,) = task.decode(torch.tensor([[1000.0, 1000.0]]))
    assert answer["best"] == {"a": 0.5, "b": 0.5}
    far = torch.tensor([[1000.0, -1000.0]])
    assert task.loss(far, torch.tensor([1])).item() == 2000


def test_cross_entropy_on_scores_is_that_on_probabilities(three: Facts):
    """loss-ce, softmax-ce-fused: -sum y log p  =  -sum y z + log sum exp z."""
    z, labels = torch.randn(N, 3).double(), torch.randint(3, (N,))
    y = F.one_hot(labels, 3)
    loss = Classify(three).loss(z, labels)
    torch.testing.assert_close(loss, -(y * z.softmax(1).log()).sum(1).mean())
    torch.testing.assert_close(loss, (-(y * z).sum(1) + z.exp().sum(1).log()).mean())


@pytest.mark.parametrize(
    ("shares", "nats", "printed"), [((0.66, 0.24, 0.10), 0.41552, 0.6), ((0.10, 0.66, 0.24), 2.30259, 3.32)]
)
def test_cross_entropy_of_the_notes_is_in_bits(
    three: Facts, shares: tuple[float, ...], nats: float, printed: float
):
    """W6 of notes 004: y = dog. The printed numbers hold with the logarithm to base 2."""
    loss = Classify(three).loss(torch.tensor([shares], dtype=torch.float64).log(), torch.tensor([0])).item()
    assert loss == pytest.approx(nats, abs=5e-6)
    assert bits(loss) == pytest.approx(printed, abs=0.005)


def test_cross_entropy_lies_between_zero_and_infinity(three: Facts):
    task, dog = Classify(three), torch.tensor([0])
    assert task.loss(torch.tensor([[50.0, -50, -50]]), dog) == 0
    assert task.loss(torch.tensor([[-torch.inf, 0, 0]]), dog) == torch.inf


@pytest.mark.parametrize(
    ("name", "gradient"),
    [("mse", lambda e: 2 * e), ("l1", torch.sign), ("smooth-l1", lambda e: e.clamp(-1, 1))],
)
def test_gradients_of_the_regression_losses(name: str, gradient, numbers: Facts):
    """loss-mse: 2 (y^ - y); loss-l1: the sign, 0 at equality; loss-smooth-l1: continuous at 1. Over N."""
    error = torch.tensor([[-3.0], [-1.0], [-0.5], [0.0], [0.5], [1.0], [2.0]]).double()
    head = Scores(error)
    next(iter(Regress(numbers, loss=name).losses(head, (error, torch.zeros_like(error))))).loss.backward()
    torch.testing.assert_close(head.scores.grad * len(error), gradient(error))


def test_the_loss_of_a_set_is_the_mean_of_the_losses_of_its_examples(numbers: Facts):
    z, y = torch.randn(N, 1).double(), torch.randn(N, 1).double()
    task = Regress(numbers)
    each = [next(iter(task.losses(Scores(z[i : i + 1]), (z, y[i : i + 1])))).loss for i in range(N)]
    torch.testing.assert_close(torch.stack(each), (y - z).flatten() ** 2)
    whole = next(iter(task.losses(Scores(z), (z, y)))).loss
    torch.testing.assert_close(torch.stack(each).mean(), whole)


@pytest.mark.parametrize(("name", "best"), [("mse", 20.8), ("l1", 1.0)])
def test_one_outlier_moves_the_mean_and_not_the_median(name: str, best: float, numbers: Facts, loop):
    """l1-vs-l2-table: the constant that training finds."""
    model = MLP(1, 1, ()).double()
    y = torch.tensor([[0.0], [1.0], [1.0], [2.0], [100.0]]).double()
    training = loop(
        model,
        Regress(numbers, loss=name),
        torch.zeros(5, 1).double(),
        y,
        batch_size=5,
        epochs=600,
        lr=0.5,
        schedule="linear",
    )
    training.run()
    assert model.head.bias.item() == pytest.approx(best, abs=0.05)


def test_squared_error_answers_two_modes_with_what_is_neither(numbers: Facts, loop):
    """l2-blurry (001, section XII.5): half the pixels are black, half white; the best answer is grey."""
    model = MLP(1, 1, ()).double()
    y = torch.tensor([[-1.0], [1.0]] * 4).double()
    loop(model, Regress(numbers), torch.zeros(8, 1).double(), y, batch_size=8, epochs=50, lr=0.2).run()
    assert model.head.bias.item() == pytest.approx(0, abs=1e-6)
