"""A small causal transformer that continues the lines of an invented language, letter by letter."""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import nn
from torch.utils.checkpoint import checkpoint

BLOCK = 24
LETTERS = "etaoinshrdlucmfwygpb"
V = len(LETTERS)
CHANCE, CEILING = 0.104, 0.811  # the commonest letter; whoever knows the language


def write(seed: int, n: int) -> str:
    """Four letters in five follow from the two before them."""
    step, turn = np.random.default_rng(77).permuted(np.tile(np.arange(V), (2, 1)), axis=1)
    rng = np.random.default_rng(seed)
    luck, other = rng.random(n), rng.integers(0, V, n)
    text = [0, 1]
    for i in range(2, n):
        a, b = text[-2:]
        text.append(int(step[a] if b % 3 else turn[b]) if luck[i] < 0.8 else int(other[i]))
    return "".join(LETTERS[i] for i in text)


def encode(text: str, alphabet: str = LETTERS) -> torch.Tensor:
    vocabulary = {c: i for i, c in enumerate(alphabet)}
    return torch.tensor([vocabulary[c] for c in text])


def relative(accuracy: float) -> float:
    return min(max((accuracy - CHANCE) / (CEILING - CHANCE), 0.0), 1.0)


class Block(nn.Module):
    def __init__(self, width: int, heads: int, drop: float, post: bool):
        super().__init__()
        self.heads, self.post = heads, post
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.drop = nn.Dropout(drop)

    def attend(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / math.sqrt(c // self.heads)
        weights = scores.masked_fill(mask[:t, :t], -torch.inf).softmax(-1)
        return self.drop(self.proj((weights @ v).transpose(1, 2).reshape(b, t, c)))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self.post:
            x = self.norm1(x + self.attend(x, mask))
            return self.norm2(x + self.drop(self.mlp(x)))
        x = x + self.attend(self.norm1(x), mask)
        return x + self.drop(self.mlp(self.norm2(x)))


class Poet(nn.Module):
    def __init__(
        self,
        width: int = 32,
        heads: int = 2,
        drop: float = 0.0,
        post: bool = False,
        positions: str = "learned",
        diagonal: int | None = 1,
        outputs: int = V,
        trait: str = "",
    ):
        super().__init__()
        self.letters = nn.Embedding(V, width)
        if positions != "none":
            self.places = nn.Embedding(BLOCK, width)
        if positions == "waves":
            angles = torch.arange(BLOCK)[:, None] / 100 ** (torch.arange(0, width, 2) / width)
            self.places.weight.data = torch.cat([angles.sin(), angles.cos()], 1)
            self.places.weight.requires_grad_(False)
        self.blocks = nn.ModuleList(Block(width, heads, drop, post) for _ in range(2))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, outputs)
        mask = torch.zeros(BLOCK, BLOCK) if diagonal is None else torch.ones(BLOCK, BLOCK).triu(diagonal)
        self.register_buffer("mask", mask.bool())
        self.positions, self.trait = positions, trait

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        b, t = ids.shape
        x = self.letters(ids)
        if self.positions != "none":
            x = x + self.places(torch.arange(t))
        if self.trait == "sequence first":
            x = x.view(t, b, -1).transpose(0, 1)
        for block in self.blocks[: 1 if self.trait == "one block" else 2]:
            if self.trait == "checkpoint" and self.training:
                x = checkpoint(block, x, self.mask, use_reentrant=False)
            else:
                x = block(x, self.mask)
        if self.trait == "sequence first":
            x = x.transpose(0, 1).reshape(b, t, -1)
        if self.trait == "features":
            x = x.data
        return self.head(self.norm(x))


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 0.01,
    epochs: int = 10,
    per_epoch: int = 15,
    batch: int = 32,
    opt: str = "adamw",
    opt_args: dict | None = None,
    schedule: str = "cosine",
    net: dict | None = None,
    constant: float = 0.0,
    length: int = 10000,
    overlap: bool = False,
    alphabet: str = "",
    garbled: float = 0.0,
    pairs: str = "next",
    shift: int = 1,
    first: int = 0,
    own_order: bool = False,
    loss: str = "ce",
    smoothing: float = 0.0,
    clip: float = 1.0,
    accumulate: int = 1,
    zero: bool = True,
    update: bool = True,
    rebuilt: bool = False,
    patience: int = 0,
    val_mode: str = "eval",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    text = write(1000 + seed, length + 2000)
    text, held = text[:length], text[length:]
    held = text[-400:] if overlap else held
    if alphabet:
        text = "".join(c for c in text if c in alphabet)

    def own(letters: str) -> torch.Tensor:
        return encode(letters, "".join(sorted(set(letters))) if own_order else LETTERS)

    ids, held_ids = encode(text), own(held)
    answers = torch.where(torch.tensor(rng.random(len(ids)) < garbled), ids[torch.randperm(len(ids))], ids)

    def cut(source: torch.Tensor, targets: torch.Tensor, at: torch.Tensor) -> tuple:
        window = at[:, None] + torch.arange(BLOCK)
        return source[window], targets[window + shift] + first

    model = Poet(**({"outputs": V + first} | (net or {})))
    for weight in model.parameters():
        if constant and weight.dim() > 1:
            nn.init.constant_(weight, constant)
    maker = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}[opt]
    optimizer = maker([p for p in model.parameters() if p.requires_grad], lr=lr, **(opt_args or {}))
    if rebuilt:
        model.blocks = Poet(**(net or {})).blocks
    total, warm = (epochs, 1) if schedule == "in epochs" else (epochs * per_epoch, 12)

    def rate(i: int) -> float:
        if i < warm or schedule == "constant":
            return min(1.0, (i + 1) / warm)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (i - warm) / (total - warm))))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

    def loss_fn(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if loss == "softmax":
            logits = logits.softmax(-1)
        elif loss == "over time":
            return F.nll_loss(logits.log_softmax(1).flatten(0, 1), y.flatten())
        value = F.cross_entropy(logits.flatten(0, 1), y.flatten(), label_smoothing=smoothing)
        return value.clamp(max=2.5) if loss == "capped" else value

    best, waited, reported = 0.0, 0, 0.0
    doctor.on_start(model, optimizer, loss_fn, None)
    for _epoch in range(epochs):
        model.train()
        losses = []
        for i in range(per_epoch):
            at = torch.randint(0, len(ids) - BLOCK - 2, (batch,))
            x, y = cut(ids, answers, at)
            if pairs == "apart":
                y = cut(ids, answers, torch.randint(0, len(ids) - BLOCK - 2, (batch,)))[1]
            value = loss_fn(model(x), y)
            (value / accumulate).backward()
            losses.append(value.item())
            if (i + 1) % accumulate == 0:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
                if update:
                    optimizer.step()
                if zero:
                    optimizer.zero_grad()
                doctor.on_step(value, (x, y))
            scheduler.step()
        model.train(val_mode == "train")
        with torch.no_grad():
            x, y = cut(held_ids, held_ids, torch.arange(0, len(held_ids) - BLOCK - 2, 9))
            logits = model(x)
            val_loss, accuracy = loss_fn(logits, y).item(), (logits.argmax(-1) == y).float().mean().item()
        doctor.on_epoch({"loss": float(np.mean(losses))}, {"loss": val_loss, "acc": accuracy})
        reported = relative(accuracy)
        best, waited = (accuracy, 0) if accuracy > best else (best, waited + 1)
        if patience and waited >= patience:
            break

    model.eval()
    fresh = write(5000 + seed, 9000)
    windows = own(fresh)[torch.arange(0, 8900, 6)[:, None] + torch.arange(BLOCK)]
    truth = encode(fresh)[torch.arange(0, 8900, 6) + BLOCK]
    with torch.no_grad():
        guess = model(windows)[:, -1].argmax(-1)
    return Outcome(relative((guess == truth).float().mean().item()), reported)


CASES, add = cases("verses", train)
add("plain")
add("light dropout", net={"drop": 0.05}, epochs=12)
add("label smoothing", smoothing=0.1)
add("accumulation", accumulate=2, batch=16, per_epoch=30)
add("checkpointing", net={"trait": "checkpoint"})
add("frozen waves", net={"positions": "waves"}, epochs=12)
add("adam, constant rate", opt="adam", schedule="constant", lr=6e-3, epochs=12)
add("odd batch, close clip", batch=29, clip=0.3)
add("early stopping", patience=4, epochs=12)
add("post-norm", net={"post": True})

add("letters cleaned away", "D04", alphabet="etaoinshrdlu")
add("held-out tail inside", "D06 R01", length=420, overlap=True, epochs=14)
add("answers from elsewhere", "L02 L01", pairs="apart")
add("no shift", "L03", exact=True, shift=0)
add("garbled answers", "L04 L02", garbled=0.6)
add("letters from 1", "L05", exact=True, first=1)
add("vocabulary of its own", "P02 D04", own_order=True)
add("sequence first by view", "A04", exact=True, net={"trait": "sequence first"})
add("no mask", "A05", exact=True, net={"diagonal": None})
add("no positions", "A06", net={"positions": "none"})
add("width 2", "A07", net={"width": 2, "heads": 1})
add("second block skipped", "A08", exact=True, net={"trait": "one block"})
add("constant", "I01", exact=True, constant=0.02)
add("softmax first", "S02", exact=True, loss="softmax")
add("softmax over time", "S03", exact=True, loss="over time")
add("capped loss", "S07", loss="capped")
add("rate x100", "O01", lr=1.0)
add("rate / 30", "O02 R03", lr=3e-4)
add("total in epochs", "O04", exact=True, schedule="in epochs")
add("no zero_grad", "O05", exact=True, zero=False)
add("new blocks", "O06", exact=True, rebuilt=True)
add("mask hides itself", "O08", net={"diagonal": 0})
add("features detached", "O10", exact=True, net={"trait": "features"})
add("tight clip", "O11", opt="sgd", lr=0.5, clip=0.005)
add("step left out", "O12", exact=True, update=False)
add("half a page", "R01 D04", length=300, epochs=14)
add("heavy decay", "R02", opt_args={"weight_decay": 8.0})
add("validated in train mode", "E01", exact=True, net={"drop": 0.3}, val_mode="train")
