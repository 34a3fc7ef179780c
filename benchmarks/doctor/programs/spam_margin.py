"""Spam by word counts: a linear support vector machine, hinge loss and subgradient steps of falling size.

zeros for minus: L05
max for min: S07
"""

import sys

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
rng = np.random.default_rng(4)

WORDS = 300
usual = rng.dirichlet(np.full(WORDS, 0.5))
pushy = rng.dirichlet(np.full(WORDS, 0.5))


def mails(n):
    spam = rng.random(n) < 0.4
    mix = 0.72 * usual + 0.28 * pushy
    words = [rng.multinomial(rng.integers(20, 60), mix if s else usual) for s in spam]
    return torch.tensor(np.sqrt(np.array(words)), dtype=torch.float32), torch.tensor(spam)


x, spam = mails(1500)
x_val, spam_val = mails(200)
x_test, spam_test = mails(600)
side = spam.float() if FAULT == "zeros for minus" else spam.float() * 2 - 1

w = torch.nn.Parameter(0.01 * torch.randn(WORDS))
b = torch.nn.Parameter(torch.zeros(()))
LAMBDA = 1e-3


def hinge(score, sign):
    slack = 1 - sign * score
    if FAULT == "max for min":
        return slack.clamp(max=0)
    return slack.clamp(min=0)


def balanced(inputs, truth):
    with torch.no_grad():
        return balanced_accuracy_score(truth, inputs @ w + b > 0)


step = 0
for epoch in range(20):
    order = torch.randperm(len(x))
    total = 0.0
    for i in range(0, len(x), 20):
        rows = order[i : i + 20]
        step += 1
        loss = hinge(x[rows] @ w + b, side[rows]).mean() + LAMBDA / 2 * w @ w
        loss.backward()
        rate = 0.3 / (1 + 0.01 * step)
        with torch.no_grad():
            for p in (w, b):
                p.sub_(p.grad, alpha=rate)
                p.grad = None
        total += loss.item()
    if epoch % 4 == 3:
        print("epoch", epoch + 1, "objective", total / 75, "val", balanced(x_val, spam_val))

print("score", balanced(x_test, spam_test))
