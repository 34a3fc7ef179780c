"""From general to specific: how well a straight line tells the classes after each layer (notes 004).

The first layers of a trained network give features that any task has a use for, and the last ones features
of its own classes (Yosinski et al. 2014). A linear probe (Alain and Bengio 2016) reads how far a layer has
come: a linear head on its output, which answers for each example after it was fitted to all the others.
"""

# N examples, C channels, H W height and width, T tokens, D features

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.errors import UsageError
from didact.nn.linear_probe import left_out_accuracy
from didact.see.undisturbed import check_examples, evaluating, submodule, weighty_layers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AT_ONCE = 64  # examples


@dataclass(frozen=True)
class Probes:
    """What a linear head gets right after each layer.

    Attributes:
        accuracy: By layer, in the order in which they are run, after ``input``, the images themselves.
        chance: The share of the most frequent class.
        examples: How many examples the shares are of.
    """

    accuracy: Mapping[str, float]
    chance: float
    examples: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"accuracy": dict(self.accuracy), "chance": self.chance, "examples": self.examples}

    def plot(self) -> "Figure":
        """Accuracy over depth, and that of guessing."""
        from didact.draw.depth import draw_over_depth

        return draw_over_depth(
            {"linear probe": self.accuracy},
            "share of right answers",
            level=self.chance,
            level_label="most frequent class",
        )

    def __str__(self) -> str:
        wide = max(map(len, self.accuracy))
        lines = [f"{layer:<{wide}}  {share:6.1%}" for layer, share in self.accuracy.items()]
        return "\n".join([*lines, f"most frequent class: {self.chance:.1%}, {self.examples} examples"])


def probe(
    model: nn.Module, images: Tensor, labels: Tensor, layers: Sequence[str] = (), side: int = 1
) -> Probes:
    """Show a network images, in evaluation mode, and fit a linear head to what each layer gives.

    Maps are averaged to ``side`` by ``side`` numbers each, and tokens to one; so layers are compared by what
    is in their maps, more than by how large they are.

    Args:
        model: Any module that reads images.
        images: (N, C, H, W), prepared as for training.
        labels: (N,), classes from 0.
        layers: Names of submodules; by default all with a matrix or filters of their own.
        side: Numbers a side that are left of a map.

    Raises:
        UsageError: Labels that do not fit, one class alone, no such layer, or one without part in the answer.
    """
    check_examples(images, labels)
    if len(labels.unique()) < 2:
        raise UsageError("labels of one class: a probe tells classes apart, give examples of two or more")
    modules = {name: submodule(model, name) for name in layers or weighty_layers(model)}
    caught: dict[str, list[Tensor]] = {"input": []}
    hooks = [
        module.register_forward_hook(partial(_catch, caught, name, side)) for name, module in modules.items()
    ]
    try:
        with evaluating(model):
            for chunk in images.split(AT_ONCE):
                caught["input"].append(pooled(chunk, side))
                model(chunk)
    finally:
        for hook in hooks:
            hook.remove()
    for name in layers:
        if name not in caught:
            raise UsageError(f"layer={name!r}: has no part in the model's answer, choose another")
    found = {name: left_out_accuracy(torch.cat(each), labels) for name, each in caught.items()}
    return Probes(found, int(labels.bincount().max()) / len(labels), len(labels))


def pooled(output: Tensor, side: int = 1) -> Tensor:
    """One row of numbers for each example: maps (N, C, H, W), tokens (N, T, D) or features (N, D).

    Example:
        >>> pooled(torch.zeros(2, 8, 14, 14)).shape, pooled(torch.zeros(2, 8, 14, 14), side=2).shape
        (torch.Size([2, 8]), torch.Size([2, 32]))
    """
    if output.dim() == 4:
        return F.adaptive_avg_pool2d(output, side).flatten(1)
    return output.mean(1) if output.dim() == 3 else output.flatten(1)


def _catch(
    caught: dict[str, list[Tensor]], name: str, side: int, module: nn.Module, inputs: Any, output: Any
) -> None:
    if not isinstance(output, Tensor):
        raise UsageError(f"layer={name!r}: gives a {type(output).__name__}, choose one that gives a tensor")
    caught.setdefault(name, []).append(pooled(output, side))
