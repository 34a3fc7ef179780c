"""Random changes to images: neutral amounts, answers known by hand, and scipy and Pillow beside.

The rows are those of notes 000 3.2, 001 VIII.1 and 004 L1680-1723.
"""

import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from scipy import ndimage
from sklearn.decomposition import PCA
from torch import Tensor

from didact.data.augment import CHANGES, augmentation, colour, damage, place
from didact.data.augment.colour import Scale, principal_components
from didact.data.augment.damage import compressed
from didact.data.augment.place import bend, crop, leaning, rotation, scaling, warp, windows
from didact.data.batches import TensorSplit, generator_for
from didact.data.facts import Facts
from didact.errors import UsageError

SCALE = Scale((0.5, 0.4, 0.3), (0.25, 0.2, 0.3))
FACTS = Facts("t", "image", "class", (3, 12, 16), classes=("a", "b"), mean=SCALE.mean, std=SCALE.std)


def light(count: int = 6, channels: int = 3, height: int = 12, width: int = 16) -> Tensor:
    return torch.rand(count, channels, height, width, generator=generator_for(7, count, channels, height))


def images(count: int = 6) -> Tensor:
    return SCALE.standardised(light(count))


def split() -> TensorSplit:
    return TensorSplit(images(40), torch.zeros(40))


def chain(*steps: str):
    made = augmentation(steps, FACTS, split())
    assert made is not None
    return made


def with_number(name: str) -> str:
    example = CHANGES[name].example
    return name if example is None else f"{name}:{example:g}"


def angles(degrees: float, count: int = 1) -> Tensor:
    return torch.full((count,), degrees)


def smooth(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 3, width), indexing="ij")
    return torch.stack([(x + y).sin(), (x * y).cos(), (2 * x).sin()])[None]


every_change = pytest.mark.parametrize("name", CHANGES)


# What every change owes


@every_change
def test_a_change_repeats_and_leaves_the_global_numbers_alone(name):
    change, x = chain(with_number(name)), images(8)
    torch.manual_seed(3)
    before, state = x.clone(), torch.get_rng_state()
    first, again = (change(x, generator_for(1)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, before)
    assert not torch.equal(first, change(x, generator_for(2)))
    assert first.shape == x.shape
    assert first.dtype == x.dtype
    assert first.isfinite().all()


@every_change
def test_each_image_has_a_draw_of_its_own(name):
    alike = images(1).expand(16, -1, -1, -1)
    assert len(chain(with_number(name))(alike, generator_for(0)).flatten(1).unique(dim=0)) > 1


@every_change
@pytest.mark.parametrize("channels", [1, 3])
def test_the_layout_in_memory_does_not_change_the_numbers(name, channels):
    if channels == 1 and CHANGES[name].colour:
        return
    x = light(5, channels)
    facts, train = Facts("t", "image", "class", (channels, 12, 16)), TensorSplit(x, torch.zeros(5))
    change = augmentation((with_number(name),), facts, train)
    assert change is not None
    other = change(x.contiguous(memory_format=torch.channels_last), generator_for(0))
    torch.testing.assert_close(other, change(x, generator_for(0)), check_stride=False)


@pytest.mark.parametrize(
    ("step", "off"),
    [
        ("shift:0", 0),
        ("rotate:0", 1e-5),
        ("shear:0", 1e-5),
        ("stretch:1", 1e-5),
        ("zoom:1", 1e-5),
        ("crop:1", 1e-5),
        ("lens:0", 1e-5),
        ("brightness:0", 0),
        ("contrast:0", 0),
        ("jitter:0", 0),
        ("saturation:0", 1e-5),
        ("hue:0", 1e-5),
        ("pca:0", 0),
        ("noise:0", 0),
        ("salt-pepper:0", 0),
    ],
)
def test_a_neutral_number_changes_nothing(step, off):
    """Rows: 0 shift, 0 degrees, factor 1, shear 0 and k = 0 are the identity."""
    x = images()
    torch.testing.assert_close(chain(step)(x, generator_for(0)), x, rtol=0, atol=off)


@pytest.mark.parametrize("name", ["flip", "vflip"])
def test_a_mirrored_mirror_image_is_the_image(name):
    x, change = images(40), chain(name)
    once = change(x, generator_for(0))
    assert torch.equal(change(once, generator_for(0)), x)
    axis = {"flip": 2, "vflip": 1}[name]
    mirrored = [torch.equal(a, b.flip(axis)) for a, b in zip(once, x, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(once, x, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True))
    assert 10 <= sum(mirrored) <= 30


# Place


def test_a_quarter_turn_is_rot90_and_four_are_nothing():
    x = light(2, 3, 9, 9)
    once = warp(x, rotation(angles(90, 2)))
    torch.testing.assert_close(once, torch.rot90(x, 1, (2, 3)), rtol=0, atol=1e-5)
    for _ in range(3):
        once = warp(once, rotation(angles(90, 2)))
    torch.testing.assert_close(once, x, rtol=0, atol=1e-5)


def test_a_half_turn_of_a_wide_image_mirrors_both_ways():
    x = light(1, 1, 4, 7)
    torch.testing.assert_close(warp(x, rotation(angles(180))), x.flip(2, 3), rtol=0, atol=1e-5)


def test_leaning_by_hand():
    """45 degrees: the row above the middle moves one to the right, and the border comes in from the left."""
    x = torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]).view(1, 1, 3, 3)
    leant = warp(x, leaning(angles(45)))
    torch.testing.assert_close(leant[0, 0], torch.tensor([[1.0, 1, 2], [4, 5, 6], [8, 9, 9]]))


