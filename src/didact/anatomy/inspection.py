"""``didact.inspect``: the table of a network, layer by layer, with its totals and what training it takes."""

# B batch, C channels, H height, W width, T time

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import Any

import torch
from torch import Tensor, nn

from didact.anatomy.counts import FLOPS_PER_MAC, NotCounted
from didact.anatomy.field import fields
from didact.anatomy.layers import Layer, folded, layers, listed, merged
from didact.anatomy.memory import Memory, check_optimizer, training_memory
from didact.anatomy.memory import words as in_words
from didact.anatomy.trace import Shape, Trace, trace
from didact.errors import UsageError

Input = Sequence[int] | Tensor | tuple[Tensor, ...]
GAP = "  "
LAST = 24  # columns that the last cells want


@dataclass(frozen=True)
class Totals:
    """Sums over all layers.

    Attributes:
        parameters: Numbers in unique parameters, ``trainable`` and ``frozen``.
        macs: Products with an addition; ``flops`` are two for each.
        activations: Numbers that the layers give, the input not among them; ``activation_bytes`` are theirs.
        not_counted: Operations that are no sums of products: how often, and how many numbers they gave.
    """

    trainable: int
    frozen: int
    macs: int
    activations: int
    activation_bytes: int
    not_counted: tuple[NotCounted, ...]

    @property
    def parameters(self) -> int:
        """Those that learn and those that do not."""
        return self.trainable + self.frozen

    @property
    def flops(self) -> int:
        """Two for each MAC; the bias is inside."""
        return FLOPS_PER_MAC * self.macs

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "parameters": self.parameters,
            "trainable": self.trainable,
            "frozen": self.frozen,
            "macs": self.macs,
            "flops": self.flops,
            "activations": self.activations,
            "activation_bytes": self.activation_bytes,
            "not_counted": listed(self.not_counted),
        }


