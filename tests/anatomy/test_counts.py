"""MACs and FLOPs equal the count by hand, for every kind of layer and however it was written."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from didact.anatomy.counts import FORMULAS, NO_ARITHMETIC, not_counted
from didact.anatomy.counts import macs as macs_of
from didact.anatomy.inspection import inspect
from didact.anatomy.trace import trace


def macs(module: nn.Module, *inputs: Tensor) -> int:
    return inspect(module, inputs).totals.macs


class Does(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape)


# The lectures' numbers


def test_one_filter_of_the_lectures():
    table = inspect(nn.Conv2d(3, 1, 5), (3, 32, 32))
    products, additions, biases = 75 * 784, 74 * 784, 784
    assert (products, additions) == (58_800, 58_016)
    assert table.totals.flops == products + additions + biases == 117_600
    assert table.totals.macs == products
    assert inspect(nn.Conv2d(3, 10, 5, padding=2), (3, 32, 32)).totals.flops == 1_536_000


def test_one_output_costs_two_for_each_weight():
    assert inspect(nn.Conv2d(1, 1, 3), (1, 3, 3)).totals.macs == 9
    for maps, side in ((1, 3), (7, 5)):
        one = inspect(nn.Conv2d(maps, 1, side), (maps, side, side)).totals.flops
        assert one == (maps * side**2) + (maps * side**2 - 1) + 1


def test_the_bias_is_inside():
    for bias in (True, False):
        assert inspect(nn.Conv2d(3, 1, 5, bias=bias), (3, 32, 32)).totals.flops == 117_600
        assert inspect(nn.Linear(100, 10, bias=bias), (100,)).totals.macs == 1000


@pytest.mark.parametrize(
    ("maps", "ratio"),
    [(32, 0.14236), (64, 0.12674), (72, 0.125), (128, 0.11892), (256, 0.11502), (512, 0.11306)],
)
def test_a_separable_convolution_costs_one_over_maps_and_filter(maps: int, ratio: float):
    whole = inspect(nn.Conv2d(32, maps, 3, padding=1), (32, 112, 112)).totals
    depthwise = inspect(nn.Conv2d(32, 32, 3, padding=1, groups=32), (32, 112, 112)).totals
    pointwise = inspect(nn.Conv2d(32, maps, 1), (32, 112, 112)).totals
    assert depthwise.flops == 2 * 9 * 32 * 112**2 == 7_225_344
    assert pointwise.flops == 2 * 32 * maps * 112**2
    assert (depthwise.flops + pointwise.flops) / whole.flops == pytest.approx(1 / maps + 1 / 9)
    assert round((depthwise.flops + pointwise.flops) / whole.flops, 5) == ratio
    if maps == 64:
        assert (whole.flops, pointwise.flops) == (462_422_016, 51_380_224)


@pytest.mark.parametrize(("maps", "ratio"), [(64, 0.58), (128, 0.54), (256, 0.52)])
def test_a_pointwise_reduction_saves_half(maps: int, ratio: float):
    direct = inspect(nn.Conv2d(256, maps, 5, padding=2), (256, 32, 32)).totals
    reduced = inspect(
        nn.Sequential(nn.Conv2d(256, 128, 1), nn.Conv2d(128, maps, 5, padding=2)), (256, 32, 32)
    )
    assert round(reduced.totals.flops / direct.flops, 2) == ratio
    if maps == 128:
        assert direct.flops == 1_677_721_600
        assert [row.flops for row in reduced.layers] == [67_108_864, 838_860_800]


# Every kind, by hand


@pytest.mark.parametrize(
    ("layer", "shape", "by_hand"),
    [
        (nn.Conv1d(4, 6, 3), (2, 4, 10), 2 * 6 * 8 * 4 * 3),
        (nn.Conv2d(4, 6, (3, 5), stride=2, padding=1), (2, 4, 11, 12), 2 * 6 * 6 * 5 * 4 * 15),
        (nn.Conv2d(4, 6, 3, dilation=2), (1, 4, 9, 9), 6 * 25 * 4 * 9),
        (nn.Conv3d(2, 3, 3), (1, 2, 5, 6, 7), 3 * 3 * 4 * 5 * 2 * 27),
        (nn.Conv2d(8, 12, 3, groups=4), (1, 8, 6, 6), 12 * 16 * 2 * 9),
        (nn.Conv2d(8, 8, 3, groups=8), (1, 8, 6, 6), 8 * 16 * 9),
        (nn.ConvTranspose1d(4, 6, 3, stride=2), (2, 4, 10), 2 * 4 * 10 * 6 * 3),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1), (1, 4, 5, 5), 25 * 4 * 6 * 9),
        (nn.ConvTranspose2d(8, 12, 3, stride=2, groups=4), (1, 8, 5, 5), 25 * 8 * 3 * 9),
        (nn.ConvTranspose3d(2, 3, 2, stride=2), (1, 2, 3, 3, 3), 27 * 2 * 3 * 8),
        (nn.Linear(5, 7), (3, 5), 3 * 5 * 7),
        (nn.Linear(5, 7), (3, 4, 5), 3 * 4 * 5 * 7),
        (nn.Linear(5, 7), (5,), 5 * 7),
        (nn.Linear(5, 7, bias=False), (3, 4, 5), 3 * 4 * 5 * 7),
    ],
    ids=str,
)
def test_convolutions_and_linear_layers(layer: nn.Module, shape: tuple[int, ...], by_hand: int):
    assert macs(layer, zeros(*shape)) == by_hand


def test_a_bilinear_layer_adds_every_triple():
    assert macs(nn.Bilinear(5, 6, 7), zeros(3, 5), zeros(3, 6)) == 3 * 7 * 5 * 6


def test_looking_up_is_no_arithmetic():
    table = inspect(nn.Embedding(10, 4), (5,), dtype=torch.int64)
    assert (table.totals.macs, table.totals.not_counted) == (0, ())
    assert table.totals.parameters == 40


def test_a_bag_of_embeddings_multiplies_only_where_it_is_weighted():
    indices = torch.zeros(2, 5, dtype=torch.int64)
    plain = inspect(nn.EmbeddingBag(10, 4, mode="sum"), indices)
    assert plain.totals.macs == 0
    assert [entry.op for entry in plain.totals.not_counted] == ["_embedding_bag"]
    table = torch.zeros(10, 4)
    weighted = Does(lambda i, w: F.embedding_bag(i, table.to(i.device), mode="sum", per_sample_weights=w))
    assert macs(weighted, indices, zeros(2, 5)) == 2 * 5 * 4


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.LSTM, 4), (nn.GRU, 3)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrence_by_hand(kind: type[nn.Module], gates: int, bidirectional: bool):
    steps, batch, inputs, hidden = 7, 2, 5, 6
    ways = 1 + bidirectional
    first = gates * (inputs * hidden + hidden * hidden)
    second = gates * (ways * hidden * hidden + hidden * hidden)
    by_hand = steps * batch * ways * (first + second)
    layer = kind(inputs, hidden, 2, bidirectional=bidirectional)
    assert macs(layer, zeros(steps, batch, inputs)) == by_hand
    assert macs(Looks(layer), zeros(steps, batch, inputs)) == by_hand


def test_a_projected_lstm():
    one = 4 * (5 * 6 + 3 * 6) + 6 * 3
    assert macs(nn.LSTM(5, 6, proj_size=3), zeros(7, 2, 5)) == 7 * 2 * one


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNNCell, 1), (nn.LSTMCell, 4), (nn.GRUCell, 3)])
def test_recurrent_cells_by_hand(kind: type[nn.Module], gates: int):
    assert macs(kind(5, 6), zeros(2, 5)) == 2 * gates * (5 * 6 + 6 * 6)


class Looks(nn.Module):
    """It looks at numbers, so that it has to run for real; what is in it is the same."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, *inputs: Tensor) -> Tensor:
        if inputs[0].sum() > 1e9:
            raise AssertionError("never")
        return self.inner(*inputs)


