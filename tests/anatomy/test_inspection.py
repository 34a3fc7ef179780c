"""The table of a network: rows, sums, the lectures' numbers, and what training takes."""

import csv
import io
import json
import time
import tomllib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

import didact
from didact.anatomy.inspection import Inspection, inspect
from didact.anatomy.memory import REMEMBERED, kept, words
from didact.catalog import CATALOG
from didact.errors import UsageError


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def rows(table: Inspection) -> dict[str, int]:
    return {row.name: row.parameters for row in table.layers if row.parameters}


# The catalogue


def example(name: str, model: nn.Module) -> Tensor:
    entry = CATALOG[name]
    if "tokens" in entry.inputs:
        return torch.zeros(1, 9, dtype=torch.int64)
    if entry.inputs == ("image",):
        side = {"alexnet": 224, "inception-v3": 107, "alexnet-one-tower": 227, "alexnet-two-group": 227}
        side = entry.tiny.get("image_size", side.get(name, entry.recipe["image_size"]))
        return torch.zeros(1, model.in_channels, side, side)
    return torch.zeros(1, model.noise_dim if name == "gan" else entry.tiny["in_features"])


@pytest.mark.parametrize("name", CATALOG)
def test_parameters_are_those_of_the_network(name: str):
    model = didact.build(name, **CATALOG[name].tiny)
    table = inspect(model, example(name, model))
    assert table.on_paper
    assert table.totals.parameters == parameters(model) == sum(row.parameters for row in table.layers)
    assert table.totals.macs == sum(row.macs for row in table.layers) > 0
    known = dict(model.named_modules())
    assert all(row.name in known for row in table.layers)
    assert len({row.name for row in table.layers}) == len(table.layers)
    json.dumps(table.to_dict())


DOCS = Path(__file__).parents[2] / "docs"
PUBLISHED = tomllib.loads((DOCS / "published.toml").read_text())
BY_TORCHVISION = [name for name, row in PUBLISHED.items() if "torchvision" in row.get("counted_by", "")]


@pytest.mark.parametrize("name", BY_TORCHVISION)
def test_at_full_size_macs_are_torchvisions_to_the_last_digit(name: str):
    """It calls them GFLOPS."""
    row = PUBLISHED[name]
    with torch.device("meta"):
        model = didact.build(name, **row.get("arguments", {}))
    table = inspect(model, (3, row["side"], row["side"]))
    assert table.totals.macs / 1e9 == pytest.approx(row["multiply_adds"], abs=0.0006)
    assert table.totals.parameters == parameters(model)
    assert row.get("arguments") or table.totals.parameters == CATALOG[name].parameters


# The lectures' numbers


def test_alexnet_layer_by_layer():
    with torch.device("meta"):
        table = inspect(didact.build("alexnet-one-tower"), (3, 227, 227))
    assert list(rows(table).values()) == [
        *(34_944, 614_656, 885_120, 1_327_488, 884_992),
        *(37_752_832, 16_781_312, 4_097_000),
    ]
    assert table.totals.parameters == 62_378_344
    convolutions = [row for row in table.layers if row.kind == "Conv2d"]
    assert sum(row.parameters for row in convolutions) == 3_747_200
    assert [row.output[-1] for row in convolutions] == [55, 27, 13, 13, 13]
    assert [row.output[-1] for row in table.layers if row.kind == "MaxPool2d"] == [27, 13, 6]


def test_alexnet_in_two_groups():
    with torch.device("meta"):
        table = inspect(didact.build("alexnet-two-group"), (3, 227, 227))
    convolutions = [row.parameters for row in table.layers if row.kind == "Conv2d"]
    assert convolutions == [34_944, 307_456, 885_120, 663_936, 442_624]
    assert (sum(convolutions), table.totals.parameters) == (2_334_080, 60_965_224)


@pytest.fixture(scope="module")
def vgg16() -> Inspection:
    with torch.device("meta"):
        return inspect(didact.build("vgg16"), (3, 224, 224))


def test_where_the_parameters_of_vgg16_are(vgg16: Inspection):
    connected = [row.parameters for row in vgg16.layers if row.kind == "Linear"]
    assert connected == [102_764_544, 16_781_312, 4_097_000]
    assert vgg16.totals.parameters == 138_357_544
    assert sum(row.parameters for row in vgg16.layers if row.kind == "Conv2d") == 14_714_688
    assert round(100 * connected[0] / vgg16.totals.parameters, 1) == 74.3
    assert sum(row.flops for row in vgg16.layers if row.kind == "Conv2d") == 30_693_261_312


