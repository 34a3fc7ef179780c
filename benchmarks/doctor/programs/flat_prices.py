"""Prices of flats from six columns: linear regression with a hand-written Adam.

prices in euro: P04 O02
rebound name: O12 !
"""

import sys

import numpy as np
import torch
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
rng = np.random.default_rng(0)

n = 1200
area = rng.gamma(9, 8, n)
rooms = np.clip(np.round(area / 25 + rng.normal(0, 0.7, n)), 1, 8)
floor = rng.integers(0, 9, n)
year = rng.integers(1900, 2024, n)
metro = rng.exponential(900, n)
balcony = rng.integers(0, 2, n)
price = 60000 + 3100 * area + 9000 * rooms + 2500 * floor + 700 * (year - 1960)
price = price - 35 * metro + 12000 * balcony + rng.normal(0, 30000, n)

x = torch.tensor(np.stack([area, rooms, floor, year, metro, balcony], 1), dtype=torch.float32)
y = torch.tensor(price, dtype=torch.float32)
test, train = torch.arange(0, 300), torch.arange(300, n)
x = (x - x[train].mean(0)) / x[train].std(0)
offset, unit = y[train].mean(), y[train].std()
if FAULT == "prices in euro":
    offset, unit = 0.0, 1.0
target = (y - offset) / unit

model = nn.Linear(6, 1)
state = {name: [torch.zeros_like(p), torch.zeros_like(p)] for name, p in model.named_parameters()}
t = 0
for epoch in range(40):
    for rows in train[torch.randperm(len(train))].split(50):
        model.zero_grad()
        error = model(x[rows])[:, 0] - target[rows]
        loss = error.square().mean()
        loss.backward()
        t += 1
        with torch.no_grad():
            for name, p in model.named_parameters():
                first, second = state[name]
                first.lerp_(p.grad, 0.1)
                second.lerp_(p.grad.square(), 0.001)
                step = 0.01 * (first / (1 - 0.9**t)) / ((second / (1 - 0.999**t)).sqrt() + 1e-8)
                if FAULT == "rebound name":
                    p = p - step
                else:
                    p -= step
    if epoch % 8 == 0:
        print(f"epoch {epoch} loss {loss.item()!r}")

with torch.no_grad():
    guess = model(x[test])[:, 0] * unit + offset
r2 = 1 - (y[test] - guess).square().sum() / (y[test] - y[test].mean()).square().sum()
print("score", max(0.0, r2.item()))
