"""Figures: right numbers in the right place, the same bytes each time, nothing left behind in matplotlib."""

import ast
import math
import xml.etree.ElementTree as ET
from base64 import b64encode
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

import didact.draw
from didact.draw.confusion import draw_confusion
from didact.draw.curves import draw_comparison, draw_learning_curves, draw_surprise, smooth, smoothing_factor
from didact.draw.gallery import draw_gallery
from didact.draw.histogram import draw_histograms
from didact.draw.scatter import draw_scatter
from didact.draw.style import printable, to_png, to_svg
from didact.tasks.exhibits import Confusion, Distributions, Mistake, Mistakes, Passage, Scatter

SVG = "{http://www.w3.org/2000/svg}"


def words(svg):
    """Every text of an SVG document, in order."""
    return ["".join(element.itertext()) for element in ET.fromstring(svg).iter(f"{SVG}text")]


def epochs(count, updates=10):
    """A made-up classification run: history and raw curve."""
    curve = [
        {"step": s, "epoch": (s - 1) // updates + 1, "train": {"loss": 2 / s, "accuracy": 1 - 1 / s}}
        for s in range(1, count * updates + 1)
    ]
    history = [
        {
            "epoch": e,
            "step": e * updates,
            "lr": 0.1 / e,
            "seconds": e,
            "best": e <= count // 2 + 1,
            "train": {"loss": 1 / e, "accuracy": 1 - 1 / e},
            "val": {"loss": 1.5 / e, "accuracy": 0.9},
        }
        for e in range(1, count + 1)
    ]
    return history, curve


# ------------------------------------------------------------------------------------------------ smoothing


def test_smooth_by_hand():
    # m1 = .5*1 = .5, /.5 -> 1;  m2 = .25+0 = .25, /.75 -> 1/3;  m3 = .125+1 = 1.125, /.875 -> 9/7
    assert smooth([1.0, 0.0, 2.0], 0.5) == pytest.approx([1.0, 1 / 3, 9 / 7])


def test_smooth_is_debiased():
    assert smooth([3.0] * 5, 0.99) == pytest.approx([3.0] * 5)  # uncorrected it would start at 0.03


def test_smooth_is_a_weighted_mean():
    values, factor = [0.3, -1.2, 4.0, 2.2], 0.8
    weights = np.array([factor**k for k in (3, 2, 1, 0)])
    assert smooth(values, factor)[-1] == pytest.approx(float(weights @ values / weights.sum()))


def test_smooth_with_factor_zero_changes_nothing():
    assert smooth([1.0, -2.0, 5.0], 0.0) == [1.0, -2.0, 5.0]
    assert smooth([], 0.9) == []


@pytest.mark.parametrize("factor", [-0.1, 1.0, math.inf, math.nan])
def test_smooth_refuses_other_factors(factor):
    with pytest.raises(ValueError, match="choose from 0"):
        smooth([1.0], factor)


def test_longer_curves_are_smoothed_more():
    assert smoothing_factor(5) == 0
    assert 0 < smoothing_factor(60) < smoothing_factor(600) < 1


# ------------------------------------------------------------------------------------------ learning curves


def test_curves_show_raw_smoothed_and_validation():
    history, curve = epochs(12)
    axes = draw_learning_curves(history, curve, "accuracy").axes
    assert [a.get_title("left") for a in axes] == ["Loss", "Accuracy", "Learning rate"]
    loss = {len(line.get_xdata()): line for line in axes[0].lines}
    raw, strong = (line for line in axes[0].lines if len(line.get_xdata()) == len(curve))
    assert list(raw.get_ydata()) == [point["train"]["loss"] for point in curve]
    factor = smoothing_factor(len(curve))
    assert list(strong.get_ydata()) == smooth([point["train"]["loss"] for point in curve], factor)
    assert raw.get_alpha() < 0.5
    assert strong.get_alpha() is None
    assert raw.get_xdata()[-1] == 12  # in epochs
    assert list(loss[12].get_ydata()) == [record["val"]["loss"] for record in history]


def test_curves_mark_the_best_epoch():
    history, curve = epochs(12)
    assert "best epoch 7: 0.9" in words(to_svg(draw_learning_curves(history, curve)))


def test_curves_of_a_game():
    numbers = {"loss_discriminator": 1.4, "loss_generator": 0.7, "d_real": 0.6, "d_fake": 0.4}
    history = [
        {
            "epoch": 1,
            "step": 3,
            "lr": 0.1,
            "train": numbers,
            "val": {"wasserstein": 0.5, "mean": 4.0},
            "best": True,
        }
    ]
    figure = draw_learning_curves(history, [{"step": s, "epoch": 1, "train": numbers} for s in (1, 2, 3)])
    titles = ["Losses of the players", "The discriminator's verdict", "Wasserstein distance", "Learning rate"]
    assert [a.get_title("left") for a in figure.axes] == titles
    assert [0.5, 0.5] in [list(line.get_ydata()) for line in figure.axes[1].lines]  # the target


def test_curves_of_a_regression_have_no_training_metric():
    history = [
        {
            "epoch": e,
            "step": e,
            "lr": 0.1,
            "train": {"loss": 1.0},
            "val": {"loss": 1.0, "rmse": 50.0},
            "best": e == 1,
        }
        for e in (1, 2)
    ]
    figure = draw_learning_curves(history, [{"step": 1, "epoch": 1, "train": {"loss": 1.0}}], "rmse")
    assert figure.axes[1].get_title("left") == "Root mean squared error"


@pytest.mark.parametrize("curve", [[], [{"step": 3, "epoch": 1, "train": {"loss": 1.0}}]])
def test_curves_before_the_first_epoch(curve):
    assert "update" in words(to_svg(draw_learning_curves([], curve)))


def test_a_loss_that_falls_far_is_logarithmic():
    history, curve = epochs(12)
    assert draw_learning_curves(history, curve).axes[0].get_yscale() == "log"
    history, curve = epochs(1, updates=3)
    assert draw_learning_curves(history, curve).axes[0].get_yscale() == "linear"


@pytest.mark.filterwarnings("error")
def test_curves_survive_numbers_that_are_none():
    history, curve = epochs(3)
    history[1]["val"] = {"loss": math.nan, "accuracy": math.inf}
    curve[4]["train"]["loss"] = math.inf
    to_svg(draw_learning_curves(history, curve))


def test_comparison_lays_runs_over_one_another():
    figure = draw_comparison({"lenet5-1": [0.5, 0.9], "<b>": [0.4, 0.8, 0.85]}, "macro_f1")
    assert [line.get_label() for line in figure.axes[0].lines] == ["lenet5-1", "<b>"]
    assert figure.axes[0].lines[1].get_xdata().tolist() == [1, 2, 3]
    assert {"Macro F1 on the validation split", "lenet5-1", "<b>"} <= set(words(to_svg(figure)))


# ------------------------------------------------------------------------------------------ other exhibits


def test_confusion_writes_counts_recall_and_precision():
    shown = words(to_svg(draw_confusion(["cat", "dog"], [[3, 1], [0, 6]])))
    assert {"3", "1", "6", "cat", "dog", "75%", "100%", "86%", "recall", "precision"} <= set(shown)
    assert "0" not in shown


def test_confusion_of_a_class_without_examples():
    assert "–" in words(to_svg(draw_confusion(["a", "b"], [[2, 0], [0, 0]])))


def test_confusion_of_many_classes_stays_small():
    size = 150
    svg = to_svg(draw_confusion([f"class {i}" for i in range(size)], np.eye(size, dtype=int).tolist()))
    assert len(svg) < 60_000
    assert "class 0" in words(svg)


def test_names_are_shown_as_they_are():
    names = ["<script>alert(1)</script>", "$x_1$ & $5", "日本語"]
    shown = words(to_svg(draw_confusion(names, np.eye(3, dtype=int).tolist())))
    assert "$x_1$ & $5" in shown  # neither mathematics
    assert any(text.startswith("<script>") for text in shown)  # nor markup
    assert "日本語" in shown  # and no warning about glyphs


def test_scatter_keeps_what_is_finite():
    figure = draw_scatter([1.0, 2.0, math.nan], [1.5, math.inf, 2.0], "price")
    offsets = figure.axes[0].collections[0].get_offsets()
    assert offsets.tolist() == [[1.0, 1.5]]
    assert "true price" in words(to_svg(figure))
    assert draw_scatter([], [], "price").axes[0].get_xlim() == (0, 1)


def test_histograms_are_densities():
    edges = [0.0, 0.5, 1.5]
    real, made = draw_histograms(edges, {"real": [1, 1], "generated": [30, 10]}).axes[0].patches
    assert real.get_data().values.tolist() == [1.0, 0.5]
    for patch in (real, made):
        assert (patch.get_data().values * np.diff(edges)).sum() == pytest.approx(1)


def test_gallery_shows_pictures_and_texts():
    buffer = BytesIO()
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(buffer, "PNG")
    uri = "data:image/png;base64," + b64encode(buffer.getvalue()).decode()
    figure = draw_gallery([uri, ""], ["a picture", "a\ntext"], ["", "long words"])
    assert (figure.axes[0].images[0].get_array() == 7).all()
    assert {"a picture", "long words"} <= set(words(to_svg(figure)))
    assert "nothing to show" in words(to_svg(draw_gallery([], [], [])))


def test_surprise_shades_each_character():
    figure = draw_surprise("ab\nc", [0.0, 4.0, 8.0, 1.0])
    assert words(to_svg(figure))[:4] == ["a", "b", "↵", "c"]
    boxes = [(patch.get_x(), patch.get_y()) for patch in figure.axes[0].patches]
    assert boxes == [(-0.5, -0.5), (0.5, -0.5), (1.5, -0.5), (-0.5, 0.5)]
    assert not draw_surprise("written", []).axes[0].patches
    to_svg(draw_surprise("", []))


# --------------------------------------------------------------------------------------------------- style

EXHIBITS = [
    Confusion(("a", "b"), [[3, 1], [0, 2]]),
    Mistakes([Mistake("x", "a", "b", 0.9, text="t")], 1, 6),
    Scatter([1.0, 2.0], [1.5, 2.5], "price"),
    Distributions([0.0, 1.0, 2.0], [1, 2], [2, 1]),
    Passage("some text", [1.0] * 9, "about"),
]


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.kind)
def test_every_exhibit_is_drawn_the_same_each_time(exhibit):
    svg = to_svg(exhibit.plot())
    assert svg == to_svg(exhibit.plot())
    assert "<dc:date>" not in svg
    assert to_png(exhibit.plot()) == to_png(exhibit.plot())
    assert to_png(exhibit.plot()).startswith(b"\x89PNG")


