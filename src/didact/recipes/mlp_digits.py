"""One hidden layer reads handwritten digits.

command   didact train mlp --data digits
time      a second on one core
expect    test accuracy 0.972 +- 0.008 (n = 5, torch 2.13.0, 2026-11-21)
"""

from typing import Any

from didact.train.fit import fit
from didact.train.run import Run


def mlp_digits(**changes: Any) -> Run:
    """Train it; ``changes`` are knobs of the recipe, or ``out``."""
    return fit("mlp", "digits", **changes)
