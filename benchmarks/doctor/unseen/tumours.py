"""Benign or malignant, from thirty measurements of cell nuclei (sklearn's breast cancer table).

The table is standardised and an MLP with one logit learns it by nn.BCEWithLogitsLoss, SGD with momentum and a
StepLR; a plain script with a DataLoader and the accuracy of the validation rows counted by hand.
"""

import copy
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

TEST, VALIDATION = 150, 100  # rows; the other 319 are trained on


class Network(nn.Module):
    """A stack of linear layers that ends in one logit a row."""

    def __init__(
        self, inputs: int, hidden: tuple[int, ...], act: type[nn.Module], dropout: float, norm: bool
    ):
        super().__init__()
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(inputs, width), *([nn.BatchNorm1d(width)] if norm else []), act()]
            layers.append(nn.Dropout(dropout))
            inputs = width
        self.body = nn.Sequential(*layers)
        self.head: nn.Module = nn.Linear(inputs, 1)
        self.detach = False

    def forward(self, x: Tensor) -> Tensor:
        features = self.body(x)
        return self.head(features.detach() if self.detach else features).squeeze(1)


def table(rng: np.random.Generator, order: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The rows in the order in which they are split (random or by diagnosis), and the test rows."""
    x, y = load_breast_cancer(return_X_y=True)
    y = 1 - y  # 1 is malignant
    rows = rng.permutation(len(x))
    test, rest = rows[:TEST], rows[TEST:]
    if order == "by diagnosis":
        rest = rest[np.argsort(-y[rest], kind="stable")]
    return x[rest], y[rest], x[test], y[test]


def start_from(model: nn.Module, spread: float) -> None:
    """Start every layer from normal weights of a given spread, and no bias."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=spread)
            nn.init.zeros_(layer.bias)


def by_hand(logits: Tensor, y: Tensor) -> Tensor:
    """The same as BCEWithLogitsLoss, written out."""
    return (F.softplus(logits) - logits * y).mean()


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 0.02,
    momentum: float = 0.9,
    decay: float = 0.0,
    gamma: float = 0.5,
    epochs: int = 30,
    batch: int = 8,
    hidden: tuple[int, ...] = (32, 16),
    act: type[nn.Module] = nn.ReLU,
    dropout: float = 0.1,
    norm: bool = False,
    loss: Any = None,
    scale: bool = True,
    order: str = "random",
    validation: int = VALIDATION,
    noise: float = 0.0,
    keep: float = 1.0,
    init: float | None = None,
    clip: float | None = None,
    accumulate: int = 1,
    warmup: int = 0,
    average: float = 0.0,
    mistake: str = "",
) -> Outcome:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)

    x, y, x_test, y_test = table(rng, order)
    if mistake == "oversampled before the split":  # copies of one patient land on both sides
        rows = rng.permutation(np.repeat(np.arange(len(x)), 3))
        x, y = x[rows], y[rows]
        validation *= 3
    if mistake == "leak":  # weeks of treatment: whoever is new has had none
        x = np.column_stack([x, y * 8.0])
        x_test = np.column_stack([x_test, np.zeros(len(x_test))])
    x_val, y_val, x, y = x[-validation:], y[-validation:], x[:-validation], y[:-validation]

    if keep < 1:  # most of the malignant rows are missing
        kept = (y == 0) | (rng.random(len(y)) < keep)
        x, y = x[kept], y[kept]
    flipped = rng.random(len(y)) < noise
    y = np.where(flipped, 1 - y, y)
    if mistake == "missing value":
        x[17, 3] = np.nan
    if scale:
        mean, std = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
        mean[30:], std[30:] = 0, 1  # only the thirty measurements
        x, x_val, x_test = (x - mean) / std, (x_val - mean) / std, (x_test - mean) / std
    if mistake == "validation not scaled":  # nor are the rows that the model is used on
        x_val, x_test = x_val * std + mean, x_test * std + mean

    as_tensor = lambda values: torch.tensor(values, dtype=torch.float32)  # noqa: E731
    x, y, x_val, y_val, x_test = (as_tensor(values) for values in (x, y, x_val, y_val, x_test))
    if mistake == "labels 1 and 2":
        y, y_val = y + 1, y_val + 1
    data = TensorDataset(x, y)
    loader = DataLoader(data, batch_size=batch, shuffle=True, drop_last=norm)

    model = Network(x.shape[1], hidden, act, dropout, norm)
    if init is not None:
        start_from(model, init)
    if mistake == "sigmoid":
        model.head = nn.Sequential(model.head, nn.Sigmoid())
    if mistake == "unused layer":
        model.shortcut = nn.Linear(x.shape[1], 1)
    if mistake == "first layer frozen":
        model.body[0].requires_grad_(False)
    model.detach = mistake == "detached"
    criterion = loss or nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum, weight_decay=decay)
    if mistake == "head replaced":  # after the optimizer was built
        model.head = nn.Linear(hidden[-1], 1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=gamma)
    averaged = copy.deepcopy(model) if average else model

    reported = 0.0
    updates = 0
    with doctor.watching(model, optimizer, criterion, loader):
        for _ in range(epochs):
            model.train()
            if mistake == "features reshuffled":  # and the labels stay where they were
                data.tensors = (x[torch.randperm(len(x))], y)
            for number, (inputs, labels) in enumerate(loader):
                logits = model(inputs)
                if mistake == "broadcast":
                    logits = logits.unsqueeze(1)
                error = criterion(logits, labels)
                if mistake == "loss clamped":  # meant against outliers
                    error = error.clamp(max=0.3)
                (error / accumulate).backward()
                if (number + 1) % accumulate:
                    continue
                if clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if updates < warmup:
                    optimizer.param_groups[0]["lr"] = lr * updates / warmup
                if mistake != "no step":
                    optimizer.step()
                updates += 1
                if mistake != "no zero_grad":
                    optimizer.zero_grad()
                if average:
                    for slow, fast in zip(averaged.parameters(), model.parameters(), strict=True):
                        slow.data.lerp_(fast.data, 1 - average)
                if mistake == "scheduler each batch":
                    scheduler.step()
            if mistake != "scheduler each batch":
                scheduler.step()

            if mistake != "eval() forgotten":
                averaged.eval()
            with torch.no_grad():
                right = ((averaged(x_val) > 0).float() == y_val).sum().item()
            reported = right / len(y_val)

    averaged.eval()
    with torch.no_grad():
        guess = (averaged(x_test) > 0).numpy()
    score = np.mean([guess[y_test == 1].mean(), 1 - guess[y_test == 0].mean()])  # balanced accuracy
    return Outcome(float(score), reported)


