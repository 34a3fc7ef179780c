"""Inception v3: torchvision's names, counts and answer, the sides of table 1, the auxiliary head."""

import pytest
import torch
from published import answer, close, count, listed, on_paper, reference, seeded_weights

from didact.errors import UsageError
from didact.models.cnn.inception_v3 import InceptionC, InceptionV3

SMALL = {"num_classes": 4, "width": 0.05}


def test_names_shapes_and_parameters_are_torchvisions():
    model = on_paper(InceptionV3)
    assert listed(model) == reference("inception-v3")
    assert count(model) == 27_161_264
    assert count(model.AuxLogits) == 3_326_696
    assert count(on_paper(lambda: InceptionV3(auxiliary=False))) == 23_834_568


def test_the_answer_is_torchvisions():
    """torchvision 0.28.0 with these weights and this image."""
    assert close(answer(seeded_weights(on_paper(InceptionV3)), 107), [0.5622, -4.7831, -1.3105])


def test_channels_and_sides():
    model, seen = on_paper(InceptionV3), {}
    for name, module in model.named_children():
        module.register_forward_hook(lambda m, i, out, name=name: seen.update({name: tuple(out.shape[1:])}))
    model(torch.zeros(1, 3, 299, 299, device="meta"))
    assert seen["maxpool2"] == (192, 35, 35)
    assert seen["Mixed_5d"] == (288, 35, 35)
    assert seen["Mixed_6a"] == seen["Mixed_6e"] == (768, 17, 17)
    assert seen["Mixed_7a"] == (1280, 8, 8)
    assert seen["Mixed_7c"] == (2048, 8, 8)


def test_a_7x7_filter_taken_apart_sees_as_far_for_two_sevenths():
    module = on_paper(lambda: InceptionC(768, 192, width=1.0))
    apart = module.branch7x7_2.conv.weight.numel() + 192 * 192 * 7
    assert apart / (192 * 192 * 7 * 7) == pytest.approx(2 / 7)
    assert module.branch7x7_2.conv.kernel_size + module.branch7x7_3.conv.kernel_size == (1, 7, 7, 1)


def test_the_auxiliary_head_needs_large_images():
    torch.manual_seed(0)
    model = InceptionV3(dropout=0.0, **SMALL)
    logits, auxiliary = model.forward_with_auxiliary(torch.randn(2, 3, 299, 299))
    assert logits.shape == auxiliary.shape == (2, 4)
    with pytest.raises(UsageError, match=r"needs 299x299 or more; .* auxiliary=False"):
        model.forward_with_auxiliary(torch.randn(2, 3, 112, 112))
    assert model(torch.randn(2, 3, 112, 112)).shape == (2, 4)


def test_without_the_auxiliary_head():
    model, x = InceptionV3(auxiliary=False, **SMALL).eval(), torch.randn(2, 3, 75, 80)
    (logits,) = model.forward_with_auxiliary(x)
    assert torch.equal(logits, model(x))


def test_other_inputs_are_refused_with_the_fix():
    with pytest.raises(UsageError, match=r"images of 74x75: .* 75x75 or more"):
        InceptionV3(**SMALL)(torch.zeros(1, 3, 74, 75))
