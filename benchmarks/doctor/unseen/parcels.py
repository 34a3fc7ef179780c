"""Letter, economy, standard, express or freight: measures, three categories, an MLP."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

SIZES = (8, 4, 5)  # depot, customer, content
SIDE = np.array([1, -1, 1, 1, -1, -1, 1, -1])


def book(n: int, rng: np.random.Generator):
    kg, side = rng.lognormal(1.0, 0.8, n), rng.lognormal(3.3, 0.35, (n, 3))
    volume = side.prod(1)
    km = rng.gamma(2.0, 300.0, n)
    value = 100 * rng.lognormal(4.0, 1.0, n)
    hours, insured = rng.uniform(6, 120, n), rng.uniform(0, 50, n)
    depot, customer, content = (rng.integers(0, k, n) for k in SIZES)
    b = (np.log(np.maximum(kg, volume / 9000)) - 1.45) / 0.65
    h, d, v = (hours - 63) / 33, (km - 600) / 420, (np.log(value) - 8.6)
    u = np.stack(
        [
            -2.2 * b + 0.8 * (customer == 0) - 0.6,
            2.0 * h * SIDE[depot] - 0.4 * v,
            1.1 - 1.0 * b * b + 0.8 * (content < 2) - 0.5 * d,
            -2.0 * h * SIDE[depot] + 0.5 * d * (customer > 1),
            2.2 * b + 1.0 * (content == 4) - 0.6,
        ],
        1,
    ) + rng.normal(0, 0.35, (n, 5))
    num = np.stack([kg, side[:, 0], volume, km, value, hours, insured], 1)
    return num, np.stack([depot, customer, content], 1), u.argmax(1)


class Net(nn.Module):
    def __init__(
        self,
        n_num=7,
        width=64,
        drop=0.1,
        act=nn.ReLU,
        join="cat",
        entry=None,
        norm=False,
        outputs=5,
        last=None,
        dim=4,
        save=False,
    ):
        super().__init__()
        self.join, self.last, self.save = join, last, save
        self.entry = nn.BatchNorm1d(n_num, momentum=entry) if entry else None
        self.embs = nn.ModuleList(nn.Embedding(k, dim) for k in SIZES)
        wide = n_num + (0 if join == "numbers" else 3 * dim)
        layers: list[nn.Module] = []
        for a in (wide, width):
            layers += [nn.Linear(a, width)] + ([nn.BatchNorm1d(width)] if norm else [])
            layers += [act(), nn.Dropout(drop)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, outputs)

    def forward(self, num, cat):
        x = self.entry(num) if self.entry is not None else num
        if self.join != "numbers":
            parts = [e(cat[:, i]) for i, e in enumerate(self.embs)]
            c = torch.cat(parts, 1) if self.join == "cat" else torch.stack(parts).view(len(num), -1)
            x = torch.cat([x, c], 1)
        h = checkpoint(self.body, x, use_reentrant=False) if self.save else self.body(x)
        out = self.head(h)
        return out if self.last is None else self.last(out)


def start_weights(model, how):
    for m in model.modules():
        if isinstance(m, nn.Linear):
            if how == "zeros":
                nn.init.zeros_(m.weight)
                nn.init.zeros_(m.bias)
            elif how == "wide":
                nn.init.normal_(m.weight, 0, 4.0)
            elif how == "negative":
                nn.init.constant_(m.bias, -6.0)


def train(
    seed,
    doctor,
    rows=1600,
    epochs=15,
    batch=64,
    lr=4e-3,
    opt="adamw",
    wd=1e-2,
    scale="standard",
    drift=None,
    labels="",
    noise=0.0,
    pick="",
    order=True,
    copies=1,
    holes=False,
    late=False,
    jitter=0.0,
    net=None,
    weights="",
    loss="ce",
    smooth=0.0,
    weighted=False,
    clip=0.0,
    every=1,
    sched="",
    refit=False,
    frozen=False,
    ema=0.0,
    patience=0,
    count="sum",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    num, cat, y = book(rows + 500 if pick != "rare" else 5 * rows, rng)
    if copies > 1:
        twice = rng.permutation(np.repeat(np.arange(len(y)), copies))
        num, cat, y = num[twice], cat[twice], y[twice]
    if late:
        num[:, 6] = 60 * y + rng.uniform(0, 50, len(y))
    if pick == "rare":
        keep = (y == 2) | (rng.random(len(y)) < 0.006)
        num, cat, y = num[keep], cat[keep], y[keep]
    elif pick == "by depot":
        o = np.argsort(cat[:, 0], kind="stable")
        num, cat, y = num[o], cat[o], y[o]
    if holes:
        num[rng.random(len(y)) < 0.02, 4] = np.nan
    if labels == "other sort":
        y = y[np.argsort(num[:, 3])]
    elif labels == "from one":
        y = np.clip(y + 1, 0, 4)
    if noise:
        wrong = rng.random(len(y)) < noise
        y = np.where(wrong, (y + rng.integers(1, 5, len(y))) % 5, y)
    cut = len(y) - (len(y) // 5 if pick == "rare" else 500)
    if pick == "by class":
        o = np.r_[np.argsort(y[:cut], kind="stable"), cut : len(y)]
        num, cat, y = num[o], cat[o], y[o]
    mean, std = np.nanmean(num[:cut], 0), np.nanstd(num[:cut], 0)

    def ready(a, how=scale):
        if how == "raw":
            return torch.tensor(a, dtype=torch.float32)
        z = (a - mean) / std
        return torch.tensor((z - mean) / std if how == "again" else z, dtype=torch.float32)

    xt, ct, yt = ready(num[:cut], drift or scale), torch.tensor(cat[:cut]), torch.tensor(y[:cut])
    xv, cv, yv = ready(num[cut:]), torch.tensor(cat[cut:]), torch.tensor(y[cut:])
    loader = DataLoader(TensorDataset(xt, ct, yt), batch_size=batch, shuffle=order)
    model = Net(**(net or {}))
    start_weights(model, weights)
    model.embs.requires_grad_(not frozen)
    share = torch.bincount(yt, minlength=5).float().clamp(min=1)
    ce = nn.CrossEntropyLoss(share.mean() / share if weighted else None, label_smoothing=smooth)

    def loss_fn(out, t):
        return F.mse_loss(out.squeeze(1), t.float()) if loss == "number" else ce(out, t)

    params = [p for p in model.parameters() if p.requires_grad]
    make = {
        "adamw": lambda: torch.optim.AdamW(params, lr=lr, weight_decay=wd),
        "sgd": lambda: torch.optim.SGD(params, lr=lr, momentum=0.9, nesterov=True),
        "rmsprop": lambda: torch.optim.RMSprop(params, lr=lr),
    }
    optimizer, total = make[opt](), epochs * len(loader)
    if refit:
        model.body[0] = nn.Linear(model.body[0].in_features, model.body[0].out_features)
        model.head = nn.Linear(model.head.in_features, 5)
    sched_fn = {
        "": lambda o: None,
        "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, total),
        "onecycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, lr, total),
        "decay": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.7),
    }[sched](optimizer)
    shadow = copy.deepcopy(model) if ema else model
    best, waited, kept, acc = float("inf"), 0, None, 0.0

    def read(out):
        return out.squeeze(1).round().clamp(0, 4).long() if loss == "number" else out.argmax(1)

    doctor.on_start(model, optimizer, loss_fn, loader)
    for epoch in range(epochs):
        model.train()
        if labels == "resort" and epoch == 2:
            by_km = xt[:, 3].argsort()
            loader = DataLoader(TensorDataset(xt[by_km], ct[by_km], yt), batch_size=batch, shuffle=True)
        seen = 0.0
        for i, (xb, cb, yb) in enumerate(loader):
            xb = xb + jitter * torch.randn_like(xb) if jitter else xb
            value = loss_fn(model(xb, cb), yb)
            (value / every).backward()
            if clip:
                nn.utils.clip_grad_norm_(params, clip)
            if (i + 1) % every == 0:
                optimizer.step()
                optimizer.zero_grad()
            if sched_fn is not None:
                sched_fn.step()
            if ema:
                for s, p in zip(shadow.parameters(), model.parameters(), strict=True):
                    s.data.lerp_(p.data, 1 - ema)
            doctor.on_step(value, (xb, cb, yb))
            seen += value.item() * len(yb)
        shadow.eval()
        with torch.no_grad():
            out = shadow(xv, cv)
            vloss = loss_fn(out, yv).item()
            hits = torch.eq(read(out), yv)
            acc = (hits.sum().item() if count == "sum" else hits.numel()) / len(yv)
        doctor.on_epoch({"loss": seen / len(yt)}, {"loss": vloss, "acc": acc})
        if patience:
            waited = 0 if vloss < best else waited + 1
            if vloss < best:
                best, kept = vloss, copy.deepcopy(shadow.state_dict())
            if waited >= patience:
                break
    if kept is not None:
        shadow.load_state_dict(kept)
    shadow.eval()
    num, cat, y = book(1500, np.random.default_rng(seed + 1000))
    with torch.no_grad():
        score = (read(shadow(ready(num), torch.tensor(cat))) == torch.tensor(y)).float().mean().item()
    return Outcome(score, acc)


CASES, add = cases("parcels", train)
add("plain")
add("sgd one-cycle", opt="sgd", lr=0.15, sched="onecycle")
add("raw with an entry norm", scale="raw", net={"entry": 0.1})
add("label smoothing", smooth=0.1)
add("weighted classes", weighted=True)
add("accumulate over two", every=2, batch=32)
add("frozen embeddings, clip", frozen=True, clip=1.0)
add("odd batch, rmsprop", batch=37, opt="rmsprop", lr=1.5e-3)
add("ema of weights", ema=0.97)
add("patience of four", patience=4, epochs=30)
add("checkpointed, batch norm, cosine", net={"save": True, "norm": True}, sched="cosine", epochs=10)
add("tanh, half dropped", net={"act": nn.Tanh, "drop": 0.4, "width": 96})
add("value not filled in", "D01", exact=True, holes=True)
add("mostly standard", "D02", pick="rare")
add("in service order", "D03", pick="by class", order=False, opt="sgd", lr=0.05)
add("in depot order", "D04", pick="by depot", rows=300)
add("doubled before the split", "D06", exact=True, rows=-180, copies=6)
add("insured after the fact", "D07", late=True)
add("resort by km", "L01", labels="resort")
add("other sort", "L02", labels="other sort")
add("wrong service 40%", "L04", noise=0.4)
add("services from one", "L05", labels="from one")
add("as exported", "P01", scale="raw")
add("scaled again", "P02", drift="again")
add("jitter", "P03", jitter=2.5)
add("stacked", "A04", exact=True, net={"join": "stack"})
add("numbers only", "A08", exact=True, net={"join": "numbers"})
add("negative bias", "A02", weights="negative")
add("zeros", "I01", weights="zeros")
add("wide", "I03", weights="wide")
add("softmax", "S02", exact=True, net={"last": nn.Softmax(1)})
add("number", "S06", loss="number", net={"outputs": 1})
add("rate x100", "O01", lr=0.4)
add("rate /200", "O02", lr=2e-5)
add("decay per batch", "O04", sched="decay")
add("refit", "O06", exact=True, refit=True)
add("few rows", "R01 D04", rows=80, epochs=60, wd=0.0, net={"drop": 0.0})
add("dropped 90", "R02", net={"drop": 0.93})
add("slow entry norm", "E05", scale="raw", net={"entry": 1e-4})
add("numel", "E04", count="numel")
