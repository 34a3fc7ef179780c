"""Two runs side by side, only where that is fair."""

import json

import pytest

import didact
from didact.errors import RunError
from didact.train.compare import compare
from didact.train.loop import Interrupted

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def run(home):
    """A run by name, trained once."""

    def make(name, model="mlp", data="iris", **knobs):
        if (home / name).exists():
            return didact.load(home / name)
        return didact.fit(model, data, out=home / name, **({"epochs": 2, "batch_size": 32} | knobs))

    return make


def test_what_is_shared_and_what_differs(run):
    first, second = run("first", lr=0.01), run("second", lr=0.1, widths=(8, 8), epochs=3)
    comparison = compare(first.directory, second.directory)
    assert comparison.knobs == {"epochs": (2, 3), "lr": (0.01, 0.1), "model_args": ({}, {"widths": (8, 8)})}
    assert comparison.metric == "accuracy"
    assert comparison.scores["accuracy"] == (
        first.scores["test"]["accuracy"],
        second.scores["test"]["accuracy"],
    )
    assert comparison.costs["parameters"] == tuple(r.results["cost"]["parameters"] for r in (first, second))
    assert comparison.costs["epochs"] == (2, 3)
    assert [len(history) for history in comparison.histories] == [2, 3]
    assert json.loads(json.dumps(comparison.to_dict()))["metric"] == "accuracy"


def test_the_table_is_aligned(run):
    text = str(compare(run("first", lr=0.01).directory, run("second").directory))
    lines = text.splitlines()
    column = lines[0].index("second")
    assert lines[0].split() == ["first", "second"]
    assert {line[column - 1] for line in lines} == {" "}
    assert all(line[column] != " " for line in lines)
    assert any(line.startswith("test accuracy") for line in lines)
    assert next(line for line in lines if line.startswith("lr")).split() == ["lr", "0.01", "0.1"]


def test_other_models_on_the_same_data_compare(run):
    comparison = compare(run("first", lr=0.01).directory, run("linear", "softmax-regression").directory)
    assert comparison.knobs["model"] == ("mlp", "softmax-regression")


@pytest.mark.parametrize(
    ("name", "knobs", "words"),
    [
        ("seed", {"seed": 1}, r"saw different data \(iris with seed 0, iris with seed 1\)"),
        ("data", {"data": "wine"}, r"saw different data \(iris with seed 0, wine with seed 0\)"),
        ("split", {"split": "70/15/15"}, "saw different data"),
        ("raw", {"standardise": False}, r"standardise differs \(True against False\)"),
    ],
)
def test_what_is_not_fair_is_refused(run, name, knobs, words):
    pair = run("first", lr=0.01).directory, run(name, **knobs).directory
    for one, other in (pair, pair[::-1]):
        with pytest.raises(RunError, match=words if one is pair[0] else "differ") as caught:
            compare(one, other)
        assert "\n" not in str(caught.value)


def test_other_augmentation_is_refused_for_any_models(run):
    plain = run("digits", "softmax-regression", "digits", epochs=1, split="10/10/80")
    changed = run("flipped", "mlp", "digits", epochs=1, split="10/10/80", augment=("flip",))
    with pytest.raises(RunError, match="augment differs"):
        compare(plain.directory, changed.directory)


def test_an_unfinished_run_is_refused(run, home, watcher):
    from didact.train.fit import fit_recipe
    from didact.train.recipe import make_recipe

    with pytest.raises(Interrupted):
        fit_recipe(make_recipe("mlp", "iris"), home / "half", observers=[watcher(stop_at=1)])
    with pytest.raises(RunError, match="half is not finished"):
        compare(run("first", lr=0.01).directory, home / "half")
    with pytest.raises(RunError, match="no such directory"):
        compare(run("first", lr=0.01).directory, home / "none")


def test_two_runs_of_one_name_keep_two_curves(run, home):
    """runs/a/first and runs/b/first: both are drawn and told apart."""
    first, namesake = run("first", lr=0.01), run("elsewhere/first", lr=0.2)
    comparison = compare(first.directory, namesake.directory)
    assert comparison.first != comparison.second
    lines = comparison.plot().axes[0].get_lines()
    drawn = [list(line.get_ydata()) for line in lines]
    assert list(comparison.histories[0]) in drawn
    assert list(comparison.histories[1]) in drawn
