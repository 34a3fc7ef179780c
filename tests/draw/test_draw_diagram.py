"""Diagrams as pictures: whole, readable, the same bytes each time; those of the documentation are today's."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from matplotlib.font_manager import findfont, get_font
from torch import nn

import didact
from didact.anatomy.diagram import Diagram, diagram
from didact.draw.diagram import draw_diagram
from didact.draw.diagram_ink import text_width
from didact.nn.residual import BasicBlock

DOCS = Path(__file__).parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"
IMAGE = (3, 224, 224)
Rectangle = tuple[float, float, float, float]

NETWORKS = {
    "lenet5": ("lenet5", (1, 32, 32), {}),
    "alexnet": ("alexnet", IMAGE, {}),
    "vgg16": ("vgg16", IMAGE, {}),
    "resnet18": ("resnet18", IMAGE, {}),
    "resnet50": ("resnet50", IMAGE, {}),
    "resnet50-open": ("resnet50", IMAGE, {"depth": 3}),
    "googlenet": ("googlenet", IMAGE, {}),
    "googlenet-open": ("googlenet", IMAGE, {"depth": 3}),
    "densenet121": ("densenet121", IMAGE, {}),
    "mobilenet-v2": ("mobilenet-v2", IMAGE, {}),
    "xception": ("xception", (3, 299, 299), {}),
    "inception-v3-open": ("inception-v3", (3, 299, 299), {"depth": 3}),
    "vit-ti-16": ("vit-ti-16", IMAGE, {}),
    "lstm": ("lstm", (7,), {"dtype": torch.int64}),
    "mlp": ("mlp", (8, 8), {}),
}
ARGUMENTS = {"lstm": {"vocab_size": 50}, "mlp": {"in_features": 64, "out_features": 10, "widths": (32, 16)}}


def read(name: str) -> Diagram:
    network, shape, how = NETWORKS[name]
    with torch.device("meta"):
        model = didact.build(network, **ARGUMENTS.get(network, {}))
    return diagram(model, shape, **how)


@pytest.fixture(scope="module")
def figures():
    """The figures of the documentation, by the file that draws them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        import diagrams

        yield diagrams


def transformer() -> Diagram:
    given = (torch.zeros(1, 3, 8), torch.zeros(1, 4, 8))
    return diagram(nn.Transformer(8, 2, 2, 2, 16, batch_first=True), given)


@pytest.fixture(
    params=[*NETWORKS, "transformer", "u-net", "residual-block", "inception-module"], scope="module"
)
def svg(request: pytest.FixtureRequest, figures) -> str:
    name = request.param
    if name == "transformer":
        return transformer().svg()
    return (read(name) if name in NETWORKS else figures.draw(name)).svg()


def measured(text: str, size: float, bold: bool) -> float:
    """The width of a text in a font that is wide for a screen."""
    font = get_font(findfont(f"DejaVu Sans:weight={'bold' if bold else 'normal'}"))
    font.set_size(size, 72)
    font.set_text(text)
    return font.get_width_height()[0] / 64


def texts(root: ElementTree.Element) -> list[tuple[str, Rectangle]]:
    """Every text with the rectangle that it takes."""
    found = []
    for node in root.iter(f"{SVG}text"):
        size, words = float(node.get("font-size", 0)), node.text or ""
        width = measured(words, size, node.get("font-weight") == "600")
        x, y = float(node.get("x", 0)), float(node.get("y", 0))
        left = x - width * {"middle": 0.5, "start": 0.0}[node.get("text-anchor", "start")]
        found.append((words, (left, y - 0.74 * size, left + width, y + 0.2 * size)))
    return found


def overlap(a: Rectangle, b: Rectangle, slack: float = 0.5) -> bool:
    return a[0] < b[2] - slack and b[0] < a[2] - slack and a[1] < b[3] - slack and b[1] < a[3] - slack


def fronts(
    root: ElementTree.Element, polygons: Sequence[ElementTree.Element] | None = None
) -> list[Rectangle]:
    """The upright sides of all volumes: polygons with two upright and two level edges, and bars."""
    found = []
    for node in root.iter(f"{SVG}polygon") if polygons is None else polygons:
        corners = [tuple(map(float, pair.split(","))) for pair in node.get("points", "").split()]
        xs, ys = {x for x, _ in corners}, {y for _, y in corners}
        if len(xs) == len(ys) == 2:
            found.append((min(xs), min(ys), max(xs), max(ys)))
    return found


