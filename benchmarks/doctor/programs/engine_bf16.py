"""The state of an engine from its sensors: bfloat16 autocast, gradients gathered over several small batches.

two at a time: R04
remainder never reached: O12
"""

import sys

import torch
import torch.nn.functional as F
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

STATES, SENSORS = 5, 24
wiring = torch.randn(SENSORS, SENSORS) / SENSORS**0.5
centres = torch.randn(STATES, 2, SENSORS)
unit = 10 ** torch.empty(SENSORS).uniform_(-1, 2)


def readings(n):
    state = torch.randint(0, STATES, (n,))
    mode = torch.randint(0, 2, (n,))
    x = (centres[state, mode] + 1.0 * torch.randn(n, SENSORS)) @ wiring
    return x * unit, state


x, state = readings(1600)
x_test, state_test = readings(600)
mean, std = x.mean(0), x.std(0)
x, x_test = (x - mean) / std, (x_test - mean) / std

MICRO = 2 if FAULT == "two at a time" else 20
GATHER = 80 // MICRO
model = nn.Sequential(
    nn.Linear(SENSORS, 64),
    nn.BatchNorm1d(64),
    nn.ReLU(),
    nn.Linear(64, 64),
    nn.BatchNorm1d(64),
    nn.ReLU(),
    nn.Linear(64, STATES),
)
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-2)


def accuracy():
    model.eval()
    with torch.no_grad():
        hits = model(x_test).argmax(1) == state_test
    return hits.float().mean().item()


due = GATHER if FAULT == "remainder never reached" else GATHER - 1
for epoch in range(12):
    model.train()
    total = 0.0
    for i, rows in enumerate(torch.randperm(len(x)).split(MICRO)):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = model(x[rows])
        loss = F.cross_entropy(scores.float(), state[rows])
        (loss / GATHER).backward()
        total += loss.item() * len(rows)
        if i % GATHER == due:
            optimizer.step()
            optimizer.zero_grad()
    print("epoch", epoch, "loss", total / len(x))

print("score", accuracy())
