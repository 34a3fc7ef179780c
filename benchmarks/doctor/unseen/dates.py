"""Which quarter a written date falls in: word sequences of several forms, a small GRU."""

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
SHORT = ["jan", "feb", "mar", "apr", "ma.", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
NUMS = [f"{i:02d}" for i in range(1, 32)]
YEARS = [str(y) for y in range(1990, 2010)]
MARKS = [
    "the",
    ",",
    "/",
    "-",
    "us:",
    "uk:",
    "iso:",
    "paid",
    "received",
    "on",
    "by",
    "office",
    "desk",
    "letter",
    "dated",
    "filed",
    "q1",
    "q2",
    "q3",
    "q4",
]
VOCAB = {w: i + 1 for i, w in enumerate(MONTHS + SHORT + NUMS + YEARS + MARKS)}
TAILS = ["paid", "received on", "letter dated", "filed by the office", "filed on the desk"]
LONGEST = 11


def phrase(rng: np.random.Generator):
    month, day, year = rng.integers(12), rng.integers(12 if rng.random() < 0.7 else 28), rng.choice(YEARS)
    m, d = NUMS[month], NUMS[day]
    text = [
        f"us: {m} / {d} / {year}",
        f"uk: {d} / {m} / {year}",
        f"iso: {year} - {m} - {d}",
        f"{MONTHS[month]} {d} , {year}",
        f"{d} {SHORT[month]} {year}",
        f"{m} / {d} / {year}" if rng.random() < 0.5 else f"{d} / {m} / {year}",
    ][rng.integers(6)]
    return text, int(month) // 3


def letters(n: int, rng: np.random.Generator):
    rows = [phrase(rng) for _ in range(n)]
    texts = [f"{t} {rng.choice(TAILS)}" if rng.random() < 0.5 else t for t, _ in rows]
    return texts, np.array([q for _, q in rows])


def encode(texts, vocab=VOCAB):
    ids = torch.zeros(len(texts), LONGEST, dtype=torch.long)
    for i, t in enumerate(texts):
        words = [vocab[w] for w in t.split()][:LONGEST]
        ids[i, : len(words)] = torch.tensor(words)
    return ids


class Reader(nn.Module):
    def __init__(
        self,
        kind="gru",
        dim=16,
        hidden=32,
        drop=0.1,
        outputs=4,
        pool="last",
        form="packed",
        cut=False,
        act=nn.Tanh,
    ):
        super().__init__()
        self.pool, self.form, self.cut = pool, form, cut
        self.emb = nn.Embedding(len(VOCAB) + 1, dim, padding_idx=0)
        self.rnn = (nn.LSTM if kind == "lstm" else nn.GRU)(dim, hidden, batch_first=True)
        self.mid = nn.Sequential(nn.Linear(dim if pool == "words" else hidden, 32), act(), nn.Dropout(drop))
        self.head = nn.Linear(32, outputs)

    def forward(self, ids):
        n = (ids > 0).sum(1)
        e = self.emb(ids)
        keep = (ids > 0).unsqueeze(2).float()
        if self.pool == "words":
            h = (e * keep).sum(1) / keep.sum(1)
        elif self.form == "mixed":
            o, _ = self.rnn(e.view(e.size(1), e.size(0), -1).transpose(0, 1))
            h = o[torch.arange(len(ids)), n - 1]
        elif self.form == "packed":
            packed, _ = self.rnn(pack_padded_sequence(e, n, batch_first=True, enforce_sorted=False))
            o, _ = pad_packed_sequence(packed, batch_first=True, total_length=ids.size(1))
            h = o[torch.arange(len(ids)), n - 1] if self.pool == "last" else (o * keep).sum(1) / keep.sum(1)
        else:
            o, _ = self.rnn(e)
            h = o[torch.arange(len(ids)), n - 1]
        return self.head(self.mid(h.detach() if self.cut else h))


def start_weights(model, how):
    for name, p in model.named_parameters():
        if how == "wide":
            p.data.mul_(25.0)
        elif how == "orthogonal" and "weight_hh" in name:
            nn.init.orthogonal_(p)


def train(
    seed,
    doctor,
    rows=900,
    epochs=12,
    batch=50,
    lr=8e-3,
    opt="adam",
    wd=0.0,
    clip=1.0,
    net=None,
    weights="",
    labels="",
    noise=0.0,
    pick="",
    copies=1,
    stamp=False,
    other_vocab=False,
    shift=0,
    loss="ce",
    smooth=0.0,
    every=1,
    zero=True,
    step=True,
    sched="",
    only="",
    frozen=False,
    val_mode="eval",
    keep_best=False,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    texts, y = letters(rows, rng)
    vtexts, vy = letters(400, rng)
    if copies > 1:
        both = rng.permutation(np.repeat(np.arange(rows), copies))
        texts, y = [texts[i] for i in both], y[both]
        texts, y, vtexts, vy = texts[:-400], y[:-400], texts[-400:], y[-400:]
    if stamp:
        texts = [f"q{q + 1} {t}" for t, q in zip(texts, y, strict=True)]
        vtexts = [f"q{q + 1} {t}" for t, q in zip(vtexts, vy, strict=True)]
    x, xv = encode(texts), encode(vtexts)
    if other_vocab:
        xv = encode(vtexts, {w: i + 1 for i, w in enumerate(sorted(VOCAB))})
    if pick:
        some = y < 3 if pick == "to september" else (y == 0) | (rng.random(len(y)) < 0.02)
        x, y = x[torch.tensor(some)], y[some]
    if noise:
        y = np.where(rng.random(len(y)) < noise, (y + rng.integers(1, 4, len(y))) % 4, y)
    y, vy = torch.tensor(y) + shift, torch.tensor(vy) + shift
    model = Reader(**(net or {}))
    start_weights(model, weights)
    model.emb.requires_grad_(not frozen)
    groups = model.parameters() if not only else getattr(model, only).parameters()
    params = [p for p in groups if p.requires_grad]
    if opt == "sgd":
        optimizer = torch.optim.SGD(params, lr=lr, momentum=0.9)
    else:
        adam = torch.optim.NAdam if opt == "nadam" else torch.optim.Adam
        optimizer = adam(params, lr=lr, weight_decay=wd)
    updates = epochs * -(-len(y) // batch)
    steps = {
        "warm": lambda i: min(1.0, (i + 1) / 60),
        "linear": lambda i: 1 - i / (updates + 1),
        "halve": lambda i: 0.5**i,
    }
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, steps[sched]) if sched else None

    def loss_fn(out, t):
        if loss == "number":
            return F.mse_loss(out, t.float())
        if loss == "nll":
            return F.nll_loss(out, t)
        value = F.cross_entropy(out, t, label_smoothing=smooth)
        return value.clamp(max=1.0) if loss == "capped" else value

    def read(out):
        return out.flatten().round().clamp(0, 3).long() if loss == "number" else out.argmax(1)

    best, kept, acc = -1.0, None, 0.0
    with doctor.watching(model, optimizer):
        for epoch in range(epochs):
            model.train()
            if labels == "by length" and epoch == 3:
                x = x[(x > 0).sum(1).argsort()]
            at = torch.randperm(len(y))
            for i, b in enumerate(at.split(batch)):
                value = loss_fn(model(x[b]), y[b]) / every
                value.backward()
                if clip:
                    nn.utils.clip_grad_norm_(params, clip)
                if (i + 1) % every == 0 and step:
                    optimizer.step()
                    if zero:
                        optimizer.zero_grad()
                if schedule is not None:
                    schedule.step()
            if val_mode == "eval":
                model.eval()
            with torch.no_grad():
                out = model(xv)
                loss_fn(out, vy)
                acc = (read(out) == vy).float().mean().item()
            if keep_best and acc > best:
                best, kept = acc, {k: v.clone() for k, v in model.state_dict().items()}
    if kept is not None:
        model.load_state_dict(kept)
    model.eval()
    texts, y = letters(1500, np.random.default_rng(seed + 500))
    with torch.no_grad():
        score = (read(model(encode(texts))) == torch.tensor(y)).float().mean().item()
    return Outcome(score, acc)


CASES, add = cases("dates", train)
add("plain")
add("lstm, mean of states", net={"kind": "lstm", "pool": "mean"})
add("sgd, warm-up", opt="sgd", lr=0.3, sched="warm")
add("label smoothing, best kept", smooth=0.1, keep_best=True)
add("accumulate", every=2, batch=25, epochs=8)
add("frozen words", frozen=True, net={"dim": 40})
add("unclipped, relu", clip=0.0, net={"act": nn.ReLU})
add("half dropped", net={"drop": 0.5, "hidden": 48})
add("nadam, linear to zero", opt="nadam", sched="linear")
add("padded, no packing", net={"form": "index"})
add("odd batch, decay", batch=33, wd=1e-5)
add("orthogonal, wide words", weights="orthogonal", net={"dim": 32})
add("mostly first", "D02 D04", pick="mostly first", rows=2400)
add("to september", "D04", pick="to september")
add("copied before the split", "D06", exact=True, rows=200, copies=6)
add("stamped", "D07 L03", stamp=True)
add("by length", "L01", labels="by length")
add("wrong 35%", "L04", noise=0.35)
add("quarters from one", "L05", exact=True, shift=1, net={"outputs": 5})
add("other vocabulary", "P02", exact=True, other_vocab=True)
add("viewed", "A04", exact=True, net={"form": "mixed"})
add("one unit", "A07", net={"hidden": 1})
add("mean of words", "A08 A06", exact=True, net={"pool": "words"})
add("wide", "I03 A01", weights="wide")
add("number", "S05 S06", exact=True, loss="number", net={"outputs": 1})
add("scores into nll", "S03 S07", exact=True, loss="nll")
add("capped", "S07", loss="capped")
add("rate x100", "O01", lr=0.8)
add("rate /300", "O02", lr=2.5e-5)
add("halved", "O04", sched="halve")
add("never cleared", "O05", exact=True, zero=False)
add("head only", "O06", exact=True, only="head")
add("cut", "O10", exact=True, net={"cut": True})
add("tight clip", "O11", opt="sgd", lr=0.05, clip=1e-3)
add("no step", "O12", exact=True, step=False)
add("few letters", "R01 D04", rows=60, epochs=60, net={"drop": 0.0})
add("heavy decay", "R02", wd=0.3)
add("two epochs", "R03", epochs=2, lr=2e-3)
add("val in train mode", "E01", exact=True, val_mode="train", net={"drop": 0.6})
