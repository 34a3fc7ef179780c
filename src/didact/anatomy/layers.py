"""The rows of the table: what each layer is, gives and costs.

A row is a module that calls no other module; what a container does itself, between the modules in it, is a
row of the container's own (``own operations``). A module that is called several times has one row. A
parameter that has several names is counted in the row of the first.
"""

# B batch

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from torch import nn

from didact.anatomy.counts import FLOPS_PER_MAC, NotCounted, is_arithmetic, macs, not_counted
from didact.anatomy.describe import described
from didact.anatomy.field import Field
from didact.anatomy.trace import Call, Shape, Trace, Visit

PARAMETRIZATIONS = ".parametrizations"  # where torch puts what computes a weight: a part of the layer


@dataclass(frozen=True)
class Layer:
    """A row.

    Attributes:
        name: As in the state dict; "" for the network itself.
        kind: Its class.
        arguments: What it was built with, in short.
        calls: How often it ran; 0 if it did not.
        output: Shape of what it gave last, with the batch; of several tensors the first.
        trainable, frozen: Numbers that learn, and that do not; a shared one stands at its first name only.
        shared: Names of its parameters that are counted at another name, with that name.
        macs: Products with an addition, all calls together.
        activations: Numbers in new memory that it gave, all calls together; writing in place takes none.
        activation_bytes: What they take.
        own: Whether it is a container, and the row what it does itself.
        field: What it sees of the input; None where that is not known.
        not_counted: Its operations that are no sums of products.
    """

    name: str
    kind: str
    arguments: str = ""
    calls: int = 0
    output: Shape = ()
    trainable: int = 0
    frozen: int = 0
    shared: Mapping[str, str] = field(default_factory=dict)
    macs: int = 0
    activations: int = 0
    activation_bytes: int = 0
    own: bool = False
    field: Field | None = None
    not_counted: tuple[NotCounted, ...] = ()

    @property
    def parameters(self) -> int:
        """Those that learn and those that do not."""
        return self.trainable + self.frozen

    @property
    def flops(self) -> int:
        """Two for each MAC; the bias is inside."""
        return FLOPS_PER_MAC * self.macs

    @property
    def note(self) -> str:
        """What is special about it, in words."""
        notes = [f"x{self.calls}"] if self.calls > 1 else []
        notes += ["own operations"] if self.own else []
        notes += [] if self.calls else ["not run"]
        notes += [f"{name} is {first}" for name, first in self.shared.items()]
        notes += ["frozen"] if self.frozen and not self.trainable else []
        return ", ".join(notes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        seen = self.field
        return {
            "name": self.name,
            "kind": self.kind,
            "arguments": self.arguments,
            "calls": self.calls,
            "own_operations": self.own,
            "output": list(self.output),
            "parameters": self.parameters,
            "trainable": self.trainable,
            "frozen": self.frozen,
            "shared": dict(self.shared),
            "macs": self.macs,
            "flops": self.flops,
            "activations": self.activations,
            "activation_bytes": self.activation_bytes,
            "receptive_field": list(seen.size) if seen else None,
            "jump": list(seen.jump) if seen else None,
            "centre": list(seen.centre) if seen else None,
            "not_counted": listed(self.not_counted),
        }


def listed(entries: Iterable[NotCounted]) -> list[dict[str, Any]]:
    """Operations in plain values."""
    return [{"op": entry.op, "times": entry.times, "elements": entry.elements} for entry in entries]


def layers(module: nn.Module, trace: Trace, fields: Mapping[str, Field]) -> list[Layer]:
    """The rows of a trace, in the order in which the layers ran; those that did not run are last.

    Args:
        module: The one that was traced.
        trace: Its trace.
        fields: What each layer sees, by its name.
    """
    return _Rows(module, trace, fields).rows()


class _Rows:
    def __init__(self, module: nn.Module, trace: Trace, fields: Mapping[str, Field]):
        self.trace, self.fields = trace, fields
        self.modules = dict(module.named_modules())
        self.visits: dict[str, list[Visit]] = {}
        for visit in trace.visits:
            self.visits.setdefault(visit.module.split(PARAMETRIZATIONS)[0], []).append(visit)
        self.containers = {above for name in self.visits if name for above in ancestors(name)[:-1]}
        self.calls: dict[str, list[Call]] = {}
        self.started: dict[str, int] = {}
        for place, call in enumerate(trace.calls):
            row = self.row_of(call.module)
            self.calls.setdefault(row, []).append(call)
            if _makes(call, trace):
                self.started.setdefault(row, place)
        self.parameters: dict[str, list[tuple[str, nn.Parameter]]] = {}
        self.first_names: dict[int, str] = {}
        for name, parameter in module.named_parameters(remove_duplicate=False):
            self.first_names.setdefault(id(parameter), name)
            self.parameters.setdefault(self.row_of(name.rpartition(".")[0]), []).append((name, parameter))
        self.taken: set[int] = set()  # memory that has been counted
        for fact in trace.tensors:
            if fact.kind != "made":
                self.taken.add(fact.storage)

    def row_of(self, name: str) -> str:
        """The row that a module belongs to: its own, or that of the layer that uses it without a call."""
        name = name.split(PARAMETRIZATIONS)[0]
        closed = (a for a in ancestors(name) if a in self.visits and a not in self.containers)
        return next(closed, name)

    def rows(self) -> list[Layer]:
        order = {name: visits[0].first for name, visits in self.visits.items() if name not in self.containers}
        order |= {
            name: self.started.get(name, 0)
            for name in self.containers
            if name in self.started or name in self.parameters
        }
        ran = sorted(order, key=lambda name: order[name])
        idle = [name for name in self.parameters if name not in order]
        return [self.row(name) for name in (*ran, *idle)]

    def row(self, name: str) -> Layer:
        part, visits, calls = self.modules.get(name), self.visits.get(name, []), self.calls.get(name, [])
        own = name in self.containers
        parameters = self.parameters.get(name, [])
        numbers, memory = self.new_memory(calls, visits, own or not _is_torchs(part))
        return Layer(
            name=name,
            kind=self.trace.kinds.get(name, type(part).__name__).removeprefix("Parametrized"),
            arguments="" if own or part is None else described(part),
            calls=len(visits),
            output=self.output(visits),
            trainable=self.numbers(parameters, learn=True),
            frozen=self.numbers(parameters, learn=False),
            shared={n: self.first_names[id(p)] for n, p in parameters if self.first_names[id(p)] != n},
            macs=sum(macs(self.trace, call) or 0 for call in calls),
            activations=numbers,
            activation_bytes=memory,
            own=own,
            field=self.fields.get(name) if visits else None,
            not_counted=not_counted(self.trace, calls),
        )

    def numbers(self, parameters: Iterable[tuple[str, nn.Parameter]], *, learn: bool) -> int:
        return sum(
            p.numel() for n, p in parameters if p.requires_grad == learn and self.first_names[id(p)] == n
        )

    def output(self, visits: Sequence[Visit]) -> Shape:
        return self.trace.shape(visits[-1].outputs[0]) if visits and visits[-1].outputs else ()

    def new_memory(
        self, calls: Iterable[Call], visits: Iterable[Visit], by_operation: bool
    ) -> tuple[int, int]:
        """Numbers and bytes in memory that nobody before has given.

        torch's own layers are asked for what they give, the others, and containers, operation by operation.
        """
        given = (
            [call.outputs[0] for call in calls if call.outputs and _makes(call, self.trace)]
            if by_operation
            else [number for visit in visits for number in visit.outputs]
        )
        numbers = memory = 0
        for fact in (self.trace.tensors[number] for number in given):
            if fact.storage not in self.taken:
                self.taken.add(fact.storage)
                numbers, memory = numbers + prod(fact.shape), memory + fact.bytes
        return numbers, memory


def ancestors(name: str) -> list[str]:
    """What a module lies in, from the network down, and itself: "", ``a``, ``a.b`` of ``a.b``."""
    parts = name.split(".") if name else []
    return ["", *(".".join(parts[: k + 1]) for k in range(len(parts)))]


def _is_torchs(part: nn.Module | None) -> bool:
    return type(part).__module__.startswith("torch.nn.")


def _makes(call: Call, trace: Trace) -> bool:
    """Whether an operation gives new numbers: not a view, not a constant."""
    facts = [trace.tensors[number] for number in call.outputs[:1]]
    return bool(call.inputs and facts) and (is_arithmetic(call) or facts[0].storage == call.outputs[0])


def folded(rows: Sequence[Layer], depth: int, whole: Callable[[str], Layer]) -> list[Layer]:
    """Rows with those deeper than so many levels added up in the row of what holds them.

    Args:
        rows: All rows.
        depth: Levels of names that are kept; 1 for the parts of the network itself.
        whole: The row of a container, without costs.
    """
    groups: dict[str, list[Layer]] = {}
    for row in rows:
        groups.setdefault(".".join(row.name.split(".")[:depth]), []).append(row)
    return [
        some[0] if len(some) == 1 and some[0].name == name else _sum(some, whole(name))
        for name, some in groups.items()
    ]


def _sum(rows: Sequence[Layer], into: Layer) -> Layer:
    return replace(
        into,
        trainable=sum(row.trainable for row in rows),
        frozen=sum(row.frozen for row in rows),
        shared={name: first for row in rows for name, first in row.shared.items()},
        macs=sum(row.macs for row in rows),
        activations=sum(row.activations for row in rows),
        activation_bytes=sum(row.activation_bytes for row in rows),
        not_counted=merged(entry for row in rows for entry in row.not_counted),
    )


def merged(entries: Iterable[NotCounted]) -> tuple[NotCounted, ...]:
    """Operations of one name together, the largest first."""
    found: dict[str, NotCounted] = {}
    for entry in entries:
        old = found.get(entry.op, NotCounted(entry.op, 0, 0))
        found[entry.op] = NotCounted(entry.op, old.times + entry.times, old.elements + entry.elements)
    return tuple(sorted(found.values(), key=lambda entry: -entry.elements))