def test_a_figure_can_be_drawn_twice():
    figure = EXHIBITS[0].plot()
    assert to_svg(figure) == to_svg(figure)


def test_paths_are_short_but_labels_are_whole():
    svg = to_svg(draw_scatter([0.123456, 2.0], [0.5, 1.0], "0.123456"))
    assert "true 0.123456" in words(svg)
    assert all(
        len(part.partition(".")[2]) <= 2
        for path in ET.fromstring(svg).iter(f"{SVG}path")
        for part in path.get("d", "").split()
    )


def test_matplotlib_is_left_as_it_was():
    before = dict(matplotlib.rcParams)
    for exhibit in EXHIBITS:
        to_svg(exhibit.plot())
    assert dict(matplotlib.rcParams) == before


def test_printable():
    assert printable("a\x00b\nc\ud800") == "a\N{REPLACEMENT CHARACTER}b c\N{REPLACEMENT CHARACTER}"
    assert printable("abcdef", 4) == "abc…"
    ET.fromstring(to_svg(draw_confusion(["a\x00", "b\x1b"], [[1, 0], [0, 1]])))


def test_the_room_imports_neither_pyplot_nor_the_rest_of_the_house():
    for path in Path(didact.draw.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else ([node.module] if isinstance(node, ast.ImportFrom) else [])
            )
            for name in names:
                assert "pyplot" not in name
                assert not name.startswith("didact") or name.startswith(("didact.draw", "didact.errors"))
