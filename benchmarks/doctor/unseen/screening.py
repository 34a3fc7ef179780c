"""Screening for a thyroid disorder from one visit's measurements: an MLP on a table."""

import copy
import itertools

import numpy as np
import torch
from case import Outcome, cases
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

Frame = dict[str, np.ndarray]
COLUMNS = ["age", "bmi", "systolic", "glucose", "crp", "tsh", "ferritin", "platelets", "pulse", "smoker"]
CUTS = {0.25: 1.4, 0.03: 5.0}


def cohort(rng: np.random.Generator, n: int, prevalence: float = 0.25, spread: float = 0.9) -> Frame:
    z = rng.normal(size=(n, 10))
    z[:, 8] = 0.5 * z[:, 0] + 0.87 * z[:, 8]
    smoker = (z[:, 9] > 0.7).astype(float)
    risk = 1.2 * (z[:, 5] ** 2 - 1) + 0.9 * z[:, 0] + 0.8 * z[:, 1] * z[:, 3] + 0.7 * z[:, 4] + 0.6 * smoker
    cut = CUTS[prevalence]
    risk = risk + spread * rng.normal(size=n)
    return {
        "age": 52 + 12 * z[:, 0],
        "bmi": 27 + 4.5 * z[:, 1],
        "systolic": 128 + 16 * z[:, 2],
        "glucose": 5.4 + 0.8 * z[:, 3],
        "crp": 3 + z[:, 4],
        "tsh": 2.2 + 0.7 * z[:, 5],
        "ferritin": 120 + 45 * z[:, 6],
        "platelets": 250_000 + 60_000 * z[:, 7],
        "pulse": 72 + 9 * z[:, 8],
        "smoker": smoker,
        "risk": risk,
        "diagnosis": (risk > cut).astype(int),
        "followups": np.zeros(n),
    }


def take(frame: Frame, rows) -> Frame:
    return {name: column[rows] for name, column in frame.items()}


def table(frame: Frame, columns: list[str]) -> np.ndarray:
    return np.stack([frame[c] for c in columns], 1)


def balanced(truth: np.ndarray, guess: np.ndarray) -> float:
    return float(np.mean([(guess[truth == k] == k).mean() for k in (0, 1) if (truth == k).any()]))


class Rows(Dataset):
    def __init__(self, frame: Frame, columns: list[str], mean: np.ndarray, std: np.ndarray):
        self.frame, self.columns, self.mean, self.std = frame, columns, mean, std

    def __len__(self) -> int:
        return len(self.frame["age"])

    def __getitem__(self, i: int):
        rows = (table(self.frame, self.columns) - self.mean) / self.std
        return torch.tensor(rows[i], dtype=torch.float32), torch.tensor(float(self.frame["diagnosis"][i]))


class Screener(nn.Module):
    def __init__(self, inputs: int, hidden=(32, 16), act=nn.ReLU, bn=True, drop=0.1, last=None):
        super().__init__()
        self.first = nn.Linear(inputs, hidden[0])
        self.norm = nn.BatchNorm1d(hidden[0]) if bn else nn.Identity()
        self.act, self.drop = act(), nn.Dropout(drop)
        sizes = list(itertools.pairwise(hidden))
        self.hidden = nn.Sequential(*[m for a, b in sizes for m in (nn.Linear(a, b), act())])
        self.out = nn.Linear(hidden[-1], 1)
        self.last = last() if last else nn.Identity()

    def forward(self, x):
        h = self.drop(self.act(self.norm(self.first(x))))
        return self.last(self.out(self.hidden(h)))


def weighted_nll(z, y, w):
    return -(w * y * F.logsigmoid(z) + (1 - y) * F.logsigmoid(-z)).mean()


