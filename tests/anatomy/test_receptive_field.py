"""The receptive field: by the graph, measured, and by the formula of the notes; all three say the same."""

import json
import random
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.anatomy.field import field_of, fields
from didact.anatomy.open_paths import OpenPaths, opened
from didact.anatomy.receptive_field import footprint, seen_by_layers
from didact.anatomy.trace import trace
from didact.catalog import CATALOG, build, constructor_arguments
from didact.errors import UsageError

# real depth, few maps; an image that the early layers do not see to its edge
NARROW = {"width": 0.04, "growth": 4, "widen": 1, "cardinality": 1, "dropout": 0.0, "auxiliary": False}
NARROW |= {"dim": 16, "num_heads": 2}
NO_MAPS = {"softmax-regression", "mlp"}
IMAGES = [name for name, entry in CATALOG.items() if "image" in entry.inputs and name not in NO_MAPS]
FIRST = {CATALOG[name].target.split(":")[0]: name for name in reversed(IMAGES)}.values()  # of each file
SIDE = 160  # pixels, where the network does not fix them
FIXED = {"lenet5": 32}
LAYERS = 8  # of a network, that are measured by default


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def field(net: nn.Module, *shape: int):
    return fields(trace(net, torch.zeros(1, *shape)))[""]


def by_formula(*layers: tuple[int, int]) -> int:
    """receptive-field: r_k = r_(k-1) + (product of the strides before) (f_k - 1), r_0 = 1; (f, s) each."""
    size, jump = 1, 1
    for kernel, stride in layers:
        size, jump = size + jump * (kernel - 1), jump * stride
    return size


def check(net: nn.Module, *shape: int) -> None:
    """What every output index sees by the graph is what its gradient says."""
    every_index(net, shape)
    found = footprint(net, shape, "", images=1)
    assert found.agrees, (found.expected, found.measured)


def every_index(net: nn.Module, shape: tuple[int, ...]) -> None:
    found = field(net, *shape)
    assert found.axes, found.why
    image = torch.ones(1, *shape, dtype=torch.float64, requires_grad=True)
    with OpenPaths():
        output = opened(net)(image)
    for k, axis in enumerate(found.axes):
        for index in range(axis.length):
            part = output if axis.dim is None else output.narrow(axis.dim, index, 1)
            (gradient,) = torch.autograd.grad(part.sum(), image, retain_graph=True, allow_unused=True)
            others = [dim for dim in range(gradient.dim()) if dim != 2 + k]
            seen = gradient.abs().sum(others).nonzero().flatten().tolist()
            assert axis.seen(index) == ((seen[0], seen[-1]) if seen else None), (k, index)


# The numbers of the notes


def convs(*layers: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(*(nn.Conv2d(1, 1, kernel, stride) for kernel, stride in layers))


@pytest.mark.parametrize(
    ("layers", "size"), [(((3, 1),), 3), (((3, 1), (3, 1)), 5), (((3, 1), (3, 1), (3, 1)), 7)]
)
def test_w8_stacked_3x3(layers, size):
    """W8: 3x3 -> 9 pixels; two -> 5x5 = 25; three -> 7."""
    found = field(convs(*layers), 1, 20, 20)
    assert found.size == (size, size)
    assert by_formula(*layers) == size
    check(convs(*layers), 1, 20, 20)


def test_figure_of_the_notes():
    """fig-receptive-field: an output of two 3x3 layers, and the 5x5 = 25 inputs below it."""
    found = footprint(convs((3, 1), (3, 1)), (1, 9, 9))
    assert int((found.open > 0).sum()) == 25
    square = found.plot().axes[0].patches[1]
    assert (square.get_width(), square.get_height()) == (5, 5)


def test_w8_two_ways_to_see_seven_and_one_to_see_eight():
    """W8: 3x3 of stride 2, then 3x3 gives 7; conv 3x3, pool 2x2 of stride 2, conv 3x3 gives 8."""
    assert field(convs((3, 2), (3, 1)), 1, 20, 20).size == (7, 7) == (by_formula((3, 2), (3, 1)),) * 2
    eight = nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2), nn.Conv2d(1, 1, 3))
    assert field(eight, 1, 20, 20).size == (8, 8) == (by_formula((3, 1), (2, 2), (3, 1)),) * 2
    check(eight, 1, 20, 20)


