"""How often to look, so that watching stays within a share of the run's time."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

DENSE = 50  # steps that are looked at closely, whatever it costs
FIRST = 10  # of which all; then every fifth
EVERY = 5


class Pace:
    """Keeps the time spent on looking below ``budget`` of the time that has passed.

    Args:
        budget: Share of the run's wall time, 0.03 by default.
    """

    def __init__(self, budget: float):
        self.budget = budget
        self.started = perf_counter()
        self.spent = 0.0

    def due(self, step: int) -> bool:
        """Whether to look closely at this step."""
        if step < DENSE:
            return step < FIRST or step % EVERY == 0
        return self.affordable()

    def affordable(self) -> bool:
        """Whether less than the budget has been spent so far."""
        return self.spent < self.budget * (perf_counter() - self.started)

    @contextmanager
    def clocked(self) -> Iterator[None]:
        """Count the time inside as spent."""
        begun = perf_counter()
        try:
            yield
        finally:
            self.spent += perf_counter() - begun
