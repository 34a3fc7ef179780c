"""Tumours, benign or malignant: logistic regression on raw tensors, without a Module.

raw columns: P01 O01
column against row: S05
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import train_test_split

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

table, label = load_breast_cancer(return_X_y=True)
xa, xb, ya, yb = train_test_split(table, label, test_size=0.3, stratify=label, random_state=3)
xa, xb = torch.tensor(xa, dtype=torch.float32), torch.tensor(xb, dtype=torch.float32)
ya, yb = torch.tensor(ya, dtype=torch.float32), torch.tensor(yb, dtype=torch.float32)
centre, spread = xa.mean(0), xa.std(0)
if FAULT == "raw columns":
    centre, spread = torch.zeros(30), torch.ones(30)
xa, xb = (xa - centre) / spread, (xb - centre) / spread

w = torch.zeros(30, 1, requires_grad=True)
b = torch.zeros(1, requires_grad=True)


def logit(x):
    z = x @ w + b
    return z if FAULT == "column against row" else z.squeeze(1)


def log_loss(z, y):
    return (F.softplus(z) - y * z).mean()


for epoch in range(60):
    order = torch.randperm(len(xa))
    total = 0.0
    for rows in order.split(32):
        loss = log_loss(logit(xa[rows]), ya[rows]) + 1e-3 * w.pow(2).sum()
        gw, gb = torch.autograd.grad(loss, (w, b))
        with torch.no_grad():
            w -= 0.1 * gw
            b -= 0.1 * gb
        total += loss.item() * len(rows)
    if epoch % 10 == 9:
        print("epoch", epoch + 1, "train loss", total / len(xa))

with torch.no_grad():
    guess = (xb @ w + b).flatten() > 0
print("score", cohen_kappa_score(yb, guess))
