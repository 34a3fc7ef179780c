"""Digits labelled by thirty hasty volunteers: an MLP with a schedule and early stopping.

first volunteer: L04
schedule inside: O04
dropout at validation: E01 !
"""

import copy
import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
rng = np.random.default_rng(1)

pixels, digit = load_digits(return_X_y=True)
order = rng.permutation(len(digit))
pixels, digit = pixels[order] / 16.0, digit[order]
votes = np.where(rng.random((len(digit), 30)) < 0.75, rng.integers(0, 10, (len(digit), 30)), digit[:, None])
label = np.array([np.bincount(v, minlength=10).argmax() for v in votes])
if FAULT == "first volunteer":
    label = votes[:, 0]

x = torch.tensor(pixels, dtype=torch.float32)
y = torch.tensor(label)
x_train, y_train = x[:1000], y[:1000]
x_val, y_val = x[1000:1300], y[1000:1300]
x_test, y_test = x[1300:], torch.tensor(digit[1300:])

net = nn.Sequential(
    nn.Linear(64, 128),
    nn.ReLU(),
    nn.Dropout(0.2),
    nn.Linear(128, 128),
    nn.ReLU(),
    nn.Dropout(0.2),
    nn.Linear(128, 10),
)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.8)
schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)

best, kept, waited = float("inf"), None, 0
for epoch in range(40):
    net.train()
    for rows in torch.randperm(1000).split(25):
        optimizer.zero_grad()
        loss = criterion(net(x_train[rows]), y_train[rows])
        loss.backward()
        optimizer.step()
        if FAULT == "schedule inside":
            schedule.step()
    if FAULT != "schedule inside":
        schedule.step()
    if FAULT != "dropout at validation":
        net.eval()
    with torch.no_grad():
        val = criterion(net(x_val), y_val).item()
    print("epoch", epoch, "train", loss.item(), "val", val)
    if val < best:
        best, kept, waited = val, copy.deepcopy(net.state_dict()), 0
    else:
        waited += 1
        if waited == 8:
            break

net.load_state_dict(kept)
net.eval()
with torch.no_grad():
    print("score", (net(x_test).argmax(1) == y_test).float().mean().item())
