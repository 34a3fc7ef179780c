"""Which desk should a letter to the editor go to: roads, schools, health or parks?"""

import copy

import numpy as np
import torch
from case import Outcome, cases
from torch import nn
from torch.utils.data import DataLoader

DESKS = ["roads", "schools", "health", "parks"]
WORDS = {
    "roads": "road bus tram traffic pothole bridge bicycle junction lorry parking speed lane tunnel driver",
    "schools": "teacher pupil lesson exam homework class maths nursery college textbook uniform tutor grade",
    "health": "doctor nurse hospital clinic vaccine surgery patient ward dentist ambulance medicine flu",
    "parks": "tree bench lawn pond duck playground flower hedge squirrel meadow fountain litter path oak",
}
COMMON = [
    "i",
    "we",
    "they",
    "our",
    "my",
    "every",
    "last",
    "this",
    "that",
    "year",
    "week",
    "council",
    "mayor",
    "money",
    "plan",
    "paper",
    "letter",
    "read",
    "wrote",
    "saw",
    "want",
    "need",
    "think",
    "believe",
    "ask",
    "demand",
    "still",
    "always",
    "again",
    "really",
    "very",
    "much",
    "more",
    "less",
    "old",
    "new",
    "good",
    "bad",
    "town",
    "city",
    "people",
    "neighbour",
    "family",
    "child",
    "street",
    "house",
    "morning",
    "evening",
    "winter",
    "summer",
    "budget",
    "tax",
    "vote",
    "please",
    "thanks",
    "sir",
    "editor",
    "today",
]
ASIDE = ["unlike", "forget", "nevermind"]
ALL = {*COMMON, *ASIDE, "the", *" ".join(WORDS.values()).split()}
VOCAB = {w: i for i, w in enumerate(sorted(ALL), start=1)}
LONGEST = 14


def write(rng, n, topics=None):
    """N letters as lists of words, and the number of the desk of each."""
    texts, desks = [], []
    for i in range(n):
        desk = int(rng.integers(4)) if topics is None else int(topics[i])
        own = WORDS[DESKS[desk]].split()
        parts = [["the", str(rng.choice(own))]]
        if rng.random() < 0.3:
            parts[0].insert(1, str(rng.choice(COMMON)))
        if rng.random() < 0.75:
            other = WORDS[DESKS[(desk + int(rng.integers(1, 4))) % 4]].split()
            parts.append([str(rng.choice(ASIDE)), "the", str(rng.choice(other))])
        rng.shuffle(parts)
        words = [w for part in parts for w in part]
        before = list(rng.choice(COMMON, int(rng.integers(2, 5))))
        after = list(rng.choice(COMMON, int(rng.integers(2, 5))))
        texts.append([str(w) for w in (before + words + after)[:LONGEST]])
        desks.append(desk)
    return texts, np.array(desks)


def encode(texts, shift=0):
    return [[VOCAB.get(w, len(VOCAB)) + shift for w in t] for t in texts]


def collate(rows):
    padded = [list(ids) + [0] * (LONGEST - len(ids)) for ids, _ in rows]
    return torch.tensor(padded, dtype=torch.long), torch.tensor([int(y) for _, y in rows])


class Reader(nn.Module):
    def __init__(self, emb=24, hidden=16, mid=32, p=0.2, cell="conv", norm="", first=True, out=""):
        super().__init__()
        self.cell, self.out, self.first = cell, out, first
        self.emb = nn.Embedding(len(VOCAB) + 12, emb, padding_idx=0)
        if cell == "gru":
            self.read = nn.GRU(emb, hidden, batch_first=True, bidirectional=True)
        elif cell != "none":
            self.read = nn.Conv1d(emb, 2 * hidden, 3, padding=1)
        self.mid = nn.Linear(emb if cell == "none" else 2 * hidden, mid)
        self.norm = {"": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}[norm](mid)
        self.drop = nn.Dropout(p)
        self.head = nn.Linear(mid, 4)

    def phrases(self, e):
        if self.cell == "gru":
            return self.read(e)[0]
        if not self.first:
            return torch.relu(self.read(e.permute(1, 2, 0))).permute(2, 0, 1)
        return torch.relu(self.read(e.transpose(1, 2))).transpose(1, 2)

    def forward(self, x):
        e = self.emb(x)
        mask = (x != 0).float().unsqueeze(2)
        if self.cell != "none":
            e = self.phrases(e)
        pooled = (e * mask).sum(1) / mask.sum(1)
        z = self.head(self.drop(torch.relu(self.norm(self.mid(self.drop(pooled))))))
        return torch.softmax(z, 1) if self.out == "softmax" else z


