"""Variants over one another: the right lines in the right places, told apart by colour and by dashes."""

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from didact.draw.experiment import band, draw_experiment, find_looks, thinned
from didact.draw.style import to_svg

SVG = "{http://www.w3.org/2000/svg}"
CURVES = {
    "plain 18": [[(1, 2.0), (2, 1.0)], [(1, 3.0), (2, 0.5)]],
    "plain 34": [[(1, 2.5), (2, 2.0)], [(1, 2.5)]],  # the second run was stopped
    "residual 18": [[(1, 1.0), (2, 0.001)], [(1, 1.0), (2, 0.003)]],
}
LINES = {"plain 18": "plain", "plain 34": "plain", "residual 18": "residual"}
OVER = {"plain": [(18.0, [1.0, 0.5]), (34.0, [2.0])], "residual": [(18.0, [0.001, 0.003])]}


def draw(**changes: object):
    given = {"lines": LINES, "x_label": "epoch", "y_label": "training loss", "over": {}}
    return draw_experiment(CURVES, **given | changes)


def words(figure) -> set[str]:
    return {"".join(text.itertext()) for text in ET.fromstring(to_svg(figure)).iter(f"{SVG}text")}


def test_a_band_is_mean_lowest_and_highest():
    assert band(CURVES["plain 18"]) == ([1, 2], [2.5, 0.75], [2.0, 0.5], [3.0, 1.0])
    assert band(CURVES["plain 34"]) == ([1, 2], [2.5, 2.0], [2.5, 2.0], [2.5, 2.0])
    assert band([[(1, math.inf), (2, 1.0)], []]) == ([2], [1.0], [1.0], [1.0])
    assert band([]) == ([], [], [], [])


def test_curves_are_means_with_their_bands_on_one_axis():
    figure = draw()
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines) == list(CURVES)
    assert lines["plain 18"].get_xydata().tolist() == [[1, 2.5], [2, 0.75]]
    corners = axes.collections[0].get_paths()[0].vertices
    assert corners[:, 1].min() == 0.5
    assert corners[:, 1].max() == 3.0
    assert axes.get_yscale() == "log"
    assert {"Training loss", "epoch", *CURVES} <= words(figure)


@pytest.mark.parametrize("count", [0, 1, 120, 121, 1000])
def test_long_curves_are_thinned_evenly_to_their_end(count: int):
    kept = thinned([float(k) for k in range(count)])
    assert len(kept) <= 120
    assert kept[-1:] == [float(k) for k in range(count)][-1:]
    assert len(set(np.diff(kept))) <= 1
    assert count > 120 or len(kept) == count


def test_a_loss_that_falls_little_stays_on_a_plain_axis():
    figure = draw_experiment(
        {"a": [[(1, 2.0), (2, 1.0)]]}, lines={"a": ""}, x_label="epoch", y_label="loss", over={}
    )
    assert figure.axes[0].get_yscale() == "linear"


def test_colour_tells_the_line_and_dashes_the_place_on_it():
    looks = find_looks(LINES)
    assert looks["plain 18"][0] == looks["plain 34"][0] != looks["residual 18"][0]
    assert looks["plain 18"][1] == looks["residual 18"][1] != looks["plain 34"][1]


@pytest.mark.parametrize("count", [2, 7])
def test_without_lines_all_look_different(count: int):
    looks = find_looks({f"variant {k}": "" for k in range(count)})
    assert len({colour for colour, _ in looks.values()}) == count
    assert len({str(look) for look in looks.values()}) == count


def test_numbers_over_places():
    figure = draw(over=OVER, over_label="training loss", at_label="layers", at_log=True)
    beside = figure.axes[1]
    assert [line.get_xydata().tolist() for line in beside.lines] == [[[18, 0.75], [34, 2.0]], [[18, 0.002]]]
    bars = np.array([segment for bar in beside.collections for segment in bar.get_segments()])
    assert bars[:, :, 1].tolist() == [[0.5, 1.0], [2.0, 2.0], [0.001, 0.003]]
    assert beside.get_xscale() == "log"
    assert [tick.get_text() for tick in beside.get_xticklabels()] == ["18", "34"]
    assert {"plain", "residual", "layers"} <= words(figure)


def test_nothing_measured_is_said():
    nothing = {"plain": [(18.0, []), (34.0, [])]}
    assert "no run came so far" in words(draw(over=nothing, over_label="updates", at_label="layers"))
    to_svg(draw_experiment({"a": [[]]}, lines={"a": ""}, x_label="epoch", y_label="loss", over={}))


def test_the_same_numbers_give_the_same_bytes():
    given = {"over": OVER, "over_label": "loss", "at_label": "layers"}
    assert to_svg(draw(**given)) == to_svg(draw(**given))
