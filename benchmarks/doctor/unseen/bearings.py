"""Sound machines and three ways of failing, told apart by 64 samples of vibration (sines, knocks and noise).

A 1-D CNN with dropout, a DataLoader, Adam and nn.CrossEntropyLoss, the accuracy counted by hand after each
epoch; one `with doctor.watching(...)` around the whole loop.
"""

import copy
import math
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

KINDS = ("sound", "unbalanced", "knocking", "loose")
EVEN = (0.25, 0.25, 0.25, 0.25)
UNEVEN = (0.28, 0.28, 0.28, 0.16)
VALIDATION = 200


def record(
    rng: np.random.Generator, rows: int, shares: tuple[float, ...] = EVEN, noise: float = 0.6
) -> tuple[Tensor, Tensor]:
    """Windows as the converter counts them, around 2048, and what was wrong with the machine."""
    kind = rng.choice(len(KINDS), rows, p=shares)
    time = np.arange(64)[None]
    pace = rng.uniform(0.05, 0.09, (rows, 1))
    first, second = rng.uniform(0, 6.3, (2, rows, 1))
    turns = 2 * np.pi * pace * time
    period = rng.integers(12, 21, (rows, 1))
    since_knock = (time + rng.integers(0, 20, (rows, 1))) % period
    unbalance = 0.7 * np.sin(2 * turns + second)
    knocks = 1.8 * np.exp(-since_knock / 2) * np.cos(2.2 * since_knock)
    looseness = 0.7 * np.sin(turns / 2 + second)
    signs = np.stack([0 * turns, unbalance, knocks, looseness])
    wave = np.sin(turns + first) + signs[kind, np.arange(rows)] + rng.normal(0, noise, (rows, 64))
    wave *= rng.uniform(0.7, 1.3, (rows, 1))
    return torch.tensor(2048 + 200 * wave, dtype=torch.float32)[:, None], torch.tensor(kind)


class Listener(nn.Module):
    """Two convolutions, each halved by a pool, then a hidden layer and a score for each kind."""

    def __init__(
        self,
        hidden: int = 64,
        outputs: int = len(KINDS),
        activation: type[nn.Module] = nn.ReLU,
        pool: type[nn.Module] = nn.MaxPool1d,
        dropout: float = 0.3,
        bias: bool = True,
        norm: nn.Module | None = None,
        mistake: str = "",
    ) -> None:
        super().__init__()
        self.mistake = mistake
        self.early = nn.Sequential(nn.Conv1d(1, 16, 7, padding=3, bias=bias), activation(), pool(2))
        self.late = nn.Sequential(
            nn.Conv1d(16, 32, 5, padding=2, bias=bias),
            copy.deepcopy(norm) or nn.Identity(),
            activation(),
            pool(2),
        )
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Sequential(nn.Linear(32 * 16, hidden, bias=bias), activation())
        self.head = nn.Linear(hidden, outputs, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.late(self.early(x))
        if self.mistake == "length of zero":  # 0 / 0 where a channel is silent for the whole window
            x = x / x.norm(dim=2, keepdim=True)
        if self.mistake == "batch axis moved":  # the rows are spread over one another
            x = x.permute(1, 0, 2).reshape(len(x), -1)
        scores = self.head(self.hidden(self.dropout(x.flatten(1))))
        return scores.softmax(1) if self.mistake == "softmax twice" else scores


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return (model(x).argmax(1) == y).float().mean().item()


def train(
    seed: int,
    doctor: Any,
    *,
    rows: int = 800,
    shares: tuple[float, ...] = EVEN,
    wrong_labels: float = 0.0,
    batch: int = 32,
    shuffle: bool = True,
    epochs: int = 14,
    lr: float = 2e-3,
    sgd: bool = False,
    loss_fn: nn.Module | None = None,
    loss_limit: float = math.inf,
    schedule: str = "",
    every: int = 1,
    clip: float = math.inf,
    ema: float = 0.0,
    freeze_early: bool = False,
    mistake: str = "",
    **network: Any,
) -> Outcome:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)

    x, y = record(rng, rows + VALIDATION, shares)
    test_x, test_y = record(rng, 1000)
    if mistake == "split by the order of the files":  # one folder a kind, the last one is all validation
        order = y.argsort(stable=True)
        x, y = x[order], y[order]
    if mistake == "labels joined by the wrong key":
        y = y[torch.randperm(len(y))]
    if mistake == "kinds from 1":  # names[prediction] is then the wrong name
        y = y + 1
    val_x, val_y = x[-VALIDATION:], y[-VALIDATION:]
    x, y = x[:-VALIDATION], y[:-VALIDATION]

    mean, std = x.mean(), x.std()
    x = (x - mean) / std
    if mistake != "new windows not scaled":
        val_x, test_x = (val_x - mean) / std, (test_x - mean) / std
    if mistake == "sensor gaps":
        x[::40, 0, 20:24] = math.nan
    if mistake == "by kind":
        order = y.argsort()
        x, y = x[order], y[order]
    flipped = torch.rand(len(y)) < wrong_labels
    y = torch.where(flipped, torch.randint(len(KINDS), y.shape), y)

    model = Listener(mistake=mistake, **network)
    if mistake == "zeros":
        for p in [*model.hidden.parameters(), *model.head.parameters()]:
            nn.init.zeros_(p)
    if mistake == "bias far below zero":
        nn.init.constant_(model.hidden[0].bias, -8.0)
    model.early.requires_grad_(not freeze_early)
    loader = DataLoader(TensorDataset(x, y), batch, shuffle=shuffle)
    loss_fn = loss_fn or nn.CrossEntropyLoss()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr) if sgd else torch.optim.Adam(trained, lr)
    if mistake == "head replaced too late":  # the optimizer still holds the old one
        model.head = nn.Linear(model.head.in_features, len(KINDS))
        nn.init.normal_(model.head.weight, std=0.01)
    updates = epochs * len(loader) // every
    scheduler = {
        "": lambda: ExponentialLR(optimizer, 0.97),
        "gamma each batch": lambda: ExponentialLR(optimizer, 0.8),
        "one cycle": lambda: OneCycleLR(optimizer, 5 * lr, total_steps=updates + 1),
        "warm-up": lambda: LambdaLR(optimizer, lambda step: min(1.0, step / 100)),
    }[schedule]()
    average = copy.deepcopy(model)

    reported = 0.0
    with doctor.watching(model, optimizer, loss_fn):
        for epoch in range(epochs):
            if mistake != "never back to train" or epoch == 0:
                model.train()
            for step, (windows, kinds) in enumerate(loader, start=1):
                if mistake == "mixed wrongly":  # weights swapped: most of a window is of another label
                    windows = 0.3 * windows + 0.7 * windows[torch.randperm(len(windows))]
                loss = loss_fn(model(windows), kinds).clamp(max=loss_limit)
                (loss / every).backward()
                if step % every:
                    continue
                nn.utils.clip_grad_norm_(trained, clip)
                optimizer.step()
                optimizer.zero_grad()
                if schedule:
                    scheduler.step()
                if ema:
                    with torch.no_grad():
                        for kept, new in zip(average.parameters(), model.parameters(), strict=True):
                            kept.lerp_(new, 1 - ema)
            if not schedule:
                scheduler.step()
            if mistake == "labels stay behind":  # new order for the windows, the old one for the labels
                x[:] = x[torch.randperm(len(x))]

            if mistake != "no eval":
                model.eval()
            with torch.no_grad():
                reported = accuracy(model, val_x, val_y)

    final = average if ema else model
    final.eval()
    with torch.no_grad():
        return Outcome(accuracy(final, test_x, test_y), reported)


