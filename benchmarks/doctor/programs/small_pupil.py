"""Digits with few labels: a large teacher learns first, a small pupil copies it on the unlabelled rest.

wrong parameters: O06 O12
sign of the divergence: S07
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

raw, digit = load_digits(return_X_y=True)
order = torch.randperm(len(raw))
x = torch.tensor(raw, dtype=torch.float32)[order] / 8 - 1
y = torch.tensor(digit)[order]
labelled, everything, test = slice(0, 500), slice(0, 1300), slice(1300, None)


def accuracy(model, inputs, truth):
    model.eval()
    with torch.no_grad():
        return (model(inputs).argmax(1) == truth).float().mean().item()


teacher = nn.Sequential(
    nn.Linear(64, 256),
    nn.ReLU(),
    nn.Dropout(0.3),
    nn.Linear(256, 256),
    nn.ReLU(),
    nn.Dropout(0.3),
    nn.Linear(256, 10),
)
pupil = nn.Sequential(nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))

optimizer = torch.optim.Adam(teacher.parameters(), lr=1e-3)
for _epoch in range(25):
    teacher.train()
    for rows in torch.randperm(500).split(50):
        loss = F.cross_entropy(teacher(x[labelled][rows]), y[labelled][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print("teacher", loss.item(), accuracy(teacher, x[test], y[test]))

HEAT = 3.0
with torch.no_grad():
    soft = F.softmax(teacher(x[everything]) / HEAT, 1)
learner = teacher if FAULT == "wrong parameters" else pupil
optimizer = torch.optim.Adam(learner.parameters(), lr=4e-3)
for epoch in range(25):
    pupil.train()
    total = 0.0
    for rows in torch.randperm(len(soft)).split(40):
        mine = F.log_softmax(pupil(x[everything][rows]) / HEAT, 1)
        if FAULT == "sign of the divergence":
            loss = (soft[rows] * (mine - soft[rows].log())).sum(1).mean() * HEAT**2
        else:
            loss = (soft[rows] * (soft[rows].log() - mine)).sum(1).mean() * HEAT**2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    if epoch % 5 == 4:
        print("pupil epoch", epoch + 1, total, accuracy(pupil, x[labelled], y[labelled]))

print("score", accuracy(pupil, x[test], y[test]))
