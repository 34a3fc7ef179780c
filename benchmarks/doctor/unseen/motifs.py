"""The next note of short melodies, a second-order chain of twelve notes: a small causal transformer."""

import copy

import numpy as np
import torch
from case import Outcome, cases
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

NOTES, LENGTH = 12, 10


def melodies(n: int, rng: np.random.Generator, notes: int = NOTES) -> np.ndarray:
    """Most notes follow from the two before; now and then comes a stray one."""
    rule = np.random.default_rng(5).permuted(np.tile(np.arange(NOTES), (NOTES, 1)), axis=1)
    out = rng.integers(0, notes, (n, LENGTH + 1))
    for t in range(2, LENGTH + 1):
        follows = rule[out[:, t - 1], out[:, t - 2]] % notes
        out[:, t] = np.where(rng.random(n) < 0.05, out[:, t], follows)
    return out


class Block(nn.Module):
    def __init__(self, size, heads, dropout, act, mask, layout):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)
        self.qkv, self.mix = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.mlp = nn.Sequential(nn.Linear(size, 2 * size), act(), nn.Linear(2 * size, size))
        self.drop, self.heads, self.mask, self.layout = nn.Dropout(dropout), heads, mask, layout

    def forward(self, x):
        b, t, c = x.shape
        if self.layout == "time first":
            q, k, v = self.qkv(self.norm1(x)).view(t, b, 3, self.heads, -1).permute(2, 1, 3, 0, 4)
        else:
            q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        if self.mask is not None:
            later = torch.ones(t, t, dtype=torch.bool).triu(self.mask)
            scores = scores.masked_fill(later, float("-inf"))
        a = scores.softmax(-1) @ v
        a = a.permute(2, 0, 1, 3) if self.layout == "time first" else a.transpose(1, 2)
        x = x + self.drop(self.mix(a.reshape(b, t, c)))
        return x + self.drop(self.mlp(self.norm2(x)))


class Melody(nn.Module):
    def __init__(
        self,
        size=24,
        heads=2,
        dropout=0.0,
        act=nn.GELU,
        mask=1,
        layout="batch first",
        places=True,
        classes=NOTES,
        last=None,
        cut=False,
        saving=False,
        init=None,
    ):
        super().__init__()
        self.note, self.place = nn.Embedding(NOTES, size), nn.Embedding(LENGTH, size)
        self.blocks = nn.ModuleList([Block(size, heads, dropout, act, mask, layout) for _ in range(2)])
        self.norm, self.out = nn.LayerNorm(size), nn.Linear(size, classes)
        self.places, self.last, self.cut, self.saving = places, last, cut, saving
        nn.init.normal_(self.note.weight, 0, 0.3)
        nn.init.normal_(self.place.weight, 0, 0.3)
        for p in self.parameters():
            if init is not None and p.dim() > 1:
                nn.init.normal_(p, 0, init)

    def forward(self, x):
        h = self.note(x)
        if self.places:
            h = h + self.place.weight[: x.shape[1]]
        for block in self.blocks:
            h = checkpoint(block, h, use_reentrant=False) if self.saving else block(h)
            if self.cut:
                h = h.detach()
        out = self.out(self.norm(h))
        return out if self.last is None else out.softmax(self.last)


