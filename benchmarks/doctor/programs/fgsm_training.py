"""Adversarial training of a digit classifier; the score is its accuracy on attacked held-out digits.

slow statistics: E05
attack far too strong: P03
softmax before loss: S02 !
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
EPS = 0.1

digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32) / 16
y = torch.tensor(digits.target)
order = torch.randperm(len(x), generator=torch.Generator().manual_seed(5))
x_train, y_train, x_test, y_test = x[order[:1300]], y[order[:1300]], x[order[1300:]], y[order[1300:]]

memory = 0.0005 if FAULT == "slow statistics" else 0.1
net = nn.Sequential(
    nn.Linear(64, 128),
    nn.BatchNorm1d(128, momentum=memory),
    nn.ReLU(),
    nn.Linear(128, 64),
    nn.BatchNorm1d(64, momentum=memory),
    nn.ReLU(),
    nn.Linear(64, 10),
)
if FAULT == "softmax before loss":
    net.append(nn.Softmax(dim=1))


def fgsm(images, labels, eps):
    images = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(cross_entropy(net(images), labels), images)
    return (images + eps * slope.sign()).clamp(0, 1).detach()


optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
strength = 10 * EPS if FAULT == "attack far too strong" else EPS
for epoch in range(20):
    net.train()
    hits = 0
    for rows in torch.randperm(len(x_train)).split(64):
        attacked = fgsm(x_train[rows], y_train[rows], strength)
        out = net(attacked)
        loss = cross_entropy(out, y_train[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        hits += (out.argmax(1) == y_train[rows]).sum().item()
    if epoch % 4 == 3:
        print("epoch", epoch + 1, "loss", loss.item(), "attacked train accuracy", hits / len(x_train))

net.eval()
attacked = fgsm(x_test, y_test, EPS)
with torch.no_grad():
    print("clean accuracy", (net(x_test).argmax(1) == y_test).float().mean().item())
    print("score", (net(attacked).argmax(1) == y_test).float().mean().item())
