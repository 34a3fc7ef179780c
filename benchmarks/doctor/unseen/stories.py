"""Who did what to whom: short template stories, six classes, a small Transformer encoder."""

import copy
import random

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

ANIMALS = ["dog", "cat", "fox", "goat", "horse", "parrot"]
PEOPLE = ["boy", "girl", "farmer", "baker", "nurse", "teacher"]
VERBS = ["chased followed hunted", "fed nursed sheltered", "fooled teased tricked"]
FILL = [
    "old",
    "little",
    "quick",
    "tired",
    "happy",
    "quiet",
    "brave",
    "strange",
    "gentle",
    "young",
    "proud",
    "hungry",
]
PLACES = ["park", "harbour", "forest", "market", "school", "garden", "kitchen", "village"]
OPENINGS = ["", "yesterday", "today", "once"]
ENDINGS = ["", "in the {p}", "near the {p} again", "and nobody noticed", "behind the {p} all day"]
PAD, UNK, LONGEST = 0, 1, 18


def write_story(rng: random.Random, label: int, typos: float = 0.04) -> str:
    verb = rng.choice(VERBS[label // 2].split())
    a, b = rng.choice(ANIMALS), rng.choice(PEOPLE)
    who, whom = (a, b) if label % 2 == 0 else (b, a)
    first, second = (rng.choice(FILL) if rng.random() < 0.2 else "" for _ in range(2))
    end = rng.choice(ENDINGS).format(p=rng.choice(PLACES))
    text = f"{rng.choice(OPENINGS)} the {first} {who} {verb} the {second} {whom} {end}"
    return " ".join(w if rng.random() > typos else w[1:] + w[0] for w in text.split())


def write_many(seed: int, n: int, shares=None):
    rng = random.Random(seed)
    labels = rng.choices(range(6), weights=shares or [1] * 6, k=n)
    return [write_story(rng, y) for y in labels], labels


def build_vocab(texts, order=sorted):
    words = {w for t in texts for w in t.split()}
    return {w: i + 2 for i, w in enumerate(order(words))}


class Stories(Dataset):
    def __init__(self, texts, labels, vocab, edit=None):
        self.texts, self.labels, self.vocab, self.edit = texts, labels, vocab, edit

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, i):
        words = self.texts[i].split()
        words = self.edit(words) if self.edit else words
        ids = [self.vocab.get(w, UNK) for w in words][:LONGEST]
        return torch.tensor(ids), self.labels[i]


def collate(items):
    ids = nn.utils.rnn.pad_sequence([x for x, _ in items], batch_first=True, padding_value=PAD)
    return ids, torch.tensor([y for _, y in items])


class Reader(nn.Module):
    def __init__(
        self,
        size,
        d=32,
        depth=1,
        classes=6,
        drop=0.1,
        use_pos=True,
        has_pos=True,
        view=False,
        neck=0,
        cut=False,
        saving=False,
    ):
        super().__init__()
        self.words = nn.Embedding(size, d, padding_idx=PAD)
        if has_pos:
            self.places = nn.Embedding(LONGEST, d)
        self.use_pos, self.view, self.cut, self.saving = use_pos and has_pos, view, cut, saving
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(d, 4, 2 * d, drop) for _ in range(depth))
        self.neck = nn.Linear(d, neck) if neck else nn.Identity()
        self.hidden = nn.Linear(neck or d, 32)
        self.drop = nn.Dropout(drop)
        self.out = nn.Linear(32, classes)

    def forward(self, ids):
        pad = ids == PAD
        x = self.words(ids)
        x = x + self.places(torch.arange(ids.shape[1])) if self.use_pos else x
        n, t, d = x.shape
        x = x.view(t, n, d) if self.view else x.transpose(0, 1)
        for block in self.blocks:
            if self.saving and self.training:
                x = checkpoint(block, x, None, pad, use_reentrant=False)
            else:
                x = block(x, src_key_padding_mask=pad)
        keep = (~pad).T.unsqueeze(-1).float()
        story = (x * keep).sum(0) / keep.sum(0)
        story = torch.tensor(story.tolist()) if self.cut else story
        story = self.neck(story)
        return self.out(self.drop(torch.relu(self.hidden(story))))


@torch.no_grad()
def check(model, loader, loss_fn=F.cross_entropy, mode="eval"):
    model.eval() if mode == "eval" else model.train()
    loss = hits = rows = 0
    for ids, y in loader:
        scores = model(ids)
        loss += loss_fn(scores, y).item() * len(y)
        hits += (scores.argmax(-1) == y).sum().item()
        rows += len(y)
    return loss / rows, hits / rows


