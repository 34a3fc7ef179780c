"""Motor insurance: the yearly premium from a policy's columns, brands and regions through embeddings."""

import copy
import itertools
from functools import partial

import numpy as np
import torch
from case import Outcome, cases
from torch import nn

CATS = {"region": 18, "make": 24, "body": 6, "use": 4}
NUMS = ["age", "power", "mileage", "value", "claims_free", "fee"]
Table = dict[str, np.ndarray]


def policies(n: int, rng: np.random.Generator) -> Table:
    world = np.random.default_rng(77)
    effect = {c: world.normal(0, 0.3, k) for c, k in CATS.items()}
    t = {c: rng.integers(0, k, n) for c, k in CATS.items()}
    t["age"] = rng.uniform(18, 85, n)
    t["power"] = rng.gamma(9, 10, n)
    t["mileage"] = rng.gamma(4, 4000, n)
    t["value"] = 150 * t["power"] * rng.lognormal(0.4, 0.4, n)
    t["claims_free"] = rng.integers(0, 15, n).astype(float)
    t["fee"] = rng.uniform(20, 60, n)
    risk = sum(effect[c][t[c]] for c in CATS)
    risk += 0.9 * ((t["age"] - 48) / 30) ** 2 + 0.004 * (t["power"] - 90) - 0.03 * t["claims_free"]
    risk += 0.25 * np.sin(t["mileage"] / 5000) * (t["age"] < 45)
    t["premium"] = 500 * np.exp(risk + rng.normal(0, 0.16, n))
    return t


def take(t: Table, rows: np.ndarray) -> Table:
    return {c: v[rows] for c, v in t.items()}


def matrix(t: Table, names: list[str]) -> np.ndarray:
    return np.stack([t[c] for c in names], axis=1)


