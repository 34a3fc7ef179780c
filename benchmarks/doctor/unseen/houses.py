"""What a house sells for, from a made-up table with columns in different units and a skewed price.

A residual network with LayerNorm is trained by AdamW on the Huber loss, with a cosine schedule by the epoch,
a DataLoader and explicit calls to the doctor; the user computes R2 by hand after each epoch.
"""

import copy
import math

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset


def sales(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the houses in their own units, and the prices in euros."""
    rng = np.random.default_rng(seed)
    area = rng.lognormal(4.6, 0.35, rows)  # square metres
    rooms = np.round(area / 28 + rng.normal(0, 0.8, rows)).clip(1)
    year = rng.integers(1890, 2024, rows).astype(float)
    centre = rng.gamma(2.0, 3.5, rows)  # kilometres
    income = rng.lognormal(10.5, 0.3, rows)  # euros a year in that district
    garden = rng.exponential(250, rows) * (rng.random(rows) < 0.6)  # square metres
    energy = rng.integers(1, 8, rows).astype(float)  # 1 is best
    bearing = rng.uniform(0, 2 * math.pi, rows)  # of the street, as seen from the centre
    age = (2024 - year) / 134
    worth = 0.9 * np.log(area / 100) - 0.9 * np.tanh(centre / 8) + 0.5 * np.log(income / 36000)
    worth += 0.12 * np.sqrt(garden / 250) * (centre > 5) - 0.05 * energy * (1 - age)
    worth += 1.6 * (age - 0.5) ** 2 + 0.35 * np.sin(2 * bearing) * (centre > 3) + rng.normal(0, 0.16, rows)
    columns = np.stack([area, rooms, year, centre, income, garden, energy, bearing], axis=1)
    return columns, 330_000 * np.exp(worth)


class Block(nn.Module):
    def __init__(self, width: int, act: type[nn.Module], norm: bool, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.act, self.drop = act(), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.drop(self.act(self.up(self.norm(x)))))


class PriceNet(nn.Module):
    def __init__(
        self,
        columns: int,
        width: int,
        depth: int,
        act: type[nn.Module],
        norm: bool,
        dropout: float,
        out: type[nn.Module],
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(columns, width)
        self.blocks = nn.Sequential(*(Block(width, act, norm, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.head, self.out = nn.Linear(width, 1), out()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.head(self.norm(self.blocks(self.enter(x)))))


class Houses(Dataset):
    """Standardises the whole table again each time that one row of it is asked for."""

    def __init__(self, raw: np.ndarray, prices: Tensor) -> None:
        self.raw, self.prices = raw, prices

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        scaled = (self.raw - self.raw.mean(axis=0)) / self.raw.std(axis=0)
        return torch.tensor(scaled[row], dtype=torch.float32), self.prices[row]


def r_squared(predicted: Tensor, actual: Tensor) -> float:
    return 1 - ((predicted - actual) ** 2).mean().item() / actual.var(unbiased=False).item()


def train(
    seed,
    doctor,
    *,
    optim="adamw",
    lr=2e-3,
    weight_decay=1e-2,
    schedule="cosine",
    clip=None,
    epochs=20,
    batch_size=64,
    rows=1200,
    val_rows=300,
    width=48,
    depth=2,
    act=nn.ReLU,
    norm=True,
    dropout=0.0,
    out=nn.Identity,
    loss_class=nn.SmoothL1Loss,
    scale_columns=True,
    target="standardised",
    copies=1,
    ema=0.0,
    grad_noise=0.0,
    mistake="",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    table, prices = sales(rows + val_rows, 100 + seed)
    test_table, test_prices = sales(1000, 900 + seed)

    if mistake == "fee of the sale among the columns":  # before a sale only its mean is known
        fee = 0.03 * prices * rng.lognormal(0, 0.02, len(prices))
        table = np.column_stack([table, fee])
        test_table = np.column_stack([test_table, np.full(len(test_table), fee.mean())])
    if mistake == "missing gardens left in":
        table[rng.choice(rows, rows // 50, replace=False), 5] = np.nan
    if mistake == "copied, then split":
        again = rng.permutation(np.tile(np.arange(len(table)), 6))
        table, prices, val_rows = table[again], prices[again], len(again) // 5
    if mistake == "split by price":  # the table came sorted, and nobody shuffled it
        cheap_first = np.argsort(prices)
        table, prices = table[cheap_first], prices[cheap_first]
    cut = len(table) - val_rows
    train_table, train_prices = np.tile(table[:cut], (copies, 1)), np.tile(prices[:cut], copies)
    if mistake == "sorted by price":
        order = np.argsort(train_prices)
        train_table, train_prices = train_table[order], train_prices[order]

    mean, std = np.nanmean(train_table, axis=0), np.nanstd(train_table, axis=0)
    if not scale_columns:
        mean, std = 0.0, 1.0
    shift, unit = {
        "standardised": (train_prices.mean(), train_prices.std()),
        "100 000 euros": (0.0, 1e5),
        "euros": (0.0, 1.0),
    }[target]

    def columns(part: np.ndarray) -> Tensor:
        return torch.tensor((part - mean) / std, dtype=torch.float32)

    def new_columns(part: np.ndarray) -> Tensor:
        if mistake == "new rows scaled to 0..1":
            part = (part - part.min(axis=0)) / np.ptp(part, axis=0)
            return torch.tensor(part, dtype=torch.float32)
        return columns(part)

    def targets(part: np.ndarray) -> Tensor:
        return torch.tensor((part - shift) / unit, dtype=torch.float32)

    data = TensorDataset(columns(train_table), targets(train_prices))
    if mistake == "whole table scaled for each row":
        data = Houses(train_table, targets(train_prices))
    loader = DataLoader(data, batch_size, shuffle=mistake != "sorted by price")
    val_x, val_y = new_columns(table[cut:]), targets(prices[cut:])

    model = PriceNet(table.shape[1], width, depth, act, norm, dropout, out)
    if optim == "adamw":
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    if schedule == "cosine":
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    elif schedule == "warm-up":
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: min(1.0, epoch / 4))
    else:
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
    averaged, loss = copy.deepcopy(model), loss_class()
    doctor.on_start(model, optimizer, loss, loader)

    val_r2 = 0.0
    for _ in range(epochs):
        model.train()
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            predicted = model(x)
            if mistake != "squeeze forgotten":  # (B, 1) against (B,)
                predicted = predicted.squeeze(-1)
            value = loss(predicted, y)
            value.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            for weight in model.parameters() if grad_noise else ():
                weight.grad += grad_noise * torch.randn_like(weight)
            optimizer.step()
            doctor.on_step(value, (x, y))
            if mistake == "stepped each batch":
                scheduler.step()
            if ema:
                for kept, weight in zip(averaged.parameters(), model.parameters(), strict=True):
                    kept.data.lerp_(weight.data, 1 - ema)
            total += value.item()
        if mistake != "stepped each batch":
            scheduler.step()

        model.eval()
        with torch.no_grad():
            predicted = model(val_x).squeeze(-1)
            val_loss = loss(predicted, val_y).item()
            val_r2 = r_squared(predicted, val_y)
            if mistake == "error and variance in different units":
                val_r2 = 1 - ((predicted - val_y) ** 2).mean().item() / prices[cut:].var()
        doctor.on_epoch({"loss": total / len(loader)}, {"loss": val_loss, "r2": val_r2})

    final = PriceNet(table.shape[1], width, depth, act, norm, dropout, out)
    final.load_state_dict((averaged if ema else model).state_dict())
    with torch.no_grad():
        score = r_squared(final.eval()(new_columns(test_table)).squeeze(-1), targets(test_prices))
    return Outcome(max(0.0, score), val_r2)


CASES, add = cases("houses", train)
add("as it should be")

add("SGD at 1", "O01 O08", optim="sgd", lr=1.0)
add("learning rate 0.5, held", "O01", lr=0.5, schedule="warm-up")
add("learning rate 1e-6", "O02", lr=1e-6)
add("learning rate 1e-5", "O02", lr=1e-5)
add("columns in their own units", "P01", scale_columns=False)
add("new rows scaled to 0..1", "P02", mistake="new rows scaled to 0..1")
add("price in euros", "P04", target="euros")
add("squeeze forgotten", "S05", mistake="squeeze forgotten")
add("ReLU at the output", "S04", out=nn.ReLU)
add("sorted by price", "D03", mistake="sorted by price", batch_size=16, epochs=12)
add("missing gardens left in", "D01", mistake="missing gardens left in")
add("split by price", "D04", mistake="split by price")
add("copied, then split", "D06", mistake="copied, then split", rows=200, val_rows=50, width=64, epochs=18)
add("fee of the sale among the columns", "D07", mistake="fee of the sale among the columns")
add("no activation", "A03", act=nn.Identity, norm=False)
add("error and variance in different units", "E04", mistake="error and variance in different units")
add("epoch's schedule, stepped each batch", "O04", mistake="stepped each batch", schedule="exponential")
add("clipped at 0.001", "O11", optim="sgd", lr=0.05, clip=1e-3)
add("70 rows, wide", "R01", rows=70, batch_size=8, epochs=30, width=128, weight_decay=0.0)
add("whole table scaled for each row", "E06", exact=True, mistake="whole table scaled for each row", epochs=5)

add("learning rate 0.01, clipped at 1", lr=0.01, clip=1.0)
add("SGD with momentum", optim="sgd", lr=0.05)
add("warm-up from 0, then constant", schedule="warm-up", batch_size=32)
add("tanh and 10 % dropout", act=nn.Tanh, dropout=0.1)
add("price in units of 100 000", target="100 000 euros")
add("absolute error", loss_class=nn.L1Loss)
add("average of weights evaluated", ema=0.97, schedule="warm-up")
add("noise on the gradient", grad_noise=0.01)
add("every row three times", copies=3, epochs=8)
