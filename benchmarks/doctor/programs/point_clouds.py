"""Shapes of point clouds (ball, shell, cube, ring, cross), by a small PointNet.

clouds shuffled every epoch: L01
jitter as large as the shape: P03
statistics of the batch when judged: E01 !
"""

import math
import sys

import torch
import torch.nn.functional as F
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
POINTS = 40


def cloud(kind):
    p = torch.randn(POINTS, 3)
    if kind == 0:
        p = F.normalize(p) * torch.rand(POINTS, 1) ** (1 / 3)
    elif kind == 1:
        p = F.normalize(p)
    elif kind == 2:
        p = torch.rand(POINTS, 3) * 2 - 1
    elif kind == 3:
        a = torch.rand(POINTS) * math.tau
        p = torch.stack([a.cos(), a.sin(), 0.1 * p[:, 2]], 1)
    else:
        p = F.one_hot(torch.randint(3, (POINTS,)), 3) * (torch.rand(POINTS, 1) * 2 - 1)
    return p + 0.05 * torch.randn(POINTS, 3)


def clouds(n):
    kinds = torch.arange(n) % 5
    return torch.stack([cloud(int(k)) for k in kinds]), kinds


class PointNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.lift1, self.lift2 = nn.Conv1d(3, 32, 1), nn.Conv1d(32, 64, 1)
        self.norm1, self.norm2 = nn.BatchNorm1d(32), nn.BatchNorm1d(64)
        self.out = nn.Linear(64, 5)

    def forward(self, x):
        x = F.relu(self.norm1(self.lift1(x.mT)))
        x = F.relu(self.norm2(self.lift2(x)))
        return self.out(x.amax(2))


x, y = clouds(1000)
test_x, test_y = clouds(300)
net = PointNet()
optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
jitter = 1.0 if FAULT == "jitter as large as the shape" else 0.02
for epoch in range(10):
    net.train()
    order = torch.randperm(len(x))
    x = x[order]
    if FAULT != "clouds shuffled every epoch":
        y = y[order]
    for i in range(0, len(x), 50):
        loss = F.cross_entropy(net(x[i : i + 50] + jitter * torch.randn(50, POINTS, 3)), y[i : i + 50])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if FAULT != "statistics of the batch when judged":
        net.eval()
    with torch.no_grad():
        right = (net(test_x).argmax(1) == test_y).float().mean().item()
    print("epoch", epoch, loss.item(), "right", right)

net.eval()
with torch.no_grad():
    print("score", (net(test_x).argmax(1) == test_y).float().mean().item())
