"""The table of an experiment: each number of each variant, its mean and spread over the seeds."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Numbers = Mapping[str, float | None]  # None: never reached, or the run came to nothing


@dataclass(frozen=True)
class Row:
    """One number of one variant, over the seeds.

    Attributes:
        mean, deviation: None where no seed, or only one, has the number.
        n: How many seeds have it.
        each: The number by seed; None where a run diverged or never came so far.
    """

    variant: str
    number: str
    mean: float | None
    deviation: float | None
    n: int
    each: tuple[float | None, ...]

    def __str__(self) -> str:
        if self.mean is None:
            return "none"
        missing = "" if self.n == len(self.each) else f" ({self.n} of {len(self.each)})"
        if not self.deviation:
            return f"{shown(self.mean)}{missing}"
        places = min(max(1 - math.floor(math.log10(self.deviation)), 0), 6)  # two digits of the deviation
        return f"{self.mean:.{places}f} ± {self.deviation:.{places}f}{missing}"


@dataclass(frozen=True)
class Table:
    """What was measured, a row for each number of each variant."""

    rows: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def of(self, variant: str, number: str) -> Row:
        """One row."""
        return next(row for row in self.rows if (row.variant, row.number) == (variant, number))

    def mean(self, variant: str, number: str) -> float:
        """A mean; NaN, which compares with nothing, where no seed has the number."""
        mean = self.of(variant, number).mean
        return math.nan if mean is None else mean

    def below(self, one: str, other: str, number: str) -> bool:
        """Whether every seed of one variant has a lower number than every seed of another."""
        first, second = self.of(one, number), self.of(other, number)
        low = [value for value in first.each if value is not None]
        high = [math.inf if value is None else value for value in second.each]  # diverged: as high as can be
        return len(low) == len(first.each) > 0 and max(low) < min(high)

    @property
    def variants(self) -> list[str]:
        """In their order."""
        return list(dict.fromkeys(row.variant for row in self.rows))

    @property
    def numbers(self) -> list[str]:
        """In their order."""
        return list(dict.fromkeys(row.number for row in self.rows))

    @classmethod
    def from_dict(cls, values: Sequence[Mapping[str, Any]]) -> "Table":
        """Rebuild a table from ``Results.to_dict()["table"]``."""
        return cls(tuple(Row(**{**row, "each": tuple(row["each"])}) for row in values))


def summary(variant: str, number: str, each: Sequence[float | None]) -> Row:
    """Mean and sample standard deviation of what there is.

    Example:
        >>> summary("a", "loss", [1.0, 2.0, None]).mean
        1.5
    """
    values = [value for value in each if value is not None and math.isfinite(value)]
    mean = statistics.fmean(values) if values else None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Row(variant, number, mean, deviation, len(values), tuple(each))


def shown(value: float) -> str:
    """A number in four digits, counts in full: 0.9889, 12.35, 1234.

    Example:
        >>> shown(0.98887), shown(1234.4), shown(0.00271)
        ('0.9889', '1234', '0.00271')
    """
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.4f}" if 0.1 <= abs(value) < 1 else f"{value:.4g}"
