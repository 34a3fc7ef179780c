"""Six species of a meadow genus, told apart by measurements, habitat and flower colour."""

import copy

import numpy as np
import torch
from case import Outcome, cases
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, RobustScaler, StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SPECIES, HABITATS, COLOURS = 6, 4, 3
SCALERS = {
    "standard": StandardScaler,
    "minmax": MinMaxScaler,
    "robust": RobustScaler,
    "quantile": lambda: QuantileTransformer(n_quantiles=100, output_distribution="normal"),
}


def collect(rng: np.random.Generator, n: int, share: float | None = None):
    """Field book: 8 measurements, habitat, colour and species; each species has two growth forms."""
    key = np.random.default_rng(11)
    centre = 1.45 * key.normal(size=(SPECIES, 2, 6))
    habitat_of = key.dirichlet(np.ones(HABITATS), SPECIES)
    colour_of = key.dirichlet(np.ones(COLOURS), SPECIES)
    p = None if share is None else [share] + [(1 - share) / (SPECIES - 1)] * (SPECIES - 1)
    y = rng.choice(SPECIES, n, p=p)
    z = centre[y, rng.integers(0, 2, n)] + rng.normal(size=(n, 6))
    petal, width, sepal = 42 + 9 * z[:, 0], 11 + 2.5 * z[:, 1], 2.1 + 0.4 * z[:, 2]
    leaf, height, seed = 900 + 300 * z[:, 3], 64 + 18 * z[:, 4], 21000 + 6000 * z[:, 5]
    ph = 6.5 + 0.5 * rng.normal(size=n)
    altitude = 850 + 240 * rng.normal(size=n)
    numbers = np.stack([petal, width, sepal, leaf, height, seed, ph, altitude], 1)
    habitat = np.array([rng.choice(HABITATS, p=habitat_of[k]) for k in y])
    colour = np.array([rng.choice(COLOURS, p=colour_of[k]) for k in y])
    return numbers, np.eye(HABITATS)[habitat], np.eye(COLOURS)[colour], y


class Net(nn.Module):
    def __init__(
        self,
        inputs,
        outputs=SPECIES,
        width=64,
        depth=2,
        act=nn.ReLU,
        drop=0.2,
        norm=None,
        momentum=0.1,
        first_norm=False,
        last=None,
    ):
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm1d(inputs, momentum=momentum)] if first_norm else []
        for i in range(depth):
            layers.append(nn.Linear(inputs if i == 0 else width, width))
            if norm == "layer":
                layers.append(nn.LayerNorm(width))
            layers += [act(), nn.Dropout(drop)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, outputs)
        self.last = last

    def forward(self, x):
        out = self.head(self.body(x))
        return out if self.last is None else self.last(out)


def redraw(model, init):
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            if init == "bias":
                nn.init.constant_(layer.bias, -8.0)
                continue
            nn.init.zeros_(layer.bias)
            nn.init.normal_(layer.weight, 0, init)
    if init == "bias":
        nn.init.zeros_(model.head.bias)


def validate(model, loader, loss_fn, mode="eval"):
    if mode == "eval":
        model.eval()
    total, hits, n = 0.0, 0, 0
    with torch.no_grad():
        for x, y in loader:
            out = model(x)
            total += loss_fn(out, y).item() * len(y)
            hits += (out.argmax(1) == y).sum().item()
            n += len(y)
    return total / n, hits / n