@pytest.mark.parametrize("wrap", [nn.Sequential, Looks])
def test_fused_attention_and_the_same_written_out(wrap: type[nn.Module]):
    def written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.softmax(q @ k.transpose(-1, -2), -1) @ v

    q, k, v = zeros(2, 4, 10, 8), zeros(2, 4, 12, 8), zeros(2, 4, 12, 16)
    by_hand = 2 * 4 * 10 * 12 * (8 + 16)
    for function in (F.scaled_dot_product_attention, written_out):
        module = Does(function)
        found = trace(Looks(module) if wrap is Looks else module, q, k, v)
        assert sum(macs_of(found, call) or 0 for call in found.calls) == by_hand
        assert found.on_paper is (wrap is not Looks)


def test_the_closed_kernel_of_the_processor_is_counted():
    q = zeros(2, 4, 10, 8)
    found = trace(Looks(Does(F.scaled_dot_product_attention)), q, q, q)
    fused = [call.op for call in found.calls if call.op.startswith("_scaled_dot")]
    assert fused == ["_scaled_dot_product_flash_attention_for_cpu"]
    assert [macs_of(found, call) for call in found.calls if call.op in fused] == [2 * 2 * 4 * 10 * 10 * 8]


ATTENTIONS = (
    ("_scaled_dot_product_flash_attention", (0.0, False, False)),
    ("_scaled_dot_product_efficient_attention", (None, False)),
    ("_scaled_dot_product_cudnn_attention", (None, False)),
    ("_scaled_dot_product_fused_attention_overrideable", ()),
    ("_scaled_dot_product_flash_attention_for_cpu", ()),
)


