"""MobileNet v1 and v2: the saving of separable convolutions, published names, counts and answers."""

import pytest
import torch
from published import answer, close, count, listed, on_paper, reference, seeded_weights
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from didact.models.cnn.mobilenet_v1 import MobileNetV1, SeparablePair
from didact.models.cnn.mobilenet_v2 import InvertedResidual, MobileNetV2


def flops(model: nn.Module, *shape: int) -> int:
    """Multiplications and additions of one example."""
    model, x = model.to("meta").eval(), torch.zeros(1, *shape, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(x)
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("channels", "ratio"),
    [(32, 0.14236), (64, 0.12674), (72, 0.125), (128, 0.11892), (256, 0.11502), (512, 0.11306)],
)
def test_w10_a_pair_costs_an_eighth_to_a_ninth(channels: int, ratio: float):
    """Notes 004, L1434: 1/D2 + 1/F^2."""
    pair = flops(SeparablePair(32, channels, stride=1), 32, 16, 16)
    standard = flops(nn.Conv2d(32, channels, 3, padding=1), 32, 16, 16)
    assert pair / standard == pytest.approx(1 / channels + 1 / 9)
    assert pair / standard == pytest.approx(ratio, abs=5e-6)


def test_w10_numbers():
    pair = SeparablePair(32, 64, stride=1)
    shape = (32, 112, 112)
    assert flops(nn.Conv2d(32, 64, 3, padding=1), *shape) == 462_422_016
    assert flops(pair.conv_dw, *shape) == 7_225_344
    assert flops(pair.conv_pw, *shape) == 51_380_224


def test_a_depthwise_filter_reads_one_map():
    torch.manual_seed(0)
    conv, x = SeparablePair(6, 4, stride=1).conv_dw, torch.randn(1, 6, 5, 5)
    other = x.clone()
    other[:, 2] += 1
    changed = (conv(x) != conv(other)).flatten(2).any(2)[0]
    assert changed.tolist() == [False, False, True, False, False, False]


def test_v1_names_shapes_and_parameters_are_timms():
    model = on_paper(MobileNetV1)
    assert listed(model) == reference("mobilenet-v1")
    assert count(model) == 4_231_976


def test_v1_answer_is_timms():
    """timm 1.0.31, ``mobilenetv1_100`` with these weights and this image."""
    assert close(answer(seeded_weights(on_paper(MobileNetV1)), 80), [-2.009, -0.936, -0.3004])


def test_v1_multiplications_of_the_paper():
    """569 million, and 149 million at half the width (tables 4 and 6)."""
    assert flops(MobileNetV1(), 3, 224, 224) / 2e6 == pytest.approx(569, abs=1)
    assert flops(MobileNetV1(width=0.5), 3, 224, 224) / 2e6 == pytest.approx(149, abs=1)


def test_v1_width_half_has_1_3_million_parameters():
    assert count(on_paper(lambda: MobileNetV1(width=0.5))) == pytest.approx(1.3e6, rel=0.03)


def test_v2_names_shapes_and_parameters_are_torchvisions():
    model = on_paper(MobileNetV2)
    assert listed(model) == reference("mobilenet-v2")
    assert count(model) == 3_504_872


def test_v2_answer_is_torchvisions():
    """torchvision 0.28.0 with these weights and this image."""
    assert close(answer(seeded_weights(on_paper(MobileNetV2)), 80), [-0.896, -1.9425, 4.5214])


def test_v2_multiplications_of_the_paper():
    """300 million (table 4)."""
    assert flops(MobileNetV2(), 3, 224, 224) / 2e6 == pytest.approx(300, abs=1)


def test_v2_joins_thin_ends_where_the_shape_stays():
    x = torch.randn(2, 16, 8, 8)
    same = InvertedResidual(16, 16, stride=1, expansion=6).eval()
    torch.testing.assert_close(same(x), x + same.conv(x))
    for other in (InvertedResidual(16, 24, 1, 6).eval(), InvertedResidual(16, 16, 2, 6).eval()):
        torch.testing.assert_close(other(x), other.conv(x))


def test_v2_projects_without_an_activation():
    """A block ends in a normalisation, so its answers are negative as often as positive."""
    torch.manual_seed(0)
    out = InvertedResidual(16, 24, stride=1, expansion=6)(torch.randn(4, 16, 8, 8))
    assert (out < 0).float().mean() == pytest.approx(0.5, abs=0.05)


def test_v2_does_not_narrow_its_last_convolution():
    assert MobileNetV2(width=0.5).classifier[1].in_features == 1280
    assert MobileNetV2(width=1.4).classifier[1].in_features == 1792


@pytest.mark.parametrize("network", [MobileNetV1, MobileNetV2])
@pytest.mark.parametrize("side", [1, 33, 64])
def test_any_size(network: type[nn.Module], side: int):
    assert network(num_classes=4, width=0.05).eval()(torch.zeros(1, 3, side, side)).shape == (1, 4)