CASES, add = cases("bearings", train)
add("as it should be")

add("gaps of the sensor are NaN", "D01", mistake="sensor gaps")
add("failures are one row in fifty", "D02", shares=(0.98, 0.01, 0.005, 0.005), epochs=6, lr=5e-4)
add("files read kind by kind", "D03", mistake="by kind", shuffle=False)
add("split by the order of the files", "D04", mistake="split by the order of the files", shares=UNEVEN)
add("labels stay behind", "L01", mistake="labels stay behind")
add("labels joined by the wrong key", "L02", mistake="labels joined by the wrong key")
add("kinds counted from 1", "L05", True, mistake="kinds from 1", outputs=5)
add("new windows not scaled", "P02", mistake="new windows not scaled")
add("mixup with its weights swapped", "P03", mistake="mixed wrongly")
add("hidden bias far below zero", "A02", mistake="bias far below zero")
add("no activation", "A03", activation=nn.Identity, pool=nn.AvgPool1d)
add("batch axis moved", "A04", mistake="batch axis moved")
add("one hidden unit", "A07", hidden=1)
add("zero weights", "I01", mistake="zeros")
add("softmax before the loss", "S02", True, mistake="softmax twice")
add("loss clamped at 1", "S07", loss_limit=1.0)
add("lr 0.05", "O01", lr=0.05)
add("gamma each batch", "O04", schedule="gamma each batch")
add("head replaced after the optimizer", "O06", True, mistake="head replaced too late")
add("divided by a length of zero", "O08", mistake="length of zero")
add("a hundred windows", "R01", rows=100, epochs=100, dropout=0.0, batch=20)
add("no eval", "E01", True, mistake="no eval", dropout=0.5)
add("never back to train", "E02", True, mistake="never back to train", dropout=0.5)
add("running averages too slow", "E05", norm=nn.BatchNorm1d(32, momentum=1e-4))

add("one cycle, warm from almost 0", schedule="one cycle")
add("warm-up from 0, lr 3e-3", schedule="warm-up", lr=3e-3)
add("four batches an update, clipped at 1", batch=8, every=4, clip=1.0)
add("GELU, label smoothing", activation=nn.GELU, loss_fn=nn.CrossEntropyLoss(label_smoothing=0.1))
add("dropout of a half, no biases", dropout=0.5, bias=False, epochs=18)
add("plain SGD, lr 0.2", sgd=True, lr=0.2, epochs=18)
add("average of the weights", ema=0.95)
add("one label in twenty drawn anew", wrong_labels=0.05)
add("first layer frozen, uneven shares", freeze_early=True, shares=UNEVEN, epochs=18)
