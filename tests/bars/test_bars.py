"""Every recipe reaches its bar. Minutes long: ``make bars``. What was measured is in docs/bars.json."""

import json
import re
import statistics
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from didact.recipes.bars import BARS, Bar
from didact.tasks.ngram import NGram

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "docs" / "bars.json"
RECIPES = {bar.recipe.__name__: bar.recipe for bar in BARS}


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_recipe_reaches_its_bars(name, tmp_path):
    bars = [bar for bar in BARS if bar.recipe.__name__ == name]
    runs = [RECIPES[name](seed=seed, out=tmp_path / str(seed)) for seed in range(bars[0].seeds)]
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {package: version(package) for package in ("didact", "torch")},
        "seeds": len(runs),
        "seconds": round(statistics.mean(run.results["cost"]["seconds"] for run in runs)),
        "processor": json.loads((runs[0].directory / "environment.json").read_text())["processor"],
        "scores": {},
    }
    for bar in bars:
        values = [run.scores["test"][bar.metric] for run in runs]
        record["scores"][bar.metric] = {
            "mean": round(statistics.mean(values), 4),
            "deviation": round(statistics.stdev(values), 4),
            "each": [round(value, 4) for value in values],
        }
    if runs[0].facts.target == "next":
        record["five_gram"] = [round(five_gram(run), 4) for run in runs]
    write(name, record)
    for bar in bars:
        holds(bar, record["scores"][bar.metric])
    if name == "lstm_manual":
        pairs = zip(record["scores"]["bits_per_token"]["each"], record["five_gram"], strict=True)
        assert all(bits < counted - 0.05 for bits, counted in pairs)


def holds(bar: Bar, score: dict) -> None:
    assert bar.at_least <= score["mean"] <= bar.at_most
    assert not bar.each or all(bar.at_least <= value <= bar.at_most for value in score["each"])


def five_gram(run) -> float:
    """Bits per character of a smoothed 5-gram of the same training text, on the same test text."""
    texts = {name: "\n\n".join(part.items) for name, part in run.data().raw.items()}
    return NGram(texts["train"], 5, len(run.facts.vocabulary)).bits(texts["test"])


def write(name: str, record: dict) -> None:
    measured = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    measured[name] = record
    MEASURED.write_text(json.dumps(dict(sorted(measured.items())), indent=2) + "\n")


@pytest.mark.parametrize("name", RECIPES)
def test_header_quotes_what_was_measured(name):
    record = json.loads(MEASURED.read_text())[name]
    header = Path(ROOT / "src/didact/recipes" / f"{name}.py").read_text().split('"""')[1]
    assert expectation(record) in re.sub(r"\s+", " ", header)


@pytest.mark.parametrize("bar", BARS, ids=lambda bar: f"{bar.recipe.__name__}-{bar.metric}")
def test_what_was_measured_reached_the_bar(bar):
    record = json.loads(MEASURED.read_text())[bar.recipe.__name__]
    assert record["seeds"] == bar.seeds
    holds(bar, record["scores"][bar.metric])


def expectation(record: dict) -> str:
    """The words of a recipe's header, from its record."""
    scores = ", ".join(
        f"{name} {s['mean']:.3f} +- {s['deviation']:.3f}" for name, s in record["scores"].items()
    )
    torch = record["versions"]["torch"].split("+")[0]
    return f"test {scores} (n = {record['seeds']}, torch {torch}, {record['date']})"
