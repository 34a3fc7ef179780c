"""The bars: what each recipe must reach on the test split, as the mean over seeds.

``make bars`` runs them all and writes ``docs/bars.json``; the header of each recipe quotes it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from didact.recipes.elman_manual import elman_manual
from didact.recipes.gan_gaussian import gan_gaussian
from didact.recipes.lenet_digits import lenet_digits
from didact.recipes.lstm_manual import lstm_manual
from didact.recipes.mlp_diabetes import mlp_diabetes
from didact.recipes.mlp_digits import mlp_digits
from didact.recipes.softmax_docstrings import softmax_docstrings
from didact.recipes.softmax_iris import softmax_iris
from didact.train.run import Run


@dataclass(frozen=True)
class Bar:
    """A number of the test split, and the range its mean over the seeds must lie in.

    Attributes:
        recipe: Trains one run; takes ``seed`` and ``out``.
        metric: The number.
        seeds: How many seeds, from 0.
        at_least, at_most: The range; each seed must lie in it too where ``each`` is set.
    """

    recipe: Callable[..., Run]
    metric: str
    seeds: int
    at_least: float = float("-inf")
    at_most: float = float("inf")
    each: bool = False


BARS = (
    Bar(softmax_iris, "accuracy", 5, at_least=0.9),
    Bar(mlp_digits, "accuracy", 5, at_least=0.96),
    Bar(mlp_diabetes, "r2", 5, at_least=0.35),
    Bar(softmax_docstrings, "accuracy", 5, at_least=0.8),
    Bar(lenet_digits, "accuracy", 5, at_least=0.98),
    Bar(elman_manual, "bits_per_token", 3, at_most=2.3),
    Bar(lstm_manual, "bits_per_token", 3, at_most=1.9),
    Bar(gan_gaussian, "mean", 5, at_least=0.9, at_most=1.1, each=True),
    Bar(gan_gaussian, "std", 5, at_least=0.85, at_most=1.15, each=True),
)

CLASSIFIER_BAR, CLASSIFIER_SEEDS = 0.9, 3  # test accuracy of each image classifier on the digits
