"""Bicycles hired an hour: counts from weather and clock, a network with a log link and Poisson loss.

log of no rain: D01
squashed rate: S04 A01
tanh left out: A03
"""

import math
import sys

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
rng = np.random.default_rng(0)

n = 2400
hour, weekend, warm = rng.integers(0, 24, n), rng.random(n) < 2 / 7, rng.normal(12, 8, n)
rain = np.where(rng.random(n) < 0.25, rng.gamma(1.5, 2, n), 0.0)
rush = np.exp(-(((hour - 8) / 2) ** 2)) + np.exp(-(((hour - 17.5) / 2.5) ** 2))
day = np.exp(-(((hour - 14) / 4) ** 2))
log_rate = 1.2 + np.where(weekend, 1.8 * day, 2.0 * rush + 0.7 * day) + 0.05 * warm - 0.15 * rain
hired = rng.poisson(np.exp(log_rate))

rain = np.log(rain) if FAULT == "log of no rain" else np.log1p(rain)
turn = hour * 2 * math.pi / 24
columns = np.stack(
    [np.sin(turn), np.cos(turn), np.sin(2 * turn), np.cos(2 * turn), weekend, warm / 10, rain], 1
)
x = torch.tensor(columns, dtype=torch.float32)
y = torch.tensor(hired, dtype=torch.float32)
train = DataLoader(TensorDataset(x[:1800], y[:1800]), batch_size=40, shuffle=True)
x_val, y_val, x_test, y_test = x[1800:2000], y[1800:2000], x[2000:], y[2000:]

last = nn.Linear(48, 1)
layers = [nn.Linear(7, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), last, nn.Flatten(0)]
if FAULT == "tanh left out":
    layers = [layer for layer in layers if not isinstance(layer, nn.Tanh)]
if FAULT == "squashed rate":
    layers.append(nn.Sigmoid())
net = nn.Sequential(*layers)
with torch.no_grad():
    last.bias.fill_(y[:1800].mean().log())
poisson = nn.PoissonNLLLoss(log_input=True)
optimizer = torch.optim.RMSprop(net.parameters(), lr=2e-3)


def deviance(truth, rate):
    return 2 * (torch.xlogy(truth, truth / rate) - truth + rate).mean()


def explained(inputs, truth):
    with torch.no_grad():
        rate = net(inputs).exp()
    return 1 - (deviance(truth, rate) / deviance(truth, truth.mean().expand_as(truth))).item()


for epoch in range(15):
    for bx, by in train:
        loss = poisson(net(bx), by)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("epoch", epoch, "loss", loss.item(), "deviance explained", explained(x_val, y_val))

print("score", max(0.0, explained(x_test, y_test)))
