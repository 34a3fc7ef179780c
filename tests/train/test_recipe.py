"""The recipe: who wins, what is refused and how it says so, and that saving it loses nothing."""

import json
import math
from dataclasses import fields

import pytest

import didact
from didact.catalog import CATALOG, find
from didact.data.facts import Facts
from didact.data.open import open_data
from didact.errors import RunError, UsageError
from didact.train.files import write_json
from didact.train.optimize import make_optimizers
from didact.train.recipe import RULES, Recipe, knob_docs, knob_types, make_recipe, recipe_types
from didact.train.run import build_for, make_task

BAD = {
    "epochs": [0, -1],
    "batch_size": [0],
    "accumulate": [0],
    "lr": [0.0, -0.1, math.nan, math.inf],
    "momentum": [-0.1, 1.0, math.nan],
    "betas": [(1.0, 0.9), (0.9, -0.1), (math.nan, 0.9)],
    "rho": [1.0, -0.1, math.nan],
    "weight_decay": [-1.0, math.nan, math.inf],
    "warmup": [-1.0, math.nan, math.inf],
    "step_epochs": [0],
    "decay": [0.0, 1.1, math.nan],
    "plateau_patience": [0],
    "clip_norm": [0.0, -1.0, math.nan],
    "clip_value": [0.0, -1.0, math.nan],
    "ema": [-0.1, 1.0, math.nan],
    "patience": [-1],
    "examples": [-1],
    "image_size": [0],
    "crop": [-0.1, 1.1, math.nan],
    "std": [(0.5, 0.0), (-1.0,), (math.nan,)],
    "context": [0],
    "workers": [-1],
    "threads": [-1],
    "seed": [-1, 2**63],
    "checkpoint_every": [0.0, -1.0, math.nan],
    "lr_scale": [{"model": 0.0}, {"model": math.nan}, {"model": math.inf}],
}


@pytest.fixture
def saved(tmp_path):
    def save(recipe):
        path = tmp_path / "recipe.json"
        write_json(path, recipe.to_dict())
        return path

    return save


def test_every_rule_has_a_bad_case():
    assert BAD.keys() == RULES.keys()
    assert RULES.keys() <= recipe_types().keys()


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, bad in BAD.items() for value in bad])
def test_rules(name, value):
    with pytest.raises(UsageError) as caught:
        Recipe(**{name: value})
    assert str(caught.value) == f"{name}={value}: {RULES[name][1]}"


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_nan_learning_rates_typed_by_hand_are_refused(text):
    with pytest.raises(UsageError, match="lr="):
        make_recipe("mlp", settings={"lr": text})


def test_a_recipe_is_checked_by_type_wherever_it_is_made():
    with pytest.raises(UsageError, match="epochs='3' is not a whole number"):
        Recipe(epochs="3")
    with pytest.raises(UsageError, match="did you mean 'adam'"):
        Recipe(optimizer="adan")
    recipe = Recipe(model="MLP", lr=1, betas=[0.9, 1e-3], model_args={"widths": [8], "dropout": 0})
    assert (recipe.model, recipe.lr, recipe.betas) == ("mlp", 1.0, (0.9, 0.001))
    assert recipe.model_args == {"widths": (8,), "dropout": 0.0}


def test_precedence_and_origin(saved):
    """User over file over the model's default over the field's default, and each says where it came from."""
    plain = make_recipe("lenet5")
    assert (plain.lr, plain.epochs, plain.batch_size, plain.data) == (0.003, 60, 64, "digits")
    assert plain.origin["lr"] == plain.origin["data"] == "default of lenet5"
    file = saved(make_recipe("lenet5", settings={"lr": "0.5", "seed": "7", "activation": "relu"}))
    read = make_recipe(file=file)
    assert (read.model, read.lr, read.seed, read.epochs) == ("lenet5", 0.5, 7, 60)
    assert read.model_args == {"activation": "relu"}
    assert read.origin["lr"] == read.origin["model_args"] == f"file {file}"
    typed = make_recipe("lenet5", "iris", settings={"lr": "0.1", "batch-size": "8"}, file=file)
    assert (typed.lr, typed.seed, typed.batch_size, typed.data) == (0.1, 7, 8, "iris")
    said = {key: entry["from"] for key, entry in typed.to_dict().items()}
    assert said["lr"] == said["batch_size"] == said["data"] == said["model"] == "command line"
    assert said["seed"] == f"file {file}"
    assert said["momentum"] == "default"


