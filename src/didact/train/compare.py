"""Two runs side by side, where that is fair: same data, same augmentation (notes 001, VIII.1)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from didact.errors import RunError
from didact.train.run import Run
from didact.train.words import setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PREPARATION = ("augment", "image_size", "standardise")


@dataclass
class Comparison:
    """What two runs share and where they differ.

    Attributes:
        knobs: Each knob whose value differs, with both values.
        scores: Each number of the test split, with both values.
        costs: Each cost, with both values.
        histories: The validation metric after each epoch.
    """

    first: str
    second: str
    metric: str
    knobs: dict[str, tuple[Any, Any]]
    scores: dict[str, tuple[float, float]]
    costs: dict[str, tuple[float, float]]
    histories: tuple[list[float], list[float]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dict(vars(self))

    def plot(self) -> "Figure":
        """The validation metric of both, epoch by epoch."""
        from didact.draw.curves import draw_comparison

        return draw_comparison({self.first: self.histories[0], self.second: self.histories[1]}, self.metric)

    def __str__(self) -> str:
        rows = [("", self.first, self.second)]
        rows += [(f"test {name}", f"{a:.4f}", f"{b:.4f}") for name, (a, b) in self.scores.items()]
        rows += [(name, f"{a:,.6g}", f"{b:,.6g}") for name, (a, b) in self.costs.items()]
        rows += [(name, setting(a), setting(b)) for name, (a, b) in self.knobs.items()]
        widths = [max(len(row[k]) for row in rows) for k in range(3)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )


def compare(first: str | Path, second: str | Path) -> Comparison:
    """Compare two finished runs.

    Raises:
        RunError: They were not trained and tested on the same data, prepared and augmented alike; or one is
            not finished.
    """
    a, b = Run(first), Run(second)
    if a.facts.fingerprint != b.facts.fingerprint:
        raise RunError(
            f"{first} and {second} saw different data ({a.recipe.data} with seed {a.recipe.seed}, "
            f"{b.recipe.data} with seed {b.recipe.seed}); their scores do not compare"
        )
    for name in PREPARATION:
        one, other = getattr(a.recipe, name), getattr(b.recipe, name)
        if one != other and (name == "augment" or a.recipe.model == b.recipe.model):
            raise RunError(
                f"{name} differs ({one} against {other}); compare networks on the same data, made alike"
            )
    ours, theirs = a.to_dict(), b.to_dict()
    knobs = {k: (v, theirs["recipe"][k]) for k, v in ours["recipe"].items() if v != theirs["recipe"][k]}
    names = a.directory.name, b.directory.name
    if names[0] == names[1]:  # then only where they lie tells them apart
        names = str(a.directory), str(b.directory)
    return Comparison(
        *names,
        a.task.metric,
        knobs,
        {k: (v, b.scores["test"][k]) for k, v in a.scores["test"].items() if k in b.scores["test"]},
        {k: (v, theirs["cost"][k]) for k, v in ours["cost"].items()},
        ([r["val"][a.task.metric] for r in a.history], [r["val"][a.task.metric] for r in b.history]),
    )
