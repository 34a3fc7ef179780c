"""What to train again of a network that was trained before: the notes' size and similarity, measured.

The notes (001, section XI.1) ask three things before transfer: are the inputs of the same kind, was there
more data before than now, do the features of then serve now? And they decide by two: how much data there is,
and how similar the tasks are. Similarity is measured here, on the user's own data, as how well the old trunk
serves the new task: a linear head answers for each example after it was fitted to all others, and its share
of right answers, on a scale from guessing (0) to perfect (1), is the similarity. The same trunk with random
weights shows what the old training has to do with it.
"""

# N examples, F features, K classes

from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from didact.data.batches import FileSplit, Split, TensorSplit
from didact.data.split import some_of
from didact.errors import UsageError
from didact.nn.head import head_names
from didact.nn.linear_probe import left_out_accuracy
from didact.train.published import FILES
from didact.train.recipe import Recipe, make_recipe
from didact.train.run import build_for, make_task, open_recipe_data
from didact.train.transfer import features_of, last_module
from didact.train.weights import Weights, find_weights, load_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MANY = 500  # examples of a class from which on data is called much; ImageNet has 1,300
SIMILAR = 0.75  # between guessing and perfect, from which on tasks are called similar
LOOKED_AT = 400  # examples whose features are compared
IMAGENET_EXAMPLES = 1_281_167

CELLS = {  # (much data, similar): how to transfer, and in words
    (True, False): ("full", "train all of it: there is enough data, and the old features serve little"),
    (True, True): ("low-rate", "fine-tune: a low rate for the trunk, the full one for the new head"),
    (False, True): ("features", "freeze the trunk, train a new head on its features: more would overfit"),
    (False, False): (
        "low-rate",
        "freeze the lower half, train the upper: early layers see what all images have",
    ),
}


