"""Route short customer orders to one of five departments with a bidirectional LSTM."""

import functools
import operator
import random

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, WeightedRandomSampler

ITEMS = [
    "pan pot kettle whisk ladle grater toaster bowl plate knife fork spoon",
    "rake spade hose seeds mower shears pot_soil trellis gloves barrow fence compost",
    "stapler folder paper pens ink desk lamp binder notebook printer eraser tape",
    "puzzle doll blocks kite robot teddy train ball marbles yoyo drum crayons",
    "shirt socks jeans coat scarf hat belt dress shoes boots jacket skirt",
]
GOODS = [line.split() for line in ITEMS]
FILLERS = [
    "please hello hi thanks dear team today tomorrow soon quickly my our the a two three four some",
    "new big small red blue green black white cheap nice for office home gift birthday next week",
    "order number again regards kindly urgent by monday friday delivered",
]
FILL = [word for line in FILLERS for word in line.split()]
YES = ["send", "want", "need", "buy", "add", "ship"]
NO = ["not", "cancel", "without", "return", "remove", "drop"]
WORDS = [
    "<pad>",
    "<unk>",
    *functools.reduce(operator.iadd, GOODS, []),
    *FILL,
    *YES,
    *NO,
    *[f"q{k}" for k in range(5)],
]
VOCAB = {w: i for i, w in enumerate(WORDS)}


def write_orders(n, rng):
    rows = []
    for _ in range(n):
        dept = rng.randrange(5)
        parts = [[rng.choice(YES), *rng.choices(FILL, k=rng.randrange(2)), rng.choice(GOODS[dept])]]
        if rng.random() < 0.75:
            other = (dept + rng.randrange(1, 5)) % 5
            between = rng.choices(FILL, k=rng.randrange(2))
            parts.append([rng.choice(NO), *between, rng.choice(GOODS[other])])
            rng.shuffle(parts)
        words = rng.choices(FILL, k=rng.randrange(1, 4)) + functools.reduce(operator.iadd, parts, [])
        words += rng.choices(FILL, k=max(5 - len(words), rng.randrange(0, 4)))
        price = 0.0 if rng.random() < 0.03 else rng.lognormvariate(3.0 + 0.1 * dept, 0.6)
        rows.append((words[:14], price, float(rng.randrange(7, 22)), dept))
    return rows


def to_tensors(rows, scale):
    ids = [torch.tensor([VOCAB.get(w, 1) for w in words]) for words, *_ in rows]
    side = torch.tensor(scale(np.array([[price, hour] for _, price, hour, _ in rows])), dtype=torch.float32)
    return [(ids[i], side[i], row[3]) for i, row in enumerate(rows)]


def collate(batch):
    ids, side, dept = zip(*batch, strict=False)
    return (
        pad_sequence(ids, batch_first=True),
        torch.tensor([len(i) for i in ids]),
        torch.stack(side),
        torch.tensor(dept),
    )


class Router(nn.Module):
    def __init__(self, drop=0.2, pool="mean", batch_first=True, last=None, ckpt=False, norm="batch"):
        super().__init__()
        self.pool, self.last, self.ckpt = pool, last, ckpt
        self.embed = nn.Embedding(len(VOCAB), 24, padding_idx=0)
        self.embed.weight.data.mul_(0.3)
        self.rnn = nn.LSTM(24, 20, bidirectional=True, batch_first=batch_first)
        width = 24 if pool == "bag" else 40
        between = nn.LayerNorm(32) if norm == "layer" else nn.BatchNorm1d(32)
        first = nn.Linear(width + 2, 32)
        self.head = nn.Sequential(first, between, nn.ReLU(), nn.Dropout(drop), nn.Linear(32, 5))

    def forward(self, ids, lengths, side):
        x = self.embed(ids)
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).unsqueeze(2).float()
        if self.pool != "bag":
            x = self.rnn(x)[0]
        if self.pool == "max":
            text = x.masked_fill(mask == 0, -9.0).amax(1)
        else:
            text = (x * mask).sum(1) / mask.sum(1)
        both = torch.cat([text, side], 1)
        scores = checkpoint(self.head, both, use_reentrant=False) if self.ckpt else self.head(both)
        return self.last(scores) if self.last else scores


def evaluate(model, loader, eval_mode=True):
    model.train(not eval_mode)
    hits = total = loss = 0.0
    with torch.no_grad():
        for ids, lengths, side, dept in loader:
            out = model(ids, lengths, side)
            loss += F.cross_entropy(out, dept, reduction="sum").item()
            hits += (out.argmax(1) == dept).sum().item()
            total += len(dept)
    return loss / total, hits / total