def test_python_and_the_command_line_give_the_same():
    given = make_recipe("mlp", given={"lr": 0.1, "widths": (8, 4), "label_smoothing": 0.1, "augment": []})
    typed = make_recipe(
        "mlp", settings={"lr": "0.1", "widths": "8,4", "label-smoothing": "0.1", "augment": ""}
    )
    assert given == typed
    assert typed.model_args == {"widths": (8, 4)}
    assert typed.task_args == {"label_smoothing": 0.1}


def test_the_catalogues_own_recipe_is_not_changed_by_a_run():
    before = {name: dict(entry.recipe) for name, entry in CATALOG.items()}
    make_recipe("mlp", settings={"widths": "8", "label_smoothing": "0.1", "lr": "0.5"})
    assert {name: dict(entry.recipe) for name, entry in CATALOG.items()} == before


@pytest.mark.parametrize("name", CATALOG)
def test_every_default_recipe_is_valid(name, saved):
    recipe = make_recipe(name)
    assert Recipe.load(saved(recipe)) == recipe


def test_a_files_model_is_not_swapped(saved):
    file = saved(make_recipe("lenet5"))
    assert make_recipe("LeNet_5", file=file).model == "lenet5"
    with pytest.raises(UsageError, match="is a recipe of lenet5"):
        make_recipe("mlp", file=file)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("epoch", "epochs"),
        ("batchsize", "batch_size"),
        ("drop-out", "dropout"),
        ("width", "widths"),
        ("label_smooting", "label_smoothing"),
        ("Optimizer", "optimizer"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(key, nearest):
    for source in ({"settings": {key: "1"}}, {"given": {key: 1}}):
        with pytest.raises(UsageError, match=f"unknown setting {key!r}; did you mean {nearest!r}"):
            make_recipe("mlp", **source)


def test_only_the_models_own_arguments_are_known():
    with pytest.raises(UsageError, match="unknown setting 'widths'"):
        make_recipe("lenet5", settings={"widths": "8"})
    with pytest.raises(UsageError, match="unknown setting 'd_steps'"):
        make_recipe("lenet5", settings={"d_steps": "2"})
    with pytest.raises(UsageError, match="the model is mlp"):
        make_recipe("mlp", settings={"model": "lenet5"})
    for part in ("model_args", "origin"):
        with pytest.raises(UsageError, match=f"unknown setting {part!r}"):
            make_recipe("mlp", settings={part: "x"})


@pytest.mark.parametrize(
    "settings",
    [
        {"fold": "1"},
        {"folds": "5", "split": "80/10/10"},
        {"step_epochs": "5"},
        {"plateau_patience": "3", "schedule": "cosine"},
        {"decay": "0.5", "schedule": "cosine"},
    ],
)
def test_a_knob_that_would_change_nothing_is_refused(settings):
    with pytest.raises(UsageError, match="would change nothing: it needs"):
        make_recipe("mlp", settings=settings)


def test_the_same_knobs_are_welcome_where_they_count():
    make_recipe("mlp", settings={"folds": "5", "fold": "1"})
    make_recipe("mlp", settings={"schedule": "step", "step_epochs": "5", "decay": "0.5"})
    make_recipe("mlp", settings={"schedule": "plateau", "plateau_patience": "3", "decay": "0.5"})


@pytest.mark.parametrize("name", ["momentum", "nesterov", "betas", "rho", "weight_decay"])
def test_an_option_of_another_optimizer_is_never_ignored(name):
    value = {"betas": "0.9,0.99", "nesterov": "true"}.get(name, "0.5")
    other = {"momentum": "adam", "nesterov": "adam", "betas": "sgd", "rho": "adam", "weight_decay": "rprop"}[
        name
    ]
    recipe = make_recipe("mlp", settings={"optimizer": other, name: value})
    network = didact.build("mlp", in_features=2, out_features=2)
    with pytest.raises(UsageError, match=f"{name}=.*: {other} has no {name}; .* have"):
        make_optimizers(recipe, {"model": network})


def test_another_optimizer_leaves_the_models_options_behind():
    """The GAN's betas are its default's, not the user's: choosing sgd may not end in an error about them."""
    assert make_recipe("gan").betas == find("gan").recipe["betas"]
    assert make_recipe("gan", settings={"optimizer": "adam"}).betas == find("gan").recipe["betas"]
    recipe = make_recipe("gan", settings={"optimizer": "sgd"})
    assert recipe.betas is None
    gan = didact.build("gan")
    make_optimizers(recipe, {"discriminator": gan.discriminator, "generator": gan.generator})
    stubborn = make_recipe("gan", settings={"optimizer": "sgd", "betas": "0.5,0.9"})
    with pytest.raises(UsageError, match="betas"):
        make_optimizers(stubborn, {"discriminator": gan.discriminator, "generator": gan.generator})


def test_round_trip(saved):
    recipe = make_recipe(
        "mlp",
        "breast-cancer",
        given={
            "lr": 1 / 3,
            "betas": (0.5, 0.999),
            "augment": (),
            "widths": (7, 5),
            "activation": ["relu", "tanh"],
            "dropout": 0.1,
            "label_smoothing": 0.05,
            "lr_scale": {"model": 2},
            "clip_norm": None,
        },
        origin="call",
    )
    again = Recipe.load(saved(recipe))
    assert again == recipe
    assert again.model_args == {"widths": (7, 5), "activation": ("relu", "tanh"), "dropout": 0.1}
    assert saved(again).read_text() == saved(recipe).read_text()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda saved: "{", "not a recipe"),
        (lambda saved: "[]", "not a recipe"),
        (lambda saved: '{"lr": 0.1}', "not a recipe"),
        (lambda saved: json.dumps(saved | {"lrr": {"value": 1, "from": "default"}}), "did you mean 'lr'"),
        (
            lambda saved: json.dumps(saved | {"lr": {"value": "fast", "from": "x"}}),
            "lr='fast' is not a number",
        ),
        (lambda saved: json.dumps(saved | {"lr": {"value": -1, "from": "x"}}), "lr=-1"),
        (lambda saved: json.dumps(saved | {"model": {"value": "mpl", "from": "x"}}), "did you mean 'mlp'"),
    ],
)
def test_a_damaged_file_is_named(saved, damage, words):
    path = saved(make_recipe("mlp"))
    path.write_text(damage(json.loads(path.read_text())))
    with pytest.raises(RunError, match=words) as caught:
        Recipe.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_knob_takes_its_default(saved):
    """A recipe saved before a knob existed still loads."""
    path = saved(make_recipe("mlp"))
    old = json.loads(path.read_text())
    del old["rho"], old["keep"]
    path.write_text(json.dumps(old))
    assert Recipe.load(path) == make_recipe("mlp")


