"""Six kinds of small woven and printed patterns, 12 x 12 grey pixels, told apart by a residual network."""

import copy

import numpy as np
import torch
from case import Outcome, cases
from torch import nn
from torch.utils.data import DataLoader, Dataset

SIDE, KINDS = 12, 6  # rows, columns, slash, backslash, checks, ring


def draw(rng, n, kind=None, noise=44.0):
    """N pictures in grey values around 128, and their kinds."""
    kind = rng.integers(0, KINDS, n) if kind is None else kind
    y, x = np.mgrid[:SIDE, :SIDE][:, None]
    wave = 2 * np.pi / rng.uniform(2.6, 5.0, (n, 1, 1))
    phase, other = rng.uniform(0, 2 * np.pi, (2, n, 1, 1))
    a = wave * np.stack([y, x, (x + y) / 1.4, (x - y) / 1.4, x, x])[:, 0][kind]
    shape = np.sin(a + phase)
    checks = 1.4 * shape * np.sin(wave * y + other)
    middle = rng.uniform(4, 7, (2, n, 1, 1))
    far = np.hypot(y - middle[0], x - middle[1]) - rng.uniform(2, 4.5, (n, 1, 1))
    shape = np.where((kind == 4)[:, None, None], checks, shape)
    shape = np.where((kind == 5)[:, None, None], 2.4 * np.exp(-(far**2)) - 0.6, shape)
    grey = 128 + rng.uniform(12, 58, (n, 1, 1)) * shape + noise * rng.standard_normal(shape.shape)
    return grey.astype("float32"), kind.astype("int64")


class Tiles(Dataset):
    def __init__(self, grey, kind, prepare, augment="", rng=None):
        self.x = torch.as_tensor(prepare(grey), dtype=torch.float32)[:, None]
        self.y, self.augment, self.rng = torch.as_tensor(kind), augment, rng

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        x = self.x[i]
        if self.augment == "roll":
            x = torch.roll(x, int(self.rng.integers(-1, 2)), 2)
        if self.augment == "rotate":
            x = torch.rot90(x, int(self.rng.integers(0, 4)), (1, 2))
        return x, self.y[i]


class Block(nn.Module):
    def __init__(self, cin, cout, stride, norm, act):
        super().__init__()
        self.a, self.b = nn.Conv2d(cin, cout, 3, stride, 1), nn.Conv2d(cout, cout, 3, 1, 1)
        self.na, self.nb, self.act = norm(cout), norm(cout), act()
        self.side = nn.Conv2d(cin, cout, 1, stride) if cin != cout else nn.Identity()

    def forward(self, x):
        z = self.nb(self.b(self.act(self.na(self.a(x)))))
        return self.act(z + self.side(x))


class Net(nn.Module):
    def __init__(self, width, norm=nn.BatchNorm2d, act=nn.ReLU, drop=0.0):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 5, 2, 2), norm(width), act())
        self.blocks = nn.Sequential(Block(width, width, 1, norm, act), Block(width, 2 * width, 2, norm, act))
        self.drop, self.head = nn.Dropout(drop), nn.Linear(2 * width, KINDS)

    def forward(self, x):
        return self.head(self.drop(self.blocks(self.stem(x)).mean((2, 3))))


def start_from(model, start, gain):
    for m in model.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)) and start == "spread":
            nn.init.normal_(m.weight, 0, gain)
        if isinstance(m, nn.BatchNorm2d) and start == "shift":
            nn.init.constant_(m.bias, gain)


