"""The arithmetic of one layer as a lecture writes it, with the numbers in it.

    (32 - 5 + 2*2)/1 + 1 = 32        (5*5*3 + 1)*10 = 760        (2*3*25)*10*32*32 = 1,536,000

Every result stands beside one that was counted: sizes by a trace, parameters on the layer, products on its
operations (anatomy/counts.py), the receptive field by the graph. Where a formula would give another number,
the counted one is printed and the formula is not.

See also: anatomy/explain_layers.py, the formulas.
"""

# B batch, C channels, H height, W width

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from didact.anatomy.counts import FLOPS_PER_MAC, macs
from didact.anatomy.describe import described
from didact.anatomy.explain_layers import Facts, formulas, has_formulas
from didact.anatomy.field import Field, fields, fields_given
from didact.anatomy.inspection import Input, example
from didact.anatomy.trace import Trace, Visit, trace
from didact.errors import UsageError, suggest

SHOWN = 12  # layers of a container that are listed


@dataclass(frozen=True)
class Explanation:
    """What was written of a layer.

    Attributes:
        layer: Its name; "" for the network.
        kind: Its class.
        output: The shape that it gives, with the batch.
        parameters: Numbers that it learns, its parts included.
        macs: Products with an addition; ``flops`` are two for each.
        field: The receptive field of its outputs.
        lines: The arithmetic.
    """

    layer: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    field: Field
    lines: tuple[str, ...]

    @property
    def flops(self) -> int:
        """Two for each MAC, the bias inside."""
        return FLOPS_PER_MAC * self.macs

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "layer": self.layer,
            "kind": self.kind,
            "output": list(self.output),
            "parameters": self.parameters,
            "macs": self.macs,
            "flops": self.flops,
            "field": self.field.to_dict(),
            "lines": list(self.lines),
        }

    def __str__(self) -> str:
        return "\n".join(self.lines)


def explain(module: nn.Module, input: Input, layer: str, *, dtype: torch.dtype | None = None) -> Explanation:
    """Write down the arithmetic of a layer.

    Args:
        module: The network; it is not run, and left as it was.
        input: The shape of one example, ``(3, 224, 224)``, or tensors as the network is called with them.
        layer: Name of a submodule; "" for a network that is itself a layer.
        dtype: Of the input, where ``input`` is a shape: ``torch.int64`` for tokens.

    Example:
        >>> print(explain(nn.Sequential(nn.Conv2d(3, 10, 5, padding=2)), (3, 32, 32), "0"))
        0: Conv2d(3->10, 5x5, pad 2)
        size             height, width: (32 - 5 + 2*2)/1 + 1 = 32; (3, 32, 32) -> (10, 32, 32)
        parameters       (5*5*3 + 1)*10 = 760
        FLOPs            (2*3*25)*10*32*32 = 1,536,000, from 768,000 MACs
        receptive field  r = r_prev + jump*(k - 1) = 1 + 1*(5 - 1) = 5
        jump             1*1 = 1

    Raises:
        UsageError: No such layer, or one that has no part in the answer.
    """
    module = getattr(module, "_orig_mod", module)
    parts = dict(module.named_modules(remove_duplicate=False))
    if layer not in parts:
        raise UsageError(f"layer={layer!r}: unknown, {suggest(layer, [name for name in parts if name])}")
    inputs, _ = example(module, input, 1, dtype)
    found = trace(module, *inputs)
    visits = [visit for visit in found.visits if visit.module == layer]
    if not visits:
        raise UsageError(f"layer={layer!r}: has no part in the answer, choose another")
    return _explained(found, parts[layer], visits, fields(found)[layer], fields_given(found)[layer])


def _explained(
    found: Trace, part: nn.Module, visits: Sequence[Visit], field: Field, given: Field
) -> Explanation:
    visit = visits[-1]
    products = sum(macs(found, call) or 0 for call in found.calls[visit.first : visit.last])
    facts = Facts(
        part=part,
        inputs=tuple(found.shape(number) for number in visit.inputs),
        output=found.shape(visit.outputs[0]) if visit.outputs else (),
        parameters=sum(parameter.numel() for parameter in part.parameters()),
        macs=products,
        field=field,
        given=given,
    )
    kind = type(part).__name__
    container = any(part.children()) and not has_formulas(part)
    told = "" if any(part.children()) else f"({described(part)})"
    lines = [f"{visit.module or 'the network'}: {kind}{told}", *formulas(facts)]
    lines += _inside(part, visit.module) if container else []
    if len(visits) > 1:
        lines.append(_row("called", f"{len(visits)} times; this is the last call"))
    return Explanation(visit.module, kind, facts.output, facts.parameters, products, field, tuple(lines))


def _inside(part: nn.Module, name: str) -> list[str]:
    """What a container holds that can be explained by itself."""
    leaves = [
        f"{name}.{inner}".lstrip(".")
        for inner, each in part.named_modules()
        if inner and not any(each.children())
    ]
    more = f" and {len(leaves) - SHOWN} more" if len(leaves) > SHOWN else ""
    return [_row("layers in it", ", ".join(leaves[:SHOWN]) + more)]


def _row(heading: str, words: str) -> str:
    return f"{heading:<17}{words}"
