"""AlexNet: W8 of notes 004 layer by layer, the halves of 2012, and torchvision's network of 2014."""

import pytest
import torch
from published import answer, close, count, listed, on_paper, reference, seeded_weights
from torch import Tensor, nn

from didact.errors import UsageError
from didact.models.cnn.alexnet import AlexNet, AlexNet2012
from didact.nn.lrn import LocalResponseNorm

W8 = {  # the notes' table: parameters with biases, side of the maps
    "conv1": (34_944, 55),
    "conv2": (614_656, 27),
    "conv3": (885_120, 13),
    "conv4": (1_327_488, 13),
    "conv5": (884_992, 13),
    "fc6": (37_752_832, None),
    "fc7": (16_781_312, None),
    "head": (4_097_000, None),
}


def layers_of(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def sides(model: nn.Module, side: int) -> list[tuple[str, int]]:
    """The side of the maps after each convolution and pooling."""
    x, seen = torch.zeros(1, 3, side, side, device="meta"), []
    for layer in model.features:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            seen.append((type(layer).__name__, x.shape[2]))
    return seen


def test_w8_one_tower_layer_by_layer():
    model = on_paper(AlexNet2012)
    assert [count(layer) for layer in layers_of(model)] == [parameters for parameters, _ in W8.values()]
    assert count(model) == 62_378_344
    assert count(model.features) == 3_747_200
    assert count(model.classifier) == 58_631_144
    convolved = [side for kind, side in sides(model, 227) if kind == "Conv2d"]
    assert convolved == [side for _, side in W8.values() if side]
    assert [side for _, side in sides(model, 227)] == [55, 27, 27, 13, 13, 13, 13, 6]


def test_w8_two_halves():
    model = on_paper(lambda: AlexNet2012(groups=2))
    conv = [count(layer) for layer in layers_of(model)[:5]]
    assert conv == [34_944, 307_456, 885_120, 663_936, 442_624]
    assert sum(conv) == 2_334_080
    assert count(model) == 60_965_224  # "60 million"


def test_e29_an_input_of_224_does_not_leave_55():
    """(224 - 11) / 4 + 1 = 54.25: 002 prints 224 where 55 wants 227, or a padding of 2 as torchvision has."""
    assert sides(on_paper(AlexNet2012), 224)[0] == ("Conv2d", 54)
    assert sides(on_paper(AlexNet), 224)[0] == ("Conv2d", 55)


def test_650_thousand_units():
    """Notes 001, section X.2: 650K units, 60M parameters, seven hidden layers."""
    maps, model = [], on_paper(AlexNet2012)
    for layer in layers_of(model):
        layer.register_forward_hook(lambda module, args, out: maps.append(out[0].numel()))
    model(torch.zeros(1, 3, 227, 227, device="meta"))
    assert sum(maps) == 659_272  # with the thousand of the head
    assert len(maps) - 1 == 7


def test_a_half_does_not_see_the_other_but_in_conv3():
    torch.manual_seed(0)
    conv1, conv2, conv3, *_ = layers_of(AlexNet2012(groups=2, width=0.1))
    x = torch.randn(1, conv1.out_channels, 5, 5)
    other = x.clone()
    other[:, conv1.out_channels // 2 :] += 1
    half = conv2.out_channels // 2
    assert torch.equal(conv2(x)[:, :half], conv2(other)[:, :half])
    assert not torch.allclose(conv2(x)[:, half:], conv2(other)[:, half:])
    assert conv3.groups == 1


def test_normalisation_comes_before_pooling_after_the_first_two():
    kinds = [type(layer) for layer in AlexNet2012(width=0.1).features]
    assert kinds.count(LocalResponseNorm) == 2
    for at in (i for i, kind in enumerate(kinds) if kind is LocalResponseNorm):
        assert kinds[at - 2 : at + 2] == [nn.Conv2d, nn.ReLU, LocalResponseNorm, nn.MaxPool2d]


def test_names_and_shapes_are_torchvisions():
    model = on_paper(AlexNet)
    assert listed(model) == reference("alexnet")
    assert count(model) == 61_100_840


def test_the_answer_is_torchvisions():
    """torchvision 0.28.0 with these weights and this image."""
    assert close(answer(seeded_weights(on_paper(AlexNet)), 80), [0.4264, -6.6646, 5.1649])


@pytest.mark.parametrize("side", [63, 65, 97])
def test_any_size_from_63(side: int):
    assert AlexNet(num_classes=4, width=0.03)(torch.zeros(1, 3, side, side)).shape == (1, 4)


@pytest.mark.parametrize(
    ("network", "x", "message"),
    [
        (AlexNet, torch.zeros(1, 3, 62, 64), "images of 62x64: .* 63x63 or more"),
        (AlexNet2012, torch.zeros(1, 3, 66, 66), "images of 66x66: .* 67x67 or more"),
        (AlexNet, torch.zeros(1, 1, 64, 64), "images with 1 channels: .*in_channels=3"),
    ],
)
def test_other_inputs_are_refused_with_the_fix(network: type[nn.Module], x: Tensor, message: str):
    with pytest.raises(UsageError, match=message):
        network(width=0.03)(x)


def test_two_gpus_no_more():
    with pytest.raises(UsageError, match="groups=3: choose 1"):
        AlexNet2012(groups=3)