@dataclass(frozen=True)
class Inspection:
    """The table.

    Attributes:
        kind: Class of the network.
        inputs: Shapes that it was given, with the batch.
        batch: How many examples; every cost is for all of them.
        layers: The rows.
        totals: Their sums.
        memory: What training takes.
        on_paper: Whether only shapes went through it; else it ran, once, with zeros or what was given.
        trace: Every operation.
    """

    kind: str
    inputs: tuple[Shape, ...]
    batch: int
    layers: tuple[Layer, ...]
    totals: Totals
    memory: Memory
    on_paper: bool
    trace: Trace

    def folded(self, depth: int) -> "Inspection":
        """The same with rows no deeper than so many levels of names; the sums stay."""
        if depth < 1:
            raise UsageError(f"depth {depth}: it counts levels of names from 1, the parts of the network")
        return replace(self, layers=tuple(folded(self.layers, depth, self._whole)))

    def _whole(self, name: str) -> Layer:
        """The row of a container, without costs."""
        visits = [visit for visit in self.trace.visits if visit.module == name]
        output = self.trace.shape(visits[-1].outputs[0]) if visits and visits[-1].outputs else ()
        known = next((row for row in self.layers if row.name == name), None)
        return Layer(
            name,
            self.trace.kinds.get(name, ""),
            calls=len(visits) or max(row.calls for row in self.layers if row.name.startswith(f"{name}.")),
            output=output,
            field=fields(self.trace).get(name),
            arguments=known.arguments if known else "",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "kind": self.kind,
            "inputs": [list(shape) for shape in self.inputs],
            "batch": self.batch,
            "on_paper": self.on_paper,
            "layers": [layer.to_dict() for layer in self.layers],
            "totals": self.totals.to_dict(),
            "memory": self.memory.to_dict(),
        }

    def csv(self) -> str:
        """The rows as comma-separated values, exact."""
        rows = [layer.to_dict() for layer in self.layers]
        out = io.StringIO()
        writer = csv.DictWriter(out, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row, layer in zip(rows, self.layers, strict=True):
            flat = {k: "x".join(map(str, v)) if isinstance(v, list) else v for k, v in row.items()}
            writer.writerow(flat | {"note": layer.note})
        return out.getvalue()

    def markdown(self) -> str:
        """The table for a page, the sums under it."""
        shown = [column for column in COLUMNS if column.of_all or any(map(column.cell, self.layers))]
        lines = [
            [column.heading for column in shown],
            ["---:" if column.right else "---" for column in shown],
            *([column.cell(layer) for column in shown] for layer in self.layers),
        ]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return table + "\n\n" + "\n".join(f"- {line}" for line in self.summary())

    def summary(self) -> list[str]:
        """The sums, in words."""
        totals, given = self.totals, " and ".join(map(_shape, self.inputs))
        frozen = f" ({totals.trainable:,} trainable, {totals.frozen:,} frozen)" if totals.frozen else ""
        lines = [
            f"{self.kind} on {given}",
            f"{totals.parameters:,} parameters{frozen}",
            f"{totals.macs:,} MACs, {totals.flops:,} FLOPs (1 MAC = 2 FLOPs, the bias inside)",
            f"{totals.activations:,} activations, {in_words(totals.activation_bytes)}",
            f"to train with {self.memory.optimizer_name}, batch {self.batch}: {self.memory}",
        ]
        if totals.not_counted:
            lines.append(f"no MACs, so not counted: {', '.join(map(str, totals.not_counted))}")
        if not self.on_paper:
            lines.append("it looks at numbers as it runs: it ran for real, with these")
        return lines

    def table(self, width: int | None = None) -> list[str]:
        """The rows as lines of text, headings first.

        Args:
            width: Columns that there are. Where they are too few, what follows from the others is left out,
                and the last cells go on below themselves; no name is cut.
        """
        shown = [column for column in COLUMNS if column.of_all or any(map(column.cell, self.layers))]
        for spare in SPARE:
            if width is None or self._needs(shown) <= width:
                break
            shown = [column for column in shown if column.heading != spare]
        return _aligned(shown, [[column.cell(layer) for column in shown] for layer in self.layers], width)

    def _needs(self, shown: Sequence["Column"]) -> int:
        widths = [max(map(len, (c.heading, *map(c.cell, self.layers)))) for c in shown]
        return sum(widths[:-1]) + min(widths[-1], LAST) + len(GAP) * (len(widths) - 1)

    def text(self, width: int | None = None) -> str:
        """Table and sums."""
        return "\n".join([*self.table(width), "", *self.words(width)])

    def words(self, width: int | None = None) -> list[str]:
        """The sums as lines of text."""
        if width is None:
            return self.summary()
        return [part for line in self.summary() for part in wrap(line, width, subsequent_indent=GAP)]

    def __str__(self) -> str:
        return self.text()

    def plot(self) -> Any:
        """Where parameters, MACs and activations lie, layer by layer."""
        from didact.draw.inspection import draw_inspection

        rows = [row for row in self.layers if row.parameters or row.macs]
        return draw_inspection(
            [row.name or row.kind for row in rows],
            {
                "parameters": [row.parameters for row in rows],
                "MACs": [row.macs for row in rows],
                "activations": [row.activations for row in rows],
            },
        )


def inspect(
    module: nn.Module,
    input: Input,
    *,
    batch: int = 1,
    optimizer: str = "adam",
    dtype: torch.dtype | None = None,
) -> Inspection:
    """The table of a network: what each layer gives, learns, costs and sees.

    Args:
        module: Any; it is not run, and left as it was.
        input: The shape of one example, ``(3, 224, 224)``, or tensors as the module is called with them.
        batch: How many examples, where ``input`` is a shape.
        optimizer: What it would be trained with: ``sgd``, ``sgd-momentum``, ``adam`` ...
        dtype: Of the input, where ``input`` is a shape: ``torch.int64`` for tokens.

    Example:
        >>> table = didact.inspect(didact.build("lenet5"), (1, 32, 32))
        >>> table.totals.parameters, table.totals.macs
        (61706, 416520)

    Raises:
        UsageError: A shape that is none, or an unknown optimizer.
        Refused: A layer cannot take what it was given; the message says which, what it got and what it wants.
    """
    chosen = check_optimizer(optimizer)
    inputs, size = example(module, input, batch, dtype)
    found = trace(module, *inputs)
    rows = layers(module, found, fields(found))
    shapes = tuple(tuple(tensor.shape) for tensor in inputs)
    memory = training_memory(module, inputs, chosen, size, on_paper=found.on_paper)
    kind = type(module).__name__
    return Inspection(kind, shapes, size, tuple(rows), _totals(rows), memory, found.on_paper, found)


def example(
    module: nn.Module, input: Input, batch: int = 1, dtype: torch.dtype | None = None
) -> tuple[tuple[Tensor, ...], int]:
    """What to call a module with, and how many examples that is.

    Raises:
        UsageError: It is neither a shape nor tensors.
    """
    if isinstance(input, Tensor):
        input = (input,)
    if input and all(isinstance(value, Tensor) for value in input):
        tensors = tuple(value for value in input if isinstance(value, Tensor))
        return tensors, tensors[0].shape[0] if tensors[0].dim() else 1
    if not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in input):
        raise UsageError(f"input {input!r}: give the shape of one example, as (3, 224, 224), or tensors")
    if batch < 1:
        raise UsageError(f"batch {batch}: it counts examples, from 1")
    home = next(iter(module.parameters()), torch.zeros(0))
    kind = dtype or (home.dtype if home.is_floating_point() else torch.float32)
    return (torch.zeros(batch, *input, dtype=kind, device=home.device),), batch


