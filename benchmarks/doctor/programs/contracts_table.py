"""Which contracts get cancelled: a table of categories and numbers, with embeddings for the categories.

missing ages left: D01 !
calls after the end as a column: D07
a single round: R03
"""

import sys

import numpy as np
import torch
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
rng = np.random.default_rng(0)
N = 4000

town, plan, bill = rng.integers(0, 25, N), rng.integers(0, 3, N), rng.integers(0, 2, N)
age, months, fee = rng.uniform(18, 80, N).round(), rng.exponential(20, N), rng.normal(30, 8, N)
odds = rng.normal(0, 2.0, (25, 3))[town, plan] + bill - 0.05 * (months - 15) + 0.08 * (fee - 30) - 0.6
cancelled = rng.random(N) < 1 / (1 + np.exp(-2 * odds))
final_calls = np.where(cancelled, 1 + rng.poisson(4, N), 0)
age[rng.random(N) < 0.05] = np.nan

known, new = np.arange(2800), np.arange(2800, N)
if FAULT != "missing ages left":
    age = np.where(np.isnan(age), np.nanmedian(age[known]), age)
numbers = np.column_stack([age, months, fee])
if FAULT == "calls after the end as a column":
    numbers = np.column_stack([numbers, final_calls])
    numbers[new, 3] = 0
numbers = (numbers - numbers[known].mean(0)) / numbers[known].std(0)

kinds = torch.tensor(np.column_stack([town, plan, bill]))
values = torch.tensor(numbers, dtype=torch.float32)
target = torch.tensor(cancelled, dtype=torch.float32)


class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.embeds = nn.ModuleList([nn.Embedding(25, 8), nn.Embedding(3, 3), nn.Embedding(2, 2)])
        self.body = nn.Sequential(nn.Linear(13 + values.shape[1], 48), nn.ReLU(), nn.Linear(48, 1))

    def forward(self, kinds, values):
        parts = [embed(kinds[:, i]) for i, embed in enumerate(self.embeds)]
        return self.body(torch.cat([*parts, values], 1)).squeeze(1)


net, bce = Table(), nn.BCEWithLogitsLoss()
optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)


def accuracy(rows):
    with torch.no_grad():
        return ((net(kinds[rows], values[rows]) > 0) == target[rows]).double().mean().item()


for epoch in range(1 if FAULT == "a single round" else 15):
    for rows in torch.randperm(2400).split(64):
        loss = bce(net(kinds[rows], values[rows]), target[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("epoch", epoch, "loss", loss.item(), "right", accuracy(torch.arange(2400, 2800)))

print("reported", accuracy(torch.arange(2400, 2800)))
print("score", accuracy(torch.tensor(new)))
