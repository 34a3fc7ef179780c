"""Compresses handwritten digits to ten numbers with a plain autoencoder and reports the variance explained.

sigmoid output: S04
encoder left out: O06 !
scaled twice: P02 P01 P04
"""

import itertools
import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

pixels = load_digits().data.astype("float32")
train, test = train_test_split(pixels, test_size=0.25, random_state=1)
mean, spread = train.mean(), train.std()


def scaled(rows):
    return torch.from_numpy((rows - mean) / spread)


x_test = scaled(test)
if FAULT == "scaled twice":
    train = train / 255.0
x_train = scaled(train)

encoder = nn.Sequential(nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 10))
decoder = nn.Sequential(nn.Linear(10, 128), nn.SiLU(), nn.Linear(128, 64))
if FAULT == "sigmoid output":
    decoder.append(nn.Sigmoid())

if FAULT == "encoder left out":
    params = decoder.parameters()
else:
    params = itertools.chain(encoder.parameters(), decoder.parameters())
optimizer = torch.optim.AdamW(params, lr=2e-3, weight_decay=1e-4)
epochs = 50
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)


@torch.no_grad()
def explained(x):
    left = (decoder(encoder(x)) - x).pow(2).sum()
    return 1 - (left / (x - x.mean(0)).pow(2).sum()).item()


for epoch in range(epochs):
    total = 0.0
    for rows in torch.randperm(len(x_train)).split(64):
        batch = x_train[rows]
        loss = nn.functional.mse_loss(decoder(encoder(batch)), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
    schedule.step()
    if epoch % 10 == 9:
        print(f"epoch {epoch + 1} train mse {total / len(x_train)} held-out R2 {explained(x_test)}")

print("score", max(0.0, explained(x_test)))