def _totals(rows: Sequence[Layer]) -> Totals:
    return Totals(
        trainable=sum(row.trainable for row in rows),
        frozen=sum(row.frozen for row in rows),
        macs=sum(row.macs for row in rows),
        activations=sum(row.activations for row in rows),
        activation_bytes=sum(row.activation_bytes for row in rows),
        not_counted=merged(entry for row in rows for entry in row.not_counted),
    )


# The table


@dataclass(frozen=True)
class Column:
    """A column: its heading, its cell for a layer, and where it stands."""

    heading: str
    cell: Callable[[Layer], str]
    right: bool = False
    of_all: bool = True  # shown even where no layer has anything to say


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _number(value: int) -> str:
    return f"{value:,}" if value else ""


def _sizes(values: Sequence[float | None]) -> str:
    """One number where all axes agree: ``11``, else ``11x3``."""
    if not values:
        return ""
    said = ["?" if value is None else f"{value:g}" for value in values]
    return said[0] if len(set(said)) == 1 else "x".join(said)


def _what(layer: Layer) -> str:
    return " ".join(filter(None, (layer.kind, layer.arguments, f"[{layer.note}]" if layer.note else "")))


COLUMNS = (
    Column("layer", lambda row: row.name or "(itself)"),
    Column("output", lambda row: _shape(row.output)),
    Column("parameters", lambda row: _number(row.parameters), right=True),
    Column("MACs", lambda row: _number(row.macs), right=True),
    Column("FLOPs", lambda row: _number(row.flops), right=True),
    Column("memory", lambda row: in_words(row.activation_bytes) if row.activations else "", right=True),
    Column("sees", lambda row: _sizes(row.field.size if row.field else ()), right=True, of_all=False),
    Column("jump", lambda row: _sizes(row.field.jump if row.field else ()), right=True, of_all=False),
    Column("centre", lambda row: _sizes(row.field.centre if row.field else ()), right=True, of_all=False),
    Column("what", _what),
)
SPARE = ("centre", "FLOPs", "jump", "memory", "sees", "output", "MACs")  # what a narrow window lacks, in turn
CSV_COLUMNS = (
    *("name", "kind", "arguments", "calls", "own_operations", "output", "parameters", "trainable", "frozen"),
    *("macs", "flops", "activations", "activation_bytes", "receptive_field", "jump", "centre", "note"),
)


def _aligned(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int | None) -> list[str]:
    lines = [[column.heading for column in columns], *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    indent = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    room = max(width - indent, LAST // 2) if width else None
    out = []
    for line in lines:
        padded = [
            cell.rjust(size) if column.right else cell.ljust(size)
            for column, cell, size in zip(columns[:-1], line, widths, strict=False)
        ]
        first, *more = (wrap(line[-1], room, break_on_hyphens=False) if room else [line[-1]]) or [""]
        out.append(GAP.join([*padded, first]).rstrip())
        out += [" " * indent + part for part in more]
    return out
