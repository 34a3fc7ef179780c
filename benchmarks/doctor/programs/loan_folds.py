"""Will a loan default: five-fold cross-validation, and the five networks together judge new applications.

column from afterwards: D07
fold not scaled: P02 !
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
rng = np.random.default_rng(2)


def applications(n, finished):
    income = rng.lognormal(10.3, 0.5, n)
    debt = income * rng.beta(2, 4, n)
    age = rng.integers(19, 75, n)
    late = rng.poisson(0.8, n)
    years = rng.gamma(2, 3, n)
    risk = 7 * (debt / income - 0.33) + 1.1 * (late - 0.8) - 0.25 * (years - 6) - 0.02 * np.abs(age - 50)
    default = (risk + rng.logistic(0, 1.0, n) > 0).astype(np.float32)
    reminders = rng.poisson(5 * default * finished)
    return np.stack([income / 1000, debt / 1000, age, late, years, reminders], 1).astype(np.float32), default


x, y = applications(1200, finished=1)
x_new, y_new = applications(1500, finished=0)
if FAULT != "column from afterwards":
    x, x_new = x[:, :5], x_new[:, :5]
x_new = torch.tensor(x_new)


def build():
    return nn.Sequential(
        nn.Linear(x.shape[1], 48),
        nn.ELU(),
        nn.Dropout(0.1),
        nn.Linear(48, 24),
        nn.ELU(),
        nn.Dropout(0.1),
        nn.Linear(24, 1),
        nn.Flatten(0),
    )


aucs, votes = [], torch.zeros(len(x_new))
for fold, (a, b) in enumerate(StratifiedKFold(5, shuffle=True, random_state=1).split(x, y)):
    xa, ya, xb = torch.tensor(x[a]), torch.tensor(y[a]), torch.tensor(x[b])
    mean, std = xa.mean(0), xa.std(0)
    xa = (xa - mean) / std
    if FAULT != "fold not scaled":
        xb = (xb - mean) / std
    net = build()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for epoch in range(12):
        net.train()
        for rows in torch.randperm(len(xa)).split(48):
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(net(xa[rows]), ya[rows])
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            auc = roc_auc_score(y[b], net(xb))
        if epoch % 4 == 3:
            print("fold", fold, "epoch", epoch, "loss", loss.item(), "auc", auc)
    aucs.append(auc)
    with torch.no_grad():
        votes += net((x_new - mean) / std) / 5

print("reported", np.mean(aucs))
print("score", roc_auc_score(y_new, votes))
