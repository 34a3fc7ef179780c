"""What the image networks share: stem, check of a batch, first weights. For the blocks see test_resnet.py."""

import doctest
from types import ModuleType

import pytest
import torch
from torch import nn

from didact.errors import UsageError
from didact.nn import images, initialise, residual, stem


@pytest.mark.parametrize("module", [residual, stem], ids=lambda module: module.__name__)
def test_the_examples_run(module: ModuleType):
    results = doctest.testmod(module)
    assert results.attempted
    assert not results.failed


@pytest.mark.parametrize(("kind", "side"), [("imagenet", 56), ("cifar", 224)])
def test_a_stem_keeps_or_quarters_the_size(kind: str, side: int):
    conv, pool = stem.make_stem(kind, in_channels=3, maps=4)
    assert pool(conv(torch.zeros(1, 3, 224, 224))).shape == (1, 4, side, side)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 8, 8), r"^input of shape \(3, 8, 8\): Net reads \(batch, channels, height, width\)$"),
        (
            (1, 1, 8, 8),
            "^images with 1 channels: this Net was built with in_channels=3, build it with in_channels=1$",
        ),
        ((1, 3, 8, 7), "^images of 8x7: this Net reads 8x8 or more, resize them with image_size=32$"),
        ((1, 3, 0, 8), "^images of 0x8"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(shape: tuple[int, ...], message: str):
    images.check_images(torch.zeros(2, 3, 8, 9), "Net", in_channels=3, least=8)
    with pytest.raises(UsageError, match=message):
        images.check_images(torch.zeros(shape), "Net", in_channels=3, least=8)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_hes_rule(mode: str):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(64, 128, 3), nn.Linear(2, 2))
    before = model[1].weight.clone()
    initialise.he_normal(model, mode)
    fan = 9 * (64 if mode == "fan_in" else 128)
    assert model[0].weight.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.02)
    assert torch.equal(model[1].weight, before)
