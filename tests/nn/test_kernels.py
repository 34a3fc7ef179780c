"""Filters with a meaning: their sums, what they do to constants, edges and ramps, the bank as a module."""

import pytest
import torch
from sklearn.datasets import load_sample_image
from torch import Tensor
from torch.nn import functional as F

from didact.errors import UsageError
from didact.nn.kernels import KERNELS, FilterBank, filter_image, kernel

SUMS = {"edge": 0, "box": 1, "gaussian": 1, "sharpen": 1, "blur": 33, "diagonal": 1.1}
SUMS |= dict.fromkeys(("sobel-x", "sobel-y", "scharr-x", "scharr-y"), 0)


def photo() -> Tensor:
    """A corner of a real photograph, (3, 40, 50), 0 to 1."""
    return torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[:, 100:140, 200:250] / 255


def test_every_filter_has_a_line_and_its_numbers():
    assert set(SUMS) == set(KERNELS)
    assert all(len(entry.about) > 20 and "\n" not in entry.about for entry in KERNELS.values())
    assert kernel("Sobel_X").equal(kernel("sobel-x"))
    made = kernel("edge")
    made.zero_()
    assert kernel("edge").any()  # a tensor of one's own


@pytest.mark.parametrize("name", KERNELS)
def test_a_constant_image_answers_with_the_sum(name: str):
    """W27: up to the border, which is continued."""
    out = filter_image(torch.full((6, 7), 3.0), [name])[name]
    torch.testing.assert_close(out, torch.full((6, 7), 3.0 * SUMS[name]))


def ramp() -> Tensor:
    """x(i, j) = j, away from the border."""
    return torch.arange(9.0).expand(7, 9)


@pytest.mark.parametrize(("name", "weight"), [("sobel", 4), ("scharr", 16)])
def test_gradient_filters_answer_edges_of_one_direction(name: str, weight: int):
    """kernel-sobel, kernel-scharr: they sum weight x (left - right), two pixels apart."""
    inside = (slice(1, -1), slice(1, -1))
    across, along = (filter_image(ramp(), [f"{name}-{axis}"])[f"{name}-{axis}"] for axis in "xy")
    assert across[inside].unique().tolist() == [-2 * weight]
    assert along[inside].unique().tolist() == [0]
    turned = filter_image(ramp().T, [f"{name}-y"])[f"{name}-y"]
    assert torch.equal(turned, across.T)
    assert torch.equal(kernel(f"{name}-y"), kernel(f"{name}-x").T)


def test_the_edge_filter_answers_edges_and_not_slopes():
    step = (torch.arange(9) >= 4).float().expand(7, 9)
    out = filter_image(step, ["edge"])["edge"]
    assert out[3].tolist() == [0, 0, 0, -3, 3, 0, 0, 0, 0]
    assert not filter_image(ramp(), ["edge"])["edge"][1:-1, 1:-1].any()


def test_blurs_lower_and_sharpening_raises_contrast():
    """On a real photograph: the variation between neighbours."""

    def contrast(image: Tensor) -> float:
        return image.diff(dim=-1).square().mean().sqrt().item()

    image = photo()
    maps = filter_image(image, ["box", "gaussian", "sharpen"])
    order = [contrast(maps["box"]), contrast(maps["gaussian"]), contrast(image), contrast(maps["sharpen"])]
    assert order == sorted(order)
    assert order[3] > 1.5 * order[2] > 2 * order[1]


def test_the_first_filter_of_notes_003():
    """kernel-example (L325-327) with their S(i,j) = sum I(i+m, j+n) K(m,n)."""
    image = photo()[0]
    out = filter_image(image, ["diagonal"])["diagonal"]
    torch.testing.assert_close(out[:-1, :-1], 0.5 * image[:-1, :-1] + 0.6 * image[1:, 1:])
    assert kernel("diagonal").tolist() == [[0.5, 0], [0, pytest.approx(0.6)]]


def test_images_keep_their_shape_and_channels_stay_apart():
    image = photo()
    maps = filter_image(image)
    assert list(maps) == list(KERNELS)
    assert all(out.shape == image.shape for out in maps.values())
    for name, out in filter_image(image[1]).items():
        torch.testing.assert_close(out, maps[name][1])


def test_filtering_is_torchs():
    image = photo()
    padded = F.pad(image[:, None], [1] * 4, mode="replicate")
    for name in ("edge", "sobel-x", "gaussian"):
        torch.testing.assert_close(
            filter_image(image, [name])[name], F.conv2d(padded, kernel(name)[None, None])[:, 0]
        )


def test_whole_numbers_are_read_as_decimals():
    image = (photo() * 255).round().to(torch.uint8)
    for name, out in filter_image(image).items():
        torch.testing.assert_close(out, filter_image(image.float())[name])
    assert torch.equal(FilterBank(["box"])(image[None]), FilterBank(["box"])(image[None].float()))
    assert filter_image(image.double(), ["box"])["box"].dtype == torch.float64


def test_a_bank_is_a_layer_without_parameters():
    bank, x = FilterBank(["sobel-x", "box"]), torch.stack([photo(), photo().flip(2)])
    assert (list(bank.parameters()), list(bank.state_dict())) == ([], ["weight"])
    out = bank(x)
    assert out.shape == (2, 6, 40, 50)
    for c in range(3):
        torch.testing.assert_close(out[1, 2 * c], filter_image(x[1, c], ["sobel-x"])["sobel-x"])
        torch.testing.assert_close(out[1, 2 * c + 1], filter_image(x[1, c], ["box"])["box"])
    assert FilterBank().names == tuple(KERNELS)


def test_mistakes_are_answered():
    with pytest.raises(UsageError, match=r"^kernel='sobelx': unknown, did you mean 'sobel-x'"):
        kernel("sobelx")
    with pytest.raises(UsageError, match=r"^names=\[\]: name one filter or more"):
        FilterBank([])
    with pytest.raises(UsageError, match=r"^image of shape \(1, 3, 4, 4\): give \(height, width\)"):
        filter_image(torch.zeros(1, 3, 4, 4))
    with pytest.raises(UsageError, match=r"^input of shape \(3, 4, 4\): FilterBank reads"):
        FilterBank()(torch.zeros(3, 4, 4))