def test_any_stack_is_the_formula():
    drawn = random.Random(0)
    for _ in range(20):
        layers = [(drawn.randint(1, 5), drawn.randint(1, 3)) for _ in range(4)]
        found = field(convs(*layers), 1, 400, 400)
        assert found.size == (by_formula(*layers),) * 2
        jump = torch.tensor([stride for _, stride in layers]).prod().item()
        assert found.jump == (jump, jump)
        assert found.interval((3, 3))[0] == (3 * jump, 3 * jump + by_formula(*layers) - 1)


@pytest.mark.parametrize(
    ("name", "layer", "size", "jump"),
    [
        ("vgg16", "features.28", 196, 16),  # conv5_3
        ("vgg16", "features.30", 212, 32),  # the last pooling
        ("alexnet", "features", 195, 32),
        ("resnet18", "layer4", 435, 32),
        ("resnet50", "layer4", 427, 32),  # with the stride in the 3x3
        ("inception-v3", "Mixed_7c", 1311, 32),
    ],
)
def test_known_networks(name: str, layer: str, size: int, jump: int):
    """At full width, on an image that is too small for some; two of them are measured below."""
    with torch.device("meta"):
        net = build(name)
    found = fields(trace(net, torch.empty(1, net.in_channels, 299, 299)))[layer]
    assert (found.size, found.jump) == ((size, size), (jump, jump))


def test_vgg16_and_resnet50_measured_on_an_image_that_holds_their_fields():
    """conv5_3 of VGG-16 sees 196 pixels, layer4 of ResNet-50 427: no edge is in the way."""
    vgg = footprint(build("vgg16", width=0.02), (3, 256, 256), "features.28", images=1)
    assert [high - low + 1 for low, high in vgg.measured] == [196, 196]
    resnet = footprint(build("resnet50", width=0.03), (3, 480, 480), "layer4", images=1)
    assert [high - low + 1 for low, high in resnet.measured] == [427, 427]
    assert vgg.agrees
    assert resnet.agrees


# The catalogue


def narrow(name: str) -> nn.Module:
    known = constructor_arguments(name)
    small = {key: value for key, value in NARROW.items() if key in known}
    if "group_width" in known:
        small["group_width"] = 2
    if name.startswith("vit"):
        small["depth"] = 2
    return build(name, **small)


def layers_of(name: str, net: nn.Module) -> tuple[tuple[int, ...], list[str]]:
    """The shape of an image, and every layer that runs; of each the field is known."""
    side = FIXED.get(name) or (net.image_size if isinstance(getattr(net, "image_size", None), int) else SIDE)
    shape = (net.in_channels, side, side)
    found = fields(trace(net, torch.zeros(1, *shape)))
    assert [layer for layer, its in found.items() if not its.axes] == []
    return shape, list(found)


def unclipped(intervals, side: int) -> bool:
    return all(each is not None and each[0] > 0 and each[1] < side - 1 for each in intervals)


@pytest.mark.parametrize("name", FIRST)
def test_graph_and_footprint_agree_for_one_image_network_of_each_file(name: str):
    """Some layers, from the first to the last; real depth and strides."""
    net = narrow(name)
    shape, layers = layers_of(name, net)
    chosen = layers[1 :: max(1, len(layers) // LAYERS)] + layers[-1:]
    seen = seen_by_layers(net, shape, chosen)
    assert {layer: measured for layer, (_, measured) in seen.items()} == {
        layer: expected for layer, (expected, _) in seen.items()
    }
    assert any(unclipped(expected, shape[1]) for expected, _ in seen.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGES)
def test_graph_and_footprint_agree_for_every_layer(name: str):
    net = narrow(name)
    shape, layers = layers_of(name, net)
    for layer, (expected, measured) in seen_by_layers(net, shape, layers).items():
        assert expected == measured, layer


# Nets made by hand: every index, borders included


class Branches(nn.Module):
    """Two paths joined by a function."""

    def __init__(self, left: nn.Module, right: nn.Module, join):
        super().__init__()
        self.left, self.right, self.join = left, right, join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self.left(x), self.right(x))


class Does(nn.Module):
    """A function as a layer, after a convolution, so that there is something to lose."""

    def __init__(self, function, axes: int = 2, channels: int = 2):
        super().__init__()
        self.before = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1](channels, channels, 3, padding=1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.before(x))


def conv(*arguments, **more) -> nn.Module:
    return nn.Conv2d(2, 2, *arguments, **more)


def cat(*tensors: Tensor) -> Tensor:
    return torch.cat(tensors, 1)


