"""Linear probes: what each layer of a network, trained for seconds, tells of the classes."""

import json

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import didact
from didact.errors import UsageError
from didact.models.cnn.cnn import CNN
from didact.nn.linear_probe import left_out_accuracy
from didact.see.probe import pooled, probe

LAYERS = [
    "input",
    "blocks.block1.conv1",
    "blocks.block2.conv1",
    "blocks.block3.conv1",
    "connected.linear1",
    "head",
]


def network(seed: int = 0) -> CNN:
    torch.manual_seed(seed)
    return CNN(maps=(8, 16, 32), widths=(32,), in_channels=1, image_size=8)


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    split = didact.open_data("digits")["train"]
    images, labels = split.take(torch.arange(900))
    images = images.float()
    return (images - images.mean()) / images.std(), labels


@pytest.fixture(scope="module")
def trained(digits) -> CNN:
    model, (images, labels) = network(), digits
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for step in range(120):
        rows = torch.arange(step * 50, step * 50 + 50) % 500
        optimizer.zero_grad()
        F.cross_entropy(model(images[rows]), labels[rows]).backward()
        optimizer.step()
    return model


def test_classes_come_out_with_depth(trained: CNN, digits):
    """generic-specific-probe: on digits it has not seen, each stage tells more than the one before."""
    images, labels = (each[500:] for each in digits)
    found = probe(trained, images, labels).accuracy
    assert list(found) == LAYERS
    assert found["input"] < 0.25
    assert found["input"] < found["blocks.block1.conv1"] < found["blocks.block2.conv1"]
    assert found["blocks.block2.conv1"] < found["blocks.block3.conv1"]
    assert found["head"] > 0.85


def test_it_is_training_that_makes_them(trained: CNN, digits):
    """The same network before its first step: its last layers tell no more than its middle ones."""
    images, labels = (each[500:] for each in digits)
    found, before = probe(trained, images, labels).accuracy, probe(network(), images, labels).accuracy
    assert found["head"] > before["head"] + 0.15
    assert before["head"] < max(before.values())


def test_each_number_is_that_of_the_probe_on_what_the_layer_gives(trained: CNN, digits):
    images, labels = (each[500:700] for each in digits)
    found = probe(trained, images, labels, layers=["blocks.block2"], side=2)
    maps = trained.eval().blocks[:2](images)
    assert list(found.accuracy) == ["input", "blocks.block2"]
    assert found.accuracy["blocks.block2"] == left_out_accuracy(maps.flatten(1), labels)  # 2x2 are all it has
    assert found.accuracy["input"] == left_out_accuracy(F.avg_pool2d(images, 4), labels)
    assert found.chance == labels.bincount().max().item() / 200


def test_tokens_are_averaged():
    torch.manual_seed(0)
    assert torch.equal(pooled(x := torch.randn(2, 5, 3)), x.mean(1))
    model = didact.build(
        "vit-ti-16", image_size=8, patch_size=4, dim=8, depth=1, num_heads=2, in_channels=1, num_classes=2
    )
    found = probe(model, torch.randn(12, 1, 8, 8), torch.arange(12) % 2)
    assert list(found.accuracy)[:2] == ["input", "conv_proj"]
    assert list(found.accuracy)[-1] == "heads.head"


def test_plain_values_and_table(trained: CNN, digits):
    images, labels = (each[:40] for each in digits)
    found = probe(trained, images, labels)
    assert json.loads(json.dumps(found.to_dict())) == {
        "accuracy": dict(found.accuracy),
        "chance": found.chance,
        "examples": 40,
    }
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines[:-1]] == LAYERS
    assert lines[-1] == f"most frequent class: {found.chance:.1%}, 40 examples"


def test_plot(trained: CNN, digits):
    images, labels = (each[:40] for each in digits)
    found = probe(trained, images, labels)
    accuracy, chance = found.plot().axes[0].lines
    assert list(accuracy.get_ydata()) == list(found.accuracy.values())
    assert set(chance.get_ydata()) == {found.chance}


def test_the_model_is_left_as_it_was(digits):
    model = didact.build(
        "resnet18", depth=10, in_channels=1, num_classes=10, width=0.125, stem="cifar"
    ).train()
    model.layer2.eval()
    modes = [module.training for module in model.modules()]
    before = [tensor.clone() for tensor in model.state_dict().values()]
    random = torch.get_rng_state()
    probe(model, digits[0][:20], digits[1][:20])
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), random)


class Idle(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.idle = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


@pytest.mark.parametrize(
    ("labels", "layers", "message"),
    [
        (torch.arange(3), [], "^3 labels: there are 4 examples, give one for each$"),
        (torch.ones(4, dtype=torch.long), [], "^labels of one class: a probe tells classes apart"),
        (torch.arange(4), ["usd"], r"^layer='usd': unknown, did you mean 'used'\?$"),
        (torch.arange(4), ["idle"], "^layer='idle': has no part in the model's answer"),
    ],
)
def test_what_cannot_be_probed_is_refused(labels: Tensor, layers: list[str], message: str):
    with pytest.raises(UsageError, match=message):
        probe(Idle(), torch.zeros(4, 1, 8, 8), labels, layers)
