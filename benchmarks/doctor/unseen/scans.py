"""Small scans: an 8x8 digit somewhere on a larger noisy canvas, a CNN with BatchNorm, SGD with momentum."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from case import Outcome, cases
from sklearn.datasets import load_digits

SIDE = 12


def place(digits, rng, noise=0.12, corner=None):
    """Each digit at a random place of a canvas with speckle, a gain of its own and a line or two."""
    n = len(digits)
    scans = np.abs(rng.normal(0, noise, (n, SIDE, SIDE)))
    for i, digit in enumerate(digits):
        r, c = corner or rng.integers(1, 4, 2)
        scans[i, r : r + 8, c : c + 8] += digit.reshape(8, 8) / 16 * rng.uniform(0.6, 1.0)
        if rng.random() < 0.3:
            scans[i, rng.integers(SIDE)] += 0.3
    return torch.tensor(scans, dtype=torch.float32).unsqueeze(1)


def jitter(x, y):
    dr, dc = torch.randint(-1, 2, (2,)).tolist()
    return torch.roll(x, (dr, dc), (2, 3)) + 0.05 * torch.randn_like(x), y


def flips(x, y):
    quarter = int(torch.randint(0, 4, (1,)))
    x = torch.rot90(x, quarter, (2, 3))
    return (x.flip(3) if torch.rand(()) < 0.5 else x), y


def crop(x, y):
    r, c = torch.randint(0, SIDE - 4, (2,)).tolist()
    out = torch.zeros_like(x)
    out[:, :, r : r + 4, c : c + 4] = x[:, :, r : r + 4, c : c + 4]
    return out, y


def mixup(x, y):
    lam, other = float(torch.rand(()) * 0.2), torch.randperm(len(x))
    return (1 - lam) * x + lam * x[other], y


class Net(nn.Module):
    def __init__(self, act=nn.ReLU, norm=nn.BatchNorm2d, width=10, drop=0.1, deep=0, neck=None, ends=None):
        super().__init__()
        w = width
        layers = [nn.Conv2d(1, w, 3, padding=1), norm(w), act(), nn.MaxPool2d(2)]
        layers += [nn.Conv2d(w, 2 * w, 3, padding=1), norm(2 * w), act(), nn.MaxPool2d(2)]
        for _ in range(deep):
            layers += [nn.Conv2d(2 * w, 2 * w, 3, padding=1), act()]
        self.body = nn.Sequential(*layers)
        hidden = neck or 48
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(18 * w, hidden),
            act(),
            nn.Dropout(drop),
            nn.Linear(hidden, 10),
            *([ends] if ends else []),
        )

    def forward(self, x):
        return self.head(self.body(x))


def train(
    seed,
    doctor,
    *,
    n=896,
    epochs=12,
    batch=32,
    lr=0.05,
    momentum=0.9,
    wd=5e-4,
    plan="cosine",
    every="epoch",
    accum=1,
    clip=None,
    opt="sgd",
    augment=jitter,
    loss_fn=F.cross_entropy,
    order="random",
    keep=None,
    wrong=None,
    late=False,
    noisy=0.0,
    hint=None,
    scale=1.0,
    repeat=1,
    val_rows=200,
    val_corner=None,
    val_noise=0.12,
    init=None,
    freeze=(),
    give="",
    quiet=False,
    val_quiet=True,
    hits=None,
    zero=True,
    still=False,
    cut=False,
    **net,
):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed + 100)
    digits, target = load_digits(return_X_y=True)
    mixed = rng.permutation(len(digits))
    digits, target = digits[mixed], target[mixed]
    fresh, digits = digits[-500:], digits[:-500]
    fresh_y, target = torch.tensor(target[-500:]), torch.tensor(target[:-500])
    scans, fresh = place(digits, rng), place(fresh, rng)

    held = torch.arange(len(scans)) >= n
    x, y = scans[:n], target[:n]
    vx, vy = scans[held][:val_rows], target[held][:val_rows]
    if val_corner:
        vx = place(digits[n : n + val_rows], rng, val_noise, val_corner)
    if repeat > 1:
        x, y = x.repeat(repeat, 1, 1, 1), y.repeat(repeat)
        pick = torch.randperm(len(x))
        x, y = x[pick], y[pick]
        cutoff = len(x) * 4 // 5
        vx, vy, x, y = x[cutoff:], y[cutoff:], x[:cutoff], y[:cutoff]
    if keep:
        rows, val_kept = keep(y), keep(vy) if order != "train only" else slice(None)
        x, y, vx, vy = x[rows], y[rows], vx[val_kept], vy[val_kept]
    if hint:
        hint(x, y), hint(vx, vy)
    if wrong:
        y = wrong(y)
    if noisy:
        y = torch.where(torch.rand(len(y)) < noisy, (y + 1) % 10, y)
    if order == "by class":
        rows = torch.argsort(y, stable=True)
        x, y = x[rows], y[rows]
    x = x * scale
    labels = y.clone()

    model = Net(**net)
    if init:
        model.apply(init)
    for part in freeze:
        model.body[part].requires_grad_(False)
    given = getattr(model, give) if give else model
    weights = [p for p in given.parameters() if p.requires_grad]
    if opt == "sgd":
        optimizer = torch.optim.SGD(weights, lr=lr, momentum=momentum, weight_decay=wd)
    else:
        optimizer = getattr(torch.optim, opt)(weights, lr=lr)
    steps = epochs * (1 if every == "epoch" else -(-len(x) // batch))
    S = torch.optim.lr_scheduler
    if plan == "cosine":
        schedule = S.CosineAnnealingLR(optimizer, steps)
    elif plan == "onecycle":
        schedule = S.OneCycleLR(optimizer, lr, total_steps=steps + 1)
    elif plan == "step":
        schedule = S.StepLR(optimizer, 4, 0.2)
    else:
        schedule = S.LambdaLR(optimizer, lambda s: 1.0)

    doctor.on_start(model, optimizer, loss_fn, None)
    for epoch in range(epochs):
        model.eval() if quiet else model.train()
        rows = torch.arange(len(x)) if order == "by class" else torch.randperm(len(x))
        if late and epoch >= 2:
            x = x[torch.randperm(len(x))]
        total = 0.0
        for k, pick in enumerate(rows.split(batch), 1):
            bx, by = x[pick], labels[pick]
            if augment:
                bx, by = augment(bx, by)
            out = model.head(model.body(bx).detach()) if cut else model(bx)
            loss = loss_fn(out, by)
            (loss / accum).backward()
            total += loss.item() * len(pick)
            if k % accum == 0:
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if not still:
                    optimizer.step()
                if zero:
                    optimizer.zero_grad()
                doctor.on_step(loss, (bx, by))
            if every == "batch":
                schedule.step()
        if every == "epoch":
            schedule.step()
        model.train(not val_quiet)
        with torch.no_grad():
            out = model(vx)
            val_loss = loss_fn(out, vy).item()
            val_acc = (hits or (lambda s, t: (s.argmax(1) == t).float().mean()))(out, vy).item()
        doctor.on_epoch({"loss": total / len(x)}, {"loss": val_loss, "acc": val_acc})

    model.eval()
    with torch.no_grad():
        score = (model(fresh).argmax(1) == fresh_y).float().mean().item()
    return Outcome(score, val_acc)


def start(std=None, bias=None):
    def change(m):
        if std is not None and isinstance(m, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(m.weight, std=std)
        if bias is not None and isinstance(m, nn.Linear):
            nn.init.constant_(m.bias, bias)

    return change


def stamp(x, y):
    for i, c in enumerate(y.tolist()):
        x[i, 0, 0, c] = 4.0


CASES, add = cases("scans", train)
add("plain")
add("nearly all zeros", "D02", keep=lambda y: (y == 0) | (torch.rand(len(y)) < 0.02), epochs=30)
add("by class", "D03", order="by class")
add("digits under seven", "D04", keep=lambda y: y < 7, order="train only")
add("val from one drawer", "D05", n=400, val_rows=15, val_corner=(2, 2), val_noise=0.01)
add("repeat then split", "D06", n=90, repeat=8)
add("half mislabelled", "L04", noisy=0.55)
add("training scans 0-255", "P02", scale=255.0)
add("flips and turns", "P03", augment=flips)
add("low biases", "A02", init=start(bias=-8))
add("no activation", "A03", exact=True, act=nn.Identity)
add("wide weights", "I03", init=start(std=3))
add("softmax last", "S02", exact=True, ends=nn.Softmax(1))
add("rate 50x", "O01", lr=5.0)
add("rate /1000", "O02", lr=2e-5)
add("step plan per batch", "O04", plan="step", every="batch")
add("no zero_grad", "O05", zero=False)
add("clip 0.001", "O11", clip=1e-3)
add("deep sigmoid", "O07 A01", act=nn.Sigmoid, deep=6)
add("sixty scans", "R01 D04", n=60, epochs=30)
add("decay 0.3", "R02", wd=0.3)
add("batches of 2", "R04", exact=True, batch=2, n=200, epochs=8, lr=0.01)
add("val in train mode", "E01", exact=True, val_quiet=False)
add("quiet training", "E02 E05", quiet=True)
add("top three", "E04", n=250, hits=lambda s, t: (s.topk(3).indices == t[:, None]).any(1).float().mean())
add("adam", opt="Adam", lr=2e-3)
add("onecycle", plan="onecycle", every="batch", lr=0.15)
add("accumulate 4", accum=4, batch=8)
add("clipped at 1", clip=1.0)
add("smoothed", loss_fn=lambda s, t: F.cross_entropy(s, t, label_smoothing=0.1))
add("mixup", augment=mixup)
add("raw units", augment=None)
add("weighted", loss_fn=lambda s, t: F.cross_entropy(s, t, weight=torch.linspace(0.8, 1.5, 10)))
add("odd batch 37, step plan", batch=37, plan="step")
