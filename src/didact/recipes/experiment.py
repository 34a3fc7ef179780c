"""An experiment: the same question put to several variants of a training run, with several seeds each.

A claim of the lectures becomes something to run. ``run_experiment`` trains every variant with every seed,
measures each finished run, and says in one sentence whether the claim is seen here, with the numbers and
their spread.

    out/LABEL-SEED/       the runs, folders like any other
    out/experiment.json   what was measured, the curves, the verdict
    out/experiment.svg    the curves over one another, mean over the seeds and the band from lowest to highest
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from didact.errors import RunError, UsageError
from didact.recipes.measures import Points
from didact.recipes.table import Numbers, Table, summary
from didact.train.recipe import Recipe, make_recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from didact.train.run import Run

BEGINNINGS = ("facts.json", "data.json", "environment.json")  # of a run killed before it was one


@dataclass(frozen=True)
class Variant:
    """One way to do it.

    Attributes:
        model: A name of the catalogue.
        knobs: Changes to its recipe.
        line: Variants of one line are drawn in one colour.
        at: Where on its line it stands, when the numbers are drawn over something: a depth, a rate, a size.
    """

    model: str
    knobs: Mapping[str, Any] = field(default_factory=dict)
    line: str = ""
    at: float | None = None


@dataclass(frozen=True)
class Experiment:
    """A question, the runs that answer it, and how the answer is read.

    Attributes:
        name: What it is called on the command line.
        question: One line.
        source: The section of the notes.
        claim: What the notes say.
        variants: By label, in the order in which they are shown.
        numbers: What is measured, in the order of the table.
        measure: These numbers of a finished run.
        verdict: One sentence: whether the claim is seen here, with the numbers and their spread.
        minutes: Of all variants and seeds, on one core.
        curve: The curve of a run; that of training loss by epoch, usually.
        x_label, y_label: What the axes of the curves are called.
        over: The number that is drawn over the places of the variants on their lines; none by default.
        at_label: What those places are.
        at_log: Draw the places on a logarithmic axis.
        seeds: How many, from 0.
        pictures: What else there is to draw of the first variant's first run, by the name of the file.
    """

    name: str
    question: str
    source: str
    claim: str
    variants: Mapping[str, Variant]
    numbers: tuple[str, ...]
    measure: "Callable[[Run], Numbers]"
    verdict: Callable[[Table], str]
    minutes: float
    curve: "Callable[[Run], Points]"
    x_label: str = "epoch"
    y_label: str = "training loss"
    over: str = ""
    at_label: str = ""
    at_log: bool = False
    seeds: int = 3
    pictures: "Callable[[Run], Mapping[str, Figure]] | None" = None


@dataclass(frozen=True)
class Results:
    """What came of an experiment.

    Attributes:
        seeds: How many were run, from 0.
        table: The numbers.
        curves: By label, the curve of each seed.
    """

    experiment: Experiment
    seeds: int
    table: Table
    curves: Mapping[str, Sequence[Points]]

    @property
    def verdict(self) -> str:
        """One sentence."""
        return self.experiment.verdict(self.table)

    def plot(self) -> "Figure":
        """The curves of the variants over one another; beside them, where asked, a number by place."""
        from didact.draw.experiment import draw_experiment

        asked, variants = self.experiment, self.experiment.variants
        over: dict[str, list[tuple[float, list[float]]]] = {}
        for label, variant in variants.items():
            if asked.over and variant.at is not None:
                values = [v for v in self.table.of(label, asked.over).each if v is not None]
                over.setdefault(variant.line, []).append((variant.at, values))
        return draw_experiment(
            self.curves,
            lines={label: variant.line for label, variant in variants.items()},
            x_label=asked.x_label,
            y_label=asked.y_label,
            over=over,
            over_label=asked.over,
            at_label=asked.at_label,
            at_log=asked.at_log,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        asked = self.experiment
        return {
            "experiment": asked.name,
            "question": asked.question,
            "source": asked.source,
            "claim": asked.claim,
            "seeds": self.seeds,
            "verdict": self.verdict,
            "table": [{**vars(row), "each": list(row.each)} for row in self.table],
            "curves": {label: [[list(p) for p in c] for c in each] for label, each in self.curves.items()},
        }

    def __str__(self) -> str:
        """A line a variant, a column a number, and the verdict."""
        names = self.table.numbers
        lines = [["", *names]]
        lines += [[v, *(str(self.table.of(v, name)) for name in names)] for v in self.table.variants]
        widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
        rows = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([*rows, "", f"claim    {self.experiment.claim}", f"verdict  {self.verdict}"])


def run_experiment(
    experiment: Experiment,
    out: str | Path | None = None,
    *,
    seeds: int | None = None,
    quiet: bool = True,
    settings: Mapping[str, str] | None = None,
) -> Results:
    """Train every variant with every seed, measure, draw and judge.

    Runs that are finished are taken as they are and one that was stopped goes on, so an experiment that was
    stopped is simply run again.

    Args:
        experiment: What to run.
        out: The folder; ``runs/experiment-NAME`` by default.
        seeds: How many, from 0; by default the experiment's own number.
        quiet: Say nothing of each run.
        settings: Knobs as text, for all variants alike: ``{"epochs": "2"}``.

    Raises:
        UsageError: A number of seeds below 1, an unknown knob.
        RunError: The folder holds runs of another recipe, or another experiment.
    """
    count = experiment.seeds if seeds is None else seeds
    if count < 1:
        raise UsageError(f"seeds={count}: at least 1 is needed")
    folder = Path(out) if out else Path("runs") / f"experiment-{experiment.name}"
    recipes = {
        label: [_recipe(experiment, label, seed, settings or {}) for seed in range(count)]
        for label in experiment.variants
    }
    _check_folder(folder, experiment)
    runs: dict[str, list[Run]] = {label: [] for label in recipes}
    for seed in range(count):
        for label in recipes:
            run = _trained(recipes[label][seed], folder / f"{plain(label)}-{seed}")
            runs[label].append(run)
            if not quiet:
                _say(run, label, seed, sum(map(len, runs.values())), count * len(recipes))
    results = _measured(experiment, count, runs)
    _write(results, folder, next(iter(runs.values()))[0])
    return results


def _recipe(experiment: Experiment, label: str, seed: int, settings: Mapping[str, str]) -> Recipe:
    if "seed" in settings:
        raise UsageError(f"seed={settings['seed']}: an experiment takes its seeds from 0 on, say how many")
    variant = experiment.variants[label]
    given = {**variant.knobs, "seed": seed}
    return make_recipe(variant.model, given=given, settings=settings, origin=f"experiment {experiment.name}")


def _check_folder(folder: Path, experiment: Experiment) -> None:
    from didact.train.files import read_json

    if not (folder / "experiment.json").exists():
        return
    held = read_json(folder / "experiment.json").get("experiment")
    if held != experiment.name:
        raise RunError(f"{folder} holds the experiment {held}; choose another --out")


def _trained(recipe: Recipe, directory: Path) -> "Run":
    """The run of a recipe: trained now, gone on with, or found. One that diverged is left unfinished."""
    from didact.train.fit import fit_recipe, resume
    from didact.train.nonfinite import NonFiniteError
    from didact.train.run import Run

    train = partial(fit_recipe, recipe, directory)
    if (directory / "recipe.json").exists():
        if replace(Run(directory).recipe, origin={}) != replace(recipe, origin={}):
            raise RunError(f"{directory} was trained by another recipe; choose another --out")
        train = partial(resume, directory)
    else:
        for name in BEGINNINGS:
            (directory / name).unlink(missing_ok=True)
    try:
        return train()
    except NonFiniteError:
        return Run(directory)


def _say(run: "Run", label: str, seed: int, done: int, total: int) -> None:
    came = run.headline() if run.finished else "diverged"
    print(f"{done} of {total}: {label}, seed {seed}: {came}", file=sys.stderr, flush=True)


def _measured(experiment: Experiment, seeds: int, runs: "Mapping[str, Sequence[Run]]") -> Results:
    found: dict[str, list[Numbers]] = {
        label: [experiment.measure(run) if run.finished else {} for run in each]
        for label, each in runs.items()
    }
    rows = [
        summary(label, name, [numbers.get(name) for numbers in each])
        for label, each in found.items()
        for name in experiment.numbers
    ]
    curves = {label: [experiment.curve(run) for run in each] for label, each in runs.items()}
    return Results(experiment, seeds, Table(tuple(rows)), curves)


def _write(results: Results, folder: Path, first: "Run") -> None:
    from didact.draw.style import to_png, to_svg
    from didact.train.files import write_bytes, write_json, write_text

    if results.experiment.pictures and first.finished:
        for name, figure in results.experiment.pictures(first).items():
            write_bytes(folder / f"{name}.png", to_png(figure))
    write_text(folder / "experiment.svg", to_svg(results.plot()))
    write_json(folder / "experiment.json", results.to_dict())  # last: with it, all of it is there


def plain(label: str) -> str:
    """A label as a part of a folder's name.

    Example:
        >>> plain("SGD, rate 0.1")
        'sgd-rate-0.1'
    """
    return re.sub(r"[^a-z0-9.]+", "-", label.lower()).strip("-.")
