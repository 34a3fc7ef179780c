"""LeNet-5: published sizes and counts, and what each part does."""

import pytest
import torch
from torch import nn

from didact.errors import UsageError
from didact.models.cnn.lenet import LeNet5

LAYERS = {  # name: output shape of one image, parameters (W7 of notes 004)
    "conv1": ((6, 28, 28), 156),
    "pool1": ((6, 14, 14), 0),
    "conv2": ((16, 10, 10), 2_416),
    "pool2": ((16, 5, 5), 0),
    "conv3": ((120, 1, 1), 48_120),
    "fc": ((84,), 10_164),
    "head": ((10,), 850),
}


def test_shapes_and_parameters_layer_by_layer():
    model, seen = LeNet5(), {}
    for name, module in model.named_children():
        module.register_forward_hook(lambda m, i, out, name=name: seen.update({name: tuple(out.shape[1:])}))
    model(torch.zeros(2, 1, 32, 32))
    for name, (shape, parameters) in LAYERS.items():
        assert seen[name] == shape
        assert sum(p.numel() for p in model.get_submodule(name).parameters()) == parameters
    assert " ".join(seen) == "conv1 act1 pool1 conv2 act2 pool2 conv3 act3 fc act4 head"


@pytest.mark.parametrize(
    ("given", "parameters"),
    [
        ({}, 61_706),  # "has 60k parameters", notes 001, section X.1
        ({"in_channels": 3}, 61_706 + 2 * 25 * 6),
        ({"num_classes": 26}, 61_706 + 16 * 85),
    ],
)
def test_parameters(given: dict, parameters: int):
    assert sum(p.numel() for p in LeNet5(**given).parameters()) == parameters


def test_maps_shrink_and_multiply():
    """multiview-features-hierarchy: deeper means smaller and more."""
    maps = [shape for shape, _ in LAYERS.values() if len(shape) == 3]
    assert [m[1] for m in maps] == sorted((m[1] for m in maps), reverse=True)
    assert [m[0] for m in maps] == sorted(m[0] for m in maps)


def test_equals_the_stack_written_out():
    torch.manual_seed(0)
    model, x = LeNet5(), torch.randn(2, 1, 32, 32)
    stack = nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, 10),
    )
    for mine, other in zip(model.parameters(), stack.parameters(), strict=True):
        other.data.copy_(mine.data)
    torch.testing.assert_close(model(x), stack(x))


def test_the_first_convolution_moves_with_the_image():
    conv, x = LeNet5().conv1, torch.zeros(1, 1, 32, 32)
    x[..., 8:20, 8:20] = torch.randn(12, 12)
    moved, expected = conv(x.roll((2, 3), dims=(2, 3))), conv(x).roll((2, 3), dims=(2, 3))
    torch.testing.assert_close(moved[..., 4:24, 4:24], expected[..., 4:24, 4:24])


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu"])
def test_activations(activation: str):
    acts = [m for name, m in LeNet5(activation=activation).named_children() if name.startswith("act")]
    assert [type(act).__name__.lower() for act in acts] == [activation] * 4


def test_channels_last_gives_the_same():
    model, x = LeNet5().eval(), torch.randn(2, 1, 32, 32)
    expected = model(x)
    out = model.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 1, 28, 28), "images of 28x28: LeNet-5 reads 32x32, resize them with image_size=32"),
        ((2, 1, 32, 30), "images of 32x30: LeNet-5 reads 32x32"),
        ((2, 3, 32, 32), r"images with 3 channels: .* built with in_channels=1, build it with in_channels=3"),
        ((1, 32, 32), r"input of shape \(1, 32, 32\)"),
    ],
)
def test_other_inputs_are_refused_with_the_fix(shape: tuple[int, ...], message: str):
    with pytest.raises(UsageError, match=message):
        LeNet5()(torch.zeros(shape))
