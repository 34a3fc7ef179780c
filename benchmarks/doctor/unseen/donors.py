"""Who comes back to give blood within half a year: a table of donors, a small MLP, batches by hand."""

import copy
import math

import numpy as np
import torch
from case import Outcome, cases
from torch import nn

COLUMNS = [
    "recency",
    "visits",
    "ml_total",
    "first_visit",
    "age",
    "haemoglobin",
    "pulse",
    "systolic",
    "distance_km",
    "reminders",
    "weekend_share",
    "waiting_min",
]


def donors(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    recency = rng.gamma(2.0, 5.0, n) + 0.3
    visits = 1.0 + rng.poisson(6, n)
    ml_total = visits * 450 + rng.normal(0, 60, n)
    first_visit = recency + visits * rng.uniform(2, 6, n)
    age = rng.uniform(18, 68, n)
    haemoglobin = rng.normal(140, 13, n)
    distance = np.maximum(np.round(rng.lognormal(1.6, 0.8, n) - 1.0, 1), 0.0)
    reminders = rng.integers(0, 6, n).astype(float)
    x = np.stack(
        [
            recency,
            visits,
            ml_total,
            first_visit,
            age,
            haemoglobin,
            rng.normal(72, 9, n),
            rng.normal(124, 13, n),
            distance,
            reminders,
            rng.beta(2, 2, n),
            rng.gamma(4, 6, n),
        ],
        1,
    )
    late, called = (np.log(recency) - 2.05) / 0.75, (reminders - 2.5) / 1.7
    habit = 1.5 * late * called - 1.0 * (((age - 43) / 14.4) ** 2 - 1) + 0.5 * (visits - 7) / 2.45
    z = habit + 0.4 * (haemoglobin - 140) / 13 - 0.6
    y = rng.random(n) < 1 / (1 + np.exp(-5 * z))
    return x, y.astype(float)


class Net(nn.Module):
    def __init__(self, widths=(48, 24), act=nn.ReLU, dropout=0.0, norm_in=0.0, last=None, fixed_body=False):
        super().__init__()
        layers, size = [], len(COLUMNS)
        if norm_in:
            layers.append(nn.BatchNorm1d(size, momentum=norm_in))
        for width in widths:
            layers += [nn.Linear(size, width), act()]
            layers += [nn.Dropout(dropout)] if dropout else []
            size = width
        self.body, self.head = nn.Sequential(*layers), nn.Linear(size, 1)
        self.last, self.fixed_body = last() if last else None, fixed_body

    def forward(self, x):
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.fixed_body):
            h = self.body(x)
        out = self.head(h)
        return self.last(out) if self.last else out


def init_weights(model: nn.Module, weight: float | None, bias: float) -> None:
    for m in model.body:
        if isinstance(m, nn.Linear):
            if weight is not None:
                nn.init.normal_(m.weight, 0.0, weight)
            nn.init.constant_(m.bias, bias)
    if weight is not None:
        nn.init.normal_(model.head.weight, 0.0, weight)


