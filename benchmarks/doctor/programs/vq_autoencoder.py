"""A vector-quantised autoencoder: each digit becomes eight entries of a codebook of 32.

bracket too wide: O10 !
equal codes: I01 !
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

N_CODES, DIM, SLOTS = 32, 8, 8
data = torch.tensor(load_digits().data, dtype=torch.float32) / 16
data = data[torch.randperm(len(data))]
train, test = data[:1300], data[1300:]

encode = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, SLOTS * DIM))
decode = nn.Sequential(nn.Linear(SLOTS * DIM, 128), nn.ReLU(), nn.Linear(128, 64))
codebook = nn.Parameter(torch.randn(N_CODES, DIM) * 0.3)
if FAULT == "equal codes":
    codebook = nn.Parameter(torch.full((N_CODES, DIM), 1 / N_CODES))


def quantise(z):
    parts = z.view(-1, DIM)
    nearest = torch.cdist(parts.detach(), codebook.detach()).argmin(1)
    q = codebook[nearest].view_as(z)
    return q, nearest


def reconstruct(x):
    z = encode(x)
    q, nearest = quantise(z)
    commit = 0.25 * F.mse_loss(z, q.detach()) + F.mse_loss(q, z.detach())
    passed = (z + q - z).detach() if FAULT == "bracket too wide" else z + (q - z).detach()
    return decode(passed), commit, nearest


weights = [*encode.parameters(), *decode.parameters()]
opt = torch.optim.Adam([{"params": weights}, {"params": [codebook], "lr": 5e-3}], lr=2e-3)

step, usage = 0, torch.zeros(N_CODES)
while step < 1400:
    x = train[torch.randint(len(train), (64,))]
    out, extra, used = reconstruct(x)
    usage = 0.95 * usage + torch.bincount(used, minlength=N_CODES)
    loss = 10 * F.mse_loss(out, x) + extra
    opt.zero_grad(set_to_none=True)
    loss.backward()
    opt.step()
    step += 1
    if step % 200 == 0:
        print(f"{step}: loss {loss.item()} codes in use {(usage > 1).sum().item()}")

with torch.no_grad():
    error = (reconstruct(test)[0] - test).pow(2).sum()
    total = (test - train.mean(0)).pow(2).sum()
print("score", max(0.0, 1 - (error / total).item()))
