"""Four experts and a gate share a regression whose rule differs between regions of the input.

gate over the batch: A04 S03 !
zeros to start: I01 !
demand in a column: D07
gaps unfilled: D01 !
"""

import sys

import numpy as np
import torch
import torch.nn as nn
from sklearn.preprocessing import StandardScaler

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
rng = np.random.default_rng(0)


def readings(n):
    """Heat demand of houses: temperature, wind, sun, occupants and, last, a house number."""
    x = rng.normal(size=(n, 5))
    kind = (x[:, 0] > 0) * 2 + (x[:, 1] > 0)
    slopes = np.array([[2, -1, 0.5, 1], [-1, 2, 1, -1], [0.5, 0.5, -2, 1], [-2, -1, 1, 0.5]])
    y = (slopes[kind] * x[:, :4]).sum(1) + np.sin(2 * x[:, 2]) + 0.2 * rng.normal(size=n)
    x[:, 4] = y if FAULT == "demand in a column" else rng.normal(size=n)
    return x, y


x_train, y_train = readings(3000)
x_val, y_val = readings(800)
x_test, y_test = readings(1500)
x_test[:, 4] = rng.normal(size=len(x_test))
if FAULT == "gaps unfilled":
    x_train[rng.random(len(x_train)) < 0.01, 2] = np.nan
scaler = StandardScaler().fit(x_train)
parts = scaler.transform(x_train), scaler.transform(x_val), scaler.transform(x_test), y_train, y_val, y_test
x_train, x_val, x_test, y_train, y_val, y_test = (torch.tensor(part, dtype=torch.float32) for part in parts)


class Mixture(nn.Module):
    def __init__(self, experts=4, hidden=24):
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(5, 24), nn.ReLU(), nn.Linear(24, experts))
        self.w1 = nn.Parameter(torch.randn(experts, 5, hidden) / 5**0.5)
        self.b1 = nn.Parameter(torch.zeros(experts, 1, hidden))
        self.w2 = nn.Parameter(torch.randn(experts, hidden, 1) / hidden**0.5)
        if FAULT == "zeros to start":
            nn.init.zeros_(self.w1)
            nn.init.zeros_(self.w2)

    def forward(self, x):
        share = self.gate(x).softmax(0 if FAULT == "gate over the batch" else 1)
        hidden = torch.relu(x @ self.w1 + self.b1)
        each = (hidden @ self.w2).squeeze(2).T
        return (share * each).sum(1), share


def r2(x, y):
    with torch.no_grad():
        return 1 - ((model(x)[0] - y).square().mean() / y.var()).item()


model = Mixture()
optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
for epoch in range(20):
    for rows in torch.randperm(len(x_train)).split(64):
        guess, share = model(x_train[rows])
        evenness = (share.mean(0) * share.mean(0).clamp(min=1e-9).log()).sum()
        loss = (guess - y_train[rows]).square().mean() + 0.02 * evenness
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 5 == 4:
        print("epoch", epoch + 1, "loss", loss.item(), "validation R2", r2(x_val, y_val))

print("reported", r2(x_val, y_val))
print("score", max(0.0, r2(x_test, y_test)))