@pytest.mark.parametrize(("op", "more"), ATTENTIONS, ids=[op for op, _ in ATTENTIONS])
def test_every_closed_kernel_of_attention(op: str, more: tuple[object, ...]):
    operation = getattr(torch.ops.aten, op)
    q = torch.zeros(2, 4, 16, 8)
    found = trace(Does(lambda q, k, v: operation(q, k, v, *more)[0]), q, q, q)
    counted = [macs_of(found, call) for call in found.calls if call.op == op]
    assert counted == [2 * 2 * 4 * 16 * 16 * 8]


def test_the_closed_kernels_of_whole_layers():
    dim, heads, batch, steps, wide = 8, 2, 2, 5, 16
    attention = batch * (4 * steps * dim * dim + 2 * steps * steps * dim)
    x = torch.randn(batch, steps, dim)
    qkv, proj = (torch.randn(3 * dim, dim), torch.randn(3 * dim)), (torch.randn(dim, dim), torch.randn(dim))

    def attend(x: Tensor) -> Tensor:
        return torch._native_multi_head_attention(x, x, x, dim, heads, *qkv, *proj)[0]

    found = trace(Looks(Does(attend)), x)
    counted = {call.op: macs_of(found, call) for call in found.calls}
    assert counted["_native_multi_head_attention"] == attention
    norm, wider = (torch.ones(dim), torch.zeros(dim)), (torch.randn(wide, dim), torch.randn(wide))
    back = (torch.randn(dim, wide), torch.randn(dim))

    def layer(x: Tensor) -> Tensor:
        return torch._transformer_encoder_layer_fwd(
            x, dim, heads, *qkv, *proj, False, False, 1e-5, *norm, *norm, *wider, *back
        )

    found = trace(Looks(Does(layer)), x)
    counted = {call.op: macs_of(found, call) for call in found.calls}
    assert counted["_transformer_encoder_layer_fwd"] == attention + 2 * batch * steps * dim * wide


