"""Questions put to a copy of the model before its first update: is it linear, does it mix rows, see ahead?

Nothing here touches the run: the copy is thrown away, the random numbers are put back, what it prints is not
shown. A probe that cannot be asked of a model has no answer in the result.
"""

# B rows, T places of a sequence, F features

import copy
import io
import math
import random
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from didact.doctor.operations import producer
from didact.doctor.taps import LossCall

ROWS = 8
RATES, TRIES, LONGEST = (1e-2, 1e-3, 1e-1), 100, 2.0  # of a batch learned by heart: steps, seconds
SCALES = (1.0, 100.0)  # a curve that is straight near zero is not straight far away


@dataclass(frozen=True)
class Inputs:
    """How a model was called: the tensor that matters, and all the rest."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def tensor(self) -> Tensor | None:
        """The first tensor of at least one axis, also inside a mapping or a tuple."""
        return next((v for v in _tensors((*self.args, *self.kwargs.values())) if v.dim()), None)

    @cached_property
    def parts(self) -> list[Tensor]:
        """Every tensor that has as many rows as that one."""
        mine, everything = self.tensor, _tensors((*self.args, *self.kwargs.values()))
        return [v for v in everything if mine is not None and v.dim() and len(v) == len(mine)]

    @cached_property
    def rows(self) -> Tensor | None:
        """One row for each example: a table of several parts, or users and items, side by side."""
        mine, parts = self.tensor, self.parts
        if mine is None or len(parts) < 2 or mine.dim() > 2:
            return mine
        if mine.dim() == 1:
            others = [v for v in parts if v.shape == mine.shape]
            return torch.stack([v.to(mine.dtype) for v in others], 1) if len(others) > 1 else mine
        columns = [v for v in parts if v.dim() == 2 and (v is mine or len(v) != v.shape[1])]  # nor a graph
        apart = len({v.shape for v in columns}) == len(columns)  # a mask has the shape of what it masks
        if len(columns) < 2 or not apart or not any(v.is_floating_point() for v in columns):
            return mine
        return torch.cat([v.detach().float() for v in columns], 1)

    def identity(self, but: Collection[int] = ()) -> Tensor | None:
        """All that tells one example from another, (B, ...); ``but``: places of parts that do not."""
        mine, parts = self.rows, [v for k, v in enumerate(self.parts) if k not in but]
        if mine is None or len(parts) < 2 or mine.dim() < 2 or mine is not self.tensor:
            return mine
        return torch.cat([v.detach().reshape(len(v), -1).double() for v in parts], 1)

    def apart(self) -> "Inputs":
        """The same call with copies of its tensors: the loop may write over them."""
        copy = self
        for each in _tensors((*self.args, *self.kwargs.values())):
            copy = copy.having(each.detach().clone(), each)
        return copy

    @property
    def numbers(self) -> int:
        """How many there are in its tensors."""
        return sum(each.numel() for each in _tensors((*self.args, *self.kwargs.values())))

    def having(self, other: Tensor, place: Tensor | None = None) -> "Inputs":
        """The same call with another tensor in its place, or in that of one of the others."""
        mine = self.tensor if place is None else place
        kwargs = {k: _exchanged(v, mine, other) for k, v in self.kwargs.items()}
        return replace(self, args=tuple(_exchanged(v, mine, other) for v in self.args), kwargs=kwargs)


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value] if value.layout is torch.strided else []  # a sparse one is a graph, and no rows
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


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
    return {tensor.data_ptr() for tensor in _tensors(output)}


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


class _Hushed(io.TextIOBase):
    """A screen on which this thread writes nothing, and all others what they like."""

    def __init__(self, screen: Any):
        self.screen, self.owner = screen, threading.get_ident()

    def write(self, text: str) -> int:
        """To the screen, unless it is ours."""
        return len(text) if threading.get_ident() == self.owner else int(self.screen.write(text))

    def flush(self) -> None:
        """The screen."""
        self.screen.flush()


@contextmanager
def untouched() -> Iterator[None]:
    """Leave every random number generator as it was, and the screen."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - the user's own generator
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    told, sys.stdout = sys.stdout, _Hushed(sys.stdout)
    hushed = sys.stdout
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            if sys.stdout is hushed:
                sys.stdout = told
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


