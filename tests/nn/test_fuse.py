"""Folded norms: the same outputs over the catalogue, what is folded, what must stay, nothing else touched."""

import copy
import doctest

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.catalog import CATALOG, build, constructor_arguments
from didact.nn import fuse as file
from didact.nn.fuse import NORMS, fuse

CLASSIFIERS = [name for name, e in CATALOG.items() if e.tasks == ("classify",) and e.inputs == ("image",)]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, NORMS) for module in model.modules())


def folded(model: nn.Module, example: Tensor) -> tuple[int, int]:
    """How many of its norms are folded."""
    return norms(model) - norms(fuse(model, example)), norms(model)


def lived_in(model: nn.Module) -> nn.Module:
    """Norms as after some training: other than 0 and 1 everywhere."""
    for norm in (module for module in model.modules() if isinstance(module, NORMS)):
        for tensor in (norm.running_mean, norm.weight, norm.bias):
            if tensor is not None:
                nn.init.normal_(tensor)
        if norm.running_var is not None:
            nn.init.uniform_(norm.running_var, 0.5, 2)
    return model


def tiny(name: str) -> tuple[nn.Module, Tensor]:
    """A small network of the catalogue, and images for it."""
    defaults = {key: parameter.default for key, parameter in constructor_arguments(name).items()}
    sizes = {"image_size": CATALOG[name].recipe.get("image_size"), **defaults, **CATALOG[name].tiny}
    images = torch.randn(2, sizes["in_channels"], sizes["image_size"], sizes["image_size"])
    return lived_in(build(name, **CATALOG[name].tiny)), images


def furthest(fused: nn.Module, model: nn.Module, x: Tensor) -> float:
    """The largest difference between two outputs, as a share of the largest output."""
    with torch.inference_mode():
        usual = model.eval()(x)
        return ((fused(x) - usual).abs().max() / usual.abs().max()).item()


def test_the_example_runs():
    results = doctest.testmod(file)
    assert results.attempted
    assert not results.failed


# The catalogue


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_outputs_are_the_same(name: str):
    model, x = tiny(name)
    assert furthest(fuse(model, x), model, x) < 1e-4
    model, x = model.double(), x.double()
    assert furthest(fuse(model, x), model, x) < 1e-9
    assert furthest(fuse(model, x[:1]), model, x) < 1e-9  # for any batch, whatever the example's


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_larger_part_of_the_norms_is_folded(name: str):
    """All, but for heads that only training reads, and for norms that stand before their convolution."""
    count, of = folded(*tiny(name))
    before = {"wrn28-10": 4, "googlenet": 2} | {f"densenet{depth}": 12 for depth in (121, 161, 169, 201)}
    assert count == of - before.get(name, 0)


@pytest.mark.parametrize(
    ("name", "count", "of"),
    [
        ("vgg16-bn", 13, 13),
        ("googlenet", 57, 59),  # the two auxiliary heads do not run
        ("resnet18", 20, 20),  # three of them in shortcuts
        ("resnet50", 53, 53),
        ("plain18", 17, 17),
        ("wrn28-10", 13, 25),  # the second of each block, and the first of all, which alone reads the stem
        ("resnext50-32x4d", 53, 53),
        ("densenet121", 59, 121),  # the stem's and the second of each layer; the others read joined maps
        ("inception-v3", 94, 96),
        ("xception", 40, 40),
        ("mobilenet-v1", 27, 27),
        ("mobilenet-v2", 52, 52),
        ("vit-b-16", 0, 0),
    ],
)
def test_how_many_norms_of_the_full_size_are_folded(name: str, count: int, of: int):
    with torch.device("meta"):
        assert folded(build(name), torch.zeros(1, 3, 224, 224)) == (count, of)


# What is folded


