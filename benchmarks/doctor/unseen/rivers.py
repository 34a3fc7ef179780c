"""Tomorrow's level at the lowest gauge from two weeks of six series: a GRU, squared error."""

import copy

import numpy as np
import torch
from case import Outcome, cases
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

DAYS = 14


def river(days: int, rng: np.random.Generator) -> np.ndarray:
    """Daily series: rain in mm, two gauges upstream, melt, a bulletin for tomorrow, the mouth in cm."""
    days += 60
    t = np.arange(days)
    season = 0.5 + 0.5 * np.sin(2 * np.pi * t / 180)
    rain = rng.gamma(0.6, 9, days) * (rng.random(days) < 0.35 + 0.3 * season)
    snow = np.clip(12 * season + rng.normal(0, 3, days), 0, None)
    alder, birch, mouth = np.full(days, 60.0), np.full(days, 50.0), np.full(days, 150.0)
    for i in range(3, days):
        alder[i] = 0.55 * alder[i - 1] + 22 + 2.2 * rain[i - 1] + rng.normal(0, 2)
        birch[i] = 0.65 * birch[i - 1] + 12 + 1.2 * rain[i - 1] + 0.9 * snow[i - 1] + rng.normal(0, 2)
        flood = 1.1 * max(0, alder[i - 2] - 70) + 0.6 * birch[i - 1]
        mouth[i] = 0.35 * mouth[i - 1] + 70 + flood + rng.normal(0, 4)
    bulletin = np.roll(mouth, -1) + rng.normal(0, 30, days)
    bulletin[-1] = mouth[-1]
    return np.stack([rain, alder, birch, snow, bulletin, mouth], 1)[59:-1].astype(np.float32)


def windows(table: np.ndarray, ahead: int = 1):
    ends = np.arange(DAYS - 1, len(table) - 1)
    x = np.stack([table[e - DAYS + 1 : e + 1] for e in ends])
    return x, table[ends + ahead, -1]


class Forecaster(nn.Module):
    def __init__(self, width=24, cell="gru", first=True, head="last", last=""):
        super().__init__()
        self.cell, self.head = cell, head
        if cell == "conv":
            act = nn.ReLU()
            self.body = nn.Sequential(nn.Conv1d(6, width, 3), act, nn.Conv1d(width, width, 3, stride=2), act)
        elif cell == "bag":
            self.body = nn.Sequential(nn.Linear(6, width), nn.ReLU())
        else:
            self.body = nn.GRU(6, width, batch_first=first)
        self.out = nn.Linear(width, 1)
        self.last = nn.ReLU() if last == "relu" else nn.Identity()

    def forward(self, x):
        if self.cell == "conv":
            h = self.body(x.transpose(1, 2)).transpose(1, 2)
        else:
            h = self.body(x) if self.cell == "bag" else self.body(x)[0]
        h = h.mean(1) if self.head == "mean" else h[:, -1]
        return self.last(self.out(h))


def r2(y, forecast) -> float:
    return float(1 - ((y - forecast) ** 2).mean() / y.var())


