"""A loss written by hand: what was the answer compared with?

Autograd keeps what a backward will need. In ``((answer - y) ** 2).mean()`` that is the difference, so that y
follows; in ``-(y * log(p))`` it is y; in ``-logp[rows, y]`` the index. Nothing is computed anew.
"""

# B rows, C classes

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from didact.doctor.operations import kind_of, seen_through

DEEPEST = 40  # operations between a loss and an answer that are looked at
LOST = 1e3  # an answer so many times the target leaves nothing of it in their difference
REORDER = {"Index", "IndexSelect", "Gather", "Sort", "Flip", "Roll", "TakeAlongDim"}
KINDS = {"Pow": "mse", "Mul": "mse", "Abs": "l1"}  # what is done with a difference


@dataclass(frozen=True)
class Comparison:
    """What an answer was compared with.

    Attributes:
        kind: How, where that is plain: mse, l1, or empty.
        stretched: Every row of the answer with every row of the target.
    """

    target: Tensor
    kind: str = ""
    stretched: bool = False


def compared_with(loss: Tensor, answer: Tensor, made_by: Any) -> Comparison | None:
    """Find the targets in the graph of a loss, before its backward.

    Args:
        loss: With its graph.
        answer: What the model gave, without.
        made_by: The node of the graph that made it.

    Returns:
        The first comparison that is found, targets in the shape they were given in; None where there is none.
    """
    for node, user in _walk(loss.grad_fn, made_by):
        if not answer.dim():
            break
        found = _of_node(node, user, answer.detach(), made_by)
        if found is not None:
            return found
    return None


def normalised_over_rows(loss: Tensor, made_by: Any) -> bool:
    """Whether a softmax of an answer, or one that made it, goes over the rows where classes are last."""
    top = seen_through(made_by)
    after = [node for node, _ in _walk(loss.grad_fn, made_by) if node.next_functions]
    softmaxes = [node for node in after if _is_view_of(node.next_functions[0][0], made_by)]
    return any(_over_rows(node) for node in (top, *softmaxes))


def _over_rows(node: Any) -> bool:
    if kind_of(node) not in ("Softmax", "LogSoftmax"):
        return False
    shape = node._input_metadata[0].shape
    axis = node._saved_dim if node._saved_dim < len(shape) else node._saved_dim - 2**64  # kept without a sign
    symmetric = len(shape) == 2 and shape[0] == shape[1]  # of all with all
    return len(shape) > 1 and axis in (0, -len(shape)) and shape[0] > 1 < shape[-1] and not symmetric


def of_all_with_all(loss: Tensor) -> bool:
    """Whether in a loss a line of numbers was multiplied by a column of as many: (B,) by (B, 1)."""
    return any(kind_of(node) in ("Mul", "Div") and _is_outer(node) for node, _ in _walk(loss.grad_fn, None))


def _is_outer(node: Any) -> bool:
    rows, *rest = node._input_metadata[0].shape or (0,)
    if rest != [rows] or rows < 2:
        return False
    sides = []
    for saved, (before, _) in zip(("_saved_self", "_saved_other"), node.next_functions, strict=False):
        kept = getattr(node, saved, None)
        if not isinstance(kept, Tensor):
            kept = before._input_metadata[0] if before is not None else torch.empty(())
        sides.append(tuple(kept.shape))
    return sorted(sides) == [(rows,), (rows, 1)]


def _walk(start: Any, end: Any) -> Iterator[tuple[Any, Any]]:
    """Nodes from a loss down to an answer, each with the one that uses it."""
    waiting, seen = [(start, None)], 0
    while waiting and seen < DEEPEST:
        node, user = waiting.pop(0)
        if node is None or node is end:
            continue
        seen += 1
        yield node, user
        waiting += [(before, node) for before, _ in node.next_functions]