def train(
    seed,
    doctor,
    *,
    rows=1000,
    share=None,
    hold=0.3,
    by_species=False,
    typos=False,
    tag=False,
    twice=0,
    pilot=None,
    join=False,
    wrong=0.0,
    first=0,
    scaler="standard",
    raw=False,
    later="same",
    augment=None,
    net=None,
    init=None,
    loss="ce",
    smooth=0.0,
    weights=False,
    opt="adamw",
    lr=3e-3,
    wd=1e-2,
    opt_kw=None,
    sched="cosine",
    per="epoch",
    batch=32,
    epochs=20,
    clip=None,
    every=1,
    zero=True,
    again_built=False,
    frozen=False,
    back=True,
    mode="eval",
    patience=None,
    ema=None,
):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    numbers, habitat, colour, y = collect(rng, rows, share)
    if typos:
        numbers[rng.choice(rows, 20), 1] *= -1
    prepare = np.log if typos else np.asarray
    sheet = y * 1.0 if tag else None
    if twice:
        again = rng.integers(0, rows, rows * twice)
        numbers, habitat, colour, y = numbers[again], habitat[again], colour[again], y[again]
    place = np.argsort(y, kind="stable") if by_species else rng.permutation(len(y))
    cut = int(len(y) * (1 - hold))
    tr, va = place[:cut], place[cut:]
    if pilot:
        tr = tr[:pilot]
    scale = SCALERS[scaler]().fit(prepare(numbers[tr]))

    def table(values, where, fit, extra=None):
        values = prepare(values) if raw else fit.transform(prepare(values))
        parts = [values, *where] + ([extra[:, None]] if extra is not None else [])
        return torch.tensor(np.hstack(parts), dtype=torch.float32)

    seen = {"same": scale, "own": MinMaxScaler().fit(numbers[va])}[later]
    extra = (lambda ids: sheet[ids]) if tag else (lambda ids: None)
    x_tr = table(numbers[tr], (habitat[tr], colour[tr]), scale, extra(tr))
    x_va = table(numbers[va], (habitat[va], colour[va]), seen, extra(va))
    y_tr, y_va = y[tr].copy(), y[va].copy()
    if join:
        y_tr = y_tr[rng.permutation(len(y_tr))]
    flip = rng.random(len(y_tr)) < wrong
    y_tr[flip] = rng.integers(0, SPECIES, flip.sum())
    y_tr, y_va = torch.tensor(y_tr + first), torch.tensor(y_va + first)
    train_set = TensorDataset(x_tr, y_tr)
    loader = DataLoader(train_set, batch, shuffle=True, drop_last=True)
    val_loader = DataLoader(TensorDataset(x_va, y_va), 128)

    options = {"outputs": SPECIES + first, **(net or {})}
    model = Net(x_tr.shape[1], **options)
    if init is not None:
        redraw(model, init)
    if frozen:
        model.body[0].requires_grad_(False)
    weight = torch.tensor(1 / np.bincount(y[tr])).float() if weights else None
    loss_fn = nn.NLLLoss() if loss == "nll" else nn.CrossEntropyLoss(weight, label_smoothing=smooth)
    params = [p for p in model.parameters() if p.requires_grad]
    kind = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop}[opt]
    optimizer = kind(params, lr=lr, weight_decay=wd, **(opt_kw or {}))
    if again_built:
        model = Net(x_tr.shape[1], **options)
    steps = epochs * len(loader)
    schedules = torch.optim.lr_scheduler
    schedule = {
        "cosine": lambda: schedules.CosineAnnealingLR(optimizer, epochs),
        "none": lambda: None,
        "cycle": lambda: schedules.OneCycleLR(optimizer, lr, steps),
    }[sched]()
    average = copy.deepcopy(model) if ema else None

    doctor.on_start(model, optimizer, loss_fn, loader)
    best, waited, reported = np.inf, 0, 0.0
    if mode == "inference":
        model.eval()
    for _epoch in range(epochs):
        if back:
            model.train()
        running, seen_rows = 0.0, 0
        for i, (x, t) in enumerate(loader):
            if augment == "jitter":
                x = x + 5.0 * torch.randn_like(x)
            value = loss_fn(model(x), t)
            (value / every).backward()
            if clip:
                nn.utils.clip_grad_norm_(params, clip)
            if (i + 1) % every == 0:
                optimizer.step()
                if zero:
                    optimizer.zero_grad()
            if schedule and per == "batch":
                schedule.step()
            if ema:
                with torch.no_grad():
                    for a, p in zip(average.parameters(), model.parameters(), strict=True):
                        a.lerp_(p, 1 - ema)
            doctor.on_step(value, (x, t))
            running, seen_rows = running + value.item() * len(t), seen_rows + len(t)
        if schedule and per == "epoch":
            schedule.step()
        val_loss, reported = validate(model, val_loader, loss_fn, mode)
        doctor.on_epoch({"loss": running / seen_rows}, {"loss": val_loss, "acc": reported})
        waited = 0 if val_loss < best else waited + 1
        best = min(best, val_loss)
        if patience and waited >= patience:
            break

    final = (average if ema else model).eval()
    numbers, habitat, colour, y = collect(np.random.default_rng(seed + 900), 1200)
    fresh = table(numbers, (habitat, colour), seen, np.zeros(len(y)) if tag else None)
    with torch.no_grad():
        guess = final(fresh).argmax(1)
    return Outcome((guess.numpy() == y).mean().item(), reported)


