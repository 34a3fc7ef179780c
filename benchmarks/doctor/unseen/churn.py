"""Telephone customers: who leaves within the quarter?"""

import copy
import itertools
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import nn

# tenure months, monthly fee, calls to support, contract months, age,
# gigabytes, late payments, discount %, log-ins, people in the household


def customers(rng: np.random.Generator, n: int):
    tenure = rng.gamma(1.6, 16, n)
    fee = rng.normal(48, 16, n).clip(8)
    calls = rng.poisson(2.2, n).astype(float)
    contract = rng.choice([1.0, 12.0, 24.0], n, p=[0.5, 0.3, 0.2])
    age = rng.normal(46, 15, n).clip(18, 95)
    usage = rng.lognormal(2.6, 0.7, n) * (1.3 - age / 150)
    late = rng.poisson(0.7, n).astype(float)
    discount = rng.choice([0.0, 5.0, 10.0, 25.0], n)
    logins = rng.poisson(6 + 0.2 * usage)
    house = rng.integers(1, 6, n)
    value = (fee * (1 - discount / 100) - 48) / 16 - np.log(usage / 12)
    new, bound = tenure < 18, contract > 1
    z = (
        1.4 * value * np.where(bound, -0.5, 1.3)
        + np.where(new, 1.0, -0.8) * (calls - 2.0)
        + 0.8 * (late - 0.7)
        + 1.3 * (np.abs(age - 46) / 15 - 0.8)
        - 0.06 * (logins - 9)
        - 0.8 * bound
    )
    z = 2.2 * z + rng.logistic(0, 1, n)
    x = np.stack([tenure, fee, calls, contract, age, usage, late, discount, logins, house], 1)
    return x.astype(np.float64), (z > 0.6).astype(np.float64)


def gather(data: str, rng: np.random.Generator, rows: int):
    x, y = customers(rng, 1600)
    if data == "fee per gigabyte":
        x[:, 9] = x[:, 1] / np.where(rng.random(len(x)) < 0.01, 0.0, x[:, 5])
    elif data == "status kept":
        x[:, 9] = y
    elif data == "agents forget":
        y = np.where(rng.random(len(y)) < 0.65, 0.0, y)
    elif data == "one two":
        y = y + 1
    xt, yt, xv, yv = x[:rows], y[:rows], x[rows:], y[rows:]
    if data == "loyal check":
        calm = np.lexsort((np.abs(xv[:, 4] - 46) + 15 * xv[:, 6], yv))[:50]
        xv, yv = xv[calm], yv[calm]
    elif data == "sorted":
        order = np.argsort(yt, kind="stable")
        xt, yt = xt[order], yt[order]
    return xt, yt, xv, yv


class ChurnNet(nn.Module):
    def __init__(self, width=32, hidden=2, act=nn.ReLU, drop=0.0, last="", cut=False):
        super().__init__()
        sizes = [10] + [width] * hidden
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.act, self.drop, self.last = act(), nn.Dropout(drop), last
        self.out = nn.Linear(width, 1)
        self.cut = cut

    def forward(self, x):
        for layer in self.layers:
            x = self.drop(self.act(layer(x)))
        if self.cut:
            x = x.data
        x = self.out(x)
        return torch.sigmoid(x) if self.last == "sigmoid" else F.relu(x) if self.last == "relu" else x


def start_weights(model: ChurnNet, init: str):
    with torch.no_grad():
        for m in (*model.layers, model.out):
            if init in ("tiny", "huge"):
                m.weight.normal_(0, 1e-3 if init == "tiny" else 3.0)
        if init == "prior":
            model.out.bias.fill_(-0.62)


def batch_loss(out, y, kind, pos_weight):
    """Out is (rows, 1), y is (rows,)."""
    if kind == "by hand":
        return (F.softplus(out) - y * out).mean()
    if kind == "log of p":
        p = torch.sigmoid(out.squeeze(1) * 40)
        return -(y * p.log() + (1 - y) * (1 - p).log()).mean()
    out = out.squeeze(1)
    if kind == "soft":
        y = 0.05 + 0.9 * y
    return F.binary_cross_entropy_with_logits(out, y, pos_weight=pos_weight)


