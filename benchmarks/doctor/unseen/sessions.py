"""What a visitor of a web shop wants, from the pages of the session and the time spent on each."""

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset

PAGES, INTENTS = 20, 4  # page 0 is padding; intents: buy, compare, return, stroll
GROUPS = {"list": (1, 6), "product": (6, 12), "account": (12, 16), "help": (16, 20)}
PATHS = [("list", "product"), ("product", "list"), ("account", "help"), ("help", "account")]


def visits(rng: np.random.Generator, n: int, share: tuple = (0.25, 0.25, 0.25, 0.25)) -> list[dict]:
    rows = []
    for intent in rng.choice(INTENTS, n, p=share):
        length = int(rng.integers(4, 13))
        turn = max(1, min(length - 1, round(length * rng.uniform(0.35, 0.65))))
        groups = [PATHS[intent][int(i >= turn)] for i in range(length)]
        pages = [int(rng.integers(*GROUPS[g])) for g in groups]
        stray = rng.random(length) < 0.22
        pages = [int(rng.integers(1, PAGES)) if s else p for s, p in zip(stray, pages, strict=False)]
        dwell = rng.lognormal([2.7, 3.0, 3.1, 2.8][intent], 0.9, length)
        visitor = [rng.normal(30 + 5 * (intent == 0), 12), rng.integers(0, 24), rng.poisson(3)]
        rows.append({"pages": pages, "dwell": dwell, "visitor": visitor, "intent": int(intent)})
    return rows


class Scale:
    def __init__(self, rows: list[dict], how: str = "log") -> None:
        self.how = how
        every = self.form(np.concatenate([r["dwell"] for r in rows]))
        side = np.array([r["visitor"] for r in rows], dtype=float)
        self.mean, self.std = every.mean(), every.std()
        self.side_mean, self.side_std = side.mean(0), side.std(0)

    def form(self, dwell: np.ndarray) -> np.ndarray:
        return np.log1p(dwell) if "log" in self.how else dwell * 1000 if self.how == "ms" else dwell

    def __call__(self, row: dict) -> tuple[np.ndarray, np.ndarray]:
        dwell, side = self.form(row["dwell"]), np.array(row["visitor"], dtype=float)
        if self.how == "log":
            side = (side - self.side_mean) / self.side_std
        return ((dwell - self.mean) / self.std if "log" in self.how else dwell), side


class Visits(Dataset):
    def __init__(self, rows: list[dict], scale: Scale, change=None) -> None:
        self.rows, self.scale, self.change = rows, scale, change

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int):
        row = self.rows[i]
        dwell, side = self.scale(row)
        pages, dwell = torch.tensor(row["pages"]), torch.as_tensor(dwell, dtype=torch.float32)
        if self.change is not None:
            pages, dwell = self.change(pages, dwell)
        return pages, dwell, torch.as_tensor(side, dtype=torch.float32), row["intent"]


def collate(items: list, by_length: bool = False) -> tuple[Tensor, ...]:
    intents = torch.tensor([i[3] for i in items])
    if by_length:
        items = sorted(items, key=lambda i: len(i[0]), reverse=True)
    lengths = torch.tensor([len(i[0]) for i in items])
    pages = pad_sequence([i[0] for i in items], batch_first=True)
    dwell = pad_sequence([i[1] for i in items], batch_first=True)
    return pages, dwell, torch.stack([i[2] for i in items]), lengths, intents


class Reader(nn.Module):
    def __init__(self, out: int, size: int, read: str, drop: float, norm: float | None) -> None:
        super().__init__()
        self.read = read
        self.embed = nn.Embedding(PAGES, 12, padding_idx=0)
        self.gru = nn.GRU(13, size, batch_first=True) if read != "bag" else None
        width = (13 if read == "bag" else size) + 3
        self.norm = nn.BatchNorm1d(width, momentum=norm) if norm is not None else nn.Identity()
        self.head = nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Dropout(drop), nn.Linear(32, out))

    def summary(self, pages: Tensor, dwell: Tensor, lengths: Tensor) -> Tensor:
        x = torch.cat([self.embed(pages), dwell.unsqueeze(-1)], dim=-1)
        mask = (pages > 0).float().unsqueeze(-1)
        if self.read == "bag":
            return (x * mask).sum(1) / mask.sum(1)
        if self.read == "last":
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            return self.gru(packed)[1][-1]
        if self.read == "turned":
            x = x.reshape(x.shape[1], x.shape[0], -1).transpose(0, 1)
        return (self.gru(x)[0] * mask).sum(1) / mask.sum(1)

    def forward(self, pages: Tensor, dwell: Tensor, visitor: Tensor, lengths: Tensor) -> Tensor:
        return self.head(self.norm(torch.cat([self.summary(pages, dwell, lengths), visitor], dim=1)))


def begin(model: Reader, how: str) -> None:
    if how == "cold":
        nn.init.constant_(model.head[0].bias, -12.0)
    for p in model.parameters() if how == "wide" else []:
        nn.init.normal_(p, std=3.0)


def accuracy(model: Reader, loader: DataLoader) -> tuple[float, float]:
    model.eval()
    right = total = loss = 0.0
    with torch.no_grad():
        for *inputs, intents in loader:
            out = model(*inputs)
            loss += F.cross_entropy(out, intents, reduction="sum").item()
            right += (out.argmax(1) == intents).sum().item()
            total += len(intents)
    return right / total, loss / total


