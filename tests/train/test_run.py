"""A run on the disk: what opens it, what it answers, and what it refuses; and what fit leaves alone."""

import csv
import json
import math
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import didact
from didact.data.facts import Facts
from didact.errors import DataError, RunError, UsageError
from didact.train.files import load_tensors, read_json, save_tensors, write_json
from didact.train.fit import cross_validate, fit_recipe
from didact.train.loop import Interrupted
from didact.train.recipe import make_recipe
from didact.train.run import build_for, load_model

pytestmark = pytest.mark.usefixtures("quick")

ROWS = [
    {
        "size": f"{i % 9}.5",
        "colour": ("red", "green", "blue")[i % 3],
        "weight": str(i * 31 % 17),
        "kind": "ab"[i % 2],
    }
    for i in range(60)
]
TEXTS = [(f"word{i % 5} and more of number {i}", "odd" if i % 2 else "even") for i in range(60)]


def write_rows(path, rows, names=None):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, names or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A table, labelled texts, a corpus and a folder of images, each written as a user would."""
    home = tmp_path_factory.mktemp("home")
    write_rows(home / "table.csv", ROWS)
    write_rows(home / "prices.csv", [{**row, "kind": f"{100 + 3 * i}"} for i, row in enumerate(ROWS)])
    write_rows(home / "texts.csv", [{"text": text, "label": label} for text, label in TEXTS])
    (home / "corpus.txt").write_text("the quick brown fox jumps over the lazy dog. " * 40)
    generator = np.random.default_rng(0)
    for name, shade in (("dark", 60), ("light", 180)):
        (home / "images" / name).mkdir(parents=True)
        for i in range(15):
            pixels = np.clip(generator.normal(shade, 40, (6, 6, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(home / "images" / name / f"{i}.png")
    return home


@pytest.fixture(scope="module")
def runs(home, tmp_path_factory):
    """A finished run of each kind of input, trained once."""
    wanted = {
        "table": ("mlp", home / "table.csv", {}),
        "number": ("mlp", home / "prices.csv", {}),
        "text": ("softmax-regression", home / "texts.csv", {}),
        "tokens": ("elman", home / "corpus.txt", {"context": 16, "hidden_dim": 8, "embedding_dim": 4}),
        "image": ("softmax-regression", home / "images", {"image_size": 4}),
        "gan": ("gan", "gaussian", {"batch_size": 4000}),
    }
    made = {}

    def make(kind):
        if kind not in made:
            model, data, knobs = wanted[kind]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("didact.train.fit.write_report", lambda run: None)
                patch.setattr("didact.train.fit.find_spec", lambda name: None)
                made[kind] = didact.fit(
                    model, data, out=tmp_path_factory.mktemp(kind) / "run", epochs=2, **knobs
                )
        return made[kind]

    return make


@pytest.fixture
def copy(runs, tmp_path):
    """A run of its own to damage."""
    shutil.copytree(runs("table").directory, tmp_path / "copy")
    return tmp_path / "copy"


def refused(error, match, call):
    with pytest.raises(error, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_no_run(tmp_path):
    refused(RunError, "no such directory; didact train makes one", lambda: didact.load(tmp_path / "none"))
    refused(RunError, r"not a run \(it has no recipe.json\)", lambda: didact.load(tmp_path))


def test_an_unfinished_run_says_how_to_go_on(tmp_path, home, watcher):
    recipe = make_recipe("mlp", str(home / "table.csv"), given={"epochs": 3, "batch_size": 64})
    with pytest.raises(Interrupted, match=r"didact train --resume .*run goes on"):
        fit_recipe(recipe, tmp_path / "run", observers=[watcher(stop_at=2)])
    run = didact.load(tmp_path / "run")
    assert not run.finished
    for ask in (lambda: run.scores, lambda: run.exhibits, run.headline):
        refused(RunError, "is not finished; didact train --resume", ask)
    assert "not finished: 1 of 3 epochs" in str(run)
    assert run.evaluate("val")["loss"] > 0
    refused(RunError, "is not finished", lambda: run.evaluate("test"))
    refused(RunError, "is not finished", lambda: run.evaluate("test", again=True))


@pytest.mark.parametrize(
    ("file", "content", "ask"),
    [
        ("facts.json", "{", "facts"),
        ("facts.json", "{}", "facts"),
        ("facts.json", '{"name": "x", "unheard": 1}', "facts"),
        ("results.json", '{"val": ', "scores"),
        ("metrics.jsonl", '{"step": 1\n{"step": 2}\n', "history"),
    ],
)
def test_damaged_files_are_named(copy, file, content, ask):
    (copy / file).write_text(content)
    refused(RunError, rf"{file}.*: ", lambda: getattr(didact.load(copy), ask))


def test_missing_files_are_named(copy):
    for file, ask in (("facts.json", "facts"), ("model.safetensors", "model")):
        (copy / file).unlink()
        refused(
            RunError,
            f"{file}: no such file|has no weights yet",
            lambda ask=ask: getattr(didact.load(copy), ask),
        )


def test_weights_that_do_not_fit(copy):
    path = copy / "model.safetensors"
    weights, metadata = load_tensors(path)
    for change, words in (
        ({"head.bias": torch.zeros(7)}, r"head.bias has shape \(7,\), but mlp wants \(2,\)"),
        ({"extra": torch.zeros(1)}, r"extra has shape \(1,\), but mlp wants nothing"),
    ):
        save_tensors(path, weights | change, metadata)
        refused(RunError, words, lambda: didact.load(copy).model)
    save_tensors(path, {name: w for name, w in weights.items() if name != "head.bias"}, metadata)
    refused(RunError, r"head.bias has shape nothing, but mlp wants \(2,\)", lambda: didact.load(copy).model)
    save_tensors(path, weights, {})
    refused(RunError, "its metadata names no model", lambda: didact.load(copy).model)
    path.write_bytes(pickle.dumps(weights))
    refused(RunError, "a pickle, which could run code", lambda: didact.load(copy).model)


def test_the_weights_file_is_enough(runs, tmp_path):
    """The architecture, its sizes and the facts travel with the weights."""
    for kind in ("table", "text", "tokens", "image", "gan"):
        run = runs(kind)
        shutil.copy(run.directory / "model.safetensors", tmp_path / "alone.safetensors")
        model = load_model(tmp_path / "alone.safetensors")
        assert not model.training
        assert type(model) is type(run.model)
        _, metadata = load_tensors(tmp_path / "alone.safetensors")
        assert Facts.from_dict(metadata["facts"]) == run.facts
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, run.model.state_dict()[name])


@pytest.mark.parametrize("kind", ["table", "number", "text", "image"])
def test_predict_encodes_as_training_did(runs, kind):
    """The raw examples of the test split, read anew, give what the encoded split gives."""
    run = runs(kind)
    data = run.data()
    inputs, _ = data["test"].take(data["test"].order(None))
    with torch.no_grad():
        expected = run.task.decode(run.model(inputs))
    answers = run.predict(data.raw["test"].items)
    assert len(answers) == len(expected) > 5
    for answer, right in zip(answers, expected, strict=True):
        assert answer.keys() == right.keys()
        for name, value in right.items():
            assert answer[name] == (pytest.approx(value) if not isinstance(value, str) else value)


def test_predict_takes_what_a_user_has(runs, home):
    run = runs("image")
    path = home / "images" / "dark" / "0.png"
    pixels = np.asarray(Image.open(path))
    assert run.predict([path]) == run.predict([str(path)]) == run.predict([pixels])
    (answer,) = run.predict([path])
    assert answer["class"] in ("dark", "light")
    assert sum(answer["best"].values()) == pytest.approx(1)
    table = runs("table")
    strings, numbers = dict(ROWS[0]), {"size": 0.5, "colour": "red", "weight": 0}
    assert table.predict([strings]) == table.predict([numbers])
    assert table.predict([]) == []
    assert runs("number").predict([numbers])[0].keys() == {"kind"}
    assert 0 < runs("number").predict([numbers])[0]["kind"] < 400, "in the unit of the target"


def test_predict_on_text(runs):
    run = runs("tokens")
    assert run.task.name == "language"
    first, second = run.predict(["the quick", "a"])
    assert [first] == run.predict(["the quick"])
    assert first["next"] == next(iter(first["best"]))
    assert second["next"] in run.facts.vocabulary
    assert runs("text").predict(["word1 and"])[0]["class"] in ("odd", "even")


@pytest.mark.parametrize(
    ("kind", "item", "words"),
    [
        ("image", "missing.png", "missing.png: no such file"),
        ("table", {"size": 1}, "column 'colour' is missing"),
        (
            "table",
            {"size": "big", "colour": "red", "weight": 1},
            "'size' holds 'big', but a number is needed",
        ),
    ],
)
def test_predict_names_what_is_wrong(runs, kind, item, words):
    refused(DataError, words, lambda: runs(kind).predict([item]))


def test_one_example_is_not_a_list(runs):
    """A text is a sequence of letters and a row one of column names: neither is a list of examples."""
    for kind, item in (
        ("text", "word1 and"),
        ("tokens", "the"),
        ("image", "x.png"),
        ("table", dict(ROWS[0])),
    ):
        refused(
            UsageError,
            r"predict takes a list of examples",
            lambda kind=kind, item=item: runs(kind).predict(item),
        )


def test_an_unseen_category_is_no_error(runs):
    (answer,) = runs("table").predict([{"size": 1, "colour": "violet", "weight": 1}])
    assert answer["class"] in "ab"


def test_evaluate(runs):
    run = runs("table")
    assert run.evaluate("val") == run.scores["val"]
    assert run.evaluate("train").keys() == run.scores["val"].keys()
    refused(DataError, "has no split 'tset'; it has train, val, test", lambda: run.evaluate("tset"))


def test_the_kept_weights_are_those_of_the_best_epoch(runs):
    for kind in ("table", "tokens", "gan"):
        run = runs(kind)
        best = next(record for record in reversed(run.history) if record["best"])
        assert run.scores["val"] == pytest.approx(best["val"])
        watched = [record["val"][run.task.watch] for record in run.history]
        assert watched[best["epoch"] - 1] == min(watched)


def test_a_second_look_at_the_test_split_is_refused_and_counted(copy):
    run = didact.load(copy)
    refused(UsageError, "a second look spoils it, and needs --again", lambda: run.evaluate("test"))
    assert run.results["test_looks"] == 1
    assert run.evaluate("test", again=True) == pytest.approx(run.scores["test"])
    run.evaluate("test", again=True)
    assert didact.load(copy).results["test_looks"] == 3


def test_evaluate_on_other_data(runs, home, tmp_path):
    """The same rows from another file, in another order, score the same."""
    run = runs("table")
    data = run.data()
    rows = [
        row | {"kind": kind} for row, kind in zip(data.raw["val"].items, data.raw["val"].targets, strict=True)
    ]
    other = write_rows(tmp_path / "other.csv", rows[::-1], ["kind", "weight", "size", "colour"])
    assert run.evaluate(data=other) == pytest.approx(run.scores["val"])
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the lazy dog jumps. " * 30)
    assert runs("tokens").evaluate(data=corpus)["perplexity"] > 1
    assert runs("image").evaluate(data=home / "images")["loss"] > 0
    assert runs("number").evaluate(data=home / "prices.csv")["rmse"] > 0
    assert runs("text").evaluate(data=home / "texts.csv")["loss"] > 0


def test_other_data_that_does_not_fit(runs, home, tmp_path):
    run = runs("table")
    unknown = write_rows(
        tmp_path / "unknown.csv", [row | {"kind": "abz"[i % 3]} for i, row in enumerate(ROWS)]
    )
    refused(DataError, "class 'z' is unknown", lambda: run.evaluate(data=unknown))
    less = write_rows(tmp_path / "less.csv", [{k: row[k] for k in ("size", "kind")} for row in ROWS])
    refused(DataError, "column 'colour' is missing", lambda: run.evaluate(data=less))
    refused(
        DataError,
        "names a column to predict, but this is 1,800 characters",
        lambda: run.evaluate(data=home / "corpus.txt"),
    )
    refused(DataError, "table.*tokens", lambda: runs("tokens").evaluate(data=home / "table.csv"))
    refused(DataError, "neither a file nor an embedded set", lambda: run.evaluate(data=tmp_path / "none.csv"))
    refused(DataError, "number", lambda: runs("number").evaluate(data=home / "table.csv"))
    (tmp_path / "short.txt").write_text("the")
    refused(
        DataError, "too short|empty|holds no", lambda: runs("tokens").evaluate(data=tmp_path / "short.txt")
    )
    broken = tmp_path / "broken"
    shutil.copytree(home / "images", broken)
    (broken / "dark" / "0.png").write_bytes(b"no image")
    refused(DataError, r"dark.0\.png", lambda: runs("image").evaluate(data=broken))


def test_fit_leaves_the_caller_alone(home, tmp_path):
    torch.manual_seed(11)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    didact.fit("mlp", home / "table.csv", out=tmp_path / "run", epochs=1, dropout=0.5, threads=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert read_json(tmp_path / "run" / "environment.json")["threads"] == 2
    with pytest.raises(UsageError):
        didact.fit("mlp", home / "table.csv", out=tmp_path / "other", label_smoothing=2.0, threads=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_seeds_decide_everything(home, tmp_path):
    made = [
        didact.fit("mlp", home / "table.csv", out=tmp_path / str(k), epochs=1, seed=s)
        for k, s in enumerate((1, 1, 2))
    ]
    states = [run.model.state_dict() for run in made]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert made[0].scores == made[1].scores
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])
    assert made[0].facts.fingerprint == made[1].facts.fingerprint != made[2].facts.fingerprint


@pytest.mark.parametrize(
    ("arguments", "knobs", "error"),
    [
        (("mlp", "irsi"), {}, DataError),
        (("lenet5", "iris"), {}, UsageError),
        (("mlp", "iris"), {"widths": (0,)}, UsageError),
        (("mlp", "iris"), {"in_features": 3}, UsageError),
        (("mlp", "iris"), {"augment": ("flip",)}, UsageError),
        (("mlp", "iris"), {"optimizer": "adam", "momentum": 0.5}, UsageError),
        (("mlp", "iris"), {"device": "tpu"}, UsageError),
        (("mlp", "iris"), {"lr_scale": {"generator": 0.5}}, UsageError),
        (("mlp", "iris"), {"folds": 2}, UsageError),
        (("mlp", "iris"), {"split": "50/50"}, UsageError),
        (("lenet5", "digits"), {"image_size": 28}, UsageError),
    ],
)
def test_bad_input_leaves_no_directory(arguments, knobs, error, tmp_path):
    refused(error, ".", lambda: didact.fit(*arguments, out=tmp_path / "run", epochs=1, **knobs))
    assert not (tmp_path / "run").exists()


def test_directories(home, tmp_path, monkeypatch):
    """The next free number; nothing is ever written into what is there."""
    monkeypatch.chdir(tmp_path)
    names = [str(didact.fit("mlp", home / "table.csv", epochs=1).directory) for _ in range(2)]
    assert names == [os.path.join("runs", f"mlp-table-{k}") for k in (1, 2)]
    refused(RunError, "holds a run.*--resume", lambda: didact.fit("mlp", "iris", out=names[0]))
    (tmp_path / "mine").mkdir()
    assert didact.fit("mlp", home / "table.csv", out="mine", epochs=1).finished
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("all my work")
    refused(RunError, "holds something else", lambda: didact.fit("mlp", "iris", out="full"))
    refused(RunError, "holds something else", lambda: didact.fit("mlp", "iris", out="full/thesis.tex"))
    assert (tmp_path / "full" / "thesis.tex").read_text() == "all my work"


def test_two_that_start_at_once_take_two_directories(home, tmp_path, monkeypatch):
    """The second one starts while the first reads its data, when no directory is there yet."""
    monkeypatch.chdir(tmp_path)
    import didact.train.fit as fit_module

    real, others = fit_module.open_recipe_data, []

    def meanwhile(recipe):
        if not others:
            others.append(None)
            others[0] = didact.fit("mlp", home / "table.csv", epochs=1)
        return real(recipe)

    monkeypatch.setattr(fit_module, "open_recipe_data", meanwhile)
    run = didact.fit("mlp", home / "table.csv", epochs=1)
    assert run.directory != others[0].directory


def test_every_file_is_there_and_is_json(runs):
    run = runs("table")
    names = {path.name for path in run.directory.iterdir()}
    plain = {"recipe.json", "facts.json", "data.json", "environment.json", "results.json", "diagnosis.json"}
    assert names == plain | {"metrics.jsonl", "state.safetensors", "model.safetensors"}

    def no_nan(word):
        raise AssertionError(f"{word} is no JSON")

    for name in plain:
        json.loads((run.directory / name).read_text(), parse_constant=no_nan)
    for line in (run.directory / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=no_nan)
    json.dumps(run.to_dict())
    assert run.to_dict()["scores"] == run.scores
    assert run.headline() == f"accuracy {run.scores['test']['accuracy']:.4f}"
    assert repr(run) == f"Run({str(run.directory)!r})"


def test_cross_validation_is_the_mean_of_the_folds(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = cross_validate("mlp", home / "table.csv", folds=3, epochs=1)
    scores = [
        didact.fit("mlp", home / "table.csv", out=tmp_path / str(k), epochs=1, folds=3, fold=k).scores[
            "test"
        ]["loss"]
        for k in range(3)
    ]
    mean, deviation = table["loss"]
    assert mean == pytest.approx(sum(scores) / 3)
    assert deviation == pytest.approx(math.sqrt(sum((s - mean) ** 2 for s in scores) / 2))
    assert not (tmp_path / "runs").exists()


def test_old_results_still_open(copy):
    """A reader that knows more knobs than the file has takes the defaults of the missing ones."""
    saved = read_json(copy / "recipe.json")
    del saved["rho"]
    write_json(copy / "recipe.json", saved)
    assert didact.load(copy).recipe.rho is None


@pytest.mark.parametrize("init", ["own", "orthogonal"])
def test_a_recipe_draws_the_first_weights(init):
    recipe = make_recipe("mlp", "iris", given={"init": init, "widths": (16, 16)})
    network, _ = build_for(recipe, didact.open_data("iris").facts)
    weight = network.hidden.linear2.weight
    assert torch.allclose(weight @ weight.T, torch.eye(16), atol=1e-5) == (init == "orthogonal")
    assert (not network.head.bias.any()) == (init == "orthogonal")
