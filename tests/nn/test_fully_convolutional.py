"""Connected heads read as convolutions: the same answer, and one for every part of a larger image."""

import pytest
import torch
from torch import Tensor, nn

from didact.errors import UsageError
from didact.models.cnn.alexnet import AlexNet
from didact.models.cnn.lenet import LeNet5
from didact.models.cnn.vgg import VGG
from didact.nn.fully_convolutional import fully_convolutional, linear_to_convolution


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_a_convolution_that_covers_the_maps(bias: bool):
    """fc-to-conv (001, section X.8)."""
    linear, maps = nn.Linear(3 * 4 * 5, 7, bias=bias).double(), torch.randn(2, 3, 4, 5).double()
    layer = linear_to_convolution(linear, (3, 4, 5))
    torch.testing.assert_close(layer(maps), linear(maps.flatten(1))[:, :, None, None])
    assert layer(torch.zeros(1, 3, 6, 9).double()).shape == (1, 7, 3, 5)
    with torch.no_grad():
        linear.weight.zero_()
    assert layer.weight.abs().min() > 0  # a copy


def lenet_layers(model: LeNet5) -> tuple[nn.Sequential, nn.Sequential]:
    maps = (
        model.conv1,
        model.act1,
        model.pool1,
        model.conv2,
        model.act2,
        model.pool2,
        model.conv3,
        model.act3,
    )
    return nn.Sequential(*maps), nn.Sequential(nn.Flatten(), model.fc, model.act4, model.head)


def test_lenet_reads_a_page_as_it_reads_each_digit():
    """Valid convolutions only: the score at (i, j) is the network's answer to 32x32 pixels from (4i, 4j)."""
    model = LeNet5()
    features, head = lenet_layers(model)
    sliding = fully_convolutional(head, (120, 1, 1))
    page = torch.randn(2, 1, 44, 52)
    scores: Tensor = sliding(features(page))
    assert scores.shape == (2, 10, 4, 6)
    for i in range(4):
        for j in range(6):
            alone = model(page[:, :, 4 * i : 4 * i + 32, 4 * j : 4 * j + 32])
            torch.testing.assert_close(scores[:, :, i, j], alone)


@pytest.mark.parametrize(
    ("model", "side", "larger", "places"),
    [
        (VGG(depth=11, num_classes=4, width=0.05), 224, 288, 3),
        (AlexNet(num_classes=4, width=0.05), 224, 288, 3),
    ],
    ids=["vgg", "alexnet"],
)
def test_a_padded_network_gives_its_answer_at_its_size_and_a_map_above(
    model, side: int, larger: int, places: int
):
    """There the adaptive pooling before the head, which hides the size, does nothing and is left out."""
    model.eval()
    with torch.no_grad():
        image = torch.randn(1, 3, side, side)
        maps = model.features(image)
        sliding = fully_convolutional(model.classifier, tuple(maps.shape[1:]))
        torch.testing.assert_close(sliding(maps)[:, :, 0, 0], model(image))
        assert sliding(model.features(torch.randn(1, 3, larger, larger))).shape == (1, 4, places, places)


def test_dropout_stays_and_follows_the_mode_of_the_head():
    head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 8), nn.PReLU(), nn.Linear(8, 3)).eval()
    sliding, maps = fully_convolutional(head, (2, 2, 2)), torch.randn(4, 2, 2, 2)
    assert not any(layer.training for layer in sliding.modules())
    torch.testing.assert_close(sliding(maps).flatten(1), head(maps))
    assert isinstance(sliding[0], nn.Dropout)


@pytest.mark.parametrize(
    "layer", [nn.BatchNorm1d(8), nn.Softmax(dim=1), nn.LayerNorm(8), nn.Unflatten(1, (2, 4))]
)
def test_layers_for_which_a_map_is_something_else_are_refused(layer: nn.Module):
    head = nn.Sequential(nn.Flatten(), nn.Linear(8, 8), layer)
    with pytest.raises(
        UsageError, match=f"^layer {type(layer).__name__}: not known to act on each number alone"
    ):
        fully_convolutional(head, (2, 2, 2))


def test_maps_of_another_size_are_refused():
    with pytest.raises(UsageError, match=r"^shape=\(2, 2, 3\): has 12 numbers, the linear layer reads 8$"):
        linear_to_convolution(nn.Linear(8, 3), (2, 2, 3))
