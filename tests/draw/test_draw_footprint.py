"""The picture of a footprint: heat, what can be seen, what counts, each where it belongs."""

import numpy as np
import pytest
from matplotlib.patches import Circle, Rectangle

from didact.draw.footprint import draw_footprint
from didact.draw.style import to_png, to_svg

HEAT = np.zeros((9, 12))
HEAT[4, 5], HEAT[4, 6] = 0.75, 0.25
SQUARE = [(2, 6), (-1, 11)]


def patches(figure, kind) -> list:
    return [patch for patch in figure.axes[0].patches if type(patch) is kind]


def test_heat_square_and_circle_lie_where_they_should():
    figure = draw_footprint(HEAT, (4.0, 5.0), SQUARE, 2.5, layer="conv$2")
    (shades,) = figure.axes[0].images
    assert np.allclose(shades.get_array(), np.sqrt(HEAT))
    image, square = patches(figure, Rectangle)
    assert image.get_bbox().bounds == (-0.5, -0.5, 12, 9)
    assert square.get_bbox().bounds == (-1.5, 1.5, 13, 5)
    (circle,) = patches(figure, Circle)
    assert (circle.center, circle.radius) == ((5.0, 4.0), 2.5)
    assert figure.axes[0].get_title("left") == "What an output of conv$2 sees"
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names == ["the image", "can be seen: 5 x 13", "95% of the gradient: radius 2.5"]


def test_nothing_is_cut_off():
    axes = draw_footprint(HEAT, (4.0, 5.0), SQUARE, 2.5).axes[0]
    assert axes.get_xlim()[0] < -1.5
    assert axes.get_xlim()[1] > 11.5
    assert axes.get_ylim()[0] > 8.5  # downwards, as images are
    assert axes.get_ylim()[1] < -0.5
    wide = draw_footprint(HEAT, (4.0, 5.0), SQUARE, 20.0).axes[0]
    assert wide.get_xlim()[1] > 11.5


def test_a_sequence_and_a_volume():
    line = draw_footprint(HEAT.sum(0), (5.0,), SQUARE[1:], 1.5, share=0.5)
    assert [bar.get_height() for bar in line.axes[0].containers[0]] == list(HEAT.sum(0))
    volume = draw_footprint(np.stack([HEAT, HEAT]), (0.5, 4.0, 5.0), [(0, 1), *SQUARE], 2.5)
    assert np.allclose(volume.axes[0].images[0].get_array(), np.sqrt(2 * HEAT))
    assert patches(volume, Rectangle)[1].get_bbox().bounds == (-1.5, 1.5, 13, 5)


def test_an_output_that_sees_nothing_can_be_drawn():
    to_svg(draw_footprint(np.zeros((4, 4)), (0.0, 0.0), [None, None], 0.0))
    to_svg(draw_footprint(np.full(4, np.nan), (0.0,), [None], 0.0))


def test_the_same_bytes_each_time():
    first, second = (to_svg(draw_footprint(HEAT, (4.0, 5.0), SQUARE, 2.5)) for _ in range(2))
    assert first == second
    assert to_png(draw_footprint(HEAT, (4.0, 5.0), SQUARE, 2.5)).startswith(b"\x89PNG")


def test_four_axes_are_refused():
    with pytest.raises(ValueError, match=r"heat of shape \(1, 1, 1, 1\)"):
        draw_footprint(np.zeros((1, 1, 1, 1)), (0.0,) * 4, [(0, 0)] * 4, 1.0)
