"""How long each layer takes on this machine, beside what the machine can do at most: the roofline.

A layer moves bytes and computes on them. Its arithmetic intensity is FLOPs for each byte. Below the ridge,
peak FLOP/s over bytes/s, memory is too slow to feed the arithmetic: the layer is bound by memory. Above it,
arithmetic itself is the limit (Williams, Waterman and Patterson 2009, https://doi.org/10.1145/1498765.1498785).

    attainable FLOP/s = min(peak, intensity x bandwidth)

The two ceilings are measured once: a matrix product, and a copy of more memory than a cache holds. A layer
far below its ceiling is bound by neither: by the cost of calling it, or by a kernel that fits its shape
badly. One above it found its numbers in a cache, or saved products, as Winograd's convolutions do. Bytes are
those that cannot be avoided: what a layer reads, its weights, what it gives, each once.
"""

# B batch

import functools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from didact.anatomy.inspection import Input, example
from didact.anatomy.layers import Layer, layers
from didact.anatomy.trace import Call, Trace, quietly, trace, with_numbers
from didact.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TURNS, LEAST, WARM_UP = 11, 3, 2
PATIENCE = 10.0  # seconds, after which fewer turns do
SIDES = {"cpu": 512, "cuda": 4096}  # of the matrices that are multiplied
COPIED = {"cpu": 1 << 26, "cuda": 1 << 28}  # bytes that are copied
TRIES = 40  # short and many, so that one is undisturbed
Clock = Callable[[], float]


@dataclass(frozen=True)
class Ceiling:
    """What a machine can do at most, as measured.

    Attributes:
        flops: A second, in a matrix product.
        bandwidth: Bytes a second, in a copy, read and written both.
        device: Where.
        threads: Of the processor, as torch uses them.
        dtype: Of the numbers.
    """

    flops: float
    bandwidth: float
    device: str
    threads: int
    dtype: str

    @property
    def ridge(self) -> float:
        """FLOPs for each byte above which arithmetic is the limit."""
        return self.flops / self.bandwidth

    def attainable(self, intensity: float) -> float:
        """FLOP/s at an intensity."""
        return min(self.flops, intensity * self.bandwidth)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"ridge": self.ridge}

    def __str__(self) -> str:
        threads = f", {self.threads} thread{'s' * (self.threads != 1)}" * (self.device == "cpu")
        return (
            f"{self.device}{threads}, {self.dtype}: {self.flops / 1e9:,.1f} GFLOP/s, "
            f"{self.bandwidth / 1e9:,.1f} GB/s, ridge at {self.ridge:.1f} FLOPs a byte"
        )


@dataclass(frozen=True)
class TimedLayer:
    """A layer's time.

    Attributes:
        name, kind: As in the table of ``didact.inspect``.
        own: Whether it is what a container does itself.
        milliseconds: The median over the turns; ``low`` and ``high`` hold the middle half of them.
        flops, bytes: Computed and moved.
        bound: ``compute`` or ``memory``, by its intensity.
        share: Of what it could attain at its intensity; without FLOPs of the bandwidth. Above 1 in a cache.
    """

    name: str
    kind: str
    own: bool
    milliseconds: float
    low: float
    high: float
    flops: int
    bytes: int
    bound: str
    share: float

    @property
    def intensity(self) -> float:
        """FLOPs for each byte."""
        return self.flops / self.bytes if self.bytes else 0.0

    @property
    def gflops(self) -> float:
        """Achieved, in thousand millions a second."""
        return self.flops / self.milliseconds / 1e6 if self.milliseconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"intensity": self.intensity, "gflops": self.gflops}


@dataclass(frozen=True)
class Timing:
    """The times of a network.

    Attributes:
        kind: Class of the network.
        rows: Its layers, in the order in which they ran.
        milliseconds: Of the whole, without anyone looking; the median, ``low`` and ``high`` as in a row.
        batch: Examples at once.
        turns: How often each was measured.
        ceiling: What the machine can do.
    """

    kind: str
    rows: tuple[TimedLayer, ...]
    milliseconds: float
    low: float
    high: float
    batch: int
    turns: int
    ceiling: Ceiling

    @property
    def gflops(self) -> float:
        """Achieved by the whole."""
        return sum(row.flops for row in self.rows) / self.milliseconds / 1e6

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kind": self.kind,
            "batch": self.batch,
            "turns": self.turns,
            "milliseconds": self.milliseconds,
            "low": self.low,
            "high": self.high,
            "gflops": self.gflops,
            "ceiling": self.ceiling.to_dict(),
            "layers": [row.to_dict() for row in self.rows],
        }

    def plot(self) -> "Figure":
        """The roofline, with a point for each layer."""
        from didact.draw.roofline import draw_roofline

        points = [
            (row.name or row.kind, row.intensity, row.gflops, row.milliseconds)
            for row in self.rows
            if row.flops and row.milliseconds
        ]
        return draw_roofline(points, self.ceiling.flops / 1e9, self.ceiling.bandwidth / 1e9, self.kind)

    def __str__(self) -> str:
        headings = ("layer", "kind", "ms", "middle half", "GFLOP/s", "FLOPs/byte", "bound by", "of ceiling")
        cells = [_cells(row) for row in self.rows]
        whole = f"{self.milliseconds:.3f} ms the whole, batch {self.batch}: {self.gflops:.1f} GFLOP/s"
        counted = f"median of {self.turns} turns, middle half {self.low:.3f} to {self.high:.3f} ms"
        return "\n".join(
            [*aligned([headings, *cells], "llrrrrlr"), "", f"{whole} ({counted})", str(self.ceiling)]
        )


