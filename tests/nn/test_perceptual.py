"""Perceptual loss: its formula, what it leaves alone, and where the gradient goes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import didact
from didact.errors import UsageError
from didact.models.cnn.vgg import VGG
from didact.nn.perceptual import FeatureDistance

LAYERS = ["features.1", "features.7"]


@pytest.fixture
def vgg() -> VGG:
    torch.manual_seed(0)
    return VGG(depth=16, width=0.125, num_classes=10)


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 2, 3, 32, 32, generator=generator)
    return first, second


def test_it_is_its_formula(vgg: VGG, images):
    x, y = images
    vgg.eval()
    expected = 0.0
    for weight, depth in ((1.0, 2), (0.5, 8)):
        first, second = vgg.features[:depth](x), vgg.features[:depth](y)
        expected += weight * (first - second).square().sum() / first[0].numel() / len(x)
    found = FeatureDistance(vgg, {"features.1": 1.0, "features.7": 0.5})(x, y)
    torch.testing.assert_close(found, expected)


def test_equal_images_have_no_distance(vgg: VGG, images):
    distance = FeatureDistance(vgg, LAYERS)
    assert distance(images[0], images[0].clone()).item() == 0
    assert distance(*images).item() > 0
    torch.testing.assert_close(distance(*images), distance(*images[::-1]))


def test_the_gradient_goes_to_the_images_and_not_to_the_weights(vgg: VGG, images):
    x, y = images[0].requires_grad_(), images[1]
    distance = FeatureDistance(vgg, LAYERS)
    distance(x, y).backward()
    assert x.grad.isfinite().all()
    assert (x.grad.abs().sum((1, 2, 3)) > 0).all()
    assert not any(parameter.requires_grad for parameter in distance.parameters())
    assert all(parameter.grad is None for parameter in vgg.parameters())


def test_descending_it_brings_an_image_closer(vgg: VGG, images):
    x, y = images[0].requires_grad_(), images[1]
    distance = FeatureDistance(vgg, LAYERS)
    before = distance(x, y).item()
    optimizer = torch.optim.Adam([x], lr=0.02)
    for _ in range(30):
        optimizer.zero_grad()
        distance(x, y).backward()
        optimizer.step()
    assert distance(x, y).item() < 0.3 * before


def test_the_network_that_is_given_is_left_as_it_was(vgg: VGG, images):
    vgg.train()
    vgg.classifier.eval()
    modes = [module.training for module in vgg.modules()]
    distance = FeatureDistance(vgg, LAYERS).train()
    distance(*images)
    assert [module.training for module in vgg.modules()] == modes
    assert all(parameter.requires_grad for parameter in vgg.parameters())
    assert not any(module._forward_hooks for module in [*vgg.modules(), *distance.modules()])
    before = distance(*images)
    torch.nn.init.zeros_(vgg.features[0].weight)  # a copy does not notice
    assert torch.equal(distance(*images), before)


def test_the_network_stays_in_evaluation_mode(images):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    distance = FeatureDistance(network, ["2"]).train()
    assert distance.training
    assert not any(module.training for module in distance.model.modules())
    assert torch.equal(distance(*images), distance(*images))
    assert distance.model[1].num_batches_tracked == 0


def test_a_layer_in_place_does_not_overwrite_the_features_before_it(images):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
    expected = F.mse_loss(network[0](images[0]), network[0](images[1]))
    torch.testing.assert_close(FeatureDistance(network, ["0"])(*images), expected)
    assert network[1].inplace


def test_any_network_of_the_catalogue_serves(images):
    model = didact.build("resnet18", num_classes=10, width=0.125, stem="cifar")
    assert FeatureDistance(model, ["layer1", "layer3.0"])(*images).item() > 0


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["features.0x"], r"^layer='features.0x': unknown, did you mean 'features\.\d+'"),
        ([], r"^layers=\(\): give the name of one layer or more$"),
        ({"features.1": -1.0}, r"^weight=-1.0 of features.1: must be more than 0"),
    ],
)
def test_what_is_no_layer_is_refused(vgg: VGG, layers, message: str):
    with pytest.raises(UsageError, match=message):
        FeatureDistance(vgg, layers)


def test_images_of_two_shapes_are_refused(vgg: VGG):
    with pytest.raises(
        UsageError, match=r"^images of shapes \(1, 3, 32, 32\) and \(2, 3, 32, 32\): must be alike$"
    ):
        FeatureDistance(vgg, LAYERS)(torch.zeros(1, 3, 32, 32), torch.zeros(2, 3, 32, 32))


def test_a_layer_that_is_not_run_is_refused(images):
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    with pytest.raises(UsageError, match=r"^layer='idle': gives no features of the images"):
        FeatureDistance(Idle(), ["idle"])(*images)
