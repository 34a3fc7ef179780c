"""The game of two players, as the notes print it: its losses, its algorithm and its first example.

Notes 001, section XII.5; 004, L4363-4582.
"""

import math

import pytest
import torch
from torch import Tensor

import didact
from didact.data.facts import Facts
from didact.data.open import open_data
from didact.tasks.adversarial import Adversarial
from didact.train.loop import Loop
from didact.train.recipe import make_recipe

FACTS = Facts("made", "sample", "none", (1,))


def losses_where_d_is(share: float, loss: str) -> tuple[float, float]:
    """Both players' losses when the discriminator answers the same to everything."""
    model = didact.build("gan").double()
    with torch.no_grad():
        for parameter in model.discriminator.parameters():
            parameter.zero_()
        model.discriminator.head.bias.fill_(math.log(share / (1 - share)))
    task = Adversarial(FACTS, loss=loss)
    task.draw_noise = lambda model, count: torch.rand(count, 1).double()  # type: ignore[method-assign]
    first, second = task.losses(model, (torch.randn(8, 1).double(), torch.zeros(8)))
    return first.loss.item(), second.loss.item()


@pytest.mark.parametrize("share", [0.5, 0.2, 0.9])
def test_losses_are_twice_those_of_notes_001(share: float):
    """gan-d-loss: J_D = -1/2 E log D(x) - 1/2 E log(1 - D(G(z))), log 2 at D = 1/2; J_G = -J_D.

    Ours are without the halves, as Algorithm 1 of notes 004 has them; only the last term of -J_D has a
    gradient for the generator.
    """
    discriminator, minimax = losses_where_d_is(share, "minimax")
    _, practical = losses_where_d_is(share, "non-saturating")
    assert discriminator / 2 == pytest.approx(-(math.log(share) + math.log(1 - share)) / 2)
    assert minimax / 2 == pytest.approx(math.log(1 - share) / 2)
    assert practical / 2 == pytest.approx(-math.log(share) / 2)
    if share == 0.5:
        assert discriminator / 2 == pytest.approx(0.6931, abs=5e-5)


@pytest.mark.parametrize("k", [1, 3])
def test_algorithm_1(k: int):
    """gan-training-alg1: k steps of the discriminator, then one of the generator, with any gradient rule."""
    recipe = make_recipe("gan", given={"d_steps": k, "batch_size": 12, "optimizer": "sgd", "momentum": 0.5})
    data = open_data("gaussian")
    loop = Loop(
        recipe, Adversarial(data.facts, d_steps=k), didact.build("gan"), data.splits, torch.device("cpu")
    )
    moved: list[str] = []
    for name, optimizer in loop.optimizers.items():
        optimizer.register_step_post_hook(lambda *_, name=name: moved.append(name))

    def weights() -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in loop.model.named_parameters()}

    before = weights()
    loop.update([data["train"].take(torch.arange(12))])
    assert moved == ["discriminator"] * k + ["generator"]
    assert all(not torch.equal(before[name], tensor) for name, tensor in weights().items())


def test_example_1_learns_the_normal_distribution():
    """gan-ex1, generative-goal: 10,000 samples from noise on [-1, 1] have mean 1 and deviation 1, nearly."""
    data = open_data("gaussian")
    torch.manual_seed(0)
    recipe = make_recipe("gan", given={"epochs": 12})
    loop = Loop(recipe, Adversarial(data.facts), didact.build("gan"), data.splits, torch.device("cpu"))
    before = loop.validate()
    loop.run()
    loop.model.load_state_dict(loop.best)
    after = loop.task.score(loop.model, data["val"])
    assert before["wasserstein"] > 0.5
    assert after["wasserstein"] < 0.25
    assert after["mean"] == pytest.approx(1, abs=0.2)
    assert after["std"] == pytest.approx(1, abs=0.25)
    assert after["d_real"] == pytest.approx(0.5, abs=0.15)
    assert after["d_fake"] == pytest.approx(0.5, abs=0.15)
