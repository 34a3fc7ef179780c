"""A recipe is broken on purpose; the doctor's advice mends it, and most of what was lost is won back."""

import json

import pytest

import didact
from didact.doctor.codes import causes
from didact.errors import DataError, UsageError
from didact.train.heal import CHANGES, fit_and_heal, heal
from didact.train.nonfinite import NonFiniteError
from didact.train.recipe import Recipe, make_recipe
from didact.train.report import report_page
from didact.train.run import Run

SGD = {"optimizer": "sgd", "lr": 0.05, "epochs": 15}
BROKEN = {  # a healthy recipe, what breaks it, the code that mends it, the share of the gap that is won back
    "O01": ("mlp", "digits", SGD, {"lr": 5.0}, 0.9),
    "O02": ("mlp", "digits", SGD, {"lr": 5e-5}, 0.9),
    "O03": ("mlp", "digits", SGD, {"momentum": 0.998}, 0.9),
    "O04": ("mlp", "digits", {"epochs": 20}, {"schedule": "step", "step_epochs": 1, "decay": 0.01}, 0.9),
    "O11": ("mlp", "digits", SGD, {"clip_norm": 1e-3}, 0.9),
    "O07": ("mlp", "digits", SGD | {"widths": (64,) * 10, "lr": 0.01, "init": "he"}, {"init": "own"}, 0.9),
    "P01": ("softmax-regression", "wine", {"epochs": 40}, {"standardise": False}, 0.9),
    "R01": ("mlp", "diabetes", {"epochs": 60, "lr": 0.01}, {"keep": "last"}, 0.9),
    "R02": ("mlp", "digits", {"epochs": 20}, {"weight_decay": 10.0}, 0.9),
}
QUICK = ("O01", "P01")
pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(autouse=True)
def no_page(monkeypatch):
    monkeypatch.setattr("didact.train.heal.write_report", lambda run: None)


def finding(code, fix="", severity="critical", because="", **evidence):
    return {
        "code": code,
        "cause": code,
        "severity": severity,
        "because": because,
        "fix": fix,
        "evidence": evidence,
    }


def changes(code, found, **knobs):
    return CHANGES[code](Recipe(model="mlp", **knobs), found)


@pytest.mark.parametrize(
    "code", [pytest.param(code, marks=() if code in QUICK else pytest.mark.slow) for code in BROKEN]
)
def test_what_was_broken_is_healed(code, tmp_path):
    model, data, healthy, broken, least = BROKEN[code]
    whole = didact.fit(model, data, out=tmp_path / "whole", **healthy)
    run = didact.fit(model, data, out=tmp_path / "run", **(healthy | broken))
    assert run.diagnosis["verdict"] != "healthy"
    healed = heal(run, baseline=whole.scores["val"][whole.task.metric])
    assert code in [each.code for each in healed.rounds]
    assert healed.recovered > least
    assert healed.run.diagnosis["verdict"] == "healthy"
    assert healed.run.scores["val"][whole.task.watch] < run.scores["val"][whole.task.watch]


def test_a_run_that_ended_in_nan_is_healed(tmp_path):
    recipe = make_recipe("mlp", "diabetes", given={"optimizer": "sgd", "lr": 20.0, "epochs": 20})
    run = fit_and_heal(recipe, tmp_path / "run")
    assert run.finished
    assert not Run(tmp_path / "run").finished
    assert run.recipe.lr < 20.0
    assert json.loads((run.directory / "healed.json").read_text())["before"] is None


def test_where_nothing_helps_the_error_is_raised(tmp_path, monkeypatch):
    monkeypatch.setattr("didact.train.heal.CHANGES", {})
    recipe = make_recipe("mlp", "diabetes", given={"optimizer": "sgd", "lr": 1e6, "epochs": 20})
    with pytest.raises(NonFiniteError):
        fit_and_heal(recipe, tmp_path / "run")


def test_every_run_says_what_was_changed(tmp_path, capsys):
    run = didact.fit("mlp", "digits", out=tmp_path / "run", **(SGD | {"lr": 5e-5}))
    healed = heal(run, quiet=False)
    assert healed.run.directory == tmp_path / "run-healed-1"
    assert healed.finding["code"] == "O02"
    assert healed.change == healed.rounds[0].change
    assert healed.change.startswith("lr 5e-05 -> ")
    assert healed.run.recipe.origin["lr"] == "healed O02"
    assert healed.recovered is None  # nobody said what a healthy run reaches
    assert "healed: accuracy" in capsys.readouterr().err
    saved = json.loads((healed.run.directory / "healed.json").read_text())
    assert (saved["of"], saved["before"], saved["after"]) == ("run", healed.before, healed.after)
    assert "This run heals run (O02" in report_page(healed.run)


def test_a_change_that_does_not_help_is_dropped(tmp_path, monkeypatch):
    run = didact.fit("mlp", "digits", out=tmp_path / "run", **(SGD | {"lr": 5e-5}))
    monkeypatch.setattr("didact.train.heal.CHANGES", {"O02": lambda recipe, found: {"lr": recipe.lr / 10}})
    healed = heal(run)
    assert healed.run is run
    assert healed.after == healed.before
    assert len(healed.rounds) == 1  # the same change again would be the same run
    assert not (tmp_path / "run" / "healed.json").exists()
    assert str(healed).endswith("heal: no better")