def test_stretching_by_hand():
    """Twice as wide: from the middle, each pixel over two; the height stays."""
    x = torch.tensor([0.0, 4, 8, 12]).expand(1, 1, 2, 4)
    wide = warp(x, scaling(torch.tensor([2.0]), torch.tensor([1.0])))
    torch.testing.assert_close(wide[0, 0], torch.tensor([3.0, 5, 7, 9]).expand(2, 4))


def test_a_window_by_hand():
    """The upper right quarter, enlarged: its four pixels are found a quarter of a pixel off the new ones."""
    x = torch.arange(16.0).view(1, 1, 4, 4)
    window = warp(x, windows(torch.tensor([0.5]), torch.tensor([1.0]), torch.tensor([-1.0])))
    columns, rows = torch.tensor([1.75, 2.25, 2.75, 3.0]), torch.tensor([0.0, 0.25, 0.75, 1.25])
    torch.testing.assert_close(window[0, 0], 4 * rows[:, None] + columns)


@pytest.mark.parametrize(
    "matrix",
    [
        rotation(angles(23)),
        rotation(angles(-140)),
        leaning(angles(30)),
        scaling(torch.tensor([1.4]), torch.tensor([0.7])),
        windows(torch.tensor([0.6]), torch.tensor([-2.0]), torch.tensor([1.5])),
        rotation(angles(10)) @ leaning(angles(-20)),
    ],
)
def test_warps_are_those_of_scipy(matrix):
    """scipy counts rows first and from the first pixel; ``nearest`` repeats the border too."""
    x = light(1)
    turned = matrix[0].double().numpy()[[1, 0, 2]][:, [1, 0, 2]]
    middle = (np.array(x.shape[2:]) - 1) / 2
    offset = middle + turned[:2, 2] - turned[:2, :2] @ middle
    for ours, channel in zip(warp(x, matrix)[0], x[0], strict=True):
        theirs = ndimage.affine_transform(channel.numpy(), turned[:2, :2], offset, order=1, mode="nearest")
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize("k", [0.25, -0.25])
def test_a_lens_is_that_of_scipy(k):
    x = light(1, 1, 9, 14)
    y, z = np.meshgrid(np.arange(9) - 4, np.arange(14) - 6.5, indexing="ij")
    further = 1 + k * (y**2 + z**2) / (4.5**2 + 7**2)
    theirs = ndimage.map_coordinates(
        x[0, 0].numpy(), [further * y + 4, further * z + 6.5], order=1, mode="nearest"
    )
    np.testing.assert_allclose(bend(x, torch.tensor([k]))[0, 0], theirs, atol=2e-5)


