"""GoogLeNet: the worked counts of its module, the paper's and torchvision's networks, the auxiliary heads."""

import pytest
import torch
from published import answer, close, count, listed, on_paper, reference, seeded_weights
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from didact.errors import UsageError
from didact.models.cnn.googlenet import MODULES, ConvUnit, GoogLeNet, Inception, NaiveInception

SMALL = {"num_classes": 4, "width": 0.05}


def flops(model: nn.Module, *shape: int) -> int:
    """Multiplications and additions of one example."""
    model, x = model.to("meta"), torch.zeros(1, *shape, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(x)
    return counter.get_total_flops()


def test_w10_reduction_saves_parameters():
    """Notes 003: (F^2 D + 1) K against (D + 1) K1 + (F^2 K1 + 1) K, at the 5x5 branch of module 3a."""
    naive = NaiveInception(192, 64, 128, 32)
    reduced = Inception(192, *MODULES["3a"], batch_norm=False)
    assert count(naive.branch3) == (5**2 * 192 + 1) * 32 == 153_632
    assert (
        [count(unit) for unit in reduced.branch3] == [(192 + 1) * 16, (5**2 * 16 + 1) * 32] == [3_088, 12_832]
    )
    assert count(reduced.branch3) == 15_920


def test_w10_reduction_saves_nine_tenths_of_the_multiplications():
    """Notes 001, section X.6, with 32x32x200, 92 filters of 5x5 and a reduction to 16."""
    direct = flops(nn.Conv2d(200, 92, 5, padding=2, bias=False), 200, 32, 32) // 2
    first = flops(nn.Conv2d(200, 16, 1, bias=False), 200, 32, 32) // 2
    second = flops(nn.Conv2d(16, 92, 5, padding=2, bias=False), 16, 32, 32) // 2
    assert (direct, first, second) == (471_040_000, 3_276_800, 37_683_200)
    assert (first + second) / direct == pytest.approx(0.087, abs=5e-4)


@pytest.mark.parametrize(("filters", "ratio"), [(64, 0.58), (128, 0.54), (256, 0.52)])
def test_w11_pointwise_reduction(filters: int, ratio: float):
    """Notes 004, L1349: 256x32x32 to 128 channels before a 5x5 lowers its FLOPs."""
    direct = flops(nn.Conv2d(256, filters, 5, padding=2), 256, 32, 32)
    reduced = nn.Sequential(nn.Conv2d(256, 128, 1), nn.Conv2d(128, filters, 5, padding=2))
    if filters == 128:
        assert (direct, flops(reduced, 256, 32, 32)) == (1_677_721_600, 67_108_864 + 838_860_800)
    assert flops(reduced, 256, 32, 32) / direct == pytest.approx(ratio, abs=0.005)


def test_the_naive_module_hands_on_what_it_pooled():
    x = torch.randn(2, 6, 9, 7)
    module = NaiveInception(6, 3, 4, 5)
    out = module(x)
    assert out.shape == (2, 3 + 4 + 5 + 6, 9, 7)
    torch.testing.assert_close(out[:, -6:], nn.functional.max_pool2d(x, 3, stride=1, padding=1))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_module_stacks_its_branches(batch_norm: bool):
    module, x = Inception(6, 3, 2, 4, 2, 5, 7, batch_norm=batch_norm).eval(), torch.randn(2, 6, 9, 7)
    out = module(x)
    assert out.shape == (2, module.out_channels, 9, 7)
    parts = [module.branch1(x), module.branch2(x), module.branch3(x), module.branch4(x)]
    assert [part.shape[1] for part in parts] == [3, 4, 5, 7]
    torch.testing.assert_close(out, torch.cat(parts, dim=1))
    assert module.branch3[1].conv.kernel_size == ((3, 3) if batch_norm else (5, 5))


def test_channels_and_sides_of_table_1():
    model, seen = on_paper(GoogLeNet), {}
    for name, module in model.named_children():
        module.register_forward_hook(lambda m, i, out, name=name: seen.update({name: tuple(out.shape[1:])}))
    model(torch.zeros(1, 3, 224, 224, device="meta"))
    assert (seen["conv1"], seen["maxpool1"], seen["maxpool2"]) == (
        (64, 112, 112),
        (64, 56, 56),
        (192, 28, 28),
    )
    channels = {name: shape[0] for name, shape in seen.items() if name.startswith("inception")}
    assert list(channels.values()) == [256, 480, 512, 512, 512, 528, 832, 832, 1024]
    assert (seen["inception3b"][1], seen["inception4e"][1], seen["inception5b"][1]) == (28, 14, 7)
    assert seen["avgpool"] == (1024, 1, 1)  # pool-global-average


@pytest.mark.parametrize(
    ("given", "parameters"),
    [
        ({}, 13_004_888),
        ({"auxiliary": False}, 6_624_904),
        ({"batch_norm": False}, 13_378_280),  # the paper's: biases and 5x5 filters
        ({"batch_norm": False, "auxiliary": False}, 6_998_552),
    ],
)
def test_parameters(given: dict, parameters: int):
    """E19: the notes print 4M; nothing published has so few."""
    assert count(on_paper(lambda: GoogLeNet(**given))) == parameters


def test_22_layers():
    """On the longest way: 3 of the stem, 2 in each of 9 modules, 1 linear."""
    model = on_paper(lambda: GoogLeNet(auxiliary=False))
    stem = [m for m in model.children() if isinstance(m, ConvUnit)]
    modules = [m for m in model.children() if isinstance(m, Inception)]
    assert len(stem) + 2 * len(modules) + 1 == 22


def test_names_and_shapes_are_torchvisions():
    assert listed(on_paper(GoogLeNet)) == reference("googlenet")


def test_the_answer_is_torchvisions():
    """torchvision 0.28.0 with these weights and this image."""
    assert close(answer(seeded_weights(on_paper(GoogLeNet)), 80), [16.1824, -12.7141, -9.3589])


def test_auxiliary_heads_help_to_train_and_are_not_asked_otherwise():
    torch.manual_seed(0)
    model, x = GoogLeNet(dropout=0.0, **SMALL), torch.randn(2, 3, 64, 64)
    logits, *auxiliary = model.forward_with_auxiliary(x)
    assert [out.shape for out in (logits, *auxiliary)] == [(2, 4)] * 3
    torch.testing.assert_close(logits, model(x))
    sum(out.sum() for out in auxiliary).backward()
    assert model.conv1.conv.weight.grad.any()
    assert model.inception4e.branch1.conv.weight.grad is None  # above both heads
    del model.aux1, model.aux2
    assert model(x).shape == (2, 4)


def test_without_auxiliary_heads():
    model, x = GoogLeNet(auxiliary=False, **SMALL).eval(), torch.randn(2, 3, 64, 64)
    (logits,) = model.forward_with_auxiliary(x)
    assert torch.equal(logits, model(x))
    assert not any(name.startswith("aux") for name in model.state_dict())


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_signal_survives_22_layers(batch_norm: bool):
    """The paper's weights may be anything, but must tell two images apart at the end."""
    torch.manual_seed(0)
    model = GoogLeNet(width=0.25, num_classes=10, dropout=0.0, auxiliary=False, batch_norm=batch_norm)
    model.fc = nn.Identity()
    out = model(torch.randn(4, 3, 64, 64))
    assert out.isfinite().all()
    assert out.std(0).mean() > 1e-3 * out.mean()


def test_other_inputs_are_refused_with_the_fix():
    model = GoogLeNet(**SMALL).eval()
    assert model(torch.zeros(1, 3, 15, 21)).shape == (1, 4)
    with pytest.raises(UsageError, match=r"images of 14x14: .* 15x15 or more"):
        model(torch.zeros(1, 3, 14, 14))
    with pytest.raises(UsageError, match="images of 14x14"):
        model.forward_with_auxiliary(torch.zeros(1, 3, 14, 14))
