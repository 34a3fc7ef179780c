"""A sensor whose error grows with the signal: mean and spread together, from the Gaussian likelihood.

mean as a column: S05 !
likelihood kept positive: S07
split before shuffling: D04
"""

import math
import sys

import torch
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)


def truth(x):
    return torch.sin(2 * x) + 0.3 * x, 0.03 + 0.12 * torch.sigmoid(2 * x)


x = torch.linspace(-3, 3, 2000)
y = truth(x)[0] + truth(x)[1] * torch.randn(2000)
order = torch.arange(2000) if FAULT == "split before shuffling" else torch.randperm(2000)
train, valid = order[:1200], order[1200:]

trunk = nn.Sequential(nn.Linear(1, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
mean_head, spread_head = nn.Linear(64, 1), nn.Linear(64, 1)
everything = nn.ModuleList([trunk, mean_head, spread_head])


def predict(x):
    h = trunk(x[:, None])
    mean = mean_head(h)
    if FAULT != "mean as a column":
        mean = mean[:, 0]
    return mean, nn.functional.softplus(spread_head(h)[:, 0]) + 1e-3


def minus_log_likelihood(mean, spread, y):
    return (spread.log() + 0.5 * ((y - mean) / spread).square() + 0.5 * math.log(2 * math.pi)).mean()


optimizer = torch.optim.Adam(everything.parameters(), lr=4e-3)
plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=4)
for epoch in range(24):
    for rows in train[torch.randperm(len(train))].split(50):
        mean, spread = predict(x[rows])
        loss = minus_log_likelihood(mean, spread, y[rows])
        if FAULT == "likelihood kept positive":
            loss = loss.clamp(min=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        held = minus_log_likelihood(*predict(x[valid]), y[valid]).item()
    plateau.step(held)
    if epoch % 3 == 2:
        print("epoch", epoch + 1, "train", loss.item(), "valid", held)

x = torch.rand(2000) * 6 - 3
mean, spread = truth(x)
y = mean + spread * torch.randn(2000)
best = minus_log_likelihood(mean, spread, y)
with torch.no_grad():
    mean, spread = predict(x)
    found = minus_log_likelihood(mean.reshape(-1), spread, y)
print("score", min(1.0, (best - found).exp().item()))
