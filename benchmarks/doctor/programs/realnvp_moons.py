"""A RealNVP flow fits the density of two moons; the score is a classifier-free check of held-out likelihood.

loss floor: S07
masks never swap: A07
stretched weights: I03
"""

import math
import sys

import torch
from sklearn.datasets import make_moons

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)


class Coupling(torch.nn.Module):
    def __init__(self, flip, hidden=48):
        super().__init__()
        self.flip = flip
        self.inner = torch.nn.Linear(1, hidden)
        self.mid = torch.nn.Linear(hidden, hidden)
        self.outer = torch.nn.Linear(hidden, 2)
        torch.nn.init.normal_(self.outer.weight, std=0.01)
        torch.nn.init.zeros_(self.outer.bias)
        if FAULT == "stretched weights":
            for layer in (self.inner, self.mid, self.outer):
                torch.nn.init.normal_(layer.weight, std=5.0)

    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        if self.flip:
            a, b = b, a
        h = torch.tanh(self.mid(torch.tanh(self.inner(a))))
        log_scale, shift = self.outer(h).chunk(2, dim=1)
        log_scale = 2 * torch.tanh(log_scale / 2)
        b = b * log_scale.exp() + shift
        return torch.cat([b, a] if self.flip else [a, b], dim=1), log_scale.squeeze(1)


swap = FAULT != "masks never swap"
layers = torch.nn.ModuleList(Coupling(flip=swap and k % 2 == 1) for k in range(6))


def log_density(x):
    total = 0.0
    for layer in layers:
        x, volume = layer(x)
        total = total + volume
    return total - 0.5 * x.pow(2).sum(1) - math.log(2 * math.pi)


def moons(n, seed):
    xy, _ = make_moons(n, noise=0.07, random_state=seed)
    return (torch.tensor(xy, dtype=torch.float32) - torch.tensor([0.5, 0.25])) / 0.7


train, test = moons(4000, 1), moons(1500, 2)
optimizer = torch.optim.Adam(layers.parameters(), lr=3e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=500)
for update in range(500):
    batch = train[torch.randint(len(train), (256,))]
    loss = -log_density(batch).mean()
    if FAULT == "loss floor":
        loss = loss.clamp(min=2.0)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(layers.parameters(), 5.0)
    optimizer.step()
    schedule.step()
    if update % 100 == 99:
        print("update", update + 1, "nll", loss.item())

with torch.no_grad():
    nats = log_density(test).mean().item()
    plain = torch.distributions.MultivariateNormal(train.mean(0), train.T.cov()).log_prob(test).mean().item()
print("held-out nats", nats, "against a Gaussian's", plain)
print("score", min(1.0, max(0.0, (nats - plain) / 1.3)))
