"""The arithmetic of a layer, as the notes write it; every number beside one that was counted."""

import json

import pytest
import torch
from torch import nn

from didact.anatomy.counts import macs
from didact.anatomy.explain import explain
from didact.anatomy.trace import trace
from didact.catalog import build
from didact.errors import UsageError


def one(layer: nn.Module, *shape: int) -> list[str]:
    return list(explain(nn.Sequential(layer), shape, "0").lines)


def row(lines: list[str], heading: str) -> str:
    (found,) = (line for line in lines if line.startswith(heading))
    return found.removeprefix(heading).strip()


# The numbers of the notes


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "words"),
    [
        (7, 3, 1, 0, "(7 - 3 + 2*0)/1 + 1 = 5"),
        (7, 3, 2, 0, "(7 - 3 + 2*0)/2 + 1 = 3"),
        (7, 3, 1, 1, "(7 - 3 + 2*1)/1 + 1 = 7"),
        (32, 5, 1, 2, "(32 - 5 + 2*2)/1 + 1 = 32"),
        (32, 5, 1, 0, "(32 - 5 + 2*0)/1 + 1 = 28"),
        (227, 11, 4, 0, "(227 - 11 + 2*0)/4 + 1 = 55"),
        (55, 3, 2, 0, "(55 - 3 + 2*0)/2 + 1 = 27"),
    ],
)
def test_w4_w9_sizes(size: int, kernel: int, stride: int, padding: int, words: str):
    lines = one(nn.Conv2d(1, 1, kernel, stride, padding), 1, size, size)
    assert row(lines, "size").startswith(f"height, width: {words};")


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "words"),
    [
        (7, 3, 3, 0, "(7 - 3 + 2*0)/3 + 1 = 2.33, floored to 2: the last column of the image is not read"),
        (
            224,
            7,
            2,
            3,
            "(224 - 7 + 2*3)/2 + 1 = 112.5, floored to 112: the last column of padding is not read",
        ),
        (
            14,
            3,
            4,
            1,
            "(14 - 3 + 2*1)/4 + 1 = 4.25, floored to 4: the last column of padding is not read",
        ),
        (
            13,
            2,
            5,
            1,
            "(13 - 2 + 2*1)/5 + 1 = 3.6, floored to 3: "
            "the padding at the end and the last 2 columns of the image are not read",
        ),
    ],
)
def test_w4_w9_a_stride_that_does_not_divide_is_named(size, kernel, stride, padding, words):
    lines = one(nn.Conv2d(1, 1, kernel, stride, padding), 1, size, size)
    assert f"{'size':<17}width: {words}" in lines
    # true: the last pixels that the words name, and no others at the end, have no gradient
    x = torch.zeros(1, 1, size, size, requires_grad=True)
    nn.functional.conv2d(x, torch.ones(1, 1, kernel, kernel), stride=stride, padding=padding).sum().backward()
    unread = 0
    while x.grad[0, 0, :, size - 1 - unread].eq(0).all():
        unread += 1
    rest = (size - kernel + 2 * padding) % stride
    assert unread == max(0, rest - padding)


def test_w4_parameters():
    """10 filters of 5x5 on three maps: 760, on a volume that stays 32 by 32."""
    lines = one(nn.Conv2d(3, 10, 5, padding=2), 3, 32, 32)
    assert row(lines, "parameters") == "(5*5*3 + 1)*10 = 760"
    assert row(lines, "size").endswith("(3, 32, 32) -> (10, 32, 32)")
    assert row(lines, "FLOPs") == "(2*3*25)*10*32*32 = 1,536,000, from 768,000 MACs"


def test_w9_try_this():
    found = explain(nn.Sequential(nn.Conv2d(3, 1, 5)), (3, 32, 32), "0")
    assert row(list(found.lines), "FLOPs") == "(2*3*25)*1*28*28 = 117,600, from 58,800 MACs"
    assert (found.flops, found.macs) == (117_600, 58_800)


