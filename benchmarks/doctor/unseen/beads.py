"""Which of five arrangements do the beads on a 12x12 grey frame make: row, column, slant, square, corner."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import nn
from torch.utils.checkpoint import checkpoint

SIDE = 12
SHAPES = [
    [(0, 0), (0, 2), (0, 4), (0, 6)],
    [(0, 0), (2, 0), (4, 0), (6, 0)],
    [(0, 0), (2, 2), (4, 4), (6, 6)],
    [(0, 0), (0, 4), (4, 0), (4, 4)],
    [(0, 0), (2, 0), (4, 0), (4, 3)],
]


def frames(rng, n):
    """Grey frames 0..255 and which arrangement each of them shows."""
    kinds = rng.integers(0, len(SHAPES), n)
    grid = np.arange(SIDE)
    pictures = np.empty((n, 1, SIDE, SIDE), np.float32)
    for i, kind in enumerate(kinds):
        spots = np.array(SHAPES[kind], float)
        spots[:, 0] += rng.uniform(1, SIDE - 2 - spots[:, 0].max())
        spots[:, 1] += rng.uniform(1, SIDE - 2 - spots[:, 1].max())
        if rng.random() < 0.5:
            spots[:, 1] = SIDE - 1 - spots[:, 1]
        if rng.random() < 0.5:
            spots[:, 0] = SIDE - 1 - spots[:, 0]
        spots += rng.normal(0, 0.2, spots.shape)
        size = rng.uniform(0.6, 1.0, len(spots))
        rows = (grid[None, :, None] - spots[:, 0, None, None]) ** 2
        cols = (grid[None, None, :] - spots[:, 1, None, None]) ** 2
        glow = np.exp(-(rows + cols) / (2 * size[:, None, None] ** 2))
        glow *= rng.uniform(90, 180, (len(spots), 1, 1))
        pictures[i, 0] = 40 + glow.sum(0) + rng.normal(0, 22, (SIDE, SIDE))
    return torch.from_numpy(pictures.clip(0, 255)), torch.from_numpy(kinds)


class BeadNet(nn.Module):
    def __init__(
        self,
        width=12,
        norm="group",
        drop=0.0,
        classes=5,
        momentum=0.1,
        fold=None,
        softmax=False,
        saving=False,
    ):
        super().__init__()

        def block(i, o):
            kinds = {
                "group": lambda: nn.GroupNorm(min(4, o), o),
                "none": nn.Identity,
                "batch": lambda: nn.BatchNorm2d(o, momentum=momentum),
            }
            return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), kinds[norm](), nn.ReLU())

        self.one, self.two = block(1, width), block(width, 2 * width)
        self.three = block(2 * width, 2 * width)
        self.drop = nn.Dropout(drop)
        self.hidden = nn.Sequential(nn.Linear(2 * width * 9, 32), nn.ReLU())
        self.head = nn.Linear(32, classes)
        self.fold, self.softmax, self.saving = fold, softmax, saving

    def trunk(self, x):
        return self.three(F.avg_pool2d(self.two(F.avg_pool2d(self.one(x), 2)), 2))

    def forward(self, x):
        x = checkpoint(self.trunk, x, use_reentrant=False) if self.saving else self.trunk(x)
        if self.fold == "channels":
            n, c, h, w = x.shape
            x = x.permute(1, 0, 2, 3).reshape(n, c * h * w)
        x = self.head(self.hidden(self.drop(x.flatten(1))))
        return x.softmax(1) if self.softmax else x


def weights_of(model, how):
    for part in model.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            if how == "low bias":
                nn.init.constant_(part.bias, -6.0)
            elif how == "tiny":
                nn.init.normal_(part.weight, std=1e-4)
                nn.init.zeros_(part.bias)


def jitter(x, gen, how):
    if how is None:
        return x
    moves = [lambda a: a.flip(2), lambda a: a.flip(3)]
    if how == "turns":
        moves.append(lambda a: a.transpose(2, 3))
    for move in moves:
        chosen = torch.rand(len(x), 1, 1, 1, generator=gen) < 0.5
        x = torch.where(chosen, move(x), x)
    return x


def train(
    seed,
    doctor,
    *,
    n=480,
    epochs=14,
    batch=32,
    lr=3e-3,
    optim="adamw",
    decay=1e-3,
    augment="flips",
    raw=None,
    init=None,
    loss="ce",
    schedule=None,
    per_batch=False,
    clip=None,
    every=1,
    smooth=0.0,
    zero=True,
    order="shuffled",
    data=None,
    labels=None,
    freeze=False,
    ema=0.0,
    patience=None,
    **net,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    gen = torch.Generator().manual_seed(seed)
    x, y = frames(rng, n)
    vx, vy = frames(rng, 200)
    if data == "copies":
        pick = torch.from_numpy(rng.integers(0, 60, 680))
        x, y, vx, vy = x[pick[:480]], y[pick[:480]], x[pick[480:]], y[pick[480:]]
    if data == "stamped":
        x[:, 0, 0, :6], vx[:, 0, 0, :6] = 50.0 * y[:, None], 50.0 * vy[:, None]
    if data == "lost lines":
        x[::40, :, 5] = torch.nan
    if data == "negative":
        x = 255 - x
    mean, std = x.nanmean(), x[~x.isnan()].std()
    if raw:
        mean, std = 0.0, 1.0 if raw == "0..255" else 255.0
    x, vx = (x - mean) / std, (vx - mean) / std

    classes = 5
    if labels == "joined":
        y = y[torch.from_numpy(rng.permutation(len(y)))]
    elif labels == "from one":
        y, vy, classes = y + 1, vy + 1, 6
    if order == "sorted":
        by_kind = y.argsort(stable=True)
        x, y = x[by_kind], y[by_kind]

    model = BeadNet(classes=classes, **net)
    weights_of(model, init)
    if freeze:
        model.one.requires_grad_(False)
    params = [p for p in model.parameters() if p.requires_grad]
    if optim == "sgd":
        opt = torch.optim.SGD(params, lr=lr, momentum=0.9, weight_decay=decay)
    else:
        opt = torch.optim.AdamW(params, lr=lr, weight_decay=decay)
    starts, plan = range(0, len(x), batch), None
    if schedule == "cosine":
        plan = torch.optim.lr_scheduler.CosineAnnealingLR(opt, epochs)
    elif schedule == "fading":
        plan = torch.optim.lr_scheduler.ExponentialLR(opt, 0.6)

    def measure(out, target):
        value = F.cross_entropy(out, target, label_smoothing=smooth)
        return value.clamp(max=1.0) if loss == "capped" else value

    shadow = copy.deepcopy(model) if ema else None
    doctor.on_start(model, opt, measure, None)
    best, kept, waited, acc = 0.0, None, 0, 0.0
    for _ in range(epochs):
        model.train()
        turn = torch.randperm(len(x), generator=gen) if order != "sorted" else torch.arange(len(x))
        if order == "frames only":
            x = x[turn]
            turn = torch.arange(len(x))
        total = 0.0
        for k, s in enumerate(starts):
            rows = turn[s : s + batch]
            bx, by = jitter(x[rows], gen, augment), y[rows]
            value = measure(model(bx), by)
            (value / every).backward()
            total += value.item() * len(rows)
            if (k + 1) % every == 0 or s == starts[-1]:
                if clip:
                    nn.utils.clip_grad_norm_(params, clip)
                opt.step()
                if zero:
                    opt.zero_grad()
                doctor.on_step(value, (bx, by))
                if ema:
                    with torch.no_grad():
                        for a, b in zip(shadow.parameters(), model.parameters(), strict=False):
                            a.lerp_(b, 1 - ema)
            if plan and per_batch:
                plan.step()
        if plan and not per_batch:
            plan.step()

        judge = shadow if ema else model
        judge.eval()
        with torch.no_grad():
            out = judge(vx)
            val_loss, acc = measure(out, vy).item(), (out.argmax(1) == vy).float().mean().item()
        doctor.on_epoch({"loss": total / len(x)}, {"loss": val_loss, "acc": acc})
        waited += 1
        if patience and acc > best:
            best, kept, waited = acc, copy.deepcopy(model.state_dict()), 0
        if patience and waited >= patience:
            break
    if kept:
        model.load_state_dict(kept)
        acc = best

    final = (shadow if ema else model).eval()
    cx, cy = frames(np.random.default_rng(seed + 999), 600)
    with torch.no_grad():
        score = (final((cx - mean) / std).argmax(1) == cy).float().mean().item()
    return Outcome(score, acc)


CASES, add = cases("beads", train)
add("plain")
add("sgd, cosine, checkpointed", optim="sgd", lr=0.05, schedule="cosine", saving=True)
add("grey 0..1, batch norm, clip 1", raw="0..1", clip=1.0, norm="batch", batch=48)
add("smoothing and cosine", smooth=0.1, schedule="cosine")
add("dropout 0.3, patience", drop=0.3, patience=5, epochs=16)
add("first block frozen", freeze=True)
add("accumulates over 2", every=2, batch=16, epochs=12)
add("averaged weights", ema=0.97)
add("lost lines", "D01", data="lost lines")
add("sorted, no shuffle", "D03", order="sorted", optim="sgd", lr=0.05)
add("copied before the split", "D06", data="copies", augment=None)
add("stamp on the top line", "D07", data="stamped", augment=None)
add("frames shuffled alone", "L01", order="frames only")
add("wrong join", "L02", labels="joined")
add("kinds from one", "L05", labels="from one")
add("bytes straight in", "P01 O01", raw="0..255", norm="none", optim="sgd", lr=0.05)
add("negatives in training", "P02", data="negative")
add("transposes", "P03", augment="turns")
add("fold over channels", "A04", fold="channels")
add("low biases", "A02", init="low bias", norm="none")
add("tiny weights", "I02 O07", init="tiny", norm="none", optim="sgd", lr=0.05)
add("softmax, then loss", "S02", softmax=True, optim="sgd", lr=0.05, norm="none")
add("loss capped", "S07", loss="capped")
add("lr 0.5", "O01", lr=0.5)
add("fades by batch", "O04", schedule="fading", per_batch=True)
add("never zeroed", "O05", zero=False)
add("keep 0.05", "R02", drop=0.95)
add("slow statistics", "E05", norm="batch", momentum=1e-4)
