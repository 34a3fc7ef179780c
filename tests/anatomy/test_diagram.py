"""Diagrams: which boxes, arrows, skips and repeats come out of which network."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import didact
from didact.anatomy.diagram import Diagram, diagram
from didact.errors import UsageError
from didact.models.cnn.googlenet import MODULES, Inception, NaiveInception
from didact.models.transformer.vit import SelfAttention
from didact.nn.residual import BasicBlock, Bottleneck
from didact.nn.separable import DepthwiseSeparable

IMAGE = (3, 224, 224)


def drawn(name: str, shape: tuple[int, ...] = IMAGE, depth: int | None = None, **arguments) -> Diagram:
    with torch.device("meta"):
        model = didact.build(name, **arguments)
    return diagram(model, shape, depth=depth)


def labels(found: Diagram) -> list[str]:
    return [box.label + (f" x{box.repeat}" if box.repeat > 1 else "") for box in found.boxes]


def is_chain(found: Diagram) -> bool:
    return [(a.source, a.target) for a in found.arrows] == [(k, k + 1) for k in range(len(found.boxes) - 1)]


def joined(found: Diagram, number: int, skip: bool = False) -> list[int]:
    """Who is read by a box, by arrows that are skips or not."""
    return [arrow.source for arrow in found.arrows if arrow.target == number and arrow.skip == skip]


# The figures of the lectures


def test_lenet5():
    found = drawn("lenet5", (1, 32, 32))
    assert [(box.name, box.label, box.detail, box.notes) for box in found.boxes] == [
        ("", "input", "", ""),
        ("conv1", "conv 5x5", "", "Tanh"),
        ("pool1", "mean pool", "2x2, stride 2", ""),
        ("conv2", "conv 5x5", "", "Tanh"),
        ("pool2", "mean pool", "2x2, stride 2", ""),
        ("conv3", "conv 5x5", "", "Tanh"),
        ("fc", "linear", "", "Tanh"),
        ("head", "linear", "", ""),
    ]
    shapes = [(1, 32, 32), (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120, 1, 1), (84,), (10,)]
    assert [box.shape for box in found.boxes] == shapes
    assert [box.parameters for box in found.boxes] == [0, 156, 0, 2416, 0, 48120, 10164, 850]
    assert is_chain(found)
    assert found.volumes
    assert not found.skips


def test_alexnet():
    found = drawn("alexnet-one-tower", (3, 227, 227))
    convolutions = [box for box in found.boxes if box.role == "conv"]
    assert [(box.label, box.detail, box.shape) for box in convolutions] == [
        ("conv 11x11", "stride 4", (96, 55, 55)),
        ("conv 5x5", "", (256, 27, 27)),
        ("conv 3x3", "", (384, 13, 13)),
        ("conv 3x3", "", (384, 13, 13)),
        ("conv 3x3", "", (256, 13, 13)),
    ]
    assert [box.notes for box in convolutions] == ["ReLU, LRN", "ReLU, LRN", "ReLU", "ReLU", "ReLU"]
    assert [box.shape for box in found.boxes if box.role == "pool"] == [
        (96, 27, 27),
        (256, 13, 13),
        (256, 6, 6),
    ]
    assert [box.shape for box in found.boxes if box.role == "linear"] == [(4096,), (4096,), (1000,)]
    assert is_chain(found)
    two = drawn("alexnet-two-group", (3, 227, 227))
    assert [box.detail for box in two.boxes if box.role == "conv"][1] == "2 groups"


def test_vgg16():
    found = drawn("vgg16")
    sides = [box.shape[1] for box in found.boxes if box.role == "conv"]
    assert sides == [224] * 2 + [112] * 2 + [56] * 3 + [28] * 3 + [14] * 3
    assert labels(found).count("conv 3x3") == 13
    assert labels(found).count("max pool") == 5
    assert [box.shape for box in found.boxes[-4:]] == [(512, 7, 7), (4096,), (4096,), (1000,)]
    assert is_chain(found)
    assert found.volumes


@pytest.mark.parametrize(
    ("block", "maps", "boxes"),
    [
        (partial(BasicBlock, 64, 64), 64, ["input", "conv 3x3", "conv 3x3", "add"]),
        (partial(Bottleneck, 256, 256, inner=64), 256, ["input", "conv 1x1", "conv 3x3", "conv 1x1", "add"]),
    ],
)
def test_residual_blocks(block, maps: int, boxes: list[str]):
    found = diagram(block(), (maps, 14, 14))
    assert labels(found) == boxes
    last = len(boxes) - 1
    assert [(arrow.source, arrow.target) for arrow in found.skips] == [(0, last)]
    assert joined(found, last) == [last - 1]
    assert [box.notes for box in found.boxes[1:]] == ["BN, ReLU"] * (last - 2) + ["BN", "ReLU"]
    assert not found.volumes  # all maps are of one size: nothing to see in perspective


def test_a_shortcut_with_weights_is_a_branch_and_a_plain_block_has_none():
    found = diagram(BasicBlock(64, 128, stride=2), (64, 14, 14))
    assert labels(found) == ["input", "conv 3x3", "conv 3x3", "conv 1x1", "add"]
    assert [box.detail for box in found.boxes[1:4]] == ["stride 2", "", "stride 2"]
    assert joined(found, 4) == [2, 3]
    assert not found.skips
    plain = diagram(BasicBlock(64, 64, shortcut="none"), (64, 14, 14))
    assert labels(plain) == ["input", "conv 3x3", "conv 3x3"]


def test_inception_module():
    found = diagram(Inception(192, *MODULES["3a"]), (192, 28, 28))
    assert [box.shape[0] for box in found.boxes] == [192, 64, 96, 128, 16, 32, 192, 32, 256]
    assert joined(found, 8) == [1, 3, 5, 7]
    assert [a.target for a in found.arrows if a.source == 0] == [1, 2, 4, 6]
    assert found.boxes[8].role == "cat"
    assert not found.skips
    naive = diagram(NaiveInception(192, 64, 128, 32), (192, 28, 28))
    assert labels(naive) == ["input", "conv 1x1", "conv 3x3", "conv 5x5", "max pool", "concat"]
    assert joined(naive, 5) == [1, 2, 3, 4]


class UNet(nn.Module):
    """Two levels: two poolings down, two up-convolutions back, a copy on each level."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(i, o, 3, padding=1) for i, o in ((1, 8), (8, 16), (16, 32)))
        self.up_b, self.up_a = nn.ConvTranspose2d(32, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)
        self.merge_b, self.merge_a = nn.Conv2d(32, 16, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        top = F.relu(self.a(x))
        middle = F.relu(self.b(F.max_pool2d(top, 2)))
        x = F.relu(self.c(F.max_pool2d(middle, 2)))
        x = self.merge_b(torch.cat([middle, self.up_b(x)], 1))
        return self.merge_a(torch.cat([top, self.up_a(x)], 1))


def test_u_net():
    found = diagram(UNet(), (1, 32, 32))
    assert [(box.role, *box.shape) for box in found.boxes] == [
        ("input", 1, 32, 32),
        ("conv", 8, 32, 32),
        ("pool", 8, 16, 16),
        ("conv", 16, 16, 16),
        ("pool", 16, 8, 8),
        ("conv", 32, 8, 8),
        ("up-conv", 16, 16, 16),
        ("cat", 32, 16, 16),
        ("conv", 16, 16, 16),
        ("up-conv", 8, 32, 32),
        ("cat", 16, 32, 32),
        ("conv", 8, 32, 32),
    ]
    assert [(arrow.source, arrow.target) for arrow in found.skips] == [(1, 10), (3, 7)]
    assert found.boxes[6].label == "up-conv 2x2"
    assert found.volumes


# Repeats


def test_resnet50_folds_equal_blocks():
    found = drawn("resnet50")
    assert labels(found) == [
        *("input", "conv 7x7", "max pool"),
        *("Bottleneck", "Bottleneck x2", "Bottleneck", "Bottleneck x3"),
        *("Bottleneck", "Bottleneck x5", "Bottleneck", "Bottleneck x2"),
        *("mean", "linear"),
    ]
    assert [box.name for box in found.boxes if box.repeat > 1] == [
        "layer1.1",
        "layer2.1",
        "layer3.1",
        "layer4.1",
    ]
    assert all(box.residual for box in found.boxes if box.label == "Bottleneck")
    assert [(s.name, s.boxes) for s in found.stages] == [
        ("layer1", (3, 4)),
        ("layer2", (5, 6)),
        ("layer3", (7, 8)),
        ("layer4", (9, 10)),
    ]


def test_depth_unfolds_and_closes():
    closed = drawn("resnet18", depth=1)
    assert labels(closed)[3:7] == ["BasicBlock"] * 4
    assert [box.detail for box in closed.boxes[3:7]] == ["2 in a row"] * 4
    opened = drawn("resnet18")
    assert (
        labels(opened).count("conv 3x3") == 14
    )  # 16 in the network, two of them in a block that comes twice
    assert [(s.repeat, s.boxes) for s in opened.stages if s.repeat > 1] == [(2, (3, 4, 5))]
    assert len(opened.skips) == 1 + 3  # the block that comes twice, and the second of each later stage
    with pytest.raises(UsageError, match="depth=0: must be 1 or more, try 2"):
        drawn("resnet18", depth=0)


def test_densenet121_fits_a_page():
    found = drawn("densenet121")
    repeats = [stage for stage in found.stages if stage.repeat > 1]
    assert [(stage.repeat, stage.kind) for stage in repeats] == [
        (6, "DenseLayer"),
        (12, "DenseLayer"),
        (24, "DenseLayer"),
        (16, "DenseLayer"),
    ]
    assert [found.boxes[stage.boxes[-1]].shape[0] for stage in repeats] == [256, 512, 1024, 1024]
    first = repeats[0].boxes
    assert [found.boxes[number].label for number in first] == ["conv 1x1", "conv 3x3", "concat"]
    assert found.boxes[first[0]].before == "BN, ReLU"
    assert joined(found, first[-1], skip=True) == [first[0] - 1]
    assert len(found.boxes) <= 24


def test_googlenet_has_a_box_for_each_module():
    found = drawn("googlenet")
    assert labels(found).count("Inception") == 9
    assert is_chain(found)
    opened = drawn("googlenet", depth=3)
    assert [box.role for box in opened.boxes].count("cat") == 9
    assert all(len(joined(opened, k)) == 4 for k, box in enumerate(opened.boxes) if box.role == "cat")


@pytest.mark.parametrize(
    "name", ["lenet5", "alexnet", "vgg16", "resnet18", "resnet50", "densenet121", "googlenet"]
)
@pytest.mark.parametrize("depth", [None, 1, 3])
def test_boxes_hold_all_parameters(name: str, depth: int | None):
    found = drawn(name, (1, 32, 32) if name == "lenet5" else IMAGE, depth)
    unused = 6_379_984 if name == "googlenet" else 0  # the auxiliary heads, which run in training alone
    assert sum(box.parameters for box in found.boxes) + unused == found.parameters


# Networks that are not about maps


def test_what_is_given_besides_stands_before_its_reader():
    given = (torch.zeros(1, 3, 8), torch.zeros(1, 4, 8))
    found = diagram(nn.Transformer(8, 2, 2, 2, 16, batch_first=True), given)
    roles = [box.label for box in found.boxes]
    assert roles[0] == "input"
    second = roles.index("input 2")
    assert [box.shape for box in (found.boxes[0], found.boxes[second])] == [(3, 8), (4, 8)]
    assert [(s.kind, s.repeat) for s in found.stages if s.repeat > 1] == [
        ("TransformerEncoderLayer", 2),
        ("TransformerDecoderLayer", 2),
    ]
    crossing = [k for k, box in enumerate(found.boxes) if box.name.endswith("multihead_attn")]
    assert joined(found, crossing[0])[0] < second  # what the encoder made


def test_arithmetic_with_a_constant_is_looked_through_and_with_itself_is_not():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)
            self.register_buffer("scale", torch.ones(3))
            self.gain = nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            x = self.layer(2 * x - 1) * self.scale
            return x * x * self.gain

    found = diagram(Scaled(), (3,))
    assert [(box.label, box.notes) for box in found.boxes] == [
        ("input", ""),
        ("linear", "multiply"),
        ("x gain", ""),
    ]
    assert sum(box.parameters for box in found.boxes) == 15


