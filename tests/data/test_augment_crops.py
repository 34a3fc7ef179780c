"""Crops of images of any size, as the notes cut them: random for training, ten fixed ones for a test."""

import numpy as np
import pytest
import torch
from PIL import Image

from didact.data.augment.crops import mean_over_crops, random_crops, resized, ten_crops
from didact.data.augment.place import warp, windows
from didact.data.batches import generator_for
from didact.errors import UsageError


def smooth(height: int, width: int) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 3, width), indexing="ij")
    return torch.stack([(x + y).sin(), (x * y).cos(), (2 * x).sin()])[None]


@pytest.mark.parametrize("side", [256, 300, 480])
@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 333), (64, 64)])
def test_the_shorter_side_is_l_and_the_ratio_stays(side, height, width):
    """aug-random-crop-resize: short side = L."""
    high, wide = resized(smooth(height, width), side).shape[2:]
    assert min(high, wide) == side
    assert abs(high / wide - height / width) < 0.005


def test_resizing_is_that_of_pillow():
    x = smooth(90, 120)
    for ours, channel in zip(resized(x, 60)[0], x[0], strict=True):
        image = Image.fromarray(channel.numpy()).resize((80, 60), Image.Resampling.BILINEAR)
        torch.testing.assert_close(ours, torch.from_numpy(np.array(image)), rtol=0, atol=1e-4)


def test_random_crops_are_224_pixels_wide_and_high():
    """aug-random-crop-scale, aug-multiple-crops: L from 256 to 480, crops of 224, as many as asked for."""
    x = smooth(300, 400).expand(2, -1, -1, -1)
    crops = random_crops(x, generator_for(0), count=3)
    assert crops.shape == (2, 3, 3, 224, 224)
    assert len(crops.flatten(0, 1).flatten(1).unique(dim=0)) == 6
    assert torch.equal(crops, random_crops(x, generator_for(0), count=3))


def test_a_random_crop_is_a_piece_of_the_resized_image():
    """Pixels that hold their own place tell where a crop was cut, and at which L."""
    rows = torch.arange(40.0)[:, None].expand(40, 60)
    x = torch.stack([rows, torch.arange(60.0).expand(40, 60)])[None]
    crops = random_crops(x, generator_for(1), count=300, size=40, shorter=(40, 80))[0]
    steps = (crops[:, 0, 30, 20] - crops[:, 0, 10, 20]) / 20  # old pixels for a new one: 40 / L
    lengths = (40 / steps).round()
    assert {40.0, 80.0} <= set(lengths.tolist()) <= set(range(40, 81))
    torch.testing.assert_close(steps, 40 / lengths)
    torch.testing.assert_close((crops[:, 1, 20, 30] - crops[:, 1, 20, 10]) / 20, steps, rtol=0.01, atol=0)
    tops = (crops[:, 0, 20, 20] + 0.5) / steps - 20.5
    torch.testing.assert_close(tops, tops.round(), rtol=0, atol=1e-3)
    assert (tops.round() >= 0).all()
    assert (tops.round() <= lengths - 40).all()
    assert len(tops.round().unique()) > 20


def test_enlarging_a_window_is_resizing_and_cutting():
    """What ``crop`` does to images in memory is what the notes do: a window of S / L of the side."""
    x, size = smooth(48, 48), 48
    for longer, top, left in ((64, 3, 10), (96, 40, 0)):
        cut = resized(x, longer)[:, :, top : top + size, left : left + size]
        away = [(place + size / 2 - longer / 2) * size / longer for place in (left, top)]
        share, right, down = (torch.tensor([value]) for value in (size / longer, *away))
        torch.testing.assert_close(warp(x, windows(share, right, down)), cut, rtol=0, atol=1e-4)


def test_ten_crops_are_corners_middle_and_mirrors_at_every_scale():
    """aug-ten-crop: 10 crops x N scales."""
    x = torch.arange(7 * 9.0).view(1, 1, 7, 9)
    crops = ten_crops(x, size=3, scales=(7,))[0, :, 0]
    places = [(0, 0), (0, 6), (4, 0), (4, 6), (2, 3)]
    for k, (top, left) in enumerate(places):
        assert torch.equal(crops[2 * k], x[0, 0, top : top + 3, left : left + 3])
        assert torch.equal(crops[2 * k + 1], crops[2 * k].flip(1))
    assert ten_crops(smooth(60, 80), size=24, scales=(32, 40, 48)).shape == (1, 30, 3, 24, 24)


def test_predictions_are_averaged_over_the_crops_of_an_image():
    crops = ten_crops(smooth(40, 50).repeat(3, 1, 1, 1) * torch.arange(1.0, 4).view(3, 1, 1, 1), 16, (20,))
    predicted = mean_over_crops(lambda x: x.mean((2, 3)).softmax(1), crops)
    each = torch.stack([crop.mean((1, 2)).softmax(0) for crop in crops.flatten(0, 1)]).view(3, 10, 3)
    torch.testing.assert_close(predicted, each.sum(1) / 10)


def test_a_crop_larger_than_the_image_is_refused():
    with pytest.raises(UsageError, match=r"size=224: a crop is at most as large as the shorter side, 200"):
        random_crops(smooth(30, 40), generator_for(0), shorter=(200, 300))
    with pytest.raises(UsageError, match="size=224"):
        ten_crops(smooth(30, 40), scales=(256, 100))
