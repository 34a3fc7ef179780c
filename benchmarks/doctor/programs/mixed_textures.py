"""Six kinds of woven texture: a network trained with mixup and label smoothing.

sideways flip: P03
clipped to nothing: O11 O02
"""

import math
import sys

import torch
import torch.nn.functional as F
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

KINDS, SIDE = 6, 12


def textures(n):
    kind = torch.randint(0, KINDS, (n,))
    angle = kind * math.pi / KINDS + 0.07 * torch.randn(n)
    grid = torch.arange(SIDE).float()
    phase = torch.rand(n, 1, 1) * 2 * math.pi
    wave = torch.cos(angle)[:, None, None] * grid + torch.sin(angle)[:, None, None] * grid[:, None]
    return torch.sin(1.3 * wave + phase)[:, None] + 0.6 * torch.randn(n, 1, SIDE, SIDE), kind


net = nn.Sequential(
    nn.Conv2d(1, 16, 5),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.Conv2d(16, 24, 3, stride=2),
    nn.BatchNorm2d(24),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(24, KINDS),
)
x, kind = textures(1200)
x_val, kind_val = textures(200)
x_test, kind_test = textures(400)
target = F.one_hot(kind, KINDS).float() * 0.9 + 0.1 / KINDS
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
share = torch.distributions.Beta(0.4, 0.4)
turn = [3] if FAULT == "sideways flip" else [2, 3]
limit = 1e-3 if FAULT == "clipped to nothing" else 5.0


def accuracy(inputs, truth):
    net.eval()
    with torch.no_grad():
        hits = net(inputs).argmax(1) == truth
    net.train()
    return hits.float().mean().item()


def mixup(a, b):
    lam = share.sample((len(a), 1))
    other = torch.randperm(len(a))
    mixed = lam[..., None, None] * a + (1 - lam[..., None, None]) * a[other]
    return mixed, lam * b + (1 - lam) * b[other]


for epoch in range(10):
    losses = []
    for rows in torch.randperm(len(x)).split(40):
        images = x[rows]
        turned = torch.rand(len(rows), 1, 1, 1) < 0.5
        images = torch.where(turned, images.flip(turn), images)
        images, wanted = mixup(images, target[rows])
        loss = -(wanted * net(images).log_softmax(1)).sum(1).mean()
        net.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), limit)
        optimizer.step()
        losses.append(loss.item())
    print("epoch", epoch, "loss", sum(losses) / len(losses), "val", accuracy(x_val, kind_val))

print("score", accuracy(x_test, kind_test))
