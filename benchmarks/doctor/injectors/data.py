"""Spoiled data and preprocessing: D01 to D07, P01 to P04."""

import torch
from fault import LABELLED, NUMBERS, TABLES, VECTORS, fault
from torch import Tensor

from tasks import Task, adam, sgd, table

DIGITS = ("digits-mlp", "digits-cnn", "rows-lstm")


@fault(
    "D01",
    NUMBERS,
    strengths={
        "three cells": {"cells": 3},
        "one percent": {"cells": 0},
        "infinite": {"cells": 3, "value": float("inf")},
    },
)
def missing_values(task: Task, cells: int, value: float = float("nan")) -> None:
    """A CSV with empty cells, read as NaN; or a division by zero upstream."""
    task.own_data()
    flat = task.train[0].view(len(task.train[0]), -1)
    cells = cells or flat.numel() // 100
    flat[torch.randint(len(flat), (cells,)), torch.randint(flat.shape[1], (cells,))] = value


@fault("D01", ("digits-mlp", "rows-lstm"))
def log_of_zero(task: Task) -> None:
    """Pixels on a log scale, forgetting that some are 0."""
    task.map_inputs(torch.log)


@fault(
    "D02",
    ("cancer-bce", "synthetic", "digits-mlp", "rows-lstm"),
    strengths={"99 %": {"share": 0.01}, "97 %": {"share": 0.03}},
)
def one_class_rules(task: Task, share: float) -> None:
    """Nearly all rows are of one class, in training and validation; the test asks all classes alike."""
    for split in ("train", "val"):
        y = getattr(task, split)[1]
        main = y == y.mode().values
        rare = (~main).nonzero()[:, 0]
        few = max(2, int(main.sum() * share))
        task.keep_rows(torch.cat([main.nonzero()[:, 0], rare[:few]]), split)


@fault("D03", LABELLED)
def sorted_by_class(task: Task) -> None:
    """A file sorted by class, and a loader that does not shuffle."""
    task.keep_rows(task.train[1].argsort(stable=True))
    task.shuffle = False


@fault("D03", ("cancer-bce",))
def sorted_by_answer(task: Task) -> None:
    """The benign first, then the malignant."""
    task.keep_rows(task.train[1].argsort(stable=True))
    task.shuffle = False


@fault("D04", LABELLED, strengths={"two missing": {"classes": 2}, "one missing": {"classes": 1}})
def class_not_collected(task: Task, classes: int) -> None:
    """The last classes of a sorted file fell into validation and test alone: split without shuffling."""
    last = int(task.train[1].max())
    task.keep_rows((task.train[1] <= last - classes).nonzero()[:, 0])


# Too little data is overfitting seen from the other side; both fixes say: more data.
@fault(
    "D04",
    (*VECTORS, "rows-lstm"),
    strengths={"24 rows": {"rows": 24}, "12 rows": {"rows": 12}},
    also=("R01",),
)
def few_rows(task: Task, rows: int) -> None:
    """A handful of rows to learn from."""
    task.epochs = min(200, task.epochs * 5)
    task.keep_rows(torch.arange(rows))


@fault("D05", NUMBERS, "present", {"6 rows": {"rows": 6}, "15 rows": {"rows": 15}}, hint=True)
def tiny_validation(task: Task, rows: int) -> None:
    """A validation set too small to tell anything."""
    task.keep_rows(torch.arange(rows), "val")


@fault("D05", ("diabetes", "synthetic", "digits-mlp"), "report")
def easy_validation(task: Task) -> None:
    """Validation rows that somebody cleaned: training and test rows are noisier."""
    if task.kind == "values":
        noise = lambda y: y + 1.2 * torch.randn_like(y)  # noqa: E731
        task.map_targets(noise, "train test")
    else:
        task.map_inputs(lambda x: x + 1.2 * x.std() * torch.randn_like(x), "train test")


@fault(
    "D06",
    NUMBERS,
    "present",
    {"all of it": {"share": 1.0}, "a third": {"share": 0.34}},
)
def validation_inside_training(task: Task, share: float) -> None:
    """Split after concatenating: validation rows stand among the training rows."""
    count = int(len(task.val[0]) * share)
    task.train = tuple(torch.cat([a, b[:count]]) for a, b in zip(task.train, task.val, strict=True))


@fault("D06", TABLES, "present")
def oversampled_before_split(task: Task) -> None:
    """Rows doubled to balance the classes, then split: twins on both sides."""
    x, y = (torch.cat(parts) for parts in zip(task.train, task.val, strict=True))
    x, y = torch.cat([x, x]), torch.cat([y, y])
    order = torch.randperm(len(x))
    cut = len(task.val[0])
    task.val, task.train = (x[order[:cut]], y[order[:cut]]), (x[order[cut:]], y[order[cut:]])