def probe(
    model: nn.Module, inputs: Inputs, targets: Tensor | None, call: LossCall | None, shifted: int | None
) -> dict[str, Any]:
    """Ask everything that can be asked of this model.

    Args:
        model: As it is before its first update; it is copied.
        inputs: Of its first pass in training.
        targets: What belongs to them, as the loop has it.
        call: The loss that was computed of its output.
        shifted: The axis along which the targets are the inputs, one place on; None where they are not.

    Returns:
        Some of ``bend``, ``mixing``, ``reach``, ``future``, ``order`` and ``peeks``, in units of the size of
        the output, and ``memory``.
    """
    x = inputs.tensor
    if x is None or not x.numel():
        return {}
    found: dict[str, Any] = {}
    with untouched():
        try:
            twin = copy.deepcopy(model).eval()
        except (RuntimeError, TypeError, ValueError, AttributeError):  # it holds what cannot be copied
            return {}
        asking = _Asking(twin, inputs, x.detach().clone(), targets, shifted)
        for name, ask in (
            ("bend", asking.bend),
            ("mixing", asking.mixing),
            ("reach", asking.reach),
            ("future", lambda: asking.future() if shifted is not None else None),
            ("order", asking.order),
            ("peeks", asking.peeks),
        ):
            with suppress(RuntimeError, ValueError, IndexError, TypeError), torch.no_grad():
                answer = ask()
                if answer is not None and math.isfinite(answer):
                    found[name] = answer
        if call is not None:
            with suppress(RuntimeError, ValueError, IndexError, TypeError):
                found |= asking.memory(call)
    return found