def test_a_bounded_number_of_rounds(tmp_path, monkeypatch):
    run = didact.fit("mlp", "iris", out=tmp_path / "run", **(SGD | {"lr": 1e-9}), batch_size=8)
    monkeypatch.setattr("didact.train.heal.CHANGES", {"O02": lambda recipe, found: {"lr": recipe.lr * 1.5}})
    assert len(heal(run).rounds) == 3


def test_a_healthy_run_is_left_alone(tmp_path):
    run = didact.fit("mlp", "iris", out=tmp_path / "run", heal=True, epochs=20)
    assert run.directory == tmp_path / "run"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert heal(run).change == "nothing to heal"


def test_overfitting_with_the_best_epoch_kept_needs_nothing(tmp_path):
    run = didact.fit("mlp", "diabetes", out=tmp_path / "run", epochs=60, lr=0.01)
    healed = heal(run)
    assert healed.run is run
    assert healed.change.startswith("R01 ")
    assert "from before it overfitted, are kept" in healed.change


def test_what_is_no_matter_of_the_recipe_is_said(tmp_path):
    run = didact.fit("mlp", "iris", out=tmp_path / "run", epochs=1)
    said = run.diagnosis | {"findings": [finding("S02", "pass logits")], "verdict": "faulty"}
    (run.directory / "diagnosis.json").write_text(json.dumps(said))
    assert heal(run).change == "S02 S02: no matter of the recipe; pass logits"


def test_a_run_that_nobody_watched(tmp_path):
    run = didact.fit("mlp", "iris", out=tmp_path / "run", epochs=1, watch=False)
    with pytest.raises(UsageError, match=r"no diagnosis\.json; train it with watch=true"):
        heal(run)


def test_nothing_is_left_where_the_data_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError):
        didact.fit("mlp", "nowhere.csv", heal=True)
    assert not list(tmp_path.glob("runs/*"))


# The table


def test_every_change_is_of_knobs_that_exist():
    known = set(vars(Recipe()))
    given = {
        "lr": 0.1,
        "betas": (0.9, 0.9),
        "momentum": 0.995,
        "schedule": "step",
        "clip_norm": 1e-3,
        "standardise": False,
        "weight_decay": 1.0,
        "batch_size": 4,
        "keep": "last",
        "patience": 2,
    }
    recipe = Recipe(model="mlp", weights="file", model_args={"dropout": 0.9}, **given)
    measured = {"weight decay": 1.0, "90th percentile of the norms": 3.5, "epochs that would do": 90}
    for code, change in CHANGES.items():
        knobs = change(recipe, finding(code, **measured))
        assert knobs, code
        assert knobs.keys() <= known, code


def test_the_measured_numbers_are_applied():
    faster = finding("O02", **{"factor that would do": 100.0})
    assert changes("O02", faster, lr=1e-3)["lr"] == pytest.approx(0.1)
    looser = finding("O11", **{"90th percentile of the norms": 230.0})
    assert changes("O11", looser, clip_norm=1e-3) == {"clip_norm": 230.0}
    longer, endless = (finding("R03", **{"epochs that would do": n}) for n in (70, 7000))
    assert changes("R03", longer, epochs=20) == {"epochs": 70}
    assert changes("R03", endless, epochs=20) == {"epochs": 160}
    assert changes("R03", finding("R03"), epochs=20, patience=1) == {"patience": 0}
    assert changes("R03", finding("R03"), epochs=2) == {"epochs": 8}


def test_an_exploding_gradient_is_cut_and_the_rate_lowered():
    assert changes("O08", finding("O08"), lr=1.0) == {"clip_norm": 1.0, "lr": 0.1}
    assert changes("O08", finding("O08"), lr=1.0, clip_norm=0.5) == {"clip_norm": 0.5, "lr": 0.1}


def test_small_batches_grow_only_where_they_are_small():
    for code in ("R04", "E05"):
        assert changes(code, finding(code), batch_size=2) == {"batch_size": 32}
        assert changes(code, finding(code), batch_size=64) == {}


def test_dropout_and_decay_give_way_to_what_was_measured():
    decay = finding("R02", **{"weight decay": 5.0})
    dropout = finding("R02", **{"largest dropout": 0.9})
    strong = {"weight_decay": 5.0, "model_args": {"dropout": 0.9, "widths": (8,)}}
    assert changes("R02", decay, **strong) == {"weight_decay": 0.05}
    assert changes("R02", dropout, **strong) == {"model_args": {"dropout": 0.2, "widths": (8,)}}
    assert changes("R02", dropout, weight_decay=1.0) == {"weight_decay": 0.01}
    assert changes("R02", dropout) == {}


def test_weights_that_start_badly_are_drawn_anew_or_left_out():
    for code in ("I02", "I03", "O07"):
        assert changes(code, finding(code)) == {"init": "he"}
        assert changes(code, finding(code), init="he") == {}
        squashed = {"model_args": {"widths": (8, 8), "activation": ("Tanh", "relu")}}
        assert changes(code, finding(code), **squashed) == {"init": "xavier"}
        assert changes(code, finding(code), weights="old")["weights"] is None
        assert "init" not in changes(code, finding(code), weights="old")


def test_a_dead_layer_takes_a_lower_rate_and_other_first_weights_if_it_was_born_dead():
    assert changes("A02", finding("A02", **{"when first measured": 0.1}), lr=1.0) == {"lr": 0.1}
    assert changes("A02", finding("A02", **{"when first measured": 0.6}), lr=1.0) == {"lr": 0.1, "init": "he"}


def test_every_code_exists():
    assert CHANGES.keys() <= causes().keys()
