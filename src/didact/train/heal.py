"""``heal``: train again with the recipe that the doctor advises, and keep the better run.

Only what is a matter of the recipe can be changed here: ``CHANGES`` says how, code by code. Everything else
(a loss that does not fit the data, a layer that is never called) is for a person to mend.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from didact.catalog import constructor_arguments
from didact.doctor.limits import LIMITS
from didact.errors import DidactError, UsageError
from didact.train.files import write_json
from didact.train.fit import fit_recipe, make_directory
from didact.train.nonfinite import NonFiniteError
from didact.train.recipe import Recipe
from didact.train.report import write_report
from didact.train.run import Run
from didact.train.words import number, setting

ROUNDS = 3
LONGEST = 8  # times as many epochs, at most, as the run had
LONGER = 4  # the same, where nobody knows how many would do
BATCH = 32  # examples that batch norm measures well
LIMIT = 1.0  # norm that an exploding gradient is cut to
DROPOUT = 0.2
ODD_MOMENTUM, MOMENTUM = 0.99, 0.9
SQUASHERS = {"sigmoid", "tanh", "identity"}  # activations that Xavier's weights are for

Finding = Mapping[str, Any]
Knobs = dict[str, Any]


@dataclass(frozen=True)
class Try:
    """One round: a change of the recipe, and what came of it.

    Attributes:
        code: Of the finding that the change is for.
        change: In words: ``lr 10 -> 1``.
        score: The validation metric of the run; None where it could not be trained to its end.
        verdict: Of the doctor, on the run.
        directory: Of the run.
    """

    code: str
    change: str
    score: float | None
    verdict: str
    directory: str


@dataclass(frozen=True)
class Healed:
    """What became of a run that was healed.

    Attributes:
        finding: What was healed first; empty where nothing can be.
        change: What the better run's recipe has changed, in words; or why nothing was.
        before: The validation metric of the first run; None where it could not be trained to its end.
        after: That of the better run.
        run: The better run, which may be the first.
        metric: What ``before`` and ``after`` count.
        baseline: What a healthy run would reach, where somebody knows.
        rounds: What was tried.
    """

    finding: Finding
    change: str
    before: float | None
    after: float | None
    run: Run
    metric: str
    baseline: float | None = None
    rounds: tuple[Try, ...] = ()

    @property
    def recovered(self) -> float | None:
        """Share of the gap between ``before`` and ``baseline`` that is gone; None where that is unknown."""
        if self.baseline is None or self.before is None or self.after is None:
            return None
        gap = self.baseline - self.before
        return (self.after - self.before) / gap if gap else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "finding": {key: self.finding[key] for key in ("code", "cause", "fix") if key in self.finding},
            "change": self.change,
            "metric": self.metric,
            "before": self.before,
            "after": self.after,
            "baseline": self.baseline,
            "recovered": self.recovered,
            "rounds": [vars(each) for each in self.rounds],
        }

    def __str__(self) -> str:
        if not self.rounds:
            return f"heal: {self.change}"
        lines = [
            f"heal: {each.code}: {each.change}: {_said(self.metric, each.score)}" for each in self.rounds
        ]
        share = "" if self.recovered is None else f", {self.recovered:.0%} of the gap"
        better = f"{_said(self.metric, self.before)} before, {_said('', self.after)} after{share}"
        return "\n".join([*lines, f"healed: {better}: {self.change}" if self.change else "heal: no better"])


def heal(
    run: Run | str | Path, *, baseline: float | None = None, quiet: bool = True, rounds: int = ROUNDS
) -> Healed:
    """Train again as the doctor advises, from the start, until it finds nothing that a recipe can mend.

    Args:
        run: A run that the doctor watched; it may have ended in NaN.
        baseline: What a healthy run would reach in the task's metric, to tell how much was recovered.
        quiet: Print no progress.
        rounds: How often at most.

    Returns:
        The better run by its validation split: never one that is worse than the first.

    Raises:
        UsageError: The doctor did not watch the run.
    """
    first = run if isinstance(run, Run) else Run(run)
    if not first.diagnosis:
        raise UsageError(
            f"{first.directory} has no diagnosis.json; train it with watch=true to have it healed"
        )
    tries: list[Try] = []
    best, current = first, first
    path: dict[Path, list[str]] = {first.directory: []}  # what was changed on the way to each run
    seen = [_compared(first.recipe)]
    while len(tries) < rounds:
        found = _untried(current, seen)
        if not found:
            break
        fresh = [pair for pair in found if all(pair[0] != each.code for each in tries)]
        code, recipe = (fresh or found)[0]
        seen.append(_compared(recipe))
        change, begun = _in_words(current.recipe, recipe), current
        current = _train(recipe, _beside(first.directory), quiet)
        path[current.directory] = [*path[begun.directory], change]
        verdict = current.diagnosis.get("verdict", "")
        tries.append(Try(code, change, _score(current), verdict, str(current.directory)))
        if _watched_score(current) < _watched_score(best):
            best = current
        elif current.finished:  # no better: from the better run on, with its next finding
            current = best
    return _concluded(first, best, path[best.directory], tries, baseline, quiet)


def fit_and_heal(recipe: Recipe, out: str | Path | None = None, *, quiet: bool = True) -> Run:
    """Train a recipe, and heal the run where that is needed.

    Raises:
        NonFiniteError: The loss became NaN or infinite, and no change of the recipe helped.
    """
    directory = make_directory(recipe, out)
    diverged: NonFiniteError | None = None
    try:
        run = fit_recipe(recipe, directory, quiet=quiet)
    except NonFiniteError as error:
        run, diverged = Run(directory), error
    except DidactError:
        if out is None:
            with suppress(OSError):  # it holds a run that can be resumed
                directory.rmdir()
        raise
    if not run.diagnosis or run.diagnosis["verdict"] == "healthy":
        return run
    healed = heal(run, quiet=quiet)
    if diverged and not healed.run.finished:
        raise diverged
    return healed.run


def healable(run: Run) -> Iterator[tuple[Finding, Knobs]]:
    """The findings that another recipe mends, with the knobs that do: causes first, then consequences.

    What was taken for a consequence may yet be the cause; what is a hint by itself is left alone.
    """
    for finding in run.diagnosis.get("findings", ()):
        if (finding["severity"] != "hint" or finding["because"]) and finding["code"] in CHANGES:
            knobs = CHANGES[finding["code"]](run.recipe, finding)
            if knobs:
                yield finding, knobs


def _untried(run: Run, seen: list[Recipe]) -> list[tuple[str, Recipe]]:
    """The recipes that a run's findings lead to and that were not trained yet, with the finding's code."""
    found = [(f["code"], _changed(run.recipe, knobs, f["code"])) for f, knobs in healable(run)]
    return [(code, recipe) for code, recipe in found if _compared(recipe) not in seen]


# From a code to a change of the recipe


def _lower_rate(recipe: Recipe, finding: Finding) -> Knobs:
    return {"lr": recipe.lr / 10}


def _higher_rate(recipe: Recipe, finding: Finding) -> Knobs:
    """By the factor that the doctor found: from the size of the updates."""
    return {"lr": recipe.lr * finding["evidence"].get("factor that would do", 10)}


def _usual_settings(recipe: Recipe, finding: Finding) -> Knobs:
    knobs: Knobs = {"betas": None} if recipe.betas else {}
    return knobs | ({"momentum": MOMENTUM} if (recipe.momentum or 0) >= ODD_MOMENTUM else {})


def _living_schedule(recipe: Recipe, finding: Finding) -> Knobs:
    """A rate that is not gone before the run has learned: constant, without a warm-up that never ends."""
    return (
        {"schedule": "constant"}
        if recipe.schedule != "constant"
        else {"warmup": 0.0}
        if recipe.warmup
        else {}
    )


def _clip(recipe: Recipe, finding: Finding) -> Knobs:
    """Both halves of the printed fix: cut the gradient, and lower the rate."""
    limit = min(recipe.clip_norm or LIMIT, LIMIT)
    return {"clip_norm": limit, "lr": recipe.lr / 10}


def _clip_less(recipe: Recipe, finding: Finding) -> Knobs:
    """At the 90th percentile of the norms."""
    usual = finding["evidence"].get("90th percentile of the norms")
    return {"clip_norm": usual} if recipe.clip_norm and usual else {}


def _first_weights(recipe: Recipe, finding: Finding) -> Knobs:
    """He's before rectifiers, else Xavier's; where weights were given, the network's own in their place."""
    if recipe.weights:
        return {"weights": None, "lr_scale": {}, "freeze": ()}
    given = _argument(recipe, "activation", "relu")
    names = {name.lower() for name in ([given] if isinstance(given, str) else given)}
    init = "xavier" if names & SQUASHERS else "he"
    return {"init": init} if recipe.init != init else {}