def test_w26_the_network_of_example_3():
    net = build("mnist-cnn")
    shapes = {name: explain(net, (1, 28, 28), name).output for name in ("conv1", "pool1", "conv2", "pool2")}
    assert shapes == {
        "conv1": (1, 32, 28, 28),
        "pool1": (1, 32, 14, 14),
        "conv2": (1, 64, 14, 14),
        "pool2": (1, 64, 7, 7),
    }
    assert row(list(explain(net, (1, 28, 28), "conv1").lines), "parameters") == "(5*5*1 + 1)*32 = 832"
    assert row(list(explain(net, (1, 28, 28), "conv2").lines), "parameters") == "(5*5*32 + 1)*64 = 51,264"


def test_w8_the_steps_of_the_receptive_field():
    net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2), nn.Conv2d(1, 1, 3))
    steps = [row(list(explain(net, (1, 32, 32), name).lines), "receptive field") for name in "012"]
    assert steps == [
        "r = r_prev + jump*(k - 1) = 1 + 1*(3 - 1) = 3",
        "r = r_prev + jump*(k - 1) = 3 + 1*(2 - 1) = 4",
        "r = r_prev + jump*(k - 1) = 4 + 2*(3 - 1) = 8",
    ]


def test_w8_shrinkage_without_padding():
    """Each layer takes F - 1."""
    net = nn.Sequential(*(nn.Conv2d(1, 1, 5) for _ in range(3)))
    assert [explain(net, (1, 32, 32), name).output[-1] for name in "012"] == [28, 24, 20]


def test_the_stem_of_resnet_whole():
    size = "(224 - 7 + 2*3)/2 + 1 = 112.5, floored to 112: the last"
    assert str(explain(build("resnet18"), (3, 224, 224), "conv1")).splitlines() == [
        "conv1: Conv2d(3->64, 7x7, /2, pad 3, no bias)",
        f"size             height: {size} row of padding is not read",
        f"size             width: {size} column of padding is not read",
        "                 (3, 224, 224) -> (64, 112, 112)",
        "parameters       (7*7*3)*64 = 9,408",
        "FLOPs            (2*3*49)*64*112*112 = 236,027,904, from 118,013,952 MACs",
        "receptive field  r = r_prev + jump*(k - 1) = 1 + 1*(7 - 1) = 7",
        "jump             1*2 = 2",
    ]


# Every kind: the formula is there, is right, and says what was counted

LAYERS = {
    "conv": (nn.Conv2d(4, 6, 3, 2, 1), (4, 11, 12)),
    "conv without bias": (nn.Conv2d(4, 6, (1, 3), bias=False), (4, 11, 12)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), (4, 11, 12)),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4), (4, 11, 12)),
    "dilated": (nn.Conv2d(4, 6, 3, dilation=2), (4, 11, 12)),
    "same": (nn.Conv2d(4, 6, 3, padding="same"), (4, 11, 12)),
    "reflected": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (4, 11, 12)),
    "conv 1d": (nn.Conv1d(4, 6, 3, 2), (4, 11)),
    "conv 3d": (nn.Conv3d(4, 6, 3, 2), (4, 7, 8, 9)),
    "transposed": (nn.ConvTranspose2d(4, 6, 4, 2, 1), (4, 5, 6)),
    "transposed, grouped": (nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, dilation=2), (4, 5, 6)),
    "transposed 1d": (nn.ConvTranspose1d(4, 6, 4, bias=False), (4, 5)),
    "linear": (nn.Linear(4, 3), (4,)),
    "linear without bias, on many": (nn.Linear(4, 3, bias=False), (5, 7, 4)),
    "batch norm": (nn.BatchNorm2d(4), (4, 5, 5)),
    "layer norm": (nn.LayerNorm(4), (5, 4)),
    "group norm": (nn.GroupNorm(2, 4), (4, 5, 5)),
    "rnn": (nn.RNN(3, 4, batch_first=True), (5, 3)),
    "lstm": (nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True), (5, 3)),
    "lstm, projected": (nn.LSTM(3, 4, proj_size=2, batch_first=True), (5, 3)),
    "gru": (nn.GRU(3, 4, bias=False, batch_first=True), (5, 3)),
    "lstm cell": (nn.LSTMCell(3, 4), (3,)),
    "gru cell": (nn.GRUCell(3, 4), (3,)),
    "rnn cell": (nn.RNNCell(3, 4), (3,)),
}


