"""The digit network of the notes: W26 of notes 004, and what each part does."""

import pytest
import torch
from torch import nn

from didact.errors import UsageError
from didact.models.cnn.mnist_cnn import MnistCNN

LAYERS = {  # name: output shape of one image, parameters (W26 of notes 004)
    "conv1": ((32, 28, 28), 832),
    "pool1": ((32, 14, 14), 0),
    "conv2": ((64, 14, 14), 51_264),
    "pool2": ((64, 7, 7), 0),
    "head": ((10,), 31_370),
}


def test_shapes_and_parameters_layer_by_layer():
    """W26: 1x28x28 to conv1 32x28x28, pool1 32x14x14, conv2 64x14x14, pool2 64x7x7 = 3136."""
    model, seen = MnistCNN(), {}
    for name, module in model.named_children():
        module.register_forward_hook(lambda m, i, out, name=name: seen.update({name: tuple(out.shape[1:])}))
    model(torch.zeros(2, 1, 28, 28))
    for name, (shape, parameters) in LAYERS.items():
        assert seen[name] == shape
        assert sum(p.numel() for p in model.get_submodule(name).parameters()) == parameters
    assert " ".join(seen) == "conv1 act1 pool1 drop1 conv2 act2 pool2 drop2 drop3 head"
    assert model.head.in_features == 64 * 7 * 7 == 3136
    assert model.conv1.weight.shape == (32, 1, 5, 5)


@pytest.mark.parametrize(
    ("given", "parameters"),
    [
        ({}, 832 + 51_264 + 3137 * 10),
        ({"in_channels": 3}, 83_466 + 2 * 25 * 32),
        ({"num_classes": 26}, 83_466 + 16 * 3137),
        ({"image_size": 32}, 83_466 + (64 - 49) * 64 * 10),
        ({"image_size": 30}, 83_466),  # 30, 15, 7: a pooling drops what is odd
        ({"width": 0.5}, 16 * 26 + 32 * (16 * 25 + 1) + (32 * 49 + 1) * 10),
    ],
)
def test_parameters(given: dict, parameters: int):
    model = MnistCNN(**given)
    assert sum(p.numel() for p in model.parameters()) == parameters
    x = torch.zeros(2, model.in_channels, model.image_size, model.image_size)
    assert model(x).shape == (2, model.num_classes)


def test_equals_the_stack_written_out():
    torch.manual_seed(0)
    model, x = MnistCNN(), torch.randn(2, 1, 28, 28)
    stack = nn.Sequential(
        *(nn.Conv2d(1, 32, 5, padding="same"), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding="same"), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(3136, 10)),
    )
    for mine, other in zip(model.parameters(), stack.parameters(), strict=True):
        other.data.copy_(mine.data)
    torch.testing.assert_close(model(x), stack(x))


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_activations(activation: str):
    model = MnistCNN(activation=activation)
    assert [type(act).__name__.lower() for act in (model.act1, model.act2)] == [activation] * 2


def dropped(model: MnistCNN, layer: str) -> torch.Tensor:
    """What a layer gives in training, for an image of ones whose maps are nowhere 0 before it."""
    seen = []
    for conv in (model.conv1, model.conv2):
        nn.init.constant_(conv.weight, 0.01)
        nn.init.constant_(conv.bias, 1.0)
    model.get_submodule(layer).register_forward_hook(lambda m, i, out: seen.append(out))
    torch.manual_seed(0)
    model.train()(torch.ones(4, 1, 28, 28))
    return seen[0]


@pytest.mark.parametrize("layer", ["drop1", "drop2"])
def test_spatial_dropout_drops_whole_maps(layer: str):
    """dropout-spatial: each map of each image is all zero, or all there."""
    maps = (dropped(MnistCNN(spatial_dropout=0.5), layer) == 0).flatten(2)
    assert (maps.all(2) == maps.any(2)).all()
    assert 0.3 < maps.all(2).float().mean() < 0.7


def test_dropout_drops_single_numbers():
    zeros = dropped(MnistCNN(dropout=0.5), "drop3").view(4, 64, 49) == 0
    assert not zeros.all(2).any()
    assert 0.45 < zeros.float().mean() < 0.55
    assert not (dropped(MnistCNN(dropout=0.5), "drop2") == 0).any()


def test_dropout_acts_in_training_only():
    model, x = MnistCNN(dropout=0.5, spatial_dropout=0.5), torch.randn(2, 1, 28, 28)
    assert not torch.equal(model.train()(x), model(x))
    assert torch.equal(model.eval()(x), model(x))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_size": 3}, "^image_size=3: must be 4 or more"),
        ({"spatial_dropout": 1.0}, "^spatial_dropout=1.0: must be 0 or more and less than 1"),
        ({"dropout": -0.1}, "^dropout=-0.1: must be 0 or more"),
        ({"activation": "rellu"}, "did you mean 'relu'"),
    ],
)
def test_bad_arguments_are_refused_with_the_fix(given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        MnistCNN(**given)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 1, 32, 32), "images of 32x32: this MnistCNN was built with image_size=28"),
        ((2, 3, 28, 28), "images with 3 channels: .* built with in_channels=1"),
        ((1, 28, 28), r"input of shape \(1, 28, 28\)"),
    ],
)
def test_other_inputs_are_refused_with_the_fix(shape: tuple[int, ...], message: str):
    with pytest.raises(UsageError, match=message):
        MnistCNN()(torch.zeros(shape))