def shuffled(left: Tensor, right: Tensor) -> Tensor:
    return F.channel_shuffle(cat(left, right), 2).chunk(2, 1)[0]


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.middle = conv(3, padding=1), conv(3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(2, 2, 2, stride=2), nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x).relu()
        return self.out(cat(skip, self.up(self.middle(F.max_pool2d(skip, 2)).relu())))


HAND_MADE = {
    "dilated": conv(3, dilation=3, padding=2),
    "asymmetric filter": conv((1, 5), padding=(0, 2), stride=(2, 1)),
    "asymmetric padding": nn.Sequential(nn.ZeroPad2d((3, 0, 1, 2)), conv(3)),
    "cropping": nn.Sequential(nn.ZeroPad2d((-2, -1, 0, -3)), conv(3, padding=1), conv(3, padding=1)),
    "same, even": conv(4, padding="same"),
    "padding wider than the filter": nn.Sequential(conv(3, padding=4), conv(3)),
    "a stride longer than the filter": conv(2, stride=3),
    "reflected": nn.Sequential(conv(3, padding=2, padding_mode="reflect"), conv(3, padding=1)),
    "replicated": conv(5, padding=4, padding_mode="replicate"),
    "ceil": nn.Sequential(conv(3), nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(2, 2, 1, ceil_mode=True)),
    "mean pooling, ceil": nn.Sequential(conv(2), nn.AvgPool2d(3, 2, 1, ceil_mode=True)),
    "dilated pooling": nn.MaxPool2d(3, 2, 1, dilation=2),
    "depthwise": nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2),
    "transposed": nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1),
    "transposed, rest": nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1, output_padding=1, dilation=2),
    "transposed, gaps": nn.ConvTranspose2d(2, 2, 2, stride=3),
    "up and down": nn.Sequential(nn.ConvTranspose2d(2, 2, 3, stride=2), conv(3, stride=2)),
    "skip": Branches(
        nn.Identity(), nn.Sequential(conv(3, padding=1), nn.ReLU(), conv(3, padding=1)), torch.add
    ),
    "inception": Branches(conv(5, padding=2), nn.MaxPool2d(3, 1, 1), cat),
    "shuffled halves": Branches(conv(5, padding=2), conv(1), shuffled),
    "one half of it": Branches(conv(5, padding=2), conv(1), lambda a, b: cat(a, b)[:, 2:]),
    "one-sided branches": Branches(
        nn.Sequential(nn.ZeroPad2d((2, 0, 2, 0)), conv(3)),
        nn.Sequential(nn.ZeroPad2d((0, 2, 0, 2)), conv(3)),
        cat,
    ),
    "different jumps": Branches(
        conv(3, stride=2), nn.Sequential(conv(3), nn.AdaptiveAvgPool2d(7)), torch.add
    ),
    "squeeze and excite": Branches(
        conv(3, padding=1), nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(1), nn.Sigmoid()), torch.mul
    ),
    "zero-pad shortcut": Does(lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, 2))),
    "sliced": Does(lambda x: x[:, :, 3:-2:3, 1:]),
    "grouped after cat": Branches(
        conv(5, padding=2), conv(1), lambda a, b: F.conv2d(cat(a, b), torch.ones(4, 2, 1, 1).to(a), groups=2)
    ),
    "nearest": nn.Sequential(conv(3), nn.Upsample(scale_factor=2), conv(3)),
    "nearest by 3 halves": Does(lambda x: F.interpolate(x, scale_factor=1.5)),
    "nearest exact": Does(lambda x: F.interpolate(x, size=(24, 40), mode="nearest-exact")),
    "bilinear": nn.Sequential(conv(3), nn.Upsample(scale_factor=2, mode="bilinear"), conv(3)),
    "bilinear, corners": Does(lambda x: F.interpolate(x, size=(25, 31), mode="bilinear", align_corners=True)),
    "bilinear, smaller": Does(lambda x: F.interpolate(x, size=(7, 5), mode="bilinear")),
    "bicubic": Does(lambda x: F.interpolate(x, scale_factor=2, mode="bicubic")),
    "pixel shuffle": nn.Sequential(nn.Conv2d(2, 8, 3), nn.PixelShuffle(2), conv(3)),
    "pixel unshuffle": nn.Sequential(conv(3), nn.PixelUnshuffle(2), nn.Conv2d(8, 2, 3)),
    "adaptive, divides": nn.Sequential(conv(3, padding=1), nn.AdaptiveAvgPool2d(4)),
    "adaptive, does not": nn.Sequential(conv(3), nn.AdaptiveMaxPool2d((5, 3))),
    "global mean": Does(lambda x: x.mean((2, 3))),
    "global mean that misses a row": nn.Sequential(conv(3, stride=2), nn.AdaptiveAvgPool2d(1)),
    "mean of rows": Does(lambda x: x.mean(2)),
    "maximum of columns": Does(lambda x: x.amax(-1, keepdim=True)),
    "flattened": nn.Sequential(conv(3, stride=2), nn.Flatten(), nn.Linear(2 * 7 * 7, 3)),
    "linear along a row": nn.Sequential(conv(3), nn.Linear(14, 3)),
    "norms": nn.Sequential(conv(3), nn.BatchNorm2d(2), nn.GELU(), conv(3, padding=1), nn.Hardswish()),
    "local response": nn.Sequential(conv(3), nn.LocalResponseNorm(3), conv(3)),
    "transposed image": Does(lambda x: x.transpose(2, 3)),
    "channels last": Does(lambda x: x.permute(0, 2, 3, 1).flip(1)),
    "softmax over a row": Does(lambda x: x.softmax(-1)),
    "u-net": UNet(),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", HAND_MADE)
