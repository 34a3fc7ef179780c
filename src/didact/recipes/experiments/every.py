"""All experiments, in course order."""

from collections.abc import Mapping
from types import MappingProxyType

from didact.errors import UsageError, suggest
from didact.recipes.experiment import Experiment
from didact.recipes.experiments.batch_norm import BATCH_NORM
from didact.recipes.experiments.degradation import DEGRADATION
from didact.recipes.experiments.dropout import DROPOUT
from didact.recipes.experiments.filters import FILTERS
from didact.recipes.experiments.learning_algorithms import LEARNING_ALGORITHMS
from didact.recipes.experiments.relu_tanh import RELU_TANH
from didact.recipes.experiments.vit_cnn import VIT_CNN

EXPERIMENTS: Mapping[str, Experiment] = MappingProxyType(
    {
        experiment.name: experiment
        for experiment in (
            LEARNING_ALGORITHMS,
            RELU_TANH,
            FILTERS,
            DROPOUT,
            BATCH_NORM,
            DEGRADATION,
            VIT_CNN,
        )
    }
)


def find_experiment(name: str) -> Experiment:
    """Look an experiment up; hyphens, underscores and case do not matter.

    Raises:
        UsageError: No such experiment; the message suggests the nearest name.
    """
    key = name.lower().replace("_", "-")
    if key not in EXPERIMENTS:
        raise UsageError(f"unknown experiment {name!r}; {suggest(key, EXPERIMENTS)}")
    return EXPERIMENTS[key]
