"""Wrong words: one line that names the value, the rule and the nearest right one; exit 2, nothing written."""

import json
from pathlib import Path

import pytest
from commands import Call, refused, write_csv

from didact.train.recipe import Recipe


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty directory to be in, which stays empty."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("trian", ["unknown command 'trian'", "did you mean 'train'?"]),
        ("frobnicate", ["unknown command", "choose from", "train"]),
        ("--verison", ["did you mean '--version'?"]),
        ("train --epoch 3", ["'--epoch'", "did you mean '--epochs'?"]),
        ("train --batchsize=3", ["'--batchsize'", "did you mean '--batch-size'?"]),
        ("models --tsak classify", ["did you mean '--task'?"]),
        ("train mlp iris", ["does not understand 'iris'", "did you mean --data iris?"]),
        ("report one two", ["does not understand 'two'", "see didact report --help"]),
        ("models language", ["'language' is a task: didact models --task language"]),
        ("train --epochs", ["--epochs", "expected one argument"]),
        ("evaluate", ["required: RUN", "see didact evaluate --help"]),
        ("train lenet", ["unknown model 'lenet'", "did you mean 'lenet5'?"]),
        ("train LE_NET-6", ["did you mean 'lenet5'?"]),
        ("models lstmm", ["did you mean 'lstm'?"]),
        ("models --task clasify", ["unknown task 'clasify'", "did you mean 'classify'?"]),
        ("models mlp --task classify", ["leave out --task"]),
        ("train iris", ["'iris' is data, not a model: didact train --data iris"]),
        ("train .", ["'.' is data, not a model: didact train --data ."]),
        ("train --set momentm=0.9", ["unknown setting 'momentm'", "did you mean 'momentum'?"]),
        ("train --set epochs", ["write KEY=VALUE"]),
        ("train --epochs 0", ["epochs=0", "at least 1"]),
        ("train --epochs 1.5", ["epochs='1.5'", "a whole number"]),
        ("train --lr -1", ["lr=-1.0", "positive"]),
        ("train --lr -1e-3", ["--lr"]),
        ("train --lr nan", ["lr=nan", "positive"]),
        ("train --lr inf", ["lr=inf", "positive"]),
        ("train --lr fast", ["lr='fast' is not a number"]),
        ("train --batch-size 0", ["batch_size=0", "at least 1"]),
        ("train --seed -1", ["seed=-1"]),
        ("train --optimizer adm", ["did you mean 'adam'?"]),
        ("train --set schedule=cosin", ["did you mean 'cosine'?"]),
        ("train --set nesterov=maybe", ["nesterov='maybe' is not true or false"]),
        ("train --set betas=0.9", ["betas='0.9'", "numbers"]),
        ("train --optimizer adam --set momentum=0.9", ["momentum=0.9", "adam has no momentum", "sgd"]),
        ("train --set activation=rleu", ["rleu", "did you mean 'relu'?"]),
        ("train --set num_classes=3", ["num_classes=3", "needs 10"]),
        ("train --set augment=spin", ["augment='spin'"]),
        ("train mlp --set label_smoothing=2", ["label_smoothing=2"]),
        ("train --data iris", ["lenet5 takes image inputs, but iris holds table", "didact models"]),
        ("train softmax-regression --data diabetes", ["didact models --task regress"]),
        ("train mlp --data wine --set target=iron", ["target='iron'"]),
        ("train --device cuda:99", ["device='cuda:99' is not available"]),
        ("train --verify", ["--resume RUN --verify"]),
        ("evaluate somewhere --split tset", ["unknown split 'tset'", "did you mean 'test'?"]),
        ("evaluate somewhere --split val --data x", ["leave out --split"]),
        ("compare a b --plot picture.gif", ["picture.gif", ".svg or .png"]),
        ("generate somewhere --length many", ["length='many' is not a whole number"]),
        ("generate somewhere --seed -1", ["seed=-1"]),
    ],
)
def test_wrong_words(call: Call, words: str, parts: list[str]):
    refused(call(*words.split()), 2, *parts)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("train mlp --data digts", ["'digts'", "did you mean 'digits'?"]),
        ("data irsi", ["did you mean 'iris'?"]),
        ("data nowhere/at/all", ["neither a file nor an embedded set"]),
        ("evaluate nowhere", ["nowhere: no such directory", "didact train makes one"]),
        ("predict nowhere x.png", ["nowhere: no such directory"]),
        ("report .", ["not a run", "recipe.json"]),
        ("train --resume nowhere", ["nowhere: no such directory"]),
        ("train --recipe nowhere.json", ["nowhere.json", "not a recipe"]),
    ],
)
def test_what_is_not_there(call: Call, words: str, parts: list[str]):
    refused(call(*words.split()), 1, *parts)