def test_where_the_memory_of_vgg16_is(vgg16: Inspection):
    maps = [row for row in vgg16.layers if row.kind in ("Conv2d", "MaxPool2d")]
    activations = 3 * 224 * 224 + sum(row.activations for row in maps)
    first_pooling = next(k for k, row in enumerate(maps) if row.kind == "MaxPool2d")
    block = sum(row.activations for row in maps[: first_pooling + 1])
    assert activations == 15_228_416
    assert round(100 * block / activations, 1) == 47.4


def test_lenet5():
    table = inspect(didact.build("lenet5"), (1, 32, 32))
    assert list(rows(table).values()) == [156, 2_416, 48_120, 10_164, 850]
    assert table.totals.parameters == 61_706
    assert table.totals.macs == 117_600 + 240_000 + 48_000 + 10_080 + 840


def test_ten_filters():
    row = inspect(nn.Conv2d(3, 10, 5, padding=2), (3, 32, 32)).layers[0]
    assert (row.parameters, row.output) == (760, (1, 10, 32, 32))
    assert row.arguments == "3->10, 5x5, pad 2"


def test_a_bottleneck_saves_weights():
    wide = nn.Conv2d(256, 256, 3, padding=1, bias=False)
    narrow = nn.Sequential(
        nn.Conv2d(256, 64, 1, bias=False),
        nn.Conv2d(64, 64, 3, padding=1, bias=False),
        nn.Conv2d(64, 256, 1, bias=False),
    )
    whole, saved = (inspect(net, (256, 8, 8)).totals for net in (wide, narrow))
    assert (whole.parameters, saved.parameters) == (589_824, 69_632)
    assert saved.macs / whole.macs == pytest.approx(0.1181, abs=1e-4)


def test_small_networks_by_hand():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    assert list(rows(inspect(net, (3,))).values()) == [16, 10]
    assert inspect(net, (3,)).totals.parameters == 26
    flat = nn.Sequential(nn.Flatten(), nn.Linear(75, 3, bias=False))
    assert inspect(flat, (3, 5, 5)).totals.parameters == 225
    with torch.device("meta"):
        huge = nn.Sequential(nn.Flatten(), nn.Linear(3_000_000, 1000, bias=False))
    assert inspect(huge, (3, 1000, 1000)).totals.parameters == 3_000_000_000


def test_the_sizes_of_the_transformer():
    heads = nn.MultiheadAttention(512, 8, batch_first=True)
    x = torch.zeros(1, 7, 512)
    assert inspect(heads, (x, x, x)).totals.parameters == 1_050_624
    encoder = inspect(nn.TransformerEncoderLayer(512, 8, 2048, batch_first=True), (7, 512))
    assert rows(encoder) == {
        "self_attn": 1_050_624,
        "norm1": 1_024,
        "linear1": 2048 * 513,
        "linear2": 512 * 2049,
        "norm2": 1_024,
    }
    assert encoder.totals.parameters == 3_152_384
    decoder = inspect(nn.TransformerDecoderLayer(512, 8, 2048, batch_first=True), (x, x))
    assert decoder.totals.parameters == 4_204_032
    with torch.device("meta"):
        whole = nn.Transformer(512, 8, 6, 6, 2048, batch_first=True)
    norms = 2 * 1_024  # torch closes either side with one more
    assert inspect(whole, (x, x)).totals.parameters == 44_138_496 + norms


# Rows