def _of_node(node: Any, user: Any, answer: Tensor, made_by: Any) -> Comparison | None:
    kind = kind_of(node)
    if kind == "Sub":
        return _of_difference(node, user, answer, made_by)
    if kind in ("Index", "Gather") and _leads_to(node, made_by):
        index = node._saved_index if kind == "Gather" else _last(node._saved_indices)
        if index is None or index.numel() * answer.shape[-1] != answer.numel():
            return None
        return Comparison(index.detach().reshape(answer.shape[:-1]))
    if kind == "Mul":
        return _of_product(node, answer, made_by)
    return None


def _of_difference(node: Any, user: Any, answer: Tensor, made_by: Any) -> Comparison | None:
    """``answer - y`` or ``y - answer``, kept by what squares it or takes its size."""
    sides = [_is_view_of(before, made_by) for before, _ in node.next_functions]
    other = next(
        (before for (before, _), side in zip(node.next_functions, sides, strict=True) if not side), node
    )
    difference = getattr(user, "_saved_self", None)
    if other is not None or not isinstance(difference, Tensor):
        return None
    try:
        whole = answer.expand_as(difference) if answer.dim() else answer
    except RuntimeError:  # it was squeezed, or flattened
        if answer.numel() != difference.numel():
            return None
        whole = answer.reshape(difference.shape)
    target = whole - difference.detach() if sides[0] else whole + difference.detach()
    if not float(answer.abs().max()) <= LOST * float(target.abs().max()):
        return None
    stretched = target.numel() > answer.numel()
    if stretched:
        target = target[0] if answer.shape[-1] == 1 or target.dim() > 2 else target[:, 0]
    whole_numbers = target.round()
    if bool(((target - whole_numbers).abs() <= 1e-5 * (1 + answer.abs().max())).all()):  # but for rounding
        target = whole_numbers
    known = kind_of(user) != "Pow" or user._saved_exponent == 2
    return Comparison(target, KINDS.get(kind_of(user), "") if known else "", stretched)


def _is_view_of(node: Any, made_by: Any) -> bool:
    return node is made_by or (node is not None and seen_through(node) is seen_through(made_by))


def _of_product(node: Any, answer: Tensor, made_by: Any) -> Comparison | None:
    """``y * log(p)`` with y a number for each answer; the half with ``1 - y`` is passed over."""
    for saved, (before, _) in zip(("_saved_other", "_saved_self"), node.next_functions, strict=False):
        factor = getattr(node, saved, None)
        if before is None or not isinstance(factor, Tensor) or factor.requires_grad:
            continue
        kinds = _kinds_until(before, made_by)
        if factor.numel() != answer.numel() or "Rsub" in kinds or not REORDER.isdisjoint(kinds):
            continue  # or its rows stand in another order
        factor = factor.detach()
        one_hot = factor.dim() == 2 and factor.shape[1] > 1 and bool((factor.sum(1) == 1).all())
        stretched = math.prod(node._input_metadata[0].shape) > answer.numel()
        if one_hot and bool(((factor == 0) | (factor == 1)).all()):
            factor = factor.argmax(1)
        return Comparison(factor, stretched=stretched)
    return None


def _kinds_until(node: Any, end: Any) -> list[str]:
    """The operations from here to an answer, if it is reached; ``Rsub`` where it is not."""
    kinds: list[str] = []
    for _ in range(DEEPEST):
        if node is end:
            return kinds
        if node is None or not node.next_functions:
            return ["Rsub"]
        kinds.append(kind_of(node))
        node = node.next_functions[0][0]
    return ["Rsub"]


def _leads_to(node: Any, end: Any) -> bool:
    return any(
        each is end or any(before is end for before, _ in each.next_functions) for each, _ in _walk(node, end)
    )


def _last(indices: Any) -> Tensor | None:
    """The index along the classes, of ``logp[rows, y]``."""
    found = [
        i
        for i in indices
        if isinstance(i, Tensor) and not i.dtype.is_floating_point and i.dtype != torch.bool
    ]
    return found[-1] if len(found) > 1 else None
