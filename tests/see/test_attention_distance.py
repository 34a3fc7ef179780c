"""Attention distance: W17 of notes 004, the formula written out, and a model that is left as it was."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import didact
from didact.errors import UsageError
from didact.models.cnn.mnist_cnn import MnistCNN
from didact.models.transformer.vit import SelfAttention, ViT
from didact.see.attention_distance import attention_distance, mean_distance, patch_distances

SMALL = {"image_size": 16, "patch_size": 4, "dim": 8, "depth": 2, "num_heads": 2, "num_classes": 3}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def sharp(**changes: object) -> ViT:
    """A ViT whose heads have made up their minds where to look."""
    model = ViT(**SMALL | changes)
    for module in model.modules():
        if isinstance(module, SelfAttention):
            nn.init.normal_(module.in_proj_weight, std=3.0)
    return model


# The numbers of the notes


def test_a_key_20_pixels_away_with_weight_one_half_contributes_10():
    """W17: 20 px x .5 = 10."""
    weights, pixels = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.0, 20.0, 99.0])
    assert mean_distance(weights, pixels).item() == 10.0
    assert mean_distance(torch.tensor([0.5]), torch.tensor([20.0])).item() == 10.0


def test_an_image_of_224_pixels_has_196_patches():
    """W17: 224 / 16 -> 196; neighbours are 16 pixels apart, corners 14 - 1 patches both ways."""
    pixels = patch_distances(14, 14, 16)
    assert pixels.shape == (196, 196)
    assert pixels[0, 1].item() == pixels[0, 14].item() == 16
    assert pixels[0, -1].item() == pytest.approx(13 * 16 * math.sqrt(2))
    assert torch.equal(pixels, pixels.T)
    assert not pixels.diagonal().any()


# The measure


def test_it_is_its_formula():
    model, images = sharp(), torch.randn(20, 3, 16, 16)
    seen = {}
    for name, module in model.named_modules():
        if isinstance(module, SelfAttention):
            module.written_out = True
            module.attend.register_forward_hook(lambda m, i, out, name=name: seen.update({name: out}))
    model.eval()(images)
    all_weights = dict(seen)  # the measure shows the images in smaller groups
    found = attention_distance(model, images)
    assert list(found.heads) == list(all_weights)
    for layer, weights in all_weights.items():
        for head in range(2):
            total = 0.0
            for q in range(16):
                for k in range(16):
                    pixels = 4 * math.hypot(q // 4 - k // 4, q % 4 - k % 4)
                    total += weights[:, head, q + 1, k + 1].mean().item() * pixels
            assert found.heads[layer][head] == pytest.approx(total / 16, rel=1e-4)


def fixed(model: ViT, pattern: torch.Tensor) -> None:
    """Let every head attend by one pattern (T, T), whatever it sees."""
    for module in model.modules():
        if isinstance(module, SelfAttention):
            module.attend.forward = lambda scores: pattern.expand_as(scores)


@pytest.mark.parametrize(
    ("pattern", "pixels"),
    [
        (torch.eye(17), 0.0),  # itself
        (torch.eye(17).roll(1, dims=0), (12 * 4 + 3 * math.hypot(4, 12)) / 16),  # the patch before it
        (torch.nn.functional.one_hot(torch.zeros(17, dtype=torch.long), 17).float(), 0.0),  # the class token
    ],
)
def test_fixed_patterns(pattern: torch.Tensor, pixels: float):
    """The first patch looks at the class token, which stands nowhere."""
    model = ViT(**SMALL)
    fixed(model, pattern)
    for heads in attention_distance(model, torch.randn(3, 3, 16, 16)).heads.values():
        assert heads == pytest.approx((pixels, pixels))


def test_a_head_that_looks_everywhere_alike_is_the_level_to_compare_with():
    model = ViT(**SMALL)
    for module in model.modules():
        if isinstance(module, SelfAttention):
            nn.init.zeros_(module.in_proj_weight)
    found = attention_distance(model, torch.randn(2, 3, 16, 16))
    assert found.even == pytest.approx(patch_distances(4, 4, 4).sum(1).mean().item() / 17)
    for heads in found.heads.values():
        assert heads == pytest.approx((found.even, found.even))


def test_local_and_global_heads_are_told_apart_by_layer():
    """vit-global-heads-report: least and most of each layer."""
    model = sharp()
    found = attention_distance(model, torch.randn(4, 3, 16, 16))
    table = str(found).splitlines()
    assert table[0].split() == ["layer", "least", "mean", "most", "pixels"]
    for layer, line in zip(found.heads, table[1:-1], strict=True):
        least, most = found.range(layer)
        assert (least, most) == (min(found.heads[layer]), max(found.heads[layer]))
        assert least < most
        mean = sum(found.heads[layer]) / 2
        assert line.split() == [layer, f"{least:.1f}", f"{mean:.1f}", f"{most:.1f}"]
    assert table[-1] == f"a head that looks everywhere alike: {found.even:.1f} pixels"


def test_plain_values():
    found = attention_distance(sharp(), torch.randn(2, 3, 16, 16))
    values = json.loads(json.dumps(found.to_dict()))
    assert values["images"] == 2
    first = values["layers"]["encoder.layers.encoder_layer_0.self_attention"]
    assert [first["least"], first["most"]] == sorted(first["heads"])


def test_plot():
    found = attention_distance(sharp(), torch.randn(2, 3, 16, 16))
    assert len(found.plot().axes[0].collections[0].get_offsets()) == 4


# The model


def test_the_model_is_left_as_it_was():
    model = sharp(dropout=0.3).train()
    attention = model.encoder.layers.encoder_layer_1.self_attention
    attention.written_out = True
    model.encoder.ln.eval()
    modes = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    first = attention_distance(model, torch.ones(2, 3, 16, 16))
    assert first == attention_distance(model, torch.ones(2, 3, 16, 16))  # no dropout
    assert [module.training for module in model.modules()] == modes
    assert attention.written_out
    assert not model.encoder.layers.encoder_layer_0.self_attention.written_out
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_it_is_put_back_where_the_model_fails():
    model = ViT(**SMALL).train()
    with pytest.raises(UsageError, match="images of 20x20"):
        attention_distance(model, torch.zeros(1, 3, 20, 20))
    assert model.training
    assert not model.encoder.layers.encoder_layer_0.self_attention.written_out
    assert not any(module._forward_hooks for module in model.modules())


class Foreign(nn.Module):
    """Somebody else's network, around the same attention."""

    def __init__(self):
        super().__init__()
        self.attention = SelfAttention(dim=4, num_heads=2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.attention(images.flatten(2).transpose(1, 2))


def test_a_network_without_class_token_and_patch_size_is_served():
    found = attention_distance(Foreign(), torch.randn(2, 4, 3, 5), patch_size=1)
    assert found.even == pytest.approx(patch_distances(3, 5, 1).mean().item())


@pytest.mark.parametrize(
    ("model", "shape", "given", "message"),
    [
        (MnistCNN(), (1, 1, 28, 28), {}, "^MnistCNN: has no attention to write out, build a vit$"),
        (ViT(**SMALL), (3, 16, 16), {}, r"^images of shape \(3, 16, 16\): give \(images, channels"),
        (ViT(**SMALL), (0, 3, 16, 16), {}, r"^images of shape \(0, 3, 16, 16\)"),
        (Foreign(), (1, 4, 3, 5), {}, "^patch_size=0: the model does not say its own, give it$"),
        (
            ViT(**SMALL),
            (1, 3, 16, 16),
            {"patch_size": 2},
            "^patch_size gives 64 patches: the model has 17 tokens",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(model: nn.Module, shape: tuple, given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        attention_distance(model, torch.zeros(shape), **given)


# What it costs: every token looks at every token


def multiply_adds(side: int) -> tuple[int, int]:
    """Multiply-adds of a ViT-Ti with patches of 16: Q K^T and A V, and everything."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        didact.build("vit-ti-16", image_size=side).eval()(torch.zeros(1, 3, side, side))
    counts = {str(operator): count for operator, count in counter.get_flop_counts()["Global"].items()}
    return counts["aten.bmm"] // 2, counter.get_total_flops() // 2


@pytest.mark.parametrize("side", [224, 448, 896])
def test_attention_is_quadratic_in_tokens(side: int):
    """vit-quadratic: 2 T^2 D a layer, beside 12 T D^2 of the linear layers."""
    tokens = (side // 16) ** 2 + 1
    attention, everything = multiply_adds(side)
    assert attention == 12 * 2 * tokens**2 * 192
    linear = 12 * 12 * tokens * 192**2
    patches_and_head = (tokens - 1) * 768 * 192 + 192 * 1000
    assert everything == attention + linear + patches_and_head


def test_twice_the_resolution_costs_sixteen_times_the_attention():
    sides = [multiply_adds(side)[0] for side in (224, 448, 896)]
    assert sides[1] / sides[0] == pytest.approx(16, rel=0.02)
    assert sides[2] / sides[1] == pytest.approx(16, rel=0.01)


def test_the_page_says_what_is_counted():
    page = (Path(__file__).parents[2] / "docs" / "ideas.md").read_text()
    for side in (224, 448, 896):
        attention, everything = multiply_adds(side)
        row = f"| {side} | {(side // 16) ** 2 + 1:,} | {attention / 1e9:.2f} G | {everything / 1e9:.2f} G |"
        assert f"{row} {attention / everything:.0%} |".replace("%", " %") in page
