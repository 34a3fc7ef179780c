"""Remaining life of battery cells, in cycles, from ten measurements in as many units."""

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import FunctionTransformer, RobustScaler, StandardScaler
from torch import nn
from torch.optim import lr_scheduler as S
from torch.utils.data import DataLoader, TensorDataset

COLUMNS = [
    "capacity_mah",
    "soh",
    "resistance_mohm",
    "temp_c",
    "depth_pct",
    "rate_c",
    "top_mv",
    "rest_h",
    "cycles",
    "leak_ua",
]
AT = {name: i for i, name in enumerate([*COLUMNS, "hours_to_swap", "life"])}
LIFE = AT["life"]


def cells(n, rng, noise=0.16):
    soh, temp, depth = rng.uniform(0.72, 1.0, n), rng.uniform(-5, 50, n), rng.uniform(20, 100, n)
    rate, top = rng.gamma(4, 0.3, n), rng.normal(4150, 40, n)
    resistance = 18 + 60 * (1 - soh) + rng.normal(0, 3, n)
    cycles = 4000 * (1.02 - soh) * rng.uniform(0.7, 1.3, n)
    fresh = 1 / (1 + np.exp(-22 * (soh - 0.84)))
    climate = np.exp(-(((temp - 22) / 17) ** 2))
    wear = 1.3 - 0.006 * depth - 0.12 * (rate - 1.2) - 0.002 * (top - 4150)
    life = 2000 * (fresh * (0.25 + climate) * wear + noise * rng.normal(size=n)).clip(0.005, 1.95)
    return np.column_stack(
        [
            rng.normal(3200, 250, n),
            soh,
            resistance,
            temp,
            depth,
            rate,
            top,
            rng.exponential(6, n),
            cycles,
            np.exp(rng.normal(1, 0.5, n)),
            life * 2.4 + rng.normal(0, 60, n),
            life,
        ]
    )


class Net(nn.Module):
    def __init__(
        self, n_in, width=48, depth=2, act=nn.ReLU, drop=0.0, norm=None, head=None, front=None, join=None
    ):
        super().__init__()
        layers = [front(n_in)] if front else []
        for i in range(depth):
            layers.append(nn.Linear(width if i else n_in, width))
            layers += [norm(width)] if norm else []
            layers += [act()] if act else []
            layers += [nn.Dropout(drop)] if drop else []
        self.body, self.out, self.join = nn.Sequential(*layers), nn.Linear(width, 1), join
        self.head = head

    def forward(self, x):
        h = self.body(x)
        h = self.join(h) if self.join else h
        return self.head(self.out(h)) if self.head else self.out(h)


def tensor(a):
    return torch.tensor(np.asarray(a), dtype=torch.float32)