def test_multi_head_attention_and_the_encoder_layer():
    dim, batch, steps, wide = 512, 2, 7, 2048
    attention = batch * (4 * steps * dim * dim + 2 * steps * steps * dim)
    x = zeros(batch, steps, dim)
    heads = nn.MultiheadAttention(dim, 8, batch_first=True)
    assert macs(heads, x, x, x) == attention
    layer = nn.TransformerEncoderLayer(dim, 8, wide, batch_first=True)
    assert macs(layer, x) == attention + 2 * batch * steps * dim * wide


FUNCTIONS = {
    "conv2d": (lambda x: F.conv2d(x, torch.ones(6, 3, 3, 3, device=x.device)), (2, 3, 8, 8), 2 * 6 * 36 * 27),
    "matmul": (lambda x: x @ x.transpose(-1, -2), (2, 3, 4, 5), 2 * 3 * 4 * 4 * 5),
    "bmm": (lambda x: torch.bmm(x, x.transpose(1, 2)), (3, 4, 5), 3 * 4 * 4 * 5),
    "baddbmm": (lambda x: torch.baddbmm(x, x, x), (3, 4, 4), 3 * 64),
    "addbmm": (lambda x: torch.addbmm(x[0], x, x), (3, 4, 4), 3 * 64),
    "addmm": (lambda x: torch.addmm(x, x, x), (4, 4), 64),
    "addmm in place": (lambda x: x.clone().addmm_(x, x), (4, 4), 64),
    "baddbmm in place": (lambda x: x.clone().baddbmm_(x, x), (3, 4, 4), 3 * 64),
    "einsum": (lambda x: torch.einsum("bik,bjk->bij", x, x), (3, 4, 5), 3 * 4 * 4 * 5),
    "matrix and vector": (lambda x: x @ x[0], (4, 4), 16),
    "dot": (lambda x: torch.dot(x, x), (9,), 9),
    "outer product": (lambda x: torch.outer(x, x), (9,), 0),
    "a shortcut": (lambda x: x + x, (9,), 0),
}


@pytest.mark.parametrize(("function", "shape", "by_hand"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_in_a_forward(function, shape: tuple[int, ...], by_hand: int):
    assert macs(Does(function), zeros(*shape)) == by_hand


# What is not counted


def test_the_rest_is_listed_by_name_with_how_often_and_how_much():
    layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.ReLU())
    listed = inspect(layers, (1, 10, 10)).totals.not_counted
    assert [(entry.op, entry.times, entry.elements) for entry in listed] == [
        ("relu", 2, 256 + 64),
        ("native_batch_norm", 1, 256),
        ("max_pool2d_with_indices", 1, 64),
    ]
    assert str(listed[0]) == "relu x2 (320 numbers)"


def test_an_operation_that_nobody_knows_is_listed():
    found = trace(Does(lambda x: torch.fft.rfft(x).real), zeros(8))
    assert "_fft_r2c" in [entry.op for entry in not_counted(found, found.calls)]


def test_a_name_is_counted_or_no_arithmetic_never_both():
    assert not FORMULAS.keys() & NO_ARITHMETIC


def test_operations_exist_under_these_names():
    known = {name.split("::")[1].split(".")[0] for name in torch._C._dispatch_get_all_op_names()}
    assert not FORMULAS.keys() - known
    assert not NO_ARITHMETIC - known


# Beside torch's own counter, where that is right


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 11, 12)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2), (1, 4, 5, 5)),
        (nn.Linear(5, 7), (3, 4, 5)),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (2, 5, 8)),
        (nn.GRU(5, 6), (7, 2, 5)),
    ],
    ids=str,
)
def test_torchs_counter_agrees(layer: nn.Module, shape: tuple[int, ...]):
    layer.train()  # the closed kernels of evaluation it does not count
    x = torch.randn(shape)
    with FlopCounterMode(display=False) as counter:
        layer(x)
    assert inspect(layer, x).totals.flops == counter.get_total_flops()