def _revive(recipe: Recipe, finding: Finding) -> Knobs:
    """Both halves of the printed fix; the first weights only where units were dead from the first."""
    unborn = finding["evidence"].get("when first measured", 0.0) >= LIMITS.dead
    return {"lr": recipe.lr / 10} | (_first_weights(recipe, finding) if unborn else {})


def _standardise(recipe: Recipe, finding: Finding) -> Knobs:
    given = not recipe.standardise or recipe.mean or recipe.std
    return {"standardise": True, "mean": (), "std": ()} if given else {}


def _less_regular(recipe: Recipe, finding: Finding) -> Knobs:
    """Less weight decay where that is what pulls, else less dropout."""
    dropout = _argument(recipe, "dropout", 0.0)
    if "weight decay" in finding["evidence"] and recipe.weight_decay:
        return {"weight_decay": recipe.weight_decay / 100}
    if isinstance(dropout, float) and dropout > DROPOUT:
        return {"model_args": recipe.model_args | {"dropout": DROPOUT}}
    return {"weight_decay": recipe.weight_decay / 100} if recipe.weight_decay else {}


def _argument(recipe: Recipe, name: str, absent: Any) -> Any:
    """What the recipe's network is built with; ``absent`` where it has no such argument."""
    known = constructor_arguments(recipe.model)
    return recipe.model_args.get(name, known[name].default if name in known else absent)


