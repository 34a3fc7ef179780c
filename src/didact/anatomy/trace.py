"""A trace: every operation of one run of a module, with the layer it belongs to and the tensors it joins.

Everything that anatomy says is read off a trace: what is counted, what a pixel of the output sees, which
layer stands behind which. The module itself is not run. A copy of it runs, on torch's meta device where it
can: there tensors have shapes and no numbers, so nothing is computed and no weight is copied. A module that
looks at its numbers as it runs (``if x.sum() > 0``) cannot; its copy runs for real, once.

What is seen are the operations below autograd (aten), so that a functional call counts as a layer does, an
attention is counted however it was written, and a recurrent cell is seen step by step.
"""

# B batch

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from didact.anatomy.paper import answer
from didact.anatomy.wanted import wanted
from didact.errors import UsageError

Shape = tuple[int, ...]
TORCHS_OWN = {"_modules", "_parameters", "_buffers"}  # attributes of a module that hold what it registered


@dataclass(frozen=True)
class Ref:
    """A tensor of the trace, by its number, in the arguments of an operation."""

    number: int


@dataclass(frozen=True)
class TensorFact:
    """What is known of a tensor.

    Attributes:
        shape, dtype: Its own.
        name: Of a parameter or buffer that in the state dict, of an input ``input``, ``input1``, else "".
        kind: ``parameter``, ``buffer``, ``input`` or ``made``.
        storage: The same number for tensors that share memory: a view, or what was written in place.
    """

    shape: Shape
    dtype: torch.dtype
    name: str
    kind: str
    storage: int

    @property
    def bytes(self) -> int:
        """Memory that its numbers take."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


@dataclass(frozen=True)
class Call:
    """One operation.

    Attributes:
        op: Its name without overload, ``convolution``, ``addmm``, ``relu``.
        module: The innermost module at work, by its name; "" for the outermost.
        args, kwargs: Its arguments; tensors are ``Ref``.
        inputs, outputs: Numbers of the tensors that it reads and gives.
    """

    op: str
    module: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Visit:
    """One call of a module.

    Attributes:
        module: Its name in the state dict.
        first, last: Its operations are ``calls[first:last]``, those of the modules in it included.
        inputs, outputs: Numbers of the tensors that it was given and gave.
    """

    module: str
    first: int
    last: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass
class Trace:
    """Every operation of one run.

    Attributes:
        calls: The operations, in order.
        visits: The calls of modules, in the order in which they began; the outermost is the first.
        tensors: The facts of each tensor, by its number.
        inputs, outputs: Numbers of what the module was given and gave.
        kinds: The class name of each module, by its name.
        on_paper: Whether it ran on the meta device, without numbers.
    """

    calls: list[Call] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    tensors: list[TensorFact] = field(default_factory=list)
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    kinds: dict[str, str] = field(default_factory=dict)
    on_paper: bool = True

    def shape(self, number: int) -> Shape:
        """The shape of a tensor."""
        return self.tensors[number].shape


class Refused(UsageError):
    """A layer refused its input.

    Attributes:
        module: Its name.
        got: The shapes that it was given.
        wanted: The shape that it takes, in words, or "" where its kind is not known.
    """

    def __init__(self, message: str, module: str, got: tuple[Shape, ...], wanted: str):
        super().__init__(message)
        self.module, self.got, self.wanted = module, got, wanted


def trace(module: nn.Module, *inputs: Any) -> Trace:
    """Run a copy of a module in evaluation mode, and note every operation.

    Args:
        module: Any; it is left as it was: mode, gradients, buffers, random numbers, hooks.
        inputs: What it is called with: tensors (their numbers count only if the module looks at numbers), or
            other values.

    Example:
        >>> found = trace(nn.Linear(4, 2), torch.zeros(1, 4))
        >>> [(call.op, call.module) for call in found.calls]
        [('t', ''), ('addmm', '')]

    Raises:
        Refused: A layer cannot take what it was given; the message names it and the shapes.
    """
    module = getattr(module, "_orig_mod", module)  # what torch.compile wraps
    _check_complete(module)
    try:
        return _run(without_numbers(module), tree_map(to_meta, inputs), on_paper=True)
    except Refused as refused:
        if not _for_want_of_numbers(refused):
            raise
    except (NotImplementedError, RuntimeError, TypeError, ValueError):
        pass  # it keeps a tensor where no copy can replace it
    return _run(with_numbers(module), copy.deepcopy(inputs), on_paper=False)


def _check_complete(module: nn.Module) -> None:
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(tensor):
            raise UsageError(f"{name} has no shape yet: call the network once, then inspect it")


def _for_want_of_numbers(refused: Refused) -> bool:
    """Whether a refusal is not about shapes: the module looked at numbers, which paper has not."""
    return "meta" in str(refused.__cause__).lower()


def _run(model: nn.Module, inputs: tuple[Any, ...], on_paper: bool) -> Trace:
    watch = _Watch(model, on_paper)
    with quietly(model), watch.hooked(model), watch:
        watch.found.inputs = watch.numbers(inputs, "input")
        outputs = model(*inputs)
        watch.found.outputs = watch.numbers(outputs)
    return watch.found


class _Watch(TorchDispatchMode):
    """Numbers every tensor, and notes who makes what of which."""

    def __init__(self, model: nn.Module, on_paper: bool):
        super().__init__()
        self.found = Trace(
            kinds={name: type(part).__name__ for name, part in model.named_modules()}, on_paper=on_paper
        )
        self.parts = dict(model.named_modules())
        self.stack: list[tuple[str, int]] = []  # modules at work, each with the place of its visit
        self._numbers: dict[int, int] = {}  # id of a tensor -> its number
        self._alive: list[Tensor] = []  # so that no id is given twice
        self._storages: dict[int, int] = {}
        for kind, named in (("parameter", model.named_parameters()), ("buffer", model.named_buffers())):
            for name, tensor in named:
                self._new(tensor, name, kind)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:  # torch would import its compiler, only to leave this class alone
        return False

    def numbers(self, tree: Any, name: str = "") -> tuple[int, ...]:
        """The numbers of the tensors in a nest of values, new ones noted."""
        tensors = [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
        return tuple(
            self._number(t, f"{name}{k or ''}" if name else "", "input" if name else "made")
            for k, t in enumerate(tensors)
        )

    def _number(self, tensor: Tensor, name: str = "", kind: str = "made") -> int:
        known = self._numbers.get(id(tensor))
        if known is not None and self.found.tensors[known].shape == tuple(tensor.shape):
            return known
        return self._new(tensor, name, kind)  # new, or turned in place, as nn.GRU does at its end

    def _new(self, tensor: Tensor, name: str, kind: str) -> int:
        number = len(self.found.tensors)
        self._numbers[id(tensor)] = number
        self._alive.append(tensor)
        strided = tensor.layout == torch.strided
        memory = tensor.untyped_storage()._cdata if strided else -number - 1
        storage = self._storages.setdefault(memory, number)
        self.found.tensors.append(TensorFact(tuple(tensor.shape), tensor.dtype, name, kind, storage))
        return number

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = self.numbers((args, kwargs))
        noted = tree_map(self._ref, (args, kwargs))
        result = answer(func, args, kwargs)
        name = func._schema.name.split("::")[1]
        if name == "convolution" and args[6]:
            _check_transposed(args[0], args[1])
        module = self.stack[-1][0] if self.stack else ""
        self.found.calls.append(Call(name, module, noted[0], noted[1], inputs, self.numbers(result)))
        return result

    def _ref(self, value: Any) -> Any:
        return Ref(self._number(value)) if isinstance(value, Tensor) else value

    @contextmanager
    def hooked(self, model: nn.Module) -> Iterator[None]:
        """Follow which module is at work, as long as the ``with`` lasts."""
        forwards = {}
        for name, part in model.named_modules():
            forwards[part] = part.forward
            part.forward = self._followed(name, part.forward)
        try:
            yield
        finally:
            for part in forwards:
                del part.forward

    def _followed(self, name: str, forward: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            place, given = len(self.found.visits), self.numbers((args, kwargs))
            first = len(self.found.calls)
            self.found.visits.append(Visit(name, first, first, given, ()))
            self.stack.append((name, place))
            try:
                result = forward(*args, **kwargs)
            except Refused:
                raise
            except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
                raise self._refusal(name, given, error) from error
            finally:
                self.stack.pop()
            self.found.visits[place] = Visit(name, first, len(self.found.calls), given, self.numbers(result))
            return result

        return call

    def _refusal(self, name: str, given: Sequence[int], error: Exception) -> Refused:
        """What a layer said of its input, with its name, its kind, what it got and what it wants."""
        facts = [self.found.tensors[number] for number in given]
        got = ", ".join(f"{f.shape}{'' if f.dtype.is_floating_point else _dtype(f)}" for f in facts)
        layer = f"{name} ({self.found.kinds[name]})" if name else self.found.kinds[name]
        takes = wanted(self.parts[name])
        reason = f"it wants {takes}" if takes else str(error).split("\n")[0]
        message = f"{layer} refused its input: it got {got or 'no tensor'}; {reason}"
        return Refused(message, name, tuple(f.shape for f in facts), takes)


def _check_transposed(x: Tensor, weight: Tensor) -> None:
    """What torch forgets on paper."""
    maps = x.shape[-weight.dim() + 1]
    if maps != weight.shape[0]:
        raise RuntimeError(f"a transposed convolution of {weight.shape[0]} maps was given {maps}")


def _dtype(fact: TensorFact) -> str:
    return f" of {str(fact.dtype).removeprefix('torch.')}"


def without_numbers(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose tensors all lie on the meta device: no weight is copied.

    Gradients, and hooks but torch's own, stay behind.
    """
    memo: dict[int, Any] = {}
    for tensor in _tensors(module):
        empty = _empty(tensor)
        is_parameter = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
    return _cleared(_copied(module, memo))