def train(
    seed,
    doctor,
    *,
    epochs=11,
    batch=32,
    lr=6e-3,
    decay=1e-2,
    opt=None,
    sched=None,
    per_epoch=False,
    loss_fn=None,
    net=None,
    init=None,
    rows=None,
    train_rows=None,
    val_rows=None,
    split=None,
    reshuffle=None,
    scaler=StandardScaler,
    target=StandardScaler,
    prep_train=None,
    prep_val=None,
    columns=COLUMNS,
    shuffle=True,
    clip=None,
    accum=1,
    zero=True,
    eval_mode=True,
    tie=None,
    patience=None,
):
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    table = cells(1360, rng)
    table = rows(table, rng) if rows else table
    tr, va = split(table) if split else train_test_split(table, test_size=0.25, random_state=seed)
    tr = train_rows(tr.copy(), rng) if train_rows else tr
    va = val_rows(rng) if val_rows else va
    columns = [AT[name] for name in columns]
    xs, ys = scaler().fit(tr[:, columns]), target().fit(tr[:, [LIFE]])
    prep = lambda f: tensor(xs.transform(f[:, columns]))  # noqa: E731
    x = prep_train(xs, tr[:, columns]) if prep_train else prep(tr)
    data = TensorDataset(tensor(x), tensor(ys.transform(tr[:, [LIFE]])))
    loader = DataLoader(data, batch_size=batch, shuffle=shuffle)
    xv = tensor(prep_val(xs, va[:, columns])) if prep_val else prep(va)
    yv, life_v = tensor(ys.transform(va[:, [LIFE]])), va[:, LIFE]

    model = Net(len(columns), **(net or {}))
    if init:
        model.apply(init)
    if tie:
        tie(model)
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = opt(params) if opt else torch.optim.AdamW(params, lr=lr, weight_decay=decay)
    if sched:
        scheduler = sched(optimizer)
    else:
        total = epochs * max(1, len(loader) // accum)
        scheduler = S.OneCycleLR(optimizer, max_lr=lr, total_steps=total + 1)
    loss_fn = loss_fn or nn.HuberLoss()

    def predict(m, rows_x):
        with torch.no_grad():
            return m(rows_x).reshape(-1, 1)

    doctor.on_start(model, optimizer, loss_fn, loader)
    best, bad, r2 = np.inf, 0, 0.0
    for epoch in range(epochs):
        model.train()
        if reshuffle and epoch:
            reshuffle(data)
        seen = []
        for i, (xb, yb) in enumerate(loader):
            loss = loss_fn(model(xb), yb)
            (loss / accum).backward()
            seen.append(loss.item())
            if (i + 1) % accum:
                continue
            if clip:
                nn.utils.clip_grad_norm_(params, clip)
            optimizer.step()
            if zero:
                optimizer.zero_grad()
            if not per_epoch:
                scheduler.step()
            doctor.on_step(loss, (xb, yb))
        if per_epoch:
            scheduler.step()

        if eval_mode:
            model.eval()
        out = predict(model, xv)
        val_loss = F.huber_loss(out, yv).item()
        guess = np.nan_to_num(ys.inverse_transform(out.numpy())).ravel()
        r2, mae = float(r2_score(life_v, guess)), mean_absolute_error(life_v, guess)
        doctor.on_epoch({"loss": float(np.mean(seen))}, {"loss": val_loss, "r2": r2, "mae": float(mae)})
        best, bad = (val_loss, 0) if val_loss < best else (best, bad + 1)
        if patience and bad >= patience:
            break

    model.eval()
    fresh = cells(1500, np.random.default_rng(seed + 10_000))
    fresh[:, AT["hours_to_swap"]] = np.median(table[:, AT["hours_to_swap"]])
    guess = np.nan_to_num(ys.inverse_transform(predict(model, prep(fresh)).numpy())).ravel()
    return Outcome(float(np.clip(r2_score(fresh[:, LIFE], guess), 0, 1)), float(np.clip(r2, 0, 1)))


def weights(fill, bias=None):
    def init(m):
        if isinstance(m, nn.Linear):
            fill(m.weight)
            if bias is not None:
                nn.init.constant_(m.bias, bias)

    return init


def edit(share, column, change):
    def spoil(table, rng):
        hit = rng.random(len(table)) < share
        table[hit, AT[column]] = change(table[hit, AT[column]])
        return table

    return spoil


def shuffle_inputs(data):
    data.tensors = (data.tensors[0][torch.randperm(len(data))], data.tensors[1])


def freeze_first(model):
    for p in model.body[0].parameters():
        p.requires_grad_(False)


def half(table):
    middle = np.median(table[:, LIFE])
    return table[table[:, LIFE] < middle], table[table[:, LIFE] >= middle]


def sgd(lr, **kw):
    return lambda ps: torch.optim.SGD(ps, lr=lr, **{"momentum": 0.9, **kw})


CASES, add = cases("batteries", train)
huber, raw, flat = nn.HuberLoss(), FunctionTransformer, nn.Flatten(0)
add("plain")
add("missing resistance", "D01", exact=True, rows=edit(0.02, "resistance_mohm", lambda c: np.nan))
add(
    "sorted by life",
    "D03",
    shuffle=False,
    train_rows=lambda d, r: d[d[:, LIFE].argsort()],
    opt=sgd(0.1),
    sched=lambda o: S.ConstantLR(o, 1.0),
)
add("worn cells only", "D04", split=half)
add("lab cells as validation", "D05", val_rows=lambda r: cells(120, r, noise=0.0))
add("repeats before split", "D06", rows=lambda d, r: d[r.integers(0, 110, 1360)], net={"width": 128}, decay=0)
add("hours to swap kept", "D07", columns=[*COLUMNS, "hours_to_swap"])
add("inputs reshuffled", "L01", reshuffle=shuffle_inputs)
add("shifted join", "L02 L01 L03", rows=edit(1.0, "life", lambda c: np.roll(c, 1)))
add("used for remaining", "L04", train_rows=edit(0.35, "life", lambda c: 2000 - c))
add("raw inputs", "P01", scaler=raw)
add("scaled twice", "P02", prep_train=lambda s, f: s.transform(s.transform(f)))
add("validation unscaled", "P02", exact=True, prep_val=lambda s, f: f)
add("raw target", "P04", target=raw, lr=1e-3)
add("bias -4", "A02", init=weights(nn.init.xavier_normal_, -4.0))
add("no activation", "A03", exact=True, net={"act": None})
add("constant init", "I01", init=weights(lambda w: nn.init.constant_(w, 0.1), 0.0))
add("relu head", "S04", exact=True, net={"head": nn.ReLU()})
add("flat output", "S05", exact=True, net={"head": flat})
add("capped loss", "S07", loss_fn=lambda o, y: huber(o, y).clamp(max=0.15))
add("rate x100", "O01 A02", lr=0.6)
add("rate /60", "O02 R03", lr=1e-4)
add("decay per batch", "O04", sched=lambda o: S.ExponentialLR(o, 0.8))
add("no zero_grad sgd", "O05", exact=True, zero=False, opt=sgd(0.05), lr=0.05)
add("body detached", "O10", exact=True, net={"join": lambda h: h.detach()})
add("forty rows", "R01 D04", train_rows=lambda d, r: d[:40], net={"width": 128}, decay=0, epochs=90)
add("decay 60", "R02", decay=60.0)
add("no eval, dropout", "E01", exact=True, eval_mode=False, net={"drop": 0.3})
add("slow momentum", "E05", net={"norm": lambda w: nn.BatchNorm1d(w, momentum=1e-4)})

add("mse loss", loss_fn=nn.MSELoss())
add("sgd", opt=sgd(0.08, nesterov=True), lr=0.08)
add(
    "rmsprop cosine",
    opt=lambda ps: torch.optim.RMSprop(ps, 2e-3),
    per_epoch=True,
    sched=lambda o: S.CosineAnnealingLR(o, 11),
)
add("accumulate 2, batch 16", batch=16, accum=2, epochs=8)
add("odd batch, clip 1", batch=37, clip=1.0)
add("dropout 0.1", net={"drop": 0.1, "width": 64})
add("norm at the door", scaler=raw, net={"front": nn.BatchNorm1d})
add("robust inputs, gelu", scaler=RobustScaler, net={"act": nn.GELU})
add("first layer frozen", tie=freeze_first, net={"width": 160})
add("early stop", patience=4, epochs=13, lr=4e-3, sched=lambda o: S.LambdaLR(o, lambda t: 1.0))
add(
    "weights by life",
    loss_fn=lambda o, y: (F.huber_loss(o, y, reduction="none") * (1.5 - y.tanh() / 2)).mean(),
)
