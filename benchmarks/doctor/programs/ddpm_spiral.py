"""A tiny denoising diffusion model draws a spiral; its samples are compared with held-out points.

decay per batch: O04 !
time unused: A08 !
single epoch: R03
"""

import sys

import torch
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
T = 40
betas = torch.linspace(0.02, 0.5, T) ** 2 + 1e-3
keep = torch.cumprod(1 - betas, 0)


def spiral(n):
    turn = 1 + 6 * torch.rand(n)
    xy = torch.stack([turn * turn.cos(), turn * turn.sin()], 1) / 3.5
    return xy + 0.06 * torch.randn(n, 2)


class NoiseModel(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.when = nn.Embedding(T, width)
        self.start = nn.Linear(2, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.end = nn.Linear(width, 2)

    def forward(self, x, t):
        h = self.start(x)
        if FAULT != "time unused":
            h = h + self.when(t)
        for block in self.blocks:
            h = h + block(nn.functional.silu(h))
        return self.end(nn.functional.silu(h))


@torch.no_grad()
def sample(model, n):
    x = torch.randn(n, 2)
    for t in reversed(range(T)):
        eps = model(x, torch.full((n,), t))
        x = (x - betas[t] / (1 - keep[t]).sqrt() * eps) / (1 - betas[t]).sqrt()
        if t:
            x = x + (betas[t] * (1 - keep[t - 1]) / (1 - keep[t])).sqrt() * torch.randn_like(x)
    return x


def gap(a, b):
    d = torch.cdist(a, b)
    return (d.min(0).values.mean() + d.min(1).values.mean()).item()


data, held_out = spiral(5000), spiral(1500)
model = NoiseModel()
opt = torch.optim.Adam(model.parameters(), lr=2e-3)
sched = torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.88)
for epoch in range(1 if FAULT == "single epoch" else 25):
    total = 0.0
    for x in data[torch.randperm(len(data))].split(128):
        t = torch.randint(T, (len(x),))
        eps = torch.randn_like(x)
        noisy = keep[t, None].sqrt() * x + (1 - keep[t, None]).sqrt() * eps
        loss = nn.functional.mse_loss(model(noisy, t), eps)
        opt.zero_grad()
        loss.backward()
        opt.step()
        total += loss.item() * len(x)
        if FAULT == "decay per batch":
            sched.step()
    if FAULT != "decay per batch":
        sched.step()
    print("epoch", epoch, "loss", total / len(data))
best, blob = gap(spiral(1500), held_out), gap(data.std(0) * torch.randn(1500, 2), held_out)
print("score", max(0.0, (blob - gap(sample(model, 1500), held_out)) / (blob - best)))
