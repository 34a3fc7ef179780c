"""The pictures of the pages are what the code draws today, and the words beside them are true."""

import re
import runpy
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.colors import to_hex

from didact.catalog import CATALOG
from didact.draw.activations import draw_activations
from didact.draw.style import BLUE, to_svg
from didact.nn.activation import ACTIVATIONS
from didact.see.activations import activation_curves

DOCS = Path(__file__).parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
pictures = SimpleNamespace(**runpy.run_path(str(DOCS / "pictures.py")))


def texts(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_picture_is_what_the_code_draws(name: str):
    """Every word and every mark; places to a twentieth of a point, since processors round differently."""
    kept = (DOCS / "images" / f"{name}.svg").read_text()
    drawn = to_svg(pictures.PICTURES[name]())
    assert texts(kept) == texts(drawn)
    paths = [re.findall(r' d="([^"]*)"', svg) for svg in (kept, drawn)]
    assert len(paths[0]) == len(paths[1])
    for first, second in zip(*paths, strict=True):
        assert NUMBER.sub("", first) == NUMBER.sub("", second)
        numbers = [[float(number) for number in NUMBER.findall(path)] for path in (first, second)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.05)


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_picture_is_shown(name: str):
    assert any(f"(images/{name}.svg)" in page.read_text() for page in DOCS.glob("*.md"))


# Activations


def test_every_activation_has_its_panel():
    """act-plots: the function, its derivative, and shade where it saturates."""
    names = [*ACTIVATIONS, "elu:2", "maxout, 3 pieces"]
    panels = [axes for axes in pictures.draw_all_activations().axes if axes.get_visible()]
    assert [axes.get_title("left") for axes in panels] == names
    curves = activation_curves()
    for axes, name in zip(panels, ACTIVATIONS, strict=False):
        function, slope = axes.lines
        assert tuple(function.get_ydata()) == curves[name].values
        assert tuple(slope.get_ydata()) == curves[name].slopes
        shades = [patch.get_x() + patch.get_width() for patch in axes.patches[:1]]
        assert shades == [max(curves[name].saturated[0], -7)]
        assert axes.patches[1].get_x() == min(curves[name].saturated[1], 7)


def test_a_few_activations_leave_no_empty_panel():
    figure = draw_activations(activation_curves(["sigmoid", "tanh", "relu", "elu", "gelu"]))
    assert [axes.get_visible() for axes in figure.axes] == [True] * 5 + [False] * 3
    assert len(draw_activations(activation_curves(["tanh"])).axes) == 1


# ImageNet


def table() -> list[list[str]]:
    """The rows of the table on the page."""
    page = (DOCS / "history.md").read_text().split("## ImageNet, year by year")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return rows[2:]


def test_the_page_has_the_table_of_the_data():
    data = pictures.imagenet()
    expected = [
        [
            str(entry["year"]),
            entry["name"] + (", second" if entry.get("second") else ""),
            str(entry["depth"] or "no network"),
            f"{entry['error']:g} %",
            entry["by"],
        ]
        for entry in data["entry"]
    ]
    assert [[re.sub(r"`[^`]*` ?", "", cell).strip() for cell in row] for row in table()[:-1]] == expected
    assert table()[-1][1:4] == ["a human", "", f"{data['human']:g} %"]


def test_the_networks_that_are_here_are_as_deep_as_the_table_says():
    depths = {entry["name"].lower(): entry["depth"] for entry in pictures.imagenet()["entry"]}
    assert CATALOG["resnet152"].arguments["depth"] == depths["resnet"]
    assert CATALOG["vgg19"].arguments["depth"] == depths["vgg"]
    for name in re.findall(r"`didact train ([\w-]+)`", (DOCS / "history.md").read_text()):
        assert name in CATALOG


def test_bars_are_errors_and_the_line_is_a_human():
    figure = pictures.draw_imagenet()
    (axes,) = figure.axes
    entries = pictures.imagenet()["entry"]
    assert [bar.get_height() for bar in axes.patches] == [entry["error"] for entry in entries]
    assert [to_hex(bar.get_facecolor()) == BLUE for bar in axes.patches] == [
        bool(e["depth"]) for e in entries
    ]
    assert set(axes.lines[0].get_ydata()) == {5.1}
    assert {"3.57 %", "152 layers", "a human, 5.1 %"} <= set(texts(to_svg(figure)))


def test_errors_fall_and_only_resnet_is_better_than_a_human():
    """Notes 002: 3.57 %, "which is better than a human"."""
    data = pictures.imagenet()
    errors = [entry["error"] for entry in data["entry"]]
    assert errors == sorted(errors, reverse=True)
    assert [entry["name"] for entry in data["entry"] if entry["error"] < data["human"]] == ["ResNet"]
