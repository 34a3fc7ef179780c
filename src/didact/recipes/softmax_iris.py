"""Softmax regression tells three irises apart.

command   didact train softmax-regression --data iris
time      @TIME@
expect    @EXPECT@
"""

from typing import Any

from didact.train.fit import fit
from didact.train.run import Run


def softmax_iris(**changes: Any) -> Run:
    """Train it; ``changes`` are knobs of the recipe, or ``out``."""
    return fit("softmax-regression", "iris", **changes)
