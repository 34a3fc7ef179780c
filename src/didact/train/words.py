"""A run in words: its outcome in a sentence, what each number means, how to read each figure."""

import math
from collections.abc import Callable
from typing import Any

from didact.tasks.exhibits import Confusion, Scatter
from didact.train.progress import in_time
from didact.train.run import Run

MEANING = {
    "loss": "what training descends; lower is better",
    "accuracy": "share of right answers",
    "macro_f1": "harmonic mean of precision and recall, averaged over the classes",
    "balanced_accuracy": "share of right answers within each class, averaged: rare classes count as much",
    "top5": "share of examples whose true class is among the five likeliest answers",
    "top5_error": "share of examples whose true class is not among them, as ImageNet's history is told",
    "rmse": "root mean squared error, in the target's own unit; lower is better",
    "mae": "mean absolute error, in the target's own unit; lower is better",
    "r2": "share of the variance explained; always answering the mean gives 0",
    "bits_per_token": "bits that an ideal coder would need for each token; lower is better",
    "perplexity": "equally likely choices that would leave as much doubt; lower is better",
    "wasserstein": "how far probability has to be moved to turn generated into real; lower is better",
    "mean": "mean of the generated samples",
    "std": "standard deviation of the generated samples",
    "d_real": "how real the discriminator finds real samples; ½ when it cannot tell",
    "d_fake": "how real the discriminator finds generated samples; ½ when it cannot tell",
}

READING = {
    "confusion": "A row for each true class, a column for each answer. Blue: right. Orange: mistakes, darker "
    "where a larger share of the class was mistaken so. Recall is the share of a class that was "
    "found, precision the share of such answers that were right.",
    "scatter": "A point for each test example. On the dashed line the answer is exact; a cloud that is "
    "flatter than the line belongs to a model that keeps close to the mean.",
    "distributions": "Filled: real test samples. Line: what the generator makes of noise. Both as densities, "
    "so that their areas are equal.",
}


def verdict(run: Run) -> str:
    """What was trained and how good it became, in a sentence or two."""
    cost = run.results["cost"]
    kept = f"kept the weights of epoch {cost['best_epoch']}, the best on the validation split"
    if run.recipe.keep == "last":
        kept = "kept the last weights"
    trained = f"It trained {count(cost['epochs'], 'epoch')} in {duration(cost['seconds'])} and {kept}."
    return f"{OUTCOMES.get(run.task.name, _outcome)(run)} {trained}"


def _outcome(run: Run) -> str:
    return f"On the test split: {run.headline()}."


def _outcome_classify(run: Run) -> str:
    matrix = next((e.matrix for e in run.exhibits if isinstance(e, Confusion)), [])
    total, right = sum(map(sum, matrix)), sum(row[i] for i, row in enumerate(matrix))
    if not total:
        return _outcome(run)
    commonest = max(map(sum, matrix))
    return (
        f"It names the right class for {right:,} of {count(total, 'test example')} that it had never "
        f"seen; always answering the commonest class would be right for {commonest:,}."
    )


def _outcome_regress(run: Run) -> str:
    scores = run.scores["test"]
    true = next((e.true for e in run.exhibits if isinstance(e, Scatter)), [])
    if not true:
        return _outcome(run)
    mean = sum(true) / len(true)
    spread = math.sqrt(sum((value - mean) ** 2 for value in true) / len(true))
    return (
        f"Its answers for {run.facts.target_name} are {number(scores['rmse'])} off on "
        f"{count(len(true), 'test example')} (root mean square); always answering their mean is "
        f"{number(spread)} off."
    )


def _outcome_language(run: Run) -> str:
    doubt = run.scores["test"]["perplexity"]
    return (
        f"Reading text that it had never seen, it is at each character as unsure as between "
        f"{number(doubt)} equally likely ones; knowing nothing would be {len(run.facts.vocabulary)}."
    )


def _outcome_adversarial(run: Run) -> str:
    scores = run.scores["test"]
    return (
        f"What it generates has mean {number(scores['mean'])} and standard deviation "
        f"{number(scores['std'])}, and lies {number(scores['wasserstein'])} from real test samples "
        "(Wasserstein distance)."
    )


OUTCOMES: dict[str, Callable[[Run], str]] = {
    "classify": _outcome_classify,
    "regress": _outcome_regress,
    "language": _outcome_language,
    "adversarial": _outcome_adversarial,
}


def how_to_read(run: Run) -> str:
    """How to read the curves."""
    if run.task.name == "adversarial":
        return (
            "Neither loss has to fall: two players that are equally strong hold each other. When the "
            "discriminator can no longer tell, it answers ½ to everything, and its loss is 1.386, "
            "twice the logarithm of 2."
        )
    return (
        "The validation split is scored after each epoch, without dropout and without random changes to "
        "its examples, so it may even do better than training. Where it turns worse while training goes "
        "on improving, the model overfits; where both still improve at the end, training stopped too "
        "early."
    )


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share after Wilson (1927), which keeps within 0 and 1."""
    z = 1.959964
    share = hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def number(value: float) -> str:
    """A score with the digits that matter: ``0.9861``, ``54.23``, ``12,345``, ``2.1e-05``."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    size = abs(value)
    if size >= 1000:
        text = f"{value:,.0f}"
    elif size >= 10:
        text = f"{value:.2f}"
    else:
        text = f"{value:.4f}" if size >= 1e-3 or size == 0 else f"{value:.1e}"
    return text.replace("-", "−") if "e" not in text else text


def duration(seconds: float) -> str:
    """A time as a person says it: ``3.2 s``, ``42 s``, ``3 min 20 s``."""
    return (f"{seconds:.1f} s" if seconds < 9.95 else in_time(seconds)).replace(" ", "\N{NO-BREAK SPACE}")


def count(size: int, what: str) -> str:
    """A number of things: ``1 epoch``, ``2 classes``, ``1,797 test examples``."""
    plural = "es" if what.endswith("s") else "s"
    return f"{size:,} {what}{'' if size == 1 else plural}"


def plain(metric: str) -> str:
    """A metric's name with spaces."""
    return metric.replace("_", " ")


def setting(value: Any) -> str:
    """A knob's value as it would be typed."""
    if isinstance(value, dict):
        return ",".join(f"{key}:{setting(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ",".join(setting(item) for item in value) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