def test_attention_by_itself_is_opened():
    found = diagram(SelfAttention(16, 2), (5, 16))
    assert labels(found) == ["input", "linear", "matrix product", "softmax", "matrix product", "linear"]
    assert [(arrow.source, arrow.target) for arrow in found.skips] == [(1, 4)]  # the values


def test_depthwise_separable():
    found = diagram(DepthwiseSeparable(3, 8), (3, 9, 9))
    assert [(box.label, box.shape) for box in found.boxes[1:]] == [
        ("depthwise 3x3", (3, 9, 9)),
        ("conv 1x1", (8, 9, 9)),
    ]


@pytest.mark.parametrize(("width", "outputs", "parameters"), [(4, 1, [16, 5]), (4, 2, [16, 10])])
def test_networks_of_the_notes(width: int, outputs: int, parameters: list[int]):
    """3-4-1 has 12 weights and 4 biases in front (notes 001, section III); 3-4-2 has 16 and 10 (IV.2)."""
    found = diagram(didact.build("mlp", in_features=3, out_features=outputs, widths=(width,)), (3,))
    assert [box.parameters for box in found.boxes[1:]] == parameters
    assert f"{parameters[1]} parameters" in found.svg()


def test_mlp():
    found = diagram(didact.build("mlp", in_features=3, out_features=1, widths=(4,)), (3,))
    assert [(box.label, box.notes, box.shape, box.parameters) for box in found.boxes] == [
        ("input", "", (3,), 0),
        ("linear", "ReLU", (4,), 12 + 4),
        ("linear", "", (1,), 5),
    ]
    assert not found.volumes