def _larger_batches(recipe: Recipe, finding: Finding) -> Knobs:
    return {"batch_size": BATCH} if recipe.batch_size < BATCH else {}


def _keep_the_best(recipe: Recipe, finding: Finding) -> Knobs:
    """Early stopping; where the best epoch's weights are kept, training again would change nothing."""
    return {"keep": "best"} if recipe.keep == "last" else {}


def _longer(recipe: Recipe, finding: Finding) -> Knobs:
    """As long as the doctor says, within reason; or without the patience that cut it short.

    A run of too few epochs to say it is begun again with some more.
    """
    unknown = 0 if recipe.patience else LONGER * recipe.epochs
    epochs = min(finding["evidence"].get("epochs that would do", unknown), LONGEST * recipe.epochs)
    knobs: Knobs = {"epochs": epochs} if epochs > recipe.epochs else {}
    return knobs | ({"patience": 0} if recipe.patience else {})


CHANGES: Mapping[str, Callable[[Recipe, Finding], Knobs]] = {
    "O01": _lower_rate,
    "O02": _higher_rate,
    "O03": _usual_settings,
    "O04": _living_schedule,
    "O08": _clip,
    "O11": _clip_less,
    "O07": _first_weights,
    "A02": _revive,
    "I02": _first_weights,
    "I03": _first_weights,
    "P01": _standardise,
    "R01": _keep_the_best,
    "R02": _less_regular,
    "R03": _longer,
    "R04": _larger_batches,
    "E05": _larger_batches,
}


# Runs


def _changed(recipe: Recipe, knobs: Knobs, code: str) -> Recipe:
    return replace(recipe, **knobs, origin=recipe.origin | dict.fromkeys(knobs, f"healed {code}"))


def _compared(recipe: Recipe) -> Recipe:
    """A recipe without where its values came from."""
    return replace(recipe, origin={})


def _in_words(before: Recipe, after: Recipe) -> str:
    """``lr 10 -> 1, clip_norm none -> 1``."""
    old, new = vars(before) | before.model_args, vars(after) | after.model_args
    changed = [k for k in new if k not in ("origin", "model_args") and old.get(k) != new[k]]
    return ", ".join(
        f"{k} {setting(old[k]) if k in old else 'default'} -> {setting(new[k])}" for k in changed
    )


def _train(recipe: Recipe, directory: Path, quiet: bool) -> Run:
    """A run, though it may end in NaN."""
    with suppress(NonFiniteError):
        return fit_recipe(recipe, directory, quiet=quiet)
    return Run(directory)


def _beside(directory: Path) -> Path:
    """The next directory beside the first run's that nobody has."""
    return next(path for path in _names(directory) if not path.exists())


def _names(directory: Path) -> Iterator[Path]:
    number = 1
    while True:
        yield directory.with_name(f"{directory.resolve().name}-healed-{number}")
        number += 1


def _watched_score(run: Run) -> float:
    """What the best weights are chosen by, lower is better; infinite where nothing was scored."""
    return run.scores["val"][run.task.watch] if run.finished else math.inf


def _score(run: Run) -> float | None:
    return run.scores["val"][run.task.metric] if run.finished else None


def _concluded(
    first: Run, best: Run, changes: list[str], tries: list[Try], baseline: float | None, quiet: bool
) -> Healed:
    """Say what came of it, and write it beside the better run."""
    grave = [finding for finding in first.diagnosis["findings"] if finding["severity"] != "hint"]
    told = "; then ".join(changes) if tries else _why_nothing(first.diagnosis["findings"])
    finding = next((f for f in grave if tries and f["code"] == tries[0].code), grave[0] if grave else {})
    scores = _score(first), _score(best)
    healed = Healed(finding, told, *scores, best, first.task.metric, baseline, tuple(tries))
    if best is not first:
        write_json(best.directory / "healed.json", healed.to_dict() | {"of": first.directory.name})
        write_report(best)
    if not quiet:
        _show(healed)
    return healed


def _why_nothing(findings: Sequence[Finding]) -> str:
    """Why no other recipe was tried."""
    for finding in findings:
        if finding["code"] == "R01" and not finding["because"]:
            return f"R01 {finding['cause']}: {finding['fix']}"
        if finding["severity"] != "hint":
            return f"{finding['code']} {finding['cause']}: no matter of the recipe; {finding['fix']}"
    return "nothing to heal"


def _show(healed: Healed) -> None:
    import sys

    print(healed, file=sys.stderr)


def _said(metric: str, score: float | None) -> str:
    return f"{metric} {number(score)}".strip() if score is not None else "not trained to its end"
