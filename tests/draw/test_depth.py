"""Numbers over depth: a dot for a head, a line for a network, and a level to compare with."""

import xml.etree.ElementTree as ET

import pytest

from didact.draw.depth import draw_heads, draw_over_depth
from didact.draw.style import to_png, to_svg

SVG = "{http://www.w3.org/2000/svg}"
HEADS = {"block 1": [3.0, 60.0], "block 2": [40.0, 55.0, 50.0]}
PLAIN, RESIDUAL = {"a": 1e-8, "b": 1e-2}, {"a": 0.1, "b": 0.3}


def words(figure) -> set[str]:
    return {"".join(text.itertext()) for text in ET.fromstring(to_svg(figure)).iter(f"{SVG}text")}


def test_a_dot_stands_for_every_head_at_its_layer():
    figure = draw_heads(HEADS, "pixels", 65.0, "everywhere alike")
    (axes,) = figure.axes
    assert axes.collections[0].get_offsets().tolist() == [[1, 3], [1, 60], [2, 40], [2, 55], [2, 50]]
    assert axes.get_ylim() == (0, pytest.approx(1.06 * 65))
    assert axes.lines[0].get_ydata()[0] == 65.0
    assert {"layer", "pixels", "a head", "everywhere alike"} <= words(figure)


def test_networks_are_lines_of_their_own_colour():
    figure = draw_over_depth({"plain": PLAIN, "residual": RESIDUAL}, "mean |gradient|", log=True)
    first, second = figure.axes[0].lines
    assert first.get_xydata().tolist() == [[1, 1e-8], [2, 1e-2]]
    assert second.get_ydata().tolist() == [0.1, 0.3]
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()
    assert figure.axes[0].get_yscale() == "log"
    assert {"plain", "residual", "mean |gradient|", "layer", "0.01", "1e-08"} <= words(figure)


def test_a_single_network_has_its_layers_named():
    figure = draw_over_depth({"network": RESIDUAL}, "accuracy", level=0.1, level_label="chance")
    assert {"a", "b", "chance"} <= words(figure)
    assert "layer" not in words(figure)
    assert figure.axes[0].lines[1].get_ydata()[0] == 0.1
    many = draw_over_depth({"network": {f"layer{k}": 0.5 for k in range(31)}}, "accuracy")
    assert "layer" in words(many)
    assert "layer30" not in words(many)


def test_the_same_numbers_give_the_same_bytes():
    assert to_svg(draw_heads(HEADS, "y", 1.0, "l")) == to_svg(draw_heads(HEADS, "y", 1.0, "l"))
    assert to_png(draw_over_depth({"n": PLAIN}, "y")) == to_png(draw_over_depth({"n": PLAIN}, "y"))