def train(
    seed,
    doctor,
    n=1200,
    prevalence=0.25,
    epochs=20,
    batch=64,
    lr=3e-3,
    wd=1e-4,
    optim="adam",
    patience=6,
    weighted=True,
    split="rows",
    edit=None,
    edit_train=None,
    leak=False,
    scale="std",
    val_scale=None,
    relabel=None,
    init=None,
    own=None,
    squeeze=True,
    loss_fn=None,
    sched=None,
    parts=None,
    every=1,
    clip=None,
    metric=None,
    monitor="loss",
    smooth=0.0,
    slow=False,
    val_rows=500,
    **net,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    frame = cohort(rng, n + val_rows, prevalence)
    if leak:
        frame["followups"] = frame["diagnosis"] * (1.0 + rng.poisson(4, n + val_rows))
    columns = COLUMNS + (["followups"] if leak else [])
    frame = edit(frame, rng) if edit else frame
    frame = take(frame, rng.permutation(len(frame["age"]))) if split == "rows" else frame
    fit, val = take(frame, slice(None, -val_rows)), take(frame, slice(-val_rows, None))
    fit = edit_train(fit, rng) if edit_train else fit
    known = table(fit, columns)
    mean, std = known.mean(0), known.std(0) + 1e-6
    if scale == "raw":
        mean, std = mean * 0, std * 0 + 1

    def prepare(rows: Frame, how=None) -> np.ndarray:
        x = table(rows, columns)
        if how == "twice":
            x = (x - mean) / std
        return ((x - mean) / std).astype(np.float32)

    target = fit["diagnosis"].astype(np.float32)
    vx, vy = torch.from_numpy(prepare(val, val_scale)), val["diagnosis"].astype(np.float32)
    if relabel:
        target, vy = relabel(target), relabel(vy)
    tensors = TensorDataset(torch.from_numpy(prepare(fit)), torch.from_numpy(target))
    data = Rows(fit, columns, mean, std) if slow else tensors
    loader = DataLoader(data, batch, shuffle=True, drop_last=len(target) > batch)
    model = Screener(len(columns), **net)
    if init:
        init(model)
    weights = (getattr(model, parts) if parts else model).parameters()
    if optim == "sgd":
        optimizer = torch.optim.SGD(weights, lr=lr, momentum=0.9, weight_decay=wd)
    else:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}
        optimizer = kind[optim](weights, lr=lr, weight_decay=wd)
    schedule = sched(optimizer) if sched else None
    ratio = torch.tensor(float((target == 0).sum() / max(target.sum(), 1)) if weighted else 1.0)
    bce = nn.BCEWithLogitsLoss(pos_weight=ratio)

    def criterion(z, y):
        if own:
            return own(z.squeeze(1) if squeeze else z, y, ratio)
        return (loss_fn or bce)(z, y.unsqueeze(1))

    best, kept, reported, waited = float("inf"), copy.deepcopy(model.state_dict()), 0.5, 0
    with doctor.watching(model, optimizer):
        for _ in range(epochs):
            model.train()
            for i, (x, y) in enumerate(loader):
                if i % every == 0:
                    optimizer.zero_grad()
                y = y * (1 - smooth) + 0.5 * smooth if smooth else y
                loss = criterion(model(x), y)
                (loss / every).backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if (i + 1) % every == 0:
                    optimizer.step()
            if schedule:
                schedule.step()
            model.eval()
            with torch.no_grad():
                logits = model(vx)
                val_loss = criterion(logits, torch.from_numpy(vy)).item()
            guess = (torch.sigmoid(logits) > 0.5).float().squeeze(1).numpy()
            guess = metric(logits, vy) if metric else guess
            acc = balanced(vy, guess)
            now = val_loss if monitor == "loss" else -acc
            if now < best:
                best, kept, reported, waited = now, copy.deepcopy(model.state_dict()), acc, 0
            elif (waited := waited + 1) > patience:
                break
    model.load_state_dict(kept)
    model.eval()
    clean = cohort(np.random.default_rng(seed + 1000), 3000)
    with torch.no_grad():
        logits = model(torch.from_numpy(prepare(clean))).squeeze(1)
    guess = torch.where(torch.isfinite(logits), (torch.sigmoid(logits) > 0.5).float(), torch.nan).numpy()
    return Outcome(balanced(clean["diagnosis"], guess), reported)


