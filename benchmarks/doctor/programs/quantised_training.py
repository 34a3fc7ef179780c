"""Quantisation-aware training: a digit classifier with 3-bit weights, straight through the rounding.

plain rounding: O10 O07 !
typed-in labels: L04
decay each batch: O04 !
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)


class Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.round()

    @staticmethod
    def backward(ctx, slope):
        return slope


def quantised(weight, levels=3):
    scale = weight.detach().abs().max() / levels
    rounded = torch.round if FAULT == "plain rounding" else Round.apply
    return rounded(weight / scale) * scale


class QLinear(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, quantised(self.weight), self.bias)


X, y = load_digits(return_X_y=True)
X = torch.tensor((X - X.mean()) / X.std(), dtype=torch.float32)
y = torch.tensor(y)
mix = torch.randperm(len(X))
train, val, test = mix[:1000], mix[1000:1300], mix[1300:]
given = y.clone()
if FAULT == "typed-in labels":
    wrong = train[torch.rand(len(train)) < 0.75]
    given[wrong] = torch.randint(10, (len(wrong),))

net = nn.Sequential(QLinear(64, 96), nn.ReLU(), QLinear(96, 48), nn.ReLU(), QLinear(48, 10))
optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.3)


def accuracy(rows):
    with torch.no_grad():
        return (net(X[rows]).argmax(1) == y[rows]).float().mean().item()


for epoch in range(22):
    for rows in train[torch.randperm(len(train))].split(32):
        loss = nn.functional.cross_entropy(net(X[rows]), given[rows])
        net.zero_grad()
        loss.backward()
        optimizer.step()
        if FAULT == "decay each batch":
            schedule.step()
    if FAULT != "decay each batch":
        schedule.step()
    if epoch % 5 == 0:
        print(epoch, loss.item(), accuracy(val))

print("score", accuracy(test))
