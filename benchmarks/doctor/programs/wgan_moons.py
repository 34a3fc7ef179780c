"""Wasserstein GAN with gradient penalty on two moons, scored by distances to the nearest neighbours.

detached fakes: O10 !
generator lr: O02
"""

import itertools
import sys

import torch
from sklearn.datasets import make_moons
from torch import autograd, nn, optim

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)


def mlp(*sizes):
    layers = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers[:-1])


points, _ = make_moons(4000, noise=0.1, random_state=0)
points = torch.tensor(points, dtype=torch.float32)
points = (points - points.mean(0)) / points.std(0)
train, held_out = points[:3000], points[3000:]

gen, critic = mlp(4, 64, 64, 2), mlp(2, 64, 64, 1)
opt_gen = optim.Adam(gen.parameters(), lr=1e-6 if FAULT == "generator lr" else 2e-3, betas=(0.5, 0.9))
smooth = optim.swa_utils.AveragedModel(gen, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(0.98))
decay = optim.lr_scheduler.LinearLR(opt_gen, 1.0, 0.1, total_iters=500)
opt_critic = optim.Adam(critic.parameters(), lr=3e-3, betas=(0.5, 0.9))


def penalty(real, fake):
    mix = torch.rand(len(real), 1)
    between = (mix * real + (1 - mix) * fake).requires_grad_()
    (slope,) = autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.norm(dim=1) - 1).pow(2).mean()


def gap_between(a, b):
    """Mean distance to the nearest point of the other cloud, both ways."""
    apart = torch.cdist(a, b)
    return (apart.min(0).values.mean() + apart.min(1).values.mean()).item()


for it in range(500):
    for _ in range(2):
        real = train[torch.randint(0, len(train), (256,))]
        with torch.no_grad():
            fake = gen(torch.randn(256, 4))
        gap = critic(real).mean() - critic(fake).mean()
        loss = 0.2 * penalty(real, fake) - gap
        opt_critic.zero_grad()
        loss.backward()
        opt_critic.step()
    made = gen(torch.randn(256, 4))
    if FAULT == "detached fakes":
        made = made.detach()
    loss_gen = -critic(made).mean()
    opt_gen.zero_grad()
    loss_gen.backward()
    opt_gen.step()
    decay.step()
    smooth.update_parameters(gen)
    if it % 100 == 0:
        print("iteration", it, "wasserstein", gap.item())

with torch.no_grad():
    made = gap_between(smooth(torch.randn(1000, 4)), held_out)
best, blob = gap_between(train[:1000], held_out), gap_between(torch.randn(1000, 2), held_out)
print("score", max(0.0, (blob - made) / (blob - best)))