def test_is_a_document_by_itself(svg: str):
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("aria-label")
    assert re.findall(r"https?://[^\s\"'<]+", svg) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<(script|image|use|style|foreignObject)\b", svg)
    assert set(re.findall(r"url\((.*?)\)", svg)) <= {"#ink", "#skip"}
    assert not re.search(r"nan|inf\b", svg.split("</defs>")[1].replace("InfoGAN", ""))


def test_no_text_leaves_the_page_or_lies_on_another(svg: str):
    root = ElementTree.fromstring(svg)
    left, top, wide, high = map(float, (root.get("viewBox") or "").split())
    written = texts(root)
    for words, (x1, y1, x2, y2) in written:
        assert left <= x1, words
        assert x2 <= left + wide, words
        assert top <= y1, words
        assert y2 <= top + high, words
    for k, (words, place) in enumerate(written):
        hit = [other for other, there in written[k + 1 :] if overlap(place, there)]
        assert not hit, f"{words!r} lies on {hit}"


def test_no_text_lies_on_a_volume(svg: str):
    root = ElementTree.fromstring(svg)
    for words, place in texts(root):
        assert not [front for front in fronts(root) if overlap(place, front)], words


def segments(root: ElementTree.Element) -> list[Rectangle]:
    """The level and upright stretches of all lines."""
    found = []
    for node in (node for node in root.iter(f"{SVG}path") if node.get("fill") == "none"):
        x = y = 0.0
        for letter, numbers in re.findall(r"([MLHVQC])([-\d. ]+)", node.get("d", "")):
            values = [float(value) for value in numbers.split()]
            after = {"H": (values[0], y), "V": (x, values[0])}.get(letter, tuple(values[-2:]))
            if letter in "LHV":
                found.append((min(x, after[0]), min(y, after[1]), max(x, after[0]), max(y, after[1])))
            x, y = after
    return found


def test_no_line_runs_through_a_text(svg: str):
    root = ElementTree.fromstring(svg)
    flat = [
        tuple(float(node.get(key, 0)) for key in ("x", "y", "width", "height"))
        for node in root.iter(f"{SVG}rect")
    ]
    lines = segments(root)
    for words, place in texts(root):
        x, y = (place[0] + place[2]) / 2, (place[1] + place[3]) / 2
        inside = any(
            bx < x < bx + bw and by < y < by + bh for bx, by, bw, bh in flat[1:] if bh < 100 and bw < 200
        )
        hit = [line for line in lines if overlap(line, place, slack=-0.01) and not inside]
        assert not hit, f"{words!r}: {hit}"


def test_no_shape_leaves_the_page(svg: str):
    root = ElementTree.fromstring(svg)
    left, top, wide, high = map(float, (root.get("viewBox") or "").split())
    for node in root.iter(f"{SVG}polygon"):
        for pair in node.get("points", "").split():
            x, y = map(float, pair.split(","))
            assert left <= x <= left + wide
            assert top <= y <= top + high


def test_the_same_network_gives_the_same_bytes():
    assert read("resnet18").svg() == read("resnet18").svg()
    assert read("googlenet").svg() == read("googlenet").svg()


def test_every_box_is_drawn_once_with_what_it_is():
    found = read("lenet5")
    root = ElementTree.fromstring(found.svg())
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert len(titles) == len(found.boxes)
    assert "conv1, Conv2d, conv 5x5, Tanh, 6@28x28, 156 parameters" in titles
    written = [words for words, _ in texts(root)]
    assert written[0] == "LeNet5: 61,706 parameters"
    sizes = ["1@32x32", "6@28x28", "6@14x14", "16@10x10", "16@5x5", "120@1x1", "84", "10"]
    assert [words for words in written if words in sizes] == sizes


def test_volumes_are_as_high_as_maps_and_as_thick_as_there_are_many():
    """Heights and thicknesses keep the order of sides and channels."""
    net = nn.Sequential(nn.Conv2d(4, 64, 3, stride=2), nn.Conv2d(64, 16, 3, stride=2))
    first, second, third = fronts(ElementTree.fromstring(diagram(net, (4, 65, 65)).svg()))
    heights = [box[3] - box[1] for box in (first, second, third)]
    widths = [box[2] - box[0] for box in (first, second, third)]
    assert heights[0] > heights[1] > heights[2]
    assert widths[1] > widths[2] > widths[0]
    assert heights[1] / heights[0] == pytest.approx((32 / 65) ** 0.5, rel=0.01)


