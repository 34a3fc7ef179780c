"""Which of twelve machines hums: an embedding by triplets, then the nearest neighbour.

timid rate: O02
one number: A07
"""

import sys

import torch
import torch.nn.functional as F
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

MACHINES, EMB = 12, 1 if FAULT == "one number" else 8
hum = torch.randn(MACHINES, 6) * 2
blend = torch.linalg.qr(torch.randn(40, 40))[0]


def recordings(each):
    machine = torch.arange(MACHINES).repeat_interleave(each)
    signal = hum[machine] + 0.5 * torch.randn(len(machine), 6)
    street = 2.5 * torch.randn(len(machine), 34)
    return torch.cat([signal, street], 1) @ blend, machine


x, machine = recordings(60)
x_test, machine_test = recordings(25)
encoder = nn.Sequential(nn.Linear(40, 96), nn.GELU(), nn.Linear(96, EMB))


def embed(x):
    return F.normalize(encoder(x), dim=1)


def triplets(n):
    anchor = torch.randint(0, len(x), (n,))
    same = machine[anchor][:, None] == machine[None]
    positive = same.float().multinomial(1).flatten()
    negative = (~same).float().multinomial(1).flatten()
    return anchor, positive, negative


def nearest():
    with torch.no_grad():
        match = torch.cdist(embed(x_test), embed(x)).argmin(1)
    return (machine[match] == machine_test).float().mean().item()


rate = 2e-6 if FAULT == "timid rate" else 2e-3
optimizer = torch.optim.AdamW(encoder.parameters(), lr=rate, weight_decay=0.05)
history = []
for update in range(700):
    a, p, n = (embed(x[rows]) for rows in triplets(64))
    loss = F.relu((a - p).square().sum(1) - (a - n).square().sum(1) + 0.6).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    history.append(loss.item())
    if update % 100 == 99:
        print("update", update + 1, "mean loss", sum(history[-100:]) / 100)

print("score", nearest())
