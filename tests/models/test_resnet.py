"""ResNet and its plain twin: torchvision's names, counts and answers, and what the parts do."""

import pytest
import torch
from published import answer, close, count, listed, on_paper, reference, seeded_weights
from torch import Tensor, nn

import didact
from didact.errors import UsageError
from didact.models.cnn.resnet import ResNet
from didact.nn.residual import BasicBlock, Bottleneck, ZeroPad

PARAMETERS = {  # torchvision's, by depth
    18: 11_689_512,
    34: 21_797_672,
    50: 25_557_032,
    101: 44_549_160,
    152: 60_192_808,
}


@pytest.mark.parametrize("depth", PARAMETERS)
def test_the_published_network(depth: int):
    model = on_paper(lambda: didact.build(f"resnet{depth}"))
    assert count(model) == PARAMETERS[depth]
    assert listed(model) == reference(f"resnet{depth}")


@pytest.mark.parametrize(
    ("depth", "recorded"),
    [(18, [16.60748, -14.52939, -30.01836]), (50, [-6.54836, -5530.62646, -5138.88672])],
)
def test_it_answers_as_torchvisions(depth: int, recorded: list[float]):
    assert close(answer(seeded_weights(on_paper(lambda: ResNet(depth))), side=64), recorded)


@pytest.mark.parametrize("depth", PARAMETERS)
def test_depth_counts_the_layers_with_weights(depth: int):
    names = [
        name
        for name, module in on_paper(lambda: ResNet(depth)).named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and "downsample" not in name
    ]
    assert len(names) == depth


def sizes(model: nn.Module, image: Tensor) -> dict[str, tuple[int, ...]]:
    """The shape of what each child gives, without the batch."""
    seen = {}
    for name, module in model.named_children():
        module.register_forward_hook(lambda m, i, out, name=name: seen.update({name: tuple(out.shape[1:])}))
    model(image)
    return seen


@pytest.mark.parametrize(("depth", "growth"), [(18, 1), (50, 4)])
def test_maps_double_where_their_size_halves(depth: int, growth: int):
    with torch.device("meta"):
        seen = sizes(ResNet(depth), torch.zeros(1, 3, 224, 224))
    assert seen["conv1"] == (64, 112, 112)
    assert seen["maxpool"] == (64, 56, 56)
    stages = [(growth * 64 * 2**k, 56 // 2**k, 56 // 2**k) for k in range(4)]
    assert [seen[f"layer{k}"] for k in range(1, 5)] == stages
    assert (seen["avgpool"], seen["fc"]) == ((growth * 512, 1, 1), (1000,))


def test_the_cifar_stem_keeps_the_size():
    seen = sizes(ResNet(18, width=0.125, stem="cifar"), torch.zeros(1, 3, 32, 32))
    assert [seen[name] for name in ("conv1", "maxpool", "layer1")] == [(8, 32, 32)] * 3
    assert seen["layer4"] == (64, 4, 4)


@pytest.mark.parametrize("side", [1, 17, 31, 40])
@pytest.mark.parametrize("shortcut", ["projection", "zero-pad"])
def test_any_size(side: int, shortcut: str):
    model = ResNet(10, num_classes=3, width=0.125, shortcut=shortcut).eval()
    assert model(torch.randn(2, 3, side, side)).shape == (2, 3)


# The plain twin


@pytest.mark.parametrize(("depth", "parameters"), [(18, 11_515_688), (34, 21_623_848)])
def test_the_plain_twin_lacks_the_shortcuts_alone(depth: int, parameters: int):
    plain = on_paper(lambda: didact.build(f"plain{depth}"))
    twin = on_paper(lambda: ResNet(depth, shortcut="zero-pad"))  # shortcuts without parameters
    assert count(plain) == count(twin) == parameters
    assert listed(plain) == [line for line in reference(f"resnet{depth}") if "downsample" not in line]


# Blocks


def test_a_block_with_a_closed_branch_is_the_identity():
    """Residual learning: F = 0 gives H(x) = x on maps that a rectifier has left positive."""
    model = ResNet(18, width=0.125, zero_gamma=True, stem="cifar")
    x = torch.rand(2, 8, 5, 5)
    assert torch.equal(model.layer1(x), x)
    assert not ResNet(18, width=0.125, stem="cifar").layer1(x).equal(x)
    deep = ResNet(50, width=0.125, zero_gamma=True)
    assert not any(block.bn3.weight.any() for block in deep.modules() if isinstance(block, Bottleneck))


def test_the_jacobian_of_a_closed_block_is_the_identity():
    """dH/dx = dF/dx + I, notes 002, section 5.1.3.4."""
    block = BasicBlock(2, 2).eval()
    nn.init.zeros_(block.bn2.weight)
    jacobian = torch.autograd.functional.jacobian(lambda x: block(x).flatten(), torch.rand(1, 2, 3, 3))
    assert torch.equal(jacobian.reshape(18, 18), torch.eye(18))


@pytest.mark.parametrize("shortcut", ["projection", "zero-pad", "none"])
def test_blocks_are_their_equations(shortcut: str):
    torch.manual_seed(0)
    x = torch.randn(2, 6, 7, 7)
    basic = BasicBlock(6, 8, stride=2, shortcut=shortcut).eval()
    branch = basic.bn2(basic.conv2(basic.bn1(basic.conv1(x)).relu()))
    torch.testing.assert_close(basic(x), (branch + around(basic, x)).relu())
    narrow = Bottleneck(6, 8, stride=2, inner=4, groups=2, shortcut=shortcut).eval()
    out = narrow.bn2(narrow.conv2(narrow.bn1(narrow.conv1(x)).relu())).relu()
    torch.testing.assert_close(narrow(x), (narrow.bn3(narrow.conv3(out)) + around(narrow, x)).relu())


def around(block: nn.Module, x: Tensor) -> Tensor | float:
    return 0.0 if block.downsample is None else block.downsample(x)


def test_zero_padding_leaves_pixels_out_and_adds_empty_maps():
    x = torch.arange(25.0).reshape(1, 1, 5, 5)
    out = ZeroPad(extra=2, stride=2)(x)
    assert out[0, 0].tolist() == [[0, 2, 4], [10, 12, 14], [20, 22, 24]]
    assert not out[0, 1:].any()
    assert count(ZeroPad(extra=2, stride=2)) == 0


def test_a_bottleneck_is_cheap():
    """Notes 000, section 2.1.2: 69,632 weights in place of 589,824."""
    narrow = Bottleneck(256, 256, inner=64)
    assert sum(m.weight.numel() for m in narrow.modules() if isinstance(m, nn.Conv2d)) == 69_632
    assert nn.Conv2d(256, 256, 3, bias=False).weight.numel() == 589_824


def test_weights_start_by_hes_rule():
    torch.manual_seed(0)
    model = ResNet(18)
    for module in (model.conv1, model.layer1[0].conv1, model.layer4[1].conv2):
        fan_out = module.out_channels * module.kernel_size[0] ** 2
        assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"depth": 20}, r"^depth=20: choose from 18, 34, 50, 101, 152"),
        ({"shortcut": "zeropad"}, r"^shortcut='zeropad': unknown, did you mean 'zero-pad'\?$"),
        ({"stem": "cifar10"}, r"^stem='cifar10': unknown, did you mean 'cifar'\?$"),
        ({"shortcut": "none", "zero_gamma": True}, "^zero_gamma=True: a plain network would give nothing"),
    ],
)
def test_nonsense_is_refused(given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        ResNet(**given)
