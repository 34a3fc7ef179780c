"""From data to a score that can be believed: splits, preprocessing, one look at the test set, comparison.

Notes 001, sections II, VI.2 and VIII.1; 000, section 3.2; 003, L415-485; 004, L525-550 and L621-647.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import didact
from didact.cli.main import main
from didact.data.encode import encode
from didact.data.open import open_data
from didact.data.split import ratio_split
from didact.errors import RunError, UsageError
from didact.tasks.choose import task_for
from didact.tasks.classify import Classify
from didact.tasks.regress import Regress
from didact.train.compare import compare
from didact.train.files import load_tensors
from didact.train.fit import choose_device
from didact.train.recipe import make_recipe
from didact.train.run import Run, build_for, make_task

COLOURS = {"green": (30, 200, 40), "red": (220, 30, 20)}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """Softmax regression on irises, for a few epochs."""
    return didact.fit("softmax-regression", "iris", epochs=4, out=tmp_path_factory.mktemp("runs") / "iris")


@pytest.fixture(scope="module")
def colours(tmp_path_factory) -> Path:
    """A folder for each of two colours, with 15 noisy images each."""
    root, rng = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / name).mkdir()
        for index in range(15):
            pixels = (np.array(colour) + rng.integers(-20, 21, (6, 6, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


# Pairs, tasks


def test_pairs_become_a_distribution_over_classes(run: Run):
    """supervised-formulation (003, L6): {x_i, y_i} => p(y | x)."""
    data = run.data()
    inputs, labels = data["train"].take(torch.arange(5))
    assert (inputs.shape, labels.shape) == ((5, 4), (5,))
    for answer in run.predict(data.raw["test"].items):
        assert set(answer["best"]) == {"setosa", "versicolor", "virginica"}
        assert sum(answer["best"].values()) == pytest.approx(1)
        assert answer["class"] == max(answer["best"], key=answer["best"].get)


@pytest.mark.parametrize(("data", "task", "width"), [("wine", Classify, 3), ("diabetes", Regress, 1)])
def test_the_target_chooses_head_and_loss(data: str, task: type, width: int):
    """regression-vs-classification (001, section II.3): the same network, a score a class or one number."""
    recipe = make_recipe("mlp", data)
    facts = open_data(data).facts
    model, _ = build_for(recipe, facts)
    assert type(make_task(recipe, facts)) is task
    assert model.head.out_features == width


def test_a_model_is_not_given_what_it_cannot_learn():
    facts = open_data("diabetes").facts
    with pytest.raises(UsageError, match="softmax-regression learns to classify"):
        task_for("softmax-regression", didact.CATALOG["softmax-regression"], facts)


def test_images_in_folders_are_classified_from_the_command_line(colours: Path, tmp_path: Path, capsys):
    """image-classification: train, evaluate, predict."""
    out = str(tmp_path / "run")
    command = [
        "train",
        "softmax-regression",
        "--data",
        str(colours),
        "--epochs",
        "8",
        "--out",
        out,
        "--quiet",
    ]
    assert main(command) == 0
    assert main(["evaluate", out, "--json"]) == 0
    assert main(["predict", out, str(colours / "red" / "0.png"), "--json"]) == 0
    *_, scores, answer = capsys.readouterr().out.strip().split("\n")
    assert json.loads(scores)["accuracy"] == 1
    assert json.loads(answer)["class"] == "red"


# Splits


def test_splits_of_a_hundred_w22():
    for rule, sizes in (("60/20/20", [60, 20, 20]), ("80/10/10", [80, 10, 10])):
        assert [len(part) for part in ratio_split([0] * 100, rule, seed=0).values()] == sizes


def test_the_test_split_is_looked_at_once(run: Run):
    """test-set-once (001, section II): scored when training ends; another look is refused, or counted."""
    assert run.results["test_looks"] == 1
    with pytest.raises(UsageError, match="--again"):
        run.evaluate("test")
    assert run.evaluate("val") == pytest.approx(run.scores["val"])
    assert run.evaluate("test", again=True) == pytest.approx(run.scores["test"])
    assert run.results["test_looks"] == 2


def test_cross_validation_gives_mean_and_deviation(tmp_path: Path):
    """cross-validation: train on K - 2 folds, choose on one, test on one; each fold is tested once."""
    table = didact.cross_validate("softmax-regression", "iris", folds=3, epochs=2)
    scores, tested = [], []
    for fold in range(3):
        run = didact.fit("softmax-regression", "iris", folds=3, fold=fold, epochs=2, out=tmp_path / str(fold))
        scores.append(run.scores["test"]["accuracy"])
        tested += [json.dumps(item) for item in run.data().raw["test"].items]
    whole = [json.dumps(item) for part in run.data().raw.values() for item in part.items]
    assert sorted(tested) == sorted(whole)
    assert table["accuracy"] == pytest.approx((np.mean(scores), np.std(scores, ddof=1)))


# Preprocessing


def test_pixels_lie_between_zero_and_one_before_they_are_standardised():
    """prep-unit-range (004, L854)."""
    plain = open_data("digits", standardise=False)["train"].inputs
    assert (plain.min(), plain.max()) == (0, 1)
    raw = open_data("digits").raw["train"].items[0]
    torch.testing.assert_close(plain[0, 0] * 255, torch.from_numpy(raw).float())


def test_colour_images_are_standardised_channel_by_channel(colours: Path):
    """prep-channel-meanstd, colour-normalization: three means and three deviations, of training images."""
    data = open_data(colours)
    assert (len(data.facts.mean), len(data.facts.std)) == (3, 3)
    train = np.stack([np.asarray(Image.open(path)) for path in data.raw["train"].items]) / 255
    assert data.facts.mean == pytest.approx(train.mean((0, 1, 2)))
    assert data.facts.std == pytest.approx(train.std((0, 1, 2)))
    inputs = data["train"].inputs.double()
    torch.testing.assert_close(inputs.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(inputs.std((0, 2, 3), correction=0), torch.ones(3).double(), atol=1e-6, rtol=0)


def test_preprocessing_travels_with_the_weights(run: Run):
    """train-test-same-preproc (000, section 3.2): one mean and deviation for every example, new ones too."""
    _, metadata = load_tensors(run.directory / "model.safetensors")
    assert metadata["facts"]["mean"] == list(run.facts.mean)
    assert metadata["facts"]["std"] == list(run.facts.std)
    data = run.data()
    assert torch.equal(encode(run.facts, data.raw["test"].items), data["test"].inputs)
    by_hand = run.model(data["test"].inputs).softmax(1)
    answers = run.predict(data.raw["test"].items)
    torch.testing.assert_close(
        torch.tensor([a["probability"] for a in answers]), by_hand.max(1).values.detach()
    )


# Records


def test_curves_of_loss_and_accuracy_are_recorded_for_both_splits(run: Run):
    """learning-curve, training-curves: an epoch's averages, and the raw curve between."""
    assert [record["epoch"] for record in run.history] == [1, 2, 3, 4]
    for record in run.history:
        for part in ("train", "val"):
            assert {"loss", "accuracy"} <= set(record[part])
    assert len(run.curve) > len(run.history)
    assert "Learning curves" in run.report.read_text(encoding="utf-8")