def test_a_barrel_bulges_and_a_pincushion_pinches():
    """A straight line above the middle: its ends come nearer to the middle than its centre, or go away."""
    x = (torch.arange(41.0) - 20).abs()[:, None].expand(1, 1, 41, 41)
    ends = {k: bend(x, torch.tensor([k]))[0, 0, 8, 0] - 12 for k in (0.2, -0.2)}
    centre = {k: bend(x, torch.tensor([k]))[0, 0, 8, 20] - 12 for k in (0.2, -0.2)}
    assert ends[0.2] > centre[0.2] > 0 > centre[-0.2] > ends[-0.2]


def test_changes_of_place_are_drawn_within_their_range_and_reach_over_it():
    x, generator = images(2000), generator_for(0)
    turned = place.rotate(x, generator, 15)
    degrees = torch.rad2deg(torch.atan2(turned[:, 1, 0], turned[:, 0, 0]))
    assert (degrees.min() < -14) & (degrees.max() > 14) & (degrees.abs().max() <= 15.001)
    stretched = 1 / place.stretch(x, generator, 2)[:, [0, 1], [0, 1]]
    assert stretched.min() >= 0.4999
    assert stretched.max() <= 2.0001
    assert stretched.log().mean().abs() < 0.03  # enlarged as often as made smaller
    assert torch.corrcoef(stretched.T)[0, 1].abs() < 0.1
    zoomed = place.zoom(x, generator, 2)
    assert torch.equal(zoomed[:, 0, 0], zoomed[:, 1, 1])


def test_windows_lie_inside_and_are_as_large_as_the_notes_cut_them():
    """aug-random-crop-scale: S / L of the side, every L from S to S / least as likely."""
    matrices = crop(images(4000), generator_for(0), 0.5)
    share = matrices[:, 0, 0]
    assert torch.equal(share, matrices[:, 1, 1])
    assert 0.5 <= share.min() < 0.51
    assert 0.99 < share.max() <= 1
    assert (1 / share).mean().item() == pytest.approx(1.5, abs=0.02)
    for side, away in ((16, matrices[:, 0, 2]), (12, matrices[:, 1, 2])):
        assert (away.abs() <= (1 - share) * side / 2 + 1e-5).all()
        assert (away / (1 - share)).abs().max() > 0.49 * side


def test_matrices_that_follow_one_another_are_read_once():
    """A quarter turn in three steps is exact; read three times it would be blurred."""
    x = light(1, 1, 9, 9)
    joined = rotation(angles(20)) @ rotation(angles(30)) @ rotation(angles(40))
    torch.testing.assert_close(warp(x, joined), torch.rot90(x, 1, (2, 3)), rtol=0, atol=1e-5)
    both, generator = chain("rotate:40", "shear:20"), generator_for(0)
    x = images()
    matrices = place.rotate(x, generator, 40) @ place.shear(x, generator, 20)
    assert torch.equal(both(x, generator_for(0)), warp(x, matrices))


def test_the_first_change_happens_first():
    """A lean and then a turn is not a turn and then a lean."""
    x = smooth(40, 40)
    steps = [leaning(angles(15)), rotation(angles(30))]
    after_another = warp(warp(x, steps[0]), steps[1])
    inside = (slice(None), slice(None), slice(12, 28), slice(12, 28))
    torch.testing.assert_close(warp(x, steps[0] @ steps[1])[inside], after_another[inside], rtol=0, atol=0.01)
    assert (warp(x, steps[1] @ steps[0])[inside] - after_another[inside]).abs().max() > 0.05


def test_what_comes_in_repeats_the_border():
    x = torch.zeros(1, 1, 5, 5)
    x[..., 0] = 1
    small = warp(x, scaling(torch.tensor([0.2]), torch.tensor([0.2])))
    assert small[0, 0].unique(dim=0).shape == (1, 5)
    assert torch.equal(small[0, 0, 0], torch.tensor([1.0, 1, 0, 0, 0]))


