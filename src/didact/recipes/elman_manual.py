"""A simple recurrent network writes like Python's manual.

command   didact train elman --data manual
time      @TIME@
expect    @EXPECT@
"""

from typing import Any

from didact.train.fit import fit
from didact.train.run import Run


def elman_manual(**changes: Any) -> Run:
    """Train it; ``changes`` are knobs of the recipe, or ``out``."""
    return fit("elman", "manual", **changes)
