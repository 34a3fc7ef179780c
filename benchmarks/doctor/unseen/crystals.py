"""Shapes of crystals under a small microscope: 10x10 grey pictures, a small residual network."""

import copy

import numpy as np
import torch
from case import Outcome, cases
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

NAMES = ("lying", "upright", "falling", "rising", "plate", "ring", "cross")
ANGLES = (0.0, 90.0, 45.0, 135.0, 0.0, 0.0, 0.0)
MEAN, STD = 118.0, 52.0


def microscope(rng, n: int, noise: float = 23.0, shares=None):
    """N pictures in 0..255 and their classes."""
    y = rng.choice(len(NAMES), n, p=shares)
    rows, cols = np.mgrid[0:10, 0:10].astype(np.float32)
    cy, cx = rng.uniform(3.2, 5.8, (2, n, 1, 1))
    angle = np.deg2rad(np.array(ANGLES)[y] + rng.normal(0, 8, n))[:, None, None]
    u = (cols - cx) * np.cos(angle) + (rows - cy) * np.sin(angle)
    v = (rows - cy) * np.cos(angle) - (cols - cx) * np.sin(angle)
    size = rng.uniform(2.4, 4.0, (n, 1, 1))
    kind = y[:, None, None]
    box = np.maximum(abs(u), abs(v))
    needle = (abs(v) < 0.9) & (abs(u) < size)
    cross = needle | ((abs(u) < 0.9) & (abs(v) < size))
    plate, ring = box < size * 0.8, abs(box - size * 0.75) < 0.7
    mask = np.select([kind < 4, kind == 4, kind == 5], [needle, plate, ring], cross)
    light, contrast = rng.uniform(70, 120, (n, 1, 1)), rng.uniform(60, 110, (n, 1, 1))
    x = light + mask * contrast + rng.normal(0, noise, mask.shape)
    return np.clip(x, 0, 255).astype(np.float32), y.astype(np.int64)


def standard(x):
    return (x - MEAN) / STD


def raw(x):
    return x


def negative(x):
    return (255.0 - x - MEAN) / STD


def shifted(x, rng):
    return np.roll(x, rng.integers(-1, 2, 2), (0, 1))


def turned(x, rng):
    return np.rot90(shifted(x, rng), rng.integers(0, 4))


class Pictures(Dataset):
    def __init__(self, x, y, scale, augment=None, rng=None):
        self.x, self.y, self.scale, self.augment, self.rng = x, y, scale, augment, rng

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        x = self.x[i] if self.augment is None else self.augment(self.x[i], self.rng)
        return torch.from_numpy(np.ascontiguousarray(self.scale(x), dtype=np.float32))[None], self.y[i]


def norm_of(kind, width, momentum):
    return nn.BatchNorm2d(width, momentum=momentum) if kind == "batch" else nn.Identity()


class Block(nn.Module):
    def __init__(self, wide_in, wide_out, stride, norm, momentum, act):
        super().__init__()
        self.a = nn.Conv2d(wide_in, wide_out, 3, stride, 1, bias=norm == "none")
        self.b = nn.Conv2d(wide_out, wide_out, 3, 1, 1, bias=norm == "none")
        self.na, self.nb = norm_of(norm, wide_out, momentum), norm_of(norm, wide_out, momentum)
        same = wide_in == wide_out and stride == 1
        self.side = nn.Identity() if same else nn.Conv2d(wide_in, wide_out, 1, stride, bias=False)
        self.act = act()

    def forward(self, x):
        return self.act(self.nb(self.b(self.act(self.na(self.a(x))))) + self.side(x))


class CrystalNet(nn.Module):
    def __init__(self, width=6, norm="batch", momentum=0.1, act=nn.ReLU, drop=0.0, outputs=7, pool="mean"):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), norm_of(norm, width, momentum), act())
        self.one = Block(width, width, 2, norm, momentum, act)
        self.two = Block(width, 2 * width, 1, norm, momentum, act)
        self.drop = nn.Dropout(drop)
        self.head = nn.Linear(2 * width, outputs)
        self.pool = pool

    def forward(self, x):
        x = self.two(self.one(self.stem(x)))
        if self.pool == "mean":
            x = x.mean((2, 3))
        else:
            x = x.permute(1, 0, 2, 3).reshape(x.shape[0], x.shape[1], -1).mean(2)
        return self.head(self.drop(x))


def initialise(model, how):
    for m in model.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            if isinstance(how, float):
                nn.init.normal_(m.weight, 0, how)
            else:
                nn.init.kaiming_normal_(m.weight)
        elif isinstance(m, nn.BatchNorm2d) and how == "low":
            nn.init.constant_(m.bias, -4.0)