class Net(nn.Module):
    """A convolution and a norm as wide as its maps; heirs differ in what else happens."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)).relu()


def images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 6, 6)


def pair(layer: nn.Module, norm: nn.Module) -> nn.Module:
    return nn.Sequential(layer, norm, nn.ReLU())


LAYERS = {
    "no-bias": (pair(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)), (2, 3, 6, 6)),
    "no-affine": (pair(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), (2, 3, 6, 6)),
    "groups": (pair(nn.Conv2d(4, 8, 3, groups=2), nn.BatchNorm2d(8, eps=0.1)), (2, 4, 6, 6)),
    "circular": (
        pair(nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), nn.BatchNorm2d(4)),
        (2, 3, 6, 6),
    ),
    "one-dimension": (pair(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4)), (2, 3, 6)),
    "three-dimensions": (pair(nn.Conv3d(3, 4, 2), nn.BatchNorm3d(4)), (2, 3, 4, 4, 4)),
    "transposed": (pair(nn.ConvTranspose2d(3, 4, 3, stride=2), nn.BatchNorm2d(4)), (2, 3, 6, 6)),
    "linear": (pair(nn.Linear(3, 4), nn.BatchNorm1d(4)), (2, 3)),
    "linear-bare": (pair(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4, affine=False)), (2, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_kind_of_layer(name: str):
    model, shape = LAYERS[name]
    model, x = lived_in(model).double(), torch.randn(shape).double()
    fused = fuse(model, x)
    assert isinstance(fused[1], nn.Identity)
    assert type(fused[0]) is type(model[0])
    assert furthest(fused, model, x) < 1e-12


def test_the_folded_weights_are_the_formula():
    model = lived_in(Net())
    conv, norm, fused = model.conv, model.norm, fuse(model, images())
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(fused.conv.weight, conv.weight * scale.reshape(4, 1, 1, 1))
    torch.testing.assert_close(fused.conv.bias, (conv.bias - norm.running_mean) * scale + norm.bias)
    assert not any(buffer.numel() for buffer in fused.buffers())


def test_a_norm_under_two_names_is_replaced_under_both():
    class TwoNames(Net):
        def __init__(self):
            super().__init__()
            self.same = self.norm

        def forward(self, x: Tensor) -> Tensor:
            return self.same(self.conv(x)).relu()

    model, x = lived_in(TwoNames()), images()
    fused = fuse(model, x)
    assert norms(fused) == 0
    assert furthest(fused, model, x) < 1e-5


def test_several_inputs_and_channels_last():
    class Sum(Net):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return super().forward(x + y)

    model, x = lived_in(Sum()).to(memory_format=torch.channels_last), images()
    fused = fuse(model, (x.to(memory_format=torch.channels_last), x))
    assert norms(fused) == 0
    torch.testing.assert_close(fused(x, x), model.eval()(x, x))


# What stays


class Shortcut(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y + self.norm(y)


class Detached(Net):
    """A reader that the gradient does not see."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.norm(y) * y.detach().mean()


class Looked(Net):
    """Control flow reads the maps."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.norm(y) if y.max() > 0 else y


class Changed(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x).relu_())


class Viewed(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x).transpose(2, 3))


class Remembered(Net):
    """Keeps the maps to show them."""

    def forward(self, x: Tensor) -> Tensor:
        self.maps = self.conv(x)
        return self.norm(self.maps)


class ConvTwice(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) + self.conv(x.flip(0))


class NormTwice(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.norm(self.conv(x)))


class Tied(Net):
    """Another layer reads the weights."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) + F.conv2d(x, self.conv.weight, padding=1)


class Asked(Net):
    """Somebody reads the norm's numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) + self.norm.running_mean.sum()


class Batchwise(Net):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(4, track_running_stats=False)


class AlwaysTraining(Net):
    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self.norm.train()
        return self


class Standardised(nn.Conv2d):
    """A convolution by other weights than those that it holds."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, padding=self.padding)


class Heir(Net):
    def __init__(self):
        super().__init__()
        self.conv = Standardised(3, 4, 3, padding=1)


class Hooked(Net):
    def __init__(self):
        super().__init__()
        self.conv.register_forward_hook(lambda module, args, out: 2 * out)


