"""BYOL on digits: an online network predicts its own moving average; a vote of five neighbours judges it.

pairs of pictures: R04 !
gradients pile up: O05 !
"""

import copy
import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

pixels, digit = load_digits(return_X_y=True)
clean = torch.tensor(pixels, dtype=torch.float32) / 16 - 0.3
pool = clean[:1300]


def view(x):
    x = F.pad(x.view(-1, 8, 8), (1, 1, 1, 1))
    top, left = torch.randint(0, 3, (2,)).tolist()
    x = x[:, top : top + 8, left : left + 8].flatten(1)
    return x * (torch.rand_like(x) > 0.1) + 0.1 * torch.randn_like(x)


def block(n_in, n_hidden, n_out):
    return nn.Sequential(
        nn.Linear(n_in, n_hidden), nn.BatchNorm1d(n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_out)
    )


online = nn.Sequential(block(64, 256, 64), block(64, 128, 64))
predictor = block(64, 128, 64)
slow = copy.deepcopy(online).requires_grad_(False)
optimizer = torch.optim.Adam([*online.parameters(), *predictor.parameters()], lr=1e-3)
TAU = 0.98


def distance(p, z):
    return 2 - 2 * F.cosine_similarity(p, z, dim=1).mean()


size = 2 if FAULT == "pairs of pictures" else 100
step = 0
while step < 350:
    for rows in torch.randperm(len(pool)).split(size):
        one, two = view(pool[rows]), view(pool[rows])
        with torch.no_grad():
            target_one, target_two = slow(one), slow(two)
        loss = distance(predictor(online(one)), target_two) + distance(predictor(online(two)), target_one)
        if FAULT != "gradients pile up":
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for kept, new in zip(slow.parameters(), online.parameters(), strict=False):
                kept.lerp_(new, 1 - TAU)
        step += 1
        if step % 50 == 0:
            print("step", step, "loss", loss.item())

online.eval()
with torch.no_grad():
    codes = F.normalize(online(clean), dim=1).numpy()
vote = KNeighborsClassifier(5).fit(codes[:1300], digit[:1300])
print("score", vote.score(codes[1300:], digit[1300:]))
