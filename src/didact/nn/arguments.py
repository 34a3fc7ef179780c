"""The rules of constructor arguments that many architectures share; a refusal names value, rule and fix."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from didact.errors import UsageError

Rule = tuple[Callable[[float], bool], str]  # what holds of a good value, and what to say of another

COUNT: Rule = (lambda value: value >= 1, "must be 1 or more")
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "in_channels": (COUNT[0], "must be 1 or more, try 3"),
        "num_classes": (COUNT[0], "must be 1 or more, try 10"),
        "dropout": (lambda value: 0 <= value < 1, "must be 0 or more and less than 1, try 0.2"),
        "width": (lambda value: 0 < value < float("inf"), "must be more than 0 and finite, try 0.25"),
    }
)


def check_arguments(**given: float) -> None:
    """Hold each argument to the rule of its name; one without a rule counts something.

    Example:
        >>> check_arguments(num_classes=10, dropout=0.5)

    Raises:
        UsageError: The first value that breaks its rule.
    """
    for name, value in given.items():
        holds, words = RULES.get(name, COUNT)
        if not holds(value):
            raise UsageError(f"{name}={value}: {words}")
