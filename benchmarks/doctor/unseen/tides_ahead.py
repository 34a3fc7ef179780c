"""The water level of the next hour from the last day of levels and air pressure."""

import copy
import math

import numpy as np
import torch
from case import Outcome, cases
from torch import nn

WINDOW = 24


def gauge(rng, hours):
    """Hourly level in cm and pressure in hPa: two tides, the week, a slow drift, wind surges."""
    t = np.arange(hours)
    phase = rng.uniform(0, 2 * np.pi, 3)
    surge = np.zeros(hours)
    for i in range(1, hours):
        surge[i] = 0.9 * surge[i - 1] + rng.normal(0, 4)
    height = 1 + 0.3 * np.sin(2 * np.pi * t / 168 + phase[2])
    level = 60 * height * np.sin(2 * np.pi * t / 12.4 + phase[0])
    level = level + 20 * np.sin(2 * np.pi * t / 24 + phase[1])
    level = level + surge + 0.01 * t + 300
    pressure = 1013 - 0.8 * np.roll(surge, 2) + rng.normal(0, 1, hours)
    return np.stack([level, pressure], 1).astype(np.float32)


def windows(series, ahead=1):
    starts = np.arange(len(series) - WINDOW - ahead + 1)
    x = np.stack([series[s : s + WINDOW] for s in starts])
    return x, series[starts + WINDOW + ahead - 1, 0]


class Tide(nn.Module):
    def __init__(
        self,
        width=16,
        mid=32,
        p=0.0,
        inner="relu",
        norm="",
        last="",
        mix="",
        momentum=0.1,
        cut="",
        body="conv",
    ):
        super().__init__()
        self.mix, self.cut, self.body = mix, cut, body
        self.conv1 = nn.Conv1d(2, width, 5)
        self.conv2 = nn.Conv1d(width, width, 5, stride=2)
        self.norm = nn.BatchNorm1d(width, momentum=momentum) if norm else nn.Identity()
        self.act = nn.ReLU()
        size = 2 * WINDOW if body == "dense" else width * 8
        between = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "leaky": nn.LeakyReLU}[inner]()
        self.tower = nn.Sequential(nn.Linear(size, mid), between)
        self.drop = nn.Dropout(p)
        self.out = nn.Linear(mid, 1)
        self.last = nn.ReLU() if last == "relu" else nn.Identity()

    def features(self, x):
        if self.body == "dense":
            return x.flatten(1)
        z = x.transpose(1, 2)
        if self.mix == "reshape":
            z = x.transpose(0, 1).reshape(len(x), WINDOW, 2).transpose(1, 2)
        z = self.act(self.norm(self.conv2(self.act(self.conv1(z)))))
        return z.flatten(1)

    def forward(self, x):
        z = self.tower(self.features(x))
        z = self.out(self.drop(z.detach() if self.cut == "detach" else z))
        return self.last(z)


