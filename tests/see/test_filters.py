"""Filters read off a model: the numbers of its weights, and nothing of it changed."""

import json

import pytest
import torch
from torch import nn

from didact.errors import UsageError
from didact.models.cnn.mnist_cnn import MnistCNN
from didact.see.filters import filters


@pytest.mark.parametrize(("layer", "shape"), [("conv1", (32, 1, 5, 5)), ("conv2", (64, 32, 5, 5))])
def test_filters_are_the_weights(layer: str, shape: tuple[int, ...]):
    """viz-conv1-weights: 32 tiles of 5x5."""
    model = MnistCNN()
    found = filters(model, layer)
    assert found.shape == shape
    assert torch.equal(found.weights, model.get_submodule(layer).weight)
    assert torch.equal(found.bias, model.get_submodule(layer).bias)
    assert torch.equal(found.channel(), found.weights[:, 0])


def test_filters_are_a_copy():
    model = MnistCNN().to(memory_format=torch.channels_last)
    found = filters(model, "conv1")
    before = found.weights.clone()
    nn.init.zeros_(model.conv1.weight)
    assert torch.equal(found.weights, before)
    assert not found.weights.requires_grad


def test_plain_values():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False))
    found = filters(model, "0")
    values = json.loads(json.dumps(found.to_dict()))
    assert (values["shape"], values["bias"]) == ([4, 3, 3, 3], None)
    assert torch.equal(torch.tensor(values["weights"]), found.weights)
    assert str(filters(MnistCNN(), "conv1")).startswith("conv1: 32 filters of 5x5 over a channel, weights -")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("conv3", "^layer='conv3': unknown, did you mean 'conv"),
        ("head", "^layer='head': a Linear has no filters, choose a convolution: conv1, conv2$"),
    ],
)
def test_other_layers_are_refused(layer: str, message: str):
    with pytest.raises(UsageError, match=message):
        filters(MnistCNN(), layer)


def test_a_model_without_convolutions_says_so():
    with pytest.raises(UsageError, match="the model has no convolution"):
        filters(nn.Sequential(nn.Linear(2, 2)), "conv1")


def test_a_channel_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match=r"^channel=1: conv1 reads channels 0 to 0$"):
        filters(MnistCNN(), "conv1").channel(1)