def train(
    seed,
    doctor,
    days=810,
    epochs=14,
    batch=45,
    lr=8e-3,
    opt="adam",
    wd=0.0,
    table="",
    scale="train",
    target="scaled",
    jitter="",
    shape="column",
    loss="mse",
    clip=0.0,
    every=1,
    zero=True,
    part="",
    sched="",
    init="",
    score="r2",
    patience=0,
    ema=0.0,
    ahead=1,
    **net,
):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed + 5)
    log, fresh = river(days + 300, rng), river(700, np.random.default_rng(seed + 99))
    if table == "archive":
        log[:-1, 4] = log[1:, 5]
    if table == "litres":
        log[:, :5] *= np.array([1, 1e3, 1e3, 1, 1], np.float32)
        fresh[:, :5] *= np.array([1, 1e3, 1e3, 1, 1], np.float32)
    x, y = windows(log, ahead)
    if table == "join":
        y = y[np.argsort([str(i) for i in range(len(y))])]
    held_rows = np.arange(len(y)) >= len(y) * days // (days + 300)
    vx, vy, x, y = x[held_rows], y[held_rows], x[~held_rows], y[~held_rows]
    tx, ty = windows(fresh)
    mean, std = np.mean(x, (0, 1)), np.std(x, (0, 1))
    if scale != "raw":
        x = (x - mean) / std
    vx, tx = ((v if scale == "raw" else (v - mean) / std) for v in (vx, tx))
    low, span = (0.0, 0.1) if target == "mm" else (y.mean(), y.std())
    x, vx, tx, y = (torch.as_tensor(np.float32(v)) for v in (x, vx, tx, (y - low) / span))
    if shape == "column":
        y = y[:, None]
    loader = DataLoader(TensorDataset(x, y), batch, shuffle=True)

    model = Forecaster(**net)
    for p in model.parameters() if init == "zeros" else ():
        nn.init.zeros_(p)
    trained = list(model.parameters())
    if part == "frozen recurrence":
        model.body.weight_hh_l0.requires_grad_(False)
        trained = [p for p in trained if p.requires_grad]
    if part == "renewed":
        model.out = nn.Linear(model.out.in_features, 1)
        model.body = copy.deepcopy(model.body)
    kinds = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop, "sgd": torch.optim.SGD}
    optimizer = kinds[opt](trained, lr, weight_decay=wd, **({"momentum": 0.9} if opt == "sgd" else {}))
    ramp = 5 if sched == "warm-up" else 1
    plan = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda e: min(1, (e + 1) / ramp))
    loss_fn = nn.HuberLoss() if loss == "huber" else nn.MSELoss()
    mean_model = copy.deepcopy(model) if ema else None

    @torch.no_grad()
    def forecast(net, inputs):
        return net(inputs)[:, 0].numpy() * span + low

    best, kept, waited, level = -np.inf, None, 0, 0.0
    doctor.on_start(model, optimizer, loss_fn, loader)
    for _ in range(epochs):
        model.train()
        total = 0.0
        if table == "reshuffled":
            x.copy_(x[torch.randperm(len(x))])
        for k, (bx, by) in enumerate(loader):
            if jitter == "gain":
                bx = bx + 5.0 * torch.randn(len(bx), 1, 6)
            if jitter == "flip":
                bx = bx.flip(1)
            if jitter == "light":
                bx = bx + 0.03 * torch.randn_like(bx)
            value = loss_fn(model(bx), by)
            if loss == "clamp":
                value = value.clamp(max=0.3)
            (value / every).backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            if (k + 1) % every == 0:
                optimizer.step()
                if ema:
                    for p, q in zip(mean_model.parameters(), model.parameters(), strict=True):
                        p.data.lerp_(q.data, 1 - ema)
            if zero and (k + 1) % every == 0:
                optimizer.zero_grad()
            total += float(value.detach())
            doctor.on_step(value, (bx, by))
        plan.step()
        model.eval()
        seen = forecast(model, vx)
        level = r2(vy, seen)
        if score == "relative error":
            level = float(np.abs(seen - vy).mean() / vy.std())
        val_loss = float((((seen - vy) / span) ** 2).mean())
        doctor.on_epoch({"loss": total / len(loader)}, {"loss": val_loss, "r2": level})
        waited = 0 if level > best else waited + 1
        if patience and level > best:
            best, kept = level, copy.deepcopy(model.state_dict())
        if patience and waited >= patience:
            break
    if kept:
        model.load_state_dict(kept)
        level = best
    final = mean_model if ema else model
    return Outcome(min(1.0, max(0.0, r2(ty, forecast(final.eval(), tx)))), min(1.0, max(0.0, level)))


CASES, add = cases("rivers", train)
add("plain")
add("temporal convolution", cell="conv", lr=4e-3)
add("sgd", opt="sgd", lr=0.05)
add("rmsprop and clipping", opt="rmsprop", lr=4e-3, clip=1.0)
add("warm-up", sched="warm-up")
add("huber and light noise", loss="huber", jitter="light")
add("accumulated", batch=15, every=3, epochs=7)
add("frozen recurrence", part="frozen recurrence")
add("moving average", ema=0.95)
add("best kept", patience=6, epochs=18)
add("rate x100", "O01", lr=0.8)
add("rate too small", "O02", lr=1e-6)
add("no zero_grad", "O05", exact=True, zero=False)
add("parts renewed", "O06 O12", exact=True, part="renewed")
add("tight clip", "O11", opt="sgd", lr=0.05, clip=1e-3)
add("archived bulletin", "D07", table="archive")
add("today's level as target", "L03 D07", exact=True, ahead=0)
add("windows reshuffled", "L01", table="reshuffled")
add("levels by text order", "L02", table="join")
add("litres", "P01", table="litres", scale="raw")
add("days backwards", "P02 P03", jitter="flip")
add("gauges offset at random", "P03", jitter="gain")
add("target in mm", "P04", target="mm")
add("batch in second place", "A04", exact=True, first=False, epochs=7)
add("bag of days", "A06", cell="bag", head="mean")
add("one unit", "A07", width=1)
add("zeros", "I01", exact=True, init="zeros")
add("level above zero", "S04", exact=True, last="relu")
add("column against row", "S05", exact=True, shape="row")
add("loss clamped", "S07", loss="clamp")
add("two months", "R01", days=60, epochs=80)
add("heavy decay", "R02", wd=0.3)
add("two epochs", "R03", epochs=2, lr=1e-3)
add("error kept as score", "E04", score="relative error", patience=4, lr=2e-3)
