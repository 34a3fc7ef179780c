"""Grids of small images: each in its place, on a common scale or its own."""

import matplotlib
import numpy as np
import pytest

from didact.draw.style import VERMILION, to_png, to_svg
from didact.draw.tiles import draw_tiles

TILES = np.stack([np.full((2, 3), value) for value in (-2.0, 0.0, 1.0, 2.0, 0.5)])
TILES[4, 0, 0] = 0.0


def shades(figure) -> list[np.ndarray]:
    """The colours of each image (H, W, 4)."""
    return [np.asarray(image.get_array()) for image in figure.axes[0].images]


def places(figure) -> list[tuple[float, float]]:
    """The left and upper edge of each image."""
    return [(image.get_extent()[0], image.get_extent()[3]) for image in figure.axes[0].images]


def test_images_stand_in_rows_with_a_gap():
    figure = draw_tiles(TILES, "five", columns=3)
    assert places(figure) == [(-0.5, -0.5), (3.5, -0.5), (7.5, -0.5), (-0.5, 2.5), (3.5, 2.5)]
    assert [shade.shape for shade in shades(figure)] == [(2, 3, 4)] * 5
    assert figure.axes[0].get_title("left") == "five"


def test_a_common_scale_keeps_sizes_apart_and_zero_in_the_middle():
    low, zero, half, high, _ = shades(draw_tiles(TILES))
    assert np.allclose(zero, 1.0, atol=0.01)  # paper
    assert np.allclose(high[0, 0], matplotlib.colors.to_rgba(VERMILION), atol=0.01)
    assert not np.allclose(half, high, atol=0.1)
    assert low[0, 0, 2] > low[0, 0, 0]  # blue
    assert len(draw_tiles(TILES).axes) == 2  # with a key


def test_each_on_its_own_scale_is_stretched():
    _, zero, half, high, _ = shades(draw_tiles(TILES, scale="each"))
    assert np.array_equal(half, high)
    assert np.allclose(zero, 1.0, atol=0.01)
    figure = draw_tiles(TILES, scale="each", colours="light")
    assert len(figure.axes) == 1
    edge = shades(figure)[4]
    assert edge[0, 0, 0] < 0.2
    assert edge[1, 1, 0] > 0.95


def test_names_stand_below():
    figure = draw_tiles(TILES[:2], names=["one", "$two$"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["one", "$two$"]


def test_what_is_not_finite_counts_as_nothing():
    tiles = TILES.copy()
    tiles[0, 0, 0], tiles[1, 0, 0] = np.nan, np.inf
    assert np.allclose(shades(draw_tiles(tiles))[0][0, 0], 1.0, atol=0.01)
    to_svg(draw_tiles(np.zeros((1, 4, 4)), scale="each", colours="light"))


@pytest.mark.parametrize("tiles", [np.zeros((4, 4)), np.zeros((0, 4, 4)), np.zeros((2, 3, 4, 4))])
def test_other_shapes_are_refused(tiles: np.ndarray):
    with pytest.raises(ValueError, match="give images as"):
        draw_tiles(tiles)


def test_the_same_numbers_give_the_same_bytes():
    assert to_png(draw_tiles(TILES)) == to_png(draw_tiles(TILES))
    assert to_svg(draw_tiles(TILES)) == to_svg(draw_tiles(TILES))
