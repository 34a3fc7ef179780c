"""What of a network learns: all of it, some parts slowly, the head alone, the head on features kept once.

A frozen part is left exactly as it was: its weights get no gradient, and it runs as in evaluation, so that
the statistics of its batch normalisations stay too. Notes 000, section 2.3.5; 001, sections IX.7 and XI.1.
"""

# N examples, F features: the numbers that the head reads

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from didact.data.batches import Split, TensorSplit, ordered_batches
from didact.errors import UsageError, suggest
from didact.nn.head import head_names
from didact.tasks.task import device_of, evaluating
from didact.train.recipe import Recipe

TRUNK, HEAD = "trunk", "head"


def freeze(model: nn.Module, recipe: Recipe) -> list[nn.Module]:
    """Stop the frozen parts of a network from learning.

    Returns:
        The modules that have to run as in evaluation while the others train.

    Raises:
        UsageError: ``freeze`` names a part that the network lacks, or leaves nothing to learn.
    """
    whole = bool(recipe.weights) and recipe.transfer in ("frozen", "features")
    if not whole and not recipe.freeze:
        return []
    for name in recipe.freeze:
        check_part(model, name, "freeze")
    head = _head(model) if whole else set()

    def is_frozen(name: str) -> bool:
        named = (lies_in(own_name(model, name), part) for part in recipe.freeze)
        return (whole and name not in head) or any(named)

    learned = [name for name, _ in model.named_parameters() if not is_frozen(name)]
    if not learned:
        raise UsageError(f"freeze={','.join(recipe.freeze)}: nothing would be left to learn; freeze less")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not is_frozen(name))
    return [
        module
        for name, module in model.named_modules()
        if is_frozen(name) and not any(lies_in(each, name) for each in learned)
    ]


def lies_in(name: str, part: str) -> bool:
    """Whether a parameter or module is a part or lies in it: ``layer1.0.conv1.weight`` in ``layer1``."""
    return not part or name == part or name.startswith(f"{part}.")


def check_part(model: nn.Module, name: str, knob: str) -> None:
    """Refuse the name of a part that a network does not have.

    Raises:
        UsageError: It has neither a module nor a parameter of this name.
    """
    network = model.network if isinstance(model, OnFeatures) else model
    known = [part for part, _ in [*network.named_modules(), *network.named_parameters()] if part]
    if name not in known:
        raise UsageError(f"{knob}: the network has no part {name!r}; {suggest(name, known[:60])}")


def rate_scales(recipe: Recipe, group: str, part: nn.Module) -> dict[str, float]:
    """The factor on the learning rate of each parameter of a group that learns.

    A key of ``lr_scale`` is a group of the task, ``trunk``, ``head``, or a part of the network, of which the
    nearest counts.
    """
    own = recipe.lr_scale.get(group, 1.0)
    parts = {name: scale for name, scale in recipe.lr_scale.items() if name != group}
    head = _head(part) if {TRUNK, HEAD} & parts.keys() else set()

    def scale(name: str) -> float:
        own_parts = (p for p in parts if p not in (TRUNK, HEAD) and lies_in(own_name(part, name), p))
        near = max(own_parts, key=len, default=None)
        return parts.get(near or (HEAD if name in head else TRUNK), 1.0)

    return {name: own * scale(name) for name, p in part.named_parameters() if p.requires_grad}


def _head(model: nn.Module) -> set[str]:
    """The parameters of the head, by the names that the model has for them."""
    if isinstance(model, OnFeatures):
        return {f"network.{name}" for name in head_names(model.network)}
    return set(head_names(model))


class OnFeatures(nn.Module):
    """A network that is given features instead of images: its trunk rests, its head answers.

    Args:
        network: The whole network, whose weights these are.
        head: The name of its last module.

    Input: (N, F). Output: as of the network.
    """

    def __init__(self, network: nn.Module, head: str):
        super().__init__()
        self.network = network
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        """Answer from features."""
        return self.network.get_submodule(self.head)(features)


def own_name(model: nn.Module, name: str) -> str:
    """The name that a part of a model has in the network itself."""
    return name.removeprefix("network.") if isinstance(model, OnFeatures) else name


def network_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a model that was trained, under the names of the network itself."""
    return {own_name(model, name): tensor for name, tensor in weights.items()}


def last_module(model: nn.Module, images: Tensor) -> str:
    """The name of the module that gives the network's answer: that of its heads which ``forward`` ends with.

    Raises:
        UsageError: The network does not end with a linear head.
    """
    candidates = sorted({name.rpartition(".")[0] for name in head_names(model)})
    for name in candidates:
        with evaluating(model), Listener(model.get_submodule(name)) as heard:
            answer = model(images)
        if heard.outputs and heard.outputs[-1] is answer:
            return name
    raise UsageError(f"{type(model).__name__} does not end with a head of its own; train it in full")


def features_of(
    model: nn.Module, head: str, split: Split, batch_size: int = 64, workers: int = 0
) -> TensorSplit:
    """What the head of a network reads of each example: features (N, F), with the targets.

    The network is in evaluation mode, so these are the same every time, and need to be computed only once.
    """
    features, targets = [], []
    with evaluating(model) as device, Listener(model.get_submodule(head)) as heard:
        for inputs, target in ordered_batches(split, batch_size, workers=workers):
            model(inputs.to(device))
            features.append(heard.inputs.pop())
            heard.outputs.clear()
            targets.append(target.to(device))
    return TensorSplit(torch.cat(features), torch.cat(targets))


class Listener:
    """Notes what a module is given and what it answers, as long as the ``with`` lasts."""

    def __init__(self, module: nn.Module):
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self._module = module

    def __enter__(self) -> "Listener":
        self._hook = self._module.register_forward_hook(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _note(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.inputs.append(inputs[0])
        self.outputs.append(output)


def on_features(
    model: nn.Module, splits: Mapping[str, Split], workers: int = 0
) -> tuple[OnFeatures, dict[str, Split]]:
    """The network, ready to learn on features, and the features of each split."""
    first = splits["train"]
    inputs, _ = first.take(first.order(None)[:1])
    head = last_module(model, inputs.to(device_of(model)))
    return OnFeatures(model, head), {
        name: features_of(model, head, split, workers=workers) for name, split in splits.items()
    }