def train(
    seed,
    doctor,
    *,
    n=896,
    epochs=12,
    batch=32,
    lr=5e-3,
    warm=30,
    wd=0.01,
    opt="adamw",
    plan="linear",
    clip=1.0,
    accum=1,
    loss_fn=F.cross_entropy,
    shares=None,
    balanced=False,
    order="shuffle",
    copies=1,
    tag=None,
    join=None,
    noise=0.0,
    stale=False,
    edit=None,
    start=None,
    only=None,
    val_mode="eval",
    patience=0,
    ema=0.0,
    resort=False,
    **net,
):
    torch.manual_seed(seed)
    random.seed(seed)
    rng = np.random.default_rng(seed)
    texts, labels = write_many(seed * 10 + 1, n + n // 4, shares)
    test_texts, test_labels = write_many(seed * 10 + 2, 600)
    texts, labels = texts * copies, labels * copies
    pairs = random.sample(list(zip(texts, labels, strict=True)), len(texts))
    fit, val = pairs[: len(pairs) * 4 // 5], pairs[len(pairs) * 4 // 5 :]
    fit = sorted(fit, key=lambda p: p[1]) if order == "sorted" else fit
    if tag:
        fit, val = ([(f"{t} {tag.format(y)}", y) for t, y in part] for part in (fit, val))
    if join:
        fit = list(zip([t for t, _ in fit], join([y for _, y in fit]), strict=True))
    if noise:
        fit = [(t, int(rng.integers(6)) if rng.random() < noise else y) for t, y in fit]
    vocab = build_vocab([t for t, _ in fit])
    ending = lambda w: sorted(w, key=lambda s: s[::-1])  # noqa: E731
    old = build_vocab([t for t, _ in fit], order=ending) if stale else vocab
    fit_set = Stories([t for t, _ in fit], [y for _, y in fit], old, edit)
    val_set = Stories([t for t, _ in val], [y for _, y in val], vocab)
    test_set = Stories(test_texts, test_labels, vocab)
    counts = np.bincount(fit_set.labels)
    sampler = WeightedRandomSampler(1.0 / counts[fit_set.labels], len(fit_set)) if balanced else None
    mixed = order == "shuffle" and not balanced
    loader = DataLoader(fit_set, batch, shuffle=mixed, sampler=sampler, collate_fn=collate)
    val_loader = DataLoader(val_set, 100, collate_fn=collate)

    model = Reader(len(vocab) + 2, **net)
    if start:
        start(model)
    owner = getattr(model, only) if only else model
    trained = list(owner.parameters())
    if opt == "adamw":
        optimizer = torch.optim.AdamW(trained, lr=lr, betas=(0.9, 0.98), weight_decay=wd)
    else:
        optimizer = getattr(torch.optim, opt)(trained, lr=lr)
    total = max(1, epochs * len(loader) // accum)
    linear = lambda s: min((s + 1) / warm, max(0.02, (total - s) / total))  # noqa: E731
    decay = lambda s: 0.85**s  # noqa: E731
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, linear if plan == "linear" else decay)
    smooth = copy.deepcopy(model) if ema else None
    best, waited, kept = 9e9, 0, None

    with doctor.watching(model, optimizer):
        for _epoch in range(epochs):
            model.train()
            for i, (ids, y) in enumerate(loader, 1):
                loss = loss_fn(model(ids), y)
                (loss / accum).backward()
                if i % accum:
                    continue
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                if smooth:
                    with torch.no_grad():
                        for s, p in zip(smooth.parameters(), model.parameters(), strict=True):
                            s.lerp_(p, 1 - ema)
            fit_set.texts = sorted(fit_set.texts, key=len) if resort else fit_set.texts
            val_loss, val_acc = check(model, val_loader, loss_fn, val_mode)
            waited = 0 if val_loss < best else waited + 1
            kept = copy.deepcopy(model.state_dict()) if patience and not waited else kept
            best = min(best, val_loss)
            if 0 < patience <= waited:
                break

    model.load_state_dict(kept or model.state_dict())
    _, score = check(smooth or model, DataLoader(test_set, 100, collate_fn=collate), loss_fn)
    return Outcome(score, val_acc)


def zero_head(model):
    for p in [*model.hidden.parameters(), *model.out.parameters()]:
        nn.init.zeros_(p)


def wide(model):
    for p in model.parameters():
        nn.init.normal_(p, std=3.0) if p.dim() > 1 else None


CASES, add = cases("stories", train)
add("plain")
add("nine in ten one class", "D02", shares=[97, 0.6, 0.6, 0.6, 0.6, 0.6])
add("read file in order", "D03", order="sorted")
add("copies before the split", "D06", n=100, copies=8, epochs=10)
add("source folder in the text", "D07", tag="src{0}")
add("texts resorted, labels not", "L01", resort=True)
add("join on a stale index", "L02", join=lambda ys: sorted(ys, key=lambda y: random.random()))
add("careless annotators", "L04 L02", noise=0.75)
add("old word list for training", "P02", stale=True)
add("word shuffle", "P03", edit=lambda words: random.sample(words, len(words)))
add("view for transpose", "A04", view=True)
add("no places", "A06", has_pos=False)
add("places left out", "A08 A06", use_pos=False)
add("one number in the middle", "A07", neck=1)
add("head zeros", "I01", start=zero_head)
add("wide start", "I03", start=wide)
add("nll on scores", "S03", loss_fn=F.nll_loss)
add("loss capped", "S07", loss_fn=lambda s, y: F.cross_entropy(s, y).clamp(max=1.0))
add("rate x100", "O01", lr=0.2)
add("epoch decay per batch", "O04", plan="decay")
add("only the head given", "O06", only="out")
add("lists for tensors", "O10", cut=True)
add("accumulate past the epoch", "O12", accum=32)
add("forty stories", "R01 D04", n=40, epochs=40)
add("checked while training", "E01", exact=True, val_mode="train")
add("rmsprop", opt="RMSprop", lr=2e-3)
add("accumulate 2", accum=2, batch=16)
add("checkpointed", saving=True)
add("smoothed labels", loss_fn=lambda s, y: F.cross_entropy(s, y, label_smoothing=0.1))
add("early stop", epochs=25, patience=3)
add("moving average", ema=0.97)
add("dropout 0.2, batch 24", drop=0.2, batch=24)
add("adam, unclipped", opt="Adam", lr=3e-3, clip=None)
add("skewed and resampled", shares=[4, 1, 1, 2, 1, 1], balanced=True)
