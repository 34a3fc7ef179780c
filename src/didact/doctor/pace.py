"""How often to look, so that watching stays within a share of the run's time."""

from time import perf_counter

DENSE = 50  # steps in which looks are certain, whatever they cost:
READ = 100  # updates whose rows are all noted
FIRST, EVERY = 8, 10  # at all of the first, then at every tenth
LATER = 1.4  # times as many updates as at the last look after those: another, whatever it costs
SURPRISES, LOOKS = 3, 12  # how often a loss that jumps is looked into, and how long


class Pace:
    """Keeps the time spent on watching below ``budget`` of the time that has passed.

    Args:
        budget: Share of the run's wall time, 0.03 by default.

    Attributes:
        spent: Seconds so far.
    """

    def __init__(self, budget: float):
        self.budget = budget
        self.started = perf_counter()
        self.spent = 0.0
        self.owed = 0  # looks that are due whatever they cost: something has happened
        self.later = float(DENSE)
        self.usual, self.high, self.surprises = 0.0, 0, 0

    def due(self, step: int) -> bool:
        """Whether to look closely at this step."""
        if step < DENSE:
            return step < FIRST or step % EVERY == 0
        if self.owed:
            self.owed -= 1
            return True
        if step >= self.later:
            self.later = LATER * step
            return True
        return self.affordable()

    def heard(self, loss: float) -> None:
        """A loss; three in a row of twice the usual size are looked into."""
        self.high = self.high + 1 if loss > 2 * self.usual > 0 else 0
        if self.high >= 3 and self.surprises < SURPRISES:
            self.owed, self.high, self.surprises, self.usual = LOOKS, 0, self.surprises + 1, loss
        self.usual = loss if not self.usual else self.usual + 0.05 * (loss - self.usual)

    def affordable(self) -> bool:
        """Whether less than the budget has been spent so far."""
        return self.spent < self.budget * (perf_counter() - self.started)