def value(formula: str) -> int:
    return eval(formula, {"__builtins__": {}})


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("name", LAYERS)
def test_formulas_are_there_and_right(name: str):
    layer, shape = LAYERS[name]
    net = nn.Sequential(layer)
    found = explain(net, shape, "0")
    lines = list(found.lines)
    formula, _, result = row(lines, "parameters").partition(" = ")
    learned = sum(parameter.numel() for parameter in layer.parameters())
    assert value(formula) == int(result.replace(",", "")) == learned == found.parameters
    counted = trace(net, torch.zeros(1, *shape))
    products = sum(macs(counted, call) or 0 for call in counted.calls)
    assert found.macs == products
    if products:
        formula, _, rest = row(lines, "FLOPs").partition(" = ")
        assert value(formula) == 2 * products == int(rest.split(", from")[0].replace(",", ""))
    else:
        assert row(lines, "FLOPs").startswith("0: no sums of products")
    with torch.no_grad():
        output = net.eval()(torch.zeros(1, *shape))
    assert found.output == tuple((output if isinstance(output, torch.Tensor) else output[0]).shape)
    for line in lines:
        if line.startswith("size") and " + 1 = " in line:
            formula, _, size = line.split(": ")[1].split(";")[0].split(",")[0].partition(" = ")
            assert value(formula) == pytest.approx(float(size), abs=0.005)


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (nn.ConvTranspose2d(4, 6, 4, 2, 1), (4, 14, 14), "height, width: (14 - 1)*2 - 2*1 + 4 = 28;"),
        (nn.ConvTranspose1d(4, 6, 3, 2, 1, 1), (4, 14), "length: (14 - 1)*2 - 2*1 + 3 + 1 = 28;"),
        (
            nn.MaxPool2d(3, 2, ceil_mode=True),
            (1, 112, 112),
            "height, width: (112 - 3 + 2*0)/2 + 1 = 55.5, raised to",
        ),
        (nn.AvgPool1d(2), (1, 8), "length: (8 - 2 + 2*0)/2 + 1 = 4;"),
        (nn.MaxPool3d(2), (1, 4, 4, 4), "depth, height, width: (4 - 2 + 2*0)/2 + 1 = 2;"),
        (nn.Conv1d(1, 1, 4, padding="same"), (1, 9), "length: (9 - 4 + 1 + 2)/1 + 1 = 9;"),
        (nn.MaxPool1d(2, 3, 1, ceil_mode=True), (1, 6), "length: (6 - 2 + 2*1)/3 + 1 = 3;"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_sizes_of_other_kinds(layer: nn.Module, shape: tuple[int, ...], words: str):
    assert row(one(layer, *shape), "size").startswith(words)


def test_a_last_window_that_would_begin_in_the_padding():
    """torch leaves it out, ceil_mode or not."""
    layer = nn.MaxPool1d(2, 4, 1, ceil_mode=True)
    assert layer(torch.zeros(1, 1, 3)).shape[-1] == 1
    words = "length: (3 - 2 + 2*1)/4 + 1 = 1.75, floored to 1: another window would begin outside;"
    assert row(one(layer, 1, 3), "size").startswith(words)


def test_a_dilated_filter_is_measured_from_end_to_end():
    lines = one(nn.Conv2d(2, 2, 3, dilation=2), 2, 11, 11)
    assert row(lines, "filter") == "2*(3 - 1) + 1 = 5 from end to end, dilated"
    assert row(lines, "size").startswith("height, width: (11 - 5 + 2*0)/1 + 1 = 7;")
    assert row(lines, "receptive field") == "r = r_prev + jump*(k - 1) = 1 + 1*2*(3 - 1) = 5"


def test_attention_of_queries_on_other_keys():
    layer = nn.MultiheadAttention(8, 2, batch_first=True, kdim=6, vdim=4)
    inputs = (torch.zeros(3, 5, 8), torch.zeros(3, 7, 6), torch.zeros(3, 7, 4))
    found = explain(layer, inputs, "")
    counted = trace(layer, *inputs)
    products = sum(macs(counted, call) or 0 for call in counted.calls)
    assert row(list(found.lines), "FLOPs") == (
        f"2*3*(5*8*8 + 7*6*8 + 7*4*8 + 2*5*7*8 + 5*8*8) = {2 * products:,}, from {products:,} MACs"
    )
    learned = sum(parameter.numel() for parameter in layer.parameters())
    assert row(list(found.lines), "parameters") == f"8*8 + 6*8 + 4*8 + 8*8 + 4*8 = {learned}"
    assert row(list(found.lines), "heads") == "2 of 8/2 = 4"


def test_tokens():
    net = nn.Sequential(nn.Embedding(9, 4), nn.LSTM(4, 5, batch_first=True))
    lines = list(explain(net, (6,), "0", dtype=torch.int64).lines)
    assert row(lines, "parameters") == "9*4 = 36"
    lines = list(explain(net, (6,), "1", dtype=torch.int64).lines)
    assert row(lines, "parameters") == "4*(4*5 + 5*5 + 2*5) = 220"
    assert row(lines, "FLOPs") == "2*6*(4*(4*5 + 5*5)) = 2,160, from 1,080 MACs"


def test_activations_change_nothing():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.PReLU(4))
    lines = list(explain(net, (1, 8, 8), "1").lines)
    assert row(lines, "parameters") == "none"
    assert row(lines, "receptive field") == "r = 3x3, jump 1, 1, unchanged"
    assert row(list(explain(net, (1, 8, 8), "2").lines), "parameters") == "4"


