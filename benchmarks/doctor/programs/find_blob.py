"""What is on the belt and where: a network with two heads, class and box, their losses added.

box out of reach: S04
boxes by position: L01 L02
trial run: R03
"""

import sys

import torch
import torch.nn.functional as F
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
SIDE = 20


def scenes(n):
    kind = torch.randint(0, 3, (n,))
    half = torch.randint(2, 5, (n, 2)).float()
    middle = half + torch.rand(n, 2) * (SIDE - 1 - 2 * half)
    grid = torch.arange(SIDE).float()
    dx = (grid[None, None, :] - middle[:, 0, None, None]).abs() / half[:, 0, None, None]
    dy = (grid[None, :, None] - middle[:, 1, None, None]).abs() / half[:, 1, None, None]
    inside = torch.where(
        kind[:, None, None] == 0,
        torch.maximum(dx, dy),
        torch.where(kind[:, None, None] == 1, dx + dy, torch.maximum(dx, dy)),
    )
    shape = (inside <= 1).float()
    shape = shape * torch.where(kind[:, None, None] == 2, (inside > 0.5).float(), 1.0)
    image = shape + 0.15 * torch.randn(n, SIDE, SIDE)
    return image[:, None], kind, torch.cat([middle - half, middle + half], 1)


class Finder(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 12, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(12, 24, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(600, 64),
            nn.ReLU(),
        )
        self.kind, self.box = nn.Linear(64, 3), nn.Linear(64, 4)

    def forward(self, x):
        h = self.trunk(x)
        corners = self.box(h).sigmoid()
        return self.kind(h), corners if FAULT == "box out of reach" else corners * SIDE


def overlap(a, b):
    size = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    return size / ((a[:, 2:] - a[:, :2]).clamp(min=0).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - size)


def quality(net, x, kind, box):
    with torch.no_grad():
        scores, corners = net(x)
    return (scores.argmax(1) == kind).float().mean().item(), overlap(corners, box).mean().item()


train, val, test = scenes(1600), scenes(200), scenes(400)
x, kind, box = train
net = Finder()
optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
for epoch in range(4 if FAULT == "trial run" else 25):
    order = torch.randperm(len(x))
    for start in range(0, len(x), 40):
        rows = order[start : start + 40]
        where = box[start : start + 40] if FAULT == "boxes by position" else box[rows]
        scores, corners = net(x[rows])
        class_loss, box_loss = F.cross_entropy(scores, kind[rows]), F.smooth_l1_loss(corners, where)
        optimizer.zero_grad()
        (class_loss + box_loss).backward()
        optimizer.step()
    if epoch % 3 == 0:
        print("epoch", epoch, class_loss.item(), box_loss.item(), "val", *quality(net, *val))

right, iou = quality(net, *test)
print("score", (right + iou) / 2)
