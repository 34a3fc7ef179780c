"""Which gait is it: short windows of a three-axis accelerometer, read by an LSTM."""

from types import SimpleNamespace

import numpy as np
import torch
from case import Outcome, cases
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

# walk, run, limp, shuffle
PACE, FORCE = np.array([2.4, 4.6, 2.4, 4.6]), np.array([2.6, 3.6, 2.6, 1.3])
UNEVEN = np.array([0, 0, 0.75, 0])


def record(gait: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Windows (rows, 30 steps, 3 axes) in metres per second squared."""
    n = len(gait)
    beat = PACE[gait] * rng.uniform(0.85, 1.15, n)
    turn = 2 * np.pi * (beat[:, None] * np.linspace(0, 1, 30) + rng.random((n, 1)))
    force = (FORCE[gait] * rng.uniform(0.75, 1.25, n))[:, None]
    force = force * (1 - UNEVEN[gait][:, None] * (np.sin(turn / 2) > 0))
    axes = [0.4 * force * np.sin(turn / 2), 0.6 * force * np.cos(turn), 9.8 + force * np.sin(turn)]
    return (np.stack(axes, 2) + rng.normal(0, 0.35, (n, 30, 3))).astype(np.float32)


class GaitNet(nn.Module):
    def __init__(self, o: SimpleNamespace) -> None:
        super().__init__()
        self.o = o
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}.get(o.cell, nn.RNN)
        self.rnn = kind(3, o.hidden, num_layers=o.layers, batch_first=o.batch_first)
        if o.spare:
            self.norm = nn.LayerNorm(o.hidden)
        self.drop = nn.Dropout(o.drop)
        self.head = nn.Linear(o.hidden, 4)
        for p in self.parameters():
            if o.init == "zeros":
                nn.init.zeros_(p)
            elif o.init and p.dim() > 1:
                nn.init.normal_(p, std=float(o.init))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(x)
        last = out.mean(1) if self.o.mean else out[:, -1]
        if self.o.frozen:
            last = last.data
        return self.head(self.drop(last))


def scaled(x: np.ndarray, how: str) -> torch.Tensor:
    if how == "standard":
        x = (x - np.float32([0, 0, 9.8])) / np.float32([0.8, 1.1, 1.9])
    elif how == "micro g":
        x = x / np.float32(9.8e-6)
    elif how == "padded":
        x = np.pad(scaled(x, "standard").numpy(), ((0, 0), (0, 35), (0, 0)))
    return torch.from_numpy(x)


def windows(o: SimpleNamespace, rng: np.random.Generator) -> tuple:
    gait = rng.integers(0, 4, o.rows + 300)
    if o.data == "wild":
        gait = np.where(rng.random(len(gait)) < 0.97, 0, gait)
    elif o.data == "last days":
        gait = np.sort(rng.choice(4, len(gait), p=[0.29, 0.27, 0.27, 0.17]))
    x, y = record(gait, rng), gait.copy()
    if o.data == "gaps":
        x[rng.choice(len(x), 20, replace=False), 12:15] = np.nan
    elif o.data == "session":
        x[:, :, 0] = gait[:, None] * 1.5 - 2
    if o.labels == "joined":
        y = y[np.argsort(rng.random(len(y)))]
    elif o.labels == "diary":
        y = np.where(rng.random(len(y)) < 0.45, (y + 2) % 4, y)
    order = np.arange(len(x)) if o.data == "last days" else rng.permutation(len(x))
    fit, val = order[:-300], order[-300:]
    return scaled(x[fit], o.scale), torch.from_numpy(y[fit]), scaled(x[val], o.val_scale or o.scale), y[val]


def varied(x: torch.Tensor) -> torch.Tensor:
    gain = torch.rand(len(x), 1, 1) * 2 + 0.2
    fast = torch.cat([x[:, ::2], x[:, ::2]], 1)
    return gain * torch.where(torch.rand(len(x), 1, 1) < 0.5, x, fast)


def make_loss(o: SimpleNamespace):
    ce = nn.CrossEntropyLoss(label_smoothing=o.smooth, weight=o.weight)
    nll = nn.NLLLoss()
    return {"ce": ce, "log softmax": lambda out, y: nll(torch.log_softmax(out, dim=0), y), "nll": nll}[o.loss]


DEFAULTS = {
    "rows": 1200,
    "data": "",
    "labels": "",
    "scale": "standard",
    "val_scale": "",
    "vary": False,
    "cell": "lstm",
    "hidden": 20,
    "layers": 1,
    "batch_first": True,
    "spare": False,
    "drop": 0.2,
    "init": "",
    "mean": False,
    "frozen": False,
    "loss": "ce",
    "smooth": 0.0,
    "weight": None,
    "opt": "adam",
    "lr": 1e-2,
    "decay": 0.0,
    "clip": 1.0,
    "accum": 1,
    "zero": True,
    "step": True,
    "params": "all",
    "drop_lr": 5,
    "gamma": 0.5,
    "plan": "epoch",
    "epochs": 12,
    "batch": 48,
    "eval_mode": True,
    "patience": 99,
}


def train(seed: int, doctor, **switches) -> Outcome:
    o = SimpleNamespace(**{**DEFAULTS, **switches})
    torch.manual_seed(seed)
    x, y, vx, vy = windows(o, np.random.default_rng(seed))
    vy = torch.from_numpy(vy)
    loader = DataLoader(TensorDataset(x, y), o.batch, shuffle=True)
    val_loader = DataLoader(TensorDataset(vx, vy), 150)
    model, loss_fn = GaitNet(o), make_loss(o)
    params = model.head.parameters() if o.params == "head" else model.parameters()
    if o.opt == "sgd":
        optimizer = torch.optim.SGD(params, o.lr, momentum=0.9, nesterov=True)
    else:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[o.opt]
        optimizer = kind(params, o.lr, weight_decay=o.decay)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, o.drop_lr, o.gamma)
    if o.plan == "warm-up":
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda e: min(1.0, (e + 1) / 4))

    doctor.on_start(model, optimizer, loss_fn, loader)
    acc, best, since = 0.0, float("inf"), 0
    for _ in range(o.epochs):
        model.train()
        total = 0.0
        for i, (xb, yb) in enumerate(loader):
            if o.vary:
                xb = varied(xb)
            loss = loss_fn(model(xb), yb)
            (loss / o.accum).backward()
            if o.clip:
                nn.utils.clip_grad_norm_(model.parameters(), o.clip)
            if (i + 1) % o.accum == 0:
                if o.step:
                    optimizer.step()
                if o.zero:
                    optimizer.zero_grad()
                doctor.on_step(loss, (xb, yb))
            if o.plan == "batch":
                scheduler.step()
            total += loss.item()
        if o.plan != "batch":
            scheduler.step()

        if o.eval_mode:
            model.eval()
        val_loss, right = 0.0, 0
        with torch.no_grad():
            for xb, yb in val_loader:
                out = model(xb)
                val_loss += loss_fn(out, yb).item() / len(val_loader)
                right += (out.argmax(1) == yb).sum().item()
        acc = right / len(vy)
        doctor.on_epoch({"loss": total / len(loader)}, {"loss": val_loss, "acc": acc})
        best, since = (val_loss, 0) if val_loss < best else (best, since + 1)
        if since >= o.patience:
            break

    rng = np.random.default_rng(5000 + seed)
    gait = rng.integers(0, 4, 600)
    model.eval()
    with torch.no_grad():
        found = model(scaled(record(gait, rng), o.val_scale or o.scale)).argmax(1)
    return Outcome((found.numpy() == gait).mean().item(), acc)


CASES, add = cases("gaits", train)
add("plain")
add("metres, not scaled", scale="metres")
add("gru, no clip", cell="gru", clip=0.0, epochs=9)
add("nesterov", opt="sgd", lr=0.1, drop_lr=8)
add("smooth, weighted", smooth=0.1, weight=torch.tensor([1.0, 1.0, 1.5, 1.0]))
add("accumulation", accum=2, batch=24, epochs=10)
add("warm-up, adamw", plan="warm-up", opt="adamw", decay=0.05)
add("two layers, batch 37", layers=2, batch=37, epochs=8)
add("mean of states", mean=True)
add("dropout half", drop=0.5)
add("early stop", patience=3, epochs=18)
add("gaps", "D01 O08", data="gaps")
add("wild", "D02 D04", data="wild")
add("last days", "D04", exact=True, data="last days")
add("session", "D07", data="session")
add("joined", "L02", labels="joined")
add("diary", "L04", labels="diary")
add("micro g", "P01", scale="micro g")
add("two units", "P02", scale="metres", val_scale="standard")
add("varied", "P03", vary=True)
add("time first", "A04", batch_first=False)
add("one unit", "A07", hidden=1)
add("spare norm", "A08", exact=True, spare=True)
add("zeros", "I01", init="zeros")
add("wide init", "I03", init="3.0")
add("log softmax", "S03", exact=True, loss="log softmax")
add("nll", "S03 S07", loss="nll")
add("rate x50", "O01", lr=0.5)
add("rate low", "O02", lr=1e-5)
add("decay by batch", "O04", plan="batch")
add("no zero_grad", "O05", exact=True, zero=False)
add("head only", "O06", params="head")
add("padded", "O09", cell="tanh", scale="padded")
add("state.data", "O10", frozen=True)
add("tight clip", "O11", opt="sgd", lr=0.1, clip=0.001)
add("no step", "O12", step=False)
add("few rows", "R01 D04", rows=30, epochs=80, hidden=32, batch=16, drop_lr=99)
add("decay", "R02", decay=0.3)
add("no eval", "E01", exact=True, eval_mode=False)
