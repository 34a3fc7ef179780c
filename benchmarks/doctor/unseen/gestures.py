"""Hand gestures from a wrist sensor (accelerometer and gyroscope): convolutions, then a recurrent layer."""

import copy

import numpy as np
import torch
from case import Outcome, cases
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

NAMES = ["left", "right", "up", "down", "clockwise", "counter", "push", "shake"]


def record(n: int, rng: np.random.Generator, steps: int = 48, rest: int = 0):
    y = rng.integers(0, len(NAMES), n)
    t = np.arange(steps)[None]
    start, length = rng.uniform(2, 12, (n, 1)), rng.uniform(20, 32, (n, 1))
    p = np.clip((t - start) / length, 0, 1)
    on = (p > 0) & (p < 1)
    s, c, fast = np.sin(2 * np.pi * p), np.cos(2 * np.pi * p) * on, np.sin(8 * np.pi * p)
    sign = np.where(y % 2 == 0, 1.0, -1.0)[:, None]
    x = np.zeros((n, steps, 6))
    kind = y[:, None]
    circle = (kind == 4) | (kind == 5)
    x[..., 0] = np.where(kind < 2, sign * s, 0) + circle * s + (kind == 7) * fast
    x[..., 1] = circle * sign * c + (kind == 6) * s
    x[..., 2] = np.where((kind == 2) | (kind == 3), sign * s, 0)
    x[..., 3:] = 0.4 * x[..., [1, 2, 0]] ** 2
    x *= rng.lognormal(0, 0.3, (n, 1, 1)) * np.array([4, 4, 4, 90, 90, 90])
    turn = np.eye(3) + rng.normal(0, 0.12, (n, 3, 3))
    x[..., :3] = x[..., :3] @ turn + np.array([0, 0, 9.8]) + rng.normal(0, 0.7, (n, 1, 3))
    x = x + rng.normal(0, 1, x.shape) * np.array([1, 1, 1, 15, 15, 15])
    still = np.array([0, 0, 9.8, 0, 0, 0]) + rng.normal(0, 0.3, (n, rest, 6))
    x = np.concatenate([x, still], axis=1)
    return x.astype(np.float32), y


