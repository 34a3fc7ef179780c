"""DenseNet: torchvision's names, counts and answers; who reads what."""

import pytest
import torch
from published import answer, close, count, listed, on_paper, reference, seeded_weights
from torch import nn

import didact
from didact.errors import UsageError
from didact.models.cnn.densenet import DenseBlock, DenseNet, Transition

PARAMETERS = {121: 7_978_856, 161: 28_681_000, 169: 14_149_480, 201: 20_013_928}  # torchvision's, by depth


@pytest.mark.parametrize("depth", PARAMETERS)
def test_the_published_network(depth: int):
    model = on_paper(lambda: didact.build(f"densenet{depth}"))
    assert count(model) == PARAMETERS[depth]
    assert listed(model) == reference(f"densenet{depth}")
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in model.modules()) == depth


def test_it_answers_as_torchvisions():
    recorded = [0.27242, -5.26001, 6.13869]
    assert close(answer(seeded_weights(on_paper(DenseNet)), side=64), recorded)


def test_maps_by_stage():
    seen = {}
    with torch.device("meta"):
        model = DenseNet(121)
        for name, module in model.features.named_children():
            module.register_forward_hook(lambda m, i, out, name=name: seen.update({name: out.shape[1:]}))
        model(torch.zeros(1, 3, 224, 224))
    assert seen["pool0"] == (64, 56, 56)
    assert [seen[f"denseblock{k}"][0] for k in range(1, 5)] == [256, 512, 1024, 1024]
    assert [tuple(seen[f"transition{k}"]) for k in range(1, 4)] == [(128, 28, 28), (256, 14, 14), (512, 7, 7)]


def test_a_block_keeps_what_it_read_and_each_layer_reads_it_all():
    torch.manual_seed(0)
    block, x = DenseBlock(count=3, inputs=8, growth=4, dropout=0.0).eval(), torch.randn(2, 8, 5, 5)
    out = block(x)
    assert torch.equal(out[:, :8], x)
    for i, layer in enumerate(block):
        before = out[:, : 8 + 4 * i]
        torch.testing.assert_close(out[:, 8 + 4 * i : 12 + 4 * i], layer(before))
        assert layer.norm1.num_features == 8 + 4 * i


def test_a_transition_halves_maps_and_size():
    assert Transition(10)(torch.zeros(1, 10, 7, 7)).shape == (1, 5, 3, 3)


@pytest.mark.parametrize(("stem", "least"), [("imagenet", 29), ("cifar", 8)])
def test_the_smallest_image(stem: str, least: int):
    model = DenseNet(21, growth=4, num_classes=3, stem=stem).eval()
    assert model(torch.zeros(1, 3, least, least)).shape == (1, 3)
    with pytest.raises(UsageError, match=f"reads {least}x{least} or more"):
        model(torch.zeros(1, 3, least - 1, least))


def test_dropout_reaches_every_layer():
    model = DenseNet(21, growth=4, dropout=0.2)
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.2] * 8
