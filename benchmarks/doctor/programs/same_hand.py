"""Do two pictures show the same digit: a siamese network with a logistic head on the distance.

answers of other rows: L02 L01
embedding without gradient: O10
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

digits, y = load_digits(return_X_y=True)
x, y = torch.tensor(digits, dtype=torch.float32) / 16, torch.tensor(y)
ink = torch.rand(len(x), 1) < 0.5
x = torch.where(ink, x, 1 - x) + 0.1 * torch.randn(x.shape)
shuffled = torch.randperm(len(x))
train_rows, test_rows = shuffled[:1300], shuffled[1300:]
x_train, y_train = x[train_rows], y[train_rows]
x_test, y_test = x[test_rows], y[test_rows]


def pairs(labels, n):
    left = torch.randint(0, len(labels), (n,))
    right = torch.randint(0, len(labels), (n,))
    want = torch.rand(n) < 0.5
    count = labels.bincount()
    first = count.cumsum(0) - count
    place = first[labels[left]] + (torch.rand(n) * count[labels[left]]).long()
    twin = labels.argsort()[place]
    return left, torch.where(want, twin, right)


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 16)
        )
        self.scale, self.shift = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(1.0))

    def embed(self, x):
        with torch.set_grad_enabled(FAULT != "embedding without gradient"):
            return self.net(x)

    def forward(self, a, b):
        apart = (self.embed(a) - self.embed(b)).square().sum(1).add(1e-6).sqrt()
        return self.shift - self.scale * apart


def verify(model, x, labels, n=1500):
    a, b = pairs(labels, n)
    same = labels[a] == labels[b]
    with torch.no_grad():
        said = model(x[a], x[b]) > 0
    return ((said & same).sum() / same.sum() + (~said & ~same).sum() / (~same).sum()).item() / 2


model = Siamese()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
answers = y if FAULT == "answers of other rows" else y_train
for update in range(1, 1201):
    a, b = pairs(y_train, 64)
    same = (answers[a] == answers[b]).float()
    loss = F.binary_cross_entropy_with_logits(model(x_train[a], x_train[b]), same)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if update % 100 == 0:
        print("update", update, "loss", loss.item(), "held out", verify(model, x_test, y_test))

print("score", verify(model, x_test, y_test))
