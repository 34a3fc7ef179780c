"""Vision Transformer: torchvision's names, counts and answers; patches, positions, attention."""

import pytest
import torch
from published import answer, close, count, listed, on_paper, reference, seeded_weights
from torch import nn

import didact
from didact.errors import UsageError
from didact.models.transformer.vit import EncoderBlock, SelfAttention, ViT, patchify, unpatchify

PARAMETERS = {  # B and L torchvision's, Ti and S timm's (it has no Ti with patches of 32)
    "ti-16": 5_717_416,
    "s-16": 22_050_664,
    "s-32": 22_878_952,
    "b-16": 86_567_656,
    "b-32": 88_224_232,
    "l-16": 304_326_632,
    "l-32": 306_535_400,
}
SMALL = {"image_size": 16, "patch_size": 4, "dim": 8, "depth": 2, "num_heads": 2, "num_classes": 3}


@pytest.mark.parametrize("size", PARAMETERS)
def test_the_published_network(size: str):
    model = on_paper(lambda: didact.build(f"vit-{size}"))
    assert count(model) == PARAMETERS[size]
    if size[0] in "bl":
        assert listed(model) == reference(f"vit-{size}")


@pytest.mark.slow
def test_it_answers_as_torchvisions():
    recorded = [-1.28797, -0.36191, 1.06327]
    assert close(answer(seeded_weights(on_paper(lambda: ViT(patch_size=32))), side=224), recorded)


# Patches


def test_an_image_is_196_patches_of_768_numbers():
    """Notes 004: N = H W / P^2 and P^2 C numbers in each."""
    assert patchify(torch.zeros(2, 3, 224, 224), 16).shape == (2, 196, 768)


def test_patches_go_row_by_row_and_back():
    x = torch.arange(2 * 3 * 8 * 8.0).reshape(2, 3, 8, 8)
    patches = patchify(x, 4)
    assert torch.equal(patches[0, 1], x[0, :, :4, 4:].flatten())
    assert torch.equal(patches[0, 2], x[0, :, 4:, :4].flatten())
    assert torch.equal(unpatchify(patches, 4, channels=3), x)


def test_the_convolution_maps_each_patch_linearly():
    torch.manual_seed(0)
    model, x = ViT(**SMALL), torch.randn(2, 3, 16, 16)
    linear = patchify(x, 4) @ model.conv_proj.weight.flatten(1).T + model.conv_proj.bias
    torch.testing.assert_close(model.conv_proj(x).flatten(2).transpose(1, 2), linear)


def test_halving_the_patch_takes_four_times_the_tokens():
    tokens = [on_paper(lambda p=p: ViT(patch_size=p)).encoder.pos_embedding.shape[1] for p in (32, 16)]
    assert tokens == [49 + 1, 196 + 1]


# Attention


def test_fused_and_written_out_attention_are_equal():
    torch.manual_seed(0)
    model, x = ViT(**SMALL).double(), torch.randn(2, 3, 16, 16, dtype=torch.float64)
    fused = model(x)
    fused.sum().backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    for module in model.modules():
        if isinstance(module, SelfAttention):
            module.written_out = True
    out = model(x)
    out.sum().backward()
    torch.testing.assert_close(out, fused)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_attention_equals_torchs():
    torch.manual_seed(0)
    mine, theirs = SelfAttention(dim=12, num_heads=3), nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.load_state_dict(mine.state_dict(), strict=True)
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(mine(x), theirs(x, x, x, need_weights=False)[0])


def test_a_hook_sees_the_attention_weights():
    attention, x, seen = SelfAttention(dim=12, num_heads=3), torch.randn(2, 5, 12), []
    attention.written_out = True
    attention.attend.register_forward_hook(lambda m, i, out: seen.append(out))
    attention(x)
    assert seen[0].shape == (2, 3, 5, 5)
    torch.testing.assert_close(seen[0].sum(-1), torch.ones(2, 3, 5))


def test_a_block_equals_torchs_pre_norm_encoder_layer():
    torch.manual_seed(0)
    mine = EncoderBlock(dim=12, num_heads=3, dropout=0.0)
    theirs = nn.TransformerEncoderLayer(
        12, 3, 48, 0.0, "gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    )
    names = {
        "ln_1": "norm1",
        "ln_2": "norm2",
        "self_attention": "self_attn",
        "mlp.0": "linear1",
        "mlp.3": "linear2",
    }
    state = {}
    for key, tensor in mine.state_dict().items():
        old = next(name for name in names if key.startswith(name))
        state[key.replace(old, names[old])] = tensor
    theirs.load_state_dict(state, strict=True)
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(mine(x), theirs(x))


# The network


def test_it_is_its_equations():
    torch.manual_seed(0)
    model, x = ViT(**SMALL).eval(), torch.randn(2, 3, 16, 16)
    tokens = [model.class_token[0].expand(2, 1, 8), model.conv_proj(x).flatten(2).transpose(1, 2)]
    z = torch.cat(tokens, dim=1) + model.encoder.pos_embedding
    for block in model.encoder.layers:
        z = z + block.self_attention(block.ln_1(z))
        z = z + block.mlp(block.ln_2(z))
    torch.testing.assert_close(model(x), model.heads(model.encoder.ln(z[:, 0])))


def test_without_positions_patches_may_be_shuffled():
    """Order is in the positions alone."""
    torch.manual_seed(0)
    model, x = ViT(**SMALL).eval(), torch.randn(1, 3, 16, 16)
    shuffled = unpatchify(patchify(x, 4)[:, torch.randperm(16)], 4, channels=3)
    assert not torch.allclose(model(x), model(shuffled), atol=1e-4)
    nn.init.zeros_(model.encoder.pos_embedding)
    torch.testing.assert_close(model(x), model(shuffled))


def test_the_head_of_pre_training_has_a_hidden_layer_of_tanh():
    """Notes 004: an MLP with one hidden layer."""
    heads = ViT(**SMALL, head="mlp").heads
    assert [(name, type(layer)) for name, layer in heads.named_children()] == [
        ("pre_logits", nn.Linear),
        ("act", nn.Tanh),
        ("head", nn.Linear),
    ]


def test_dropout_acts_in_training_alone():
    model, x = ViT(**SMALL, dropout=0.3), torch.randn(2, 3, 16, 16)
    assert not torch.equal(model(x), model(x))
    assert torch.equal(model.eval()(x), model(x))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"image_size": 32, "patch_size": 5},
            "^patch_size=5: must divide the 32 pixels of image_size, try 4$",
        ),
        ({"image_size": 8}, "^patch_size=16: must divide the 8 pixels of image_size, try 8$"),
        ({"dim": 50, "num_heads": 8}, "^dim=50: must be divisible by num_heads=8, try 48 or 56$"),
        ({"head": "lineal"}, r"^head='lineal': unknown, did you mean 'linear'\?$"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        ViT(**given)


def test_images_of_another_size_are_refused():
    with pytest.raises(UsageError, match=r"^images of 16x20: this ViT was built with image_size=16, resize"):
        ViT(**SMALL)(torch.zeros(1, 3, 16, 20))
