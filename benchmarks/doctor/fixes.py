"""Printed fixes, applied and trained again: what share of the gap do they win back?

    python benchmarks/doctor/fixes.py                 every spoiled recipe on three seeds: some minutes
    python benchmarks/doctor/fixes.py --only O01 R02 --seeds 1

A recipe is trained as it should be and spoiled by one knob; `heal` then trains the spoiled one again as the
doctor says. A row counts what the validation metric was before and after, and the share of the gap to the
healthy run that is gone. A spoiled run within a twentieth of the healthy one is left out. Writes
results/doctor_fixes.json.
"""

import argparse
import json
import os
import statistics
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import run
import torch

import didact
from didact.train.fit import fit_recipe
from didact.train.heal import heal
from didact.train.nonfinite import NonFiniteError
from didact.train.recipe import make_recipe
from didact.train.run import Run

RESULT = run.RESULT.with_name("doctor_fixes.json")
WORSE = 0.05  # of the healthy run's metric


@dataclass(frozen=True)
class Spoiled:
    """A recipe, and the knob that spoils it.

    Attributes:
        code: What the doctor should say.
        usual: Knobs of the healthy recipe.
        knob: What is turned.
    """

    code: str
    model: str
    data: str
    usual: dict[str, Any] = field(default_factory=dict)
    knob: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        knobs = ", ".join(f"{name}={value}" for name, value in self.knob.items())
        return f"{self.code} {self.model} {self.data}: {knobs}"


SGD = {"optimizer": "sgd", "lr": 0.05, "epochs": 15}
STEP = {"schedule": "step", "step_epochs": 1, "decay": 0.01}
LENET = {"epochs": 8}
SPOILED = (
    Spoiled("O01", "mlp", "digits", SGD, {"lr": 5.0}),
    Spoiled("O01", "lenet5", "digits", LENET, {"lr": 0.3}),
    Spoiled("O01", "mlp", "wine", SGD | {"epochs": 40}, {"lr": 20.0}),
    Spoiled("O02", "mlp", "digits", SGD, {"lr": 5e-5}),
    Spoiled("O02", "lenet5", "digits", LENET, {"lr": 1e-6}),
    Spoiled("O02", "mlp", "diabetes", {"epochs": 40}, {"lr": 1e-6}),
    Spoiled("O03", "mlp", "digits", SGD, {"momentum": 0.998}),
    Spoiled("O04", "mlp", "digits", {"epochs": 20}, STEP),
    Spoiled("O04", "lenet5", "digits", LENET, STEP | {"decay": 1e-3}),
    Spoiled("O07", "mlp", "digits", SGD | {"lr": 0.01, "widths": (64,) * 10, "init": "he"}, {"init": "own"}),
    Spoiled("O08", "mlp", "diabetes", {"optimizer": "sgd", "lr": 0.01, "epochs": 40}, {"lr": 20.0}),
    Spoiled("O11", "mlp", "digits", SGD, {"clip_norm": 1e-3}),
    Spoiled("O11", "lenet5", "digits", SGD | LENET, {"clip_norm": 1e-4}),
    Spoiled("I02", "mlp", "digits", SGD | {"widths": (64,) * 4, "init": "he"}, {"init": "normal"}),
    Spoiled("P01", "softmax-regression", "wine", {"epochs": 40}, {"standardise": False}),
    Spoiled("P01", "mlp", "breast-cancer", SGD | {"epochs": 30}, {"standardise": False}),
    Spoiled("R01", "mlp", "diabetes", {"epochs": 60, "lr": 0.01}, {"keep": "last"}),
    Spoiled("R02", "mlp", "digits", {"epochs": 20}, {"weight_decay": 10.0}),
    Spoiled("R02", "lenet5", "digits", LENET, {"weight_decay": 10.0}),
    Spoiled("R03", "mlp", "digits", SGD | {"epochs": 40, "lr": 0.002}, {"epochs": 2}),
)


def mend(case: Spoiled, seed: int, folder: Path) -> dict[str, Any] | None:
    """One spoiled recipe from one seed; None where the knob did no harm."""
    whole = didact.fit(case.model, case.data, out=folder / "whole", seed=seed, **case.usual)
    healthy = whole.scores["val"][whole.task.metric]
    given = case.usual | case.knob | {"seed": seed}
    with suppress(NonFiniteError):
        fit_recipe(make_recipe(case.model, case.data, given=given), folder / "spoiled")
    healed = heal(folder / "spoiled", baseline=healthy)
    if healed.before is not None and abs(healthy - healed.before) < WORSE * abs(healthy):
        return None
    findings = Run(folder / "spoiled").diagnosis["findings"]
    return {
        "case": case.name,
        "seed": seed,
        "metric": healed.metric,
        "first": findings[0]["code"] if findings else "",
        "changes": healed.change,
        "healthy": healthy,
        "before": healed.before,
        "after": healed.after,
        "recovered": healed.recovered,
        "verdict": healed.run.diagnosis["verdict"],
    }


def _as_good(row: dict[str, Any]) -> bool:
    near = abs(row["after"] - row["healthy"]) <= WORSE * abs(row["healthy"])
    return near or (row["recovered"] or 0.0) >= 1


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Over all runs that a knob spoiled."""
    back = [row["after"] is not None and _as_good(row) for row in rows]
    known = [row["recovered"] for row in rows if row["recovered"] is not None]
    return {
        "runs": len(rows),
        "named first": round(sum(row["case"].split()[0] == row["first"] for row in rows) / len(rows), 4),
        "as good as healthy": round(sum(back) / len(rows), 4),
        "healthy again": round(sum(row["verdict"] == "healthy" for row in rows) / len(rows), 4),
        "median share recovered": round(statistics.median(known), 4),
        "least share recovered": round(min(known), 4),
    }


def main() -> None:
    """Spoil, heal, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", help="codes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for case in SPOILED:
        for seed in range(options.seeds if not options.only or case.code in options.only else 0):
            with tempfile.TemporaryDirectory() as folder:
                row = mend(case, seed, Path(folder))
            if row is None:
                print(f"{case.name} ({seed}): no harm")
                continue
            rows.append(row)
            share = "" if row["recovered"] is None else f", {row['recovered']:.0%} back"
            numbers = " -> ".join("NaN" if row[k] is None else f"{row[k]:.3f}" for k in ("before", "after"))
            print(f"{case.name} ({seed}): {row['first']}; {row['changes']}: {numbers}{share}", flush=True)
    result = run.circumstances() | {"seeds": options.seeds, "total": summary(rows), "runs": rows}
    print(json.dumps(result["total"], indent=1))
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
