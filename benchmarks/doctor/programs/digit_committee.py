"""Digits by a committee: seven networks in one batch of matrices, each on its own bootstrap sample.

zero weights: I01
divided by the width: I02
softmax over rows: S03 !
"""

import itertools
import sys

import torch
from sklearn.datasets import load_digits

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

MEMBERS, WIDTHS = 7, [64, 64, 64, 64, 10]
raw, digit = load_digits(return_X_y=True)
order = torch.randperm(len(raw))
x = torch.tensor(raw, dtype=torch.float32)[order] / 8 - 1
y = torch.tensor(digit)[order]
x, x_val, x_test = x.split([1100, 200, 497])
y, y_val, y_test = y.split([1100, 200, 497])
drawn = torch.randint(0, len(x), (MEMBERS, len(x)))


def start(a, b):
    if FAULT == "zero weights":
        return torch.zeros(MEMBERS, a, b)
    if FAULT == "divided by the width":
        return torch.randn(MEMBERS, a, b) / a
    return torch.randn(MEMBERS, a, b) * (2 / a) ** 0.5


weights = [start(a, b).requires_grad_() for a, b in itertools.pairwise(WIDTHS)]
biases = [torch.zeros(MEMBERS, 1, b, requires_grad=True) for b in WIDTHS[1:]]


def committee(inputs):
    h = inputs
    for i, (w, b) in enumerate(zip(weights, biases, strict=False)):
        h = torch.baddbmm(b, h, w)
        if i < len(weights) - 1:
            h = h.relu()
    return h


def accuracy(inputs, truth):
    with torch.no_grad():
        chance = committee(inputs.expand(MEMBERS, -1, -1)).softmax(2).mean(0)
    return (chance.argmax(1) == truth).float().mean().item()


optimizer = torch.optim.SGD(weights + biases, lr=0.05, momentum=0.9)
axis = 1 if FAULT == "softmax over rows" else 2
for epoch in range(10):
    for i in range(0, len(x), 50):
        rows = drawn[:, i : i + 50]
        logp = committee(x[rows]).log_softmax(axis)
        each = -logp.gather(2, y[rows][..., None]).mean((1, 2))
        optimizer.zero_grad()
        each.sum().backward()
        optimizer.step()
    print("epoch", epoch, "losses", each.tolist()[:3], "val", accuracy(x_val, y_val))

print("score", accuracy(x_test, y_test))
