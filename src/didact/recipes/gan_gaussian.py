"""Example 1 of the notes: a generator learns to draw from N(1, 1).

command   didact train gan --data gaussian
time      @TIME@
expect    @EXPECT@
"""

from typing import Any

from didact.train.fit import fit
from didact.train.run import Run


def gan_gaussian(**changes: Any) -> Run:
    """Train it; ``changes`` are knobs of the recipe, or ``out``."""
    return fit("gan", "gaussian", **changes)
