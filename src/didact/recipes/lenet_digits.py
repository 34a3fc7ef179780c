"""LeNet-5 reads handwritten digits.

command   didact train lenet5 --data digits
time      @TIME@
expect    @EXPECT@
"""

from typing import Any

from didact.train.fit import fit
from didact.train.run import Run


def lenet_digits(**changes: Any) -> Run:
    """Train it; ``changes`` are knobs of the recipe, or ``out``."""
    return fit("lenet5", "digits", **changes)