# Light and colour


def test_brightness_adds_light_and_stops_at_black_and_white():
    """aug-brightness: clipped."""
    x = light(3)
    amounts = torch.tensor([0.25, -0.25, 1.0])
    seen = SCALE.light(colour.brighter(SCALE.standardised(x), amounts, SCALE))
    torch.testing.assert_close(seen, (x + amounts.view(3, 1, 1, 1)).clamp(0, 1))
    drawn = colour.brightness(images(500) * 0, generator_for(0), 0.2, SCALE)[:, 0, 0, 0] * SCALE.std[0]
    assert 0.19 < drawn.max() <= 0.2001
    assert -0.2001 <= drawn.min() < -0.19


def test_contrast_keeps_the_mean():
    """aug-contrast: each channel keeps its mean, and its deviation is multiplied."""
    x, factors = images(3), torch.tensor([0.5, 1.0, 1.7])
    changed = colour.contrasted(x, factors)
    torch.testing.assert_close(changed.mean((2, 3)), x.mean((2, 3)))
    torch.testing.assert_close(changed.std((2, 3)), x.std((2, 3)) * factors[:, None])


def test_jitter_is_brightness_and_then_contrast():
    x, generator = images(), generator_for(0)
    one = colour.contrast(colour.brightness(x, generator, 0.3, SCALE), generator, 0.3)
    assert torch.equal(chain("jitter:0.3")(x, generator_for(0)), one)


def test_saturation_is_that_of_pillow():
    pixels = light(1).mul(255).round() / 255
    image = Image.fromarray(pixels[0].permute(1, 2, 0).mul(255).byte().numpy())
    for factor in (0.0, 0.6, 1.0, 1.5):
        theirs = torch.from_numpy(np.array(ImageEnhance.Color(image).enhance(factor))).permute(2, 0, 1) / 255
        ours = colour.saturated(SCALE.standardised(pixels), torch.tensor([factor]), SCALE)
        torch.testing.assert_close(SCALE.light(ours)[0], theirs, rtol=0, atol=2 / 255)  # theirs is in bytes


def test_a_third_of_the_circle_of_colours_exchanges_them_and_greys_stay():
    x = 0.2 + 0.6 * light(1)
    for turns, degrees in ((1, 120.0), (2, 240.0), (3, 360.0)):
        turned = SCALE.light(colour.turned(SCALE.standardised(x), angles(degrees), SCALE))
        torch.testing.assert_close(turned, x.roll(turns, 1), rtol=0, atol=1e-5)
    grey = x[:, :1].expand_as(x)
    turned = SCALE.light(colour.turned(SCALE.standardised(grey), angles(77.0), SCALE))
    torch.testing.assert_close(turned, grey, rtol=0, atol=1e-5)


def test_the_principal_colours_are_those_of_scikit_learn():
    """aug-jitter-pca: of all pixels of the training split, as light."""
    mix = torch.tensor([[1.0, 0.2, 0], [0.5, 0.4, 0.1], [0.2, 0.3, 0.6]])
    x = torch.einsum("ij,bjhw->bihw", mix, light(50))
    ours = principal_components(TensorSplit(SCALE.standardised(x), torch.zeros(50)), SCALE)
    as_light = ours.double().numpy() * np.array(SCALE.std)[:, None]
    theirs = PCA().fit(x.permute(0, 2, 3, 1).reshape(-1, 3).double().numpy())
    lengths = np.linalg.norm(as_light, axis=0)[::-1]
    np.testing.assert_allclose(lengths**2, theirs.explained_variance_, rtol=1e-3)
    directions = (as_light / np.linalg.norm(as_light, axis=0)).T[::-1]
    np.testing.assert_allclose(np.abs((directions * theirs.components_).sum(1)), 1, atol=1e-4)
    largest = np.abs(as_light).argmax(0)
    assert (as_light[largest, range(3)] > 0).all()  # an axis has no sign; the same one on every machine


