"""Networks side by side: what one costs against another, and what one argument of a network costs.

bottleneck              1x1 to a quarter, 3x3, 1x1 back: 69,632 weights for the 589,824 of a 3x3 on all maps
depthwise-separable     F x F in each map, then 1x1: 1/D2 + 1/F^2 of a convolution with D2 filters
"""

# B batch, D2 maps out, F side of a filter

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from didact.anatomy.inspection import Input, Inspection, inspect
from didact.anatomy.timing import aligned, measure
from didact.anatomy.trace import Call, Trace
from didact.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Compared:
    """One number of both networks; None where it is not known."""

    what: str
    first: float | None
    second: float | None

    @property
    def ratio(self) -> float | None:
        """The second for each of the first."""
        known = self.first and self.second is not None
        return self.second / self.first if known and self.second is not None and self.first else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"ratio": self.ratio}


@dataclass(frozen=True)
class Against:
    """Two networks side by side.

    Attributes:
        names: Of both.
        rows: What is compared.
        remarks: What the lectures say of such a pair, where its numbers bear it out.
    """

    names: tuple[str, str]
    rows: tuple[Compared, ...]
    remarks: tuple[str, ...] = ()

    def __getitem__(self, what: str) -> Compared:
        """A row by what it compares, such as ``MACs``."""
        found = [row for row in self.rows if row.what == what]
        if not found:
            raise KeyError(what)
        return found[0]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "names": list(self.names),
            "rows": [row.to_dict() for row in self.rows],
            "remarks": list(self.remarks),
        }

    def plot(self) -> "Figure":
        """The ratios as bars."""
        from didact.draw.sweep import draw_ratios

        return draw_ratios([(row.what, row.ratio) for row in self.rows if row.ratio], *self.names)

    def __str__(self) -> str:
        lines = [("", *self.names, "ratio")]
        lines += [(row.what, _said(row.first), _said(row.second), _ratio(row.ratio)) for row in self.rows]
        return "\n".join([*aligned(lines, "lrrr"), *([""] * bool(self.remarks)), *self.remarks])


def against(
    a: nn.Module,
    b: nn.Module,
    input: Input,
    *,
    second_input: Input | None = None,
    names: tuple[str, str] | None = None,
    batch: int = 1,
    dtype: torch.dtype | None = None,
    timed: bool = True,
) -> Against:
    """Compare two networks: parameters, MACs, FLOPs, activations, layers, time and receptive field.

    Args:
        a: A network; it is left as it was.
        b: Another.
        input: The shape of one example, or tensors.
        second_input: What ``b`` is given, where that is something else.
        names: What to call them; their classes, where nothing is said.
        batch: How many examples.
        dtype: Of the input, where a shape is given.
        timed: Whether to run them, and measure how long that takes.

    Example:
        >>> plain = nn.Conv2d(256, 256, 3, padding=1, bias=False)
        >>> narrow = nn.Sequential(
        ...     nn.Conv2d(256, 64, 1, bias=False),
        ...     nn.Conv2d(64, 64, 3, padding=1, bias=False),
        ...     nn.Conv2d(64, 256, 1, bias=False),
        ... )
        >>> row = against(plain, narrow, (256, 14, 14), timed=False)["parameters"]
        >>> row.first, row.second, round(row.ratio, 4)
        (589824, 69632, 0.1181)
    """
    inputs = (input, input if second_input is None else second_input)
    tables = [
        inspect(net, given, batch=batch, dtype=dtype) for net, given in zip((a, b), inputs, strict=True)
    ]
    columns = [_column(table) for table in tables]
    if timed:
        for net, given, column in zip((a, b), inputs, columns, strict=True):
            column["milliseconds"] = measure(net, given, batch=batch, dtype=dtype)
    rows = tuple(Compared(what, columns[0][what], columns[1][what]) for what in columns[0])
    return Against(names or _names(tables), rows, tuple(_remarks(*tables)))


def _names(tables: Sequence[Inspection]) -> tuple[str, str]:
    first, second = (table.kind for table in tables)
    return (first, second) if first != second else (f"{first} (first)", f"{second} (second)")


def _column(table: Inspection) -> dict[str, float | None]:
    totals = table.totals
    seen = [
        row.field.size for row in table.layers if row.field and row.field.size and prod(row.output[2:]) > 1
    ]
    return {
        "parameters": totals.parameters,
        "MACs": totals.macs,
        "FLOPs": totals.flops,
        "activations": totals.activations,
        "layers": sum(bool(row.macs and row.parameters) for row in table.layers),
        "receptive field": max(seen[-1]) if seen else None,  # of the last maps
    }


