"""Soil survey: twelve laboratory columns, five soil classes."""

import copy
import itertools

import numpy as np
import torch
from case import Outcome, cases
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

# clay, sand, silt, pH, carbon, nitrogen, CEC, conductivity, phosphate, density, depth, elevation
CENTRE = np.array([25, 40, 35, 6.4, 2.1, 0.2, 16, 900, 30, 1.3, 80, 420])
SPREAD = np.array([9, 14, 11, 0.8, 0.9, 0.07, 6, 400, 12, 0.15, 30, 150])


def survey(rng: np.random.Generator, n: int, share=None, parent=None):
    """N profiles: raw measurements and class; each class forms on three parent materials."""
    fixed = np.random.default_rng(12)
    centres = fixed.normal(0, 2.1, (5, 3, 6))
    mix = fixed.normal(0, 1, (6, 12)) / np.sqrt(6)
    y = rng.choice(5, n, p=share)
    parent = rng.integers(0, 3, n) if parent is None else parent
    z = centres[y, parent] + rng.normal(0, 1, (n, 6))
    return CENTRE + SPREAD * (z @ mix + rng.normal(0, 0.25, (n, 12))) / 2, y


def table(data: str, rng: np.random.Generator, rows: int, n_val: int):
    shares = {"one region": [0.97] + [0.0075] * 4, "mild skew": [0.4, 0.2, 0.2, 0.1, 0.1]}
    x, y = survey(rng, rows + n_val, shares.get(data))
    if data == "oversampled":
        x, y = np.repeat(x[:350], 5, 0), np.repeat(y[:350], 5)
        order = rng.permutation(len(x))
        x, y = x[order], y[order]
    elif data == "filled by class":
        x[:, 9] = np.array([x[y == c, 9].mean() for c in range(5)])[y]
    elif data == "failed assay":
        x[rng.random(len(x)) < 0.02, 4] = np.nan
    elif data == "wrong join":
        y = y[rng.permutation(len(y))]
    elif data == "field guess":
        y = np.where(rng.random(len(y)) < 0.45, (y + 1) % 5, y)
    xt, yt, xv, yv = x[:rows], y[:rows], x[rows:], y[rows:]
    if data == "one valley":
        xt, yt = survey(rng, rows, parent=0)
    elif data == "by appearance":
        first = np.unique(yt, return_index=True)[1]
        yt = np.argsort(np.argsort(first))[yt]
    elif data == "few":
        xt, yt = xt[:40], yt[:40]
    return xt, yt, xv, yv


class SoilNet(nn.Module):
    def __init__(
        self,
        width=48,
        depth=2,
        drop=0.2,
        act=nn.ReLU,
        norm=nn.BatchNorm1d,
        out=5,
        inlet=False,
        by_column=False,
    ):
        super().__init__()
        self.by_column = by_column
        self.inlet = nn.BatchNorm1d(12) if inlet else nn.Identity()
        sizes = [12] + [width] * depth
        self.body = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(a, b), norm(b), act(), nn.Dropout(drop))
                for a, b in itertools.pairwise(sizes)
            )
        )
        self.head = nn.Linear(width, out)

    def forward(self, x):
        if self.by_column:
            x = x.t().reshape(x.shape)
        return self.head(self.body(self.inlet(x)))


def initialise(model: nn.Module, init: str):
    for m in model.modules():
        if init == "constant" and isinstance(m, nn.Linear):
            nn.init.constant_(m.weight, 0.1)
        if init == "low bias" and isinstance(m, (nn.Linear, nn.BatchNorm1d)):
            nn.init.constant_(m.bias, -6.0)


