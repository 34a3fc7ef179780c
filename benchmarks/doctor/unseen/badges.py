"""Recognise the badge on a small colour picture: four arrows, a disc, a ring and a cross."""

import copy
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import nn

SIDE, KINDS = 12, 7
YY, XX = np.mgrid[:SIDE, :SIDE].astype(float)


def shape(kind: int, cy: float, cx: float, r: float) -> np.ndarray:
    y, x = YY - cy, XX - cx
    if kind < 4:
        y, x = [(y, x), (-y, x), (x, y), (-x, y)][kind]
        return (np.abs(x) <= (y + r) / 2) & (np.abs(y) <= r)
    away = np.hypot(y, x)
    if kind == 4:
        return away <= r
    if kind == 5:
        return (away <= r + 0.5) & (away >= r - 1.0)
    return (np.minimum(np.abs(x), np.abs(y)) <= 0.7) & (np.maximum(np.abs(x), np.abs(y)) <= r)


def pictures(rng: np.random.Generator, kinds: np.ndarray, grain: float = 36.0) -> np.ndarray:
    out = np.empty((len(kinds), 3, SIDE, SIDE))
    for i, kind in enumerate(kinds):
        cy, cx = rng.uniform(4.3, 6.7, 2)
        back, front = rng.uniform(60, 130, 3), rng.uniform(120, 210, 3)
        mask = shape(kind, cy, cx, rng.uniform(2.4, 4.0))
        out[i] = np.where(mask, front[:, None, None], back[:, None, None])
    return np.clip(out + rng.normal(0, grain, out.shape), 0, 255).astype(np.float32)


def collect(rng: np.random.Generator, rows: int, data: str) -> list[np.ndarray]:
    """Training pictures and kinds, validation pictures and kinds."""
    total = rows + 280
    y = rng.integers(0, KINDS, total)
    if data == "mostly discs":
        y = np.where(rng.random(total) < 0.95, 4, y)
    pick = rng.integers(0, 150, total) if data == "copies" else np.arange(total)
    x, y = pictures(rng, y)[pick], y[pick]
    if data == "caption":
        x[:, :, :2] = (y * 30 + 30)[:, None, None, None]
    xt, yt, xv, yv = x[:rows], y[:rows], x[rows:], y[rows:]
    if data == "sorted":
        order = np.argsort(yt, kind="stable")
        xt, yt = xt[order], yt[order]
    if data.startswith("typos"):
        typo = rng.random(rows) < float(data.split()[1])
        yt = np.where(typo, rng.integers(0, KINDS, rows), yt)
    if data == "from one":
        yt, yv = yt + 1, yv + 1
    return [xt, yt, xv, yv]


class Net(nn.Module):
    def __init__(self, norm: str, wide: int, hidden: int, drop: float, outputs: int, slip: str):
        super().__init__()
        self.slip = slip
        momentum = 0.001 if slip == "slow averages" else 0.1
        make = partial(nn.BatchNorm2d, momentum=momentum) if norm == "batch" else nn.Identity
        self.conv1, self.norm1 = nn.Conv2d(3, wide, 3, padding=1), make(wide)
        self.conv2, self.norm2 = nn.Conv2d(wide, 2 * wide, 3, padding=1), make(2 * wide)
        self.fc, self.drop = nn.Linear(2 * wide * 9, hidden), nn.Dropout(drop)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.max_pool2d(F.relu(self.norm1(self.conv1(x))), 2)
        h = F.max_pool2d(F.relu(self.norm2(self.conv2(h))), 2)
        if self.slip == "detached":
            h = h.detach()
        if self.slip == "mixed":
            h = h.permute(1, 2, 3, 0).reshape(len(x), -1)
        h = F.relu(self.fc(h.flatten(1)))
        return self.out(self.drop(h))


def prepare(net: Net, init: str) -> None:
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if init == "zeros":
                nn.init.zeros_(layer.weight)
            elif init == "normal":
                nn.init.normal_(layer.weight)
            elif init == "bias":
                nn.init.constant_(layer.bias, -4.0)


def shifted(rng: np.random.Generator, x: np.ndarray, reach: int, extra: str) -> np.ndarray:
    out = np.pad(x, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="edge")
    dy, dx = rng.integers(0, 2 * reach + 1, (2, len(x)))
    out = np.stack([p[:, a : a + SIDE, b : b + SIDE] for p, a, b in zip(out, dy, dx, strict=True)])
    if extra == "turn":
        turns = rng.integers(0, 4, len(x))
        out = np.stack([np.rot90(p, k, (1, 2)) for p, k in zip(out, turns, strict=True)])
    return np.ascontiguousarray(out)


