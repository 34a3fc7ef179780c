"""Handwritten digits of 8x8 pixels, a plain ReLU network, SGD with momentum and a step schedule."""

import numpy as np
import torch
from case import Outcome, cases
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, StepLR
from torch.utils.checkpoint import checkpoint

ACTS = {"relu": nn.ReLU, "leaky": nn.LeakyReLU, "tanh": nn.Tanh}


class Net(nn.Module):
    def __init__(self, sizes, act="relu", drop=0.0, out=10, end="", spare=False, save=False):
        super().__init__()
        layers = []
        for a, b in zip((64, *sizes), sizes, strict=False):
            layers += [nn.Linear(a, b), ACTS[act]()]
            layers += [nn.Dropout(drop)] if drop else []
        self.body = nn.Sequential(*layers)
        if spare:
            self.middle = nn.Linear(sizes[-1], sizes[-1])
        self.head = nn.Linear(sizes[-1], out)
        self.end, self.save = end, save

    def forward(self, x):
        h = checkpoint(self.body, x, use_reentrant=False) if self.save else self.body(x)
        out = self.head(h)
        return out.softmax(1) if self.end == "softmax" else out


def reset(model, how):
    for m in model.modules():
        if isinstance(m, nn.Linear):
            if how.startswith("std"):
                nn.init.normal_(m.weight, std=float(how.split()[1]))
            elif how.startswith("bias") and m.out_features != 10:
                nn.init.constant_(m.bias, float(how.split()[1]))