def train(
    seed,
    doctor,
    lr=2e-2,
    epochs=10,
    batch=64,
    n=640,
    split="",
    labels="",
    noise=0.0,
    prep="",
    augment=0.0,
    loss="ce",
    opt="adam",
    sched="",
    clip=0.0,
    accumulate=1,
    zero=True,
    only="",
    shuffle=True,
    sampler=False,
    val_eval=True,
    **net,
) -> Outcome:
    torch.manual_seed(seed)
    rng = random.Random(seed)
    rows, val_rows = write_orders(n, rng), write_orders(300, rng)
    if split == "sorted":
        rows.sort(key=lambda r: r[3])
    elif split == "by file":
        both = sorted(rows + val_rows, key=lambda r: r[3])
        rows, val_rows = both[:n], both[n:]
    elif split == "copies":
        both = [r for r in rows for _ in range(1000 // n)]
        rng.shuffle(both)
        rows, val_rows = both[:700], both[700:]
    elif split == "few":
        rows = [r for r in write_orders(3 * n, rng) if r[3] == 2 or rng.random() < 0.02][:n]
        val_rows = [r for r in val_rows if r[3] == 2 or rng.random() < 0.02]
    if prep == "queue":

        def tag(part):
            return [([*w[:13], f"q{d}"], *etc, d) for w, *etc, d in part]

        rows, val_rows = tag(rows), tag(val_rows)
    if labels == "joined":
        depts = rng.sample([r[3] for r in rows], n)
        rows = [(*r[:3], d) for r, d in zip(rows, depts, strict=False)]
    elif labels == "one":
        rows = [(*r[:3], min(r[3], 0)) for r in rows]
    if noise:
        rows = [(*r[:3], rng.randrange(5) if rng.random() < noise else r[3]) for r in rows]

    table = np.array([[r[1], r[2]] for r in rows])
    if prep == "log":
        table = np.log(table)
    mean, std = table.mean(0), table.std(0)
    scale = {
        "log": lambda a: (np.log(a) - mean) / std,
        "cents": lambda a: a * [100.0, 3600.0],
        "raw": lambda a: a / [10.0, 10.0],
    }.get(prep, lambda a: (a - mean) / std)
    data = to_tensors(rows, (lambda a: a * [100.0, 1.0]) if prep == "train in cents" else scale)
    val = DataLoader(to_tensors(val_rows, scale), batch_size=100, collate_fn=collate)
    counts = np.bincount([d for *_, d in rows], minlength=5)
    pick = WeightedRandomSampler([1.0 / counts[d] for *_, d in rows], len(rows)) if sampler else None
    loader = DataLoader(
        data, batch_size=batch, shuffle=shuffle and not pick, sampler=pick, drop_last=True, collate_fn=collate
    )

    model = Router(**net)
    params = [p for name, p in model.named_parameters() if name.startswith(only)]
    make = torch.optim.AdamW if opt == "adamw" else torch.optim.Adam
    optimizer = make(params, lr=lr)
    per_batch = per_epoch = None
    if sched == "onecycle":
        per_batch = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, epochs * len(loader))
    elif sched == "cosine":
        per_epoch = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    elif sched == "decay":
        per_batch = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.75)

    def criterion(out, dept):
        if loss == "nll":
            return F.nll_loss(out, dept)
        if loss == "capped":
            return F.cross_entropy(out, dept).clamp(max=1.2)
        return F.cross_entropy(out, dept, label_smoothing=0.1 if loss == "smooth" else 0.0)

    with doctor.watching(model, optimizer):
        for epoch in range(epochs):
            model.train()
            if labels == "reshuffled" and epoch >= 1:
                depts = rng.sample([d for *_, d in data], len(data))
                data[:] = [(i, s, d) for (i, s, _), d in zip(data, depts, strict=False)]
            running = 0.0
            for k, (ids, lengths, side, dept) in enumerate(loader):
                if augment:
                    swap = (torch.rand(ids.shape) < augment) & (ids > 0)
                    ids = torch.where(swap, torch.randint(2, 62, ids.shape), ids)
                cost = criterion(model(ids, lengths, side), dept)
                if zero and k % accumulate == 0:
                    optimizer.zero_grad()
                (cost / accumulate).backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if (k + 1) % accumulate == 0:
                    optimizer.step()
                if per_batch:
                    per_batch.step()
                running += cost.item()
            if per_epoch:
                per_epoch.step()
            val_loss, reported = evaluate(model, val, eval_mode=val_eval)
            print(f"epoch {epoch} train {running / len(loader):.3f} val {val_loss:.3f} acc {reported:.3f}")

    fresh = write_orders(600, random.Random(seed + 999))
    test = DataLoader(to_tensors(fresh, scale), batch_size=200, collate_fn=collate)
    return Outcome(evaluate(model, test)[1], reported)


CASES, add = cases("orders", train)
add("plain")
add("max pooling", pool="max")
add("onecycle", sched="onecycle", lr=3e-2)
add("cosine and clipping", sched="cosine", clip=1.0, lr=3e-2)
add("accumulation", accumulate=2, batch=32, epochs=7)
add("smoothing and adamw", loss="smooth", opt="adamw")
add("checkpoint and layer norm", ckpt=True, norm="layer")
add("balanced sampler", sampler=True, batch=53)
add("raw side inputs", prep="raw")
add("rate x25", "O01", lr=0.5)
add("rate /100", "O02", lr=2e-4)
add("rate dies", "O04", sched="decay")
add("no zero_grad", "O05", True, zero=False)
add("only head trained", "O06", only="head")
add("sorted", "D03", split="sorted", shuffle=False)
add("by file", "D04", split="by file")
add("copies", "D06", n=100, split="copies")
add("few others", "D02", split="few")
add("queue word", "D07 L03", prep="queue")
add("log of zero", "D01", True, prep="log")
add("cents and seconds", "P01", prep="cents")
add("train in cents", "P02 P01", prep="train in cents")
add("swapped words", "P03", augment=0.35)
add("joined labels", "L02", labels="joined")
add("reshuffled", "L01", labels="reshuffled")
add("noise 40", "L04", noise=0.4)
add("noise 60", "L04", noise=0.6)
add("one label", "L05", labels="one")
add("time first", "A04", True, batch_first=False)
add("mean of words", "A08 A06", pool="bag")
add("softmax", "S02", True, last=nn.Softmax(1))
add("nll raw", "S03", True, loss="nll")
add("capped", "S07", loss="capped")
add("few rows", "R01 D04", n=96, batch=32, epochs=30)
add("dropout .95", "R02", drop=0.95)
add("two epochs", "R03", epochs=2)
add("val in train mode", "E01", True, val_eval=False, drop=0.5)
