"""The catalogue's image classifiers against what others publish of them: docs/published.toml.

That their names, shapes and answers are the published ones is in the test of each.
"""

import runpy
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from published import REFERENCE, listed, reference
from torch import nn

from didact.catalog import CATALOG, build
from didact.models.transformer.vit import ViT

figures = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "docs" / "figures.py")))
PUBLISHED = figures.published()
FIT = "names and shapes"

every_network = pytest.mark.parametrize("name", PUBLISHED)


def agrees(found: float, printed: Decimal | int) -> bool:
    """Equal, for a count; equal after rounding to the last digit, for a figure."""
    last = Decimal(printed).as_tuple().exponent
    return abs(Decimal(found) - printed) <= (Decimal(10) ** last / 2 if isinstance(printed, Decimal) else 0)


def test_every_image_classifier_has_its_row_in_course_order():
    assert list(PUBLISHED) == [
        name for name, entry in CATALOG.items() if entry.tasks == ("classify",) and entry.inputs == ("image",)
    ]


@every_network
def test_the_figures_are_the_published_ones(name: str):
    row = PUBLISHED[name]
    model = figures.on_paper(name, **row.get("arguments", {}))
    if "parameters" in row:
        assert agrees(figures.parameters(model), row["parameters"])
    billions = figures.multiply_adds(model, row["side"]) / 1e9
    if "multiply_adds" in row:  # a hundredth for norms, which some count
        printed = row["multiply_adds"]
        assert agrees(billions, printed) or billions == pytest.approx(float(printed), rel=0.01)


@every_network
def test_a_figure_has_its_source(name: str):
    row = PUBLISHED[name]
    assert ("by" in row) == ("parameters" in row)
    assert ("counted_by" in row) == ("multiply_adds" in row)
    assert row["state_dict"].split(":")[0] in ("torchvision", "timm", "none published")


def test_who_claims_to_fit_is_held_to_a_list_and_nobody_else():
    claims = {name for name, row in PUBLISHED.items() if row["state_dict"].endswith(FIT)}
    assert claims == {path.stem for path in REFERENCE.glob("*.txt")}
    for name in claims:
        assert listed(figures.on_paper(name)) == reference(name), name


# The counting


def test_a_figure_is_held_to_its_last_digit():
    assert agrees(36_479_194, Decimal("36.5e6"))
    assert not agrees(36_449_999, Decimal("36.5e6"))
    assert agrees(61_706, 61_706)
    assert not agrees(61_707, 61_706)


def test_a_convolution_by_hand():
    """Each of its outputs, 5 maps of 4x4, takes 3x3 products in each of its 2 of 4 maps; the bias none."""
    conv = nn.Conv2d(4, 10, 3, groups=2, device="meta")
    conv.in_channels = 4
    assert figures.multiply_adds(conv, 6) == 10 * 4 * 4 * (3 * 3 * 2)


def test_attention_by_hand():
    """Q K^T and the weights times V are among it, which no parameter shows."""
    tokens, dim, depth, classes = 197, 192, 12, 1000
    patches = (tokens - 1) * dim * 3 * 16 * 16
    weights = tokens * dim * (3 * dim + dim + 4 * dim + 4 * dim)
    attention = 2 * tokens * tokens * dim
    by_hand = patches + depth * (weights + attention) + dim * classes
    assert figures.multiply_adds(figures.on_paper("vit-ti-16"), 224) == by_hand


@pytest.mark.parametrize("written_out", [False, True])
def test_attention_counts_the_same_in_one_kernel_and_step_by_step(written_out: bool):
    model = ViT(image_size=32, patch_size=8, dim=16, depth=1, num_heads=2).to("meta")
    model.encoder.layers[0].self_attention.written_out = written_out
    counted = figures.multiply_adds(model, 32)
    assert counted == 16 * 16 * 192 + 17 * 16 * 12 * 16 + 2 * 17 * 17 * 16 + 16 * 1000


def test_paper_and_memory_count_the_same():
    """What is counted without weights is what a network with weights does."""
    model, x = build("lenet5"), torch.zeros(1, 1, 32, 32)
    done = []
    for layer in (layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)):
        layer.register_forward_hook(
            lambda module, args, out: done.append(out.numel() * module.weight[0].numel())
        )
    model(x)
    assert figures.multiply_adds(figures.on_paper("lenet5"), 32) == sum(done)
