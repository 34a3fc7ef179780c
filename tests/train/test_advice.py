"""The advice on transfer: its four cells, its map."""

import pytest
import torch

import didact
from didact.catalog import CATALOG
from didact.draw.style import to_svg
from didact.errors import UsageError
from didact.nn.head import head_names
from didact.train.advice import CELLS, MANY, Advice, advise, lower_half


def made(per_class: float, trained: float, random: float = 0.2, **more) -> Advice:
    return Advice("resnet18", "imagenet", "x", 1000, per_class, 1_281_167, 0.1, trained, random, **more)


@pytest.mark.parametrize(
    ("per_class", "trained", "kind"),
    [
        (MANY, 0.3, "full"),
        (MANY, 0.9, "low-rate"),
        (MANY - 1, 0.9, "features"),
        (MANY - 1, 0.3, "low-rate"),
    ],
)
def test_the_notes_four_cells(per_class, trained, kind):
    advice = made(per_class, trained)
    assert advice.transfer == kind
    assert f"--transfer {kind}" in advice.command
    assert CELLS[advice.cell][1] in str(advice)


def test_similarity_goes_from_guessing_to_perfect():
    assert made(10, 0.1).similarity == pytest.approx(0)
    assert made(10, 1.0).similarity == pytest.approx(1)


def test_a_difference_within_chance_is_none():
    assert made(10, 0.9, 0.8).useful
    assert not made(10, 0.81, 0.8).useful


def test_the_command_can_be_pasted():
    advice = Advice("resnet18", "my runs/one", "my flowers", 10, 5, None, 0.5, 0.9, 0.5)
    assert "--data 'my flowers' --weights 'my runs/one'" in advice.command
    assert "an unknown number then" in str(advice)


def test_parts_to_freeze_stand_in_the_command():
    assert made(10, 0.2, freeze=("conv1", "layer1")).command.endswith("--set freeze=conv1,layer1")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("resnet18", ("conv1", "bn1", "layer1", "layer2")),
        ("densenet121", ("features.conv0", "features.norm0", "features.denseblock1", "features.transition1")),
        ("lenet5", ("conv1", "conv2")),
    ],
)
def test_the_lower_half_is_named_briefly(name, parts):
    assert lower_half(didact.build(name, **CATALOG[name].tiny))[: len(parts)] == parts


@pytest.mark.parametrize("name", [n for n, e in CATALOG.items() if e.tasks == ("classify",)])
def test_the_lower_half_is_about_half_and_no_head(name):
    model = didact.build(name, **CATALOG[name].tiny)
    parts = lower_half(model)
    inside = [n for n, _ in model.named_parameters() if any(n == p or n.startswith(f"{p}.") for p in parts)]
    assert not set(inside) & set(head_names(model))
    layers = {n.rpartition(".")[0] for n, _ in model.named_parameters()}
    frozen = {n.rpartition(".")[0] for n in inside}
    assert len(layers) / 2 - 3 <= len(frozen) <= len(layers) / 2


@pytest.mark.parametrize("cell", [(1.0, 0.0), (1e6, 1.0), (100.0, 0.8)])
def test_the_map_draws(cell):
    svg = to_svg(made(cell[0], cell[1]).plot())
    for words in ("train all of it", "fine-tune", "your data", "10,000"):
        assert words in svg


def test_advice_is_measured_and_repeats(tmp_path):
    knobs = {"width": 0.125, "stem": "cifar", "epochs": 1, "examples": 100, "image_size": 16}
    run = didact.fit("resnet18", "digits", out=tmp_path / "run", **knobs)
    state = torch.get_rng_state()
    first, second = (advise("resnet18", str(run.directory), "digits", examples=200) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.to_dict() == second.to_dict()
    assert (first.examples, first.before, first.chance) == (200, 100, pytest.approx(0.1))
    assert 0.3 < first.trained <= 1
    with pytest.raises(UsageError, match="iris holds table examples"):
        advise("resnet18", str(run.directory), "iris")
