"""A small variational autoencoder of sprites, 8 pixels by 8; the score is the R2 of new sprites rebuilt.

Its loss is written by hand, its batches are cut by hand, and nobody validates.
"""

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn


def sprites(n: int, rng: np.random.Generator) -> Tensor:
    """Sprites (n, 1, 8, 8) between 0 and 1: a square, a cross or a diamond of some size at some place."""
    rows, columns = np.mgrid[:8, :8]
    shots = np.empty((n, 1, 8, 8), np.float32)
    for shot, kind in zip(shots, rng.integers(0, 3, n), strict=True):
        y, x = np.abs(rows - rng.uniform(2, 5)), np.abs(columns - rng.uniform(2, 5))
        distance = (np.maximum(y, x), 3 * np.minimum(y, x), y + x)[kind]
        edge = 1 / (1 + np.exp(2.5 * (distance - rng.uniform(1.2, 2.5))))
        shot[0] = rng.uniform(0.6, 1) * edge + 0.02 * rng.random((8, 8))
    return torch.from_numpy(shots.clip(0, 1))


class Autoencoder(nn.Module):
    """Two convolutions down to a mean and a log variance; two linear layers up again."""

    def __init__(self, latent=8, width=96, act=nn.ReLU, drop=0.0, mistake=""):
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(1, 12, 3, stride=2, padding=1), act(), nn.Conv2d(12, 24, 3, stride=2, padding=1), act()
        )
        self.code = nn.Linear(96, 2 * latent)
        self.up = nn.Sequential(
            nn.Linear(latent, width),
            act(),
            nn.Dropout(drop),
            nn.Linear(width, 64),
            nn.Sigmoid(),
            nn.Unflatten(1, (1, 8, 8)),
        )
        if mistake == "layer never called":
            self.hidden = nn.Linear(96, 96)
        self.mistake = mistake

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.down(x)
        # The mistake: features come first and rows last, so that each code is made of pieces of all.
        h = h.reshape(-1, len(h)).T if self.mistake == "rows mixed in reshape" else h.flatten(1)
        mean, log_var = self.code(h).chunk(2, 1)
        z = mean
        if self.training:
            z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        if self.mistake == "code detached":
            z = z.detach()
        return self.up(z), mean, log_var


def divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """From the standard normal, mean over rows."""
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1).mean()


def squares(rebuilt: Tensor, x: Tensor) -> Tensor:
    return 5 * ((rebuilt - x) ** 2).sum((-1, -2)).mean()


def cross_entropy(rebuilt: Tensor, x: Tensor) -> Tensor:
    rebuilt = rebuilt.clamp(1e-6, 1 - 1e-6)
    return -(x * rebuilt.log() + (1 - x) * (1 - rebuilt).log()).sum((-1, -2)).mean()


