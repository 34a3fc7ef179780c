"""Small colour pictures of six kinds of bloom, a small convolutional net and a trainer class."""

import copy
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import nn


def draw(kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n, k = len(kinds), kinds[:, None, None]
    v, u = np.mgrid[:12, :12] - 5.5
    u, v = (a[None] - rng.uniform(-1.8, 1.8, (n, 1, 1)) for a in (u, v))
    size = rng.uniform(2.8, 4.3, (n, 1, 1))
    r, wave = np.hypot(u, v), 0.4 * np.cos(2 * np.arctan2(v, u))
    edge = size * np.select([k == 4, k == 5], [0.65 + wave, 0.65 - wave], 1.0)
    shape = 1 / (1 + np.exp(-3 * (edge - r)))
    shape *= np.select([k == 0, k == 2, k == 3], [r > 0.45 * size, v > -0.1 * size, v < 0.1 * size], True)
    petal, leaf = rng.uniform(110, 240, (n, 3, 1, 1)), rng.uniform(20, 110, (n, 3, 1, 1))
    picture = leaf + (petal - leaf) * shape[:, None] + rng.normal(0, 22, (n, 3, 12, 12))
    return picture.clip(0, 255).round().astype(np.float32)


DEFAULTS = {
    "rows": 1200,
    "data": "",
    "labels": "",
    "scale": "unit",
    "val_scale": "",
    "augment": "mild",
    "act": nn.ReLU,
    "norm": "batch",
    "momentum": 0.1,
    "neck": 24,
    "flat": "row",
    "drop": 0.0,
    "init": "",
    "outputs": 6,
    "loss": "ce",
    "smooth": 0.0,
    "opt": "adamw",
    "lr": 3e-3,
    "plan": "",
    "clip": 0.0,
    "accum": 1,
    "frozen": False,
    "rebuild": False,
    "epochs": 10,
    "batch": 48,
    "val_mode": "eval",
    "keep": False,
    "patience": 99,
    "new_order": False,
}


class Net(nn.Module):
    def __init__(self, s: SimpleNamespace) -> None:
        super().__init__()
        self.s = s
        self.block1, self.block2 = self.block(3, 8), self.block(8, 16)
        self.neck = nn.Sequential(nn.Linear(144, s.neck), s.act(), nn.Dropout(s.drop))
        self.head = nn.Linear(s.neck, s.outputs)
        for m in self.modules():
            if isinstance(m, nn.Conv2d | nn.Linear) and s.init:
                if s.init == "constant":
                    nn.init.constant_(m.weight, 0.05)
                    nn.init.zeros_(m.bias)
                elif s.init == "bias" and m is not self.head:
                    nn.init.constant_(m.bias, -1.5)

    def block(self, a: int, b: int) -> nn.Sequential:
        s = self.s
        norm = {"batch": nn.BatchNorm2d(b, momentum=s.momentum), "group": nn.GroupNorm(4, b)}
        return nn.Sequential(
            nn.Conv2d(a, b, 3, padding=1), norm.get(s.norm, nn.Identity()), s.act(), nn.MaxPool2d(2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.block2(self.block1(x))
        x = x.flatten(1) if self.s.flat == "row" else x.transpose(0, 1).reshape(len(x), -1)
        return self.head(self.neck(x))


def prepare(x: np.ndarray, scale: str) -> torch.Tensor:
    if scale == "own":
        x = x - x.min(axis=(1, 2, 3), keepdims=True)
        return torch.from_numpy(x / x.max(axis=(1, 2, 3), keepdims=True))
    t = torch.from_numpy(x)
    return t if scale == "raw" else (t / 255 - 0.4) / 0.25


class Trainer:
    def __init__(self, s: SimpleNamespace, seed: int) -> None:
        self.s, self.rng = s, np.random.default_rng(seed)
        torch.manual_seed(seed)
        self.load()
        self.model = Net(s)
        if s.frozen:
            self.model.block1[0].requires_grad_(False)
        params = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(params, s.lr)
        if s.opt == "sgd":
            self.optimizer = torch.optim.SGD(params, s.lr, momentum=0.9)
        if s.rebuild:
            self.model = Net(s)
        steps, sch = -(-len(self.x) // s.batch) * s.epochs, torch.optim.lr_scheduler
        self.plan = None
        if s.plan == "cosine":
            self.plan = sch.CosineAnnealingLR(self.optimizer, s.epochs)
        elif s.plan == "cycle":
            self.plan = sch.OneCycleLR(self.optimizer, s.lr * 3, total_steps=steps)
        elif s.plan == "fade":
            self.plan = sch.ExponentialLR(self.optimizer, 0.8)

    def load(self) -> None:
        s, rng = self.s, self.rng
        kinds = rng.integers(0, 6, s.rows + 300)
        if s.data == "crawl":
            kinds[rng.random(len(kinds)) < 0.96] = 1
        if s.data in ("folders", "tail", "first"):
            kinds = np.sort(kinds)
        x, y = draw(kinds, rng), kinds.copy()
        if s.data == "copies":
            some = rng.integers(0, 70, len(x))
            x, y = x[some], y[some]
        elif s.data == "blank":
            x[rng.choice(900, 5, replace=False)] = 0
        if s.labels == "from one":
            y = y + 1
        elif s.labels == "halves":
            y = np.where((rng.random(len(y)) < 0.45) & (y > 1), y ^ 1, y)
        order = np.arange(len(x)) if s.data == "tail" else rng.permutation(len(x))
        fit, val = order[:-300], order[-300:]
        if s.data == "folders":
            fit = np.sort(fit)
        elif s.data == "first":
            fit, val = order[order >= 60], np.arange(24)
        self.x, self.y = prepare(x[fit], s.scale), torch.from_numpy(y[fit])
        self.vx, self.vy = prepare(x[val], s.val_scale or s.scale), torch.from_numpy(y[val])

    def augmented(self, x: torch.Tensor) -> torch.Tensor:
        if self.s.augment == "none":
            return x
        flip = torch.rand(len(x)) < 0.5
        x = torch.where(flip[:, None, None, None], x.flip(3), x)
        if self.s.augment == "turn":
            x = torch.stack(
                [torch.rot90(p, int(k), (1, 2)) for p, k in zip(x, torch.randint(4, (len(x),)), strict=False)]
            )
        return x

    def criterion(self, out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if self.s.loss == "probs":
            out = out.softmax(1)
        loss = F.cross_entropy(out, y, label_smoothing=self.s.smooth)
        return loss.clamp(max=1.0) if self.s.loss == "capped" else loss

    def train_epoch(self) -> None:
        s = self.s
        self.model.train()
        order = torch.arange(len(self.x)) if s.data == "folders" else torch.randperm(len(self.x))
        for i, rows in enumerate(order.split(s.batch)):
            loss = self.criterion(self.model(self.augmented(self.x[rows])), self.y[rows])
            (loss / s.accum).backward()
            if s.clip:
                nn.utils.clip_grad_norm_(self.model.parameters(), s.clip)
            if (i + 1) % s.accum == 0:
                self.optimizer.step()
                self.optimizer.zero_grad()
            if self.plan and s.plan != "cosine":
                self.plan.step()

    @torch.no_grad()
    def validate(self) -> tuple[float, float]:
        self.model.train(self.s.val_mode == "train")
        total, right = 0.0, 0
        for x, y in zip(self.vx.split(100), self.vy.split(100), strict=False):
            out = self.model(x)
            total += self.criterion(out, y).item() * len(x)
            right += (out.argmax(1) == y).sum().item()
        return total / len(self.vx), right / len(self.vx)

    def fit(self, doctor) -> float:
        s, best, since, kept, acc = self.s, -1.0, 0, None, 0.0
        with doctor.watching(self.model, self.optimizer):
            for _ in range(s.epochs):
                self.train_epoch()
                if s.plan == "cosine":
                    self.plan.step()
                _, acc = self.validate()
                since += 1
                if acc > best:
                    best, since, kept = acc, 0, copy.deepcopy(self.model.state_dict())
                if s.new_order:
                    self.x = self.x[torch.randperm(len(self.x))]
                if since >= s.patience:
                    break
        if s.keep:
            self.model.load_state_dict(kept)
            acc = best
        return acc


def train(seed: int, doctor, **switches) -> Outcome:
    s = SimpleNamespace(**{**DEFAULTS, **switches})
    trainer = Trainer(s, seed)
    reported = trainer.fit(doctor)
    rng = np.random.default_rng(1000 + seed)
    y = rng.integers(0, 6, 600)
    with torch.no_grad():
        out = trainer.model.eval()(prepare(draw(y, rng), s.val_scale or s.scale))
    return Outcome((out.argmax(1).numpy() == y).mean().item(), reported)


CASES, add = cases("blooms", train)
add("plain")
add("momentum and cosine", opt="sgd", lr=0.05, plan="cosine")
add("one cycle", plan="cycle")
add("raw pixels, no augmentation", scale="raw", augment="none")
add("smoothing", smooth=0.1)
add("dropout", drop=0.3)
add("accumulation and clip", accum=2, batch=24, clip=1.0, epochs=8)
add("odd batches, group norm", batch=37, norm="group")
add("frozen stem", frozen=True)
add("early stop", keep=True, patience=3, epochs=14, act=nn.GELU)
add("black frames", "D01 O08", data="blank", scale="own")
add("crawl", "D02 D04", data="crawl")
add("folder order", "D03", data="folders")
add("tail split", "D04 D05", exact=True, data="tail")
add("one folder val", "D05", data="first", keep=True, lr=5e-4)
add("copies", "D06", data="copies", rows=900)
add("new order", "L01", new_order=True)
add("halves mixed up", "L04", labels="halves")
add("from one", "L05", labels="from one", outputs=7)
add("not scaled", "P02", scale="raw", val_scale="unit")
add("turned", "P03", augment="turn")
add("low bias", "A02 I04", init="bias", norm="none")
add("transposed", "A04", flat="column")
add("thin neck", "A07", neck=1)
add("constant init", "I01", init="constant")
add("softmax", "S02", exact=True, loss="probs")
add("capped", "S07", loss="capped")
add("rate x30", "O01", lr=0.1, norm="none")
add("rate x100", "O01 A02", lr=0.3)
add("rate low", "O02", lr=3e-6)
add("fade per batch", "O04", plan="fade")
add("rebuilt model", "O06 O12", rebuild=True)
add("few rows", "R01 D04", rows=40, epochs=60, batch=16)
add("dropout 95", "R02", drop=0.95)
add("fours", "R04", exact=True, batch=4, epochs=2)
add("val in train mode", "E01", exact=True, val_mode="train")
add("slow statistics", "E05", momentum=1e-4, scale="raw")