class _Asking:
    """A copy of the model, and the batch it is asked about."""

    def __init__(
        self, twin: nn.Module, inputs: Inputs, x: Tensor, targets: Tensor | None, shifted: int | None
    ):
        self.twin, self.inputs, self.x, self.targets = twin, inputs, x, targets
        self.rows, self.shifted = self._row_axis(targets), shifted is not None
        if self.rows is None and shifted is not None and x.dim() == 2:  # targets came flattened
            self.rows = 1 - shifted
        self.places = shifted if shifted is not None or self.rows is None else 1 - self.rows
        if x.dim() not in (2, 3) or (x.dim() == 2 and x.is_floating_point() and shifted is None):
            self.places = None  # a table, a picture: no sequence

    def run(self, x: Tensor, inputs: Inputs | None = None) -> Tensor:
        """The answer for another tensor; what the model draws at random is drawn alike each time."""
        torch.default_generator.manual_seed(0)  # those that ``untouched`` puts back, and no other
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(0)
        call = (inputs or self.inputs).having(x)
        answer = answer_of(self.twin(*call.args, **call.kwargs))
        if answer is None:
            raise ValueError("no answer")
        return answer

    def bend(self) -> float | None:
        """How far it is from one affine map, in units of how much its answers move: 0 for a linear model.

        f(a + b) - f(a) - f(b) + f(0) is 0 for every affine f; the last squashing is taken off first.
        """
        if len(self.x) < 2:
            return None
        straight = self._straightener()
        x, run = (self.x, self.run) if self.x.is_floating_point() else self._behind_names()
        size = x.abs().max()
        if not size:
            return None
        bends = []
        for scale in SCALES:
            rows = x[: 2 * ROWS] * (scale / size)
            half = len(rows) // 2
            a, b = rows[:half], rows[half : 2 * half] + 0.1 * scale * torch.randn_like(rows[half : 2 * half])
            fa, fb, both, none = (straight(run(v)).double() for v in (a, b, a + b, torch.zeros_like(a)))
            moved = max(float((fa - none).abs().max()), float((fb - none).abs().max()))
            if moved < 1e-12 or not math.isfinite(moved):
                return None
            bends.append(float((both - fa - fb + none).abs().max()) / moved)
        return max(bends)

    def _behind_names(self) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Of what only names things: the numbers beside them, or what their embedding hands on."""
        numbers = next((v for v in self.inputs.parts if v.is_floating_point() and v.dim() == 2), None)
        if numbers is None:
            return self._behind_embedding()

        def run(x: Tensor) -> Tensor:
            whole = numbers.detach().clone()
            whole[: len(x)] = x
            inputs = self.inputs.having(whole, numbers)
            answer = answer_of(self.twin(*inputs.args, **inputs.kwargs))
            if answer is None:
                raise ValueError("no answer")
            return answer[: len(x)]

        return numbers.detach(), run

    def _behind_embedding(self) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Of tokens: what their embedding hands on, and the model from there.

        Raises:
            ValueError: There is not exactly one embedding.
        """
        tables = [module for module in self.twin.modules() if isinstance(module, nn.Embedding)]
        if len(tables) != 1:
            raise ValueError("no single embedding")
        heard: list[Tensor] = []
        handle = tables[0].register_forward_hook(lambda m, i, out: heard.append(out))
        self.run(self.x)
        handle.remove()

        def run(vectors: Tensor) -> Tensor:
            handle = tables[0].register_forward_hook(lambda m, i, out: vectors)
            try:
                return self.run(self.x[: len(vectors)])
            finally:
                handle.remove()

        return heard[0], run

    def _straightener(self) -> Callable[[Tensor], Tensor]:
        with torch.enable_grad():
            made = producer(self.run(self.x[:2]))
        if made == "Sigmoid":
            return lambda out: torch.logit(out.double(), eps=1e-12)
        if made == "Softmax":
            return lambda out: _centred(out.double().clamp(min=1e-30).log())
        return _centred if made == "LogSoftmax" else lambda out: out

    def mixing(self) -> float | None:
        """How far the answers of other rows move when one row changes."""
        axis = self.rows
        if axis is None or self.x.shape[axis] < 2:
            return None
        changed = self._changed(axis, 0)
        before, after = self.run(self.x), self.run(changed)
        rows = self.x.shape[axis]
        if (
            before.dim()
            and before.shape[0] == rows * self.x.shape[1 - axis]
            and self.x.dim() > 1
            and before.shape[0] != rows
        ):
            before, after = (out.unflatten(0, (rows, -1)) for out in (before, after))  # (B T, C)
        if axis == 0 and before.dim() and before.shape[0] > rows and before.shape[0] % rows == 0:
            before, after = (out.unflatten(0, (rows, -1)) for out in (before, after))  # (B H W, C)
        out_axis = axis if axis < before.dim() and before.shape[axis] == rows else 0
        if before.shape[out_axis] != rows or before.shape[out_axis + 1 :] == (rows,):  # all with all
            return None
        others = torch.arange(1, rows, device=before.device)
        return _moved(before.index_select(out_axis, others), after.index_select(out_axis, others))

    def reach(self) -> float | None:
        """How far the answer of a row moves when the row changes."""
        if self.rows != 0 or len(self.x) < 2:
            return None
        before, after = self.run(self.x), self.run(self._changed(0, 0))
        return _moved(before[:1], after[:1]) if before.shape[:1] == self.x.shape[:1] else None

    def _row_axis(self, targets: Tensor | None) -> int | None:
        if targets is None or not targets.dim():
            return None
        rows = len(targets)
        if self.x.shape[0] == rows:
            return 0
        return 1 if self.x.dim() > 1 and self.x.shape[1] == rows else None

    def _changed(self, axis: int, index: int) -> Tensor:
        """The batch with one slice replaced: numbers by noise, tokens by those of another row."""
        changed = self.x.clone()
        one = changed.select(axis, index)
        if self.x.is_floating_point():
            one += one.std(correction=0).clamp(min=0.1) * torch.randn_like(one)
        else:
            one.copy_(self.x.flatten()[torch.randint(self.x.numel(), one.shape, device=one.device)])
        return changed

    def future(self) -> float | None:
        """How far answers move when a later place changes; (B, T) or (T, B) tokens."""
        axis = self.places
        if axis is None or self.x.shape[axis] < 4:
            return None
        t = self.x.shape[axis] // 2
        changed = self.x.clone()
        later = changed.narrow(axis, t, self.x.shape[axis] - t)
        if self.x.is_floating_point():
            later += torch.randn_like(later)
        else:
            later.copy_(self.x.flatten()[torch.randint(self.x.numel(), later.shape, device=later.device)])
        before, after = (self._by_place(self.run(x)) for x in (self.x, changed))
        numbers = self.x.is_floating_point() and before.shape == self.x.shape
        if (before.dim() < 3 and not numbers) or before.shape[axis] != self.x.shape[axis]:
            return None
        return _moved(before.narrow(axis, 0, t), after.narrow(axis, 0, t))

    def _by_place(self, answer: Tensor) -> Tensor:
        """Answers (B T, C) as (B, T, C)."""
        flat = self.x.dim() == 2 and answer.shape[0] == self.x.numel()
        return answer.unflatten(0, self.x.shape) if flat else answer

    def order(self) -> float | None:
        """How far the answer moves when the places of a sequence are shuffled, and shuffled back."""
        axis = self.places
        if axis is None or self.x.shape[axis] < 3:
            return None
        mixed = torch.randperm(self.x.shape[axis], device=self.x.device)
        if self.shifted:  # every place sees those before it: shuffle them, ask the last
            return self._order_before(axis)
        before, after = (self._by_place(self.run(x)) for x in (self.x, self.x.index_select(axis, mixed)))
        if before.dim() == 3 and before.shape[axis] == self.x.shape[axis]:
            after = after.index_select(axis, mixed.argsort())
        return _moved(before, after)

    def _order_before(self, axis: int) -> float | None:
        count = self.x.shape[axis]
        mixed = torch.cat([torch.randperm(count - 1), torch.tensor([count - 1])]).to(self.x.device)
        before, after = (self._by_place(self.run(x)) for x in (self.x, self.x.index_select(axis, mixed)))
        if before.dim() != 3 or before.shape[axis] != count:
            return None
        return _moved(before.select(axis, count - 1), after.select(axis, count - 1))

    def peeks(self) -> float | None:
        """How far the answer at a place moves with the very word there that it has to tell."""
        told = next((p for p in self.inputs.parts[1:] if _is_told(p, self.targets)), None)
        if told is None or told.shape[1] < 2:
            return None
        place, other = told.shape[1] // 2, told.clone()
        other[:, place] = told[:, place].roll(1)
        if bool((other == told).all()):
            return None
        answers = self.run(self.x), self.run(self.x, self.inputs.having(other, told))
        before, after = (answer.reshape(*told.shape, -1)[:, place] for answer in answers)
        return _moved(before, after)

    def memory(self, call: LossCall) -> dict[str, Any]:
        """How much the loss hears of the first places of a sequence, beside the last: by gradient."""
        axis = self.places
        if axis is None or self.x.shape[axis] < 8:
            return {}
        heard: list[Tensor] = []
        leaf = self.x.clone()
        handles = []
        if leaf.is_floating_point():
            leaf.requires_grad_()
            heard.append(leaf)
        else:
            embeddings = [module for module in self.twin.modules() if isinstance(module, nn.Embedding)]
            handles = [e.register_forward_hook(lambda m, i, out: heard.append(out)) for e in embeddings]
        with torch.enable_grad():
            answer = self.run(leaf)
            loss = call.again(shaped_as(answer, call.given), call.target).mean()
            places = [
                h for h in heard if h.requires_grad and h.dim() == 3 and h.shape[:2] == self.x.shape[:2]
            ]
            if not places:
                return {}
            (gradient,) = torch.autograd.grad(loss, places[0])
        for handle in handles:
            handle.remove()
        by_place = gradient.double().pow(2).sum(-1).mean(1 - axis).sqrt()
        last = answer.dim() == 2 and len(answer) == self.x.shape[1 - axis]
        return {"memory": by_place.tolist(), "answers last": last}


