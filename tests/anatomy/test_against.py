"""Networks side by side, and an argument swept, with the numbers of the lectures."""

import json
from functools import partial

import pytest
import torch
from torch import nn

import didact
from didact.anatomy.against import against, sweep
from didact.draw.style import to_svg
from didact.errors import UsageError
from didact.nn.separable import DepthwiseSeparable


def plain3x3() -> nn.Module:
    return nn.Conv2d(256, 256, 3, padding=1, bias=False)


def bottleneck() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(256, 64, 1, bias=False),
        nn.Conv2d(64, 64, 3, padding=1, bias=False),
        nn.Conv2d(64, 256, 1, bias=False),
    )


def test_bottleneck_against_plain_3x3():
    found = against(plain3x3(), bottleneck(), (256, 14, 14), timed=False)
    row = found["parameters"]
    assert (row.first, row.second) == (589_824, 69_632)
    assert row.ratio == pytest.approx(0.11806, abs=1e-5)
    macs = found["MACs"]
    assert (macs.first, macs.second) == (589_824 * 196, 69_632 * 196)
    assert found["FLOPs"].second == 2 * 69_632 * 196
    assert (found["activations"].first, found["activations"].second) == (256 * 196, (64 + 64 + 256) * 196)
    assert (found["layers"].first, found["layers"].second) == (1, 3)
    assert (found["receptive field"].first, found["receptive field"].second) == (3, 3)
    assert found.names == ("Conv2d", "Sequential")
    assert not found.remarks


@pytest.mark.parametrize(("side", "maps"), [(3, 64), (5, 16)])
def test_depthwise_separable_is_named_with_its_share(side: int, maps: int):
    standard = nn.Conv2d(32, maps, side, padding=side // 2)
    separable = DepthwiseSeparable(32, maps, kernel=side)
    found = against(standard, separable, (32, 14, 14), timed=False)
    share = 1 / maps + 1 / side**2
    assert found["MACs"].ratio == pytest.approx(share)
    assert found.remarks == (
        f"the second is depthwise-separable: 1/D2 + 1/F^2 = 1/{maps} + 1/{side**2} = {share:.4f} "
        "of the MACs of a convolution",
    )
    turned = against(separable, standard, (32, 14, 14), timed=False)
    assert turned.remarks[0].startswith("the first is depthwise-separable")


def test_what_is_no_such_pair_is_not_named():
    standard, separable = nn.Conv2d(32, 64, 3, padding=1), DepthwiseSeparable(32, 64)
    longer = nn.Sequential(separable, nn.Conv2d(64, 64, 1))
    other = DepthwiseSeparable(32, 48)
    grouped = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1, groups=8), nn.Conv2d(32, 64, 1))
    for second in (longer, other, grouped, standard):
        assert not against(standard, second, (32, 9, 9), timed=False).remarks
    more = nn.Sequential(separable, nn.Flatten(), nn.Linear(64 * 81, 2))  # the same, and then something else
    assert not against(standard, more, (32, 9, 9), timed=False).remarks


def test_vgg_against_resnet():
    with torch.device("meta"):
        vgg, resnet = didact.build("vgg16"), didact.build("resnet18")
    found = against(vgg, resnet, (3, 224, 224), timed=False, names=("vgg16", "resnet18"))
    assert (found["parameters"].first, found["parameters"].second) == (138_357_544, 11_689_512)
    assert (found["MACs"].first, found["MACs"].second) == (15_470_264_320, 1_814_073_344)
    assert (found["layers"].first, found["layers"].second) == (16, 18 + 3)  # three shortcuts have weights
    assert (found["receptive field"].first, found["receptive field"].second) == (212, 435)


def test_time_is_measured_where_it_is_asked_for():
    found = against(nn.Linear(8, 8), nn.Linear(512, 4096), (8,), second_input=(512,), batch=32)
    row = found["milliseconds"]
    assert row.second > row.first > 0
    assert "milliseconds" not in {row.what for row in against(*[nn.Linear(2, 2)] * 2, (2,), timed=False).rows}


def test_the_comparison_can_be_read_printed_and_drawn():
    found = against(plain3x3(), bottleneck(), (256, 4, 4), timed=False, names=("plain", "narrow"))
    facts = json.loads(json.dumps(found.to_dict()))
    assert facts["rows"][0] == {
        "what": "parameters",
        "first": 589_824,
        "second": 69_632,
        "ratio": pytest.approx(69_632 / 589_824),
    }
    lines = str(found).splitlines()
    assert lines[0].split() == ["plain", "narrow", "ratio"]
    assert lines[1].split() == ["parameters", "589,824", "69,632", "0.1181"]
    assert "narrow against plain" in to_svg(found.plot())
    with pytest.raises(KeyError):
        found["weight"]


def test_what_has_no_maps_has_no_field():
    row = against(nn.Linear(2, 2), nn.Linear(2, 4), (2,), timed=False)["receptive field"]
    assert (row.first, row.second, row.ratio) == (None, None, None)


def test_same_classes_are_told_apart():
    assert against(nn.Linear(2, 2), nn.Linear(2, 4), (2,), timed=False).names == (
        "Linear (first)",
        "Linear (second)",
    )


def test_width_costs_its_square():
    def build(width: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, width, 1, bias=False), nn.Conv2d(width, width, 3, bias=False))

    found = sweep(build, "width", (8, 16), (1, 6, 6), timed=False)
    small, large = found.points
    assert (small.parameters, large.parameters) == (8 + 9 * 64, 16 + 9 * 256)
    assert small.flops == 2 * small.macs == 2 * (8 * 36 + 9 * 64 * 16)
    assert small.milliseconds is None


def test_resnet18_by_width():
    found = sweep(partial(didact.build, "resnet18", num_classes=10), "width", (0.25, 1), (3, 32, 32))
    assert [point.parameters for point in found.points] == [
        sum(p.numel() for p in didact.build("resnet18", num_classes=10, width=width).parameters())
        for width in (0.25, 1)
    ]
    assert found.points[1].milliseconds > found.points[0].milliseconds > 0
    assert str(found).splitlines()[1].split()[0] == "0.25"
    panels = [axes.get_title("left") for axes in found.plot().axes]
    assert panels == ["parameters", "FLOPs", "milliseconds"]
    assert json.loads(json.dumps(found.to_dict()))["points"][0]["value"] == 0.25


def test_values_may_be_words():
    found = sweep(
        partial(didact.build, "resnet18", width=0.1), "stem", ("imagenet", "cifar"), (3, 32, 32), timed=False
    )
    figure = found.plot()
    assert [axes.get_title("left") for axes in figure.axes] == ["parameters", "FLOPs"]
    assert "cifar" in to_svg(figure)


def test_a_sweep_needs_values():
    with pytest.raises(UsageError, match="width: no values, give some"):
        sweep(nn.Linear, "width", (), (1,))
