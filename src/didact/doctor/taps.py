"""Where torch is listened to: losses, backward, clipping, scaling, optimizer steps, batches and comparisons.

A tap wraps one function of torch that every way of writing a loop goes through, hands its arguments on
unchanged and tells whoever listens. The wrappers are in place only while somebody does.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils import clip_grad
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils.data import dataloader

from didact.doctor.hooks import transformed
from didact.doctor.operations import producer

LOSSES: dict[str, tuple[Any, str, int]] = {  # kind: where the kernel is, its name, position of the reduction
    "cross_entropy": (torch._C._nn, "cross_entropy_loss", 3),
    "nll": (torch._C._nn, "nll_loss_nd", 3),
    "bce": (torch._C._nn, "binary_cross_entropy", 3),
    "bce_logits": (torch, "binary_cross_entropy_with_logits", 4),
    "mse": (torch._C._nn, "mse_loss", 2),
    "l1": (torch._C._nn, "l1_loss", 2),
    "smooth_l1": (torch._C._nn, "smooth_l1_loss", 2),
    "huber": (torch._C._nn, "huber_loss", 2),
    "kl": (torch, "kl_div", 2),
}
EQUAL = ((Tensor, "__eq__"), (Tensor, "eq"), (torch, "eq"))
IGNORED = -100  # the class number that torch's losses pass over
REDUCTIONS = ("none", "mean", "sum")


@dataclass(frozen=True)
class LossCall:
    """One call of a loss function.

    Attributes:
        kind: A key of ``LOSSES``, or ``other`` for one written by hand.
        given: What the model answered, as it came in.
        target: What it was compared with.
        value: What came out.
        again: The same function with the same options, for another pair.
        options: What came after input and target, in the kernel's order.
        producer: The operation that made ``given``.
        learning: The value has a graph.
        turned: What is descended is its negative.
        partial: What is descended has other parts.
    """

    kind: str
    given: Tensor
    target: Tensor
    value: Tensor
    again: Callable[[Tensor, Tensor], Tensor]
    options: tuple[Any, ...] = ()
    reduction: str = "mean"
    producer: str = ""
    learning: bool = False
    turned: bool = False
    partial: bool = False

    @property
    def ignored(self) -> int:
        """The class number of places that do not count."""
        told = self.options[2] if self.kind in ("cross_entropy", "nll") and len(self.options) > 2 else None
        return told if isinstance(told, int) else IGNORED


class Listener(Protocol):
    """Who wants to hear; while ``quiet``, not of losses with a graph and of clipping."""

    @property
    def quiet(self) -> bool:
        """Now."""

    def heard_loss(self, call: LossCall) -> None:
        """A loss was computed."""

    def heard_backward(self, loss: Tensor) -> None:
        """A loss is about to be differentiated."""

    def heard_gradients(self) -> None:
        """A loss was differentiated."""

    def heard_clipping(self, norm: Tensor, limit: float) -> None:
        """Gradients of this norm are about to be clipped."""

    def heard_scale(self, scale: float) -> None:
        """The loss was multiplied by this, for half precision."""

    def before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An optimizer is about to step, called so; returns other arguments, or None to leave them."""

    def after_step(self, optimizer: Optimizer) -> None:
        """An optimizer has stepped."""

    def heard_batch(self, batch: Any, seconds: float) -> None:
        """A DataLoader gave a batch, for which one had to wait so long."""

    def heard_equal(self, one: Tensor, other: Tensor) -> None:
        """Two tensors of one shape were compared, number by number."""


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell ``listener`` of all that happens inside, in this process."""
    undo: list[Callable[[], None]] = []
    try:
        for kind, (home, name, place) in LOSSES.items():
            undo.append(wrap(home, name, functools.partial(_loss, listener, kind, place)))
        undo.append(wrap(torch.autograd, "backward", functools.partial(_backward, listener)))
        undo.append(wrap(clip_grad, "_clip_grads_with_norm_", functools.partial(_clipping, listener)))
        undo.append(wrap(torch.amp.GradScaler, "scale", functools.partial(_scale, listener)))
        for home, name in EQUAL:
            undo.append(wrap(home, name, functools.partial(_equal, listener)))
        undo.append(wrap(dataloader._BaseDataLoaderIter, "__next__", functools.partial(_batch, listener)))
        undo.append(register_optimizer_step_pre_hook(lambda o, a, k: listener.before_step(o, a, k)).remove)
        undo.append(register_optimizer_step_post_hook(lambda o, a, k: listener.after_step(o)).remove)
        yield
    finally:
        for restore in reversed(undo):
            restore()


def wrap(home: Any, name: str, around: Callable[..., Any]) -> Callable[[], None]:
    """Replace ``home.name`` by a function that calls ``around(original, ...)``; returns how to undo it."""
    original = getattr(home, name, None)
    if original is None:  # another version of torch has no such function
        return lambda: None
    listening = True

    @functools.wraps(original)
    def tapped(*args: Any, **kwargs: Any) -> Any:
        if not listening or torch.compiler.is_compiling() or transformed():
            return original(*args, **kwargs)
        return around(original, *args, **kwargs)

    def undo() -> None:
        nonlocal listening
        listening, beneath = False, original
        tapped.silent = True  # type: ignore[attr-defined]
        while getattr(beneath, "silent", False):  # of somebody who began before us and has left
            beneath = beneath.__wrapped__
        if getattr(home, name) is tapped:  # else somebody wrapped it after us, and calls through
            setattr(home, name, beneath)
            if isinstance(home, type) and getattr(super(home, home), name, None) is beneath:
                delattr(home, name)  # it was inherited

    setattr(home, name, tapped)
    return undo


def _loss(
    listener: Listener,
    kind: str,
    place: int,
    original: Callable[..., Tensor],
    given: Tensor,
    target: Tensor,
    *options: Any,
    **named: Any,
) -> Tensor:
    if listener.quiet and torch.is_grad_enabled():
        return original(given, target, *options, **named)
    value = original(given, target, *options, **named)
    code = options[place - 2] if len(options) > place - 2 else 1
    reduction = REDUCTIONS[code] if isinstance(code, int) and code < len(REDUCTIONS) else "mean"

    def again(other: Tensor, truth: Tensor) -> Tensor:
        return original(other, truth, *options, **named)

    made, learning = producer(given), value.requires_grad
    parts = given.detach(), target.detach(), value.detach()  # nobody's graph is kept alive by being watched
    listener.heard_loss(LossCall(kind, *parts, again, options, reduction, made, learning))
    return value


def _backward(
    listener: Listener, original: Callable[..., None], tensors: Any, *rest: Any, **named: Any
) -> None:
    if isinstance(tensors, Tensor) and tensors.numel() == 1:
        listener.heard_backward(tensors)
    original(tensors, *rest, **named)
    listener.heard_gradients()


def _clipping(
    listener: Listener,
    original: Callable[..., None],
    parameters: Any,
    max_norm: float,
    total_norm: Tensor,
    *rest: Any,
    **named: Any,
) -> None:
    if not listener.quiet:
        listener.heard_clipping(total_norm, float(max_norm))
    original(parameters, max_norm, total_norm, *rest, **named)


def _scale(listener: Listener, original: Callable[..., Any], scaler: Any, outputs: Any) -> Any:
    scaled = original(scaler, outputs)
    listener.heard_scale(scaler.get_scale() if scaler.is_enabled() else 1.0)
    return scaled


def _equal(listener: Listener, original: Callable[..., Any], one: Any, other: Any, **named: Any) -> Any:
    same = original(one, other, **named)
    both = isinstance(one, Tensor) and isinstance(other, Tensor) and one.dim() and one.shape == other.shape
    if both:
        listener.heard_equal(one, other)
    return same


def _batch(listener: Listener, original: Callable[..., Any], loader: Any) -> Any:
    asked = perf_counter()
    batch = original(loader)
    listener.heard_batch(batch, perf_counter() - asked)
    return batch
