"""Wide residual networks: the paper's counts for CIFAR, torchvision's names for ImageNet."""

import pytest
import torch
from published import answer, close, count, listed, on_paper, reference, seeded_weights
from torch import nn

import didact
from didact.errors import UsageError
from didact.models.cnn.resnet import ResNet
from didact.models.cnn.wide_resnet import WRN, PreActivation, WideResNet


@pytest.mark.parametrize(
    ("depth", "widen", "millions"),
    [(40, 1, 0.6), (40, 2, 2.2), (40, 4, 8.9), (28, 10, 36.5), (28, 12, 52.5), (22, 8, 17.2), (16, 8, 11.0)],
)
def test_parameters_as_in_the_paper(depth: int, widen: int, millions: float):
    assert round(count(on_paper(lambda: WRN(depth, widen))) / 1e6, 1) == millions


def test_parameters_of_wrn_28_10():
    assert count(on_paper(lambda: didact.build("wrn28_10"))) == 36_479_194


@pytest.mark.parametrize(("depth", "parameters"), [(50, 68_883_240), (101, 126_886_696)])
def test_the_published_network(depth: int, parameters: int):
    model = on_paper(lambda: didact.build(f"wide_resnet{depth}_2"))
    assert count(model) == parameters
    assert listed(model) == reference(f"wide-resnet{depth}-2")


@pytest.mark.slow
def test_it_answers_as_torchvisions():
    recorded = [-174.75146, 5153.74463, -3340.94238]
    assert close(answer(seeded_weights(on_paper(WideResNet)), side=64), recorded)


def test_one_as_wide_is_the_thin_network():
    assert listed(on_paper(lambda: WideResNet(50, widen=1))) == listed(on_paper(lambda: ResNet(50)))


@pytest.mark.parametrize("depth", [16, 28])
def test_depth_counts_the_convolutions(depth: int):
    modules = on_paper(lambda: WRN(depth, 2)).modules()
    assert sum(isinstance(module, nn.Conv2d) for module in modules) == depth


def test_maps_by_stage():
    with torch.device("meta"):
        model = WRN(28, 10)
        x = model.conv1(torch.zeros(1, 3, 32, 32))
        shapes = [x.shape[1:]]
        for stage in (model.layer1, model.layer2, model.layer3):
            x = stage(x)
            shapes.append(x.shape[1:])
    assert shapes == [(16, 32, 32), (160, 32, 32), (320, 16, 16), (640, 8, 8)]


@pytest.mark.parametrize(("maps", "stride"), [(6, 1), (8, 1), (8, 2)])
def test_a_block_is_its_equation(maps: int, stride: int):
    torch.manual_seed(0)
    block, x = PreActivation(6, maps, stride).eval(), torch.randn(2, 6, 5, 5)
    active = block.bn1(x).relu()
    branch = block.conv2(block.bn2(block.conv1(active)).relu())
    around = x if (maps, stride) == (6, 1) else block.downsample(active)
    torch.testing.assert_close(block(x), around + branch)


def test_nothing_touches_the_identity():
    block, x = PreActivation(6, 6), torch.randn(2, 6, 5, 5)
    nn.init.zeros_(block.conv2.weight)
    assert torch.equal(block(x), x)  # negative numbers too: no rectifier after the sum


def test_dropout_sits_between_the_convolutions():
    torch.manual_seed(0)
    model, x = WRN(10, 1, dropout=0.5), torch.randn(2, 3, 8, 8)
    assert {m.p for m in model.modules() if isinstance(m, nn.Dropout)} == {0.5}
    assert not torch.equal(model(x), model(x))
    assert torch.equal(model.eval()(x), model(x))


@pytest.mark.parametrize("depth", [4, 27, 3])
def test_other_depths_are_refused(depth: int):
    with pytest.raises(UsageError, match=f"^depth={depth}: must be 4 more than a multiple of 6, try 16"):
        WRN(depth)
