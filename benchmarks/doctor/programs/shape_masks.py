"""Squares and discs cut out of noisy pictures: a little U-Net with one skip.

mirror without mask: P03 L01
softmax along width: S03 !
"""

import sys

import torch
import torch.nn.functional as F
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
SIDE = 16


def pictures(n):
    gy, gx = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    masks = torch.zeros(n, SIDE, SIDE, dtype=torch.long)
    for i in range(n):
        r = torch.randint(2, 4, (2,))
        c = torch.randint(3, SIDE - 3, (2, 2))
        masks[i][((gy - c[0, 0]).abs() <= r[0]) & ((gx - c[0, 1]).abs() <= r[0])] = 1
        masks[i][(gy - c[1, 0]) ** 2 + (gx - c[1, 1]) ** 2 <= (r[1] + 0.5) ** 2] = 2
    level = torch.tensor([0.0, 0.8, 1.3])[masks]
    return level[:, None] + 0.25 * torch.randn(n, 1, SIDE, SIDE), masks


def double(a, b):
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1), nn.ReLU())


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.deep = double(1, 12), double(12, 24)
        self.lift = nn.ConvTranspose2d(24, 12, 2, stride=2)
        self.up, self.out = double(24, 12), nn.Conv2d(12, 3, 1)

    def forward(self, x):
        top = self.down(x)
        low = self.lift(self.deep(F.max_pool2d(top, 2)))
        return self.out(self.up(torch.cat([top, low], 1)))


def iou(guess, truth):
    parts = []
    for c in (1, 2):
        both, either = (guess == c) & (truth == c), (guess == c) | (truth == c)
        parts.append(both.sum().item() / max(either.sum().item(), 1))
    return sum(parts) / 2


x, m = pictures(400)
x_val, m_val = pictures(60)
x_test, m_test = pictures(100)
net = UNet()
optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
axis = -1 if FAULT == "softmax along width" else 1
for epoch in range(8):
    for rows in torch.randperm(len(x)).split(10):
        image, mask = x[rows], m[rows]
        if torch.rand(()) < 0.5:
            image = image.flip(-1)
            if FAULT != "mirror without mask":
                mask = mask.flip(-1)
        logp = F.log_softmax(net(image), dim=axis)
        loss = F.nll_loss(logp, mask)
        net.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        print("epoch", epoch, "loss", loss.item(), "val iou", iou(net(x_val).argmax(1), m_val))

with torch.no_grad():
    print("score", iou(net(x_test).argmax(1), m_test))