def test_the_training_loss_of_an_epoch_is_the_average_over_its_examples(run: Run):
    size = run.facts.sizes["train"]
    points = [point for point in run.curve if point["epoch"] == 1]
    assert len(points) == -(-size // 16)
    counts = [16] * (len(points) - 1) + [size - 16 * (len(points) - 1)]
    mean = sum(p["train"]["loss"] * n for p, n in zip(points, counts, strict=True)) / size
    assert run.history[0]["train"]["loss"] == pytest.approx(mean)


# Comparison


def test_two_runs_are_compared_by_what_differs(run: Run, tmp_path: Path):
    """hp-manual (001, section VI.3): change something, and see what it did."""
    other = didact.fit("softmax-regression", "iris", epochs=4, lr=0.01, out=tmp_path / "slower")
    comparison = compare(run.directory, other.directory)
    assert comparison.knobs["lr"] == (0.1, 0.01)
    assert comparison.scores["accuracy"] == (run.scores["test"]["accuracy"], other.scores["test"]["accuracy"])
    assert [len(history) for history in comparison.histories] == [4, 4]
    assert "lr" in str(comparison)


def test_runs_on_unlike_data_are_not_compared(run: Run, tmp_path: Path):
    """aug-compare-rule (001, section VIII.1): the same data, split and augmentation for both."""
    other = didact.fit("softmax-regression", "iris", epochs=1, seed=1, out=tmp_path / "other")
    with pytest.raises(RunError, match="different data"):
        compare(run.directory, other.directory)
    knobs = {"epochs": 1, "batch_size": 512}
    plain = didact.fit("softmax-regression", "digits", out=tmp_path / "plain", **knobs)
    noisy = didact.fit(
        "softmax-regression", "digits", out=tmp_path / "noisy", augment=("noise:0.1",), **knobs
    )
    with pytest.raises(RunError, match="augment differs"):
        compare(plain.directory, noisy.directory)


# Hardware


def test_the_device_is_chosen_or_named():
    """dl-enablers (001, section I.5): what there is, by default; a name that is not there is refused."""
    assert choose_device(make_recipe(given={"device": "cpu"})).type == "cpu"
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    assert choose_device(make_recipe()) == (accelerator or torch.device("cpu"))
    with pytest.raises(UsageError, match="device='quantum'"):
        choose_device(make_recipe(given={"device": "quantum"}))
