"""Strings of five signs read from a strip of noisy frames, by a convolutional net and CTC.

probabilities over time: S03
frames reshaped and not transposed: A04
"""

import sys

import numpy as np
import torch
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
rng = np.random.default_rng(0)
SIGNS, HEIGHT, FRAMES = 8, 12, 28
glyphs = rng.normal(size=(SIGNS + 1, 3, HEIGHT))


def strips(n):
    x = 0.4 * rng.normal(size=(n, FRAMES, HEIGHT))
    texts = [rng.integers(1, SIGNS + 1, rng.integers(3, 6)) for _ in range(n)]
    for row, text in zip(x, texts, strict=False):
        at = rng.integers(0, 3)
        for sign in text:
            row[at : at + 3] += glyphs[sign]
            at += 3 + rng.integers(1, 3)
    return torch.tensor(x, dtype=torch.float32), [torch.tensor(t) for t in texts]


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(HEIGHT, 48, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(48, 48, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(48, SIGNS + 1, 1),
        )

    def forward(self, x):
        z = self.net(x.transpose(1, 2))
        if FAULT == "frames reshaped and not transposed":
            z = z.reshape(FRAMES, len(x), SIGNS + 1)
        else:
            z = z.permute(2, 0, 1)
        return z.log_softmax(0 if FAULT == "probabilities over time" else 2)


def decode(best):
    best = torch.unique_consecutive(best)
    return best[best > 0].tolist()


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, u in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, v in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (u != v))
    return row[-1]


x, texts = strips(1500)
test_x, test_texts = strips(200)
reader = Reader()
ctc = nn.CTCLoss(blank=0, zero_infinity=True)
optimizer = torch.optim.Adam(reader.parameters(), lr=4e-3)
for epoch in range(6):
    for rows in torch.randperm(len(x)).split(32):
        chosen = [texts[i] for i in rows]
        lengths = torch.tensor([len(t) for t in chosen])
        loss = ctc(reader(x[rows]), torch.cat(chosen), torch.full((len(rows),), FRAMES), lengths)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("epoch", epoch, loss.item())

with torch.no_grad():
    best = reader(test_x).argmax(2).T
wrong = sum(distance(decode(b), t.tolist()) for b, t in zip(best, test_texts, strict=False))
print("score", max(0.0, 1 - wrong / sum(len(t) for t in test_texts)))
