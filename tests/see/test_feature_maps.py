"""Feature maps: what each layer gives, of one image, and a model that is left as it was."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from didact.errors import UsageError
from didact.models.cnn.mnist_cnn import MnistCNN
from didact.models.cnn.resnet import ResNet
from didact.see.feature_maps import feature_maps

LAYERS = ("conv1", "pool1", "conv2", "pool2")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_maps_of_the_notes():
    """viz-feature-maps: 32x28x28, 32x14x14, 64x14x14, 64x7x7, each what its layer gives."""
    model, image = MnistCNN(), torch.randn(1, 28, 28)
    found = feature_maps(model, image, LAYERS)
    assert found.shapes == {
        "conv1": (32, 28, 28),
        "pool1": (32, 14, 14),
        "conv2": (64, 14, 14),
        "pool2": (64, 7, 7),
    }
    conv1 = F.conv2d(image[None], model.conv1.weight, model.conv1.bias, padding=2)
    torch.testing.assert_close(found.maps["conv1"], conv1[0])
    pool1 = F.max_pool2d(conv1.relu(), 2)
    torch.testing.assert_close(found.maps["pool1"], pool1[0])
    assert torch.equal(feature_maps(model, image[None], LAYERS).maps["pool2"], found.maps["pool2"])


def everything(model: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in model.state_dict().values()]


def test_the_model_is_left_as_it_was():
    model = ResNet(depth=10, in_channels=1, num_classes=3, width=0.125, stem="cifar").train()
    model.layer2.eval()  # a part that is frozen, say
    modes = [module.training for module in model.modules()]
    before, random = everything(model), torch.get_rng_state()
    image = torch.randn(1, 16, 16, requires_grad=True)
    random = torch.get_rng_state()
    found = feature_maps(model, image, ["layer1", "layer4.0.conv1"])
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(a, b) for a, b in zip(before, everything(model), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), random)
    assert not found.maps["layer1"].requires_grad


def test_hooks_are_taken_off_where_the_model_fails():
    model = MnistCNN().train()
    with pytest.raises(UsageError, match="images of 20x20"):
        feature_maps(model, torch.zeros(1, 20, 20), LAYERS)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_dropout_is_off():
    model, image = MnistCNN(spatial_dropout=0.5).train(), torch.randn(1, 28, 28)
    first, second = (feature_maps(model, image, ["drop1"]).maps["drop1"] for _ in range(2))
    assert torch.equal(first, second)


def test_silent_maps_are_counted():
    model = MnistCNN()
    nn.init.zeros_(model.conv1.weight[:5].data)
    found = feature_maps(model, torch.randn(1, 28, 28), ["conv1"])
    assert found.silent("conv1") == 5
    values = json.loads(json.dumps(found.to_dict()))["conv1"]
    assert (values["shape"], values["silent"]) == ([32, 28, 28], 5)
    assert str(found) == "conv1: 32 maps of 28x28, 5 silent"


class Idle(nn.Module):
    """A model with a part that it does not use."""

    def __init__(self):
        super().__init__()
        self.used, self.idle = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x)


@pytest.mark.parametrize(
    ("model", "shape", "layer", "message"),
    [
        (MnistCNN(), (1, 28, 28), "conv9", "^layer='conv9': unknown, did you mean 'conv"),
        (MnistCNN(), (1, 28, 28), "head", r"^layer='head': gives shape \(1, 10\), not maps"),
        (MnistCNN(), (2, 1, 28, 28), "conv1", r"^image of shape \(2, 1, 28, 28\): one image is shown"),
        (MnistCNN(), (28, 28), "conv1", "one image is shown"),
        (Idle(), (1, 8, 8), "idle", "^layer='idle': has no part in the model's answer"),
    ],
)
def test_what_cannot_be_shown_is_refused(model: nn.Module, shape: tuple[int, ...], layer: str, message: str):
    with pytest.raises(UsageError, match=message):
        feature_maps(model, torch.zeros(shape), [layer])
