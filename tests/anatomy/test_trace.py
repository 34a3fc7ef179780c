"""A trace sees every operation and leaves the module as it was."""

import copy
import random
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from didact.anatomy.inspection import inspect
from didact.anatomy.trace import Refused, trace
from didact.anatomy.wanted import wanted
from didact.errors import UsageError


class Plain(nn.Module):
    """It keeps tensors where nobody registered them."""

    def __init__(self):
        super().__init__()
        self.scale = torch.ones(4)
        self.more = [torch.ones(4), {"shift": torch.zeros(4)}]
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x * self.scale + self.more[0]) + self.more[1]["shift"]


class Looks(nn.Module):
    """It decides by its numbers."""

    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm1d(4)
        self.linear = nn.Linear(4, 4)
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        if random.random() + np.random.rand() + torch.rand(()) > 100 + x.sum():  # noqa: NPY002
            raise AssertionError("never")
        return self.linear(self.bn(x))


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def hooked() -> nn.Module:
    """Hooks of a user, which must neither run nor be lost."""
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))

    def never(*_: Any) -> None:
        raise AssertionError("a hook of the user ran")

    module.register_forward_hook(never)
    module[0].register_forward_pre_hook(never)
    module[1].register_full_backward_hook(never)
    return module


def old_weight_norm() -> nn.Module:
    with pytest.warns(FutureWarning):
        return nn.Sequential(torch.nn.utils.weight_norm(nn.Linear(4, 4)))


def patched() -> nn.Module:
    """A ``forward`` of its own on the instance."""
    module = nn.Sequential(nn.Linear(4, 4))
    forward = module[0].forward
    module[0].forward = lambda x: forward(x) * 2  # type: ignore[method-assign]
    return module


def trained() -> nn.Module:
    """With gradients, a frozen part, and in training mode but for one part."""
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 4))
    module(torch.randn(8, 4)).sum().backward()
    module[0].requires_grad_(False)
    module[2].eval()
    return module


MODULES: dict[str, Callable[[], nn.Module]] = {
    "trained": trained,
    "plain tensors": Plain,
    "runs for real": Looks,
    "tied": Tied,
    "hooks": hooked,
    "weight norm": lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4))),
    "spectral norm": lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(4, 4))),
    "old weight norm": old_weight_norm,
    "patched": patched,
    "no numbers": lambda: nn.Sequential(nn.Linear(4, 4)).to("meta"),
}


def state_of(module: nn.Module) -> dict[str, Any]:
    """Everything that an inspection might change."""
    state: dict[str, Any] = {}
    for name, part in module.named_modules():
        state[f"{name}: mode"] = part.training
        state[f"{name}: attributes"] = {
            key: id(value) for key, value in vars(part).items() if not isinstance(value, bool)
        }
        for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            state[f"{name}: {kind}"] = list(getattr(part, kind).items())
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        numbers = None if tensor.is_meta else tensor.detach().clone()
        gradient = None if tensor.grad is None else tensor.grad.clone()
        state[f"{name}: tensor"] = (id(tensor), tensor.requires_grad, tensor.device, tensor._version)
        state[f"{name}: numbers"], state[f"{name}: gradient"] = numbers, gradient
    state["torch's numbers"] = torch.get_rng_state()
    state["numpy's numbers"] = np.random.get_state()[1]  # noqa: NPY002
    state["random's numbers"] = random.getstate()
    state["mode"] = (torch.is_grad_enabled(), torch.backends.mha.get_fastpath_enabled())
    return state


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


@pytest.mark.parametrize("width", [4, 5], ids=["it runs", "it fails"])
@pytest.mark.parametrize("build", MODULES.values(), ids=MODULES)
def test_inspection_leaves_the_module_as_it_was(build: Callable[[], nn.Module], width: int):
    module = build()
    before = state_of(module)
    if width == 4:
        assert inspect(module, (4,), batch=2).totals.macs >= 2 * 16
    else:
        with pytest.raises(Refused):
            inspect(module, (5,), batch=2)
    after = state_of(module)
    assert before.keys() == after.keys()
    assert [key for key in before if not same(before[key], after[key])] == []


def test_what_looks_at_numbers_runs_for_real_and_once():
    module = Looks()
    found = trace(module, torch.zeros(2, 4))
    assert (found.on_paper, module.runs) == (False, 0)
    assert [visit.module for visit in found.visits] == ["", "bn", "linear"]
    assert trace(nn.Linear(4, 2), torch.zeros(1, 4)).on_paper


def test_no_weight_is_copied():
    """The memory of the process grows by less than a hundredth of the network."""
    module = nn.Sequential(*(nn.Linear(4096, 4096) for _ in range(4)))  # 268 MB
    inspect(nn.Linear(4, 4), (4,))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert inspect(module, (4096,)).totals.parameters == 4 * (4096**2 + 4096)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2_600  # kB


def test_a_view_and_writing_in_place_share_memory():
    found = trace(nn.Sequential(nn.Flatten(), nn.ReLU(inplace=True)), torch.zeros(2, 3, 4))
    assert len({fact.storage for fact in found.tensors}) == 1