def train(
    seed,
    doctor,
    *,
    rows=1200,
    epochs=16,
    batch=32,
    lr=3e-3,
    optimizer=torch.optim.Adam,
    gamma=1.0,
    clip=0.0,
    accumulate=1,
    beta=0.1,
    warmup=0,
    loss=squares,
    init=0.0,
    net=None,
    mistake="",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x = sprites(rows, rng)
    fresh = sprites(400, rng)
    if mistake == "standardised sprites under a sigmoid":
        fresh = (fresh - x.mean()) / x.std()
        x = (x - x.mean()) / x.std()
    elif mistake == "pixels in bytes under a sigmoid":
        x, fresh = 255 * x, 255 * fresh
    elif mistake == "holes in some sprites":
        x[torch.from_numpy(rng.random(x.shape) < 0.0005)] = torch.nan
    targets = x
    if mistake == "targets shuffled apart":
        targets = x[torch.from_numpy(rng.permutation(rows))]
    elif mistake == "targets without a channel":
        targets = x[:, 0]

    model = Autoencoder(**(net or {}), mistake=mistake)
    for name, weight in model.named_parameters():
        if init and weight.dim() > 1:
            nn.init.normal_(weight, 0.0, init)
        elif mistake == "zero weights":
            nn.init.zeros_(weight)
        elif mistake == "biases far below zero" and name in ("down.0.bias", "down.2.bias", "up.0.bias"):
            nn.init.constant_(weight, -4.0)
    coder = [*model.down.parameters(), *model.code.parameters()]
    parts = [list(model.parameters())]
    if mistake == "decoder not in the optimizer":
        parts = [coder]
    elif mistake == "two optimizers":  # no mistake: it is meant
        parts = [coder, list(model.up.parameters())]
    opts = [optimizer(part, lr=lr) for part in parts]
    schedules = [torch.optim.lr_scheduler.ExponentialLR(opt, gamma) for opt in opts]

    step = 0
    with doctor.watching(model, opts[0] if len(opts) == 1 else opts):
        for _ in range(epochs):
            order = torch.randperm(rows)
            for start in range(0, rows, batch):
                now = order[start : start + batch]
                if step % accumulate == 0 and mistake != "gradients never zeroed":
                    for opt in opts:
                        opt.zero_grad()
                rebuilt, mean, log_var = model(x[now])
                price = beta * min(1.0, step / warmup) if warmup else beta
                if mistake == "sign of the divergence":
                    price = -price
                cost = loss(rebuilt, targets[now]) + price * divergence(mean, log_var)
                if mistake == "loss clamped":
                    cost = cost.clamp(max=10.0)
                (cost / accumulate).backward()
                step += 1
                if step % accumulate == 0:
                    if clip:
                        nn.utils.clip_grad_norm_(model.parameters(), clip)
                    for opt in opts:
                        opt.step()
                if mistake == "schedule stepped each batch":
                    schedules[0].step()
            if mistake != "schedule stepped each batch":
                for schedule in schedules:
                    schedule.step()

    model.eval()
    with torch.no_grad():
        error = ((model(fresh)[0] - fresh) ** 2).mean() / ((fresh - fresh.mean(0)) ** 2).mean()
    score = max(0.0, 1 - error.item())
    return Outcome(score, score)


CASES, add = cases("sprites", train)
add("as it should be")
add("holes in some sprites", "D01", mistake="holes in some sprites")
add("targets shuffled apart", "L02", mistake="targets shuffled apart")
add("rows mixed in reshape", "A04", mistake="rows mixed in reshape")
add("one latent number", "A07", net={"latent": 1})
add("layer never called", "A08", exact=True, mistake="layer never called")
add("biases far below zero", "A02", mistake="biases far below zero")
add("zero weights", "I01", mistake="zero weights")
add("weights of std 1.5", "I03", init=1.5)
add("weights of std 1e-4", "I02", init=1e-4)
add("standardised sprites under a sigmoid", "S04", mistake="standardised sprites under a sigmoid")
add("pixels in bytes under a sigmoid", "S04", mistake="pixels in bytes under a sigmoid")
add("targets without a channel", "S05", mistake="targets without a channel")
add("sign of the divergence", "S07", mistake="sign of the divergence")
add("loss clamped", "S07", mistake="loss clamped")
add("lr 0.3", "O01", lr=0.3)
add("lr 3e-6", "O02", lr=3e-6)
add("schedule stepped each batch", "O04", gamma=0.8, mistake="schedule stepped each batch")
add("gradients never zeroed", "O05", exact=True, mistake="gradients never zeroed")
add("decoder not in the optimizer", "O06", exact=True, mistake="decoder not in the optimizer")
add("code detached", "O10 G03", mistake="code detached")
add("SGD, clipping at 1e-4", "O11", optimizer=torch.optim.SGD, lr=0.1, clip=1e-4)
add("accumulation longer than the run", "O12", accumulate=1000)
add("dropout 0.95", "R02", net={"drop": 0.95})
add("four epochs", "R03", epochs=4, lr=1e-3)
add("divergence counts 5", "G03", beta=5.0)
add("divergence counts 2", "G03", beta=2.0)

add("two optimizers", mistake="two optimizers")
add("divergence warmed up", warmup=300)
add("cross entropy per pixel", loss=cross_entropy, beta=0.05)
add("tanh, width 64", net={"act": nn.Tanh, "width": 64})
add("lr 0.008", lr=0.008)
add("accumulation over 2 batches of 16", batch=16, accumulate=2)
add("clipping at 1", clip=1.0)
add("RMSprop, lr 0.002", optimizer=torch.optim.RMSprop, lr=0.002)
add("rate falls to a tenth", gamma=0.87, lr=5e-3)
