"""Where the needle of a noisy gauge points, one of eight sectors: a small ResNet with SGD and OneCycle.

stepped per epoch: O04 O02
heavy ball: O03 O01
head forgotten: A08 !
"""

import math
import sys

import torch
import torch.nn.functional as F
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)


def gauges(n):
    sector = torch.randint(0, 8, (n,))
    angle = (sector + torch.rand(n) * 0.8 + 0.1) * math.pi / 4
    grid = torch.arange(12.0) - 5.5
    gy, gx = torch.meshgrid(grid, grid, indexing="ij")
    dx, dy = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    along, across = gx * dx + gy * dy, gx * dy - gy * dx
    needle = ((along > 0) & (along < 5.5)) * torch.exp(-across.square())
    return (needle + 0.3 * torch.randn(n, 12, 12))[:, None], sector


class Block(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.c1, self.n1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.c2, self.n2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
        self.short = nn.Sequential() if a == b else nn.Conv2d(a, b, 1, stride, bias=False)

    def forward(self, x):
        h = F.relu(self.n1(self.c1(x)))
        return F.relu(self.n2(self.c2(h)) + self.short(x))


class Gauge(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 12, 3, padding=1)
        self.body = nn.Sequential(Block(12, 12, 1), Block(12, 24, 2), Block(24, 32, 2))
        self.mix = nn.Sequential(nn.Linear(32 * 9, 32), nn.ReLU())
        self.head = nn.Linear(32, 8)

    def forward(self, x):
        h = self.mix(self.body(F.relu(self.stem(x))).flatten(1))
        return h if FAULT == "head forgotten" else self.head(h)


x, y = gauges(1500)
x_test, y_test = gauges(500)
model, EPOCHS, BATCH = Gauge(), 6, 50
optimizer = torch.optim.SGD(
    model.parameters(), lr=0.05, nesterov=True, momentum=0.999 if FAULT == "heavy ball" else 0.9
)
cycle = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, 0.05, total_steps=EPOCHS * len(x) // BATCH, cycle_momentum=False, div_factor=1000
)
for epoch in range(EPOCHS):
    model.train()
    for rows in torch.randperm(len(x)).split(BATCH):
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if FAULT != "stepped per epoch":
            cycle.step()
    if FAULT == "stepped per epoch":
        cycle.step()
    print("epoch", epoch, "last loss", loss.item(), "lr", cycle.get_last_lr()[0])

model.eval()
with torch.no_grad():
    print("score", (model(x_test).argmax(1) == y_test).float().mean().item())