def test_what_is_turned_around_in_place_has_a_new_shape():
    class Turns(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x + 1).transpose_(1, 2)

    found = trace(Turns(), torch.zeros(2, 3, 4))
    shapes = {call.op: (found.shape(call.inputs[0]), found.shape(call.outputs[0])) for call in found.calls}
    assert shapes["transpose_"] == ((2, 3, 4), (2, 4, 3))
    assert found.shape(found.outputs[0]) == (2, 4, 3)


def test_a_module_called_twice_is_visited_twice():
    shared = nn.Linear(4, 4)
    found = trace(nn.Sequential(shared, nn.ReLU(), shared), torch.zeros(1, 4))
    assert [visit.module for visit in found.visits] == ["", "0", "1", "0"]


def test_a_compiled_module_is_the_module_in_it():
    found = trace(torch.compile(nn.Sequential(nn.Linear(4, 2)), backend="eager"), torch.zeros(1, 4))
    assert [visit.module for visit in found.visits] == ["", "0"]


def test_the_input_is_left_as_it_was_too():
    class Doubles(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mul_(2) if x.sum() < 1e9 else x

    x = torch.ones(2, 4)
    assert not inspect(Doubles(), x).on_paper
    assert torch.equal(x, torch.ones(2, 4))


def test_what_has_no_shape_yet_is_refused():
    with pytest.raises(UsageError, match=r"0\.weight has no shape yet: call the network once"):
        trace(nn.Sequential(nn.LazyLinear(4)), torch.zeros(1, 4))


def test_what_cannot_be_copied_is_refused():
    module = nn.Linear(4, 4)
    module.lines = (line for line in "ab")  # type: ignore[assignment]
    with pytest.raises(UsageError, match="Linear cannot be copied, and only a copy is run: cannot pickle"):
        trace(module, torch.zeros(1, 4))


# Refusals


REFUSALS = [
    (nn.Conv2d(3, 4, 3), (1, 28, 28), "(1, 1, 28, 28)", "(B, 3, H, W), H at least 3, W at least 3"),
    (nn.Conv2d(1, 4, 5), (1, 3, 3), "(1, 1, 3, 3)", "(B, 1, H, W), H at least 5, W at least 5"),
    (nn.Conv1d(3, 4, 3, padding=1), (2, 9), "(1, 2, 9)", "(B, 3, L)"),
    (nn.ConvTranspose2d(3, 4, 3), (1, 5, 5), "(1, 1, 5, 5)", "(B, 3, H, W)"),
    (nn.Linear(400, 120), (256,), "(1, 256)", "(..., 400)"),
    (nn.BatchNorm2d(8), (4, 5, 5), "(1, 4, 5, 5)", "(B, 8, H, W)"),
    (nn.BatchNorm1d(8), (4,), "(1, 4)", "(B, 8) or (B, 8, L)"),
    (nn.LayerNorm(8), (4,), "(1, 4)", "(..., 8)"),
    (nn.GroupNorm(2, 8), (4, 5), "(1, 4, 5)", "(B, 8, ...)"),
    (nn.Embedding(10, 4), (5,), "(1, 5)", "whole numbers (int64) from 0 to 9"),
    (nn.LSTM(8, 4), (5, 7), "(1, 5, 7)", "(T, B, 8)"),
    (nn.GRU(8, 4, batch_first=True), (5, 7), "(1, 5, 7)", "(B, T, 8)"),
    (nn.LSTMCell(8, 4), (7,), "(1, 7)", "(B, 8)"),
]


@pytest.mark.parametrize(("layer", "shape", "got", "wants"), REFUSALS, ids=[str(r[0]) for r in REFUSALS])
def test_a_refusal_names_the_layer_what_it_got_and_what_it_wants(
    layer: nn.Module, shape: tuple[int, ...], got: str, wants: str
):
    with pytest.raises(Refused) as caught:
        inspect(nn.Sequential(nn.Identity(), layer), shape)
    kind = type(layer).__name__
    assert str(caught.value) == f"1 ({kind}) refused its input: it got {got}; it wants {wants}"
    assert (caught.value.module, caught.value.wanted) == ("1", wants)


def test_a_layer_of_another_kind_says_what_torch_says():
    class Picky(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("only squares\nand more")

    with pytest.raises(Refused, match=r"^0 \(Picky\) refused its input: it got \(1, 4\); only squares$"):
        inspect(nn.Sequential(Picky()), (4,))
    assert wanted(Picky()) == ""


def test_a_copy_is_independent():
    module = nn.Sequential(nn.Linear(4, 4))
    twin = copy.deepcopy(module)
    inspect(module, (4,))
    x = torch.randn(2, 4)
    assert torch.equal(module(x), twin(x))


def test_nothing_is_loaded_but_anatomy():
    code = (
        "import sys, torch; from didact.anatomy.inspection import inspect;"
        "inspect(torch.nn.Linear(2, 2), (2,)); own = ('anatomy', 'nn', 'errors', 'version');"
        "bad = [m for m in sys.modules if m in ('sympy', 'torch._dynamo')"
        " or m.startswith('didact.') and m.split('.')[1] not in own];"
        "raise SystemExit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