def train(
    seed, doctor, *, data="", rows=640, lr=0.05, epochs=14, batch=40, norm="batch",
    drop=0.0, init="", model="", loss="", loop="", scale="", reach=1, extra="", opt="sgd", sched="step",
    clip=0.0, every=1,
) -> Outcome:  # fmt: skip
    rng, wide, hidden, steps = np.random.default_rng(seed), 8, 32, -(-rows // batch)
    torch.manual_seed(seed)
    xt, yt, xv, yv = collect(rng, rows, data)
    norm_of = (lambda x: x) if scale == "raw" else (lambda x: (x - 105.0) / 62.0)
    feed = (lambda x: x / 255) if scale == "unit" else norm_of
    outputs = 1 if loss == "number" else int(max(yt.max(), yv.max())) + 1
    net = Net(norm, wide, hidden, drop, outputs, model)
    prepare(net, init)
    params = list(net.parameters())
    if loop == "late head":
        net.fc, net.out = nn.Linear(2 * wide * 9, hidden), nn.Linear(hidden, outputs)
    if opt == "sgd":
        optimizer = torch.optim.SGD(params, lr=lr, momentum=0.9, weight_decay=1e-3)
    else:
        optimizer = torch.optim.AdamW(params, lr=lr, weight_decay=1e-3)
    if sched == "step":
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.4)
    elif sched == "cosine":
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    else:
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * steps)
    ema = copy.deepcopy(net)

    def criterion(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if loss == "softmax":
            return F.cross_entropy(z.softmax(1), y)
        if loss == "number":
            return F.mse_loss(z[:, 0], y.float())
        if loss == "bce":
            return F.binary_cross_entropy_with_logits(z, F.one_hot(y, outputs).float())
        return F.cross_entropy(z, y, label_smoothing=0.1 if loss == "smooth" else 0.0)

    def decide(z: torch.Tensor) -> torch.Tensor:
        return z[:, 0].round().long() if loss == "number" else z.argmax(1)

    acc = 0.0
    x_val, y_val = torch.from_numpy(norm_of(xv)), torch.from_numpy(yv)
    with doctor.watching(net, optimizer):
        for epoch in range(epochs):
            net.train()
            order = np.arange(len(xt)) if loop == "in order" else rng.permutation(len(xt))
            if loop == "half shuffle":
                xt = xt[rng.permutation(len(xt))]
            total = 0.0
            for step in range(steps):
                rows_now = order[step * batch : (step + 1) * batch]
                if len(rows_now) < 2:
                    continue
                x = torch.from_numpy(feed(shifted(rng, xt[rows_now], reach, extra)))
                y = torch.from_numpy(yt[rows_now])
                value = criterion(net(x), y) / every
                value.backward()
                if clip:
                    nn.utils.clip_grad_norm_(net.parameters(), clip)
                if (step + 1) % every == 0:
                    optimizer.step()
                if (step + 1) % every == 0 and loop != "no zero":
                    optimizer.zero_grad()
                if sched == "onecycle" or loop == "schedule inside":
                    schedule.step()
                if loop == "ema":
                    for a, b in zip(ema.state_dict().values(), net.state_dict().values(), strict=True):
                        a.copy_(0.9 * a + 0.1 * b if a.is_floating_point() else b)
                total += value.item() / steps
            if sched != "onecycle" and loop != "schedule inside":
                schedule.step()
            if loop != "val as train":
                net.eval()
            with torch.no_grad():
                z = (ema.eval() if loop == "ema" else net)(x_val)
                val_loss = criterion(z, y_val).item()
                acc = (decide(z) == y_val).float().mean().item()
            print(f"epoch {epoch}: loss {total:.3f}, validation loss {val_loss:.3f}, accuracy {acc:.3f}")
    fresh = np.random.default_rng(seed + 1000)
    y_new = fresh.integers(0, KINDS, 700)
    x_new = torch.from_numpy(norm_of(pictures(fresh, y_new)))
    with torch.no_grad():
        z = (ema if loop == "ema" else net).eval()(x_new)
        score = (decide(z) == torch.from_numpy(y_new)).float().mean().item()
    return Outcome(score, acc)


CASES, add = cases("badges", train)
add("plain")
add("cosine", sched="cosine", lr=0.08)
add("adamw onecycle", opt="adam", lr=0.01, sched="onecycle")
add("clipped", clip=2.0)
add("two steps together", every=2, batch=20)
add("ema judged", loop="ema")
add("pixels 0-255", scale="raw")
add("one against rest", loss="bce", lr=0.1)
add("smooth labels and dropout", loss="smooth", drop=0.2)
add("batch 37", batch=37)
add("mostly discs", "D02", data="mostly discs")
add("folder order", "D03", loop="in order", data="sorted")
add("copies before split", "D06", data="copies")
add("caption strip", "D07", data="caption")
add("half shuffle", "L01", loop="half shuffle")
add("typos 35 %", "L04", data="typos 0.35")
add("counted from one", "L05", data="from one")
add("unit pixels in training", "P02", scale="unit")
add("turned", "P03", extra="turn")
add("dead start", "A02", init="bias", norm="none")
add("mixed pictures", "A04", model="mixed")
add("zero init", "I01", init="zeros")
add("init 1.0", "I03 O08", init="normal", norm="none")
add("softmax twice", "S02", loss="softmax", exact=True)
add("class as number", "S06", loss="number", lr=0.01)
add("rate x20", "O01", lr=1.0)
add("rate x100", "O01 O08", lr=5.0)
add("rate /100", "O02", lr=5e-4)
add("schedule inside", "O04", loop="schedule inside")
add("no zero_grad", "O05", loop="no zero")
add("late head", "O06", loop="late head")
add("detached", "O10", model="detached")
add("clip 0.001", "O11", clip=1e-3)
add("few rows", "R01 D04", rows=60, reach=0, epochs=25)
add("dropout 0.9", "R02", drop=0.9)
add("batch of 2", "R04", batch=2, epochs=2, lr=0.005)
add("validation as training", "E01", loop="val as train", exact=True)
add("slow averages", "E05", model="slow averages", scale="raw")