def test_lstm():
    found = diagram(didact.build("lstm", vocab_size=50), (7,), dtype=torch.int64)
    assert [(box.role, box.shape) for box in found.boxes] == [
        ("input", (7,)),
        ("embedding", (7, 64)),
        ("recurrent", (7, 256)),
        ("linear", (7, 50)),
    ]
    assert is_chain(found)
    assert not found.volumes


def test_vit():
    found = drawn("vit-b-16")
    assert labels(found) == [
        *("input", "conv 16x16", "concat", "+ pos_embedding"),
        *("LN", "attention", "add", "LN", "linear", "linear", "add"),
        *("LN", "linear"),
    ]
    assert [(s.kind, s.repeat, s.boxes) for s in found.stages if s.repeat > 1] == [
        ("EncoderBlock", 12, (4, 5, 6, 7, 8, 9, 10))
    ]
    assert [(arrow.source, arrow.target) for arrow in found.skips] == [(3, 6), (6, 10)]
    assert found.boxes[5].detail == "12 heads"
    assert found.boxes[8].notes == "GELU"
    assert not found.volumes


def test_torchs_encoder_layer_is_read_like_ours():
    found = diagram(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), (5, 16))
    assert labels(found) == ["input", "attention", "add", "LN", "linear", "linear", "add", "LN"]
    assert found.boxes[1].detail == "4 heads"
    assert [(arrow.source, arrow.target) for arrow in found.skips] == [(0, 2), (3, 6)]


