"""What the doctor found, drawn: a panel for each picture, with its numbers in it."""

import numpy as np
import pytest

from didact.draw.diagnosis import DRAWN, draw_diagnosis, draw_finding
from didact.draw.style import to_png, to_svg

LOSS = [(k, 2.0 - 0.01 * k) for k in range(100)]
PICTURES = {
    "curve": {"kind": "curve", "title": "training loss", "points": LOSS},
    "curves": {
        "kind": "curves",
        "title": "loss by epoch",
        "curves": {"training": [(1, 1.0), (2, 0.5)], "validation": [(1, 1.1), (2, 1.5)]},
    },
    "bars": {"kind": "bars", "title": "rows of each class", "values": {"0": 90, "1": 3, "2": 7}},
    "scatter": {"kind": "scatter", "title": "feature 3 and the target", "x": [0, 1, 2], "y": [1, 0, 1]},
    "pair": {"kind": "pair", "title": "the same row", "rows": [[1.0, 2.0, 0.5], [1.0, 2.0, 0.5]]},
}


def finding(kind, **changes):
    return {"code": "O01", "cause": "the rate is too high", "picture": PICTURES.get(kind, {}) | changes}


def axes_of(*findings):
    return draw_diagnosis({"verdict": "faulty", "findings": list(findings)}).axes


def test_every_kind_has_a_picture_here():
    assert PICTURES.keys() == DRAWN.keys()


def test_a_panel_for_each_finding_that_has_a_picture():
    figure = draw_diagnosis({"verdict": "faulty", "findings": [finding(k) for k in (*PICTURES, "none")]})
    assert len(figure.subfigs) == len(PICTURES)
    assert "O01  the rate is too high: training loss" in to_svg(figure)


def test_nothing_to_draw_is_said():
    with pytest.raises(ValueError, match="healthy: no finding has a picture"):
        draw_diagnosis({"verdict": "healthy", "findings": []})


def test_bars_are_as_high_as_their_values():
    (axes,) = axes_of(finding("bars"))
    assert [bar.get_height() for bar in axes.patches] == [90, 3, 7]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "2"]


def test_long_names_lie_beside_their_bars():
    values = {f"hidden.{k}.weight": 10.0**-k for k in range(5)}
    (axes,) = axes_of(finding("bars", values=values, log=True))
    assert [bar.get_width() for bar in axes.patches] == list(values.values())
    assert [label.get_text() for label in axes.get_yticklabels()] == list(values)
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[0] < 1e-4  # the smallest is seen


def test_powers_of_ten_are_written_out():
    svg = to_svg(
        draw_finding(finding("curve", title="rate", points=[(k, 10.0**-k) for k in range(7)], log=True))
    )
    assert "1e-05" in svg
    assert "mathdefault" not in svg


def test_a_logarithm_of_nothing_is_drawn_plainly():
    (axes,) = axes_of(finding("curve", points=[(0, 0.0), (1, 0.0)], log=True))
    assert axes.get_yscale() == "linear"


def test_a_curve_goes_through_its_points():
    (axes,) = axes_of(finding("curve", title="norm of the gradient"))
    assert axes.lines[0].get_xydata().tolist() == [list(point) for point in LOSS]
    assert axes.get_xlabel() == "update"


def test_a_long_loss_is_faint_under_its_running_mean():
    (axes,) = axes_of(finding("curve"))
    raw, mean = axes.lines
    assert len(raw.get_xdata()) == 100
    assert np.allclose(np.diff(mean.get_ydata()), -0.01)
    assert mean.get_ydata()[0] == pytest.approx(np.mean([y for _, y in LOSS[:3]]))


def test_curves_have_their_names():
    (axes,) = axes_of(finding("curves"))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", "validation"]
    assert axes.lines[1].get_ydata().tolist() == [1.1, 1.5]
    assert axes.get_xlabel() == "epoch"


def test_what_json_has_no_number_for_leaves_a_gap():
    (axes,) = axes_of(finding("curve", title="norm", points=[[0, 1.0], [1, None], [2, 3.0]]))
    assert np.isnan(axes.lines[0].get_ydata()[1])


def test_a_pair_of_rows_and_a_pair_of_images():
    rows = axes_of(finding("pair", names=["train 3", "val 5"]))
    assert [axes.get_title("left") for axes in rows] == ["train 3", "val 5"]
    image = np.arange(12.0).reshape(1, 3, 4).tolist()
    images = axes_of(finding("pair", rows=[image, image]))
    assert [axes.images[0].get_array().shape for axes in images] == [(3, 4), (3, 4)]
    colours = np.linspace(-2, 5, 48).reshape(3, 4, 4)  # standardised: in no unit that a screen knows
    (shown, _) = (axes.images[0].get_array() for axes in axes_of(finding("pair", rows=[colours] * 2)))
    assert (shown.shape, shown.min(), shown.max()) == ((4, 4, 3), 0, 1)
    deep = axes_of(finding("pair", rows=[np.ones((7, 2, 2)).tolist()] * 2))  # no picture has seven channels
    assert [axes.get_xlabel() for axes in deep] == ["", "feature"]


def test_the_same_numbers_are_the_same_bytes():
    report = {"verdict": "faulty", "findings": [finding(kind) for kind in PICTURES]}
    assert to_svg(draw_diagnosis(report)) == to_svg(draw_diagnosis(report))
    assert to_png(draw_diagnosis(report)).startswith(b"\x89PNG")


def test_a_loss_that_spans_decades_is_drawn_by_powers_of_ten():
    (axes,) = axes_of(finding("curve", points=[(0, 2.0), (1, 300.0), (2, 2.0)]))
    assert axes.get_yscale() == "log"
    (axes,) = axes_of(finding("curve", title="norm", points=[(0, 2.0), (1, 300.0), (2, 2.0)]))
    assert axes.get_yscale() == "linear"
