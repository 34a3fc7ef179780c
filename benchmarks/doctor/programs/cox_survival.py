"""Risk of patients from the Cox partial likelihood of a small network; judged by concordance.

times sorted by themselves: L02 L01
raw laboratory values: P01
"""

import sys

import numpy as np
import torch
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
rng = np.random.default_rng(3)
N = 900

age, marker = rng.normal(60, 10, N), rng.lognormal(8, 0.6, N)
pressure, others = rng.normal(130, 15, N), rng.normal(size=(N, 12))
danger = 1.6 * (age - 60) / 10 + 1.8 * np.abs((pressure - 130) / 15) + 1.2 * (np.log(marker) - 8)
life = rng.exponential(np.exp(-1.3 * danger))
leave = rng.exponential(np.median(life) * 4, N)
time, died = np.minimum(life, leave), life <= leave
X = np.column_stack([age, marker, pressure, others])


def concordance(risk, time, died):
    later = (time[:, None] < time[None]) & died[:, None]
    gap = risk[:, None] - risk[None]
    return float(((gap > 0) + 0.5 * (gap == 0))[later].mean())


def partial_likelihood(risk, died):
    """Patients in falling order of time, so that those at risk stand before each."""
    return (torch.logcumsumexp(risk, 0) - risk)[died].mean()


fit, hold = np.arange(0, 500), np.arange(500, N)
if FAULT != "raw laboratory values":
    X = (X - X[fit].mean(0)) / X[fit].std(0)
X = torch.tensor(X, dtype=torch.float32)

falling = np.argsort(-time[fit])
x, d = X[fit][falling], torch.tensor(died[fit][falling])
if FAULT == "times sorted by themselves":
    x = X[fit]

net = nn.Sequential(nn.Linear(15, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.02)
for step in range(1, 151):
    loss = partial_likelihood(net(x)[:, 0], d)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 25 == 0:
        with torch.no_grad():
            risk = net(X[hold])[:, 0].numpy()
        print(step, loss.item(), "concordance", concordance(risk, time[hold], died[hold]))

with torch.no_grad():
    print("score", concordance(net(X[hold])[:, 0].numpy(), time[hold], died[hold]))