def time_layers(
    module: nn.Module,
    input: Input,
    *,
    batch: int = 1,
    dtype: torch.dtype | None = None,
    turns: int = TURNS,
) -> Timing:
    """Measure each layer of a network on this machine, in evaluation mode, without gradients.

    A copy runs, so that nothing of the module changes. The time of a container is what is left without the
    modules in it. Of what cannot be copied only the whole machine could be measured: it is refused.

    Args:
        module: With numbers, on the CPU or a GPU.
        input: The shape of one example, or tensors as the module is called with them.
        batch: How many examples, where ``input`` is a shape.
        dtype: Of the input, where ``input`` is a shape: ``torch.int64`` for tokens.
        turns: How often; fewer, but at least 3, where that takes more than ten seconds.

    Raises:
        UsageError: The module has no numbers, or fewer than one turn.
    """
    if turns < 1:
        raise UsageError(f"turns={turns}: must be 1 or more, try {TURNS}")
    _check_numbers(module)
    inputs, size = example(module, input, batch, dtype)
    found = trace(module, *inputs)
    rows = [row for row in layers(module, found, {}) if row.calls]
    model, device = with_numbers(module), inputs[0].device
    clock = _clock(device)
    with quietly(model):
        whole = _measure(lambda: model(*inputs), turns, clock)
        times: list[dict[str, float]] = []
        with _watched(model, clock) as taken:
            for _ in range(len(whole)):
                taken.clear()
                model(*inputs)
                times.append(dict(taken))
    limit = ceiling(device, next((t.dtype for t in inputs if t.is_floating_point()), torch.float32))
    traffic = _traffic(found)
    timed = [_timed(row, times, traffic.get(row.name, 0), limit) for row in rows if row.name in traffic]
    low, middle, high = _quartiles(whole)
    return Timing(type(module).__name__, tuple(timed), middle, low, high, size, len(whole), limit)


def measure(module: nn.Module, input: Input, *, batch: int = 1, dtype: torch.dtype | None = None) -> float:
    """Milliseconds of a whole network: the median of some turns, as ``time_layers`` measures it."""
    _check_numbers(module)
    inputs, _ = example(module, input, batch, dtype)
    model = with_numbers(module)
    with quietly(model):
        return statistics.median(_measure(lambda: model(*inputs), TURNS, _clock(inputs[0].device)))