def _remarks(first: Inspection, second: Inspection) -> list[str]:
    """What is known of the pair."""
    for standard, other, turned in ((first, second, False), (second, first, True)):
        found = _separable(standard.trace, other.trace)
        if found and Fraction(other.totals.macs, standard.totals.macs) == found[0]:
            share, maps, side = found
            which = "the first" if turned else "the second"
            said = f"1/D2 + 1/F^2 = 1/{maps} + 1/{side**2} = {float(share):.4f}"
            return [f"{which} is depthwise-separable: {said} of the MACs of a convolution"]
    return []


def _separable(standard: Trace, other: Trace) -> tuple[Fraction, int, int] | None:
    """1/D2 + 1/F^2, D2 and F, where one is a convolution and the other the same, depthwise and pointwise."""
    whole, parts = _convolutions(standard), _convolutions(other)
    if len(whole) != 1 or len(parts) != 2:
        return None
    (maps, read, side, same), (deep, deep_read, deep_side, _), (wide, wide_read, one, _) = map(
        _filters, (standard, other, other), (*whole, *parts)
    )
    depthwise = deep_read == 1 and deep == wide_read == read and deep_side == side and one == 1
    if not depthwise or wide != maps or not same:
        return None
    return Fraction(1, maps) + Fraction(1, side**2), maps, side


def _convolutions(found: Trace) -> list[Call]:
    return [call for call in found.calls if call.op == "convolution"]


def _filters(found: Trace, call: Call) -> tuple[int, int, int, bool]:
    """Maps out, maps read by a filter, side of a filter, and whether it is a square one."""
    maps, read, *sides = found.shape(call.inputs[1])
    return maps, read, sides[0], len(sides) == 2 and prod(sides) == sides[0] ** 2


@dataclass(frozen=True)
class Point:
    """A network of a sweep: the value of the argument, and what it costs."""

    value: Any
    parameters: int
    macs: int
    flops: int
    activations: int
    milliseconds: float | None


@dataclass(frozen=True)
class Sweep:
    """What one argument of a network costs.

    Attributes:
        argument: Its name.
        points: A network for each value.
    """

    argument: str
    points: tuple[Point, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"argument": self.argument, "points": [asdict(point) for point in self.points]}

    def plot(self) -> "Figure":
        """Parameters, FLOPs and time over the values."""
        from didact.draw.sweep import draw_sweep

        lines: dict[str, list[float]] = {
            "parameters": [point.parameters for point in self.points],
            "FLOPs": [point.flops for point in self.points],
        }
        times = [point.milliseconds for point in self.points if point.milliseconds is not None]
        if len(times) == len(self.points):
            lines["milliseconds"] = times
        return draw_sweep([point.value for point in self.points], lines, self.argument)

    def __str__(self) -> str:
        costs = ("parameters", "MACs", "FLOPs", "activations", "milliseconds")
        lines: list[tuple[str, ...]] = [(self.argument, *costs)]
        lines += [
            (
                str(point.value),
                *(f"{n:,}" for n in (point.parameters, point.macs, point.flops, point.activations)),
                _said(point.milliseconds),
            )
            for point in self.points
        ]
        return "\n".join(aligned(lines, "rrrrrr"))


def sweep(
    build: Callable[..., nn.Module],
    argument: str,
    values: Sequence[Any],
    input: Input,
    *,
    batch: int = 1,
    dtype: torch.dtype | None = None,
    timed: bool = True,
) -> Sweep:
    """Build a network with each value of an argument, and say what it costs.

    Args:
        build: Makes the network: a class, or ``functools.partial(didact.build, "resnet18")``.
        argument: A name that ``build`` takes.
        values: What to give it.
        input: The shape of one example, or tensors.
        batch: How many examples.
        dtype: Of the input, where a shape is given.
        timed: Whether to run the networks, and measure how long that takes.

    Example:
        >>> found = sweep(lambda width: nn.Linear(10, width), "width", (1, 2), (10,), timed=False)
        >>> [(point.value, point.parameters, point.flops) for point in found.points]
        [(1, 11, 20), (2, 22, 40)]

    Raises:
        UsageError: No value.
    """
    if not values:
        raise UsageError(f"{argument}: no values, give some, such as (0.25, 0.5, 1)")
    return Sweep(argument, tuple(_point(build, argument, v, input, batch, dtype, timed) for v in values))


def _point(
    build: Callable[..., nn.Module],
    argument: str,
    value: Any,
    input: Input,
    batch: int,
    dtype: torch.dtype | None,
    timed: bool,
) -> Point:
    net = build(**{argument: value})
    totals = inspect(net, input, batch=batch, dtype=dtype).totals
    spent = measure(net, input, batch=batch, dtype=dtype) if timed else None
    return Point(value, totals.parameters, totals.macs, totals.flops, totals.activations, spent)


def _said(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
