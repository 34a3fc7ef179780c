"""Spoken keywords: log spectrograms of 20 bins x 24 frames, a small CNN and our own Learner."""

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

BINS, FRAMES = 20, 24
# per word: (bin at start, bin at end, onset, length) of each formant track
WORDS = {
    "yes": [(4, 9, 4, 9), (14, 14, 12, 7)],
    "no": [(9, 4, 4, 9), (14, 14, 4, 7)],
    "up": [(5, 11, 5, 13)],
    "down": [(11, 5, 5, 13)],
    "left": [(7, 7, 4, 7), (11, 15, 12, 7)],
    "right": [(7, 7, 12, 7), (15, 11, 4, 7)],
}
NAMES = list(WORDS)


def record(word, rng):
    """One clip as power per bin and frame."""
    power = rng.exponential(0.25, (BINS, FRAMES))
    shift, pitch, bins = rng.integers(-3, 4), rng.normal(0, 1.0), np.arange(BINS)
    for start, end, onset, length in WORDS[word]:
        gain = rng.lognormal(0.3, 0.5)
        n = max(3, int(length * rng.uniform(0.8, 1.2)))
        for i in range(n):
            t = onset + shift + i
            if 0 <= t < FRAMES:
                centre = start + (end - start) * i / (n - 1) + pitch
                power[:, t] += gain * np.exp(-0.5 * (bins - centre) ** 2)
    return power


def collect(n, rng):
    y = rng.integers(0, len(NAMES), n)
    return np.stack([record(NAMES[k], rng) for k in y]), y


def block(cin, cout, momentum=0.1, stride=2):
    norm = nn.BatchNorm2d(cout, momentum=momentum)
    return nn.Sequential(nn.Conv2d(cin, cout, 3, stride, 1), norm, nn.ReLU())


class KeywordNet(nn.Module):
    def __init__(self, n_out=6, drop=0.1, momentum=0.1, head="plain", cut=False, ckpt=False):
        super().__init__()
        self.b1, self.b2 = block(1, 8, momentum), block(8, 16, momentum)
        self.b3 = block(16, 16, momentum, stride=1)
        self.fc = nn.Linear(16 * 5 * 6, 32)
        self.drop = nn.Dropout(drop)
        self.out = nn.Linear(32, n_out)
        self.head, self.cut, self.ckpt = head, cut, ckpt

    def forward(self, x):
        z = self.b2(self.b1(x))
        z = z.detach() if self.cut else z
        if self.ckpt:
            z = checkpoint(self.b3, z, use_reentrant=False)
        elif self.head != "short":
            z = self.b3(z)
        z = z.transpose(0, 1).reshape(len(x), -1) if self.head == "swapped" else z.flatten(1)
        z = self.out(self.drop(F.relu(self.fc(z))))
        return z.softmax(-1) if self.head == "softmax" else z


def spec_augment(x, kind, gen):
    x = x.clone()
    if kind == "mask":
        f, t = (int(torch.randint(0, m, (1,), generator=gen)) for m in (BINS - 2, FRAMES - 3))
        x[:, :, f : f + 2], x[:, :, :, t : t + 3] = 0, 0
    elif kind == "flip":
        back = torch.rand(len(x), generator=gen) < 0.5
        x[back] = x[back].flip(3)
    return x


class Learner:
    def __init__(self, model, opt, loss_fn, train_dl, val_dl, doctor, **cfg):
        self.model, self.opt, self.loss_fn, self.doctor = model, opt, loss_fn, doctor
        self.train_dl, self.val_dl, self.cfg = train_dl, val_dl, cfg
        self.sched, self.per_batch, self.acc = None, False, 0.0
        self.gen = torch.Generator().manual_seed(cfg["seed"])

    def before_epoch(self):
        self.total, self.rows = 0.0, 0
        self.model.train()

    def one_batch(self, i, xb, yb):
        xb = spec_augment(xb, self.cfg["aug"], self.gen)
        loss = self.loss_fn(self.model(xb), yb)
        every = self.cfg.get("accumulate", 1)
        (loss / every).backward()
        if (i + 1) % every == 0:
            if self.cfg.get("clip"):
                nn.utils.clip_grad_norm_(self.model.parameters(), self.cfg["clip"])
            self.opt.step()
            self.opt.zero_grad()
            if self.sched and self.per_batch:
                self.sched.step()
        self.total, self.rows = self.total + loss.item() * len(yb), self.rows + len(yb)
        self.doctor.on_step(loss, (xb, yb))

    def after_epoch(self):
        if self.cfg.get("val_mode", True):
            self.model.eval()
        hits, total, n = 0, 0.0, 0
        with torch.no_grad():
            for xb, yb in self.val_dl:
                out = self.model(xb)
                total += self.loss_fn(out, yb).item() * len(yb)
                hits, n = hits + int((out.argmax(1) == yb).sum()), n + len(yb)
        self.acc = hits / n
        self.doctor.on_epoch({"loss": self.total / self.rows}, {"loss": total / n, "acc": self.acc})
        if self.sched and not self.per_batch:
            self.sched.step()

    def fit(self, epochs):
        self.doctor.on_start(self.model, self.opt, self.loss_fn, self.train_dl)
        for _ in range(epochs):
            self.before_epoch()
            for i, (xb, yb) in enumerate(self.train_dl):
                self.one_batch(i, xb, yb)
            self.after_epoch()
            if self.acc >= self.cfg.get("enough", 2):
                break


