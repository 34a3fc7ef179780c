"""What of a network learns: frozen parts stay bit for bit, low rates are low, features are computed once."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import didact
from didact.catalog import CATALOG
from didact.data.batches import TensorSplit
from didact.errors import RunError, UsageError
from didact.nn.head import head_names
from didact.train.files import load_tensors, read_json, same_tensors, write_json
from didact.train.fit import resume, verify
from didact.train.recipe import Recipe, make_recipe
from didact.train.transfer import features_of, freeze, last_module

CLASSIFIERS = [n for n, e in CATALOG.items() if "classify" in e.tasks and e.inputs == ("image",)]
SMALL = {"width": 0.125, "stem": "cifar"}


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A network with batch normalisation that was trained on five digits."""
    out = tmp_path_factory.mktemp("before") / "run"
    knobs = {"epochs": 1, "examples": 200, "image_size": 16, "batch_size": 50}
    return didact.fit("resnet18", "digits", out=out, classes=tuple("01234"), **SMALL, **knobs)


def then(before, out, **knobs):
    """Trained further on the other five digits."""
    usual = {"epochs": 2, "examples": 100, "batch_size": 50, "classes": tuple("56789"), "augment": ()}
    return didact.fit("resnet18", "digits", out=out, weights=str(before.directory), **{**usual, **knobs})


def unchanged(first: nn.Module, second: nn.Module) -> set[str]:
    theirs = second.state_dict()
    return {
        name
        for name, tensor in first.state_dict().items()
        if tensor.shape == theirs[name].shape and torch.equal(tensor, theirs[name])
    }


def test_weights_of_a_run_bring_size_and_pixels(before, tmp_path):
    run = then(before, tmp_path / "run", transfer="full", epochs=1)
    assert run.recipe.image_size == 16
    assert run.recipe.model_args["width"] == 0.125
    assert run.facts.mean == before.facts.mean
    assert run.facts.classes == tuple("56789")
    assert read_json(run.directory / "weights.json")["new"] == ["fc.weight", "fc.bias"]
    assert not unchanged(before.model, run.model)


def test_a_frozen_trunk_stays_bit_for_bit_statistics_included(before, tmp_path):
    run = then(before, tmp_path / "run", transfer="frozen")
    everything = set(before.model.state_dict())
    assert unchanged(before.model, run.model) == everything - {"fc.weight", "fc.bias"}
    assert any(name.endswith("running_var") for name in everything)


def test_features_give_what_a_frozen_trunk_gives(before, tmp_path):
    frozen = then(before, tmp_path / "frozen", transfer="frozen")
    features = then(before, tmp_path / "features", transfer="features")
    assert unchanged(before.model, features.model) == set(before.model.state_dict()) - {
        "fc.weight",
        "fc.bias",
    }
    torch.testing.assert_close(features.model.fc.weight, frozen.model.fc.weight, atol=1e-5, rtol=1e-4)
    for name, value in features.scores["test"].items():
        assert value == pytest.approx(frozen.scores["test"][name], abs=1e-4)
        assert features.evaluate("test", again=True)[name] == pytest.approx(value, abs=1e-4)


def test_a_part_can_be_frozen(before, tmp_path):
    run = then(before, tmp_path / "run", transfer="full", freeze=("conv1", "bn1", "layer1"))
    kept = {n for n in before.model.state_dict() if n.startswith(("conv1.", "bn1.", "layer1."))}
    assert kept
    assert unchanged(before.model, run.model) == kept


def test_a_low_rate_moves_the_trunk_less(before, tmp_path):
    def moved(kind: str) -> float:
        run = then(
            before, tmp_path / kind, transfer=kind, optimizer="sgd", lr=0.001, schedule="constant", warmup=0.0
        )
        change = run.model.layer1[0].conv1.weight - before.model.layer1[0].conv1.weight
        return change.norm().item()

    assert moved("low-rate") == pytest.approx(0.1 * moved("full"), rel=0.1)


@pytest.mark.parametrize("kind", ["frozen", "features"])
def test_transfer_resumes_and_repeats_bit_for_bit(before, tmp_path, kind, monkeypatch):
    whole = then(before, tmp_path / "whole", transfer=kind, threads=1)
    assert verify(whole.directory) is None

    class Stop:
        def on_step(self, loop, numbers):
            loop.stop_asked = loop.at.step == 3

        def on_epoch(self, loop, record):
            pass

    from didact.train.fit import fit_recipe
    from didact.train.loop import Interrupted

    with pytest.raises(Interrupted):
        fit_recipe(whole.recipe, tmp_path / "part", observers=[Stop()])
    monkeypatch.setattr("didact.train.fit.find_weights", None)  # the file of weights is not needed any more
    again = resume(tmp_path / "part")
    first, second = (load_tensors(r.directory / "model.safetensors")[0] for r in (whole, again))
    assert same_tensors(first, second) is None