def test_a_task_knob_of_another_task_is_refused():
    recipe = make_recipe("mlp", "diabetes", settings={"label_smoothing": "0.1"})
    with pytest.raises(UsageError, match="task is regress, but label_smoothing belongs to classify"):
        make_task(recipe, open_data("diabetes").facts)
    recipe = make_recipe("mlp", "iris", settings={"loss": "l1"})
    with pytest.raises(UsageError, match="task is classify, but loss belongs to"):
        make_task(recipe, open_data("iris").facts)


def test_a_size_that_contradicts_the_data_is_refused():
    facts = Facts("made", "table", "class", (4,), classes=("a", "b", "c"))
    for name, size in (("in_features", 5), ("out_features", 2)):
        with pytest.raises(UsageError, match=f"{name}={size}: the data made needs"):
            build_for(make_recipe("mlp", "iris", given={name: size}), facts)
    network, arguments = build_for(
        make_recipe("mlp", "iris", given={"in_features": 4, "widths": (5,)}), facts
    )
    assert arguments == {"in_features": 4, "out_features": 3, "widths": (5,)}
    assert network.head.out_features == 3


def test_every_knob_is_documented():
    assert knob_docs().keys() == recipe_types().keys() == {f.name for f in fields(Recipe)} - {"origin"}
    for name, text in knob_docs().items():
        assert text.endswith(".") or name == "device", name
        assert len(text) < 110


@pytest.mark.parametrize("name", CATALOG)
def test_every_argument_and_task_knob_is_documented(name):
    assert knob_docs(name).keys() == {"model", "model_args", "task_args"}.union(*knob_types(name).values())