def train(
    seed,
    doctor,
    n=480,
    data="mixed",
    first=0,
    eps=1e-2,
    scale="db",
    lr=0.01,
    opt="adamw",
    sched="onecycle",
    epochs=14,
    batch=32,
    aug="mask",
    init=None,
    loss="ce",
    new_trunk=False,
    frozen=False,
    n_out=6,
    net=None,
    **cfg,
):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = collect(n + 200, rng)
    if data == "copies":
        x, y = (np.resize(v[:40], v.shape) for v in (x, y))
    if data == "folders":
        order = np.argsort(y, kind="stable")
        x, y = x[order], y[order]
    if data == "gated":
        x[rng.random(len(x)) < 0.05, :, :2] = 0
    x, y, xv, yv = x[:n], y[:n] + first, x[n:], y[n:] + first
    test, yt = collect(400, np.random.default_rng(seed + 999))
    clean = np.log(collect(300, np.random.default_rng(seed + 5))[0] + 1e-2)
    mean, std = clean.mean(), clean.std()

    def tensor(p, e=1e-2):
        return torch.tensor((np.log(p + e) - mean) / std, dtype=torch.float32)[:, None]

    xt = tensor(x, eps)
    xv, final = tensor(xv, eps), tensor(test)
    if scale == "power_in_train":
        xt = torch.tensor(x, dtype=torch.float32)[:, None]
    elif scale == "raw_db":
        xt, xv, final = (v * std + mean for v in (xt, xv, final))
    train_dl = DataLoader(TensorDataset(xt, torch.tensor(y)), batch, shuffle=True, drop_last=True)
    val_dl = DataLoader(TensorDataset(xv, torch.tensor(yv)), 100)

    model = KeywordNet(n_out, **(net or {}))
    if init == "wide":
        for m in (model.fc, model.out):
            nn.init.normal_(m.weight, std=4.0)
    elif init == "sparse":
        nn.init.constant_(model.fc.bias, -8.0)
    if frozen:
        model.b1.requires_grad_(False)
    params = [p for p in model.parameters() if p.requires_grad]
    optim = torch.optim.AdamW(params, lr=lr, weight_decay=1e-3)
    if opt == "sgd":
        optim = torch.optim.SGD(params, lr=lr, momentum=0.9, nesterov=True, weight_decay=1e-3)
    if new_trunk:
        model.b1, model.b2, model.fc = block(1, 8), block(8, 16), nn.Linear(480, 32)

    losses = {
        "ce": nn.CrossEntropyLoss(),
        "smooth": nn.CrossEntropyLoss(label_smoothing=0.1),
        "capped": lambda out, t: F.cross_entropy(out, t).clamp(max=1.2),
    }
    cfg.update(seed=seed, aug=aug)
    learn = Learner(model, optim, losses[loss], train_dl, val_dl, doctor, **cfg)
    steps = len(train_dl) // cfg.get("accumulate", 1)
    if sched == "onecycle":
        learn.sched = torch.optim.lr_scheduler.OneCycleLR(optim, lr, total_steps=epochs * steps + 1)
        learn.per_batch = True
    else:
        learn.sched, learn.per_batch = torch.optim.lr_scheduler.StepLR(optim, 5, 0.3), sched == "step_batch"
    learn.fit(epochs)

    model.eval()
    score = float((model(final).argmax(1).numpy() == yt).mean())
    return Outcome(score, learn.acc)


CASES, add = cases("keywords", train)
add("plain")
add("sgd nesterov, steps", opt="sgd", lr=0.05, sched="step")
add("raw decibels", scale="raw_db")
add("label smoothing", loss="smooth")
add("accumulate 2, clip 1", accumulate=2, batch=16, clip=1.0)
add("first block frozen", frozen=True, epochs=16)
add("checkpointed block", net={"ckpt": True})
add("enough is enough, drop of 0.4", enough=0.95, net={"drop": 0.4})

add("digital silence", "D01", exact=True, data="gated", eps=0.0)
add("split of folders", "D04", exact=True, data="folders")
add("copies before split", "D06 R01", exact=True, data="copies")
add("words from one", "L05", exact=True, first=1, n_out=7)
add("power for decibels", "P02", exact=True, scale="power_in_train")
add("played backwards", "P03", aug="flip")
add("bias of -8", "A02", init="sparse")
add("flattened across clips", "A04", exact=True, net={"head": "swapped"})
add("third block left out", "A08", exact=True, net={"head": "short"})
add("head of std 4", "I03 I04", init="wide")
add("softmax in the net", "S02", exact=True, net={"head": "softmax"})
add("loss capped", "S07", loss="capped")
add("rate x100", "O01", lr=1.0)
add("steps per batch", "O04", exact=True, opt="sgd", lr=0.003, sched="step_batch")
add("new trunk, old optimizer", "O06", exact=True, new_trunk=True)
add("trunk detached", "O10", exact=True, net={"cut": True})
add("drop of 0.97", "R02", net={"drop": 0.97})
add("momentum of 1e-4", "E05", net={"momentum": 1e-4}, scale="raw_db")
add("validated in training mode", "E01", exact=True, val_mode=False)
