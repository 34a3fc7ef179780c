"""Every recipe reaches its bar. Minutes long: ``make bars``. What was measured is in docs/bars.json."""

import re
from pathlib import Path

import pytest
from records import read, record, write

from didact.recipes.bars import BARS, Bar
from didact.tasks.ngram import NGram

ROOT = Path(__file__).parents[2]
RECIPES = {bar.recipe.__name__: bar.recipe for bar in BARS}


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_recipe_reaches_its_bars(name, tmp_path):
    bars = [bar for bar in BARS if bar.recipe.__name__ == name]
    runs = [RECIPES[name](seed=seed, out=tmp_path / str(seed)) for seed in range(bars[0].seeds)]
    seconds = [run.results["cost"]["seconds"] for run in runs]
    entry = record(runs, [bar.metric for bar in bars], seconds)
    if runs[0].facts.target == "next":
        entry["five_gram"] = [round(five_gram(run), 4) for run in runs]
    write(name, entry)
    for bar in bars:
        holds(bar, entry["scores"][bar.metric])
    if name == "lstm_manual":
        pairs = zip(entry["scores"]["bits_per_token"]["each"], entry["five_gram"], strict=True)
        assert all(bits < counted - 0.05 for bits, counted in pairs)


def holds(bar: Bar, score: dict) -> None:
    assert bar.at_least <= score["mean"] <= bar.at_most
    assert not bar.each or all(bar.at_least <= value <= bar.at_most for value in score["each"])


def five_gram(run) -> float:
    """Bits per character of a smoothed 5-gram of the same training text, on the same test text."""
    texts = {name: "\n\n".join(part.items) for name, part in run.data().raw.items()}
    return NGram(texts["train"], 5, len(run.facts.vocabulary)).bits(texts["test"])


@pytest.mark.parametrize("name", RECIPES)
def test_header_quotes_what_was_measured(name):
    entry = read()[name]
    header = Path(ROOT / "src/didact/recipes" / f"{name}.py").read_text().split('"""')[1]
    assert expectation(entry) in re.sub(r"\s+", " ", header)


@pytest.mark.parametrize("bar", BARS, ids=lambda bar: f"{bar.recipe.__name__}-{bar.metric}")
def test_what_was_measured_reached_the_bar(bar):
    entry = read()[bar.recipe.__name__]
    assert entry["seeds"] == bar.seeds
    holds(bar, entry["scores"][bar.metric])


def expectation(entry: dict) -> str:
    """The words of a recipe's header, from its record."""
    scores = ", ".join(
        f"{name} {s['mean']:.3f} +- {s['deviation']:.3f}" for name, s in entry["scores"].items()
    )
    torch = entry["versions"]["torch"].split("+")[0]
    return f"test {scores} (n = {entry['seeds']}, torch {torch}, {entry['date']})"