@dataclass
class Advice:
    """The advice, with the numbers it rests on.

    Attributes:
        model, weights, data: What was asked about.
        examples: Training examples of the new task.
        per_class: The same for each class.
        before: Examples that the weights were trained on, where that is known.
        chance: Share that guessing gets right.
        trained, random: Share of examples that a linear head gets right on features of the trained trunk,
            and of the same trunk with random weights.
        freeze: Parts to freeze, where only some should be.
    """

    model: str
    weights: str
    data: str
    examples: int
    per_class: float
    before: int | None
    chance: float
    trained: float
    random: float
    freeze: tuple[str, ...] = ()

    @property
    def similarity(self) -> float:
        """How well the trained trunk serves: 0 as guessing, 1 perfectly."""
        return (self.trained - self.chance) / (1 - self.chance)

    @property
    def useful(self) -> bool:
        """Whether the trained trunk serves better than a random one, by twice the standard error or more."""
        spread = self.random * (1 - self.random) + self.trained * (1 - self.trained)
        return self.trained - self.random > 2 * (spread / min(self.examples, LOOKED_AT)) ** 0.5

    @property
    def cell(self) -> tuple[bool, bool]:
        """Much data, and similar."""
        return self.per_class >= MANY, self.similarity >= SIMILAR

    @property
    def transfer(self) -> str:
        """The kind of transfer that is advised."""
        return CELLS[self.cell][0]

    @property
    def command(self) -> str:
        """What to type."""
        frozen = f" --set freeze={','.join(self.freeze)}" if self.freeze else ""
        return (
            f"didact train {self.model} --data {quote(self.data)} --weights {quote(self.weights)} "
            f"--transfer {self.transfer}{frozen}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        much, similar = self.cell
        return vars(self) | {
            "similarity": self.similarity,
            "useful": self.useful,
            "much_data": much,
            "similar": similar,
            "transfer": self.transfer,
            "command": self.command,
        }

    def plot(self) -> "Figure":
        """The map of the four cases, and where this one lies."""
        from didact.draw.transfer import draw_transfer_map

        names = {cell: words.split(":")[0] for cell, (_, words) in CELLS.items()}
        return draw_transfer_map(self.per_class, self.similarity, names, MANY, SIMILAR)

    def __str__(self) -> str:
        much, similar = self.cell
        before = f"{self.before:,} examples" if self.before else "an unknown number"
        helps = "the old training helps" if self.useful else "the old training makes no difference"
        return "\n".join(
            [
                f"same kind of input   images, read as {self.model} was taught to",
                f"more data before     {before} then, {self.examples:,} now",
                f"useful features      a linear head is right for {self.trained:.1%}, on a random trunk for "
                f"{self.random:.1%}: {helps}",
                f"size                 {self.per_class:,.0f} a class: {'much' if much else 'little'}",
                f"similarity           {self.similarity:.2f}: {'similar' if similar else 'not similar'}",
                f"advice               {CELLS[self.cell][1]}",
                f"command              {self.command}",
            ]
        )


def advise(model: str, weights: str, data: str, **knobs: Any) -> Advice:
    """Measure size and similarity on the training split, and say what to train again.

    Args:
        model: A classifier of the catalogue.
        weights: As in ``find_weights``.
        data: A name or a path.
        **knobs: Others of the recipe.

    Example:
        >>> print(advise("resnet18", "imagenet", "./flowers"))

    Raises:
        UsageError: The network reads no images, or the data has no classes.
    """
    recipe = make_recipe(model, data, given={"weights": weights, "transfer": "features", **knobs})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return _measure(recipe, find_weights(weights, recipe.model))


def _measure(recipe: Recipe, weights: Weights) -> Advice:
    data = open_recipe_data(recipe)
    facts = data.facts
    make_task(recipe, facts)  # refuses what the network does not learn
    if not facts.classes:
        raise UsageError(f"{facts.name} has no classes; the advice is for classifiers")
    network, _ = build_for(recipe, facts)
    split = _some(data["train"], recipe.seed)
    features = _features(network, split)
    random = left_out_accuracy(features.inputs, features.targets)
    load_weights(network, weights, classes=facts.classes)
    features = _features(network, split)
    trained = left_out_accuracy(features.inputs, features.targets)
    before = IMAGENET_EXAMPLES if weights.path.name in FILES else None
    known = weights.facts.sizes["train"] if weights.facts else before
    advice = Advice(
        recipe.model,
        weights.source,
        recipe.data,
        len(data["train"]),
        len(data["train"]) / len(facts.classes),
        known,
        1 / len(facts.classes),
        trained,
        random,
    )
    if advice.cell == (False, False):
        advice.freeze = lower_half(network)
    return advice


def lower_half(model: nn.Module) -> tuple[str, ...]:
    """The parts that hold the first half of the layers of a trunk, named as briefly as can be."""
    head = {name.rpartition(".")[0] for name in head_names(model)}
    leaves = [n for n, m in model.named_modules() if n not in head and [*m.parameters(recurse=False)]]
    kept = set(leaves[: len(leaves) // 2])
    return tuple(_largest(model, "", kept, set(leaves) | head))


def _largest(module: nn.Module, name: str, kept: set[str], known: set[str]) -> Sequence[str]:
    """The fewest parts that hold the leaves to be kept and no other leaf."""
    inside = {leaf for leaf in known if leaf == name or leaf.startswith(f"{name}." if name else "")}
    if not inside & kept:
        return []
    if inside <= kept:
        return [name]
    found: list[str] = []
    for child, part in module.named_children():
        found += _largest(part, f"{name}.{child}" if name else child, kept, known)
    return found


def _features(network: nn.Module, split: Split) -> TensorSplit:
    head = last_module(network, split.take(torch.arange(1))[0])
    return features_of(network, head, split)


def _some(split: Split, seed: int) -> TensorSplit:
    """At most so many examples, in the class shares."""
    assert isinstance(split, TensorSplit | FileSplit)  # what images come in
    chosen = some_of(split.targets.tolist(), min(LOOKED_AT, len(split)), seed)
    return TensorSplit(*split.take(torch.tensor(chosen)))
