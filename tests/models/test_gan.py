"""The GAN of Example 1 of notes 004: its two players."""

from math import log

import pytest
import torch
from torch import nn

from didact.errors import UsageError
from didact.models.generate.gan import GAN


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_parameters_of_example_1():
    model = GAN()
    assert count(model.generator) == 46  # 1-5-5-1: 10 + 30 + 6
    assert count(model.discriminator) == 141  # 1-10-10-1: 20 + 110 + 11
    assert count(model) == 187


def test_parameters_of_example_2():
    """The layer sizes of the MNIST example, which the notes build with relu and a tanh output."""
    model = GAN(100, 784, (256, 512, 1024), (1024, 512, 256), "relu")
    assert count(model.generator) == 1_486_352
    assert count(model.discriminator) == 1_460_225


def test_shapes():
    model = GAN(noise_dim=3, data_dim=2)
    samples = model(torch.randn(7, 3))
    assert samples.shape == (7, 2)
    assert model.discriminator(samples).shape == (7, 1)


def test_hidden_layers_are_tanh_and_outputs_linear():
    model = GAN()
    acts = [type(m) for m in model.modules() if not any(m.children()) and not isinstance(m, nn.Linear)]
    assert acts == [nn.Tanh] * 4
    assert isinstance(model.generator.head, nn.Linear)
    assert isinstance(model.discriminator.head, nn.Linear)


def test_the_players_share_nothing():
    model = GAN()
    model(torch.randn(4, 1)).sum().backward()
    assert all(p.grad is not None for p in model.generator.parameters())
    assert all(p.grad is None for p in model.discriminator.parameters())


def test_value_of_the_game_when_nothing_can_be_told_apart():
    """gan: at D = 1/2 everywhere V = -2 ln 2 = -1.3863; a discriminator of zeros says 1/2."""
    model = GAN()
    for parameter in model.discriminator.parameters():
        nn.init.zeros_(parameter)
    real = torch.sigmoid(model.discriminator(torch.randn(9, 1)))
    fake = torch.sigmoid(model.discriminator(model(torch.rand(9, 1) * 2 - 1)))
    value = real.log().mean() + (1 - fake).log().mean()
    assert value.item() == pytest.approx(-2 * log(2), abs=1e-6)
    assert value.item() == pytest.approx(-1.3863, abs=1e-4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"noise_dim": 0}, "noise_dim=0"),
        ({"generator_widths": (5, 0)}, r"generator_widths=\(5, 0\)"),
        ({"discriminator_widths": (-1,)}, r"discriminator_widths=\(-1,\)"),
        ({"activation": "tahn"}, "did you mean 'tanh'"),
    ],
)
def test_mistakes_are_named(given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        GAN(**given)


def test_other_widths_are_refused():
    with pytest.raises(UsageError, match="in_features=1"):
        GAN()(torch.zeros(4, 2))