def train(
    seed,
    doctor,
    lr=3e-3,
    epochs=14,
    batch=32,
    hours=1500,
    opt="adamw",
    wd=1e-3,
    sched="cosine",
    split="random",
    rows="",
    labels="",
    units="",
    train_units="",
    turn="",
    loss="mse",
    shape="column",
    init="",
    scale=1.0,
    clip=0.0,
    every=1,
    frozen="",
    mode="",
    patience=0,
    ema=0.0,
    **net,
):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    series = gauge(rng, hours)
    mean, std = series[: hours * 3 // 4].mean(0), series[: hours * 3 // 4].std(0)
    scaled = (series - mean) / std
    if rows == "smooth":
        scaled[:, 1] = np.roll(np.convolve(scaled[:, 0], np.ones(3) / 3, "same"), -1)
    if rows == "next":
        scaled[:, 1] = np.roll(scaled[:, 0], -1)
    x, y = windows(scaled)
    where = rng.permutation(len(x)) if split == "random" else np.arange(len(x))
    cut = int(0.75 * len(where))
    if rows == "few":
        where = np.concatenate([where[:40], where[cut:]])
        cut = 40
    x, y = x[where], y[where]
    xt, xv, yt, yv = x[:cut].copy(), x[cut:].copy(), y[:cut].copy(), y[cut:].copy()
    if rows == "gaps":
        xt[rng.random(xt.shape) < 0.0005] = np.nan
    if labels == "join":
        yt = yt[rng.permutation(cut)]
    if labels.startswith("noise"):
        hit = rng.random(cut) < float(labels[5:])
        yt[hit] = rng.normal(0, 2.5, hit.sum())
    if units == "big":
        xt, xv = xt * [1e4, 1] + [1e5, 0], xv * [1e4, 1] + [1e5, 0]
    if units == "target":
        yt, yv = yt * std[0] + mean[0], yv * std[0] + mean[0]
    if train_units == "other":
        xt = xt * std / 20 + 2
    if train_units == "flipped":
        xt = xt[:, :, ::-1].copy()
    xt, yt, xv, yv = (torch.tensor(np.asarray(a), dtype=torch.float32) for a in (xt, yt, xv, yv))

    model = Tide(**net)
    for name, p in model.named_parameters():
        if init == "tiny" and p.dim() > 1:
            nn.init.normal_(p, 0, 1e-3)
        if scale != 1.0 and p.dim() > 1:
            p.data.mul_(scale)
        p.requires_grad_(not (frozen and name.startswith(frozen)))
    chosen = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(chosen, lr, weight_decay=wd)
    if opt == "sgd":
        optimizer = torch.optim.SGD(chosen, lr, momentum=0.9)
    loss_fn = nn.HuberLoss() if loss == "huber" else nn.MSELoss()
    steps = epochs * math.ceil(len(xt) / batch)
    schedule = {
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs),
        "step": lambda: torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.3),
        "one": lambda: torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps + 1),
        "": lambda: None,
    }[sched]()
    average = copy.deepcopy(model) if ema else None
    best, kept, waited, reported, step = math.inf, None, 0, 0.0, 0
    doctor.on_start(model, optimizer, loss_fn, None)
    for epoch in range(epochs):
        model.train()
        if labels == "reshuffled" and epoch >= 2:
            xt = xt[torch.randperm(len(xt))]
        perm = torch.randperm(len(xt))
        summed = 0.0
        for i in range(0, len(xt), batch):
            take = perm[i : i + batch]
            if len(take) < 2:
                continue
            xb, yb = xt[take], yt[take]
            if turn == "sign":
                xb = xb * torch.sign(torch.rand(len(xb), 1, 1) - 0.5)
            pred = model(xb)
            value = loss_fn(pred, yb.unsqueeze(1) if shape == "column" else yb)
            if loss == "clamp":
                value = value.clamp(0, 0.1)
            if loss == "rewrapped":
                value = value.detach().requires_grad_()
            (value / every).backward()
            summed += value.item() * len(take)
            step += 1
            if step % every == 0:
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                optimizer.zero_grad()
                if average:
                    for a, p in zip(average.parameters(), model.parameters(), strict=False):
                        a.data.lerp_(p.data, 1 - ema)
            if schedule and (sched == "one" or mode == "schedule"):
                schedule.step()
            doctor.on_step(value, (xb, yb))
        if schedule and sched != "one" and mode != "schedule":
            schedule.step()
        model.eval()
        with torch.no_grad():
            pred = model(xv)
            val = loss_fn(pred, yv.unsqueeze(1) if shape == "column" else yv).item()
            gap = (pred.squeeze(1) - yv).square().mean() / yv.var()
        reported = min(1.0, max(0.0, 1 - float(gap))) if math.isfinite(float(gap)) else 0.0
        doctor.on_epoch({"loss": summed / len(xt)}, {"loss": val, "r2": reported})
        print(f"{epoch:3d} train {summed / len(xt):.4f} val {val:.4f} R2 {reported:.3f}")
        if patience:
            waited += 1
            if val < best:
                best, kept, waited = val, (reported, copy.deepcopy(model.state_dict())), 0
            if waited >= patience:
                break
    if kept:
        reported = kept[0]
        model.load_state_dict(kept[1])
    final = average or model
    final.eval()
    fresh, level = windows((gauge(np.random.default_rng(seed + 1000), 800) - mean) / std)
    if units == "big":
        fresh = fresh * [1e4, 1] + [1e5, 0]
    with torch.no_grad():
        pred = final(torch.tensor(np.asarray(fresh), dtype=torch.float32)).squeeze(1).numpy()
    if units == "target":
        pred = (pred - mean[0]) / std[0]
    r2 = 1 - float(((pred - level) ** 2).mean() / level.var())
    return Outcome(min(1.0, max(0.0, r2)) if math.isfinite(r2) else 0.0, reported)


CASES, add = cases("tides_ahead", train)
add("plain")
add("rate x30", "O01", lr=0.1)
add("rate x100", "O01", lr=0.4)
add("rate /100", "O02", lr=2e-5)
add("gaps", "D01 O08", rows="gaps")
add("few", "D04 R01", rows="few", epochs=25)
add("smoothed", "D07 L03", rows="smooth")
add("next in input", "L03 D07", rows="next")
add("reshuffled", "L01", labels="reshuffled")
add("join", "L02 L01", labels="join")
add("wild 40", "L04", labels="noise0.4")
add("wild 60", "L04", labels="noise0.6")
add("unscaled", "P01", units="big")
add("train moments", "P02", train_units="other")
add("dropout .95", "R02", p=0.95)
add("mirror", "P03", turn="sign")
add("target cm", "P04", units="target")
add("sigmoid wide", "A01 I03", inner="sigmoid", scale=12.0)
add("reshape", "A04", mix="reshape")
add("narrow", "A07", width=1, mid=1)
add("tiny init", "I02 O07", init="tiny", opt="sgd", lr=0.01)
add("relu out", "S04", last="relu")
add("broadcast", "S05", shape="wide")
add("clamp", "S07", loss="clamp")
add("per batch", "O04", sched="step", mode="schedule")
add("detached", "O10", cut="detach")
add("clip tiny", "O11 O02", opt="sgd", lr=0.02, clip=0.002)
add("never reached", "O12", every=1000)
add("slow statistics", "E05", norm="batch", momentum=0.001)
add("sgd", opt="sgd", lr=0.05)
add("one cycle", sched="one", lr=6e-3)
add("constant, clipped", sched="", clip=1.0)
add("accumulate", batch=16, every=2)
add("huber", loss="huber")
add("frozen first conv", frozen="conv1")
add("dropout", p=0.1, inner="leaky")
add("early stop", patience=4, epochs=20)
add("by time dense", split="time", body="dense", mid=48)
add("average", ema=0.97)