CASES, add = cases("tumours", train)
add("as it should be")

add("sigmoid before BCEWithLogits", "S01", mistake="sigmoid")
add("rows against columns in the loss", "S05", loss=by_hand, mistake="broadcast")
add("loss clamped from above", "S07", mistake="loss clamped")
add("labels 1 and 2", "L05", mistake="labels 1 and 2")
add("features reshuffled without labels", "L01 L02", mistake="features reshuffled")
add("a missing value", "D01 O08", mistake="missing value")
add("split by diagnosis", "D04 D02", order="by diagnosis", validation=260)
add("oversampled before the split", "D06", exact=True, mistake="oversampled before the split")
add("treatment among the features", "D07", mistake="leak")
add("raw units", "P01", scale=False)
add("validation not scaled", "P02", mistake="validation not scaled")
add("lr 30", "O01 O08 A02", lr=30.0)
add("lr 1e-5", "O02 R03", lr=1e-5)
add("scheduler stepped each batch", "O04", mistake="scheduler each batch", gamma=0.1, lr=0.01)
add("gradients never zeroed", "O05", exact=True, mistake="no zero_grad")
add("head replaced after the optimizer", "O06", exact=True, mistake="head replaced")
add("step forgotten", "O12", mistake="no step")
add("features detached", "O10", exact=True, mistake="detached")
add("clipped at 1e-5", "O11", clip=1e-5)
add("weights all zero", "I01", init=0.0)
add("weights too small", "I02", init=1e-3)
add("ten layers of sigmoids", "O07", hidden=(24,) * 10, act=nn.Sigmoid, dropout=0.0)
add("no activation", "A03", exact=True, act=nn.Identity)
add("a layer never called", "A08", exact=True, mistake="unused layer")
add("weight decay 1", "R02", decay=1.0)
add("BatchNorm of two rows", "R04", exact=True, norm=True, batch=2, epochs=10)
add("eval() forgotten", "E01", exact=True, dropout=0.5, mistake="eval() forgotten")

add("SGD with lr 0.3", lr=0.3, momentum=0.0)
add("warm-up from zero", lr=0.05, warmup=150)
add("loss written by hand, tanh", loss=by_hand, act=nn.Tanh)
add("dropout 0.5 and wide", dropout=0.5, hidden=(96,))
add("accumulated over four, clipped at 1", accumulate=4, clip=1.0, lr=0.05, batch=4)
add("first layer frozen", mistake="first layer frozen", hidden=(64, 32))
add("average of the weights validated", average=0.95)
add("four in five malignant rows missing", keep=0.2)
add("five percent of labels wrong", noise=0.05)
