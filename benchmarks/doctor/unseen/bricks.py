"""Compressive strength of concrete from its mix: an MLP on a table of eight columns."""

import copy
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

COLUMNS = ["cement", "slag", "ash", "water", "plasticizer", "coarse", "fine", "age"]


def mixes(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Kilograms per cubic metre, days; strength in MPa."""
    cement = rng.uniform(120, 520, n)
    slag = np.where(rng.random(n) < 0.45, 0.0, rng.uniform(20, 300, n))
    ash = np.where(rng.random(n) < 0.55, 0.0, rng.uniform(60, 190, n))
    water = rng.normal(180, 21, n).clip(122, 245)
    plasticizer = np.where(rng.random(n) < 0.35, 0.0, rng.uniform(2, 28, n))
    coarse, fine = rng.normal(970, 75, n), rng.normal(770, 80, n)
    age = rng.choice([3.0, 7, 14, 28, 56, 90, 180, 365], n, p=[0.14, 0.14, 0.1, 0.36, 0.1, 0.08, 0.05, 0.03])
    binder = cement + 0.8 * slag + 0.4 * ash
    strength = 120 / 6 ** (water / binder) * age / (5 + 0.85 * age) - 0.04 * abs(fine - 770)
    strength += 9 * np.sin(plasticizer / 9) - 12
    table = np.stack([cement, slag, ash, water, plasticizer, coarse, fine, age], 1)
    return table, (strength + rng.normal(0, 4.5, n)).clip(2)


def r_squared(prediction: np.ndarray, truth: np.ndarray) -> float:
    if not np.isfinite(prediction).all():
        return 0.0
    return float(np.clip(1 - ((prediction - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum(), 0, 1))


class Net(nn.Module):
    def __init__(self, columns: int, widths: tuple, act: str, norm: float, drop: float, relu_out: bool):
        super().__init__()
        make = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU, "none": nn.Identity}
        layers: list[nn.Module] = []
        for width in widths:
            layers.append(nn.Linear(columns, width))
            if norm:
                layers.append(nn.BatchNorm1d(width, momentum=norm))
            layers.append(make[act]())
            if drop:
                layers.append(nn.Dropout(drop))
            columns = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(columns, 1)
        self.out = nn.ReLU() if relu_out else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.head(self.body(x)))


def initialise(net: Net, how: str, scale: float) -> None:
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            if how == "normal":
                nn.init.normal_(layer.weight, 0, scale)
                nn.init.zeros_(layer.bias)
            elif how == "prior" and layer is net.head:
                nn.init.constant_(layer.bias, scale)


def tidy(x: np.ndarray, y: np.ndarray, how: str, share: float, rng: np.random.Generator) -> tuple:
    """What happens to the file between the laboratory and the loop."""
    some = rng.random(len(y)) < share
    if how == "missing":
        x = np.where(some[:, None] & (np.arange(x.shape[1]) == 2), np.nan, x)
    elif how == "by strength":
        order = np.argsort(y)
        x, y = x[order], y[order]
    elif how == "joined":
        y = y.copy()
        y[some] = rng.permutation(y[some])
    elif how == "psi":
        y = np.where(some, y * 145.04, y)
    elif how == "typed in":
        y = np.where(some, rng.uniform(0, 80, len(y)), y)
    return x, y


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 3e-3,
    epochs: int = 22,
    batch: int = 32,
    rows: int = 1000,
    opt: str = "adam",
    opt_args: dict | None = None,
    widths: tuple = (48, 24),
    act: str = "relu",
    norm: float = 0.0,
    drop: float = 0.0,
    relu_out: bool = False,
    init: str = "",
    scale: float = 0.0,
    file: str = "",
    share: float = 0.0,
    shuffle: bool = True,
    by_age: bool = False,
    repeat: int = 1,
    grade: bool = False,
    inputs: str = "standard",
    val_inputs: str = "same",
    target: str = "standard",
    huber: bool = False,
    flat: bool = False,
    plateau: dict | None = None,
    zero: bool = True,
    rebuilt: bool = False,
    clip: float = 0.0,
    accumulate: int = 1,
    patience: int = 0,
    min_delta: float = 0.0,
    val_mode: str = "eval",
    remix: int = 0,
    average: float = 0.0,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = mixes(rng, 1400)
    if grade:
        x = np.column_stack([x, np.round(y / 2)])
    if by_age:
        order = np.argsort(x[:, 7], kind="stable")
    elif repeat > 1:
        order = rng.permutation(np.repeat(np.arange(1400 // repeat), repeat))
    else:
        order = rng.permutation(1400)
    x, y, x_val, y_val = x[order[:rows]], y[order[:rows]], x[order[1000:]], y[order[1000:]]
    x, y = tidy(x, y, file, share, rng)

    mean, std = np.nanmean(x, 0), np.nanstd(x, 0)
    low, high = np.nanmin(x, 0), np.nanmax(x, 0)
    y_mean, y_std = {"standard": (y.mean(), y.std()), "MPa": (0, 1), "kPa": (0, 1e-3)}[target]

    def scaled(table: np.ndarray, how: str) -> torch.Tensor:
        if how == "standard":
            table = (table - mean) / std
        elif how == "range":
            table = (table - low) / (high - low)
        elif how == "grams":
            table = np.where(np.arange(table.shape[1]) < 7, 1000 * table, table)
        return torch.tensor(table, dtype=torch.float32)

    val_inputs = inputs if val_inputs == "same" else val_inputs
    features, answers = scaled(x, inputs), torch.tensor((y - y_mean) / y_std, dtype=torch.float32)
    loader = DataLoader(TensorDataset(features, answers[:, None]), batch, shuffle=shuffle)
    held = scaled(x_val, val_inputs)

    model = Net(x.shape[1], widths, act, norm, drop, relu_out)
    initialise(model, init, scale or float(y.mean()))
    makers = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    optimizer = makers[opt](model.parameters(), lr=lr, **(opt_args or {}))
    if rebuilt:
        model.body = Net(x.shape[1], widths, act, norm, drop, relu_out).body
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, **({"factor": 0.5, "patience": 3} | (plateau or {}))
    )
    loss_fn = nn.SmoothL1Loss() if huber else nn.MSELoss()
    shadow = copy.deepcopy(model).eval() if average else model

    best, waited, reported = float("inf"), 0, 0.0
    with doctor.watching(model, optimizer):
        for epoch in range(epochs):
            model.train()
            if remix and epoch >= remix:
                features.copy_(features[torch.randperm(len(features))])
            for i, (xb, yb) in enumerate(loader):
                if zero and i % accumulate == 0:
                    optimizer.zero_grad()
                prediction = model(xb)
                error = loss_fn(prediction, yb.squeeze(1) if flat else yb)
                (error / accumulate).backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if (i + 1) % accumulate == 0:
                    optimizer.step()
                if average:
                    with torch.no_grad():
                        for slow, fast in zip(shadow.parameters(), model.parameters(), strict=False):
                            slow.lerp_(fast, 1 - average)
            if val_mode == "eval":
                model.eval()
            with torch.no_grad():
                guess = shadow(held)[:, 0].numpy() * y_std + y_mean
            val_loss = float((((guess - y_val) / y_std) ** 2).mean())
            reported = r_squared(guess, y_val)
            scheduler.step(val_loss)
            if val_loss < best - min_delta:
                best, waited = val_loss, 0
            else:
                waited += 1
            if patience and waited >= patience:
                break

    shadow.eval()
    x_new, y_new = mixes(np.random.default_rng(seed + 9000), 1500)
    if grade:
        x_new = np.column_stack([x_new, np.full(1500, mean[8])])
    with torch.no_grad():
        guess = shadow(scaled(x_new, val_inputs))[:, 0].numpy() * y_std + y_mean
    return Outcome(r_squared(guess, y_new), reported)


CASES, add = cases("bricks", train)
add("plain")
add("sgd with momentum", lr=0.03, opt="sgd", opt_args={"momentum": 0.9})
add("adamw, decay", opt="adamw", opt_args={"weight_decay": 0.05}, act="silu")
add("early stopping", patience=8, epochs=40)
add("batch norm", norm=0.1, batch=50)
add("light dropout", drop=0.05, epochs=30)
add("clipping and accumulation", clip=1.0, accumulate=2, batch=16)
add("huber, odd batch", huber=True, batch=37)
add("minimum-maximum inputs", inputs="range", lr=8e-3)
add("MPa, bias at the mean", target="MPa", init="prior", lr=0.01)
add("averaged weights", average=0.98)

add("missing ash", "D01", exact=True, file="missing", share=0.04)
add("sorted file", "D03", file="by strength", shuffle=False, lr=0.01)
add("first ages only", "D04", by_age=True, rows=380, epochs=40)
add("copies before the split", "D06", repeat=14, epochs=40, widths=(96, 48))
add("strength class as a column", "D07", grade=True)
add("features reshuffled alone", "L01 L02", remix=3)
add("joined on the wrong key", "L02 L01", file="joined", share=1.0)
add("psi in a tenth", "L04", file="psi", share=0.1)
add("typed in, half", "L04", file="typed in", share=0.5)
add("grams", "P01", inputs="grams")
add("validation raw", "P02", exact=True, val_inputs="raw")
add("kPa", "P04", target="kPa")
add("saturated tanh", "A01 P01", act="tanh", inputs="raw")
add("no activation", "A03", exact=True, act="none")
add("wide normal", "I03", init="normal", scale=2.0)
add("relu output", "S04", exact=True, relu_out=True)
add("flat target", "S05", exact=True, flat=True)
add("rate x300", "O01", lr=1.0)
add("rate too high, sgd", "O01 O08", opt="sgd", opt_args={"momentum": 0.9}, lr=0.8)
add("rate / 30", "O02 R03", lr=1e-4)
add("plateau upwards", "O04", exact=True, plateau={"mode": "max", "factor": 0.1, "patience": 0})
add("no zero_grad", "O05", exact=True, zero=False)
add("body rebuilt", "O06", exact=True, rebuilt=True, widths=(12, 8))
add("sixty rows, many epochs", "R01 D04", rows=60, epochs=150, widths=(128, 128))
add("heavy dropout", "R02", drop=0.8)
add("hasty early stopping", "R03", patience=1, min_delta=0.2, lr=1e-3)
add("validated in train mode", "E01", exact=True, norm=0.1, drop=0.2, val_mode="train")
add("slow statistics", "E05", norm=0.001, batch=64)
