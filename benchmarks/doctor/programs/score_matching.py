"""Learns the score of a three-blob density by denoising; Langevin walkers then look for the blobs.

no activation: A03 !
crawling: O02
below zero: A02
"""

import sys

import torch

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

BLOBS = torch.tensor([[-1.5, -1.0], [1.5, -1.0], [0.0, 1.5]])
SHARE = torch.tensor([0.4, 0.35, 0.25])
LEVELS = torch.tensor([1.5, 0.8, 0.4, 0.2])
HIDDEN = 96


def draw(n):
    return BLOBS[torch.multinomial(SHARE, n, replacement=True)] + 0.2 * torch.randn(n, 2)


def weight(n_in, n_out):
    return torch.nn.Parameter(torch.randn(n_in, n_out) * (2 / n_in) ** 0.5)


W1, W2, W3 = weight(3, HIDDEN), weight(HIDDEN, HIDDEN), weight(HIDDEN, 2)
b1, b2, b3 = (torch.nn.Parameter(torch.zeros(n)) for n in (HIDDEN, HIDDEN, 2))
if FAULT == "below zero":
    b2 = torch.nn.Parameter(torch.full((HIDDEN,), -20.0))
theta = [W1, W2, W3, b1, b2, b3]


def act(h):
    return h if FAULT == "no activation" else h.relu()


def score(x, sigma):
    h = act(torch.cat([x, sigma.log()], 1) @ W1 + b1)
    h = act(h @ W2 + b2)
    return (h @ W3 + b3) / sigma


def langevin(n):
    x = torch.randn(n, 2) * 2
    for level in LEVELS:
        sigma = level.expand(n, 1)
        for _ in range(40):
            pace = 0.1 * level**2
            x = x + pace * score(x, sigma) + (2 * pace).sqrt() * torch.randn_like(x)
    return x


def agreement(x):
    gap, nearest = torch.cdist(x, BLOBS).min(1)
    found = torch.bincount(nearest[gap < 0.8], minlength=len(BLOBS)) / len(x)
    return torch.minimum(found, SHARE).sum().item()


optimizer = torch.optim.RMSprop(theta, lr=1e-7 if FAULT == "crawling" else 1e-3)
running = None
for step in range(1, 1501):
    x = draw(256)
    sigma = LEVELS[torch.randint(len(LEVELS), (256, 1))]
    noise = torch.randn_like(x)
    miss = sigma * score(x + sigma * noise, sigma) + noise
    loss = (miss**2).sum(1).mean()
    for p in theta:
        p.grad = None
    loss.backward()
    optimizer.step()
    running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
    if step % 300 == 0:
        print("step", step, "loss", running)

with torch.no_grad():
    walkers = langevin(2000)
print("score", agreement(walkers))