def collect(rng, rows, labels, split, pixels):
    """The rows to learn from and the rows to validate on."""
    kind = None
    if split == "rare":
        kind = np.where(rng.random(rows) < 0.96, 3, rng.integers(0, KINDS, rows))
    grey, kind = draw(rng, rows // 4 if split == "copies" else rows, kind)
    order = np.argsort(kind, kind="stable") if split == "by kind" else np.arange(len(kind))
    order = rng.permutation(np.tile(order, 4)) if split == "copies" else order
    grey, kind = grey[order], kind[order]
    true, cut = kind.copy(), len(grey) * 3 // (6 if split == "by kind" else 4)
    if labels == "joined":
        kind = kind[rng.permutation(len(kind))]
    if labels == "noisy":
        kind = np.where(rng.random(len(kind)) < 0.4, rng.integers(0, KINDS, len(kind)), kind)
    if labels == "annotator":
        kind = np.where((rng.random(len(kind)) < 0.65) & (kind % 2 == 0), kind + 1, kind)
    if pixels == "lamp":
        grey += 50 * true[:, None, None].astype("float32")
    if pixels == "flat":
        grey[rng.choice(cut, 9, replace=False)] = 128.0
    test = (grey[cut:], kind[cut:])
    if split == "clear":
        grey_too, kind_too = draw(rng, 4 * rows)
        clear = np.argsort(grey_too.std((1, 2)))[-rows // 4 :]
        test = (grey_too[clear], kind_too[clear])
    return (grey[:cut], kind[:cut]), test


def train(
    seed,
    doctor,
    *,
    rows=640,
    width=12,
    labels="",
    split="",
    pixels="",
    augment="",
    scaling="train",
    loss="ce",
    smoothing=0.0,
    start="",
    gain=1.0,
    opt="sgd",
    lr=0.05,
    momentum=0.9,
    decay=1e-4,
    schedule="cosine",
    every="epoch",
    epochs=9,
    batch=32,
    accumulate=1,
    clip=0.0,
    zero=True,
    rebuilt=False,
    back=True,
    average=False,
    patience=0,
    **shape,
):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    (grey, kind), (val_grey, val_kind) = collect(rng, rows, labels, split, pixels)
    mean, std = float(grey.mean()), float(grey.std())
    own = lambda g: (g - g.mean((1, 2), keepdims=True)) / g.std((1, 2), keepdims=True)  # noqa: E731
    usual = lambda g: (g - mean) / std  # noqa: E731
    fit, prepare = {
        "train": (usual, usual),
        "own": (own, own),
        "unit": (usual, lambda g: g / 255),
        "dark": (usual, lambda g: usual(g * 0.4)),
        "sensor": (lambda g: g + 3e4,) * 2,
        "range": (lambda g: g / 128 - 1,) * 2,
    }[scaling]
    data = Tiles(grey, kind, fit, augment, np.random.default_rng(seed + 1))
    loader = DataLoader(data, batch, shuffle=True)
    val_loader = DataLoader(Tiles(val_grey, val_kind, prepare), 90)

    model = Net(width, **shape)
    start_from(model, start, gain)
    criterion = nn.NLLLoss() if loss == "nll" else nn.CrossEntropyLoss(label_smoothing=smoothing)
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum, weight_decay=decay)
    if opt == "adamw":
        optimizer = torch.optim.AdamW(model.parameters(), lr, weight_decay=decay)
    if rebuilt:
        model.blocks[1] = Block(width, 2 * width, 2, nn.BatchNorm2d, nn.ReLU)
        model.head = nn.Linear(2 * width, KINDS)
    plan = {
        "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, epochs),
        "step": lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.4),
        "cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, lr, epochs * len(loader) + 1),
    }
    scheduler = plan[schedule](optimizer)
    ema = copy.deepcopy(model) if average else None
    best, best_state, bad, reported = 9e9, None, 0, 0.0

    with doctor.watching(model, optimizer):
        for epoch in range(epochs):
            if back or epoch == 0:
                model.train()
            for i, (x, y) in enumerate(loader):
                out = model(x)
                error = criterion(out.softmax(1) if loss == "softmax" else out, y)
                (error / accumulate).backward()
                if (i + 1) % accumulate:
                    continue
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                if zero:
                    optimizer.zero_grad()
                if every == "batch":
                    scheduler.step()
                if ema:
                    for old, new in zip(ema.state_dict().values(), model.state_dict().values(), strict=True):
                        old.copy_(0.92 * old + 0.08 * new)
            if every == "epoch":
                scheduler.step()
            model.eval()
            hits, val_loss = 0, 0.0
            with torch.no_grad():
                for x, y in val_loader:
                    out = model(x)
                    val_loss += float(criterion(out, y)) / len(val_loader)
                    hits += int((out.argmax(1) == y).sum())
            reported = hits / len(val_kind)
            bad = 0 if val_loss < best else bad + 1
            if patience and val_loss < best:
                best, best_state = val_loss, copy.deepcopy(model.state_dict())
            if patience and bad >= patience:
                break

    if best_state:
        model.load_state_dict(best_state)
    model = (ema or model).eval()
    grey, kind = draw(np.random.default_rng(seed + 1000), 900)
    with torch.no_grad():
        out = model(torch.as_tensor(prepare(grey), dtype=torch.float32)[:, None]).argmax(1).numpy()
    return Outcome(float((out == kind).mean()), reported)


NONE = lambda c: nn.Identity()  # noqa: E731
SLOW = lambda c: nn.BatchNorm2d(c, momentum=4e-4)  # noqa: E731

CASES, add = cases("tiles", train)
add("plain")
add("adamw", opt="adamw", lr=0.008, decay=0.01)
add("one cycle", schedule="cycle", every="batch", lr=0.15)
add("label smoothing", smoothing=0.1)
add("accumulate 2 x 16 clip", batch=16, accumulate=2, clip=3.0)
add("no momentum", momentum=0.0, lr=0.4)
add("dropout roll batch 45", drop=0.15, augment="roll", batch=45)
add("moving average", average=True)
add("grey from -1 to 1", scaling="range")
add("early stopping", patience=4, schedule="step")

add("flat tiles", "D01", scaling="own", pixels="flat")
add("one kind is common", "D02 D04", split="rare")
add("cut by kind", "D04", split="by kind")
add("clear tiles kept", "D05 P02", split="clear")
add("copies before cut", "D06 R01", split="copies", epochs=12)
add("a lamp for each kind", "D07", pixels="lamp")
add("wrong join", "L02", labels="joined")
add("labels noisy 40", "L04", labels="noisy")
add("annotator mixes", "L04", labels="annotator")
add("sensor level", "P01", scaling="sensor")
add("val divided by 255", "P02", scaling="unit")
add("val under less light", "P02", scaling="dark")
add("turned by quarters", "P03", augment="rotate")
add("dead units", "A02", start="shift", gain=-5.0)
add("no activation", "A03", act=nn.Identity)
add("spread of zero", "I01", start="spread", gain=0.0)
add("wide start", "I03 I04 O08", start="spread", gain=1.0, norm=NONE)
add("softmax first", "S02", exact=True, loss="softmax")
add("nll on scores", "S03", loss="nll")
add("rate x40", "O01", lr=2.0)
add("rate x100", "O01 O08", lr=5.0)
add("schedule per batch", "O04", schedule="step", every="batch")
add("no zero_grad", "O05", zero=False)
add("rebuilt after optimizer", "O06", exact=True, rebuilt=True)
add("few rows", "R01 D04", rows=88, epochs=40, decay=0.0)
add("dropout .95", "R02", drop=0.95)
add("slow statistics", "E05", norm=SLOW)
add("no return to train", "E02", back=False, lr=0.1)