def recordings(rng, kind: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Melodies to learn from and melodies to validate on."""
    if kind == "one key":
        return melodies(rows, rng, 7), melodies(200, rng)
    tunes = melodies(rows + 200, rng)
    if kind == "repeats":
        tunes = tunes[rng.integers(0, 45, len(tunes))]
    learn, check = tunes[200:], tunes[:200]
    if kind == "by count":
        learn = np.argsort(np.argsort(np.bincount(learn.ravel(), minlength=NOTES)))[learn]
    return learn, check


def pairs(tunes: np.ndarray, rng, shift=1, slip=0.0, codes=0):
    """Inputs and targets: at each place the note that comes next."""
    tunes = torch.from_numpy(tunes)
    x = tunes[:, :LENGTH]
    y = tunes[:, shift : LENGTH + shift]
    y = torch.where(torch.from_numpy(rng.random(y.shape)) < slip, (y + 1) % NOTES, y)
    return x, y + codes


def transpose(x, y):
    """The same melody some steps higher or lower."""
    by = torch.randint(-3, 4, (len(x), 1))
    return (x + by) % NOTES, (y + by) % NOTES


def train(
    seed,
    doctor,
    lr=1.2e-2,
    epochs=11,
    batch=40,
    rows=640,
    warm=20,
    opt="adamw",
    betas=(0.9, 0.98),
    kind="",
    target=None,
    loaders="one",
    augment=False,
    loss="ce",
    smooth=0.0,
    order="usual",
    clip=0.0,
    every=1,
    rebuild=False,
    schedule="warm",
    evaluate=True,
    patience=0,
    ema=0.0,
    **net,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    learn, check = recordings(rng, kind, rows)
    x, y = pairs(learn, rng, **(target or {}))
    xv, yv = pairs(check, rng, **(target or {}))
    loader = DataLoader(TensorDataset(x, y), batch, shuffle=True)
    model = Melody(**net)
    if opt == "adamw":
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=betas, weight_decay=0.01)
    else:
        kinds = {"radam": torch.optim.RAdam, "adamax": torch.optim.Adamax}
        optimizer = kinds[opt](model.parameters(), lr=lr)
    if rebuild:
        model = Melody(**net)
    steps = {"warm": None, "linear": len(loader) * epochs // every, "epochs": epochs}[schedule]
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda k: min(
            1.0, (k + 1) / (warm if schedule != "epochs" else 3), max(0.0, 1 - k / steps) if steps else 1.0
        ),
    )
    ce = nn.CrossEntropyLoss(label_smoothing=smooth)

    def loss_fn(out, y):
        if loss == "time":
            return F.nll_loss(out.log_softmax(1).flatten(0, 1), y.flatten())
        return ce(out.flatten(0, 1), y.flatten())

    def validate(net):
        if evaluate:
            net.eval()
        with torch.no_grad():
            out = net(xv)
        accuracy = (out.argmax(-1) == yv)[:, 1:].float().mean()
        net.train()
        return {"loss": loss_fn(out, yv).item(), "acc": accuracy.item()}

    average = copy.deepcopy(model) if ema else None
    best, waited = 0.0, 0
    doctor.on_start(model, optimizer, loss_fn, loader)
    for _epoch in range(epochs):
        total = 0.0
        batches = zip(DataLoader(x, batch, shuffle=True), DataLoader(y, batch, shuffle=True), strict=False)
        for i, (xb, yb) in enumerate(loader if loaders == "one" else batches):
            if augment:
                xb, yb = transpose(xb, yb)
            value = loss_fn(model(xb), yb)
            total += value.item()
            (value / every).backward()
            if (i + 1) % every:
                continue
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            if order == "zero first":
                optimizer.zero_grad()
            optimizer.step()
            scheduler.step()
            if order == "usual":
                optimizer.zero_grad()
            if average:
                for a, b in zip(average.parameters(), model.parameters(), strict=False):
                    a.data.lerp_(b.data, 1 - ema)
            doctor.on_step(value, (xb, yb))
        now = validate(model)
        doctor.on_epoch({"loss": total / len(loader)}, now)
        best, waited = (now["acc"], 0) if now["acc"] > best else (best, waited + 1)
        if patience and waited >= patience:
            break
    final = (average or model).eval()
    fresh = torch.from_numpy(melodies(300, np.random.default_rng(seed + 1000)))
    with torch.no_grad():
        right = [
            (final(fresh[:, :t]).narrow(1, t - 1, 1).argmax(-1)[:, 0] == fresh[:, t]).float().mean()
            for t in range(2, LENGTH + 1)
        ]
    return Outcome(torch.stack(right).mean().item(), now["acc"])


CASES, add = cases("motifs", train)
add("plain")
add("linear to zero", schedule="linear", lr=1.5e-2)
add("clip and accumulate 2", clip=1.0, every=2, batch=20)
add("dropout .1, relu", dropout=0.1, act=nn.ReLU)
add("smoothing .2", smooth=0.2)
add("average of weights", ema=0.95)
add("early stop", patience=2, epochs=16)
add("recomputed blocks", saving=True, epochs=9)
add("batch 26", batch=26, epochs=9, lr=1e-2)
add("radam", opt="radam", warm=1, epochs=13)
add("adamax, four heads", opt="adamax", heads=4, lr=2e-2)

add("rate x100", "O01", lr=1.2)
add("rate /20", "O02 R03", lr=6e-4)
add("betas .999", "O03", betas=(0.999, 0.9999))
add("decay in epochs", "O04", schedule="epochs")
add("no zeroing", "O05", order="none")
add("zeroed before the step", "O12", order="zero first")
add("old net", "O06", rebuild=True)
add("cut", "O10", cut=True)
add("mask of all", "O08", mask=0)
add("no mask", "A05", mask=None)
add("time first", "A04 A05", layout="time first")
add("places unused", "A08 A06", places=False, exact=True)
add("size 2", "A07", size=2, heads=1)
add("init small", "I02", init=1e-3)
add("init 2", "I03", init=2.0)
add("one key", "D04", kind="one key")
add("repeats", "D06 R01", kind="repeats")
add("two loaders", "L01 L02", loaders="two")
add("same place", "L03", target={"shift": 0})
add("slip 50", "L04", target={"slip": 0.5})
add("from one", "L05", target={"codes": 1}, classes=NOTES + 1)
add("codes by count", "P02", kind="by count")
add("transposed", "P03", augment=True)
add("softmax", "S02", last=-1)
add("softmax of time", "S03", loss="time")
add("thirty melodies", "R01", rows=30, epochs=90)
add("dropout .7", "R02", dropout=0.7)
add("two epochs", "R03", epochs=2)
