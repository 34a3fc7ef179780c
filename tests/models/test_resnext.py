"""ResNeXt: torchvision's names, counts and answers; a grouped bottleneck is a sum of paths."""

import pytest
import torch
from published import answer, close, count, listed, on_paper, reference, seeded_weights
from torch import nn
from torch.nn import functional as F

import didact
from didact.models.cnn.resnet import ResNet
from didact.models.cnn.resnext import ResNeXt
from didact.nn.residual import Bottleneck


@pytest.mark.parametrize(
    ("name", "parameters"), [("resnext50-32x4d", 25_028_904), ("resnext101-32x8d", 88_791_336)]
)
def test_the_published_network(name: str, parameters: int):
    model = on_paper(lambda: didact.build(name.replace("-", "_")))
    assert count(model) == parameters
    assert listed(model) == reference(name)


def test_it_answers_as_torchvisions():
    recorded = [1297.69507, -2445.12988, 2065.40186]
    assert close(answer(seeded_weights(on_paper(ResNeXt)), side=64), recorded)


def test_one_group_of_64_is_resnet():
    one = on_paper(lambda: ResNeXt(50, cardinality=1, group_width=64))
    assert listed(one) == listed(on_paper(lambda: ResNet(50)))


def test_groups_and_their_width_by_stage():
    model = on_paper(lambda: ResNeXt(50, cardinality=32, group_width=4))
    convs = [getattr(model, f"layer{k}")[0].conv2 for k in range(1, 5)]
    assert [conv.groups for conv in convs] == [32] * 4
    assert [conv.weight.shape[1] for conv in convs] == [4, 8, 16, 32]


def test_a_grouped_bottleneck_is_a_sum_of_paths():
    """Figure 3 of the paper: (a) split, transform, add up equals (c) one grouped convolution."""
    torch.manual_seed(0)
    paths, x = 4, torch.randn(2, 16, 6, 6)
    block = Bottleneck(16, 16, inner=8, groups=paths).eval()
    total = torch.zeros_like(x)
    for path in range(paths):
        mine = slice(2 * path, 2 * path + 2)  # the two inner maps of this path
        inner = F.conv2d(x, block.conv1.weight[mine]) / (1 + 1e-5) ** 0.5  # the untrained norms only divide
        inner = F.conv2d(inner.relu(), block.conv2.weight[mine], padding=1) / (1 + 1e-5) ** 0.5
        total += F.conv2d(inner.relu(), block.conv3.weight[:, mine])
    torch.testing.assert_close(block(x), (total / (1 + 1e-5) ** 0.5 + x).relu())


def test_it_costs_as_much_as_resnet():
    grouped, plain = Bottleneck(256, 256, inner=128, groups=32), Bottleneck(256, 256, inner=64)
    weights = [
        sum(m.weight.numel() for m in block.modules() if isinstance(m, nn.Conv2d))
        for block in (grouped, plain)
    ]
    assert weights == [70_144, 69_632]