def every_linear(what):
    return lambda model: [what(m) for m in model.modules() if isinstance(m, nn.Linear)]


def by(name):
    return lambda f, rng: take(f, np.argsort(f[name], kind="stable"))


def rejoined(order):
    return lambda f, rng: {**f, "diagnosis": f["diagnosis"][order(f)]}


def unmeasured(f, rng):
    return {**f, "crp": np.where(rng.random(len(f["crp"])) < 0.05, np.nan, f["crp"])}


def mislabel(share):
    def edit(f, rng):
        hit = rng.random(len(f["age"])) < share
        return {**f, "diagnosis": np.where(hit, 1 - f["diagnosis"], f["diagnosis"])}

    return edit


CASES, add = cases("screening", train)
add("plain")
add("momentum", optim="sgd", lr=0.05)
add("adamw cosine", optim="adamw", wd=1e-2, sched=lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20))
add("clipped", clip=1.0)
add("accumulated", batch=32, every=2)
add("no batch norm", bn=False)
add("dropout", drop=0.3)
add("smoothed labels", smooth=0.1)
add("odd batch", batch=37, act=nn.SiLU)
add("own loss", own=weighted_nll, optim="rmsprop", lr=1e-3)

add("crp missing", "D01", edit=unmeasured)
add("rare, unweighted", "D02", prevalence=0.03, weighted=False)
add("sorted then split", "D04 D02", split="ordered", edit=by("diagnosis"))
add(
    "repeat visits",
    "D06",
    edit=lambda f, r: take(f, np.repeat(np.arange(170), 10)),
    hidden=(128, 64),
    wd=0.0,
    drop=0.0,
)
add("follow-ups column", "D07", leak=True)
add("registry order", "L02 L01", edit=rejoined(lambda f: np.argsort(f["age"])))
add("40 % mislabelled", "L04 L02", edit=mislabel(0.4))
add("coded 1 and 2", "L05", relabel=lambda y: y + 1)
add("raw units", "P01", scale="raw")
add("scaled twice", "P02", exact=True, val_scale="twice")
add("biases to prior", "A02 I04", init=every_linear(lambda m: nn.init.constant_(m.bias, -6.0)))
add("no activation", "A03", act=nn.Identity)
add("one unit", "A07 A02", hidden=(1, 1))
add("all zeros", "I01", init=every_linear(lambda m: [nn.init.zeros_(p) for p in m.parameters()]))
add("huge weights", "I03", bn=False, init=every_linear(lambda m: nn.init.normal_(m.weight, std=8.0)))
add("sigmoid twice", "S01", last=nn.Sigmoid)
add("column against row", "S05", own=weighted_nll, squeeze=False)
add("cross entropy", "S06 S07", loss_fn=nn.CrossEntropyLoss())
add("rate x300", "O01", lr=1.0)
add("rate / 1000", "O02", lr=3e-6)
add("head only", "O06", parts="out", exact=True)
add("deep sigmoid", "O07 A01", hidden=(16,) * 14, act=nn.Sigmoid, bn=False)
add("clipped to nothing", "O11", optim="sgd", lr=0.05, clip=1e-3)
add("steps every 32", "O12", every=32)
add(
    "sixty patients",
    "R01 D04",
    edit_train=lambda f, r: take(f, slice(60)),
    hidden=(256, 128),
    monitor="acc",
    patience=99,
    epochs=60,
)
add("dropout .95", "R02", drop=0.95)
add("truth as guess", "E04 R03", monitor="acc", metric=lambda z, y: y, patience=2)
add("table row by row", "E06", exact=True, slow=True, epochs=6)
