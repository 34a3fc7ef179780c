"""The standard network from numbers: sizes layer by layer, what each part does, the networks it resembles."""

import pytest
import torch
from torch import nn

import didact
from didact.errors import UsageError
from didact.models.cnn.cnn import CNN
from didact.models.cnn.mnist_cnn import MnistCNN
from didact.models.cnn.vgg import VGG


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def shapes(model: nn.Module, layers: list[str]) -> list[tuple[int, ...]]:
    """What each layer gives of one image."""
    seen: dict[str, tuple[int, ...]] = {}
    for name in layers:
        model.get_submodule(name).register_forward_hook(
            lambda m, i, out, name=name: seen.update({name: tuple(out.shape[1:])})
        )
    model(torch.zeros(2, model.in_channels, model.image_size, model.image_size))
    return [seen[name] for name in layers]


def test_sizes_layer_by_layer():
    """H x W x C_in to H x W x C_out by a convolution, to H/N x W/N x C_out by a pooling (notes 002)."""
    layers = ["blocks.block1.conv1", "blocks.block1.pool", "blocks.block2.conv1", "blocks.block2.pool"]
    assert shapes(CNN(), [*layers, "connected", "head"]) == [
        (32, 32, 32),
        (32, 16, 16),
        (64, 16, 16),
        (64, 8, 8),
        (128,),
        (10,),
    ]
    odd = CNN(maps=(4, 5, 6), pool=3, image_size=30, in_channels=1)  # 30, 10, 3, 1
    assert shapes(odd, [f"blocks.block{k}.pool" for k in (1, 2, 3)]) == [(4, 10, 10), (5, 3, 3), (6, 1, 1)]


@pytest.mark.parametrize(
    ("given", "parameters"),
    [
        ({}, 28 * 32 + (9 * 32 + 1) * 64 + 4097 * 128 + 129 * 10),
        ({"batch_norm": True}, 545_098 + 32 + 64),  # a scale and a shift for each bias
        ({"widths": ()}, 28 * 32 + 289 * 64 + 4097 * 10),
        ({"widths": (50, 20)}, 28 * 32 + 289 * 64 + 4097 * 50 + 51 * 20 + 21 * 10),
        ({"convs_per_block": 2}, 545_098 + (9 * 32 + 1) * 32 + (9 * 64 + 1) * 64),
        ({"kernel": 5, "in_channels": 1}, 26 * 32 + (25 * 32 + 1) * 64 + 4097 * 128 + 1290),
        ({"pool": 1, "maps": (8,), "image_size": 8}, 28 * 8 + (8 * 64 + 1) * 128 + 1290),
    ],
)
def test_parameters_on_paper(given: dict, parameters: int):
    assert count(CNN(**given)) == parameters


def test_a_block_is_convolution_norm_activation_pooling():
    """conv-block-pattern: features are found first, and the strongest is picked directly after."""
    model = CNN(batch_norm=True, convs_per_block=2, activation="elu", pooling="average", pool=3)
    assert [(name, type(layer)) for name, layer in model.blocks.block1.named_children()] == [
        ("conv1", nn.Conv2d),
        ("norm1", nn.BatchNorm2d),
        ("act1", nn.ELU),
        ("conv2", nn.Conv2d),
        ("norm2", nn.BatchNorm2d),
        ("act2", nn.ELU),
        ("pool", nn.AvgPool2d),
    ]
    assert list(model.blocks) == [model.blocks.block1, model.blocks.block2]
    assert [name for name, _ in model.connected.named_children()] == [
        "flatten",
        "drop1",
        "linear1",
        "act1",
        "drop",
    ]


def test_convolutions_find_and_poolings_pick():
    """conv-vs-pool-roles: a convolution answers where its feature is, a pooling keeps the strongest."""
    model = CNN(maps=(1,), in_channels=1, image_size=8, widths=())
    nn.init.zeros_(model.blocks.block1.conv1.bias)
    model.blocks.block1.conv1.weight.data = torch.tensor([[[[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]]])
    image = torch.zeros(1, 1, 8, 8)
    image[..., 3:] = 1  # an edge
    found = model.blocks.block1[:2](image)[0, 0, 4]
    picked = model.blocks(image)[0, 0, 2]
    assert found.tolist() == [0, 0, 4, 4, 0, 0, 0, 0]
    assert picked.tolist() == [0, 4, 0, 0]
    assert not list(model.blocks.block1.pool.parameters())


def copied(model: nn.Module, other: nn.Module) -> None:
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        mine.data.copy_(theirs.data.reshape(mine.shape))


def test_set_to_the_digit_network_it_is_the_digit_network():
    torch.manual_seed(0)
    model, other = CNN(kernel=5, widths=(), in_channels=1, image_size=28), MnistCNN()
    copied(model, other)
    x = torch.randn(2, 1, 28, 28)
    assert count(model) == 83_466
    assert torch.equal(model(x), other(x))


def test_two_convolutions_a_block_are_the_first_stages_of_vgg():
    torch.manual_seed(0)
    vgg = VGG(depth=13, width=0.125)
    model = CNN(maps=(8, 16, 32, 64, 64), convs_per_block=2, widths=())
    copied(model.blocks, vgg.features)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(model.blocks(x), vgg.features(x))


def test_most_parameters_are_in_the_first_connected_layer():
    """cnn-fc-head, and notes 002: "most of the parameters are present in the first FC layer"."""
    model = CNN()
    assert count(model.connected) / count(model) > 0.96


def test_average_pooling_averages():
    model = CNN(maps=(1,), in_channels=1, image_size=2, pooling="average", widths=())
    assert model.blocks.block1.pool(torch.tensor([[[[1.0, 2], [3, 6]]]])).item() == 3


def test_dropout_acts_in_training_alone():
    model, x = CNN(dropout=0.5, image_size=8), torch.randn(2, 3, 8, 8)
    assert not torch.equal(model.train()(x), model(x))
    assert torch.equal(model.eval()(x), model(x))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"maps": ()}, r"^maps=\(\): one block or more"),
        ({"maps": (8, 0)}, r"^maps=\(8, 0\): one block or more, each with 1 map"),
        ({"kernel": 4}, "^kernel=4: must be odd, so that padding keeps the size, try 5$"),
        ({"pooling": "averag"}, "^pooling='averag': unknown, did you mean 'average'"),
        ({"widths": (4, 0)}, r"^widths=\(4, 0\): each connected layer needs"),
        ({"image_size": 3}, "^image_size=3: 2 poolings by 2 leave nothing, give 4 or more$"),
        ({"activation": "rellu"}, "did you mean 'relu'"),
    ],
)
def test_bad_arguments_are_refused_with_the_fix(given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        CNN(**given)


def test_images_of_another_size_are_refused():
    with pytest.raises(UsageError, match=r"^images of 28x28: this CNN was built with image_size=32, resize"):
        didact.build("cnn")(torch.zeros(1, 3, 28, 28))