class Tariff(nn.Module):
    def __init__(self, hidden=(64, 32), emb=6, drop=0.05, norm="bn", out=None, stacked=False, skip=()):
        super().__init__()
        self.emb = nn.ModuleDict({c: nn.Embedding(k, emb) for c, k in CATS.items()})
        self.used = [i for i, c in enumerate(CATS) if c not in skip]
        self.stacked = stacked
        sizes = [emb * len(self.used) + len(NUMS), *hidden]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(sizes):
            layers.append(nn.Linear(a, b))
            if norm:
                layers.append(nn.BatchNorm1d(b) if norm == "bn" else nn.LayerNorm(b))
            layers += [nn.ReLU(), nn.Dropout(drop)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(sizes[-1], 1)
        self.out = out() if out else nn.Identity()

    def forward(self, cat, num):
        names = list(CATS)
        parts = [self.emb[names[i]](cat[:, i]) for i in self.used]
        e = torch.stack(parts).view(len(cat), -1) if self.stacked else torch.cat(parts, dim=1)
        return self.out(self.head(self.body(torch.cat([e, num], dim=1))))


def r2(pred: torch.Tensor, y: torch.Tensor) -> float:
    return float(1 - ((pred - y) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def train(
    seed,
    doctor,
    epochs=22,
    batch=64,
    lr=4e-3,
    opt=torch.optim.Adam,
    wd=1e-5,
    rows=2000,
    table=None,
    scale="std",
    val_scale=None,
    unit=None,
    order="random",
    join=None,
    regroup=None,
    init=None,
    squeeze=True,
    accum=1,
    clip=1e6,
    sched=None,
    sched_at="epoch",
    trained="all",
    eval_mode=True,
    clamp=None,
    metric="r2",
    ema=0.0,
    patience=None,
    weighted=False,
    **net,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    t = policies(rows + 500, rng)
    fresh = policies(1500, np.random.default_rng(seed + 9000))
    if table:
        t = table(t, rng)

    t = take(t, rng.permutation(len(t["premium"])))
    va, tr = take(t, np.arange(500)), take(t, np.arange(500, len(t["premium"])))
    if order == "listed":
        tr = take(tr, np.argsort(tr["premium"]))
    live = dict(fresh)
    if table is commission:
        live["fee"] = np.full_like(live["fee"], tr["fee"].mean())

    ref = matrix(tr, NUMS)

    def numbers(part: Table, how: str) -> torch.Tensor:
        x = matrix(part, NUMS)
        ways = {"std": (x - ref.mean(0)) / ref.std(0), "minmax": (x - x.min(0)) / np.ptp(x, 0), "raw": x}
        return torch.tensor(ways[how], dtype=torch.float32)

    def split(part: Table, how: str) -> list[torch.Tensor]:
        target = torch.tensor((part["premium"] - mean) / std, dtype=torch.float32)
        return [torch.tensor(matrix(part, list(CATS))), numbers(part, how), target]

    mean, std = unit or (float(tr["premium"].mean()), float(tr["premium"].std()))
    cat, num, y = split(tr, scale)
    vcat, vnum, vy = split(va, val_scale or scale)
    if join == "position":
        y = y[torch.randperm(len(y))]

    model = Tariff(**net)
    if init:
        model.apply(init)
    params = list((model.head if trained == "head" else model).parameters())
    optimizer = opt(params, lr=lr, weight_decay=wd)
    schedule = sched and sched(optimizer)
    criterion = nn.HuberLoss(reduction="none" if weighted else "mean")
    average = copy.deepcopy(model)
    best, best_state, bad, report = -1e9, None, 0, 0.0

    with doctor.watching(model, optimizer, criterion):
        n = 0
        for epoch in range(epochs):
            model.train()
            if epoch == regroup:
                by = num[:, NUMS.index("mileage")].argsort()
                num, cat = num[by], cat[by]
            perm = torch.arange(len(y)) if order == "listed" else torch.randperm(len(y))
            for start in range(0, len(y), batch):
                i = perm[start : start + batch]
                pred = model(cat[i], num[i])
                value = criterion(pred.squeeze(1) if squeeze else pred, y[i])
                if weighted:
                    w = 1 + 0.5 * (cat[i, 3] == 0)
                    value = (value * w).sum() / w.sum()
                if clamp is not None:
                    value = value.clamp(*clamp)
                (value / accum).backward()
                n += 1
                if n % accum == 0:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                    optimizer.step()
                    optimizer.zero_grad()
                    if ema:
                        for name, a in average.state_dict().items():
                            a.copy_(ema * a + (1 - ema) * model.state_dict()[name])
                if sched_at == "batch":
                    schedule.step()
            if schedule and sched_at == "epoch":
                schedule.step()
            model.train(not eval_mode)
            with torch.no_grad():
                vp = model(vcat, vnum).squeeze(1)
                vloss = nn.functional.huber_loss(vp, vy).item()
            report = r2(vp, vy)
            if metric == "units":
                report = 1 - float(((vp - vy) ** 2).mean()) / va["premium"].var()
            print(f"{epoch:3d} {float(value):.4f} {vloss:.4f} R2 {report:.3f}")
            if patience:
                bad += 1
                if report > best:
                    best, best_state, bad = report, copy.deepcopy(model.state_dict()), 0
                if bad >= patience:
                    break

    if best_state:
        model.load_state_dict(best_state)
        report = best
    final = (average if ema else model).eval()
    lcat, lnum, ly = split(live, val_scale or scale)
    with torch.no_grad():
        true = r2(final(lcat, lnum).squeeze(1), ly)
    return Outcome(max(0.0, true), max(0.0, report))


def commission(t, rng):
    return {**t, "fee": 0.12 * t["premium"] * rng.normal(1, 0.01, len(t["premium"]))}


def monthly(t, rng):
    return {**t, "premium": t["premium"] / np.where(rng.random(len(t["premium"])) > 0.35, 1, 12)}


def renewals(t, rng):
    n = len(t["premium"])
    return take(t, rng.integers(0, n // 12, n))


def start_at(std=None, bias=0.0):
    def init(m):
        if isinstance(m, nn.Linear) and m.out_features > 1:
            nn.init.constant_(m.bias, bias)
            if std:
                nn.init.normal_(m.weight, std=std)

    return init


S = torch.optim.lr_scheduler
sgd = partial(torch.optim.SGD, momentum=0.9)
CASES, add = cases("tariffs", train)
add("plain")
add("adamw no norm", opt=torch.optim.AdamW, norm="", wd=1e-2)
add("sgd cosine", opt=sgd, lr=0.05, sched=lambda o: S.CosineAnnealingLR(o, 22))
add("onecycle per batch", sched=lambda o: S.OneCycleLR(o, 0.01, total_steps=750), sched_at="batch")
add("accumulates four", batch=32, accum=4)
add("clipped", clip=0.5, drop=0.0)
add("ema", ema=0.95)
add("early stopping", epochs=40, patience=8)
add("target in hundreds", unit=(0.0, 500.0))
add("weighted layer norm", weighted=True, norm="ln", batch=37)
add("listed by premium", "D03", order="listed")
add("renewals", "D06", table=renewals, norm="", drop=0.0, wd=0.0, hidden=(128, 64))
add("commission column", "D07", table=commission)
add("regrouped by mileage", "L01", regroup=8)
add("joined by position", "L02 L01", join="position")
add("monthly premiums", "L04", table=monthly)
add("raw columns", "P01", scale="raw", norm="", opt=sgd, lr=1e-2)
add("live min max", "P02", val_scale="minmax")
add("premium in euros", "P04", unit=(0.0, 1.0), lr=1e-3)
add("relu far off", "A02", norm="", init=start_at(bias=-8.0))
add("stacked view", "A04", exact=True, stacked=True)
add("forgot brands", "A08", exact=True, skip=("make", "region"))
add("wide layers", "I03", init=start_at(std=3.0), norm="")
add("sigmoid out", "S04", out=nn.Sigmoid)
add("column minus row", "S05", squeeze=False, exact=True)
add("clamped loss", "S07", clamp=(0.3, None), norm="")
add("lr 2", "O01 O08", lr=2.0, norm="")
add("schedule per batch", "O04", sched=lambda o: S.StepLR(o, 3, 0.5), sched_at="batch")
add("head only", "O06", trained="head")
add("few rows", "R01 D04", rows=60, norm="", drop=0.0, wd=0.0, epochs=150, hidden=(256, 128))
add("drop most", "R02", drop=0.9)
add("val in train mode", "E01", exact=True, eval_mode=False, drop=0.2)
add("metric in two units", "E04", metric="units")