def collect(rng, rows, data, labels):
    shares = [0.04, 0.01, 0.01, 0.01, 0.01, 0.9, 0.02]
    x, y = microscope(rng, rows, shares=shares if data == "one kind" else None)
    vx, vy = microscope(rng, 140)
    if data in ("by kind", "sorted split"):
        order = np.argsort(y, kind="stable")
        x, y = x[order], y[order]
    if data == "sorted split":
        x, y = x[: rows // 2], y[: rows // 2]
    elif data == "repeats":
        order = rng.permutation(rows + 140) % 60
        x, y, vx, vy = x[order[140:]], y[order[140:]], x[order[:140]], y[order[:140]]
    elif data == "lost pixels":
        x[rng.integers(0, rows, 5), 4, 4] = np.nan
    if labels == "sorted table":
        y = np.sort(y)
    elif labels == "from one":
        y, vy = y + 1, vy + 1
    elif labels == "hurried":
        y = np.where((rng.random(rows) < 0.55) & (y < 6), y + 1, y)
    return x, y, vx, vy


def measure(model, loader, criterion, mode=False):
    model.train(mode)
    total, good, seen = 0.0, 0.0, 0
    with torch.no_grad():
        for x, y in loader:
            out = model(x)
            total += criterion(out, y).item() * len(y)
            good += (out.argmax(1) == y).sum().item()
            seen += len(y)
    return {"loss": total / seen, "acc": good / seen}


def train(
    seed,
    doctor,
    *,
    lr=0.15,
    opt="sgd",
    decay=5e-4,
    epochs=9,
    batch=32,
    rows=320,
    plan="cosine",
    data="",
    labels="",
    scale=standard,
    later=None,
    augment=shifted,
    init="he",
    loss="ce",
    smooth=0.0,
    weighted=False,
    clip=None,
    every=1,
    zero=True,
    frozen=False,
    reshuffle=False,
    val_mode=False,
    ema=False,
    patience=0,
    **net,
):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y, vx, vy = collect(rng, rows, data, labels)
    train_set, later = Pictures(x, y, scale, augment, rng), later or scale
    loader = DataLoader(train_set, batch, shuffle=data != "by kind", drop_last=True)
    val_loader = DataLoader(Pictures(vx, vy, later), 140)

    model = CrystalNet(**net)
    initialise(model, init)
    if frozen:
        model.stem[0].requires_grad_(False)
    params = [p for p in model.parameters() if p.requires_grad]
    if opt == "sgd":
        optimizer = torch.optim.SGD(params, lr, momentum=0.9, nesterov=True, weight_decay=decay)
    else:
        optimizer = torch.optim.AdamW(params, lr, weight_decay=decay)
    if plan == "one cycle":
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * len(loader) + 1)
    elif plan == "falling":
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.6)
    else:
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    weights = torch.tensor(len(y) / (7.0 * np.bincount(y)), dtype=torch.float32) if weighted else None
    ce = nn.CrossEntropyLoss(label_smoothing=smooth, weight=weights)
    criterion = {
        "ce": ce,
        "soft": lambda out, y: ce(out.softmax(1), y),
        "columns": lambda out, y: F.nll_loss(out.log_softmax(0), y),
        "capped": lambda out, y: ce(out, y).clamp(max=1.5),
    }[loss]
    judged = model
    if ema:
        mean = torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
        judged = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=mean, use_buffers=True)

    doctor.on_start(model, optimizer, criterion, loader)
    best, kept, bad = float("inf"), None, 0
    for _ in range(epochs):
        model.train()
        if reshuffle:
            train_set.x = train_set.x[rng.permutation(len(train_set))]
        total = 0.0
        for i, (xb, yb) in enumerate(loader):
            value = criterion(model(xb), yb)
            (value / every).backward()
            total += value.item()
            if (i + 1) % every:
                continue
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            if zero:
                optimizer.zero_grad()
            if plan != "cosine":
                schedule.step()
            if ema:
                judged.update_parameters(model)
            doctor.on_step(value, (xb, yb))
        if plan == "cosine":
            schedule.step()
        val = measure(judged, val_loader, criterion, val_mode)
        doctor.on_epoch({"loss": total / len(loader)}, val)
        if patience and val["loss"] < best:
            best, bad, kept = val["loss"], 0, copy.deepcopy(model.state_dict())
        bad += 1
        if patience and bad > patience:
            break
    if kept:
        model.load_state_dict(kept)
    fresh = DataLoader(Pictures(*microscope(np.random.default_rng(seed + 999), 400), later), 200)
    return Outcome(measure(judged, fresh, nn.CrossEntropyLoss())["acc"], val["acc"])


CASES, add = cases("crystals", train)
add("plain")
add("adamw", opt="adamw", lr=2e-2, decay=1e-2)
add("smoothed labels", smooth=0.1)
add("raw greys", scale=raw)
add("accumulated", batch=16, every=2, epochs=6, lr=0.2)
add("frozen stem", frozen=True)
add("one cycle, clipped", plan="one cycle", lr=0.3, clip=2.0)
add("moving average", ema=True)
add("dropout, weighted", drop=0.1, weighted=True)
add("patient", patience=4)

add("rate x30", "O01 O08", lr=3.0)
add("rate / 1000", "O02", lr=1e-4)
add("falls per batch", "O04", plan="falling")
add("never zeroed", "O05", zero=False)
add("clip 1e-3", "O11", clip=1e-3)
add("lost pixels", "D01 O08", exact=True, data="lost pixels")
add("one kind", "D02 D04", data="one kind")
add("by kind", "D03", data="by kind")
add("sorted split", "D04", data="sorted split")
add("repeats", "D06", data="repeats")
add("pictures reshuffled", "L01 L02", reshuffle=True)
add("sorted table", "L02 L01", labels="sorted table")
add("hurried", "L04", labels="hurried")
add("from one", "L05", exact=True, labels="from one", outputs=8)
add("raw, no norm", "P01 O01 O08", scale=raw, norm="none")
add("negatives", "P02", scale=negative, later=standard)
add("turned", "P03", augment=turned)
add("low offsets", "A02", init="low")
add("no activation", "A03", act=nn.Identity)
add("pooled the wrong way", "A04", pool="first")
add("huge weights", "I03 O01 O08 I04", init=2.0, norm="none")
add("softmax twice", "S02", exact=True, loss="soft")
add("over columns", "S03", exact=True, loss="columns")
add("capped", "S07", loss="capped")
add("few pictures", "R01 D04", rows=32, batch=16, epochs=40, augment=None)
add("decay 0.3", "R02", decay=0.3)
add("checked in train mode", "E01", exact=True, val_mode=True)
add("norm memory 0.001", "E05", momentum=0.001)