@pytest.mark.parametrize(
    ("typed", "knob", "value"),
    [
        ("standardise=false", "standardise", False),
        ("standardise=No", "standardise", False),
        ("nesterov=1", "nesterov", True),
        ("weight_decay=1", "weight_decay", 1.0),
        ("lr=1e-3", "lr", 0.001),
        ("lr=1", "lr", 1.0),
        ("batch-size=8", "batch_size", 8),
        ("clip_norm=None", "clip_norm", None),
        ("clip_norm=2", "clip_norm", 2.0),
        ("betas=0.5,0.9", "betas", (0.5, 0.9)),
        ("augment=flip,shift:2", "augment", ("flip", "shift:2")),
        ("augment=", "augment", ()),
        ("lr_scale=model:0.5", "lr_scale", {"model": 0.5}),
        ("target=a column", "target", "a column"),
        ("keep=last", "keep", "last"),
        ("widths=8,8", "model_args", {"widths": (8, 8)}),
        ("label_smoothing=0.1", "task_args", {"label_smoothing": 0.1}),
    ],
)
def test_set_reads_by_the_declared_type(
    call: Call, monkeypatch: pytest.MonkeyPatch, typed: str, knob: str, value: object
):
    recipes: list[Recipe] = []
    monkeypatch.setattr("didact.train.fit.fit_recipe", lambda recipe, *_, **__: recipes.append(recipe))
    monkeypatch.setattr("didact.cli.train._conclude", lambda *_: None)
    assert call("train", "mlp", "--set", typed).code == 0
    (recipe,) = recipes
    assert getattr(recipe, knob) == value
    assert type(getattr(recipe, knob)) is type(value)
    assert recipe.origin[knob] == "command line"


def test_the_flag_and_the_setting_are_one_knob_and_the_later_word_counts(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    recipes: list[Recipe] = []
    monkeypatch.setattr("didact.train.fit.fit_recipe", lambda recipe, *_, **__: recipes.append(recipe))
    monkeypatch.setattr("didact.cli.train._conclude", lambda *_: None)
    call("train", "--lr", "0.5", "--allow-bad", "--compile", "--set", "seed=3", "--set", "seed=4")
    (recipe,) = recipes
    assert (recipe.lr, recipe.allow_bad, recipe.compile, recipe.seed) == (0.5, True, True, 4)


def test_debug_shows_where(call: Call):
    with pytest.raises(ValueError, match="unknown model"):
        call("train", "lenet", "--debug")


def test_what_nobody_foresaw_is_one_line_too(call: Call, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("didact.train.fit.fit_recipe", fail)
    refused(call("train"), 1, "RuntimeError: two lines (--debug shows where)")


def test_too_little_memory_says_what_to_try(call: Call, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 1 TB")

    monkeypatch.setattr("didact.train.fit.fit_recipe", fail)
    refused(call("train"), 1, "not enough memory", "--batch-size")


def test_a_recipe_of_another_model_is_not_passed_over(call: Call, tmp_path: Path):
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps({"model": {"value": "lenet5", "from": "default"}}))
    refused(call("train", "mlp", "--recipe", file), 2, "lenet5", "mlp")


def test_target_of_a_table(call: Call, tmp_path: Path):
    table = write_csv(tmp_path / "t.csv", ("a", "b"), [(k, k % 2) for k in range(20)])
    refused(call("train", "mlp", "--data", table, "--set", "target=bb"), 1, "no column 'bb'", "did you mean")


def test_a_knob_for_images_on_a_table(call: Call):
    refused(call("train", "mlp", "--data", "iris", "--set", "image_size=8"), 2, "image_size changes images")
