"""A table of clients with categorical columns (embeddings) and numeric columns is sorted into four segments.

A script with hand-made index batches, AdamW with a one-cycle rate, cross entropy and an accuracy counted by
hand, inside `with doctor.watching(...)`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.nn import functional as F

TRAIN, VALIDATION, TEST = 1600, 400, 2000
SIZES = (12, 8, 5)  # regions, professions, contracts
NUMERIC, SEGMENTS = 6, 4


@dataclass
class Clients:
    kinds: Tensor  # (rows, 3) integers
    numbers: Tensor  # (rows, 6): income, age, visits, balance, two ratios
    segment: Tensor

    def take(self, index: Any) -> "Clients":
        return Clients(self.kinds[index], self.numbers[index], self.segment[index])

    def __len__(self) -> int:
        return len(self.segment)


class Network(nn.Module):
    def __init__(
        self, hidden: int, depth: int, activation: type[nn.Module], dropout: float, outputs: int, mistake: str
    ) -> None:
        super().__init__()
        self.mistake = mistake
        tables = [nn.Embedding(size, 4) for size in SIZES]
        self.tables = tables if mistake == "list of embeddings" else nn.ModuleList(tables)
        layers: list[nn.Module] = []
        width = 4 * len(SIZES) + NUMERIC
        for _ in range(depth):
            layers += [nn.Linear(width, hidden), activation(), nn.Dropout(dropout)]
            width = hidden
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, outputs)

    def forward(self, kinds: Tensor, numbers: Tensor) -> Tensor:
        embedded = torch.cat([table(kinds[:, i]) for i, table in enumerate(self.tables)], dim=1)
        if self.mistake == "embeddings without gradient":
            embedded = embedded.data
        h = self.body(torch.cat([embedded, numbers], dim=1))
        out = self.head(h)
        if self.mistake == "softmax":
            return out.softmax(-1)
        if self.mistake == "softmax over the batch":
            return out.softmax(0).clamp_min(1e-9).log()
        return out


def draw(seed: int, rows: int, sharp: float = 8.0) -> Clients:
    """Clients whose segment depends on products of columns: no linear rule finds it."""
    fixed = torch.Generator().manual_seed(77)  # the world is one for all seeds
    effect = [torch.randn(size, 2, generator=fixed) for size in SIZES]
    g = torch.Generator().manual_seed(1000 + seed)
    kinds = torch.stack([torch.randint(0, size, (rows,), generator=g) for size in SIZES], dim=1)
    z = torch.randn(rows, NUMERIC, generator=g)
    push = sum(table[kinds[:, i]] for i, table in enumerate(effect))
    first = z[:, 0] * z[:, 1] + 0.4 * push[:, 0]
    second = z[:, 2] * push[:, 1].sign() + 0.4 * z[:, 3]
    segment = 2 * (first > 0).long() + (second > 0).long()
    clear = (first.abs() > 1 / sharp) & (second.abs() > 1 / sharp)  # nobody lives on the border
    return Clients(kinds[clear], z[clear], segment[clear])


def data(seed: int, mistake: str, flipped: float, rare: float) -> tuple[Clients, Clients, Clients]:
    everyone = draw(seed, 6000)
    train, val, test = (
        everyone.take(slice(a, b))
        for a, b in ((0, TRAIN), (TRAIN, TRAIN + VALIDATION), (TRAIN + VALIDATION, TRAIN + VALIDATION + TEST))
    )
    if mistake == "sorted":
        train = train.take(train.segment.argsort())
    elif mistake == "segment left out":
        train = train.take(train.segment != 3)
    elif mistake == "oversampled first":  # few clients, each copied, then split
        train = train.take(torch.randperm(150 * 12) % 150)
        train, val = train.take(slice(0, 1400)), train.take(slice(1400, None))
    elif mistake == "column from afterwards":  # an offer that is made to the segment, empty for new clients
        for part in (train, val):
            part.numbers[:, 5] = part.segment + 0.01 * torch.randn(len(part))
        test.numbers[:, 5] = 0
    elif mistake == "raw units":
        for part in (train, val, test):
            part.numbers = part.numbers * torch.tensor([15000.0, 12, 4, 80000, 1, 1])
            part.numbers += torch.tensor([40000.0, 45, 10, 20000, 0, 0])
    elif mistake == "validation in other units":  # and so it is served
        for part in (val, test):
            part.numbers = part.numbers * 10 + 20
    elif mistake == "shifted":  # from 0-3 to 1-4, as in the file
        for part in (train, val, test):
            part.segment = part.segment + 1

    if rare < 1:  # few clients are left of all segments but the first
        for part in (train, val):
            keep = (part.segment == 0) | (torch.rand(len(part)) < rare)
            kept = part.take(keep)
            part.kinds, part.numbers, part.segment = kept.kinds, kept.numbers, kept.segment
    wrong = torch.rand(len(train)) < flipped
    train.segment = torch.where(wrong, torch.randint_like(train.segment, 0, SEGMENTS), train.segment)
    return train, val, test


def initialise(model: nn.Module, std: float) -> None:
    for p in model.parameters():
        nn.init.normal_(p, std=std)


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 1e-2,
    optimizer: Any = torch.optim.AdamW,
    options: dict[str, Any] | None = None,
    schedule: str = "one-cycle",
    loss_fn: Any = F.cross_entropy,
    batch: int = 32,
    epochs: int = 25,
    hidden: int = 64,
    depth: int = 2,
    activation: type[nn.Module] = nn.ReLU,
    dropout: float = 0.0,
    outputs: int = SEGMENTS,
    init: float | None = None,
    clip: float | None = None,
    accumulate: int = 1,
    flipped: float = 0.0,
    rare: float = 1.0,
    copies: int = 1,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    train_set, val_set, test_set = data(seed, mistake, flipped, rare)
    if mistake == "few rows":
        train_set = train_set.take(slice(0, 160))
    train_set = train_set.take(torch.arange(len(train_set)).repeat(copies))

    model = Network(hidden, depth, activation, dropout, outputs, mistake)
    if init is not None:
        initialise(model, init)
    opt = optimizer(model.parameters(), lr, **(options or {}))
    if mistake == "body rebuilt":  # "to start afresh", after the optimizer was made
        model.body = Network(hidden, depth, activation, dropout, outputs, "").body
    per_epoch = max(len(train_set) // batch, 1)
    if schedule == "one-cycle":
        cycle = torch.optim.lr_scheduler.OneCycleLR(opt, lr, total_steps=epochs * per_epoch + 1)
    else:  # meant per epoch
        cycle = torch.optim.lr_scheduler.ExponentialLR(opt, 0.8 if schedule == "decay" else 1.0)

    acc = 0.0
    with doctor.watching(model, opt):
        for _ in range(epochs):
            model.train()
            order = torch.arange(len(train_set)) if mistake == "sorted" else torch.randperm(len(train_set))
            for step in range(per_epoch):
                rows = train_set.take(order[step * batch : (step + 1) * batch])
                loss = loss_fn(model(rows.kinds, rows.numbers), rows.segment)
                (loss / accumulate).backward()
                if (step + 1) % accumulate == 0:
                    if clip:
                        nn.utils.clip_grad_norm_(model.parameters(), clip)
                    opt.step()
                    opt.zero_grad()
                cycle.step()
            if mistake == "segments permuted each epoch":
                train_set.segment = train_set.segment[torch.randperm(len(train_set))]

            model.eval()
            with torch.no_grad():
                out = model(val_set.kinds, val_set.numbers)
            guess = out.argmax(1)
            acc = (guess == val_set.segment).float().mean().item()

    model.eval()
    with torch.no_grad():
        guess = model(test_set.kinds, test_set.numbers).argmax(1)
    hits = (guess == test_set.segment).float()
    score = torch.stack([hits[test_set.segment == k].mean() for k in test_set.segment.unique()]).mean().item()
    return Outcome(score, acc)


def raw_nll(out: Tensor, y: Tensor) -> Tensor:
    """A negative log-likelihood of what are no log-probabilities."""
    return F.nll_loss(out, y)


def double_sigmoid(out: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(out.sigmoid(), F.one_hot(y, SEGMENTS).float())


def capped(out: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(out, y).clamp(max=1.0)


def smoothed(out: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(out, y, label_smoothing=0.1)


def weighted(out: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(out, y, weight=torch.tensor([0.5, 1.0, 1.5, 2.0]))


SGD = torch.optim.SGD

CASES, add = cases("clients", train)
add("as it should be")
add("one segment is nearly all", "D02", rare=0.01, epochs=50)
add("sorted by segment", "D03", lr=5e-3, schedule="none", mistake="sorted")
add("no training client of one segment", "D04", mistake="segment left out")
add("copied, then split", "D06", mistake="oversampled first")
add("column that is filled afterwards", "D07", mistake="column from afterwards")
add("segments permuted each epoch", "L01", mistake="segments permuted each epoch")
add("over half of the segments wrong", "L04", flipped=0.6)
add("segments from 1 with five outputs", "L05", exact=True, outputs=5, mistake="shifted")
add("columns in euros and years", "P01", mistake="raw units")
add("validation in other units", "P02", mistake="validation in other units")
add("no activation", "A03", activation=nn.Identity)
add("saturated tanh", "A01 I03", activation=nn.Tanh, init=5.0)
add("layers of one unit", "A07", hidden=1)
add("first weights tiny", "I02", init=1e-4, depth=3, optimizer=SGD, lr=0.1)
add("first weights huge", "I03", init=8.0)
add("one-hot with two sigmoids", "S01", exact=True, loss_fn=double_sigmoid)
add("softmax before cross entropy", "S02", exact=True, mistake="softmax")
add("softmax over the batch", "S03", exact=True, loss_fn=F.nll_loss, mistake="softmax over the batch")
add("likelihood of raw scores", "S03", loss_fn=raw_nll)
add("loss cut off", "S07", loss_fn=capped)
add("rate too high", "O01", lr=1.0)
add("rate far too high", "O01 O08", optimizer=SGD, lr=100.0)
add("rate too low", "O02", lr=2e-5)
add("decay of an epoch in each batch", "O04", schedule="decay", lr=2e-3)
add("embeddings in a list", "O06", exact=True, mistake="list of embeddings")
add("body rebuilt after the optimizer", "O06", mistake="body rebuilt")
add("twelve sigmoid layers", "O07", depth=12, activation=nn.Sigmoid)
add("embeddings without gradient", "O10", exact=True, mistake="embeddings without gradient")
add("few clients, many epochs", "R01", mistake="few rows", epochs=150, hidden=256)
add("dropout 0.95", "R02", dropout=0.95)
add("weight decay 100", "R02", options={"weight_decay": 100.0})
add("three short epochs", "R03", epochs=3, lr=1e-3)

add("SGD with momentum, rate 0.2", optimizer=SGD, lr=0.2, options={"momentum": 0.9})
add("rate constant", schedule="none", lr=5e-3)
add("two batches gathered", accumulate=2)
add("clipped at 1", clip=1.0)
add("smoothed labels", loss_fn=smoothed)
add("segments weighted", loss_fn=weighted)
add("each client twice", copies=2, epochs=12)
add("dropout 0.2, wide", dropout=0.2, hidden=256)
add("one segment in twenty wrong", flipped=0.05, dropout=0.2, hidden=128)
add("uneven segments", rare=0.7)
