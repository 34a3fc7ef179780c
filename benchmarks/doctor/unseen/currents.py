"""A current meter on a mooring, every two hours: the next along-shore speed from 16 records."""

import numpy as np
import torch
from case import Outcome, cases
from torch import nn
from torch.utils.checkpoint import checkpoint

SENSORS = ("along", "across", "pressure", "wind", "salinity")


def record(seed: int, n: int, calm: float = 1.0) -> np.ndarray:
    """Speeds in cm/s, pressure at the bottom in Pa, wind in m/s, salinity in g/kg."""
    rng = np.random.default_rng(seed)
    hours = 2.0 * np.arange(n) + rng.uniform(0, 700)
    m2, s2, k1 = 2 * np.pi * hours / 12.42, 2 * np.pi * hours / 12.0, 2 * np.pi * hours / 23.93
    phase = rng.uniform(0, 2 * np.pi)
    wind, surge = np.zeros(n), np.zeros(n)
    for i in range(1, n):
        wind[i] = 0.85 * wind[i - 1] + 2.2 * rng.normal()
        surge[i] = 0.7 * surge[i - 1] + 2.4 * np.tanh(wind[i - 1] / 3)
    tide = 24 * np.cos(m2) + 9 * np.cos(s2 + phase) + 5 * np.cos(k1)
    along = 12 + calm * (tide + 1.6 * surge) + 8 * rng.normal(size=n)
    across = -3 + calm * (9 * np.sin(m2 + 0.4) + 0.4 * surge) + 3 * rng.normal(size=n)
    pressure = 251000 + calm * (9000 * np.sin(m2) + 3200 * np.sin(s2 + phase)) + 900 * rng.normal(size=n)
    salinity = 34.2 + 0.05 * surge + 0.3 * rng.normal(size=n)
    return np.stack([along, across, pressure, wind, salinity], 1)


def windows(table: np.ndarray, speed: np.ndarray, width: int, ahead: int = 0):
    """Rows i .. i + width - 1, and the speed at row i + width + ahead."""
    starts = range(width, len(table) - width)
    x = np.stack([table[i : i + width] for i in starts])
    y = np.array([speed[i + width + ahead] for i in starts])
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


class Forecaster(nn.Module):
    def __init__(
        self,
        inputs,
        hidden=24,
        layers=1,
        cell="gru",
        batch_first=True,
        drop=0.0,
        squeeze=True,
        last=None,
        norm=False,
        save=False,
    ):
        super().__init__()
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}.get(cell, nn.GRU)
        self.after = nn.LayerNorm(hidden) if norm else nn.Identity()
        self.rnn = kind(inputs, hidden, layers, batch_first=batch_first) if cell != "pool" else None
        if cell in ("pool", "last"):
            self.point = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU())
        self.cell, self.squeeze, self.save = cell, squeeze, save
        self.drop = nn.Dropout(drop)
        self.out = nn.Sequential(nn.Linear(hidden, 1), *([last()] if last else []))

    def forward(self, x):
        if self.cell == "pool":
            h = self.point(x).mean(1)
        elif self.cell == "last":
            h = self.point(x[:, -1])
        else:
            states = checkpoint(self.rnn, x, use_reentrant=False)[0] if self.save else self.rnn(x)[0]
            h = states[:, -1]
        out = self.out(self.drop(self.after(h)))
        return out.squeeze(1) if self.squeeze else out


def r2(truth: torch.Tensor, guess: torch.Tensor) -> float:
    return 1 - ((truth - guess) ** 2).sum().item() / ((truth - truth.mean()) ** 2).sum().item()


def batches(n, size, shuffle):
    order = torch.randperm(n) if shuffle else torch.arange(n)
    return [order[i : i + size] for i in range(0, n - size + 1, size)]


def redraw(model, init):
    for name, p in model.named_parameters():
        if init == "orthogonal":
            if p.dim() > 1 and "rnn" in name:
                nn.init.orthogonal_(p)
        elif init == 0:
            nn.init.zeros_(p)
        else:
            nn.init.normal_(p, 0.0, init)


