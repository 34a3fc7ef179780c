"""Rare fraud among card payments: an MLP with a weighted sampler, judged by balanced accuracy.

plain batches: D02
copies before the split: D06
"""

import sys

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
rng = np.random.default_rng(5)


def payments(n):
    fraud = (rng.random(n) < 0.05).astype(int)
    x = rng.normal(size=(n, 20))
    x[:, :5] += 0.85 * fraud[:, None]
    return x.astype(np.float32), fraud


x, y = payments(3000)
x_test, y_test = payments(4000)
if FAULT == "copies before the split":
    rare = np.flatnonzero(y)
    x, y = np.concatenate([x, np.repeat(x[rare], 18, 0)]), np.concatenate([y, np.repeat(y[rare], 18)])
x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)

rows = TensorDataset(torch.tensor(x_train), torch.tensor(y_train))
weight = 1.0 / np.bincount(y_train)[y_train]
if FAULT == "plain batches":
    loader = DataLoader(rows, batch_size=64, shuffle=True)
else:
    loader = DataLoader(rows, batch_size=64, sampler=WeightedRandomSampler(weight, len(y_train)))

net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 2))
optimizer = torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-3)


def balanced(inputs, truth):
    with torch.no_grad():
        return balanced_accuracy_score(truth, net(torch.as_tensor(inputs)).argmax(1))


for epoch in range(8):
    for bx, by in loader:
        loss = nn.functional.cross_entropy(net(bx), by)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    reported = balanced(x_val, y_val)
    print("epoch", epoch, "loss", loss.item(), "balanced accuracy", reported)

print("reported", reported)
print("score", balanced(x_test, y_test))
