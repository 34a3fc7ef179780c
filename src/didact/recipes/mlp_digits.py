"""One hidden layer reads handwritten digits.

command   didact train mlp --data digits
time      @TIME@
expect    @EXPECT@
"""

from typing import Any

from didact.train.fit import fit
from didact.train.run import Run


def mlp_digits(**changes: Any) -> Run:
    """Train it; ``changes`` are knobs of the recipe, or ``out``."""
    return fit("mlp", "digits", **changes)