class Block(nn.Module):
    """It does things itself: a functional convolution, a shortcut; one layer runs twice, one never."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(4, 4, 3, 3))
        self.mix = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.spare = nn.Linear(3, 3)
        self.norm.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.mix(self.norm(self.mix(x)))
        return x + F.conv2d(inner, self.kernel, padding=1)


@pytest.fixture
def block() -> Inspection:
    return inspect(nn.Sequential(Block()), (4, 5, 5), batch=2)


def test_a_layer_that_is_used_again_has_one_row(block: Inspection):
    mix = next(row for row in block.layers if row.name == "0.mix")
    assert (mix.calls, mix.note, mix.parameters) == (2, "x2", 20)
    assert mix.macs == 2 * 2 * 4 * 4 * 25
    assert mix.activations == 2 * 2 * 4 * 25


def test_what_a_container_does_itself_has_a_row(block: Inspection):
    own = next(row for row in block.layers if row.name == "0")
    assert (own.kind, own.own, own.note) == ("Block", True, "own operations")
    assert (own.parameters, own.macs) == (144, 2 * 4 * 25 * 36)
    assert [entry.op for entry in own.not_counted] == ["add"]
    assert own.activations == 2 * (2 * 4 * 25)
    assert "Block [own operations]" in str(block)


def test_what_is_frozen_and_what_did_not_run(block: Inspection):
    frozen = next(row for row in block.layers if row.name == "0.norm")
    assert (frozen.trainable, frozen.frozen, frozen.note) == (0, 8, "frozen")
    spare = block.layers[-1]
    assert (spare.name, spare.calls, spare.note, spare.macs) == ("0.spare", 0, "not run", 0)
    assert (block.totals.trainable, block.totals.frozen) == (144 + 20 + 12, 8)
    assert "184 parameters (176 trainable, 8 frozen)" in str(block)


def test_what_is_shared_is_counted_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(10, 4), nn.Linear(4, 10)
            self.head.weight = self.embed.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.embed(x))

    table = inspect(Tied(), (5,), dtype=torch.int64)
    assert [(row.name, row.parameters) for row in table.layers] == [("embed", 40), ("head", 10)]
    assert table.layers[1].note == "head.weight is embed.weight"
    assert (table.totals.parameters, table.totals.macs) == (50, 5 * 40)


def test_a_parametrized_layer_is_one_row():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    table = inspect(nn.Sequential(layer), (4,))
    assert [(row.name, row.kind, row.parameters) for row in table.layers] == [("0", "Linear", 18)]


def test_writing_in_place_and_views_take_no_memory():
    table = inspect(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten()), (1, 6, 6))
    assert [row.activations for row in table.layers] == [32, 0, 0]
    assert table.totals.activation_bytes == 4 * 32


def test_columns_of_the_receptive_field(vgg16: Inspection):
    last = [row for row in vgg16.layers if row.kind == "MaxPool2d"][-1]
    assert last.field is not None
    assert (last.field.size, last.field.jump, last.field.centre) == ((212, 212), (32, 32), (15.5, 15.5))
    assert last.to_dict()["receptive_field"] == [212, 212]


def test_a_fold_keeps_the_sums(vgg16: Inspection):
    for depth in (1, 2):
        table = vgg16.folded(depth)
        assert sum(row.parameters for row in table.layers) == vgg16.totals.parameters
        assert sum(row.macs for row in table.layers) == vgg16.totals.macs
        assert sum(row.activations for row in table.layers) == vgg16.totals.activations
        assert max(row.name.count(".") for row in table.layers) == depth - 1
    folded = vgg16.folded(1).layers
    assert (folded[0].name, folded[0].kind, folded[0].output) == ("features", "Sequential", (1, 512, 7, 7))
    with pytest.raises(UsageError, match="depth 0: it counts levels"):
        vgg16.folded(0)


def test_a_batch_costs_as_much_as_its_examples():
    one, many = (inspect(didact.build("lenet5"), (1, 32, 32), batch=batch) for batch in (1, 8))
    assert many.totals.macs == 8 * one.totals.macs
    assert many.totals.activations == 8 * one.totals.activations
    assert many.inputs == ((8, 1, 32, 32),)


@pytest.mark.parametrize("shape", [(0,), (3, -1), ("3",), (2.0,), (True,)])
def test_what_is_no_shape_is_refused(shape: tuple[object, ...]):
    with pytest.raises(UsageError, match="give the shape of one example"):
        inspect(nn.Linear(3, 3), shape)  # type: ignore[arg-type]


def test_a_batch_of_none_is_refused():
    with pytest.raises(UsageError, match="batch 0: it counts examples, from 1"):
        inspect(nn.Linear(3, 3), (3,), batch=0)


# What is printed


def test_a_narrow_window_cuts_no_name(vgg16: Inspection):
    for width in (60, 80, 100, 140):
        lines = vgg16.table(width)
        assert all(len(line) <= width for line in lines), width
        for row in vgg16.layers:
            assert any(line.startswith(row.name) for line in lines)
    assert vgg16.table()[0].split() == [
        *("layer", "output", "parameters", "MACs", "FLOPs", "memory", "sees", "jump", "centre", "what")
    ]
    assert "FLOPs" not in vgg16.table(90)[0]


def test_csv_and_markdown_hold_every_row(vgg16: Inspection):
    read = list(csv.DictReader(io.StringIO(vgg16.csv())))
    assert [line["name"] for line in read] == [row.name for row in vgg16.layers]
    assert sum(int(line["macs"]) for line in read) == vgg16.totals.macs
    assert read[0]["output"] == "1x64x224x224"
    table, sums = vgg16.markdown().split("\n\n")
    assert len(table.splitlines()) == 2 + len(vgg16.layers)
    assert {line.count("|") for line in table.splitlines()} == {11}
    assert "- 138,357,544 parameters" in sums


def test_the_plot_has_a_bar_for_each_layer_that_costs(vgg16: Inspection):
    figure = vgg16.plot()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["parameters", "MACs", "activations"]
    assert [len(axes.patches) for axes in figure.axes] == [16, 16, 16]
    assert max(bar.get_width() for bar in figure.axes[0].patches) == pytest.approx(74.3, abs=0.05)


# Memory


def test_a_number_of_bytes_in_words():
    said = [words(size) for size in (0, 1023, 1024, 432_013_312, 5 * 2**30, 1536)]
    assert said == ["0 B", "1023 B", "1 KiB", "412 MiB", "5 GiB", "1.5 KiB"]


def test_parameters_gradients_and_state():
    net = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 1))
    net[0].requires_grad_(False)
    memory = inspect(net, (10,), batch=4, optimizer="Adam").memory
    assert (memory.parameters, memory.gradients, memory.optimizer) == (4 * 121, 4 * 11, 2 * 4 * 11)
    assert memory.activations == 4 * 4 * 10  # the input of the second layer; the first learns nothing
    assert memory.total == 4 * (121 + 11 + 22 + 40)
    assert str(memory) == "776 B = 484 B parameters + 44 B gradients + 88 B adam + 160 B activations"
    with pytest.raises(UsageError, match="unknown optimizer 'adan'; did you mean 'adam'"):
        inspect(net, (10,), optimizer="adan")


@pytest.mark.parametrize("name", REMEMBERED)
def test_what_each_optimizer_remembers(name: str):
    kinds = {kind.__name__.lower(): kind for kind in torch.optim.Optimizer.__subclasses__()}
    kinds["adamw"] = torch.optim.AdamW
    weight = nn.Parameter(torch.ones(50))
    options = {"momentum": 0.9} if name == "sgd-momentum" else {}
    optimizer = kinds[name.removesuffix("-momentum")]([weight], lr=0.1, **options)
    weight.sum().backward()
    optimizer.step()
    state = [value for value in optimizer.state[weight].values() if isinstance(value, Tensor)]
    assert sum(value.numel() // 50 for value in state) == REMEMBERED[name]


def really_kept(model: nn.Module, x: Tensor) -> int:
    """Bytes that autograd keeps of a real step."""
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    saved: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        model.train()(x).sum()
    return sum(t.untyped_storage().nbytes() for pointer, t in saved.items() if pointer and pointer not in own)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("lenet5", {}),
        ("resnet18", {"width": 0.125, "stem": "cifar", "in_channels": 1}),
        ("vgg11", {"width": 0.03, "in_channels": 1}),
        ("densenet121", {"depth": 21, "growth": 4, "stem": "cifar", "in_channels": 1}),
    ],
)
def test_what_is_kept_for_the_way_back_is_what_autograd_keeps(name: str, arguments: dict[str, object]):
    model = didact.build(name, **arguments)
    x = torch.randn(2, 1, 32, 32)
    assert kept(model, (x,)) == really_kept(model, x)


def test_a_module_that_refuses_to_train_has_unknown_activations():
    class Frozen(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                raise RuntimeError("not for training")
            return x * 2

    memory = inspect(Frozen(), (3,)).memory
    assert memory.activations is None
    assert "activations unknown" in str(memory)


# Time


def test_inspecting_costs_less_than_two_ways_forward():
    model = didact.build("resnet50").eval()
    x = torch.zeros(1, 3, 224, 224)

    def seconds(run) -> float:
        run()
        times = []
        for _ in range(5):
            started = time.process_time()
            run()
            times.append(time.process_time() - started)
        return min(times)

    with torch.no_grad():
        forward = seconds(lambda: model(x))
    assert seconds(lambda: inspect(model, (3, 224, 224))) < 2 * forward
