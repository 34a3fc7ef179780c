"""Handwritten numerals, 8x8: a small CNN, momentum SGD with StepLR, batches cut by hand."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from sklearn.datasets import load_digits
from torch import nn


class Net(nn.Module):
    def __init__(self, width=8, act=nn.ReLU, p=0.25, out=10, fold="rows"):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.act, self.pool, self.drop, self.fold = act(), nn.MaxPool2d(2), nn.Dropout(p), fold
        self.head = nn.Linear(2 * width * 16, out)

    def forward(self, x):
        h = self.pool(self.act(self.conv2(self.act(self.conv1(x)))))
        if self.fold == "columns":
            h = h.transpose(0, 1)
        return self.head(self.drop(h.reshape(len(x), -1)))


def set_weights(model, std=None, bias=0.0):
    for m in model.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            nn.init.constant_(m.bias, bias)
            if std is not None:
                nn.init.normal_(m.weight, std=std)


def prepare(x, how):
    if how in ("raw", "sensor"):
        return x if how == "raw" else x * 20 + 800
    if how == "inverted":
        return 1 - x / 16
    if how == "standard":
        return (x - x.mean()) / x.std()
    if how == "pixel":
        return (x - x.mean(0)) / x.std(0)
    return x / 16


def stamp(x, y):
    x = x.clone()
    x[torch.arange(len(x)), 0, 7 * (y // 5), 1 + y % 5] = 80.0
    return x


def augment(x, how, rng):
    if how == "shift":
        return torch.roll(x, rng.integers(-1, 2, 2).tolist(), (2, 3))
    if how == "flip":
        x = torch.stack([torch.rot90(image, int(rng.integers(4)), (1, 2)) for image in x])
        return x.flip(3) if rng.random() < 0.5 else x
    return x


def load(seed, rows="all", labels="ok", noise=0.0, val_rows="all", stamped=False):
    rng = np.random.default_rng(seed)
    d = load_digits()
    order = rng.permutation(len(d.target))
    x = torch.from_numpy(d.images[order].astype("float32"))[:, None]
    y = torch.from_numpy(d.target[order].astype("int64"))
    xtr, ytr, xva, yva, xte, yte = x[:1300], y[:1300], x[1300:1550], y[1300:1550], x[1550:], y[1550:]
    if rows == "skewed":
        few = torch.cat([torch.where(ytr == k)[0][: 120 if k == 3 else 1] for k in range(10)])
        few = few.repeat(10)[torch.from_numpy(rng.permutation(10 * len(few)))]
        xtr, ytr = xtr[few], ytr[few]
    elif rows == "sorted":
        xtr, ytr = xtr[torch.argsort(ytr, stable=True)], ytr.sort(stable=True).values
    elif rows == "low":
        xtr, ytr = xtr[ytr < 7], ytr[ytr < 7]
    elif rows == "copies":
        o = torch.from_numpy(rng.permutation(40 * 39) % 40)
        xtr, ytr, xva, yva = xtr[o[:1300]], ytr[o[:1300]], xtr[o[1300:]], ytr[o[1300:]]
    elif rows == "few":
        xtr, ytr = xtr[:40], ytr[:40]
    if val_rows == "zeros":
        xva, yva = xva[yva == 0], yva[yva == 0]
    if labels == "joined":
        ytr = ytr[torch.from_numpy(rng.permutation(len(ytr)))]
    if labels == "from one":
        ytr = ytr + 1
    if noise:
        hit = torch.from_numpy(rng.random(len(ytr)) < noise)
        ytr = torch.where(hit, (ytr + torch.from_numpy(rng.integers(1, 4, len(ytr)))) % 10, ytr)
    if stamped:
        xtr, xva = stamp(xtr, ytr), stamp(xva, yva)
    return xtr, ytr, xva, yva, xte, yte


def train(
    seed,
    doctor,
    *,
    lr=0.05,
    epochs=11,
    batch=50,
    opt="sgd",
    nesterov=False,
    decay=1e-4,
    sched="step",
    per_batch=False,
    loss="ce",
    smoothing=0.0,
    weighted=False,
    prep="unit",
    val_prep=None,
    aug=None,
    shuffle="both",
    init=None,
    zero=True,
    late_model=False,
    clip=0.0,
    accumulate=1,
    freeze=False,
    keep_best=False,
    patience=0,
    metric="ok",
    ema=0.0,
    val_mode="eval",
    data=None,
    **net,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed + 1)
    xtr, ytr, xva, yva, xte, yte = load(seed, **(data or {}))
    xtr, xva = prepare(xtr, prep), prepare(xva, val_prep or prep)

    model = Net(**net)
    if init:
        set_weights(model, **init)
    if freeze:
        model.conv1.requires_grad_(False)
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(params, lr=lr, momentum=0.9, weight_decay=decay, nesterov=nesterov)
    if opt == "adam":
        optimizer = torch.optim.Adam(params, lr=lr)
    if late_model:
        model = Net(**net)
    if sched == "onecycle":
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2 * lr, epochs * (len(xtr) // batch))
    elif sched == "cosine":
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    else:
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5)
    weight = 1 / torch.bincount(ytr, minlength=10).float() * len(ytr) / 10 if weighted else None

    def loss_fn(out, y):
        if loss == "probs":
            out = F.softmax(out, 1)
        return F.cross_entropy(out, y, weight=weight, label_smoothing=smoothing)

    average = copy.deepcopy(model) if ema else None
    best, best_state, waited, reported = -1.0, None, 0, 0.0

    doctor.on_start(model, optimizer, loss_fn)
    for epoch in range(epochs):
        model.train()
        order = torch.arange(len(xtr)) if shuffle == "none" else torch.from_numpy(rng.permutation(len(xtr)))
        if shuffle == "x" and epoch > 0:
            xtr = xtr[order]
        total, right, seen = 0.0, 0, 0
        for i in range(len(xtr) // batch):
            rows = order[i * batch : (i + 1) * batch]
            xb, yb = augment(xtr[rows], aug, rng), ytr[rows]
            out = model(xb)
            value = loss_fn(out, yb)
            (value / accumulate).backward()
            if (i + 1) % accumulate == 0:
                if clip:
                    nn.utils.clip_grad_norm_(params, clip)
                optimizer.step()
                if zero:
                    optimizer.zero_grad()
                doctor.on_step(value, (xb, yb))
            if per_batch:
                scheduler.step()
            if average is not None:
                for a, b in zip(average.parameters(), model.parameters(), strict=False):
                    a.data.lerp_(b.data, 1 - ema)
            total, seen = total + value.item(), seen + 1
            right += (out.argmax(1) == yb).float().mean().item()
        if not per_batch:
            scheduler.step()

        if val_mode == "eval":
            model.eval()
        with torch.no_grad():
            out = model(xva)
            val_loss, hits = loss_fn(out, yva).item(), (out.argmax(1) == yva).sum().item()
        reported = float(hits // len(yva)) if metric == "floor" else hits / len(yva)
        doctor.on_epoch({"loss": total / seen, "acc": right / seen}, {"loss": val_loss, "acc": reported})
        waited += 1
        if reported > best:
            best, waited, best_state = reported, 0, copy.deepcopy(model.state_dict())
        if patience and waited >= patience:
            break

    if keep_best:
        model.load_state_dict(best_state)
        reported = best
    model = (average or model).eval()
    scale = prep if prep in ("raw", "sensor", "standard") else "unit"
    with torch.no_grad():
        score = (model(prepare(xte, scale)).argmax(1) == yte).float().mean().item()
    return Outcome(score, reported)


CASES, add = cases("numerals", train)
add("plain")
add("adam, standardised", opt="adam", lr=0.003, prep="standard")
add("cosine", sched="cosine", decay=1e-3)
add("onecycle nesterov", nesterov=True, sched="onecycle", per_batch=True)
add("clipped at 1", clip=1.0)
add("two batches a step", accumulate=2, batch=25)
add("first layer frozen", freeze=True)
add("half dropped, shifted", p=0.5, aug="shift")
add("raw 0 to 16", prep="raw", lr=0.003)
add("smoothed and weighted", smoothing=0.1, weighted=True)
add("batch of 37, patience", batch=37, patience=3, keep_best=True)
add("average of weights", ema=0.97, act=nn.LeakyReLU)

add("rate x8", "O01", lr=0.4)
add("rate /300", "O02", lr=0.00015)
add("pixels standardised", "D01 O08", prep="pixel")
add("mostly threes", "D02 D04", data={"rows": "skewed"})
add("sorted", "D03", data={"rows": "sorted"}, shuffle="none")
add("no 7 8 9", "D04", data={"rows": "low"})
add("validated on zeros", "D05", data={"val_rows": "zeros"}, keep_best=True, lr=0.015)
add("copied then split", "D06", data={"rows": "copies"})
add("stamp", "D07 L03", data={"stamped": True})
add("only x shuffled", "L01 L02", shuffle="x")
add("joined labels", "L02 L01", data={"labels": "joined"})
add("near labels 60", "L04", data={"noise": 0.6})
add("labels from one", "L05", data={"labels": "from one"}, out=11)
add("sensor counts", "P01", prep="sensor")
add("train inverted", "P02", prep="inverted", val_prep="unit")
add("turned", "P03", aug="flip")
add("dead", "A02", init={"bias": -3.0})
add("columns", "A04", fold="columns")
add("zeros", "I01", init={"std": 0.0})
add("std 1", "I03 O01", init={"std": 1.0})
add("softmax twice", "S02", loss="probs")
add("stepped per batch", "O04", per_batch=True)
add("not zeroed", "O05", zero=False)
add("model made again", "O06 O12", late_model=True)
add("40 rows", "R01 D04", data={"rows": "few"}, batch=10, epochs=60)
add("decay", "R02", decay=0.15)
add("val in train mode", "E01", exact=True, val_mode="train", p=0.5)
add("floored metric", "E04", metric="floor", keep_best=True, lr=0.01)
