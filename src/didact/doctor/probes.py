"""Questions put to a copy of the model before its first update: is it linear, does it mix rows, see ahead?

Nothing here touches the run: the copy is thrown away, the random numbers are put back, what it prints is not
shown. A probe that cannot be asked of a model has no answer in the result.
"""

# B rows, T places of a sequence, F features

import copy
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from didact.doctor.inputs import Inputs, answer_of, shaped_as
from didact.doctor.operations import producer
from didact.doctor.taps import LossCall
from didact.doctor.untouched import untouched

ROWS = 8
POOL = ("input", "kernel_size", "stride", "padding")
MEANS: dict[str, tuple[Callable[..., Tensor], tuple[str, ...]]] = {  # with what they take
    **{f"max_pool{d}d": (getattr(functional, f"avg_pool{d}d"), POOL) for d in (1, 2, 3)},
    **{
        f"adaptive_max_pool{d}d": (getattr(functional, f"adaptive_avg_pool{d}d"), ("input", "output_size"))
        for d in (1, 2, 3)
    },
}
SCALES = (1.0, 100.0)  # a curve that is straight near zero is not straight far away


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
        Some of ``bend``, ``bend but for pools``, ``mixing``, ``reach``, ``future``, ``order`` and ``peeks``,
        in units of the size of the output, ``memory`` and ``unreached``.
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
            ("bend but for pools", asking.bend_but_for_pools),
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
            for tell in (asking.memory, asking.unreached):
                with suppress(RuntimeError, ValueError, IndexError, TypeError):
                    found |= tell(call)
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
            if len(self.inputs.parts) > 1:  # which belong to these very rows
                a, b = x * (scale / size), x.flip(0) * (scale / size)
            else:
                rows = x[: 2 * ROWS] * (scale / size)
                a, b = rows[: len(rows) // 2], rows[len(rows) // 2 : len(rows) // 2 * 2]
            b = b + 0.1 * scale * torch.randn_like(b)
            fa, fb, both, none = (straight(run(v)).double() for v in (a, b, a + b, torch.zeros_like(a)))
            moved = max(float((fa - none).abs().max()), float((fb - none).abs().max()))
            if moved < 1e-12 or not math.isfinite(moved):
                return None
            bends.append(float((both - fa - fb + none).abs().max()) / moved)
        return max(bends)

    def bend_but_for_pools(self) -> float | None:
        """The same where each pool takes the mean in place of the largest; None without a pool."""
        with _Averaging() as pools:
            self.run(self.x)
            return self.bend() if pools.met else None

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
            made = producer(self.run(self.x))
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
        rows = self.x.shape[axis]
        before, after = self.run(self.x), self.run(self._changed(axis, 0), self._changed_beside(axis))
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
        """The batch with one slice replaced: numbers by noise, names by those of other rows."""
        changed = self.x.clone()
        one = changed.select(axis, index)
        if self.x.is_floating_point():
            one += one.std(correction=0).clamp(min=0.1) * torch.randn_like(one)
        else:
            others = torch.randint(self.x.shape[axis], one.shape, device=one.device).unsqueeze(axis)
            one.copy_(self.x.gather(axis, others).squeeze(axis))
        return changed

    def _changed_beside(self, axis: int) -> Inputs:
        """The call in which what lies beside that row is another row's: names next to numbers, say."""
        inputs, rows = self.inputs, self.x.shape[axis]
        for part in self.inputs.parts[1:] if axis == 0 else ():
            if part.shape[1:2] != (rows,):  # else it may be a graph
                other = part.clone()
                other[0] = part[-1]
                inputs = inputs.having(other, part)
        return inputs

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

    def unreached(self, call: LossCall) -> dict[str, Any]:
        """Parameters that the loss of the answer does not reach, by name."""
        weights = {name: p for name, p in self.twin.named_parameters() if p.requires_grad}
        with torch.enable_grad():
            answer = self.run(self.x)
            loss = call.again(shaped_as(answer, call.given), call.target).mean()
        gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        return {"unreached": [name for name, g in zip(weights, gradients, strict=True) if g is None]}


class _Averaging(TorchFunctionMode):
    """Pools take the mean where they took the largest; ``met``: there was one."""

    met = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run it, or what stands for it."""
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if name not in MEANS:
            return func(*args, **kwargs)
        self.met = True
        mean, names = MEANS[name]
        given = dict(zip(names, args, strict=False)) | kwargs
        return mean(**{name: given[name] for name in names if given.get(name) is not None})


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