class Net(nn.Module):
    def __init__(
        self,
        width=32,
        out=8,
        kernel=5,
        stride=2,
        cell=nn.GRU,
        batch_first=True,
        drop=0.1,
        pool="last",
        cut=False,
        recompute=False,
        momentum=0.1,
        last=None,
    ):
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in [(6, 24), (24, 32)]:
            conv = nn.Conv1d(a, b, kernel, stride, kernel // 2)
            layers += [conv, nn.BatchNorm1d(b, momentum=momentum), nn.ReLU()]
        self.conv = nn.Sequential(*layers)
        if pool == "last":
            self.rnn = cell(32, width, batch_first=batch_first)
        else:
            self.mixer = nn.Linear(32, width)
        self.drop = nn.Dropout(drop)
        self.head = nn.Linear(width, out)
        self.last = last or nn.Identity()
        self.pool, self.cut, self.recompute = pool, cut, recompute

    def forward(self, x):
        x = x.transpose(1, 2)
        h = checkpoint(self.conv, x, use_reentrant=False) if self.recompute else self.conv(x)
        h = h.transpose(1, 2)
        h = self.rnn(h)[0][:, -1] if self.pool == "last" else torch.relu(self.mixer(h.mean(1)))
        return self.last(self.head(self.drop(h.detach() if self.cut else h)))


class Trainer:
    def __init__(
        self,
        model,
        optimizer,
        criterion,
        doctor,
        schedule=None,
        per_batch=False,
        accum=1,
        clip=0.0,
        zero=True,
        flip=None,
        ema=0.0,
        to_eval=True,
    ):
        self.model, self.optimizer, self.criterion, self.doctor = model, optimizer, criterion, doctor
        self.schedule, self.per_batch, self.accum, self.clip = schedule, per_batch, accum, clip
        self.zero, self.flip, self.ema, self.to_eval, self.n = zero, flip, ema, to_eval, 0
        self.average = copy.deepcopy(model)

    def train_epoch(self, loader) -> float:
        self.model.train()
        total = 0.0
        for x, y in loader:
            if self.flip and torch.rand(()) < 0.5:
                x = self.flip(x)
            loss = self.criterion(self.model(x), y)
            (loss / self.accum).backward()
            self.n += 1
            if self.n % self.accum == 0:
                if self.clip:
                    nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
                self.optimizer.step()
                if self.zero:
                    self.optimizer.zero_grad()
                self.doctor.on_step(loss, (x, y))
            if self.per_batch:
                self.schedule.step()
            if self.ema:
                now = self.model.state_dict().values()
                for a, b in zip(self.average.state_dict().values(), now, strict=True):
                    a.copy_(self.ema * a + (1 - self.ema) * b)
            total += loss.item() / len(loader)
        if self.schedule and not self.per_batch:
            self.schedule.step()
        return total

    @torch.no_grad()
    def evaluate(self, loader) -> dict[str, float]:
        self.model.train(not self.to_eval)
        loss, right = 0.0, 0
        for x, y in loader:
            out = self.model(x)
            loss += self.criterion(out, y).item() / len(loader)
            right += (decide(out) == y).sum().item()
        return {"loss": loss, "acc": right / len(loader.dataset)}


def decide(out: torch.Tensor) -> torch.Tensor:
    return out.argmax(1) if out.shape[1] > 1 else out[:, 0].round().long()


def train(
    seed,
    doctor,
    epochs=10,
    batch=32,
    n=900,
    lr=3e-3,
    make=torch.optim.Adam,
    sched=None,
    per_batch=False,
    loss=None,
    prepare=None,
    labels=None,
    scale=True,
    live=None,
    shuffle=True,
    init=None,
    rest=0,
    frozen=False,
    patience=0,
    knobs=None,
    **net,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = record(n + 300, rng, rest=rest)
    test_x, test_y = record(1000, np.random.default_rng(seed + 500), rest=rest)
    if prepare:
        x, y = prepare(x, y, n, rng)
    if labels:
        y = labels(y, rng)
    mean, std = (x[:n].mean((0, 1)), x[:n].std((0, 1))) if scale else (0.0, 1.0)

    def tensor(a: np.ndarray, change=None) -> torch.Tensor:
        a = change(a, mean, std) if change else (a - mean) / std
        return torch.tensor(a, dtype=torch.float32)

    if shuffle == "no":
        order = np.argsort(y[:n], kind="stable")
        x[:n], y[:n] = x[order], y[order]
    y = torch.tensor(y)
    loader = DataLoader(TensorDataset(tensor(x[:n]), y[:n]), batch, shuffle=shuffle is True)
    val = DataLoader(TensorDataset(tensor(x[n:], live), y[n:]), 100)

    model = Net(**net)
    if init:
        model.apply(init)
    model.conv[0].requires_grad_(not frozen)
    optimizer = make(model.parameters(), lr=lr)
    criterion = loss or nn.CrossEntropyLoss()
    schedule = sched and sched(optimizer)
    trainer = Trainer(model, optimizer, criterion, doctor, schedule, per_batch, **(knobs or {}))
    doctor.on_start(model, optimizer, criterion, loader)
    best, kept, since = -1.0, None, 0
    for epoch in range(epochs):
        train_loss = trainer.train_epoch(loader)
        result = trainer.evaluate(val)
        doctor.on_epoch({"loss": train_loss}, result)
        print(f"epoch {epoch} train {train_loss:.3f} val {result}")
        since += 1
        if result["acc"] > best:
            best, kept, since = result["acc"], copy.deepcopy(model.state_dict()), 0
        if patience and since >= patience:
            model.load_state_dict(kept)
            break

    final = (trainer.average if trainer.ema else model).eval()
    with torch.no_grad():
        right = decide(final(tensor(test_x, live))).numpy() == test_y
    score = float(np.mean([right[test_y == k].mean() for k in range(8)]))
    return Outcome(score, result["acc"])


def mostly_shake(x, y, n, rng):
    more_x, more_y = record(9 * len(y), rng)
    i = np.flatnonzero((more_y == 7) | (rng.random(len(more_y)) < 0.004))[: len(y)]
    return more_x[i], more_y[i]


def three_gestures_later(x, y, n, rng):
    x, y = record(2 * len(y), rng)
    first = np.flatnonzero(y < 5)[:n]
    later = np.setdiff1d(np.arange(len(y)), first)[-300:]
    return x[np.r_[first, later]], y[np.r_[first, later]]


def start_at(std):
    def init(m):
        if isinstance(m, nn.GRU | nn.Linear | nn.Conv1d):
            for p in m.parameters():
                nn.init.normal_(p, std=std)

    return init


def as_number(out, y):
    return nn.functional.mse_loss(out[:, 0], y.float())


S = torch.optim.lr_scheduler
CASES, add = cases("gestures", train)
add("plain")
add(
    "nesterov cosine",
    make=lambda p, lr: torch.optim.SGD(p, lr, 0.9, nesterov=True),
    lr=0.1,
    sched=lambda o: S.CosineAnnealingLR(o, 10),
)
add("raw units", scale=False, lr=1e-2, epochs=14)
add("smoothed labels", loss=nn.CrossEntropyLoss(label_smoothing=0.1), batch=37)
add("accumulates", batch=16, knobs={"accum": 2})
add("ema clipped", knobs={"ema": 0.95, "clip": 1.0})
add("recomputed lstm", recompute=True, cell=nn.LSTM)
add("frozen first layer", frozen=True)
add("early stopping", epochs=25, patience=5)
add("one cycle", per_batch=True, sched=lambda o: S.OneCycleLR(o, 1e-2, total_steps=290))
add("mostly shake", "D02 D04", prepare=mostly_shake)
add("recorded in order", "D03", shuffle="no")
add("three gestures later", "D04", prepare=three_gestures_later)
add("careless annotators", "L04", labels=lambda y, g: np.where(g.random(len(y)) < 0.47, y ^ 1, y))
add("live axes turned", "P02", live=lambda a, m, s: ((a - m) / s)[..., [1, 0, 2, 4, 3, 5]])
add("time reversed", "P03", knobs={"flip": lambda x: x.flip(1)})
add("time first", "A04", exact=True, batch_first=False)
add("pooled points", "A06", kernel=1, stride=1, pool="mean")
add("all zero", "I01", init=start_at(0.0))
add("wide normal", "I03", init=start_at(4.0))
add("softmax first", "S02", exact=True, last=nn.Softmax(1))
add("raw scores", "S03", loss=nn.NLLLoss())
add("class as number", "S06", loss=as_number, out=1)
add("floored loss", "S07", loss=lambda o, y: nn.functional.cross_entropy(o, y).clamp(min=1.3))
add("lr 0.5", "O01 O08", lr=0.5)
add("lr tiny", "O02", lr=3e-6)
add("step per batch", "O04", per_batch=True, sched=lambda o: S.StepLR(o, 2, 0.5))
add("kept gradients", "O05", exact=True, knobs={"zero": False})
add("long rest", "O09", rest=70, stride=1, cell=nn.RNN)
add("detached", "O10", exact=True, cut=True)
add("tight clip", "O11", make=lambda p, lr: torch.optim.SGD(p, lr, 0.9), lr=0.1, knobs={"clip": 1e-3})
add("drop most", "R02", drop=0.97)
add("val in train mode", "E01", exact=True, knobs={"to_eval": False})
add("slow statistics", "E05", scale=False, momentum=1e-4)