def spoil(rows: list[dict], what: str) -> None:
    for r in rows:
        if what == "from one":
            r["intent"] += 1
        elif what == "goodbye":
            r["pages"][-1], r["dwell"][-1] = 16 + r["intent"], 2.0


def train(
    seed, doctor, n=600, epochs=16, batch=50, lr=6e-3, opt="adam", wd=0.0, size=24, read="last", drop=0.1,
    norm=None, init="", out=INTENTS, export="", share=(0.25,) * 4, copies=1, by_intent=False, scale="log",
    val_scale=None, change="", by_length=False, schedule="", every=1, clear=True, clip=0.0, smooth=0.0,
    weights=None, nll=False, average=0.0, patience=0,
) -> Outcome:  # fmt: skip
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    rows = visits(rng, (n + 300) // copies, share) * copies
    if copies > 1:
        rows = [rows[i] for i in rng.permutation(len(rows))]
    spoil(rows, export)
    if by_intent:
        rows.sort(key=lambda r: r["intent"])
    rows, held = rows[:n], rows[n:]

    def augment(pages: Tensor, dwell: Tensor) -> tuple[Tensor, Tensor]:
        if change == "mirror" and torch.rand(()) < 0.5:
            return pages.flip(0), dwell.flip(0)
        if change == "trim" and len(pages) > 6:
            return pages[1:], dwell[1:]
        return pages, dwell

    fitted = Scale(rows, scale)
    served = Scale(rows, val_scale) if val_scale else fitted
    pack = lambda items: collate(items, by_length)  # noqa: E731
    loader = DataLoader(Visits(rows, fitted, augment), batch, shuffle=True, collate_fn=pack)
    val = DataLoader(Visits(held, served), 150, collate_fn=collate)

    model = Reader(out, size, read, drop, norm)
    begin(model, init)
    if opt == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    else:
        kind = torch.optim.AdamW if opt == "adamw" else torch.optim.Adam
        optimizer = kind(model.parameters(), lr, weight_decay=wd)
    plan = None
    if schedule == "cosine":
        plan = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    elif schedule == "fade":
        plan = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
    ema = torch.optim.swa_utils.get_ema_multi_avg_fn(average)
    mean = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=ema) if average else None
    weights = weights and torch.tensor(weights)
    loss_fn = nn.NLLLoss() if nll else nn.CrossEntropyLoss(weights, label_smoothing=smooth)
    reported, best, waited = 0.0, 9e9, 0
    with doctor.watching(model, optimizer):
        for _ in range(epochs):
            model.train()
            for step, (*inputs, intents) in enumerate(loader):
                loss = loss_fn(model(*inputs), intents)
                (loss / every).backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if (step + 1) % every == 0:
                    optimizer.step()
                    if clear:
                        optimizer.zero_grad()
                    if mean is not None:
                        mean.update_parameters(model)
                if schedule == "fade":
                    plan.step()
            if schedule == "cosine":
                plan.step()
            reported, loss_now = accuracy(model, val)
            best, waited = (loss_now, 0) if loss_now < best else (best, waited + 1)
            if patience and waited >= patience:
                break
    later = visits(np.random.default_rng(seed + 999), 600)
    fresh = DataLoader(Visits(later, served), 200, collate_fn=collate)
    return Outcome(accuracy(mean.module if mean is not None else model, fresh)[0], reported)


CASES, add = cases("sessions", train)
add("plain")
add("cosine adamw", opt="adamw", wd=0.05, schedule="cosine")
add("sgd with momentum, clipped", opt="sgd", lr=0.1, clip=1.0)
add("raw visitors, masked mean, batch norm", read="pooled", norm=0.1, scale="log dwell")
add("accumulating over two", every=2, batch=30)
add("smoothed, weighted", smooth=0.1, weights=[1.0, 1.5, 1.0, 0.8])
add("averaged weights", average=0.97)
add("trimmed, dropout, early stop", change="trim", drop=0.5, patience=4)

add("rate of the old sgd", "O01 O08", lr=0.5)
add("decay per batch", "O04", schedule="fade")
add("gradients kept", "O05", clear=False)
add("accumulating past the epoch", "O12", every=32)
add("collate sorts sessions only", "L01 L02", by_length=True)
add("intents from one", "L05", export="from one", out=INTENTS + 1)
add("strollers only", "D02 D04", share=(0.004, 0.004, 0.004, 0.988))
add("split by position", "D04", by_intent=True)
add("copied before the split", "D06 R01", copies=36)
add("goodbye page", "D07", export="goodbye")
add("milliseconds", "P01 A01", scale="ms")
add("seconds when served", "P02", val_scale="raw")
add("mirrored sessions", "P03", change="mirror")
add("reshaped to time first", "A04", exact=True, read="turned")
add("bag of pages", "A06", read="bag")
add("cold head", "A02", init="cold")
add("wide init", "I03 A01", init="wide")
add("raw scores into nll", "S03", nll=True)
add("decay of one", "R02", wd=0.3)
add("slow statistics", "E05", norm=1e-4, scale="log dwell")
