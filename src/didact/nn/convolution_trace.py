"""A convolution done by hand: every position, every product, every sum, as the notes print them.

    u(1,1) = 4x1 + 5x4 + 8x1 + 1x1 + 8x4 + 8x3 + 3x3 + 6x3 + 6x1 = 122

Loops and nothing else, so that it can be read and stepped through; it counts what it does. For work see
nn/convolution.py, which gives the same numbers at once.
"""

# C channels, H W height and width, K filters, F side of a filter

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from didact.errors import UsageError
from didact.nn.windows import Sizes, each, output_size, pad, widths

Numbers = Tensor | Sequence[Any]  # a tensor, or lists of lists
LONGEST = 27  # products of a sum that are printed whole: a 3x3 filter on a colour image


@dataclass(frozen=True, eq=False)
class Step:
    """One position of one filter: what it read and what came of it. Counted from 1, as in the notes."""

    filter: int
    row: int
    column: int
    window: Tensor  # (C, F, F)
    terms: tuple[tuple[float, float], ...]  # pixel and weight, in reading order
    bias: float | None
    total: float
    name: str = "u"

    @property
    def multiplications(self) -> int:
        """One for each weight."""
        return len(self.terms)

    @property
    def additions(self) -> int:
        """One less than there are products; one more for a bias."""
        return len(self.terms) - 1 + (self.bias is not None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "filter": self.filter,
            "row": self.row,
            "column": self.column,
            "terms": [list(term) for term in self.terms],
            "bias": self.bias,
            "total": self.total,
        }

    def __str__(self) -> str:
        terms = [_term(pixel, weight) for pixel, weight in self.terms]
        if len(terms) > LONGEST:
            terms = [*terms[:3], "...", terms[-1]]
        if self.bias is not None:
            terms.append(_number(self.bias))
        total = " + ".join(terms).replace("+ -", "- ")
        return f"{self.name}({self.row},{self.column}) = {total} = {_number(self.total)}"


@dataclass(frozen=True, eq=False)
class Trace:
    """All steps of a convolution. Print it to read them."""

    steps: tuple[Step, ...]
    output: Tensor  # (H', W'), or (K, H', W') for several filters
    show: int = 16  # steps that are printed

    @property
    def multiplications(self) -> int:
        """Of all steps."""
        return sum(step.multiplications for step in self.steps)

    @property
    def additions(self) -> int:
        """Of all steps."""
        return sum(step.additions for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: every step, the output as lists, the counts."""
        return {
            "steps": [step.to_dict() for step in self.steps],
            "output": self.output.tolist(),
            "multiplications": self.multiplications,
            "additions": self.additions,
        }

    def __str__(self) -> str:
        lines = [str(step) for step in self.steps[: self.show]]
        if len(self.steps) > self.show:
            lines.append(f"... and {len(self.steps) - self.show} more")
        counts = f"{self.multiplications:,} multiplications, {self.additions:,} additions"
        return "\n".join([*lines, f"{len(self.steps):,} positions: {counts}"])


def trace(
    x: Numbers,
    weight: Numbers,
    bias: float | Numbers | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes | str = "valid",
    padding_mode: str = "zeros",
    show: int = 16,
) -> Trace:
    """Slide filters over one image and keep every step.

    Args:
        x: The image (H, W) or (C, H, W), a tensor or lists.
        weight: A filter (F, F) or (C, F, F), or several (K, C, F, F).
        bias: A number, or one for each filter; None adds nothing, and counts nothing.
        stride: S.
        padding: ``valid``, ``same`` or P.
        padding_mode: As for ``didact.nn.windows.pad``.
        show: Steps that ``print`` shows.

    Example:
        >>> print(trace([[4, 5, 8], [1, 8, 8]], [[1, 4], [0, -1]], show=1))
        u(1,1) = 4x1 + 5x4 + 1x0 + 8x(-1) = 16
        ... and 1 more
        2 positions: 8 multiplications, 6 additions
    """
    image, filters = torch.as_tensor(x), torch.as_tensor(weight)
    several = filters.dim() == 4
    image, filters = _with_channels(image, filters)
    biases = _biases(bias, len(filters))
    kernel = filters.shape[2:]
    strides, padded = each(stride, 2, "stride"), pad(image[None], widths(padding, kernel), padding_mode)[0]
    sizes = [output_size(n, f, s) for n, f, s in zip(padded.shape[1:], kernel, strides, strict=True)]
    steps = []
    for k, i, j in product(range(len(filters)), range(sizes[0]), range(sizes[1])):
        top, left = i * strides[0], j * strides[1]
        window = padded[:, top : top + kernel[0], left : left + kernel[1]]
        terms = tuple(zip(window.flatten().tolist(), filters[k].flatten().tolist(), strict=True))
        total = sum(pixel * number for pixel, number in terms)
        total = total if biases[k] is None else total + biases[k]
        steps.append(
            Step(k + 1, i + 1, j + 1, window, terms, biases[k], total, f"u{k + 1}" if several else "u")
        )
    kept = image.dtype if image.is_floating_point() else torch.get_default_dtype()
    output = torch.tensor([step.total for step in steps], dtype=kept).view(len(filters), *sizes)
    return Trace(tuple(steps), output if several else output[0], show)


def _with_channels(image: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
    """As (C, H, W) and (K, C, F, F)."""
    given = f"x of shape {tuple(image.shape)} with weight of shape {tuple(filters.shape)}"
    if image.dim() == 2:
        image = image[None]
        filters = filters[None] if filters.dim() == 2 else filters
    filters = filters[None] if filters.dim() == 3 else filters
    if image.dim() != 3 or filters.dim() != 4 or filters.shape[1] != image.shape[0]:
        raise UsageError(
            f"{given}: give (height, width) with a filter of two axes, or both with their channels in front"
        )
    return image, filters


def _biases(bias: float | Numbers | None, count: int) -> list[Any]:
    """One for each filter."""
    if bias is None or isinstance(bias, int | float):
        return [bias] * count
    values = torch.as_tensor(bias).flatten().tolist()
    if len(values) != count:
        raise UsageError(f"bias of {len(values)} numbers: one a filter, give {count}")
    return values


def _term(pixel: float, weight: float) -> str:
    return f"{_number(pixel)}x{_number(weight) if weight >= 0 else f'({_number(weight)})'}"


def _number(value: float) -> str:
    return f"{value + 0.0:.6g}"