def test_a_skip_is_an_arc_over_what_it_leaps():
    root = ElementTree.fromstring(diagram(BasicBlock(8, 8), (8, 6, 6)).svg())
    arcs = [node for node in root.iter(f"{SVG}path") if "skip" in node.get("marker-end", "")]
    assert len(arcs) == 1
    heights = [float(y) for y in re.findall(r"Q-?[\d.]+ (-?[\d.]+)", arcs[0].get("d", ""))]
    boxes = [float(node.get("y", 0)) for node in root.iter(f"{SVG}rect")][1:]
    assert heights[0] < min(boxes)


def test_what_is_read_over_a_break_starts_at_the_row():
    """The decoder's second attention reads the encoder, past the input that stands between."""
    svg = transformer().svg()
    root = ElementTree.fromstring(svg)
    skips = [node.get("d", "") for node in root.iter(f"{SVG}path") if "skip" in node.get("marker-end", "")]
    assert len(skips) == len(transformer().skips) + 1
    assert sum(path.startswith("M20 ") for path in skips) == 1


def test_long_chains_go_on_below():
    found = read("vgg16")
    wide, narrow = (ElementTree.fromstring(found.svg(width)) for width in (1500, 700))
    assert float(narrow.get("width", 0)) < 900 < float(wide.get("width", 0)) < 1700
    assert float(narrow.get("height", 0)) > float(wide.get("height", 0))
    assert [words for words, _ in texts(wide)] == [words for words, _ in texts(narrow)]


def test_u_net_of_the_paper_has_its_sizes(figures):
    found = figures.draw("u-net")
    sides = [box.shape[1] for box in found.boxes if box.role != "cat"]
    down = [572, 568, 284, 280, 140, 136, 68, 64, 32, 28]
    assert sides == [*down, 56, 52, 104, 100, 200, 196, 392, 388, 388]
    assert found.parameters == 31_030_658  # as those who build the paper's figure layer by layer count


def test_a_u_is_drawn_as_a_u(figures):
    """The arms go down and up level by level; a level has its boxes at one height, above the next."""
    found = figures.draw("u-net")
    root = ElementTree.fromstring(found.svg())
    coloured = [node for node in root.iter(f"{SVG}polygon") if node.get("fill") != "#ffffff"]
    middles = [round((top + bottom) / 2) for _, top, _, bottom in fronts(root, coloured)]
    levels = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 3, 2, 2, 2, 1, 1, 1, 0, 0, 0, 0]
    assert len(middles) == len(levels) == len(found.boxes)
    by_level = [{m for m, own in zip(middles, levels, strict=True) if own == level} for level in range(5)]
    assert (
        max(max(heights) - min(heights) for heights in by_level) <= 14
    )  # the front of a volume stands lower
    assert all(max(upper) < min(lower) for upper, lower in pairwise(by_level))
    assert len([words for words, _ in texts(root) if words == "copy, crop"]) == 4
    white = [node for node in root.iter(f"{SVG}polygon") if node.get("fill") == "#ffffff"]
    assert len(white) == 2 * 4  # the copied share of each joined volume, its front and its lid


def test_what_xml_cannot_hold_is_replaced():
    facts = diagram(nn.Linear(4, 2), (4,)).to_dict()
    facts["title"] = "<Net> & \x00 'co' \"quotes\""
    facts["boxes"][1]["name"] = "a<b&c"
    root = ElementTree.fromstring(draw_diagram(facts))
    assert "<Net> &" in (root.get("aria-label") or "")
    assert any(words == "a<b&c" for words, _ in texts(root))


def test_widths_are_measured_generously():
    for words in ("conv 5x5", "1024@14x14", "max pool", "Bottleneck ×2", "stride 2", "BN, ReLU", "mmmWWW@@"):
        for size in (10.0, 11.5):
            assert text_width(words, size) >= 0.97 * measured(words, size, bold=False)


def test_the_figures_of_the_documentation_are_todays(figures):
    drawn = {figures.file_of(name) for name in figures.FIGURES}
    assert drawn == set((DOCS / "images").glob("diagram-*.svg"))
    for name in figures.FIGURES:
        expected = figures.draw(name).svg(figures.WIDTH)
        assert figures.file_of(name).read_text() == expected, f"{name}: run python docs/diagrams.py"