# What a forward writes itself


class Functional(nn.Module):
    """Without a submodule."""

    def __init__(self):
        super().__init__()
        self.filters, self.weight = nn.Parameter(torch.zeros(4, 2, 3, 3)), nn.Parameter(torch.zeros(5, 36))

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(F.conv2d(x, self.filters)), 2)
        return F.linear(x.flatten(1), self.weight)


def test_functional_calls_are_boxes_as_layers_are():
    found = diagram(Functional(), (2, 8, 8))
    assert [(box.label, box.notes, box.shape, box.parameters) for box in found.boxes] == [
        ("input", "", (2, 8, 8), 0),
        ("conv 3x3", "ReLU", (4, 6, 6), 72),
        ("max pool", "", (4, 3, 3), 0),
        ("linear", "", (5,), 180),
    ]


class Steps(nn.Module):
    """The same cell again and again, each time on the next input and on what it made before."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.RNNCell(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), 4)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
        return self.head(h)


def test_a_cell_in_a_loop_is_one_box():
    found = diagram(Steps(), (6, 3))
    assert labels(found) == ["input", "RNNCell x6", "linear"]
    assert [box.parameters for box in found.boxes] == [0, 36, 10]
    assert is_chain(found)


def test_what_is_written_in_place_is_followed():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            kept = self.a(x)
            kept += self.b(x)
            return kept.relu_()

    found = diagram(InPlace(), (4,))
    assert labels(found) == ["input", "linear", "linear", "add"]
    assert joined(found, 3) == [1, 2]
    assert found.boxes[3].notes == "ReLU"


def test_a_layer_by_itself():
    found = diagram(nn.Conv2d(8, 8, (1, 7), stride=(1, 2), groups=8), (8, 9, 9))
    assert [(box.label, box.detail, box.shape) for box in found.boxes][1:] == [
        ("depthwise 1x7", "stride 1x2", (8, 9, 2))
    ]
    assert str(found).splitlines()[0] == "Conv2d: 64 parameters"


# The rest


def test_the_model_is_left_as_it_was():
    model = didact.build("lenet5").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    diagram(model, (1, 32, 32)).svg()
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(part._forward_hooks for part in model.modules())


def test_the_tree_says_all():
    lines = str(drawn("lenet5", (1, 32, 32))).splitlines()
    assert lines[0] == "LeNet5: 61,706 parameters"
    assert lines[2].split() == ["├─", "conv1", "conv", "5x5", "6@28x28", "156"]
    assert lines[-1].split() == ["└─", "head", "linear", "10", "850"]
    assert len(lines) == 13


@pytest.mark.parametrize(
    "name", ["vgg16", "resnet50", "densenet121", "googlenet", "vit-b-16", "mobilenet-v2"]
)
def test_the_tree_is_narrow_and_folds(name: str):
    lines = str(drawn(name)).splitlines()
    assert max(map(len, lines)) <= 100
    assert not [line for line in lines if line != line.rstrip()]
    if name == "resnet50":
        assert any("1…5 (x5)" in line and "5 x 1,117,184" in line for line in lines)
    if name == "densenet121":
        assert any("denselayer1…denselayer24 (x24)" in line for line in lines)
        assert len(lines) < 100


def test_plain_values():
    facts = drawn("resnet18").to_dict()
    assert facts["boxes"][1]["label"] == "conv 7x7"
    assert {"source": 2, "target": 5, "skip": True} in facts["arrows"]
    assert facts["depth"] == 4