def with_numbers(module: nn.Module) -> nn.Module:
    """The same, with the numbers."""
    made = {id(t): t.detach().clone() for t in _tensors(module) if t.grad_fn is not None}
    return _cleared(_copied(module, made))


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    """Parameters, buffers, and the tensors that the modules keep as plain attributes or in lists of them."""
    yield from module.parameters()
    yield from module.buffers()
    for part in module.modules():
        for name, value in vars(part).items():
            if name not in TORCHS_OWN and isinstance(value, Tensor | list | tuple | dict):
                yield from (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def _copied(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    for part in module.modules():
        for name, value in vars(part).items():
            if name.endswith("_hooks") and not any(map(_is_torchs, value.values())):
                memo[id(value)] = type(value)()  # what users put there need not be copied
    try:
        return copy.deepcopy(module, memo)
    except (TypeError, RuntimeError) as error:
        raise UsageError(
            f"{type(module).__name__} cannot be copied, and only a copy is run: {str(error).splitlines()[0]}"
        ) from error


def _cleared(clone: nn.Module) -> nn.Module:
    """A copy in evaluation mode, without the hooks that users put there; torch's own make weights."""
    for part in clone.modules():
        for hooks in (part._forward_hooks, part._forward_pre_hooks):
            for key in [key for key, hook in hooks.items() if not _is_torchs(hook)]:
                del hooks[key]
    return clone.eval()


def _is_torchs(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).startswith("torch.nn.")


def to_meta(value: Any) -> Any:
    """A tensor without its numbers; other values as they are."""
    return _empty(value) if isinstance(value, Tensor) else value


def _empty(tensor: Tensor) -> Tensor:
    if tensor.layout != torch.strided:
        return tensor.to("meta")
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


@contextmanager
def quietly(model: nn.Module) -> Iterator[None]:
    """No gradients, no random numbers drawn for good, attention written out and not one closed kernel."""
    devices = {tensor.get_device() for tensor in model.parameters() if tensor.is_cuda}
    fast = torch.backends.mha.get_fastpath_enabled()
    drawn = random.getstate(), np.random.get_state()  # noqa: NPY002 (a module may draw from it)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.random.fork_rng(sorted(devices)), torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])  # noqa: NPY002
