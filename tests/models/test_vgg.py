"""VGG: W23 of notes 002 and 004 stage by stage, W8 of notes 001, torchvision's names, counts and answer."""

import pytest
import torch
from published import answer, close, count, listed, on_paper, reference, seeded_weights
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from didact.errors import UsageError
from didact.models.cnn.vgg import SIZES, VGG

PARAMETERS = {  # depth: without and with batch normalisation
    11: (132_863_336, 132_868_840),
    13: (133_047_848, 133_053_736),
    16: (138_357_544, 138_365_992),
    19: (143_667_240, 143_678_248),
}


def outputs(model: nn.Module, side: int = 224) -> list[tuple[nn.Module, tuple[int, ...]]]:
    """Each layer with the shape of one example of its output."""
    seen = []
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(
                lambda module, args, out: seen.append((module, tuple(out.shape[1:])))
            )
    model(torch.zeros(1, 3, side, side, device="meta"))
    return seen


@pytest.mark.parametrize("depth", SIZES)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_names_shapes_and_parameters_are_torchvisions(depth: int, batch_norm: bool):
    model = on_paper(lambda: VGG(depth, batch_norm))
    assert listed(model) == reference(f"vgg{depth}{'-bn' if batch_norm else ''}")
    assert count(model) == PARAMETERS[depth][batch_norm]
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


@pytest.mark.slow  # half a gigabyte
def test_the_answer_is_torchvisions():
    """torchvision 0.28.0, ``vgg11_bn`` with these weights and this image."""
    model = seeded_weights(on_paper(lambda: VGG(11, batch_norm=True)))
    assert close(answer(model, 48), [2.4248, 10.9401, 1.7628])


def test_w23_vgg16():
    model = on_paper(VGG)
    linear = [count(m) for m in model.classifier if isinstance(m, nn.Linear)]
    assert count(model.features) == 14_714_688
    assert linear == [102_764_544, 16_781_312, 4_097_000]
    assert sum(linear) == 123_642_856
    assert count(model) == 138_357_544
    assert linear[0] / count(model) == pytest.approx(0.743, abs=5e-4)


def test_w23_maps_shrink_and_multiply():
    seen = outputs(on_paper(VGG))
    pooled = [shape for module, shape in seen if isinstance(module, nn.MaxPool2d)]
    assert pooled == [(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7)]
    assert 512 * 7 * 7 == 25_088 == next(m.in_features for m, _ in seen if isinstance(m, nn.Linear))


def test_w23_memory_is_spent_early():
    """Floats of the input, the convolutions and the poolings: 47.4 % before the second stage."""
    kinds = nn.Conv2d | nn.MaxPool2d
    sizes = [torch.Size(shape).numel() for m, shape in outputs(on_paper(VGG)) if isinstance(m, kinds)]
    total = 3 * 224 * 224 + sum(sizes)
    assert total == 15_228_416
    assert sum(sizes[:3]) / total == pytest.approx(0.474, abs=5e-4)


def test_w23_flops_of_the_convolutions():
    model = on_paper(VGG)
    with FlopCounterMode(display=False) as counter:
        model.features(torch.zeros(1, 3, 224, 224, device="meta"))
    assert counter.get_total_flops() == 30_693_261_312


@pytest.mark.parametrize(("layers", "side"), [(1, 3), (2, 5), (3, 7)])
def test_w8_stacked_small_filters_see_as_far_as_a_large_one(layers: int, side: int):
    """Notes 001, section IX.5: the support of a gradient. Three 3x3 have 27 weights, 7x7 has 49."""
    stack = nn.Sequential(*(nn.Conv2d(1, 1, 3, bias=False) for _ in range(layers)))
    for weight in stack.parameters():
        nn.init.ones_(weight)
    x = torch.zeros(1, 1, 11, 11, requires_grad=True)
    out = stack(x)
    out[0, 0, out.shape[2] // 2, out.shape[3] // 2].backward()
    assert torch.count_nonzero(x.grad) == side**2
    assert count(stack) == 9 * layers


def test_other_inputs_are_refused_with_the_fix():
    model = VGG(11, num_classes=4, width=0.03)
    assert model(torch.zeros(1, 3, 45, 32)).shape == (1, 4)
    with pytest.raises(UsageError, match=r"images of 31x40: .* 32x32 or more"):
        model(torch.zeros(1, 3, 31, 40))
    with pytest.raises(UsageError, match="depth=12: choose from 11, 13, 16, 19"):
        VGG(depth=12)