CASES, add = cases("petals", train)
add("plain")
add("sgd nesterov", opt="sgd", lr=0.05, wd=1e-4, opt_kw={"momentum": 0.9, "nesterov": True})
add("one cycle", sched="cycle", per="batch", lr=1e-2)
add("accumulates 2, clips", every=2, clip=1.0, batch=16)
add("smoothing", smooth=0.1)
add("raw with input norm", raw=True, net={"first_norm": True})
add("quantiles, rmsprop", scaler="quantile", opt="rmsprop", lr=2e-3, wd=0)
add("batch 150", batch=150, lr=1e-2)
add("early stop, weights", patience=4, weights=True, epochs=40)
add("average of weights", ema=0.98, sched="none")
add("layer norm gelu", net={"norm": "layer", "act": nn.GELU, "drop": 0.3})
add("first layer frozen", frozen=True, net={"width": 160})
add("log of typos", "D01", typos=True)
add("one species mostly", "D02 D04", share=0.97)
add("split by species", "D04", by_species=True, hold=0.4)
add("copies before split", "D06", rows=160, twice=7, net={"drop": 0.0, "width": 128})
add("sheet number", "D07", tag=True)
add("lost join", "L02 L01", join=True)
add("wrong names", "L04", wrong=0.45, net={"drop": 0.0, "width": 128}, epochs=30, lr=1e-2)
add("from one", "L05", first=1)
add("raw", "P01", raw=True)
add("later own scale", "P02", later="own")
add("jitter", "P03", augment="jitter")
add("bias", "A02", init="bias")
add("no activation", "A03", exact=True, net={"act": nn.Identity})
add("narrow", "A07", net={"width": 2, "drop": 0.0})
add("sigmoid deep", "O07 A01", net={"act": nn.Sigmoid, "depth": 7})
add("tiny init", "I02 O07", init=1e-4, net={"depth": 4})
add("softmax", "S02", exact=True, net={"last": nn.Softmax(1)})
add("wrong axis", "S03", exact=True, loss="nll", net={"last": nn.LogSoftmax(0)})
add("rate x100", "O01", lr=0.3)
add("rate too low", "O02", lr=1e-5)
add("no zero", "O05", exact=True, zero=False)
add("built again", "O06", again_built=True)
add("never steps", "O12", every=64)
add("pilot", "R01 D04", pilot=48, epochs=80, batch=16, wd=0, sched="none", net={"drop": 0.0, "width": 128})
add("decay", "R02", wd=60.0)
add("no eval", "E01", exact=True, mode="train", net={"drop": 0.5})
add("always eval", "E02 P01", mode="inference", back=False, raw=True, net={"first_norm": True})
add("slow statistics", "E05", raw=True, net={"first_norm": True, "momentum": 1e-4})