def train(
    seed,
    doctor,
    *,
    rows=1000,
    copies=1,
    val_rows=300,
    split="random",
    keep_others=0,
    holes=0,
    wrong=0.0,
    wrong_pair=False,
    first_label=0,
    scale=16.0,
    centre=False,
    val_centre=True,
    train_scale=0.0,
    augment="",
    sizes=(64, 32),
    act="relu",
    drop=0.0,
    out=10,
    end="",
    spare=False,
    save=False,
    init="",
    loss="ce",
    smooth=0.0,
    weighted=False,
    opt="sgd",
    lr=0.05,
    momentum=0.9,
    decay=1e-4,
    sched="step",
    sched_in="epoch",
    batch=32,
    epochs=16,
    order="shuffle",
    zero=True,
    part="all",
    freeze=0,
    accumulate=1,
    clip=0.0,
    patience=0,
    eval_mode=True,
):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    data, target = load_digits(return_X_y=True)
    mix = rng.permutation(len(data))
    data, target = data[mix], target[mix]
    x_test, y_test = data[:450] / scale, target[:450]
    data, target = data[450:], target[450:]
    if copies > 1:
        few = rng.permutation(np.tile(np.arange(rows // copies), copies + 1))
        data, target = data[few], target[few]
    if split == "by label":
        by = np.argsort(target, kind="stable")
        data, target = data[by], target[by]
    x, y, x_val, y_val = data[:rows], target[:rows], data[-val_rows:], target[-val_rows:]
    if keep_others:
        keep = np.ones(len(y), bool)
        for c in range(1, 10):
            keep[np.where(y == c)[0][keep_others:]] = False
        x, y = x[keep], y[keep]
    x, x_val = x / (train_scale or scale), x_val / scale
    if centre:
        mean, std = x.mean(0), x.std(0) + 1e-2
        x, x_test = (x - mean) / std, (x_test - mean) / std
        x_val = (x_val - mean) / std if val_centre else x_val
    if wrong:
        bad = rng.random(len(y)) < wrong
        y = np.where(bad, rng.integers(0, 10, len(y)), y)
    if wrong_pair:
        y = y[np.argsort(x.sum(1))]
    if holes:
        x[rng.choice(len(x), holes, replace=False), rng.integers(64)] = np.nan
    if order == "by label":
        by = np.argsort(y, kind="stable")
        x, y = x[by], y[by]
    x, x_val, x_test = (torch.tensor(a, dtype=torch.float32) for a in (x, x_val, x_test))
    y, y_val, y_test = (torch.tensor(a) + first_label for a in (y, y_val, y_test))

    model = Net(sizes, act, drop, out, end, spare, save)
    reset(model, init)
    for p in list(model.parameters())[:freeze]:
        p.requires_grad = False
    params = (model.head if part == "head" else model).parameters()
    if opt == "sgd":
        optimizer = torch.optim.SGD(params, lr=lr, momentum=momentum, weight_decay=decay)
    else:
        optimizer = torch.optim.Adam(params, lr=lr, weight_decay=decay)
    warm = lambda t: min(1.0, (t + 1) / 4) * (1 - t / epochs)  # noqa: E731
    scheduler = {
        "step": lambda: StepLR(optimizer, 8, 0.3),
        "cosine": lambda: CosineAnnealingLR(optimizer, epochs),
        "warm": lambda: LambdaLR(optimizer, warm),
        "none": lambda: LambdaLR(optimizer, lambda t: 1.0),
    }[sched]()
    weight = torch.bincount(y, minlength=out).float().clamp(min=1).rsqrt() if weighted else None
    loss_fn = {
        "ce": nn.CrossEntropyLoss(weight=weight, label_smoothing=smooth),
        "sum": nn.CrossEntropyLoss(reduction="sum"),
    }[loss]

    def evaluate():
        with torch.no_grad():
            logits = model(x_val)
            return loss_fn(logits, y_val).item(), (logits.argmax(1) == y_val).float().mean().item()

    with doctor.watching(model, optimizer):
        best, wait, acc = 1e9, 0, 0.0
        for _epoch in range(epochs):
            model.train()
            turn = torch.randperm(len(x)) if order == "shuffle" else torch.arange(len(x))
            for i, at in enumerate(turn.split(batch)):
                if zero and i % accumulate == 0:
                    optimizer.zero_grad()
                xb, yb = x[at], y[at]
                if augment == "noise":
                    xb = xb + 0.1 * torch.randn_like(xb)
                elif augment == "roll":
                    shift = rng.integers(-4, 5, 2).tolist()
                    xb = xb.view(-1, 8, 8).roll(shift, (1, 2)).flip(int(rng.integers(1, 3))).flatten(1)
                value = loss_fn(model(xb), yb)
                (value / accumulate).backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if (i + 1) % accumulate == 0:
                    optimizer.step()
                if sched_in == "batch":
                    scheduler.step()
            if sched_in == "epoch":
                scheduler.step()
            if eval_mode:
                model.eval()
            val_loss, acc = evaluate()
            best, wait = (val_loss, 0) if val_loss < best else (best, wait + 1)
            if patience and wait >= patience:
                break

    model.eval()
    with torch.no_grad():
        score = (model(x_test).argmax(1) == y_test).float().mean().item()
    return Outcome(score, acc)


CASES, add = cases("pixels_mlp", train)
add("plain")
add("raw pixels", scale=1.0, lr=0.005)
add("standardised", centre=True, lr=0.02)
add("adam, cosine", opt="adam", lr=3e-3, sched="cosine")
add("warm-up, linear decay", sched="warm", lr=0.1)
add("accumulation of 4", batch=8, accumulate=4)
add("clipping at 1, checkpointing", clip=1.0, save=True)
add("smoothing, weights", smooth=0.1, weighted=True)
add("dropout, long", drop=0.3, epochs=24)
add("first layer frozen", freeze=2, sizes=(128, 32))
add("early stopping, noise", patience=4, epochs=30, augment="noise")
add("tanh without momentum", act="tanh", momentum=0.0, lr=0.3)

add("holes", "D01", holes=5)
add("mostly zeros", "D02", keep_others=1, val_rows=100, epochs=40)
add("no shuffle", "D03", order="by label")
add("split by label", "D04", split="by label")
add("copies before split", "D06 R01", copies=25)
add("labels by brightness", "L02", wrong_pair=True)
add("labels 40% wrong", "L04", wrong=0.4, lr=0.1, epochs=40, decay=0.0, sizes=(128, 64), sched="none")
add("labels 60% wrong", "L04", wrong=0.6, lr=0.1, epochs=40, decay=0.0, sizes=(128, 64), sched="none")
add("labels from 1", "L05", exact=True, first_label=1, out=11)
add("bytes", "P01 O01", scale=16 / 255)
add("val not standardised", "P02", exact=True, centre=True, lr=0.02, val_centre=False)
add("rolled and flipped", "P03", augment="roll")
add("biases of -3", "A02", init="bias -3")
add("spare layer", "A08", exact=True, spare=True)
add("init of 2", "I03", init="std 2")
add("softmax and loss", "S02", exact=True, end="softmax")
add("loss summed", "S07 O01", loss="sum")
add("rate x10", "O01", lr=0.5)
add("rate x100", "O01 O08", lr=5.0)
add("rate /500", "O02 R03", lr=1e-4)
add("schedule per batch", "O04", exact=True, sched_in="batch")
add("never zeroed", "O05", exact=True, zero=False)
add("body left out", "O06", exact=True, part="head", sizes=(16, 8))
add("clip of 1e-3", "O11", clip=1e-3)
add("forty rows", "R01", rows=40, batch=20, epochs=120, decay=0.0, sched="none")
add("decay of 0.3", "R02", decay=0.3)
add("three epochs", "R03", epochs=3, lr=0.01)
add("validated with dropout", "E01", exact=True, eval_mode=False, drop=0.4)