def test_the_head_sees_the_whole_input():
    lines = list(explain(build("vgg11", width=0.05), (3, 224, 224), "classifier.0").lines)
    assert row(lines, "receptive field") == "r = 224x224, the whole input"


def test_a_container_names_what_is_in_it():
    found = explain(build("resnet18", width=0.1), (3, 64, 64), "layer1.0")
    assert "layer1.0.conv1, layer1.0.bn1" in row(list(found.lines), "layers in it")
    inner = [explain(build("resnet18", width=0.1), (3, 64, 64), f"layer1.0.{k}") for k in ("conv1", "conv2")]
    assert found.macs == sum(each.macs for each in inner)


def test_a_layer_called_twice_says_so():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3)

        def forward(self, x):
            return self.conv(self.conv(x))

    lines = list(explain(Twice(), (1, 9, 9), "conv").lines)
    assert row(lines, "receptive field") == "r = r_prev + jump*(k - 1) = 3 + 1*(3 - 1) = 5"
    assert row(lines, "called") == "2 times; this is the last call"


def test_a_batch_multiplies():
    found = explain(nn.Sequential(nn.Conv2d(3, 1, 5)), torch.zeros(4, 3, 32, 32), "0")
    assert row(list(found.lines), "FLOPs") == "(2*3*25)*1*28*28*4 = 470,400, from 235,200 MACs"


@pytest.mark.parametrize("name", ["mobilenet-v2", "resnext50-32x4d"])
def test_no_formula_gives_way_to_a_bare_count(name: str):
    """Grouped, depthwise, strided and pointwise layers, and the head."""
    net = build(name, width=0.25)
    layers = [key for key, part in net.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    for layer in (*layers[:6], layers[-1]):
        found = explain(net, (3, 64, 64), layer)
        formula = row(list(found.lines), "FLOPs").partition(" = ")[0]
        assert value(formula) == found.flops, layer
    json.dumps(found.to_dict())


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("conv9", "layer='conv9': unknown, did you mean 'conv"),
        ("idle", "layer='idle': has no part in the answer"),
    ],
)
def test_mistakes_are_answered_in_one_line(layer: str, message: str):
    net = build("mnist-cnn")
    net.add_module("idle", nn.ReLU())
    with pytest.raises(UsageError) as raised:
        explain(net, (1, 28, 28), layer)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
