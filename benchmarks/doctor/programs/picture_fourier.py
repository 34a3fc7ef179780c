"""A picture held in a network: brightness from the place, by Fourier features, fitted to half of the pixels.

started at a ten-thousandth: I02
running means exchanged: O03
"""

import itertools
import math
import sys

import torch

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
SIDE = 48

line = torch.linspace(-1, 1, SIDE)
row, column = torch.meshgrid(line, line, indexing="ij")
rings = torch.cos(9 * (row.square() + (column - 0.2).square()).sqrt())
disc = ((row + 0.3).square() + (column + 0.4).square() < 0.12).float()
picture = 0.6 * rings * torch.exp(-row.square()) + disc - 0.3 * column
place, brightness = torch.stack([row, column], -1).view(-1, 2), picture.flatten()
brightness = (brightness - brightness.mean()) / brightness.std()
seen, unseen = torch.randperm(SIDE * SIDE).chunk(2)

waves = torch.randn(2, 40) * 0.6
turns = math.tau * place @ waves
features = torch.cat([turns.sin(), turns.cos()], 1)

sizes = [features.shape[1], 64, 64, 64, 1]
weights, biases = [], []
for a, b in itertools.pairwise(sizes):
    spread = 1e-4 if FAULT == "started at a ten-thousandth" else math.sqrt(2 / a)
    weights.append((spread * torch.randn(a, b)).requires_grad_())
    biases.append(torch.zeros(b, requires_grad=True))


def paint(z):
    for w, b in zip(weights[:-1], biases[:-1], strict=False):
        z = torch.relu(z @ w + b)
    return (z @ weights[-1] + biases[-1]).squeeze(1)


betas = (0.999, 0.9) if FAULT == "running means exchanged" else (0.9, 0.999)
optimizer = torch.optim.Adam(weights + biases, lr=2e-3, betas=betas)
for step in range(1, 301):
    loss = (paint(features[seen]) - brightness[seen]).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(step, "squared error", loss.item(), "decibels", -10 * math.log10(loss.item()))

with torch.no_grad():
    wrong = (paint(features[unseen]) - brightness[unseen]).pow(2).mean()
print("score", max(0.0, 1 - (wrong / brightness[unseen].var()).item()))