def make_optimizer(name: str, params, lr: float):
    if name == "sgd":
        return torch.optim.SGD(params, lr=lr, momentum=0.9)
    return {"rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam}[name](params, lr=lr)


def read_table(rng, table: str, rows: int, noise: float, missed: float, labels: str):
    """The export of the donor table: columns and whether the donor came back."""
    x, y = donors(1200, rng)
    if table == "first time":
        keep = (y == 0) | (rng.random(len(y)) < 0.03)
        x, y = x[keep], y[keep]
    if table == "per letter":
        pick = rng.integers(0, 110, len(y))
        x, y = x[pick], y[pick]
    if table == "after":
        x[:, 11] = y * rng.gamma(4, 6, len(y))
    y = np.where(rng.random(len(y)) < noise, 1 - y, y)
    y = np.where((y == 1) & (rng.random(len(y)) < missed), 0.0, y)
    if labels == "by name":
        y = y[rng.permutation(len(y))]
    if labels == "codes":
        y = y + 1
    return x[:rows], y[:rows]


def make_prepare(x: np.ndarray):
    """The scalers, fitted on the training rows."""
    middle, spread, low, high = x.mean(0), x.std(0), x.min(0), x.max(0)
    far = COLUMNS.index("distance_km")

    def prepare(rows, how):
        out = rows if how == "raw" else (rows - middle) / spread
        if how == "range":
            out = (rows - low) / (high - low)
        if how == "log":
            with np.errstate(divide="ignore"):
                out[:, far] = np.log(rows[:, far])
        return torch.tensor(out, dtype=torch.float32)

    return prepare


def train(
    seed,
    doctor,
    lr=4e-3,
    opt="adam",
    epochs=25,
    batch=32,
    rows=1200,
    table="",
    noise=0.0,
    missed=0.0,
    labels="",
    scale="standard",
    scale_train="",
    init=None,
    loss="bce",
    pos_weight=1.0,
    smooth=0.0,
    clip=0.0,
    every=1,
    schedule=None,
    reshuffle=False,
    zero=True,
    mode="both",
    rebuild=False,
    ema=0.0,
    keep="last",
    **net,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = read_table(rng, table, rows, noise, missed, labels)
    cut = int(len(x) * 0.75)
    prepare = make_prepare(x[:cut])
    xt, yt = prepare(x[:cut], scale_train or scale), torch.tensor(y[:cut], dtype=torch.float32)
    xv, yv = prepare(x[cut:], scale), torch.tensor(y[cut:], dtype=torch.float32)

    model = Net(**net)
    if init:
        init_weights(model, *init)
    optimizer = make_optimizer(opt, model.parameters(), lr)
    if rebuild:
        model = Net(**net)
    scheduler = None
    if schedule == "cosine":
        steps = math.ceil(len(xt) / batch) * epochs
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    elif schedule == "warm":
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min(1.0, (k + 1) / 80))
    bce = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(pos_weight))

    def compute(out, target):
        target = target * (1 - smooth) + smooth / 2
        if loss == "by hand":
            p = torch.sigmoid(out).clamp(1e-6, 1 - 1e-6)
            return -(target * p.log() + (1 - target) * (1 - p).log()).mean()
        if loss == "robust":
            return bce(out.squeeze(1), target).clamp(max=0.5)
        return bce(out.squeeze(1), target)

    def validate():
        model.eval()
        with torch.no_grad():
            out = model(xv)
            value = bce(out.squeeze(1), yv).item()
        guess = (torch.sigmoid(out.squeeze(1)) > 0.5).float()
        if mode == "both":
            model.train()
        return value, (guess == yv).float().mean().item()

    average = copy.deepcopy(model) if ema else None
    best, state, reported = math.inf, None, 0.0
    with doctor.watching(model, optimizer):
        print("untrained: loss {:.3f} accuracy {:.3f}".format(*validate()))
        for epoch in range(epochs):
            perm = torch.randperm(len(xt))
            if reshuffle and epoch >= 4:
                xt = xt[perm]
            for i, start in enumerate(range(0, len(xt), batch)):
                at = perm[start : start + batch]
                value = compute(model(xt[at]), yt[at]) / every
                value.backward()
                if (i + 1) % every:
                    continue
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                if zero:
                    optimizer.zero_grad()
                if scheduler:
                    scheduler.step()
                if average:
                    for a, b in zip(average.parameters(), model.parameters(), strict=False):
                        a.data.lerp_(b.data, 1 - ema)
            val_loss, accuracy = validate()
            print(f"{epoch:3d}: loss {val_loss:.3f} accuracy {accuracy:.3f}")
            if keep == "last" or val_loss < best:
                best, reported, state = val_loss, accuracy, copy.deepcopy(model.state_dict())
    model.load_state_dict(state)
    final = (average or model).eval()
    fresh, truth = donors(2000, np.random.default_rng(seed + 1000))
    if table == "after":
        fresh[:, 11] = 0.0
    with torch.no_grad():
        said = (final(prepare(fresh, scale)).squeeze(1) > 0).numpy()
    score = (said[truth == 1].mean() + (~said[truth == 0]).mean()) / 2
    return Outcome(float(score), reported)


CASES, add = cases("donors", train)
add("plain")
add("sgd momentum", opt="sgd", lr=0.05)
add("rmsprop", opt="rmsprop", lr=2e-3)
add("cosine, batch 13", schedule="cosine", batch=13, epochs=15)
add("warm-up and clip", schedule="warm", clip=0.5)
add("accumulate 2", every=2, batch=16)
add("dropout", dropout=0.2, widths=(96, 48), epochs=30)
add("raw columns, norm first", scale="raw", norm_in=0.1)
add("smooth and positive weight", smooth=0.1, pos_weight=1.6)
add("average of weights", ema=0.98)
add("tanh, keep best", act=nn.Tanh, keep="best", epochs=30, lr=6e-3)

add("rate x100", "O01", lr=0.4)
add("rate /30", "O02 R03", lr=1.2e-4)
add("no zeroing", "O05", zero=False)
add("accumulate 64", "O12", every=64)
add("net rebuilt", "O06", rebuild=True)
add("body no grad", "O10", fixed_body=True)
add("log of distance", "D01", scale="log")
add("first time only", "D02", table="first time")
add("row per letter", "D06", table="per letter")
add("waiting after", "D07", table="after")
add("reshuffled", "L01", reshuffle=True)
add("by name", "L02 L01", labels="by name")
add("noise 30", "L04", noise=0.3)
add("missed 60", "L04", missed=0.6)
add("codes 1 2", "L05", labels="codes")
add("raw", "P01", scale="raw")
add("range in training", "P02", scale_train="range")
add("wide sigmoid", "I03 A01", act=nn.Sigmoid, init=(6.0, 0.0))
add("zeros", "I01", init=(0.0, 0.0))
add("bias -4", "A02", init=(None, -4.0))
add("straight", "A03", act=nn.Identity)
add("sigmoid end", "S01", last=nn.Sigmoid)
add("by hand", "S05", loss="by hand")
add("robust", "S07", loss="robust")
add("eighty donors", "R01", rows=80, epochs=120, widths=(128, 64))
add("dropout .9", "R02", dropout=0.9)
add("no train", "E02 P01", scale="raw", norm_in=0.1, mode="no train")
add("slow norm", "E05", scale="raw", norm_in=1e-4)