def test_the_offset_is_one_for_an_image_and_spreads_as_the_pixels_do():
    """aug-jitter-pca: constant over the image; over many its covariance is a hundredth of theirs."""
    mix = torch.tensor([[1.0, 0.2, 0], [0.5, 0.4, 0.1], [0.2, 0.3, 0.6]])
    x = SCALE.standardised(torch.einsum("ij,bjhw->bihw", mix, light(50)))
    components = principal_components(TensorSplit(x, torch.zeros(50)), SCALE)
    many = x[:1, :, :2, :2].expand(20000, -1, -1, -1)
    offsets = colour.pca(many, generator_for(0), 0.1, components) - many
    assert (offsets - offsets[:, :, :1, :1]).abs().max() < 1e-6
    pixels = x.transpose(0, 1).flatten(1)
    torch.testing.assert_close(
        torch.cov(offsets[:, :, 0, 0].T), 0.01 * torch.cov(pixels), rtol=0.05, atol=2e-4
    )


def test_of_grey_images_the_one_component_is_brightness():
    x = light(20, 1)
    scale = Scale((x.mean().item(),), (x.std(correction=0).item(),))
    train = TensorSplit(scale.standardised(x), torch.zeros(20))
    torch.testing.assert_close(principal_components(train, scale), torch.ones(1, 1))


# Damage


def test_grains_are_black_or_white_and_as_many_as_asked_for():
    x = SCALE.standardised(0.2 + 0.6 * light(40))
    seen = SCALE.light(damage.salt_pepper(x, generator_for(0), 0.1, SCALE))
    white, black = ((seen - level).abs().amax(1) < 1e-5 for level in (1, 0))
    assert white.float().mean().item() == pytest.approx(0.05, abs=0.01)
    assert black.float().mean().item() == pytest.approx(0.05, abs=0.01)
    rest = ~(white | black)[:, None].expand_as(seen)
    torch.testing.assert_close(seen[rest], SCALE.light(x)[rest])


@pytest.mark.parametrize("channels", [1, 3])
def test_compression_is_that_of_pillow(channels):
    """aug-compression: a JPEG round trip at quality q."""
    bytes_ = light(2, channels).mul(255).round()
    scale = Scale(SCALE.mean[:channels], SCALE.std[:channels])
    ours = scale.light(compressed(scale.standardised(bytes_ / 255), torch.tensor([10, 90]), scale)) * 255
    for one, pixels, quality in zip(ours, bytes_, (10, 90), strict=True):
        file = BytesIO()
        array = pixels.permute(1, 2, 0).byte().numpy()
        Image.fromarray(array if channels == 3 else array[:, :, 0]).save(file, "JPEG", quality=quality)
        theirs = np.array(Image.open(file)).reshape(array.shape)
        np.testing.assert_allclose(one.permute(1, 2, 0), theirs, atol=1e-3)
    damage_done = (ours - bytes_).abs().mean((1, 2, 3))
    assert damage_done[0] > damage_done[1] > 0


# Chains


def test_any_lets_each_image_have_so_many_of_those_that_follow():
    """aug-compose: changes that can be told apart, each certain to be seen where it was drawn."""
    steps = ("any:2", "brightness:1", "noise:1", "salt-pepper:1")
    x = torch.zeros(300, 3, 12, 16)
    changed = chain(*steps)(x, generator_for(0))
    masks = torch.stack(chain(*steps).masks(300, generator_for(0)), 1)  # type: ignore[attr-defined]
    assert masks.shape == (300, 3)
    assert (masks.sum(1) == 2).all()
    assert (masks.float().mean(0) - 2 / 3).abs().max() < 0.1
    assert len(masks.unique(dim=0)) == 3
    seen = SCALE.light(changed)
    grains = ((seen.abs() < 1e-5) | ((seen - 1).abs() < 1e-5)).flatten(1).all(1)
    assert torch.equal(grains, masks[:, 2])  # it comes last, and hides what came before
    flat = changed.flatten(2).std(2).amax(1) < 1e-6
    assert torch.equal(flat, ~masks[:, 1] & ~masks[:, 2])