@fault("D07", TABLES, "report", {"exact": {"noise": 0.0}, "nearly": {"noise": 0.05}})
def answer_among_features(task: Task, noise: float) -> None:
    """A column filled in after the fact; on new rows nobody knows it yet."""
    task.own_data()
    for split in ("train", "val"):
        x, y = getattr(task, split)
        y = (y.float() - y.float().mean()) / y.float().std()
        x[:, 3] = 2 * y + noise * torch.randn(len(x))
    task.test[0][:, 3] = 0.0


def raw_table(task: Task) -> Tensor:
    """The columns as they were measured."""
    name = {"wine-mlp": "wine", "cancer-bce": "breast_cancer", "diabetes": "diabetes"}[task.name]
    return table(name)[0]


def unscale(task: Task, splits: str) -> None:
    """Undo the standardisation: a fit of the raw columns brings the very rows back."""
    raw = raw_table(task)
    task.map_inputs(lambda x: x * raw.std(0) + raw.mean(0), splits)


@fault("P01", ("wine-mlp", "cancer-bce", "diabetes"))
def never_standardised(task: Task) -> None:
    """Columns in their own units: thousands beside hundredths."""
    unscale(task, "train val test")


@fault("P01", DIGITS, strengths={"0-255": {"scale": 255.0}, "0-65535": {"scale": 65535.0}})
def raw_pixels(task: Task, scale: float) -> None:
    """Pixels as bytes."""
    task.map_inputs(lambda x: x * scale)


@fault("P01", ("iris-mlp", "synthetic"), strengths={"x1000": {"scale": 1e3}})
def wrong_unit(task: Task, scale: float) -> None:
    """Metres given in millimetres, far from 0."""
    task.map_inputs(lambda x: x * scale + 5 * scale)


# What the critic reads is what the generator has to reach: a target far off scale (P04).
@fault("P01", ("ring-gan",), also=("P04",))
def points_far_away(task: Task) -> None:
    """Points around (300, 300), fifty times as wide."""
    points = task.train[0] * 50 + 300
    task.train, task.test = (points, points), (task.test[0] * 50 + 300, task.test[1])
    task.radius *= 50


@fault("P02", DIGITS, "seen", {"bytes": {"scale": 255.0}, "0-16": {"scale": 16.0}})
def validation_in_bytes(task: Task, scale: float) -> None:
    """Training images are divided by their maximum, validation images are not."""
    task.map_inputs(lambda x: x * scale, "val")


@fault("P02", ("wine-mlp", "cancer-bce", "diabetes"), "seen")
def validation_not_standardised(task: Task) -> None:
    """The scaler was applied to the training rows alone."""
    unscale(task, "val")


@fault("P02", ("iris-mlp", "synthetic", "digits-mlp", "digits-cnn"), "seen")
def validation_shifted(task: Task) -> None:
    """Another mean for the validation rows: one transform subtracts it, the other does not."""
    task.map_inputs(lambda x: x + 2.0 * x.std(), "val")


@fault(
    "P03", ("digits-mlp", "digits-cnn", "rows-lstm"), strengths={"any turn": {"kind": "turn"}, "mirror": {}}
)
def turned_digits(task: Task, kind: str = "mirror") -> None:
    """Flips and quarter turns, on digits: a 6 becomes a 9."""

    def turn(x: Tensor) -> Tensor:
        images = x.reshape(-1, 8, 8)
        turns = torch.randint(4, (len(images),)) if kind == "turn" else torch.full((len(images),), 2)
        flip = torch.rand(len(images)) < 0.5
        images = torch.stack([torch.rot90(im, int(k)) for im, k in zip(images, turns, strict=True)])
        return torch.where(flip[:, None, None], images.flip(2), images).view_as(x)

    task.augment = turn


@fault("P03", (*VECTORS, "digits-cnn"), strengths={"x2": {"size": 2.0}, "x5": {"size": 5.0}})
def drowned_in_noise(task: Task, size: float) -> None:
    """Noise that was meant to be small against pixels of 0 to 255."""
    scale = task.train[0].std() * size
    task.augment = lambda x: x + scale * torch.randn_like(x)


@fault("P04", ("diabetes",), strengths={"raw": {}, "x100": {"scale": 100.0}, "raw, Adam": {"lr": 1e-3}})
def target_in_its_unit(task: Task, scale: float = 1.0, lr: float | None = None) -> None:
    """Targets around 150 with a spread of 77, for a network that starts at 0."""
    task.map_targets(lambda y: (152.0 + 77.0 * y) * scale)
    task.optimizer = adam(lr) if lr else sgd(1e-3 / scale**2, 0.0)
