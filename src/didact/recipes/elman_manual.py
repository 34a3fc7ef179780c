"""A simple recurrent network writes like Python's manual.

command   didact train elman --data manual
time      3 min on one core
expect    test bits_per_token 2.035 +- 0.180 (n = 3, torch 2.13.0, 2026-11-21)
          a smoothed 5-gram of the same text needs 1.792, 2.126, 1.873 bits,
          the network 1.888, 2.236, 1.981
"""

from typing import Any

from didact.train.fit import fit
from didact.train.run import Run


def elman_manual(**changes: Any) -> Run:
    """Train it; ``changes`` are knobs of the recipe, or ``out``."""
    return fit("elman", "manual", **changes)
