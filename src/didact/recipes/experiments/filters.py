"""What has the digit network learned to look for, and what does it see in a digit?

The question of notes 004, CNN Examples 2 and 3.

command   didact experiment filters
time      0.5 min on one core, for 3 seeds

Trains the digit network and draws the figures of the notes: ``filters.png``, the 32 filters of its first
layer; ``conv1.png``, ``pool1.png``, ``conv2.png`` and ``pool2.png``, the maps of one test digit; and
``example-2.png``, the same digit through the three filters that Example 2 gives, with the pooled maps below.
How far the filters have moved is measured too: those that have moved little still look like the random
numbers they started from.
"""

from typing import TYPE_CHECKING

from didact.recipes.experiment import Experiment, Variant
from didact.recipes.measures import loss_by_epoch
from didact.recipes.table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor, nn

    from didact.train.run import Run

LAYERS = ("conv1", "pool1", "conv2", "pool2")
SHAPES = {"conv1": (32, 28, 28), "pool1": (32, 14, 14), "conv2": (64, 14, 14), "pool2": (64, 7, 7)}
MOVED = "filters moved by"  # the distance from their random start, in units of their length there
ACCURACY, ALIKE = "test accuracy", "maps as in the notes"


def digit(run: "Run") -> "tuple[Tensor, str]":
    """The first test digit as the network reads it (1, 28, 28), and its class."""
    data = run.data()
    inputs, labels = data["test"].take(data["test"].order(None)[:1])
    return inputs[0], run.facts.classes[int(labels[0])]


def start(run: "Run") -> "nn.Module":
    """The network as it was before its first update: the seed draws the same weights again."""
    import torch

    from didact.train.run import build_for

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.recipe.seed)
        return build_for(run.recipe, run.facts)[0]


def fixed_filters(image: "Tensor") -> "tuple[Tensor, Tensor]":
    """Example 2: an image (28, 28) through its three filters, VALID, and pooled: (3, 26, 26) and (3, 13, 13).

    The notes lay w1, w2, w3 over the image as they stand; w1 is Sobel's filter for vertical edges, negated.
    """
    import torch
    from torch.nn import functional as F

    from didact.nn.kernels import kernel

    weights = torch.stack([-kernel("sobel-x"), kernel("sobel-y"), kernel("blur")])[:, None]
    maps = F.conv2d(image[None, None], weights.to(image.dtype))
    return maps[0], F.max_pool2d(maps, 2)[0]


def _measure(run: "Run") -> Numbers:
    from didact.see.feature_maps import feature_maps
    from didact.see.filters import filters

    trained, random = filters(run.model, "conv1").weights, filters(start(run), "conv1").weights
    maps = feature_maps(run.model, digit(run)[0], LAYERS)
    return {
        ACCURACY: run.scores["test"]["accuracy"],
        MOVED: ((trained - random).norm() / random.norm()).item(),
        **{f"silent maps at {layer}": float(maps.silent(layer)) for layer in LAYERS},
        ALIKE: float(maps.shapes == SHAPES),
    }


def _verdict(table: Table) -> str:
    def of(number: str) -> str:
        return str(table.of("digit network", number))

    seen = "Seen" if table.mean("digit network", ALIKE) == 1 else "Not seen"
    shapes = ", ".join(f"{layer} {'x'.join(map(str, shape))}" for layer, shape in SHAPES.items())
    return (
        f"{seen}: the maps are {shapes}; test accuracy is {of(ACCURACY)}; {of('silent maps at pool2')} of "
        f"the 64 last maps are silent; the filters moved by {of(MOVED)} of their length from a random start."
    )


def _pictures(run: "Run") -> "dict[str, Figure]":
    import torch

    from didact.draw.tiles import draw_tiles
    from didact.see.feature_maps import feature_maps
    from didact.see.filters import filters

    image, name = digit(run)
    weights = filters(run.model, "conv1")
    maps = feature_maps(run.model, image, LAYERS)
    pictures = {
        "filters": draw_tiles(
            weights.channel().numpy(), f"The {weights.shape[0]} filters of conv1", columns=8
        )
    }
    for layer, found in maps.maps.items():
        count, height, width = found.shape
        title = f"{layer}: {count} maps of {height}x{width}, of a {name}"
        pictures[layer] = draw_tiles(
            found.numpy(),
            title,
            columns=8,
            scale="each",
            colours="signed" if layer.startswith("conv") else "light",  # before and after ReLU
        )
    mean, std = (torch.tensor(values)[:, None, None] for values in (run.facts.mean, run.facts.std))
    plain = (image * std + mean)[0]
    found, pooled = fixed_filters(plain)
    padded = torch.nn.functional.interpolate(pooled[None], scale_factor=2, mode="nearest")[0]
    names = [f"w{k}, 26x26" for k in (1, 2, 3)] + [f"w{k} pooled, 13x13" for k in (1, 2, 3)]
    pictures["example-2"] = draw_tiles(
        torch.cat([found, padded]).numpy(),
        f"A {name} through the filters of Example 2",
        columns=3,
        scale="each",
        names=names,
    )
    return pictures


FILTERS = Experiment(
    name="filters",
    question="what has the digit network learned to look for, and what does it see in a digit?",
    source="notes 004, CNN Examples 2 and 3",
    claim="figures of 32 filters of 5x5, and of maps at conv2 (64x14x14) and pool2 (64x7x7)",
    variants={"digit network": Variant("mnist-cnn", {"epochs": 10})},
    numbers=(ACCURACY, MOVED, *(f"silent maps at {layer}" for layer in LAYERS), ALIKE),
    measure=_measure,
    verdict=_verdict,
    minutes=0.5,
    curve=loss_by_epoch,
    pictures=_pictures,
)