def train(
    seed,
    doctor,
    *,
    records=950,
    width=16,
    calm=None,
    smooth=False,
    ahead=0,
    drift=None,
    raw=False,
    later="same",
    scale_y=True,
    units=1.0,
    augment=None,
    net=None,
    init=None,
    frozen=False,
    loss="mse",
    opt="adam",
    lr=6e-3,
    opt_kw=None,
    sched=None,
    per="epoch",
    batch=32,
    epochs=12,
    clip=None,
    every=1,
    zero=True,
    evaluates=True,
    metric="r2",
    patience=None,
    shuffle=True,
    detach=False,
):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    series = record(seed + 40, records)
    if calm is not None:
        series[: int(0.8 * records)] = record(seed + 41, int(0.8 * records), calm)
    live = record(seed + 500, 900)
    cut = int(0.8 * records)
    target, live_target = units * series[:, 0], units * live[:, 0]
    if smooth:
        series = np.c_[series, np.r_[target[1:], target[-1]] + 0.5 * rng.normal(size=records)]
        live = np.c_[live, live[:, 0]]
    mean, std = np.mean(series[:cut], 0), np.std(series[:cut], 0)
    low, high = np.min(series[:cut], 0), np.max(series[:cut], 0)
    y_mean, y_std = (target[:cut].mean(), target[:cut].std()) if scale_y else (0.0, 1.0)
    scale = {"same": lambda v: (v - mean) / std, "range": lambda v: (v - low) / (high - low)}
    table = series if raw else scale["same"](series)
    x_tr, y_tr = windows(table[:cut], ((target - y_mean) / y_std)[:cut], width, ahead)
    x_va, y_va = windows((series if raw else scale[later](series))[cut:], target[cut:], width, ahead)
    x_te, y_te = windows(live if raw else scale[later](live), live_target, width)

    model = Forecaster(x_tr.shape[2], **(net or {}))
    if init is not None:
        redraw(model, init)
    if frozen:
        model.rnn.weight_hh_l0.requires_grad_(False)
    loss_fn = {
        "mse": nn.MSELoss(),
        "sum": nn.MSELoss(reduction="sum"),
        "huber": nn.SmoothL1Loss(),
        "capped": lambda o, t: nn.functional.mse_loss(o, t).clamp(max=0.25),
        "ce": lambda o, t: nn.functional.cross_entropy(o, t.unsqueeze(1)),
    }[loss]
    params = [p for p in model.parameters() if p.requires_grad]
    kind = {
        "adam": torch.optim.Adam,
        "sgd": torch.optim.SGD,
        "rmsprop": torch.optim.RMSprop,
        "adamw": torch.optim.AdamW,
    }[opt]
    optimizer = kind(params, lr=lr, **(opt_kw or {}))
    per_epoch = len(x_tr) // batch
    schedules = torch.optim.lr_scheduler
    schedule = {
        None: lambda: None,
        "cosine": lambda: schedules.CosineAnnealingLR(optimizer, epochs),
        "decay": lambda: schedules.ExponentialLR(optimizer, 0.8),
        "warm": lambda: schedules.LinearLR(optimizer, 0.02, 1.0, 2 * per_epoch),
    }[sched]()

    best, waited, reported = np.inf, 0, 0.0
    with doctor.watching(model, optimizer):
        for epoch in range(epochs):
            model.train()
            if drift is not None and epoch >= drift:
                x_tr = x_tr[torch.randperm(len(x_tr))]
            for k, rows in enumerate(batches(len(x_tr), batch, shuffle)):
                x, y = x_tr[rows], y_tr[rows]
                if augment == "reverse":
                    x = x.flip(1)
                if augment == "noise":
                    x = x + 0.05 * torch.randn_like(x)
                guess = model(x)
                if detach:
                    guess = torch.tensor(guess.tolist(), requires_grad=True)
                value = loss_fn(guess, y)
                (value / every).backward()
                if clip:
                    nn.utils.clip_grad_norm_(params, clip)
                if (k + 1) % every == 0:
                    optimizer.step()
                    if zero:
                        optimizer.zero_grad()
                if schedule and per == "batch":
                    schedule.step()
            if schedule and per == "epoch":
                schedule.step()
            if evaluates:
                model.eval()
            with torch.no_grad():
                guess = model(x_va).reshape(-1) * y_std + y_mean
            rmse = (guess - y_va).square().mean().sqrt().item()
            reported = r2(y_va, y_va if metric == "self" else guess)
            waited = 0 if rmse < best else waited + 1
            best = min(best, rmse)
            if patience and waited >= patience:
                break

    model.eval()
    with torch.no_grad():
        guess = model(x_te).reshape(-1) * y_std + y_mean
    score = r2(y_te, guess)
    return Outcome(max(0.0, score) if np.isfinite(score) else 0.0, reported)


CASES, add = cases("currents", train)
add("plain")
add("cosine adamw", opt="adamw", sched="cosine", lr=8e-3)
add("sgd momentum clipped", opt="sgd", lr=0.05, opt_kw={"momentum": 0.9}, clip=1.0)
add("warm-up", sched="warm", per="batch")
add("in order", shuffle=False)
add("accumulates 2", batch=16, every=2, epochs=7)
add("two layers, dropout", net={"layers": 2, "drop": 0.2}, batch=48, epochs=10)
add("lstm huber", net={"cell": "lstm"}, loss="huber")
add("orthogonal, recurrence frozen", init="orthogonal", frozen=True)
add("patience", patience=3, epochs=15, augment="noise")
add("checkpointing", net={"save": True}, batch=64, lr=1e-2)
add("layer norm rmsprop", net={"norm": True}, opt="rmsprop", lr=3e-3)
add("calm season", "D04", calm=0.2)
add("despiked column", "D07", smooth=True)
add("rows drift", "L01", drift=3)
add("same record", "L03", ahead=-1)
add("raw", "P01", raw=True)
add("later range", "P02", later="range")
add("reversed", "P03", augment="reverse")
add("mm", "P04", scale_y=False, units=10.0)
add("time first", "A04", exact=True, net={"batch_first": False}, epochs=8)
add("pooled", "A06", net={"cell": "pool"})
add("last only", "A08", exact=True, net={"cell": "last"})
add("zeros", "I01", init=0)
add("huge", "I03 A01", init=3.0)
add("relu out", "S04", net={"last": nn.ReLU})
add("column", "S05", net={"squeeze": False})
add("ce", "S06 S07", loss="ce", net={"squeeze": False})
add("capped", "S07", loss="capped")
add("sum sgd", "S07 O01 O08", loss="sum", opt="sgd", lr=0.05)
add("rate x100", "O01", lr=0.6)
add("rate low", "O02", lr=6e-5)
add("decay per batch", "O04", sched="decay", per="batch")
add("no zero", "O05", exact=True, zero=False)
add("from list", "O10", detach=True)
add("clip", "O11", clip=1e-3, opt="sgd", lr=0.05)
add("dropout", "R02", net={"drop": 0.95})
add("one epoch", "R03 O02", epochs=1, lr=2e-3)
add("no eval", "E01", exact=True, evaluates=False, net={"drop": 0.4})
add("self", "E04", metric="self")
