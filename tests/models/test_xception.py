"""Xception: timm's names, counts and answers; what a separable convolution is and saves."""

import pytest
import torch
from published import answer, close, count, listed, on_paper, reference, seeded_weights
from torch import nn
from torch.nn import functional as F

import didact
from didact.errors import UsageError
from didact.models.cnn.xception import Block, SeparableConv, Xception


def test_the_published_network():
    model = on_paper(lambda: didact.build("xception"))
    assert count(model) == 22_855_952
    assert listed(model) == reference("xception")


def test_it_answers_as_timms():
    recorded = [953190.875, 1209288.375, -788973.9375]
    assert close(answer(seeded_weights(on_paper(Xception)), side=71), recorded)


def test_36_convolutions():
    """Notes 001, section X.7: those of the shortcuts not counted, a separable one counted once."""
    model = on_paper(Xception)
    separable = sum(isinstance(module, SeparableConv) for module in model.modules())
    assert separable + len([model.conv1, model.conv2]) == 36


def test_maps_by_flow():
    seen = {}
    with torch.device("meta"):
        model = Xception()
        for name, module in model.named_children():
            module.register_forward_hook(
                lambda m, i, out, name=name: seen.update({name: tuple(out.shape[1:])})
            )
        model(torch.zeros(1, 3, 299, 299))
    flow = ["conv1", "conv2", "block1", "block2", "block3", "block11", "block12", "conv4"]
    maps, sides = (32, 64, 128, 256, 728, 728, 1024, 2048), (149, 147, 74, 37, 19, 19, 10, 10)
    assert [seen[name] for name in flow] == [(m, s, s) for m, s in zip(maps, sides, strict=True)]


def test_a_separable_convolution_looks_then_mixes():
    torch.manual_seed(0)
    layer, x = SeparableConv(6, 8), torch.randn(2, 6, 5, 5)
    looked = torch.cat(
        [F.conv2d(x[:, c : c + 1], layer.conv1.weight[c : c + 1], padding=1) for c in range(6)], 1
    )
    mixed = torch.einsum("mc,bchw->bmhw", layer.pointwise.weight[..., 0, 0], looked)
    torch.testing.assert_close(layer(x), mixed)


def test_it_saves():
    """Its cost by that of a convolution is 1 / M + 1 / 9."""
    ratio = count(SeparableConv(728, 728)) / nn.Conv2d(728, 728, 3, bias=False).weight.numel()
    assert ratio == pytest.approx(1 / 728 + 1 / 9)


def test_a_block_adds_to_what_it_read():
    block, x = Block((6, 6, 6, 6)), torch.randn(2, 6, 5, 5)
    nn.init.zeros_(block.rep[-1].weight)
    assert torch.equal(block(x), x)
    assert [type(layer).__name__ for layer in block.rep] == ["ReLU", "SeparableConv", "BatchNorm2d"] * 3


@pytest.mark.parametrize(("stem", "least"), [("imagenet", 7), ("cifar", 1)])
def test_the_smallest_image(stem: str, least: int):
    model = Xception(num_classes=3, width=0.02, stem=stem, middle_blocks=1).eval()
    assert model(torch.zeros(1, 3, least, least)).shape == (1, 3)
    with pytest.raises(UsageError, match=f"reads {least}x{least} or more"):
        model(torch.zeros(1, 3, least - 1, least))