class HookedBefore(Net):
    """As pruning does, and the older norms of weights."""

    def __init__(self):
        super().__init__()
        self.conv.register_forward_pre_hook(lambda module, args: (2 * args[0],))


class Parametrised(Net):
    def __init__(self):
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(self.conv)


class OneImage(Net):
    """Maps without a batch: the norm takes their height for the channels."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x[0]))


class GroupedTransposed(Net):
    def __init__(self):
        super().__init__()
        self.conv = nn.ConvTranspose2d(3, 3, 3, groups=3)
        self.norm = nn.BatchNorm2d(3)


class Sequence(Net):
    """A linear layer has its features last, a norm in the second place."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Linear(6, 3)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x.mean(2)))


@pytest.mark.parametrize(
    "kind",
    [
        *(Shortcut, Detached, Looked, Changed, Viewed, Remembered, ConvTwice, NormTwice, Tied, Asked),
        *(Batchwise, AlwaysTraining, Heir, Hooked, HookedBefore, Parametrised, OneImage),
        *(GroupedTransposed, Sequence),
    ],
)
def test_what_cannot_be_folded_stays(kind: type[nn.Module]):
    model, x = lived_in(kind()).double(), images().double()
    fused = fuse(model, x)
    assert norms(fused) == 1
    same = copy.deepcopy(model).eval()
    assert torch.equal(fused(x), same(x))


def test_maps_that_the_model_returns_stay():
    class Both(Net):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            y = self.conv(x)
            return {"maps": y, "normed": self.norm(y)}

    model, x = lived_in(Both()), images()
    fused = fuse(model, x)
    assert torch.equal(fused(x)["maps"], model.eval()(x)["maps"])
    assert norms(fused) == 1


def test_a_layer_that_the_example_does_not_reach_stays():
    class Early(Net):
        def forward(self, x: Tensor) -> Tensor:
            return x if len(x) > 1 else super().forward(x)

    assert norms(fuse(Early(), images(2))) == 1
    assert norms(fuse(Early(), images(1))) == 0


# Nothing else changes


class Whole(Net):
    """Draws random numbers even at rest, counts its calls and works on its input in place."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.tensor(0))
        self.frozen = nn.Linear(4, 2).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        noise = torch.randn(4, 1, 1)
        return self.frozen((super().forward(x.mul_(2)) + 0 * noise).mean((2, 3)))


@pytest.mark.parametrize("training", [True, False])
def test_the_original_is_left_as_it_is(training: bool):
    model, x, heard = lived_in(Whole()).train(training), images(), []
    model.norm.eval()
    hook = model.register_forward_hook(lambda module, args, out: heard.append(len(out)))
    modes, weights = [m.training for m in model.modules()], copy.deepcopy(model.state_dict())
    kept, random = x.clone(), torch.get_rng_state()
    fused = fuse(model, x)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(x, kept)
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == [True] * 4 + [False] * 2
    for module in model.modules():
        assert list(module._forward_hooks) == ([hook.id] if module is model else [])
        assert not module._forward_pre_hooks
    assert model.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert not {p.data_ptr() for p in fused.parameters()} & {p.data_ptr() for p in model.parameters()}


def test_the_copy_is_at_rest_and_as_new():
    model = lived_in(Whole())
    fused = fuse(model, images())
    assert not any(module.training for module in fused.modules())
    assert fused.calls == 0  # the example ran in another copy
    assert fused.conv.weight.requires_grad
    assert not fused.frozen.weight.requires_grad
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in fused.modules())


def test_without_norms_the_copy_is_equal():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout(0.5))
    fused, x = fuse(model, images()), images()
    assert fused.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(fused(x), model.eval()(x))
    assert fused[0] is not model[0]


def test_it_may_run_where_gradients_are_off():
    model, x = lived_in(Net()), images()
    with torch.inference_mode():
        fused = fuse(model, x)
        assert norms(fused) == 0
        torch.testing.assert_close(fused(x), model.eval()(x))