def train(
    seed,
    doctor,
    data="",
    rows=1200,
    scale="standard",
    net=None,
    init="",
    opt="sgd",
    lr=0.06,
    momentum=0.9,
    decay=1e-4,
    sched="onecycle",
    epochs=20,
    batch=32,
    loss="",
    step="",
    clip=None,
    check="",
    patience=None,
):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    xt, yt, xv, yv = gather(data, rng, rows)
    if scale == "cents":
        xt = xt * [1, 100, 1, 1, 1, 1000, 1, 1, 1, 1]
    mean, std = xt.mean(0), xt.std(0)
    if scale == "raw":
        mean, std = np.zeros(10), np.ones(10)

    def prepare(x):
        return torch.tensor((x - mean) / std, dtype=torch.float32)

    x, y = prepare(xt), torch.tensor(yt, dtype=torch.float32)
    x_val, y_val = prepare(xv), torch.tensor(yv, dtype=torch.float32)
    if step == "oversample":
        extra = torch.nonzero(y > 0).squeeze(1)
        x, y = torch.cat([x, x[extra]]), torch.cat([y, y[extra]])
    model = ChurnNet(**(net or {}))
    start_weights(model, init)
    if step == "frozen":
        model.layers[0].requires_grad_(False)
    params = [p for p in model.parameters() if p.requires_grad]
    if opt == "adam":
        optimizer = torch.optim.Adam(params, lr=lr)
    else:
        optimizer = torch.optim.SGD(
            params, lr=lr, momentum=momentum, weight_decay=decay, nesterov=opt == "nesterov"
        )
    n, per_epoch = len(x), -(-len(x) // batch)
    schedule = None
    if sched == "onecycle":
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, lr, total_steps=epochs * per_epoch, cycle_momentum=opt != "adam" and momentum == 0.9
        )
    elif sched in ("cosine", "cosine by epoch"):
        length = epochs * (per_epoch if sched == "cosine" else 1)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, length)
    elif sched == "decay":
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
    pos_weight = torch.tensor(1.8) if loss == "weighted" else None
    criterion = partial(batch_loss, kind=loss, pos_weight=pos_weight)
    doctor.on_start(model, optimizer, criterion)

    best, best_loss, waited, acc = None, float("inf"), 0, 0.0
    for _epoch in range(epochs):
        model.train()
        order = torch.arange(n) if data == "sorted" else torch.randperm(n)
        total = 0.0
        for start in range(0, n, batch):
            rows_now = order[start : start + batch]
            xb, yb = x[rows_now], y[rows_now]
            if step != "no zero":
                optimizer.zero_grad()
            value = criterion(model(xb), yb)
            value.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            if step != "no step":
                optimizer.step()
            if schedule and sched != "cosine by epoch":
                schedule.step()
            doctor.on_step(value, (xb, yb))
            total += value.item() * len(xb)
        if sched == "cosine by epoch":
            schedule.step()
        if check != "no eval":
            model.eval()
        with torch.no_grad():
            out = model(x_val)
            val_loss = criterion(out, y_val).item()
            guess = (out.squeeze(1) > 0).float()
            acc = (guess == y_val).float().mean().item()
        doctor.on_epoch({"loss": total / n}, {"loss": val_loss, "acc": acc})
        if patience:
            waited += 1
            if val_loss < best_loss:
                best, best_loss, waited = (copy.deepcopy(model.state_dict()), acc), val_loss, 0
            if waited >= patience:
                break
    if best:
        weights, acc = best
        model.load_state_dict(weights)
    model.eval()
    x_new, y_new = customers(np.random.default_rng(seed + 500), 3000)
    with torch.no_grad():
        out = model(prepare(x_new)).squeeze(1).numpy()
    hit = (out > 0) == (y_new > 0)
    score = (hit[y_new > 0].mean() + hit[y_new == 0].mean()) / 2 if np.isfinite(out).all() else 0.0
    return Outcome(float(score), acc)


CASES, add = cases("churn", train)
add("plain")
add("adam, constant", opt="adam", lr=3e-3, sched="")
add("cosine, nesterov, clipped", opt="nesterov", sched="cosine", clip=2.0)
add("sgd alone", momentum=0.0, lr=0.4, sched="")
add("weighted", loss="weighted")
add("oversampled after the split", step="oversample")
add("dropout, wide", net={"drop": 0.2, "width": 96}, lr=0.1)
add("frozen first layer", step="frozen", net={"width": 128})
add("soft targets", loss="soft", batch=27)
add("patient", patience=6, sched="cosine by epoch", epochs=30)
add("tanh, prior bias", net={"act": nn.Tanh}, init="prior", lr=0.1)
add("fee per gigabyte", "D01", data="fee per gigabyte")
add("sorted", "D03", data="sorted")
add("loyal check", "D05", data="loyal check", patience=6)
add("status kept", "L03 D07", data="status kept")
add("agents forget", "L04", data="agents forget")
add("one two", "L05", data="one two")
add("raw", "P01", scale="raw")
add("cents", "P02", scale="cents")
add("sigmoids, huge", "A01 I03", net={"act": nn.Sigmoid}, init="huge")
add("one unit", "A07", net={"width": 1})
add("tiny, deep", "I02 O07", init="tiny", net={"hidden": 4})
add("huge", "I03", init="huge")
add("sigmoid", "S01", exact=True, net={"last": "sigmoid"})
add("relu at the end", "S04", net={"last": "relu"})
add("by hand", "S05", loss="by hand")
add("rate x30", "O01", lr=2.0)
add("rate x300", "O01", lr=20.0)
add("rate / 200", "O02", lr=3e-4)
add("momentum", "O03 O01", momentum=0.999, sched="")
add("decay", "O04", sched="decay")
add("no zero", "O05", exact=True, step="no zero")
add("log of p", "O08", loss="log of p")
add("cut", "O10", exact=True, net={"cut": True})
add("clip", "O11", clip=1e-3)
add("no step", "O12", step="no step")
add("fifty rows", "R01 D04", rows=50, epochs=150, decay=0.0, net={"width": 96})
add("weight decay", "R02", decay=0.2)
add("no eval", "E01", exact=True, check="no eval", net={"drop": 0.3})
