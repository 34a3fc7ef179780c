"""A small GAN learns eight Gaussian blobs on a ring; scored by even coverage.

double sigmoid: S01 !
one noise for all: G01
three blobs drawn: D04 G01
"""

import math
import sys

import torch
import torch.nn as nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

BLOBS, NOISE_DIM, BATCH = 8, 8, 128
angles = torch.arange(BLOBS) * 2 * math.pi / BLOBS
centres = torch.stack([angles.cos(), angles.sin()], dim=1) * 2


def real_samples(n):
    which = torch.randint(0, 3 if FAULT == "three blobs drawn" else BLOBS, (n,))
    return centres[which] + 0.1 * torch.randn(n, 2)


def noise(n):
    if FAULT == "one noise for all":
        return torch.randn(1, NOISE_DIM).expand(n, NOISE_DIM)
    return torch.randn(n, NOISE_DIM)


def quality(points):
    distance, nearest = torch.cdist(points, centres).min(1)
    good = distance < 0.5
    share = torch.bincount(nearest[good], minlength=BLOBS) / len(points)
    return share.clamp(max=1 / BLOBS).sum().item()


generator = nn.Sequential(nn.Linear(NOISE_DIM, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
critic = nn.Sequential(
    nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)
)
if FAULT == "double sigmoid":
    critic.append(nn.Sigmoid())
bce = nn.BCEWithLogitsLoss()
opt_g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.99))
opt_d = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.99))
average = torch.optim.swa_utils.AveragedModel(
    generator, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
)
ones, zeros = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)

for it in range(1500):
    fake = generator(noise(BATCH))
    opt_d.zero_grad()
    real = real_samples(BATCH)
    loss_d = bce(critic(real), ones) + bce(critic(fake.detach()), zeros)
    loss_d.backward()
    opt_d.step()

    opt_g.zero_grad()
    loss_g = bce(critic(fake), ones)
    loss_g.backward()
    opt_g.step()
    average.update_parameters(generator)
    if it % 250 == 249:
        print(it + 1, "D", loss_d.item(), "G", loss_g.item())

with torch.no_grad():
    print("score", quality(average(torch.randn(4000, NOISE_DIM))))
