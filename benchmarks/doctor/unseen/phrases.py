"""Next-word model of a small phrase grammar: words agree, the closing word echoes the opener."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

WORDS = 20  # 0 start, 1-3 openers, 4-5 articles, 6-8 adjectives, 9-12 nouns, 13-16 verbs, 17-19 echoes
LENGTH = 12


def phrase(rng: np.random.Generator, dialect: int = 0) -> tuple[list[int], float]:
    """The words of one phrase and the log-probability of the choices in it."""
    opener, number = rng.integers(0, 3), 0 if dialect == 2 else rng.integers(0, 2)
    words, logp = [1 + opener, 4 + number], -math.log(6)
    for _ in range(2):
        more = rng.random() < 0.4
        logp += math.log(0.4 if more else 0.6)
        if not more:
            break
        words.append(6 + rng.integers(0, 3))
        logp -= math.log(3)
    side = 1 - number if dialect == 1 else number
    noun, verb = rng.integers(0, 2, 2)
    words += [9 + 2 * side + noun, 13 + 2 * side + verb]
    words.append(17 + (opener + (dialect == 1)) % 3)
    return words, logp - 2 * math.log(2)


def write(rng: np.random.Generator, rows: int, dialect: int = 0) -> tuple[np.ndarray, float]:
    """Rows of a start word and phrases, and the mean entropy of a word."""
    out, total, count = np.zeros((rows, LENGTH + 1), int), 0.0, 0
    for row in out:
        text = [0]
        while len(text) <= LENGTH:
            words, logp = phrase(rng, dialect)
            text, total, count = text + words, total - logp, count + len(words)
        row[:] = text[: LENGTH + 1]
    return out, total / count


def windows(rng: np.random.Generator, size: int, rows: int) -> np.ndarray:
    text = write(rng, size)[0][:, 1:].ravel()
    starts = rng.integers(0, len(text) - LENGTH, rows)
    return np.stack([np.r_[0, text[i : i + LENGTH]] for i in starts])


class Model(nn.Module):
    def __init__(self, words: int, wide: int, drop: float, layers: int, slip: str):
        super().__init__()
        self.slip = slip
        self.embed = nn.Embedding(words, wide)
        self.place = nn.Embedding(LENGTH, wide)
        first = slip != "time first"
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(wide, 2, 2 * wide, drop, batch_first=first, norm_first=True)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(wide)
        self.head = nn.Linear(wide, words)
        waist = nn.Sequential(nn.Linear(wide, 1), nn.Linear(1, wide))
        self.waist = waist if slip == "waist" else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.embed(x)
        if self.slip != "no places":
            h = h + self.place(torch.arange(x.shape[1]))
        size = x.shape[0] if self.slip == "time first" else x.shape[1]
        mask = torch.ones(size, size).triu(1).bool()
        for block in self.blocks:
            if self.slip == "checkpoint":
                h = checkpoint(block, h, mask, use_reentrant=False)
            else:
                h = block(h, None if self.slip == "no mask" else mask)
        return self.head(self.waist(self.norm(h)))


def prepare(model: Model, init: str) -> None:
    for p in model.parameters():
        if init and p.ndim > 1:
            nn.init.normal_(p, std={"gpt": 0.05, "wide": 1.0, "zeros": 0.0}[init])


def collect(rng: np.random.Generator, rows: int, data: str) -> tuple[torch.Tensor, ...]:
    """Inputs and targets for training, inputs and targets for validation."""
    text, other = write(rng, rows)[0], write(rng, 150)[0]
    if data == "two sources":
        text = np.r_[write(rng, rows // 2)[0], write(rng, rows // 2, 1)[0]]
    if data == "first chapter":
        text = write(rng, rows, 2)[0]
    if data == "windows":
        both = windows(rng, 14, rows + 150)
        text, other = both[:rows], both[rows:]
    if data == "padded":
        text[:, 4:], other[:, 4:] = 0, 0
    x, y, xv, yv = text[:, :-1], text[:, 1:].copy(), other[:, :-1], other[:, 1:]
    if data == "no shift":
        y, yv = x, xv
    if data == "other order":
        y = rng.permutation(y)
    if data == "typos":
        typo = rng.random(y.shape) < 0.4
        y = np.where(typo, rng.integers(1, WORDS, y.shape), y)
    if data == "from one":
        y, yv = y + 1, yv + 1
    if data == "old vocabulary":
        x = np.where(x > 0, 1 + (x + 6) % (WORDS - 1), 0)
    return tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in (x, y, xv, yv))


def judged(model: nn.Module, seed: int) -> float:
    """Entropy's perplexity over the model's, each word predicted from the words before it alone."""
    text, entropy = write(np.random.default_rng(seed + 1000), 250)
    text, losses = torch.from_numpy(text), []
    with torch.no_grad():
        for n in range(1, LENGTH + 1):
            z = model.eval()(text[:, :n])[:, -1]
            losses.append(F.cross_entropy(z[:, :WORDS], text[:, n]).item())
    return min(1.0, math.exp(entropy - float(np.mean(losses))))


def train(
    seed, doctor, *, data="", rows=480, batch=32, epochs=13, lr=1e-2, warm=40, wide=32, layers=1, drop=0.0,
    model="", init="", loss="", loop="", opt="adam", sched="warm", clip=1.0, every=1, decay=0.0,
) -> Outcome:  # fmt: skip
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    x, y, xv, yv = collect(rng, rows, data)
    loader = DataLoader(TensorDataset(x, y), batch, shuffle=loop != "in order")
    net = Model(WORDS + (data == "from one"), wide, drop, layers, model)
    prepare(net, init)
    params = net.blocks.parameters() if loop == "blocks only" else net.parameters()
    if opt == "adam":
        optimizer = torch.optim.Adam(params, lr=lr, weight_decay=decay)
    elif opt == "adamw":
        optimizer = torch.optim.AdamW(params, lr=lr, betas=(0.9, 0.95), weight_decay=0.1)
    else:
        optimizer = torch.optim.SGD(params, lr=lr, momentum=0.9)
    total = epochs * len(loader) // every
    rates = {
        "warm": lambda n: min(1.0, (n + 1) / warm),
        "cosine": lambda n: min(1.0, (n + 1) / warm) * (0.5 + 0.5 * math.cos(math.pi * min(n / total, 1))),
        "noam": lambda n: min((n + 1) / warm, (warm / (n + 1)) ** 0.5),
        "decays": lambda n: 0.9**n,
    }
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rates[sched])

    def criterion(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        if loss == "axis":
            return F.nll_loss(z.log_softmax(1).transpose(1, 2), t)
        value = F.cross_entropy(z.transpose(1, 2), t, label_smoothing=0.05 if loss == "smooth" else 0.0)
        return value.clamp(min=1.8) if loss == "floor" else value

    entropy, val_loss = write(np.random.default_rng(seed + 2000), 400)[1], 0.0
    doctor.on_start(net, optimizer, criterion, loader)
    for _ in range(epochs):
        net.train()
        train_loss = 0.0
        for step, (xb, yb) in enumerate(loader):
            value = criterion(net(xb), yb)
            (value / every).backward()
            train_loss += value.item() / len(loader)
            if (step + 1) % every == 0:
                if clip:
                    nn.utils.clip_grad_norm_(net.parameters(), clip)
                if loop != "no step":
                    optimizer.step()
                if loop != "no zero":
                    optimizer.zero_grad()
                schedule.step()
            doctor.on_step(value, (xb, yb))
        if loop != "val as train":
            net.eval()
        with torch.no_grad():
            z = net(xv)
            val_loss = criterion(z, yv).item()
            acc = (z.argmax(-1) == yv).float().mean().item()
        if loop == "per word":
            val_loss /= LENGTH
        ppl = math.exp(min(val_loss, 20))
        doctor.on_epoch({"loss": train_loss}, {"loss": val_loss, "ppl": ppl, "acc": acc})
    return Outcome(judged(net, seed), math.exp(entropy - val_loss))


CASES, add = cases("phrases", train)
add("plain")
add("sgd", opt="sgd", lr=0.3)
add("adamw cosine", opt="adamw", sched="cosine")
add("noam", sched="noam", lr=8e-3)
add("no clip, gpt init", clip=0.0, init="gpt")
add("checkpointed", model="checkpoint")
add("accumulated", every=2, batch=16)
add("dropout 0.1", drop=0.1)
add("smooth", loss="smooth")
add("padded", "D02", data="padded")
add("two sources in order", "D03", loop="in order", data="two sources")
add("first chapter", "D04", data="first chapter")
add("windows", "D06 R01", data="windows")
add("other order", "L02 L01", data="other order")
add("no shift", "L03", data="no shift")
add("typos 40 %", "L04", data="typos")
add("from one", "L05", data="from one")
add("old vocabulary", "P02", data="old vocabulary")
add("time first", "A04", model="time first")
add("no mask", "A05", model="no mask")
add("no places", "A08 A06", exact=True, model="no places")
add("waist", "A07", model="waist")
add("zero init", "I01", init="zeros")
add("wide init", "I03", init="wide")
add("softmax over words", "S03", loss="axis")
add("floor", "S07", loss="floor")
add("rate x60", "O01", lr=0.6)
add("rate /100", "O02", lr=1e-4)
add("decays each batch", "O04", sched="decays")
add("no zero_grad", "O05", exact=True, loop="no zero")
add("blocks only", "O06", loop="blocks only")
add("no step", "O12", loop="no step")
add("few rows", "R01 D04", rows=24, epochs=60, batch=8)
add("decay 0.1", "R02", decay=0.1)
add("two epochs", "R03", epochs=2)
add("val as train", "E01", exact=True, loop="val as train", drop=0.1)
add("per word twice", "E04", loop="per word")
