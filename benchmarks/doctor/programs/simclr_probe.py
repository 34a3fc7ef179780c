"""SimCLR on pictures of six kinds of waves without labels, then a linear probe on a few labelled ones.

views of different rows: L01 L02
too much noise: P03
"""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
SIZE, KINDS = 8, 6


def waves(n):
    """A class is a pair of frequencies; phases and brightness say nothing about it."""
    kind = torch.randint(KINDS, (n,))
    fx = torch.tensor([1.0, 1.0, 2.0, 2.0, 3.0, 0.0])[kind]
    fy = torch.tensor([0.0, 2.0, 1.0, 3.0, 0.0, 2.0])[kind]
    at = torch.arange(SIZE) * 2 * torch.pi / SIZE
    phase = torch.rand(n) * 2 * torch.pi
    angle = fx[:, None, None] * at + fy[:, None, None] * at[:, None] + phase[:, None, None]
    return angle.cos() + 0.3 * torch.randn(n, SIZE, SIZE), kind


def view(batch):
    """A cyclic shift of the picture, a change of contrast and some noise."""
    shift = torch.randint(SIZE, (2,)).tolist()
    out = batch.roll(shift, (1, 2)) * (0.6 + 0.8 * torch.rand(len(batch), 1, 1))
    return out + (8.0 if FAULT == "too much noise" else 0.3) * torch.randn_like(out)


def contrast(a, b, temperature=0.2):
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    alike = a @ b.T / temperature
    pairs = torch.arange(len(a))
    return (F.cross_entropy(alike, pairs) + F.cross_entropy(alike.T, pairs)) / 2


encoder = nn.Sequential(nn.Flatten(), nn.Linear(SIZE**2, 128), nn.ReLU(), nn.Linear(128, 32), nn.ReLU())
head = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 16))
pool, _ = waves(3000)
opt = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=2e-3)
for epoch in range(12):
    for x in pool[torch.randperm(len(pool))].split(150):
        second = x.flip(0) if FAULT == "views of different rows" else x
        loss = contrast(head(encoder(view(x))), head(encoder(view(second))))
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 3 == 2:
        print("epoch", epoch + 1, "contrastive loss", loss.item())

encoder.requires_grad_(False).eval()
x_few, y_few = waves(90)
x_test, y_test = waves(1500)
probe = LogisticRegression(max_iter=500).fit(encoder(x_few).numpy(), y_few)
print("score", probe.score(encoder(x_test).numpy(), y_test))
