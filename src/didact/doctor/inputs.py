"""How a model was called and what it gave: the tensors in both, wherever they are."""

# B rows

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class Inputs:
    """How a model was called: the tensor that matters, and all the rest."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def everything(self) -> list[Tensor]:
        """All tensors, also inside mappings and tuples."""
        return tensors_in((*self.args, *self.kwargs.values()))

    @cached_property
    def tensor(self) -> Tensor | None:
        """The first tensor of at least one axis."""
        return next((v for v in self.everything if v.dim()), None)

    @cached_property
    def parts(self) -> list[Tensor]:
        """Every tensor that has as many rows as that one."""
        mine = self.tensor
        return [v for v in self.everything if mine is not None and v.dim() and len(v) == len(mine)]

    @cached_property
    def rows(self) -> Tensor | None:
        """One row for each example: a table of several parts, or users and items, side by side."""
        mine = self.tensor
        if mine is None or len(self.everything) < 2:
            return mine
        if self.bags is not None:
            return self.bags
        parts = self.parts
        if len(parts) < 2 or mine.dim() > 2:
            return mine
        if mine.dim() == 1:
            others = [v for v in parts if v.shape == mine.shape]
            return torch.stack([v.to(mine.dtype) for v in others], 1) if len(others) > 1 else mine
        columns = [v for v in parts if v.dim() == 2 and (v is mine or len(v) != v.shape[1])]  # nor a graph
        apart = len({v.shape for v in columns}) == len(columns)  # a mask has the shape of what it masks
        if len(columns) < 2 or not apart or not any(v.is_floating_point() for v in columns):
            return mine
        return torch.cat([v.detach().float() for v in columns], 1)

    @cached_property
    def bags(self) -> Tensor | None:
        """Words of all rows in one line, told apart by where each begins (``nn.EmbeddingBag``), as (B, T)."""
        words = self.tensor
        if words is None or words.dim() != 1 or words.is_floating_point():
            return None
        for other in self.everything:
            if other is words or other.dim() != 1 or other.is_floating_point() or len(other) < 2:
                continue
            begins = other.tolist()
            many = [v for v in self.everything if v.dim() > 1]
            if begins[-1] == len(words) and not any(len(v) == len(begins) for v in many):
                begins.pop()  # an end for the last as well
            in_order = begins[0] == 0 and all(a <= b for a, b in pairwise([*begins, len(words)]))
            if in_order and len(begins) < len(words):
                return pad_sequence([*words.detach().cpu().tensor_split(begins[1:])], batch_first=True)
        return None

    @cached_property
    def numbers_of_rows(self) -> Tensor | None:
        """What rows measure: themselves, or the numbers beside what only names things."""
        mine = self.rows
        measured = [v for v in self.parts if v.dim() == 2 and v.is_floating_point()]
        if measured and mine is not None and mine.is_floating_point() and mine is not self.tensor:
            return torch.cat(measured, 1)
        if mine is None or mine.is_floating_point():
            return mine
        others = (v for v in self._beside(mine) if v.is_floating_point() and v.dim() == 2)
        return next((v for v in others if not _of_two_numbers(v)), None)  # else it is a mask

    def identity(self, but: Collection[int] = ()) -> Tensor | None:
        """All that tells one example from another, (B, ...); ``but``: places of parts that do not.

        Rows of words come last, with what has their shape place by place: so what a batch was filled up with,
        if that is zero, lies at the end.
        """
        mine = self.rows
        if mine is None or mine.dim() < 2:
            return mine
        if mine is self.tensor:
            parts = [v for k, v in enumerate(self.parts) if k not in but]
        else:
            parts = [*self._beside(mine), mine] if mine is self.bags else []
        if len(parts) < 2:
            return mine
        parts = [v.detach().to(mine.device, torch.float64) for v in parts]
        if mine.is_floating_point():
            return torch.cat([v.reshape(len(v), -1) for v in parts], 1)
        columns = [v.reshape(len(v), -1) for v in parts if v.shape != mine.shape]
        alike = [v for v in parts if v.shape == mine.shape]
        if alike:
            columns.append(torch.stack(alike, -1).reshape(len(mine), -1))
        return torch.cat(columns, 1)

    def _beside(self, mine: Tensor) -> list[Tensor]:
        """Other parts that have as many rows."""
        return [v for v in self.everything if v is not mine and v.dim() > 1 and len(v) == len(mine)]

    def apart(self) -> "Inputs":
        """The same call with copies of its tensors: the loop may write over them."""
        copy = self
        for each in self.everything:
            copy = copy.having(each.detach().clone(), each)
        return copy

    @property
    def numbers(self) -> int:
        """How many there are in its tensors."""
        return sum(each.numel() for each in self.everything)

    def having(self, other: Tensor, place: Tensor | None = None) -> "Inputs":
        """The same call with another tensor in its place, or in that of one of the others."""
        mine = self.tensor if place is None else place
        kwargs = {k: _exchanged(v, mine, other) for k, v in self.kwargs.items()}
        return replace(self, args=tuple(_exchanged(v, mine, other) for v in self.args), kwargs=kwargs)


def _of_two_numbers(values: Tensor) -> bool:
    """Whether nothing but two different numbers is in it."""
    if not values.numel():
        return True
    low, high = values.min(), values.max()
    return bool(((values == low) | (values == high)).all())


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors of a value, also inside mappings, lists and tuples; not sparse ones."""
    if isinstance(value, Tensor):
        return [value] if value.layout is torch.strided else []  # a sparse one is a graph, and no rows
    parts = value if isinstance(value, list | tuple) else value.values() if isinstance(value, Mapping) else ()
    return [tensor for part in parts for tensor in tensors_in(part)]


def _exchanged(value: Any, mine: Tensor | None, other: Tensor) -> Any:
    """A value with one tensor in place of another, wherever that is in it."""
    if value is mine:
        return other
    if isinstance(value, Mapping):
        return {name: _exchanged(part, mine, other) for name, part in value.items()}
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(_exchanged(part, mine, other) for part in value)
    return value


def answer_of(output: Any) -> Tensor | None:
    """The tensor of an output that a loss would take: its ``logits``, or the first of floating point."""
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else None
    if isinstance(output, Mapping):
        if isinstance(output.get("logits"), Tensor):
            return output["logits"]
        output = tuple(output.values())
    if isinstance(output, list | tuple):
        return next((found for found in map(answer_of, output) if found is not None and found.dim()), None)
    return None


def places_of(output: Any) -> set[int]:
    """Where the numbers of all tensors of an output lie."""
    return {tensor.data_ptr() for tensor in tensors_in(output)}


def shaped_as(answer: Tensor, given: Tensor) -> Tensor:
    """An answer in the shape that a loss was given it in: flattened, squeezed, or with the classes second.

    Raises:
        ValueError: It was none of these.
    """
    if answer.shape == given.shape:
        return answer
    if answer.dim() > 2 and answer.movedim(-1, 1).shape == given.shape:
        return answer.movedim(-1, 1)
    squeezed = [n for n in answer.shape if n > 1] == [n for n in given.shape if n > 1]
    if squeezed or (answer.numel() == given.numel() and answer.shape[-1] == given.shape[-1]):
        return answer.reshape(given.shape)
    raise ValueError(f"an answer of {tuple(answer.shape)} for a loss of {tuple(given.shape)}")
