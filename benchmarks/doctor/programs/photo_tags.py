"""Several tags a picture: multi-label classification with a binary cross-entropy for each tag.

sigmoid in the model: S01 !
one tag a row: S06
heavy decay: R02
"""

import sys

import torch
from sklearn.metrics import f1_score
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

TAGS, WIDE = 10, 48
direction = torch.randn(TAGS, WIDE)


def album(n):
    crowded = torch.rand(n, 1)
    tags = (torch.rand(n, TAGS) < crowded).float()
    strength = 0.8 + 0.4 * torch.rand(n, TAGS)
    return (tags * strength) @ direction + 0.9 * torch.randn(n, WIDE), tags


def batches(x, tags, size):
    for rows in torch.randperm(len(x)).split(size):
        yield x[rows], tags[rows]


def f1(model, x, tags):
    model.eval()
    with torch.no_grad():
        chosen = model(x) > 0
    return f1_score(tags, chosen, average="macro", zero_division=0)


x, tags = album(1500)
x_val, tags_val = album(200)
x_test, tags_test = album(500)
layers = [nn.Linear(WIDE, 96), nn.LayerNorm(96), nn.SiLU(), nn.Linear(96, TAGS)]
if FAULT == "sigmoid in the model":
    layers.append(nn.Sigmoid())
model = nn.Sequential(*layers)
criterion = nn.CrossEntropyLoss() if FAULT == "one tag a row" else nn.BCEWithLogitsLoss()
decay = 0.3 if FAULT == "heavy decay" else 1e-4
optimizer = torch.optim.NAdam(model.parameters(), lr=3e-3, weight_decay=decay)

for epoch in range(14):
    model.train()
    for bx, bt in batches(x, tags, 50):
        optimizer.zero_grad()
        loss = criterion(model(bx), bt)
        loss.backward()
        optimizer.step()
    print("epoch", epoch, "loss", loss.item(), "val f1", f1(model, x_val, tags_val))

print("score", f1(model, x_test, tags_test))
