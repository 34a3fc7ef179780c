"""Hourly electricity demand (synthetic) is forecast six hours ahead by a GRU or LSTM from the past day.

A script with explicit calls to the doctor: windows through a DataLoader, mean squared error on standardised
values, a split by time, and R2 of the validation weeks computed by hand.
"""

import math
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

PAST, AHEAD = 24, 6
HOURS = 24 * 7 * 20  # the last six weeks are three of validation and three for the score
TRAIN_END, VAL_END = 24 * 7 * 14, 24 * 7 * 17


class Forecaster(nn.Module):
    """Reads a day of (demand, temperature, time of day, weekend) and returns the next hours."""

    def __init__(
        self, cell: type[nn.RNNBase], hidden: int, dropout: float, output: nn.Module, mistake: str
    ) -> None:
        super().__init__()
        self.mistake = mistake
        self.cell = cell(5, hidden, batch_first=mistake != "time first")
        self.drop = nn.Dropout(dropout)
        layers: list[nn.Module] = []
        if mistake == "deep sigmoid head":
            layers = [nn.Sequential(nn.Linear(hidden, hidden), nn.Sigmoid()) for _ in range(8)]
        self.deep = nn.Sequential(*layers)
        self.out = nn.Linear(hidden, AHEAD)
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.cell(x)
        h = states[:, -1]
        if self.mistake == "state detached":
            h = h.detach()
        y = self.output(self.out(self.deep(self.drop(h))))
        return y.unsqueeze(1) if self.mistake == "extra axis" else y


