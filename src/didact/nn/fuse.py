"""Batch normalisation folded into the layer before it, for use after training.

A norm at rest is a multiplication and an addition for each map, and so is part of what a convolution does:

    gamma (W x + b - mean) / sqrt(var + eps) + beta  =  W' x + b'
    W' = W gamma / sqrt(var + eps)        b' = (b - mean) gamma / sqrt(var + eps) + beta

    x --conv--> y --norm--> z       folded, since nobody else reads y
    x --conv--> y --norm--> z       kept: a shortcut reads y too, as before a block that starts with its norm
                `---------(+)-->
    x --norm--> relu --conv--> z    kept: what the norm reads is no output of a convolution alone (DenseNet)

Who reads what is seen while the model runs on an example. A tracer would read the code instead, and stumble
over its ``if``.
"""

# B batch, W and b weight and bias of a layer, x what it reads, y what it gives

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fuse(model: nn.Module, example: Tensor | tuple[Any, ...]) -> nn.Module:
    """Copy a model in evaluation mode, its batch norms folded into the layers before them.

    A norm is folded into a convolution or linear layer if it alone reads the output of that layer, each of
    the two runs once, and nobody else reads their weights; ``nn.Identity`` takes its place. Any other norm
    stays as it is, and so does one that the example does not reach, that has no running statistics, or that
    bears hooks. The outputs are the same but for rounding.

    Args:
        model: Any module; it is left as it is, its mode and the state of the random numbers too.
        example: An input, or a tuple of all inputs. Which way the model takes must not depend on more than
            this shows.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        >>> fuse(model, torch.zeros(1, 3, 5, 5))
        Sequential(
          (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
          (1): Identity()
          (2): ReLU()
        )
    """
    places = list(_pairs(copy.deepcopy(model).eval(), example))
    fused = copy.deepcopy(model).eval()
    modules = list(fused.modules())
    folded: dict[nn.Module | None, nn.Module] = {}
    for layer, norm in ((modules[i], modules[j]) for i, j in places):
        folded |= {layer: _fold(layer, norm), norm: nn.Identity().eval()}
    for parent in modules:
        for name, child in parent._modules.items():  # named_children leaves out a module's second name
            if child in folded:
                setattr(parent, name, folded[child])
    return fused


def _fold(layer: Any, norm: Any) -> nn.Module:
    """The layer with the norm's work in its weights."""
    weights, numbers = (layer.weight, layer.bias), (norm.running_mean, norm.running_var, norm.eps)
    transposed = isinstance(layer, TRANSPOSED)
    fused = copy.deepcopy(layer)
    fused.weight, fused.bias = fuse_conv_bn_weights(*weights, *numbers, norm.weight, norm.bias, transposed)
    return fused


def _pairs(model: nn.Module, example: Tensor | tuple[Any, ...]) -> Iterator[tuple[int, int]]:
    """Run a model, and give the places of the layers and norms to fold in ``model.modules()``."""
    inputs = example if isinstance(example, tuple) else (example,)
    watch = _Watch(model)
    with torch.random.fork_rng(_gpus(model)), torch.no_grad(), watch:
        kept = model(*(x.clone() if isinstance(x, Tensor) else x for x in inputs))
    place = {module: k for k, module in enumerate(model.modules())}
    yield from ((place[layer], place[norm]) for layer, norm in watch.pairs())
    del kept  # alive up to here: a layer's output that the model returns is the caller's to read


def _gpus(model: nn.Module) -> set[torch.device]:
    return {p.device for p in model.parameters() if p.is_cuda}


class _Watch(TorchDispatchMode):
    """Sees every operation of a run, and notes who reads the weights and outputs of layers and norms.

    Attributes:
        readers: For each storage that is watched the modules that read it, None for all who are not watched.
        inside: The watched module that is running.
        calls: How often each of them ran.
        outputs: What each layer gave, without keeping it alive.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.readers: dict[int, set[nn.Module | None]] = {}
        self.inside: nn.Module | None = None
        self.calls: Counter[nn.Module] = Counter()
        self.outputs: dict[nn.Module, StorageWeakRef] = {}
        for module in (module for module in model.modules() if _is_plain(module)):
            module.register_forward_pre_hook(self._enter)
            module.register_forward_hook(self._leave)
            self.readers |= {_storage(tensor): set() for tensor in module.state_dict().values()}

    def _enter(self, module: nn.Module, args: object) -> None:
        self.inside = module
        self.calls[module] += 1

    def _leave(self, module: nn.Module, args: object, out: Tensor) -> None:
        self.inside = None
        if isinstance(module, LAYERS) and out.dim() == module.weight.dim():  # maps lie where a norm has them
            self.outputs[module] = StorageWeakRef(out.untyped_storage())
            self.readers[_storage(out)] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, Tensor) and (storage := _storage(tensor)) in self.readers:
                self.readers[storage].add(self.inside)
        return func(*args, **(kwargs or {}))

    def pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Layers, each with the norm that alone reads what it gives."""
        for layer, out in self.outputs.items():
            readers = self.readers[out.cdata]
            norm = next(iter(readers)) if len(readers) == 1 and out.expired() else None
            if _is_at_rest(norm) and self._alone(layer) and self._alone(norm):
                yield layer, norm

    def _alone(self, module: nn.Module) -> bool:
        """Whether it ran once and nobody else read its weights."""
        held = (self.readers[_storage(tensor)] for tensor in module.state_dict().values())
        return self.calls[module] == 1 and all(readers <= {module} for readers in held)


def _is_plain(module: nn.Module) -> bool:
    """A layer or norm as torch runs it: no heir, no hooks, no other ``forward``."""
    changed = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    grouped = isinstance(module, TRANSPOSED) and module.groups > 1  # its weight has no row for each map
    return type(module) in LAYERS + NORMS and not changed and not grouped


def _is_at_rest(norm: nn.Module | None) -> TypeGuard[nn.Module]:
    """A norm that uses the statistics that it holds, not those of the batch."""
    return isinstance(norm, NORMS) and norm.running_mean is not None and not norm.training


def _storage(tensor: Tensor) -> int:
    """What tells the memory of two tensors apart; 0 for a tensor that has none of its own."""
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else 0