def test_every_index_of_nets_made_by_hand(name: str):
    check(HAND_MADE[name], 2, 16, 16)


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Conv1d(2, 2, 3, dilation=2, padding=2), nn.MaxPool1d(2), nn.Conv1d(2, 2, 3)),
        nn.Sequential(nn.Conv1d(2, 2, 3), nn.AvgPool1d(3, 2, ceil_mode=True)),
        nn.Sequential(nn.ConvTranspose1d(2, 2, 4, 2, 1), nn.Conv1d(2, 2, 3)),
        nn.Sequential(nn.Conv1d(2, 2, 3), nn.Upsample(scale_factor=2, mode="linear")),
        nn.Sequential(nn.Conv1d(2, 2, 3), nn.AdaptiveMaxPool1d(4)),
    ],
)
def test_sequences(net: nn.Module):
    check(net, 2, 19)


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Conv3d(2, 2, 3, padding=1), nn.MaxPool3d(2), nn.Conv3d(2, 2, (1, 3, 2))),
        nn.Sequential(nn.Conv3d(2, 2, 3), nn.AvgPool3d(2, 2, ceil_mode=True)),
        nn.Sequential(nn.ConvTranspose3d(2, 2, 2, 2), nn.Conv3d(2, 2, 3)),
        nn.Sequential(nn.Conv3d(2, 2, 3), nn.Upsample(scale_factor=2, mode="trilinear")),
    ],
)
def test_volumes(net: nn.Module):
    check(net, 2, 8, 9, 7)


# Rules


def test_padding_is_in_the_first_centre():
    padded = field(conv(5, stride=2, padding=2), 2, 20, 20)
    assert (padded.centre, padded.interval((0, 1))) == ((0.0, 0.0), ((-2, 2), (0, 4)))
    assert padded.seen((0, 1)) == ((0, 2), (0, 4))
    bare = field(conv(4, stride=2), 2, 20, 20)
    assert bare.centre == (1.5, 1.5)


def test_branches_widen_to_the_lowest_and_highest():
    found = field(HAND_MADE["one-sided branches"], 2, 16, 16)
    assert found.interval((0, 0)) == ((-2, 2), (-2, 2))
    assert found.size == (5, 5)


def test_branches_of_different_jumps_have_no_rule_and_say_why():
    found = field(HAND_MADE["different jumps"], 2, 16, 16)
    assert found.jump == (2, 2)  # 14 to 7 divides: the same jump, another size
    uneven = Branches(conv(1), nn.Sequential(conv(2, stride=2), nn.Conv2d(2, 2, 1, padding=4)), torch.add)
    found = field(uneven, 2, 16, 16)
    assert found.jump == (None, None)
    assert found.why == "add joins branches whose jumps are 1 and 2"
    check(uneven, 2, 16, 16)


def test_transposed_and_resized_maps_differ_from_index_to_index():
    """Upsampling by 2: a pixel of the large map is half a pixel of the small one."""
    found = field(nn.Sequential(nn.Upsample(scale_factor=2), conv(3)), 2, 16, 16)
    assert found.jump == (0.5, 0.5)
    assert not found.axes[0].regular
    assert found.why == "differs from index to index, and repeats after 2"
    back = field(HAND_MADE["up and down"], 2, 16, 16)
    assert (back.jump, back.axes[0].regular) == ((1, 1), True)