def ceiling(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Ceiling:
    """What a machine can do at most: measured on the first call, then remembered.

    Example:
        >>> ceiling() is ceiling()
        True
    """
    return _ceiling(str(device), dtype, torch.get_num_threads())


@functools.cache
def _ceiling(device: str, dtype: torch.dtype, threads: int) -> Ceiling:
    where = torch.device(device)
    clock, side = _clock(where), SIDES.get(where.type, SIDES["cpu"])
    a, b = (torch.rand(side, side, device=where).to(dtype) for _ in range(2))
    source = torch.zeros(COPIED.get(where.type, COPIED["cpu"]), dtype=torch.uint8, device=where)
    target = torch.empty_like(source)
    product = min(_measure(lambda: torch.mm(a, b), TRIES, clock)) / 1e3
    copied = min(_measure(lambda: target.copy_(source), TRIES, clock)) / 1e3
    kind = str(dtype).removeprefix("torch.")
    return Ceiling(2 * side**3 / product, 2 * source.numel() / copied, device, threads, kind)


def _check_numbers(module: nn.Module) -> None:
    if any(parameter.is_meta for parameter in module.parameters()):
        raise UsageError(
            f"{type(module).__name__} is on the meta device: it has no numbers to compute with, "
            "build it on the CPU"
        )


def _clock(device: torch.device) -> Clock:
    """Seconds, once all that was asked of the device is done."""
    if device.type != "cuda":
        return time.perf_counter

    def clock() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return clock


def _measure(run: Callable[[], object], turns: int, clock: Clock) -> list[float]:
    """Milliseconds of each turn, after some that do not count."""
    begun = clock()
    for _ in range(WARM_UP):
        run()
    taken: list[float] = []
    while len(taken) < turns and (len(taken) < LEAST or clock() - begun < PATIENCE):
        start = clock()
        run()
        taken.append((clock() - start) * 1e3)
    return taken


@contextmanager
def _watched(model: nn.Module, clock: Clock) -> Iterator[dict[str, float]]:
    """By the name of each module its own milliseconds in a run, those of the modules in it taken off."""
    taken: dict[str, float] = {}
    stack: list[list[float]] = []  # of the modules at work: start, and time of those in it

    def enter(module: nn.Module, inputs: Any) -> None:
        stack.append([clock(), 0.0])

    def leave(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        start, inner = stack.pop()
        spent = clock() - start
        taken[name] = taken.get(name, 0.0) + (spent - inner) * 1e3
        if stack:
            stack[-1][1] += spent

    hooks = []
    for name, part in model.named_modules():
        hooks += [
            part.register_forward_pre_hook(enter),
            part.register_forward_hook(functools.partial(leave, name)),
        ]
    try:
        yield taken
    finally:
        for hook in hooks:
            hook.remove()


def _timed(row: Layer, times: Sequence[Mapping[str, float]], moved: int, limit: Ceiling) -> TimedLayer:
    low, middle, high = _quartiles([turn.get(row.name, 0.0) for turn in times])
    intensity = row.flops / moved if moved else 0.0
    bound = "compute" if intensity >= limit.ridge else "memory"
    least = row.flops / limit.attainable(intensity) if row.flops else moved / limit.bandwidth
    share = least * 1e3 / middle if middle else 0.0
    return TimedLayer(row.name, row.kind, row.own, middle, low, high, row.flops, moved, bound, share)


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """A quarter lies below the first, half below the second, three quarters below the third."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _traffic(found: Trace) -> dict[str, int]:
    """By row the bytes that must be moved: of a layer what goes in and out, of a container by operation."""
    containers = {above for visit in found.visits if visit.module for above in _above(visit.module)}
    moved: dict[str, int] = {}
    for visit in found.visits:
        calls = found.calls[visit.first : visit.last]
        if visit.module not in containers and calls:
            learned = {n for call in calls for n in _weights(found, call)}
            looked_up = any(call.op.startswith("embedding") for call in calls)
            outside = {*visit.inputs, *visit.outputs, *(learned if not looked_up else visit.outputs)}
            twice = sum(_bytes(found, n) for n in visit.outputs) if looked_up else 0
            total = sum(_bytes(found, n) for n in outside) + twice
            moved[visit.module] = moved.get(visit.module, 0) + total
    for call in found.calls:
        if call.module in containers and not _is_view(found, call):
            total = sum(_bytes(found, n) for n in {*call.inputs, *call.outputs})
            moved[call.module] = moved.get(call.module, 0) + total
    return moved


def _above(name: str) -> list[str]:
    """The modules that a module lies in."""
    words = name.split(".")
    return ["", *(".".join(words[:k]) for k in range(1, len(words)))]


def _weights(found: Trace, call: Call) -> set[int]:
    """The parameters that an operation reads, itself or through a view, by number."""
    whole = {found.tensors[number].storage for number in call.inputs}
    return {number for number in whole if found.tensors[number].kind == "parameter"}


def _bytes(found: Trace, number: int) -> int:
    return found.tensors[number].bytes


def _is_view(found: Trace, call: Call) -> bool:
    shared = {found.tensors[number].storage for number in call.inputs}
    made = {found.tensors[number].storage for number in call.outputs}
    return not call.op.endswith("_") and made <= shared


def _cells(row: TimedLayer) -> tuple[str, ...]:
    rate = (f"{row.gflops:.1f}", f"{row.intensity:.1f}") if row.flops else ("", "")
    kind = f"{row.kind} [own]" if row.own else row.kind
    spread = f"{row.low:.3f} to {row.high:.3f}"
    return (
        row.name or "(itself)",
        kind,
        f"{row.milliseconds:.3f}",
        spread,
        *rate,
        row.bound,
        f"{row.share:.0%}",
    )


def aligned(lines: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Cells in columns, each to its side, ``l`` or ``r``."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if side == "l" else cell.rjust(width)
            for cell, width, side in zip(line, widths, sides, strict=True)
        ).rstrip()
        for line in lines
    ]
