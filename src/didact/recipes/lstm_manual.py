"""An LSTM writes like Python's manual, and foresees it better than counting can.

command   didact train lstm --data manual
time      @TIME@
expect    @EXPECT@
"""

from typing import Any

from didact.train.fit import fit
from didact.train.run import Run


def lstm_manual(**changes: Any) -> Run:
    """Train it; ``changes`` are knobs of the recipe, or ``out``."""
    return fit("lstm", "manual", **changes)