def train(
    seed,
    doctor,
    n=1200,
    lr=8e-3,
    epochs=10,
    batch=32,
    opt="adam",
    wd=0.0,
    loss="ce",
    smooth=0.0,
    weights=None,
    shuffle=True,
    rows="",
    labels="",
    text="",
    init="",
    scale=1.0,
    sched="",
    clip=0.0,
    every=1,
    zero=True,
    frozen="",
    slip="",
    metric="",
    keep=False,
    **net,
):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    shares = {
        "few topics": [0.97, 0.01, 0.01, 0.01],
        "uneven": [0.4, 0.3, 0.15, 0.15],
        "by desk": [0.28, 0.28, 0.27, 0.17],
    }.get(rows)
    texts, y = write(rng, 1500, rng.choice(4, 1500, p=shares) if shares else None)
    pick = np.argsort(y, kind="stable") if rows == "by desk" else np.arange(1500)
    if rows == "in order":
        pick[:1200] = np.argsort(y[:1200], kind="stable")
    if rows == "repeated":
        pick = rng.permutation(np.repeat(np.arange(120), 13))[:1500]
    texts, y = [texts[i] for i in pick], y[pick]
    if text == "stamp":
        stamps = ["today", "sir", "please", "editor"]
        texts = [[*t[: LONGEST - 1], stamps[d]] for t, d in zip(texts, y, strict=False)]
    if text == "empty":
        texts = [[] if i % 60 == 7 else t for i, t in enumerate(texts)]
    ids, vids = encode(texts[:n], shift=text == "old ids"), encode(texts[n:])
    yt, yv = y[:n].copy(), y[n:].copy()
    if labels.startswith("noise"):
        hit = rng.random(n) < float(labels[5:])
        yt[hit] = rng.integers(0, 4, hit.sum())
    if labels == "join":
        yt = yt[rng.permutation(n)]
    if labels == "names":
        lookup = {d: i for i, d in enumerate(DESKS)}
        yt, yv = (np.array([lookup.get(DESKS[d].title(), 0) for d in part]) for part in (yt, yv))
    pairs = list(zip(ids, yt, strict=False))
    loader = DataLoader(pairs, batch, shuffle=shuffle, collate_fn=collate)
    check = DataLoader(list(zip(vids, yv, strict=False)), 100, collate_fn=collate)

    model = Reader(**net)
    for name, p in model.named_parameters():
        if init == name or (init == "zero" and not name.startswith("emb")):
            nn.init.constant_(p, 0.0 if init == "zero" else -4.0)
        if scale != 1.0 and p.dim() > 1:
            p.data.mul_(scale)
        p.requires_grad_(not (frozen and name.startswith(frozen)))
    trained = model.head if slip == "head" else model
    params = [p for p in trained.parameters() if p.requires_grad]
    optimizer = (torch.optim.AdamW if opt == "adamw" else torch.optim.Adam)(params, lr, weight_decay=wd)
    loss_fn = nn.CrossEntropyLoss(torch.tensor(weights) if weights else None, label_smoothing=smooth)
    if loss == "nll":
        loss_fn = nn.NLLLoss()
    schedule = None
    if sched:
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    best, reported, step = (-1.0, None), 0.0, 0
    with doctor.watching(model, optimizer):
        for epoch in range(epochs):
            model.train()
            if labels == "tidy" and epoch >= 2:
                pairs[:] = list(zip([ids[i] for i in rng.permutation(n)], yt, strict=False))
            for x, target in loader:
                if text.startswith("swap"):
                    hit = (torch.rand(x.shape) < float(text[4:])) & (x > 0)
                    x = torch.where(hit, torch.randint(1, len(VOCAB) + 1, x.shape), x)
                out = model(x)
                value = loss_fn(out, target)
                (value / every).backward()
                step += 1
                if step % every:
                    continue
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                if zero:
                    optimizer.zero_grad()
                if schedule:
                    schedule.step()
            if metric != "no eval":
                model.eval()
            right = total = 0.0
            with torch.no_grad():
                for x, target in check:
                    out = model(x)
                    total += loss_fn(out, target).item() / 3
                    guess = out.argmax(1)
                    right += (guess == target).sum().item()
            reported = right / 300
            print(f"{epoch} loss {total:.3f} acc {reported:.3f}")
            if keep and reported > best[0]:
                best = (reported, copy.deepcopy(model.state_dict()))
    if keep:
        reported = best[0]
        model.load_state_dict(best[1])
    model.eval()
    fresh, desk = write(np.random.default_rng(seed + 1000), 800)
    with torch.no_grad():
        out = model(collate(list(zip(encode(fresh), desk, strict=False)))[0])
    return Outcome(float((out.argmax(1).numpy() == desk).mean()), reported)


CASES, add = cases("letters_to_editor", train)
add("plain")
add("rate x10", "O01", lr=0.08)
add("rate x100", "O01", lr=0.8)
add("rate /100", "O02", lr=8e-5)
add("one desk", "D02", rows="few topics")
add("in order", "D03", rows="in order", shuffle=False)
add("desk missing", "D04", rows="by desk")
add("oversampled", "D06", rows="repeated")
add("stamped", "D07", text="stamp")
add("tidied", "L01", labels="tidy")
add("join", "L02 L01", labels="join")
add("noise 40", "L04", labels="noise0.4")
add("noise 60", "L04", labels="noise0.6")
add("desk names", "L05 D02", labels="names")
add("old ids", "P02", text="old ids")
add("swap words", "P03 R02", text="swap0.7")
add("silent", "A02", init="mid.bias")
add("mean only", "A06", cell="none")
add("time first", "A04", first=False)
add("zeros", "I01", init="zero")
add("wide init", "I03", scale=10.0)
add("softmax", "S02", exact=True, out="softmax")
add("nll raw", "S03", loss="nll")
add("piles up", "O05", zero=False)
add("head only", "O06", slip="head")
add("empty letters", "O08 D01", text="empty")
add("dropout .9", "R02", p=0.9)
add("train mode", "E01", exact=True, metric="no eval", p=0.5)
add("adamw cosine", opt="adamw", wd=0.01, lr=0.012, sched="cosine")
add("clipped", clip=1.0)
add("accumulate", batch=16, every=2)
add("head frozen", frozen="head")
add("smoothing", smooth=0.1)
add("dropout .5", p=0.5, epochs=16)
add("batch 15 layer norm", batch=15, norm="layer", epochs=8, lr=4e-3)
add("uneven weighted", rows="uneven", weights=[0.6, 0.8, 1.6, 1.6])
add("best kept gru", cell="gru", keep=True, hidden=8, epochs=6, lr=1e-2)