def test_colour_and_grey_meet_in_what_the_weights_read(before, tmp_path):
    """A folder of colour pictures, for weights that read grey ones."""
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for k in range(8):
            pixels = rng.integers(level - 30, level + 30, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{k}.png")
    run = didact.fit(
        "resnet18",
        tmp_path / "data",
        out=tmp_path / "run",
        weights=str(before.directory),
        transfer="features",
        epochs=30,
    )
    assert run.facts.input_shape == (1, 16, 16)
    assert run.scores["val"]["accuracy"] > 0.5


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_ends_with_its_head(name):
    entry = CATALOG[name]
    torch.manual_seed(0)
    model = didact.build(name, **entry.tiny)
    side = entry.tiny.get("image_size", entry.recipe.get("image_size"))
    split = TensorSplit(torch.randn(3, 1, side, side), torch.zeros(3, dtype=torch.long))
    head = last_module(model, split.inputs[:1])
    assert f"{head}.weight" in head_names(model)
    features = features_of(model, head, split)
    with torch.no_grad():
        answer = model.get_submodule(head)(features.inputs)
        torch.testing.assert_close(answer, model.eval()(split.inputs), atol=1e-5, rtol=1e-4)


def test_frozen_modules_run_as_in_evaluation():
    model = didact.build("googlenet", **CATALOG["googlenet"].tiny)
    recipe = Recipe(model="googlenet", weights="some", transfer="frozen")
    resting = set(freeze(model, recipe))
    assert model.inception3a in resting
    assert model.aux1.conv in resting
    assert model.aux1.fc2 not in resting
    assert model.aux1 not in resting
    learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learned == set(head_names(model))


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"transfer": "frozen"}, "transfer=frozen would change nothing: it needs weights to start from"),
        ({"freeze": ("layer9",)}, "freeze: the network has no part 'layer9'; did you mean 'layer"),
        ({"freeze": ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc")}, "nothing would be left"),
    ],
)
def test_what_is_refused(tmp_path, knobs, message):
    with pytest.raises(UsageError, match=message):
        didact.fit("resnet18", "digits", out=tmp_path / "run", **SMALL, **knobs)
    assert not (tmp_path / "run").exists()


def test_features_of_images_that_change_are_refused(before):
    given = {"weights": str(before.directory), "transfer": "features"}
    assert make_recipe("resnet18", given=given).augment == ()
    with pytest.raises(UsageError, match="augment=flip: features are computed once"):
        make_recipe("resnet18", given=given | {"augment": ("flip",)})


def test_weights_of_another_network_are_refused(before, tmp_path):
    with pytest.raises(UsageError, match="these are of resnet18; didact train resnet18"):
        make_recipe("resnet50", given={"weights": str(before.directory)})
    with pytest.raises(RunError, match="the network wants"):
        didact.fit("resnet18", "digits", out=tmp_path / "run", weights=str(before.directory), width=0.25)


def test_answers_come_from_a_faster_copy_that_agrees(before):
    """Norms are folded and images lie channels-last; the model itself is as it was."""
    images = torch.randn(5, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(before.ready(images), before.model(images), atol=1e-4, rtol=1e-4)
    assert not [m for m in before.ready.modules() if isinstance(m, nn.BatchNorm2d)]
    assert before.ready.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in before.model.modules()) == 20
    scores = before.task.score(before.model, before.data()["val"])
    assert before.evaluate("val") == pytest.approx(scores, abs=1e-4)


def test_the_state_alone_is_enough_to_go_on(before, tmp_path):
    """A kill may come between the first state and the first weights."""
    run = then(before, tmp_path / "run", transfer="features", threads=1)
    kept = load_tensors(run.directory / "model.safetensors")[0]
    for name in ("results.json", "model.safetensors"):
        (run.directory / name).unlink()
    again = resume(run.directory)
    assert same_tensors(kept, load_tensors(again.directory / "model.safetensors")[0]) is None


@pytest.mark.parametrize("kind", ["frozen", "features"])
def test_parts_have_the_same_names_in_every_kind_of_transfer(before, tmp_path, kind):
    with pytest.raises(UsageError, match="freeze=fc: nothing would be left to learn"):
        then(before, tmp_path / "none", transfer=kind, freeze=("fc",))
    run = then(before, tmp_path / "run", transfer=kind, lr_scale={"fc": 0.5}, epochs=1)
    assert run.finished
    with pytest.raises(UsageError, match="lr_scale: the network has no part 'fd'"):
        then(before, tmp_path / "unknown", transfer=kind, lr_scale={"fd": 0.5})


def test_a_frozen_player_leaves_nothing_to_learn(tmp_path):
    with pytest.raises(UsageError, match="freeze=generator: nothing of generator would learn"):
        didact.fit("gan", out=tmp_path / "run", epochs=1, freeze=("generator",))


def test_a_recipe_files_own_rates_survive_new_weights(before, tmp_path):
    given = {"weights": str(before.directory)}
    for name, more in (
        ("own", {"lr_scale": {"layer1": 0.01}}),
        ("low", {}),
        ("kept", {"transfer": "features"}),
    ):
        write_json(tmp_path / f"{name}.json", make_recipe("resnet18", given=given | more).to_dict())
    assert make_recipe(file=tmp_path / "own.json", given=given).lr_scale == {"layer1": 0.01}
    assert make_recipe(file=tmp_path / "low.json", given={"weights": None}).lr_scale == {}
    with pytest.raises(UsageError, match="augment=flip: features are computed once"):
        make_recipe(file=tmp_path / "kept.json", given={"augment": ("flip",)})