def train(
    seed,
    doctor,
    data="",
    rows=1000,
    n_val=400,
    scale="standard",
    net=None,
    init="",
    opt="Adam",
    lr=4e-3,
    epochs=15,
    batch=40,
    loss="ce",
    step="",
    sched="",
    check="",
    keep="",
    opt_args=None,
):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    xt, yt, xv, yv = table(data, rng, rows, n_val)
    mean, std = np.nanmean(xt, 0), np.nanstd(xt, 0) + 1e-9
    if scale == "raw":
        mean, std = np.zeros(12), np.ones(12)

    def tensor(x):
        return torch.tensor((x - mean) / std, dtype=torch.float32)

    x_train, y_train, y_val = tensor(xt), torch.tensor(yt), torch.tensor(yv)
    if scale == "minmax":
        x_train = torch.tensor((xt - xt.min(0)) / np.ptp(xt, 0), dtype=torch.float32)
    model = SoilNet(**(net or {}))
    initialise(model, init)
    profiles = TensorDataset(x_train, y_train)
    loader = DataLoader(profiles, batch, shuffle=True, drop_last=len(xt) % batch == 1)
    val_loader = DataLoader(TensorDataset(tensor(xv), y_val), 200)

    if step == "frozen":
        model.body[0][0].requires_grad_(False)
    params = model.head.parameters() if step == "head only" else model.parameters()
    optimizer = getattr(torch.optim, opt)([p for p in params if p.requires_grad], lr=lr, **(opt_args or {}))
    total, scheduler = epochs * len(loader), None
    if sched == "cosine":
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    elif sched == "warm":
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min(1.0, i / (0.2 * total)))
    weight = (len(yt) / (5 * torch.bincount(y_train, minlength=5))).float() if loss == "weighted" else None
    loss_fn = nn.CrossEntropyLoss(weight, label_smoothing=0.1 if loss == "smooth" else 0.0)
    if loss == "mse":
        loss_fn = nn.MSELoss()
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.98), use_buffers=True
    )
    best, best_acc, acc, stale = None, -1.0, 0.0, 0

    def criterion(out, y):
        if loss == "mse":
            return loss_fn(out.squeeze(1), y.float())
        if loss == "capped":
            return loss_fn(out, y).clamp(max=1.0)
        return loss_fn(torch.softmax(out, 1) if loss == "softmax" else out, y)

    def choose(out):
        return out.squeeze(1).round().clamp(0, 4).long() if loss == "mse" else out.argmax(1)

    with doctor.watching(model, optimizer):
        for epoch in range(epochs):
            model.train()
            if step == "reshuffle" and epoch >= 1:
                profiles.tensors = (x_train[torch.randperm(len(x_train))], y_train)
            total_loss = 0.0
            for i, (xb, yb) in enumerate(loader):
                if step == "swap noise":
                    swap = torch.rand_like(xb) < 0.8
                    xb = torch.where(swap, xb[torch.randperm(len(xb))], xb)
                if step != "accumulate" or i % 4 == 0:
                    optimizer.zero_grad()
                value = criterion(model(xb), yb)
                (value / 4 if step == "accumulate" else value).backward()
                if step == "clip":
                    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                if step != "accumulate" or i % 4 == 3 or i + 1 == len(loader):
                    optimizer.step()
                if scheduler:
                    scheduler.step()
                if step == "average":
                    average.update_parameters(model)
                total_loss += value.item() * len(yb)
            if check != "no eval":
                model.eval()
            hits = val_loss = 0.0
            with torch.no_grad():
                for xb, yb in val_loader:
                    out = model(xb)
                    val_loss += criterion(out, yb).item() * len(yb)
                    if check == "one hot":
                        wrong = F.one_hot(choose(out), 5) - F.one_hot(yb, 5)
                        hits += (1 - wrong.float().mean().item()) * len(yb)
                    else:
                        hits += (choose(out) == yb).sum().item()
            acc = hits / len(y_val)
            print(f"{epoch} {total_loss / len(yt):.3f} {val_loss / len(y_val):.3f} {acc:.3f}")
            stale += 1
            if keep == "best" and acc > best_acc + 1e-6:
                best, best_acc, stale = copy.deepcopy(model.state_dict()), acc, 0
            if keep == "best" and stale >= 5:
                break
    if keep == "best":
        model.load_state_dict(best)
        acc = best_acc
    final = (average.module if step == "average" else model).eval()
    x_new, y_new = survey(np.random.default_rng(seed + 1000), 1500)
    with torch.no_grad():
        score = (choose(final(tensor(x_new))) == torch.tensor(y_new)).float().mean().item()
    return Outcome(score, acc)


CASES, add = cases("soils", train)
add("plain")
add("sgd", opt="SGD", lr=0.1, opt_args={"momentum": 0.9})
add("cosine, adamw", opt="AdamW", sched="cosine", lr=1e-2, opt_args={"weight_decay": 0.05})
add("warm-up, clipped", sched="warm", step="clip")
add("accumulates four", step="accumulate", batch=16)
add("smoothed, heavy dropout", loss="smooth", net={"drop": 0.4, "width": 96})
add("raw with a norm inlet", scale="raw", net={"inlet": True})
add("moving average", step="average", opt="RMSprop")
add("first layer frozen", step="frozen", net={"width": 128})
add("keeps the best", keep="best", epochs=25, batch=77, lr=8e-3)
add("skewed, weighted", data="mild skew", loss="weighted")
add("failed assay", "D01", data="failed assay")
add("one region", "D02 D04", data="one region")
add("one valley", "D04", data="one valley")
add("oversampled", "D06", exact=True, data="oversampled", net={"drop": 0.0})
add("filled by class", "D07", data="filled by class")
add("reshuffle", "L01", step="reshuffle")
add("wrong join", "L02", data="wrong join")
add("field guess", "L04", data="field guess")
add("by appearance", "L05 L02", data="by appearance")
add("raw, bare", "P01", scale="raw", net={"norm": nn.Identity})
add("minmax", "P02", scale="minmax")
add("swap noise", "P03", step="swap noise")
add("low bias", "A02", init="low bias")
add("linear", "A03", exact=True, net={"act": nn.Identity})
add("by column", "A04", net={"by_column": True})
add("constant", "I01", exact=True, init="constant")
add("softmax", "S02", exact=True, loss="softmax")
add("mse", "S06", loss="mse", net={"out": 1})
add("capped", "S07", loss="capped")
add("rate x150", "O01", lr=0.6)
add("rate x500", "O01", lr=2.0)
add("rate / 200", "O02", lr=2e-5)
add("head only", "O06", step="head only")
add("few", "R01 D04", data="few", net={"drop": 0.0}, epochs=60)
add("dropout", "R02", net={"drop": 0.93})
add("pairs", "R04", exact=True, batch=2, epochs=2)
add("no eval", "E01", exact=True, check="no eval")
add("one hot", "E04", check="one hot", keep="best")