def series(rng: np.random.Generator) -> np.ndarray:
    """Columns: demand (MW), temperature (C), sine and cosine of the hour, weekend."""
    t = np.arange(HOURS)
    weather = np.zeros(HOURS)
    for i in range(1, HOURS):  # slow changes of the weather
        weather[i] = 0.98 * weather[i - 1] + rng.normal(0, 0.8)
    temperature = 12 + 5 * np.sin(2 * np.pi * (t - 9) / 24) + weather
    weekend = (t // 24) % 7 >= 5
    daily = 6000 * np.sin(2 * np.pi * (t - 8) / 24) + 2500 * np.sin(4 * np.pi * (t - 5) / 24)
    demand = 30000 + daily * np.where(weekend, 0.5, 1) - 3000 * weekend
    demand = demand + 25 * (temperature - 16) ** 2 + rng.normal(0, 500, HOURS)
    angle = 2 * np.pi * t / 24
    return np.stack([demand, temperature, np.sin(angle), np.cos(angle), weekend], axis=1)


def windows(table: Tensor, target: Tensor, begin: int, end: int, late: int = 0) -> tuple[Tensor, Tensor]:
    """Days that end before hour t and the hours from t on; `late` hours of them are seen already."""
    starts = range(begin + PAST, end - AHEAD)
    x = torch.stack([table[t - PAST + late : t + late] for t in starts])
    y = torch.stack([target[t : t + AHEAD] for t in starts])
    return x, y


def data(seed: int, mistake: str, noise: float) -> tuple[tuple[Tensor, Tensor], ...]:
    """Training, validation and test windows."""
    raw = torch.tensor(series(np.random.default_rng(seed)), dtype=torch.float32)
    mean, std = raw[:TRAIN_END].mean(0), raw[:TRAIN_END].std(0)
    table = (raw - mean) / std
    target = table[:, 0]
    if mistake == "raw table":
        table = raw
    elif mistake == "raw target":
        target = raw[:, 0]
    elif mistake == "billed demand":  # the last column holds the next hours' mean, which is known afterwards
        table = table.clone()
        table[:-AHEAD, 4] = target.unfold(0, AHEAD, 1)[:-1].mean(1)
    late = AHEAD if mistake == "window ends too late" else 0
    x, y = windows(table, target, 0, TRAIN_END, late)
    val = windows(table, target, TRAIN_END, VAL_END, late)
    test = windows(table, target, VAL_END, HOURS)  # what can be known when the forecast is due

    if mistake == "billed demand":
        test[0][..., 4] = 0
    elif mistake == "nights only":
        night = torch.arange(len(x)) % 24 < 6
        x, y = x[night], y[night]
    elif mistake == "validation not standardised":  # and so it is served
        val, test = (val[0] * std + mean, val[1]), (test[0] * std + mean, test[1])
    elif mistake == "validation scaled by its maximum":
        val, test = ((v[0] * std + mean, v[1]) for v in (val, test))
        val, test = ((v[0] / v[0].amax((0, 1)), v[1]) for v in (val, test))
    elif mistake == "targets shuffled":
        y = y[torch.randperm(len(y))]
    elif mistake == "sensor gaps":
        x[torch.rand(x.shape) < 1e-4] = torch.nan
    elif mistake == "few days":
        x, y = x[:96], y[:96]
        y = y + 0.8 * torch.randn(y.shape)
    return (x, y + noise * torch.randn(y.shape)), val, test


def r2(prediction: Tensor, y: Tensor) -> float:
    if prediction.dim() == 3:
        prediction = prediction.squeeze(1)
    return 1 - ((prediction - y) ** 2).mean().item() / y.var(unbiased=False).item()


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 5e-3,
    optimizer: Any = torch.optim.Adam,
    options: dict[str, Any] | None = None,
    loss_fn: Any = None,
    schedule: Any = None,
    batch: int = 64,
    epochs: int = 8,
    cell: type[nn.RNNBase] = nn.GRU,
    hidden: int = 24,
    dropout: float = 0.0,
    output: nn.Module | None = None,
    init: float | None = None,
    clip: float | None = None,
    noise: float = 0.0,
    penalty: float = 0.0,
    jitter: float = 0.0,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    (x, y), (x_val, y_val), (x_test, y_test) = data(seed, mistake, noise)
    loader = DataLoader(TensorDataset(x, y), batch, shuffle=True, drop_last=True)
    loss_fn = loss_fn or nn.MSELoss()

    architecture = cell, hidden, dropout, output or nn.Identity(), mistake
    model = Forecaster(*architecture)
    if init is not None:
        for name, p in model.named_parameters():
            if "weight" in name:
                nn.init.normal_(p, std=init)
    trained = model.cell if mistake == "only the cell trained" else model
    opt = optimizer(trained.parameters(), lr, **(options or {}))
    scheduler = torch.optim.lr_scheduler.LambdaLR(opt, schedule) if schedule else None

    doctor.on_start(model, opt, loss_fn, loader)
    reported = 0.0
    for _ in range(epochs):
        model.train()
        total = 0.0
        for xb, yb in loader:
            if mistake != "never zeroed":
                opt.zero_grad()
            loss = loss_fn(model(xb), yb)
            if penalty:
                loss = loss + penalty * sum(p.abs().sum() for p in model.parameters())
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            if jitter:
                for p in model.parameters():
                    p.grad.add_(jitter * torch.randn_like(p))
            opt.step()
            if scheduler and mistake == "scheduler per batch":
                scheduler.step()
            doctor.on_step(loss, (xb, yb))
            total += loss.item()
        if scheduler and mistake != "scheduler per batch":
            scheduler.step()
        if mistake == "targets sorted anew":  # permuted each epoch, and the windows are not
            y.copy_(y[torch.randperm(len(y))])

        model.train(mistake == "no eval")
        with torch.no_grad():
            prediction = model(x_val)
            val_loss = loss_fn(prediction, y_val)
        reported = r2(prediction, y_val)
        doctor.on_epoch({"loss": total / len(loader)}, {"loss": val_loss.item(), "r2": reported})

    judge = Forecaster(*architecture)  # a copy, which nobody watches
    judge.load_state_dict(model.state_dict())
    judge.eval()
    with torch.no_grad():
        score = r2(judge(x_test), y_test)
    clipped = [min(max(v, 0.0), 1.0) if math.isfinite(v) else 0.0 for v in (score, reported)]
    return Outcome(*clipped)


def capped(prediction: Tensor, y: Tensor) -> Tensor:
    """Large losses are cut off against outliers, and their gradients with them."""
    return nn.functional.mse_loss(prediction, y).clamp(max=0.5)


def relative(prediction: Tensor, y: Tensor) -> Tensor:
    """A percentage error, of values that were standardised and rounded to a tenth: some are zero."""
    y = (y * 10).round() / 10
    return ((prediction - y).abs() / y.abs()).mean()


SGD = torch.optim.SGD

CASES, add = cases("demand", train)
add("as it should be")
add("nights only", "D04", mistake="nights only", epochs=20)
add("sensor gaps", "D01", mistake="sensor gaps")
add("mean of the next hours as a column", "D07 L03", mistake="billed demand")
add("window holds the hours to forecast", "L03 D07", mistake="window ends too late")
add("targets sorted anew each epoch", "L01", mistake="targets sorted anew")
add("targets shuffled", "L02", mistake="targets shuffled")
add("columns in their own units", "P01 A01", mistake="raw table")
add("validation not standardised", "P02", mistake="validation not standardised")
add("validation scaled by its maximum", "P02", mistake="validation scaled by its maximum")
add("target in megawatts", "P04", mistake="raw target")
add("time first", "A04", exact=True, mistake="time first")
add("one hidden unit", "A07", hidden=1, cell=nn.LSTM)
add("weights far too large", "I03 A01", init=8.0)
add("softplus on standardised values", "S04", output=nn.Softplus())
add("extra axis", "S05", mistake="extra axis")
add("loss cut off", "S07", loss_fn=capped)
add("relative error of values near zero", "O08", loss_fn=relative)
add("steps too long", "O01", lr=2.0)
add("steps far too long", "O01 O08", optimizer=SGD, lr=30.0)
add("steps too short", "O02", lr=2e-5)
add("steps far too short", "O02", lr=1e-7)
add("momentum 0.999", "O03", optimizer=SGD, lr=0.1, options={"momentum": 0.999})
add("decay per batch", "O04", lr=2e-3, schedule=lambda i: 0.8**i, mistake="scheduler per batch")
add("gradients never zeroed", "O05", exact=True, mistake="never zeroed")
add("only the cell in the optimizer", "O06", exact=True, mistake="only the cell trained")
add("eight sigmoids behind the cell", "O07", optimizer=SGD, lr=0.1, mistake="deep sigmoid head")
add("state detached", "O10", exact=True, mistake="state detached")
add("clipped at a thousandth", "O11", optimizer=SGD, lr=0.1, clip=1e-3)
add("few noisy days", "R01", mistake="few days", batch=16, epochs=120, lr=1e-2)
add("weight decay 0.5", "R02", options={"weight_decay": 0.5})
add("validated with dropout", "E01", exact=True, dropout=0.3, mistake="no eval")

add("LSTM, rate warmed up", cell=nn.LSTM, lr=1e-2, schedule=lambda epoch: min(1, epoch / 2), epochs=10)
add("SGD, rate 0.5", optimizer=SGD, lr=0.5, clip=1.0, epochs=12)
add("plain recurrent cell, RMSprop", cell=nn.RNN, optimizer=torch.optim.RMSprop, lr=2e-3)
add("dropout 0.3", dropout=0.3)
add("noisy targets", noise=0.5)
add("small l1 penalty", penalty=1e-5)
add("gradient noise", jitter=0.01)
add("batches of 256, high rate", batch=256, lr=2e-2, epochs=20)