def by_heart(model: nn.Module, inputs: Inputs, call: LossCall) -> float | None:
    """What is left of the loss of one batch that a copy tried to learn by heart, at the best of three rates.

    Args:
        model: As it is now; it is copied.
        inputs: One batch.
        call: The loss that was computed of it, which knows the targets.

    Returns:
        The smallest loss; None where the model cannot be copied or asked alone, or where two seconds were not
        enough to tell.
    """
    best, until = math.inf, perf_counter() + LONGEST
    with untouched(), suppress(RuntimeError, TypeError, ValueError, AttributeError), torch.enable_grad():
        for rate in RATES:
            twin = copy.deepcopy(model).train()
            best = min(best, _learned(twin, inputs, call, rate, until))
    told = math.isfinite(best) and (perf_counter() < until or best < 0.5 * float(call.value.mean()))
    return best if told else None


def _learned(twin: nn.Module, inputs: Inputs, call: LossCall, rate: float, until: float) -> float:
    """The smallest loss on the way, by Adam (Kingma and Ba 2015) written out: no optimizer is heard."""
    weights = [p for p in twin.parameters() if p.requires_grad]
    means, squares = ([torch.zeros_like(p) for p in weights] for _ in range(2))
    best = math.inf
    for step in range(1, TRIES + 1):
        answer = answer_of(twin(*inputs.args, **inputs.kwargs))
        if answer is None or perf_counter() > until:
            break
        loss = call.again(shaped_as(answer, call.given), call.target).mean()
        best = min(best, float(loss.detach())) if torch.isfinite(loss) else best
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        with torch.no_grad():
            for weight, gradient, mean, square in zip(weights, gradients, means, squares, strict=True):
                if gradient is not None:
                    mean.lerp_(gradient, 0.1)
                    square.lerp_(gradient**2, 0.01)
                    size = (square / (1 - 0.99**step)).sqrt_().add_(1e-8)
                    weight.addcdiv_(mean, size, value=-rate / (1 - 0.9**step))
    return best


def _is_told(part: Tensor, targets: Tensor | None) -> bool:
    """Whether an input is the targets themselves, as class numbers, (B, T)."""
    if targets is None or part.dim() != 2 or part.is_floating_point() or part.numel() != targets.numel():
        return False
    return bool((part.flatten() == targets.flatten()).all())


def _centred(out: Tensor) -> Tensor:
    return out.double() - out.double().mean(-1, keepdim=True)


def _moved(before: Tensor, after: Tensor) -> float:
    size = max(float(before.double().std(correction=0)), float(before.abs().max()) * 1e-3, 1e-12)
    return float((before.double() - after.double()).abs().max()) / size
