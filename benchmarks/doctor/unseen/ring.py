"""Points out of eight small clouds on a ring, imitated by a GAN.

Two perceptrons, the binary cross-entropy on logits, an Adam for each, alternating steps on fresh points and
no validation; the doctor watches both from a with-block. The score is the share of clouds that get at least a
third of the samples that are due to them, close to their centre.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import nn

CLOUDS = 8
ANGLES = torch.arange(CLOUDS) * 2 * math.pi / CLOUDS
CENTRES = torch.stack([ANGLES.cos(), ANGLES.sin()], 1)
WIDTH = 0.08  # of a cloud
LEAKY = partial(nn.LeakyReLU, 0.2)


def ring(points: int) -> torch.Tensor:
    """Points of all clouds, on a ring of radius 1."""
    return CENTRES[torch.randint(CLOUDS, (points,))] + WIDTH * torch.randn(points, 2)


def perceptron(inputs: int, outputs: int, hidden: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Two hidden layers."""
    first, second, last = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, outputs)
    return nn.Sequential(first, activation(), second, activation(), last)


def bce(logits: torch.Tensor, label: float) -> torch.Tensor:
    """The cross-entropy to one label for all."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def coverage(samples: torch.Tensor) -> float:
    """The share of clouds with a third of their due of good samples."""
    distance, nearest = torch.cdist(samples, CENTRES).min(1)
    good = nearest[distance < 4 * WIDTH].bincount(minlength=CLOUDS)
    return (good >= len(samples) / CLOUDS / 3).float().mean().item()


def train(
    seed,
    doctor,
    *,
    steps=800,
    batch=128,
    noise=4,
    hidden=64,
    activation=LEAKY,
    make=torch.optim.Adam,
    g_lr=2e-3,
    d_lr=2e-3,
    beta=0.5,
    gamma=1.0,
    d_steps=1,
    g_steps=1,
    radius=1.0,
    shift=0.0,
    blur=0.0,
    real=1.0,
    fake=0.0,
    mistake="",
) -> Outcome:
    torch.manual_seed(seed)
    g = perceptron(noise, 2, hidden, activation)
    d = perceptron(2, 1, hidden, activation)
    if mistake == "tanh at the end of the generator":
        g.append(nn.Tanh())
    if mistake == "sigmoid in the discriminator":
        d.append(nn.Sigmoid())
    if mistake == "generator's weights all zero":
        for weights in g.parameters():
            nn.init.zeros_(weights)
    trained = d if mistake == "second optimizer copied from the first" else g
    opt_g = make(trained.parameters(), lr=g_lr, betas=(beta, 0.99))
    opt_d = make(d.parameters(), lr=d_lr, betas=(beta, 0.99))
    schedules = [torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma) for optimizer in (opt_g, opt_d)]

    with doctor.watching([g, d], [opt_g, opt_d]):
        for _ in range(steps):
            for _ in range(d_steps):
                reals, fakes = shift + radius * ring(batch), g(torch.randn(batch, noise)).detach()
                on_reals = d(reals + blur * torch.randn_like(reals))
                on_fakes = d(fakes + blur * torch.randn_like(fakes))
                loss_d = bce(on_reals, real) + bce(on_fakes, fake)
                opt_d.zero_grad()
                loss_d.backward()
                opt_d.step()
            for _ in range(g_steps):
                fakes = g(torch.randn(batch, noise))
                if mistake == "fakes detached in both steps":
                    fakes = fakes.detach()
                on_fakes = d(fakes)
                # Saturating: log(1 - D) falls, in place of log D rises
                loss_g = -bce(on_fakes, 0.0) if mistake == "saturating loss" else bce(on_fakes, 1.0)
                if mistake != "generator never zeroed":
                    opt_g.zero_grad()
                loss_g.backward()
                if mistake != "generator never stepped":
                    opt_g.step()
            for schedule in schedules:
                schedule.step()

    with torch.no_grad():
        score = coverage((g(torch.randn(2000, noise)) - shift) / radius)
    return Outcome(score, score)


CASES, add = cases("ring", train)
add("as it should be")
add("six generator steps", "G01", g_steps=6, steps=350)
add("generator far faster", "G01", g_lr=2e-2, d_lr=1e-4)
strong = {"d_steps": 8, "steps": 250, "d_lr": 1e-2, "g_lr": 2e-4}  # a discriminator that learns far more
add("saturating loss, eight discriminator steps", "G02", mistake="saturating loss", **strong)
add("generator far slower", "G02 O02", g_lr=2e-5, d_lr=1e-2)
add("both lr 0.5", "O01", g_lr=0.5, d_lr=0.5)
add("momentum 0.999", "O03", beta=0.999)
add("generator never zeroed", "O05", mistake="generator never zeroed")
add("second optimizer copied from the first", "O06", mistake="second optimizer copied from the first")
add("fakes detached in both steps", "O10", mistake="fakes detached in both steps")
add("generator never stepped", "O12", mistake="generator never stepped")
add("tanh, and a ring of radius 2", "S04", radius=2.0, mistake="tanh at the end of the generator")
add("sigmoid in the discriminator", "S01", mistake="sigmoid in the discriminator")
add("fakes labelled as reals", "L05", fake=1.0)
add("ring far from the origin", "P01", shift=30.0)
add("no activation", "A03", activation=nn.Identity)
add("two hidden units", "A07", hidden=2)
add("generator's weights all zero", "I01", mistake="generator's weights all zero")
# Healthy
add("labels smoothed on one side", real=0.9)
add("two discriminator steps", d_steps=2, steps=500)
add("discriminator twice as fast", d_lr=4e-3)
add("sixteen noises", noise=16)
add("SiLU", activation=nn.SiLU)
add("batches of 32", batch=32, steps=1200)
add("batches of 512", batch=512, steps=500)
add("ring of radius 2", radius=2.0, steps=1000)
add("AdamW with noise on points", make=torch.optim.AdamW, blur=0.05)
add("slow decay", gamma=0.998)
