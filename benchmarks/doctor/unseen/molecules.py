"""Which polar bond is in a small molecule: graphs padded to twelve atoms, message passing, AdamW."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset

ATOMS, KINDS = 12, 4
MASS = np.array([12.0, 16.0, 14.0, 32.0])
CHARGE = np.array([0.05, -0.5, -0.3, -0.2])
ENERGY = np.array([1086.0, 1314.0, 1402.0, 1000.0])
PAIRS = [(1, 2), (1, 3), (2, 3), None]  # O-N, O-S, N-S, no polar bond


def molecule(kind: int, rng: np.random.Generator):
    elements = [0] * rng.integers(3, 6)
    bonds = [(i, int(rng.integers(0, i))) for i in range(1, len(elements))]
    chain, place = len(elements), {}
    for e in (1, 2, 3):
        place[e] = len(elements)
        elements.append(e)
        if not (PAIRS[kind] and e == PAIRS[kind][1]):
            bonds.append((place[e], int(rng.integers(0, chain))))
    if PAIRS[kind]:
        bonds.append((place[PAIRS[kind][0]], place[PAIRS[kind][1]]))
    for e in (1, 2, 3):
        if rng.random() < 0.5:
            bonds.append((place[e], len(elements)))
            elements.append(0)
    order, e = rng.permutation(len(elements)), np.array(elements)
    x, a, m = np.zeros((ATOMS, 7)), np.zeros((ATOMS, ATOMS)), np.zeros(ATOMS)
    m[: len(e)] = 1
    x[order, e] = rng.random(len(e)) > 0.15
    x[order, 4] = CHARGE[e] + rng.normal(0, 0.12, len(e))
    x[order, 5] = MASS[e] + rng.normal(0, 4, len(e))
    x[order, 6] = ENERGY[e] + rng.normal(0, 150, len(e))
    for i, j in bonds:
        a[order[i], order[j]] = a[order[j], order[i]] = 1
    return x, a, m


def read(n: int, rng: np.random.Generator, share=(0.25, 0.25, 0.25, 0.25)):
    y = rng.choice(KINDS, n, p=share)
    x, a, m = (np.stack(v).astype(np.float32) for v in zip(*(molecule(k, rng) for k in y), strict=True))
    return [x, a, m, y]


class Molecules(Dataset):
    def __init__(self, rows, change=None):
        self.x, self.a, self.m, self.y = (torch.as_tensor(v) for v in rows)
        self.change = change

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        x, a, m = self.x[i], self.a[i], self.m[i]
        if self.change == "cut":
            keep = (torch.rand(ATOMS, ATOMS) > 0.93).float().triu()
            a = a * (keep + keep.T)
        return x, a, m, self.y[i]


class Net(nn.Module):
    def __init__(self, width=32, outputs=KINDS, act="relu", pool="sum", drop=0.0, norm="", opts=()):
        super().__init__()
        acts = {"relu": F.relu, "": lambda v: v, "gelu": F.gelu}
        self.opts, self.pool, self.act = opts, pool, acts[act]
        self.embed = nn.Linear(7, width)
        self.own = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.near = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(2))
        self.norm = {"": nn.Identity, "batch": nn.BatchNorm1d}[norm](width)
        self.hidden, self.drop = nn.Linear(width, width), nn.Dropout(drop)
        self.out = nn.Linear(width, outputs)

    def hop(self, k, h, a, m):
        near = self.near[k](torch.bmm(a, h))
        return self.act(self.own[k](h) + near) * m

    def forward(self, x, a, m):
        m = m.unsqueeze(-1)
        h = self.act(self.embed(x)) * m
        for k in range(len(self.own)):
            if "lonely" in self.opts:
                h = self.act(self.own[k](h)) * m
            elif "checkpoint" in self.opts and self.training:
                h = checkpoint(self.hop, k, h, a, m, use_reentrant=False)
            else:
                h = self.hop(k, h, a, m)
        if "detach" in self.opts:
            h = h.detach()
        if "view" in self.opts:
            h = h.reshape(ATOMS, len(x), -1).transpose(0, 1)
        g = h.sum(1) / (m.sum(1) if self.pool == "mean" else 4.0)
        return self.out(self.drop(self.act(self.hidden(self.norm(g)))))


@torch.no_grad()
def evaluate(model, rows, metric="argmax", size=100):
    parts = [torch.as_tensor(v) for v in rows]
    total = right = 0.0
    for i in range(0, len(rows[3]), size):
        x, a, m, y = (v[i : i + size] for v in parts)
        z = model(x, a, m)
        total += float(F.cross_entropy(z, y, reduction="sum"))
        same = z.argmax(1) == y if metric == "argmax" else z.argmax(0) == y[0]
        right += float(same.sum())
    return total / len(rows[3]), right / len(rows[3])


def train(
    seed,
    doctor,
    n=640,
    epochs=16,
    batch=32,
    lr=4e-3,
    opt="adamw",
    table="",
    blocks=False,
    scale="train",
    change=None,
    init="",
    loss="ce",
    smooth=0.0,
    weights=False,
    sched="",
    gamma=0.5,
    clip=0.0,
    every=1,
    only="",
    patience=0,
    metric="argmax",
    shuffle=True,
    share=(0.25,) * 4,
    **net,
):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed + 1)
    rows, test = read(n + 240, rng, share), read(600, np.random.default_rng(seed + 77))
    if table == "sorted":
        by = np.argsort(rows[3], kind="stable")
        rows = [v[by] for v in rows]
    if table == "conformers":
        pick = rng.permutation(np.tile(np.arange(40), 16))
        rows = [v[pick] for v in rows]
    if table == "names":
        by = sorted(range(len(rows[3])), key=str)
        rows[3] = rows[3][by]
    if table == "curated":
        odd = rng.random(len(rows[3])) < 0.6
        rows[3] = np.where(odd, rng.integers(0, KINDS, len(odd)), rows[3])
    if table == "series":
        rows[0][:, :, 4] += 0.8 * rows[3][:, None] * rows[2]
    if table == "log":
        rows[0][:, :, 4] = np.log(rows[0][:, :, 4] + 0.75) * rows[2]
    if table == "from one":
        rows[3] = rows[3] + 1
    cut = len(rows[3]) * n // (n + 240)
    inside = np.arange(len(rows[3])) < cut
    if table == "sorted" and not blocks:
        inside = np.arange(len(rows[3])) % 4 > 0
    part, held = [v[inside] for v in rows], [v[~inside] for v in rows]
    if scale == "volts":
        part[0][:, :, 6] /= 96.49
    atoms = part[0][part[2] > 0]
    mean, std = np.nanmean(atoms, 0), np.nanstd(atoms, 0)
    for which in (part, held, test):
        if scale != "raw":
            which[0] = ((which[0] - mean) / std * which[2][..., None]).astype(np.float32)

    loader = DataLoader(Molecules(part, change), batch, shuffle=shuffle)
    model = Net(**net)
    for p in model.parameters() if init else ():
        if init == "sunk" and p.dim() == 1:
            nn.init.constant_(p, -6.0)
        elif init != "sunk" and p.dim() > 1:
            nn.init.normal_(p, 0, float(init))
    if only == "frozen embed":
        model.embed.requires_grad_(False)
    chosen = [p for p in model.parameters() if p.requires_grad]
    if only == "head":
        chosen = list(model.out.parameters())
    kinds = {
        "adamw": lambda: torch.optim.AdamW(chosen, lr, weight_decay=1e-2),
        "sgd": lambda: torch.optim.SGD(chosen, lr, momentum=0.9),
        "rmsprop": lambda: torch.optim.RMSprop(chosen, lr),
    }
    optimizer = kinds[opt]()
    updates = epochs * len(loader)
    plan = {
        "": None,
        "decay": lambda: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates),
    }[sched]
    plan = plan() if plan else None
    count = torch.bincount(torch.as_tensor(part[3]), minlength=KINDS).clamp(min=1)
    loss_fn = nn.CrossEntropyLoss(count.sum() / KINDS / count if weights else None, label_smoothing=smooth)
    best, kept, waited, acc = -1.0, None, 0, 0.0

    with doctor.watching(model, optimizer):
        for epoch in range(epochs):
            model.train()
            for k, (x, a, m, y) in enumerate(loader):
                z = model(x, a, m)
                value = F.nll_loss(F.log_softmax(z, 0), y) if loss == "axis" else loss_fn(z, y)
                (value / every).backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if (k + 1) % every == 0:
                    optimizer.step()
                    optimizer.zero_grad()
                if plan:
                    plan.step()
            model.eval()
            val_loss, acc = evaluate(model, held, metric)
            print(f"{epoch:3d} {val_loss:.3f} {acc:.3f}")
            if patience:
                waited = 0 if acc > best else waited + 1
                if acc > best:
                    best, kept = acc, copy.deepcopy(model.state_dict())
                if waited >= patience:
                    break
    if kept:
        model.load_state_dict(kept)
        acc = best
    return Outcome(evaluate(model.eval(), test)[1], acc)


CASES, add = cases("molecules", train)
add("plain")
add("rmsprop, mean pool, gelu", opt="rmsprop", lr=2e-3, pool="mean", act="gelu")
add("cosine and clipping", sched="cosine", clip=1.0)
add("smoothing and dropout", smooth=0.1, drop=0.2)
add("two micro-batches", batch=16, every=2)
add("frozen embedding", only="frozen embed")
add("checkpointed hops", opts=("checkpoint",))
add("rare kinds weighted", weights=True, share=(0.4, 0.3, 0.2, 0.1), n=800)
add("best epoch kept", patience=5, epochs=24)
add("rate x100", "O01", lr=0.4)
add("decay each batch", "O04", sched="decay", gamma=0.9)
add("only the last layer", "O06", exact=True, only="head")
add("hops detached", "O10", exact=True, opts=("detach",))
add("log of a charge", "D01 O08", exact=True, table="log")
add("sorted file", "D03", table="sorted", shuffle=False)
add("split of a sorted file", "D04", exact=True, table="sorted", blocks=True)
add("conformers split", "D06", exact=True, table="conformers")
add("series in the charge", "D07", table="series")
add("labels by name order", "L02", table="names")
add("careless curators", "L04 R01", table="curated", n=300, epochs=30)
add("kinds from one", "L05", exact=True, table="from one", outputs=5)
add("raw features", "P01", scale="raw")
add("energies in volts", "P02", scale="volts")
add("bonds cut", "P03", change="cut")
add("no activation", "A03", act="")
add("reshaped pool", "A04", exact=True, opts=("view",))
add("neighbours unused", "A08", exact=True, opts=("lonely",))
add("biases at minus six", "A02", init="sunk")
add("tiny weights", "I02 O07", init="0.0005", opt="sgd", lr=0.02)
add("softmax over rows", "S03", exact=True, loss="axis")
add("few molecules", "R01 D04", n=28, epochs=80)
add("norm over pairs", "R04", exact=True, norm="batch", batch=2, epochs=2)
add("broken metric stops it", "E04 R03", metric="axis", patience=1)
