"""An experiment: every variant with every seed, nothing trained twice, the right numbers, honest words."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import didact
from didact.catalog import CATALOG
from didact.errors import RunError, UsageError
from didact.recipes.experiment import Experiment, Results, Variant, plain, run_experiment
from didact.recipes.experiments.every import EXPERIMENTS, find_experiment
from didact.recipes.experiments.filters import fixed_filters, start
from didact.recipes.measures import WINDOW, final_loss, loss_by_epoch, loss_by_update, updates_until
from didact.recipes.table import Row, Table, summary
from didact.train.recipe import make_recipe
from didact.train.run import Run

every_experiment = pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda each: each.name)

SMALL = {"data": "iris", "epochs": 2, "batch_size": 16, "threads": 1}
FAST_OR_SLOW = Experiment(
    name="fast-or-slow",
    question="does a higher rate learn faster?",
    source="no notes",
    claim="it does",
    variants={
        "slow, 0.0001": Variant("mlp", {**SMALL, "lr": 0.0001}, "mlp", 0.0001),
        "fast, 0.01": Variant("mlp", {**SMALL, "lr": 0.01}, "mlp", 0.01),
    },
    numbers=("loss", "updates"),
    measure=lambda run: {"loss": final_loss(run), "updates": updates_until(run, 0.9)},
    verdict=lambda table: f"{table.of('slow, 0.0001', 'loss')} against {table.of('fast, 0.01', 'loss')}.",
    minutes=0.1,
    curve=loss_by_epoch,
    over="loss",
    at_label="learning rate",
    at_log=True,
    seeds=2,
)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    """The small experiment, run once; read only."""
    out = tmp_path_factory.mktemp("experiment")
    return out, run_experiment(FAST_OR_SLOW, out)


# Running


def test_every_variant_is_trained_with_every_seed(done: tuple[Path, Results]):
    out, results = done
    assert {path.name for path in out.iterdir()} == {
        *(f"{label}-{seed}" for label in ("slow-0.0001", "fast-0.01") for seed in (0, 1)),
        "experiment.json",
        "experiment.svg",
    }
    for label, variant in FAST_OR_SLOW.variants.items():
        for seed in range(2):
            run = Run(out / f"{plain(label)}-{seed}")
            assert run.finished
            assert (run.recipe.seed, run.recipe.lr, run.recipe.epochs) == (seed, variant.knobs["lr"], 2)
            assert run.recipe.origin["lr"] == "experiment fast-or-slow"
            assert results.table.of(label, "loss").each[seed] == run.history[-1]["train"]["loss"]


def test_the_table_is_mean_and_deviation_over_the_seeds(done: tuple[Path, Results]):
    row = done[1].table.of("fast, 0.01", "loss")
    each = torch.tensor(row.each, dtype=torch.float64)
    assert row.n == 2
    assert row.mean == pytest.approx(each.mean().item())
    assert row.deviation == pytest.approx(each.std().item())
    assert done[1].table.mean("fast, 0.01", "loss") < done[1].table.mean("slow, 0.0001", "loss")


def test_a_run_is_the_one_that_training_alone_gives(done: tuple[Path, Results], tmp_path: Path):
    alone = didact.fit("mlp", out=tmp_path / "alone", seed=1, lr=0.01, **SMALL)
    assert done[1].table.of("fast, 0.01", "loss").each[1] == alone.history[-1]["train"]["loss"]


def test_what_is_written_is_what_is_returned(done: tuple[Path, Results]):
    out, results = done
    written = json.loads((out / "experiment.json").read_text())
    assert written == json.loads(json.dumps(results.to_dict()))
    assert Table.from_dict(written["table"]) == results.table
    assert FAST_OR_SLOW.verdict(Table.from_dict(written["table"])) == written["verdict"] == results.verdict
    assert written["curves"]["fast, 0.01"][1][-1] == [2, results.table.of("fast, 0.01", "loss").each[1]]
    assert (out / "experiment.svg").read_text().rstrip().endswith("</svg>")
    assert results.verdict in str(results)


def test_finished_runs_are_found_again(
    done: tuple[Path, Results], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def train(*_: object, **__: object) -> None:
        raise AssertionError("trained once more")

    monkeypatch.setattr("didact.train.fit.fit_recipe", train)
    assert run_experiment(FAST_OR_SLOW, done[0]).table == done[1].table


def test_a_stopped_experiment_goes_on_to_the_same_end(done: tuple[Path, Results], tmp_path: Path):
    """Stopped in the middle of the third run: the first two are kept, the third is resumed."""
    from didact.train import fit as training
    from didact.train.loop import Loop

    epochs = {"count": 0}
    close = Loop.close_epoch

    def close_and_stop(loop: Loop) -> None:
        epochs["count"] += 1
        loop.stop_asked = epochs["count"] == 5
        close(loop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "close_epoch", close_and_stop)
        with pytest.raises(training.Interrupted):
            run_experiment(FAST_OR_SLOW, tmp_path)
    assert [Run(tmp_path / name).finished for name in ("slow-0.0001-0", "fast-0.01-0", "slow-0.0001-1")] == [
        True,
        True,
        False,
    ]
    assert not (tmp_path / "experiment.json").exists()
    assert run_experiment(FAST_OR_SLOW, tmp_path).table == done[1].table


def test_the_beginnings_of_a_run_that_was_killed_are_no_obstacle(tmp_path: Path):
    """A run is one once its recipe is written, which is last; what else lies there is left alone."""
    begun = tmp_path / "slow-0.0001-0"
    begun.mkdir()
    (begun / "facts.json").write_text("{}")
    assert run_experiment(FAST_OR_SLOW, tmp_path, seeds=1).seeds == 1
    other = tmp_path / "other" / "slow-0.0001-0"
    other.mkdir(parents=True)
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="holds something else already"):
        run_experiment(FAST_OR_SLOW, tmp_path / "other", seeds=1)
    assert (other / "thesis.txt").read_text() == "years of work"


def test_settings_apply_to_all_variants(tmp_path: Path):
    results = run_experiment(FAST_OR_SLOW, tmp_path, seeds=1, settings={"epochs": "1", "widths": "4"})
    for path in tmp_path.glob("*-0"):
        recipe = Run(path).recipe
        assert (recipe.epochs, recipe.model_args["widths"]) == (1, (4,))
    assert [row.n for row in results.table if row.number == "loss"] == [1, 1]
    assert results.table.of("fast, 0.01", "loss").deviation is None


def test_progress_goes_to_standard_error(done: tuple[Path, Results], capsys: pytest.CaptureFixture[str]):
    run_experiment(FAST_OR_SLOW, done[0], quiet=False)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[0].startswith("1 of 4: slow, 0.0001, seed 0: accuracy ")
    run_experiment(FAST_OR_SLOW, done[0])
    assert tuple(capsys.readouterr()) == ("", "")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": 0}, "^seeds=0: at least 1"),
        ({"settings": {"seed": "4"}}, "^seed=4: an experiment takes its seeds from 0 on"),
        ({"settings": {"epoch": "4"}}, "did you mean 'epochs'"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_written(tmp_path: Path, given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        run_experiment(FAST_OR_SLOW, tmp_path / "new", **given)
    assert not (tmp_path / "new").exists()


def test_runs_of_another_recipe_are_not_taken_for_these(done: tuple[Path, Results]):
    before = (done[0] / "experiment.json").read_bytes()
    with pytest.raises(RunError, match="was trained by another recipe; choose another --out"):
        run_experiment(FAST_OR_SLOW, done[0], settings={"epochs": "3"})
    with pytest.raises(RunError, match="holds the experiment fast-or-slow; choose another --out"):
        run_experiment(replace(FAST_OR_SLOW, name="other"), done[0])
    assert (done[0] / "experiment.json").read_bytes() == before


def test_a_run_that_diverges_counts_as_a_run_without_numbers(tmp_path: Path):
    wild = {**SMALL, "optimizer": "sgd", "lr": 1e30}
    variants = {"wild": Variant("mlp", wild), "tame": FAST_OR_SLOW.variants["fast, 0.01"]}
    diverging = replace(
        FAST_OR_SLOW, variants=variants, verdict=lambda table: str(table.of("wild", "loss")), over=""
    )
    for _ in range(2):  # again: it diverges once more, and nothing else is trained
        results = run_experiment(diverging, tmp_path, seeds=1)
        assert results.table.of("wild", "loss") == Row("wild", "loss", None, None, 0, (None,))
        assert results.verdict == "none"
        assert math.isnan(results.table.mean("wild", "loss"))
        assert results.table.of("tame", "loss").n == 1


def test_pictures_are_files_in_the_folder(done: tuple[Path, Results]):
    from didact.draw.scatter import draw_scatter

    drawn = replace(FAST_OR_SLOW, pictures=lambda run: {"scatter": draw_scatter([1.0], [run.recipe.lr], "x")})
    run_experiment(drawn, done[0])
    assert (done[0] / "scatter.png").read_bytes().startswith(b"\x89PNG")
    (done[0] / "scatter.png").unlink()


# Numbers


def test_a_summary_is_over_what_there_is():
    assert summary("a", "x", [1.0, 3.0, None]) == Row(
        "a", "x", 2.0, pytest.approx(math.sqrt(2)), 2, (1.0, 3.0, None)
    )
    assert summary("a", "x", [5.0]) == Row("a", "x", 5.0, None, 1, (5.0,))
    assert summary("a", "x", [math.nan]).mean is None


@pytest.mark.parametrize(
    ("each", "words"),
    [
        ([0.9, 0.8], "0.850 ± 0.071"),
        ([12.0, None, 14.0], "13.0 ± 1.4 (2 of 3)"),
        ([1200.0, 1500.0], "1350 ± 212"),
        ([0.7, 0.7], "0.7000"),
        ([0.5], "0.5000"),
        ([None, None], "none"),
    ],
)
def test_a_row_in_words(each: list[float | None], words: str):
    assert str(summary("a", "x", each)) == words


class Curve:
    """The part of a run that the curves read."""

    def __init__(self, losses: list[float]):
        self.curve = [{"step": 2 * k, "train": {"loss": loss}} for k, loss in enumerate(losses, 1)]


def test_updates_until_a_level_are_counted_on_the_mean_of_a_window():
    """One good batch is not enough: of 1, 1, ... with a single 0 the mean of ten is 0.9."""
    losses = [1.0] * 12 + [0.0] + [1.0] * 12 + [0.0] * 12
    run: Any = Curve(losses)
    assert updates_until(run, 0.85) == 2 * (25 + 2)  # two zeros among the last ten
    assert updates_until(run, 0.95) == 2 * 13
    assert updates_until(run, -1.0) is None
    step, value = loss_by_update(run)[-1]
    assert (step, value) == (2 * len(losses), 0.0)
    assert len(loss_by_update(run)) == len(losses) - WINDOW + 1


def test_below_wants_every_seed_apart():
    rows = {"a": [1.0, 2.0], "b": [3.0, 4.0], "c": [2.5, 3.5], "d": [None, 5.0], "e": [None, None]}
    table = Table(tuple(summary(label, "x", each) for label, each in rows.items()))
    assert table.below("a", "b", "x")
    assert not table.below("b", "a", "x")
    assert not table.below("c", "b", "x")  # the means are apart, the seeds are not
    assert table.below("a", "d", "x")  # what diverged is worse than any
    assert not table.below("d", "a", "x")
    assert not table.below("e", "e", "x")


# The list


@every_experiment
def test_experiment_is_complete(experiment: Experiment):
    assert EXPERIMENTS[experiment.name] is experiment
    assert experiment.question.endswith("?")
    assert "notes" in experiment.source
    assert experiment.claim
    assert experiment.seeds == 3
    folders = [plain(label) for label in experiment.variants]
    assert len(set(folders)) == len(folders)
    assert all(variant.model in CATALOG for variant in experiment.variants.values())
    assert experiment.over in ("", *experiment.numbers)
    assert bool(experiment.over) == all(variant.at is not None for variant in experiment.variants.values())


@every_experiment
def test_the_recipes_of_an_experiment_can_be_made(experiment: Experiment):
    for variant in experiment.variants.values():
        recipe = make_recipe(variant.model, given=variant.knobs)
        assert recipe.data == "digits"


def invented(experiment: Experiment, value: float | None) -> Table:
    """A table in which every number is the same."""
    pairs = [(label, name) for label in experiment.variants for name in experiment.numbers]
    return Table(tuple(summary(label, name, [value] * experiment.seeds) for label, name in pairs))


@every_experiment
@pytest.mark.parametrize("value", [None, 0.5])
def test_a_verdict_is_one_sentence_whatever_was_measured(experiment: Experiment, value: float | None):
    """Nothing measured, or all the same: no claim is seen then, but for shapes and for what may not help."""
    verdict = experiment.verdict(invented(experiment, value))
    assert verdict.endswith(".")
    assert "\n" not in verdict
    if experiment.name != "dropout":
        assert not verdict.startswith("Seen")


@pytest.mark.parametrize("name", ["relu-tanh", "RELU_TANH"])
def test_an_experiment_is_found_by_its_name(name: str):
    assert find_experiment(name).name == "relu-tanh"


def test_an_unknown_experiment_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'degradation'"):
        find_experiment("degradatoin")


# Verdicts


def changed(table: Table, **means: list[float | None]) -> Table:
    """A table whose first number is another: ``changed(table, **{"plain 18": [1.0, 1.0, 1.0]})``."""
    number = table.numbers[0]
    rows = [
        summary(row.variant, number, means[row.variant])
        if row.variant in means and row.number == number
        else row
        for row in table
    ]
    return Table(tuple(rows))


def test_degradation_is_seen_only_where_the_seeds_do_not_overlap():
    experiment = EXPERIMENTS["degradation"]
    flat = invented(experiment, 0.01)
    deep = changed(flat, **{"plain 101": [2.3, 2.2, 2.3]})
    assert experiment.verdict(deep).startswith("Seen of plain networks, not seen of residual ones: ")
    mixed = changed(deep, **{"plain 101": [2.3, 2.2, 0.005]})
    assert experiment.verdict(mixed).startswith("Not seen of plain networks, not")
    better = changed(deep, **{"residual 101": [0.009, 0.008, 0.009]})
    assert experiment.verdict(better).startswith("Seen of plain networks, seen of residual ones")


def test_batch_norm_is_judged_by_the_highest_rate_at_which_every_seed_learns():
    experiment = EXPERIMENTS["batch-norm"]
    low = invented(experiment, 0.5)
    table = changed(
        low, **{"without 0.001": [0.9] * 3, "with 0.001": [0.9] * 3, "with 0.03": [0.9, 0.9, 0.1]}
    )
    verdict = experiment.verdict(table)
    assert verdict.startswith("Not seen of higher rates, not seen of learning faster: ")
    verdict = experiment.verdict(changed(table, **{"with 0.01": [0.9, 0.8, 0.9]}))
    assert verdict.startswith("Seen of higher rates, not seen of learning faster: ")
    assert "up to a rate of 0.01 with normalisation and up to 0.001 without" in verdict
    rows = tuple(
        summary(row.variant, row.number, [0.01] * 3)
        if (row.variant, row.number) == ("with 0.001", "training loss")
        else row
        for row in table
    )
    assert ", seen of learning faster: " in experiment.verdict(Table(rows))


def test_relu_is_compared_at_the_best_rate_of_each():
    experiment = EXPERIMENTS["relu-tanh"]
    table = invented(experiment, None)
    table = changed(
        table,
        **{
            "relu 0.01": [50, 50, 50],
            "relu 0.03": [10, 10, None],  # not every seed comes there: that rate does not count
            "tanh 0.03": [350, 350, 350],
            "sigmoid 0.1": [400, 400, 400],
        },
    )
    verdict = experiment.verdict(table)
    assert verdict.startswith("Seen: ")
    assert "relu needs 50 updates (rate 0.01)" in verdict
    assert "a factor of 7," in verdict
    assert experiment.verdict(changed(table, **{"tanh 0.03": [100] * 3})).startswith("Not seen in full")


def test_vit_is_judged_by_its_gap_at_both_ends():
    experiment = EXPERIMENTS["vit-cnn"]
    table = changed(invented(experiment, 0.9), **{"ViT 100": [0.5] * 3})
    assert experiment.verdict(table).startswith(
        "Seen that ViT starts behind and catches up: it is 0.400 behind"
    )
    assert "it does not pass it" in experiment.verdict(changed(table, **{"ViT 1079": [0.8] * 3}))
    assert "it passes it there" in experiment.verdict(changed(table, **{"ViT 1079": [0.95] * 3}))
    wider = changed(table, **{"ViT 1079": [0.2] * 3})
    assert experiment.verdict(wider).startswith("Not seen")


def test_dropout_of_single_numbers_helps_only_beyond_the_spread():
    experiment = EXPERIMENTS["dropout"]
    table = invented(experiment, 0.9)
    assert experiment.verdict(table).startswith("Seen")
    assert experiment.verdict(changed(table, **{"single numbers": [0.92, 0.921, 0.92]})).startswith(
        "Not seen"
    )
    assert experiment.verdict(changed(table, **{"single numbers": [0.95, 0.88, 0.9]})).startswith("Seen")


# Examples 2 and 3 of the notes


def test_the_start_of_a_run_is_drawn_again(tmp_path: Path):
    """After updates too small to be seen the weights are those that the seed drew."""
    still = {"optimizer": "sgd", "lr": 1e-12, "epochs": 1, "width": 0.25, "image_size": 8, "augment": ()}
    run = didact.fit("mnist-cnn", out=tmp_path / "run", seed=3, **still)
    for before, after in zip(start(run).parameters(), run.model.parameters(), strict=True):
        torch.testing.assert_close(before, after)


def test_example_2_is_three_filters_and_a_pooling():
    """cnn-ex2, W3: 28x28 to 3x26x26 to 3x13x13; a ramp along columns gives w1 8, w2 0, along rows 0, -8."""
    columns = torch.arange(28.0).expand(28, 28)
    maps, pooled = fixed_filters(columns)
    assert (maps.shape, pooled.shape) == ((3, 26, 26), (3, 13, 13))
    assert (maps[0] == 8).all()
    assert (maps[1] == 0).all()
    rows_maps, _ = fixed_filters(columns.T)
    assert (rows_maps[0] == 0).all()
    assert (rows_maps[1] == -8).all()
    assert (fixed_filters(torch.ones(28, 28))[0][:, 0, 0] == torch.tensor([0.0, 0.0, 33.0])).all()
    assert pooled[2, 0, 0] == maps[2, :2, :2].max()