def test_what_stands_before_any_is_for_all():
    x = images(50)
    changed = chain("pca:0.5", "any:1", "rotate:90", "shear:60")(x, generator_for(0))
    for before, after in zip(x, changed, strict=True):
        assert not torch.allclose(before, after, atol=1e-3)
    kinds = chain("any:1", "rotate:0", "vflip")(x, generator_for(0))
    same = [torch.allclose(a, b, atol=1e-4) for a, b in zip(x, kinds, strict=True)]
    mirrored = [torch.allclose(a.flip(1), b, atol=1e-4) for a, b in zip(x, kinds, strict=True)]
    assert all(s or m for s, m in zip(same, mirrored, strict=True))
    assert 3 < sum(mirrored) < 25  # half of the half that may be mirrored


def test_any_of_changes_of_place_reads_images_once():
    """Of one image either matrix or both; where none was drawn the image stays as it was."""
    x, steps = images(40), ("any:1", "rotate:40", "noise:1")
    changed = chain(*steps)(x, generator_for(0))
    masks = chain(*steps).masks(40, generator_for(0))  # type: ignore[attr-defined]
    generator = generator_for(0)
    torch.rand(40, 2, generator=generator)
    turned = warp(x, place.rotate(x, generator, 40))
    torch.testing.assert_close(changed[masks[0]], turned[masks[0]], rtol=0, atol=1e-5)


def test_all_together_is_a_function_of_the_generator_alone():
    names = [with_number(name) for name in CHANGES]
    x = images(5)
    change = chain("any:5", *names)
    many = [change(x, generator_for(0, k)) for k in (0, 0, 1)]
    assert torch.equal(many[0], many[1])
    assert not torch.equal(many[1], many[2])


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (["rotate"], "augment='rotate': write rotate:15, with a number from 0 to 180"),
        (["rotate:-5"], "number from 0 to 180"),
        (["rotate:181"], "number from 0 to 180"),
        (["shear:90"], "number from 0 to 80"),
        (["stretch:0.5"], "augment='stretch:0.5': write stretch:1.2, with a number from 1 on"),
        (["zoom:nan"], "write zoom:1.2"),
        (["crop:0"], "number from 0.05 to 1"),
        (["crop:1.5"], "number from 0.05 to 1"),
        (["lens:1"], "number from 0 to 0.3"),
        (["brightness:2"], "number from 0 to 1"),
        (["jitter:x"], "write jitter:0.2"),
        (["jpeg:33.3"], "whole number from 1 to 100"),
        (["vflip:1"], "augment='vflip:1': write vflip, without a number"),
        (["vflip:"], "without a number"),
        (["any:0", "flip"], "write any:2, with a whole number from 1 on"),
        (["any", "flip"], "write any:2"),
        (["any:3", "flip", "vflip"], "only 2 changes follow it"),
        (["any:1", "flip", "any:1", "flip"], "one any in a list"),
        (["rotat:3"], "did you mean 'rotate'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(steps, words):
    with pytest.raises(UsageError) as caught:
        augmentation(steps, FACTS, split())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_data_that_cannot_be_changed_so_is_refused():
    grey = Facts("t", "image", "class", (1, 8, 8))
    for step in ("hue:20", "saturation:0.3"):
        with pytest.raises(UsageError, match=f"augment='{step}': the images are grey"):
            augmentation((step,), grey)
    with pytest.raises(UsageError, match="this data holds none"):
        augmentation(("flip",), Facts("t", "table", "class", (4,)))
    with pytest.raises(UsageError, match="give train"):
        augmentation(("pca:0.1",), FACTS)
    assert augmentation((), grey) is None


def test_every_change_says_what_it_does():
    assert all(change.about and "\n" not in change.about for change in CHANGES.values())
    for change in CHANGES.values():
        assert change.example is None or change.low <= change.example <= change.high


def test_the_page_names_every_change():
    page = (Path(__file__).parents[2] / "docs" / "augment.md").read_text()
    table = page.partition("## Changes")[2].partition("## What")[0]
    assert set(re.findall(r"`([a-z-]+)(?::[A-Z]+)?`[, |]", table)) == {*CHANGES, "any"}