def test_the_whole_image_and_no_more():
    found = field(HAND_MADE["global mean that misses a row"], 2, 16, 16)
    assert (found.size, found.jump, found.interval((0, 0))) == ((15, 15), (0, 0), ((0, 14), (0, 14)))
    assert field(HAND_MADE["flattened"], 2, 16, 16).axes[0].whole


def test_patches_then_attention():
    """A token sees its patch; one attention later all of them."""
    vit = build("vit-ti-16", depth=2, dim=16, num_heads=2, image_size=64)
    found = fields(trace(vit, torch.zeros(1, 3, 64, 64)))
    assert (found["conv_proj"].size, found["conv_proj"].jump) == ((16, 16), (16, 16))
    tokens = found["encoder.dropout"]
    assert tokens.jump == (None, None)
    assert tokens.seen((0, 0)) == (None, None)  # the class token
    assert tokens.seen((6, 6)) == ((16, 31), (16, 31))  # the sixth patch of four by four
    assert found["encoder.layers.encoder_layer_0.self_attention"].axes[1].whole


class Odd(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.roll(x, 1, 2)


class Writes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        y[:, :, ::2] = x[:, :, 1::2]
        return y


class Dynamic(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        weight = x.mean((0, 2, 3)).view(1, 2, 1, 1)
        return F.conv2d(x, weight)


class Cleared(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        y.copy_(torch.ones_like(y))
        return x + y


def test_a_filter_made_from_the_image_is_no_window():
    assert field(Dynamic(), 2, 8, 8).undefined == "convolution: what it does depends on the input"


def test_what_is_written_over_is_no_longer_seen():
    check(nn.Sequential(conv(3), Cleared()), 2, 8, 8)


def in_place(x: Tensor) -> Tensor:
    y = x.neg()
    y.mul_(F.max_pool2d(x, 3, 1, 1))
    return torch.cat([x, y], 1)


def test_paths_in_place_are_open_too_and_leave_the_rest_alone():
    check(Does(in_place), 2, 16, 16)
    found = field(Does(lambda x: in_place(x)[:, :2]), 2, 16, 16)
    assert found.seen((8, 8)) == ((7, 9), (7, 9))
    check(Does(lambda x: in_place(x)[:, :2]), 2, 16, 16)


def test_what_is_not_known_is_said_with_its_name():
    found = fields(trace(nn.Sequential(conv(3), Odd(), conv(3)), torch.zeros(1, 2, 16, 16)))
    assert found["0"].size == (3, 3)
    for later in ("1", "2", ""):
        assert found[later].axes == ()
        assert found[later].undefined == "roll: no rule for it"
    written = field(nn.Sequential(Writes(), conv(3)), 2, 16, 16)
    assert written.undefined == "copy_: writes into a part of it"
    assert str(written) == "undefined (copy_: writes into a part of it)"
    print_of = str(footprint(nn.Sequential(conv(3), Odd(), conv(3)), (2, 16, 16), "2", images=1))
    assert "no one rule by the graph: roll: no rule for it" in print_of


def test_statistics_are_left_out_and_noted():
    found = field(nn.Sequential(conv(3), nn.GroupNorm(1, 2), conv(3)), 2, 16, 16)
    assert found.size == (5, 5)
    assert found.notes == ("statistics of group_norm left out",)
    assert field(HAND_MADE["norms"], 2, 16, 16).notes == ()


def test_in_place_writing_moves_the_field_on_only_from_there():
    class Adds(nn.Module):
        def __init__(self):
            super().__init__()
            self.narrow, self.wide = conv(1), conv(5, padding=2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.narrow(x)
            y += self.wide(x)
            return y

    found = fields(trace(Adds(), torch.zeros(1, 2, 16, 16)))
    assert (found["narrow"].size, found[""].size) == ((1, 1), (5, 5))


@pytest.mark.parametrize("recurrent", [nn.RNN, nn.LSTM, nn.GRU])
def test_tokens_and_time(recurrent: type[nn.Module]):
    """What a recurrent network knows at step t is what it has read until then."""
    net = nn.Sequential(nn.Embedding(9, 4), recurrent(4, 3, batch_first=True))
    found = fields(trace(net, torch.zeros(1, 6, dtype=torch.int64)))
    assert (found["0"].size, found["0"].jump) == ((1,), (1,))
    assert [found["1"].seen((t,)) for t in range(6)] == [((0, t),) for t in range(6)]


def test_a_tensor_by_its_number():
    found = trace(convs((3, 1), (3, 1)), torch.zeros(1, 1, 9, 9))
    assert field_of(found, found.outputs[0]).size == (5, 5)
    assert field_of(found, found.calls[0].outputs[0]).size == (3, 3)
    assert field_of(found, 0).axes == ()  # a weight


# The footprint


def test_weights_that_hide_do_not_hide_from_the_open_one():
    """A zero weight shortens what counts, not what can be seen."""
    net = nn.Sequential(nn.Conv2d(1, 1, 5), nn.ReLU(), nn.MaxPool2d(2))
    nn.init.zeros_(net[0].weight)
    with torch.no_grad():
        net[0].weight[0, 0, 2, 2] = 1.0
        net[0].bias.fill_(10.0)
    found = footprint(net, (1, 20, 20))
    assert found.agrees
    assert [high - low + 1 for low, high in found.measured] == [6, 6]
    assert (found.heat > 0).sum() <= 4
    assert found.radius == pytest.approx(0.5**0.5)


def test_the_radius_holds_95_percent():
    found = footprint(nn.Sequential(*(nn.Conv2d(1, 1, 3) for _ in range(6))), (1, 31, 31))
    rows, columns = torch.meshgrid(torch.arange(31.0), torch.arange(31.0), indexing="ij")
    away = ((rows - found.middle[0]) ** 2 + (columns - found.middle[1]) ** 2).sqrt()
    assert found.heat.sum() == pytest.approx(1.0)
    assert found.heat[away <= found.radius + 1e-6].sum() >= 0.95
    assert found.heat[away < found.radius - 1e-6].sum() < 0.95


def test_what_counts_grows_like_the_root_of_what_can_be_seen():
    """Luo et al.: with equal weights n layers make a bell of a width in proportion to the root of n."""

    def radius(layers: int) -> float:
        net = nn.Sequential(*(nn.Conv2d(1, 1, 3, bias=False) for _ in range(layers)))
        for layer in net:
            nn.init.constant_(layer.weight, 1 / 9)
        return footprint(net, (1, 81, 81), images=1).radius

    radii = [radius(layers) for layers in (4, 16, 36)]
    for (small, few), (large, many) in pairwise(zip(radii, (2, 4, 6), strict=True)):
        assert large / small == pytest.approx(many / few, rel=0.08)
    # the sum of n steps of -1, 0, 1 has variance 2 n / 3; a circle holds 95 % at 2.448 of its root
    assert radii[2] == pytest.approx(2.448 * (2 * 36 / 3) ** 0.5, rel=0.05)


def test_the_model_is_left_as_it_was():
    net = build("resnet18", width=0.05).train()
    net.layer2.eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    modes, state = [part.training for part in net.modules()], torch.get_rng_state()
    footprint(net, (3, 64, 64), "layer2", images=2)
    assert [part.training for part in net.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())
    assert not any(part._forward_hooks for part in net.modules())


def test_the_same_twice_and_of_given_images():
    net = nn.Sequential(conv(3), nn.ReLU(), conv(3))
    first, second = footprint(net, (2, 16, 16)), footprint(net, (2, 16, 16))
    assert torch.equal(first.heat, second.heat)
    given = footprint(net, torch.randn(3, 2, 16, 16))
    assert given.images == 3
    assert not torch.equal(given.heat, first.heat)


def test_what_it_says():
    found = footprint(nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3)), (1, 32, 32))
    assert str(found).splitlines()[:2] == [
        "2: receptive field 8x8, jump 2, 2",
        "output (6, 6) of the middle: sees pixels 12..19 x 12..19; by the graph the same",
    ]
    json.dumps(found.to_dict())
    assert found.to_dict()["agrees"] is True
    assert found.to_dict()["field"]["interval"] == [[0, 7], [0, 7]]


def test_sequences_of_vectors_have_no_places_unless_something_slides_along_them():
    assert field(nn.Linear(4, 3), 5, 4).axes == ()
    assert field(nn.Conv1d(5, 3, 3), 5, 9).size == (3,)


@pytest.mark.parametrize(
    ("shape", "layer", "message"),
    [
        ((1, 8, 8), "1.2", r"layer='1.2': unknown"),
        ((8,), None, r"input of shape \(8, 8\): a footprint lies on images"),
    ],
)
def test_mistakes_are_answered_in_one_line(shape, layer, message):
    with pytest.raises(UsageError, match=f"^{message}") as raised:
        footprint(convs((3, 1), (3, 1)), shape, layer)
    assert "\n" not in str(raised.value)
