"""A GAN of the 8 x 8 digits 0, 1 and 4: two perceptrons, two optimizers and a loss written by hand.

The loop makes its index batches itself and has no validation; it draws sample pictures after each epoch.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from sklearn.datasets import load_digits
from torch import Tensor, nn

DIGITS = (0, 1, 4)
NOISE = 12

# A pair of losses: of the discriminator (scores of real and of made-up rows), of the generator.
Losses = tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor], Tensor]]

NON_SATURATING: Losses = (
    lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
    lambda fake: F.softplus(-fake).mean(),
)
MINIMAX: Losses = (NON_SATURATING[0], lambda fake: -F.softplus(fake).mean())
SMOOTHED: Losses = (  # the real rows count as real at 0.9
    lambda real, fake: F.softplus(-real).mean() + 0.1 * real.mean() + F.softplus(fake).mean(),
    NON_SATURATING[1],
)
HINGE: Losses = (
    lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
    lambda fake: -fake.mean(),
)
WASSERSTEIN: Losses = (lambda real, fake: fake.mean() - real.mean(), lambda fake: -fake.mean())


class Generator(nn.Module):
    def __init__(
        self, width: int, activation: type[nn.Module], last: type[nn.Module], spare: bool = False
    ) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(NOISE, width), nn.BatchNorm1d(width), activation(),
            nn.Linear(width, width), nn.BatchNorm1d(width), activation(),
        )  # fmt: skip
        self.picture = nn.Sequential(nn.Linear(width, 64), last())
        if spare:
            self.refine = nn.Linear(64, 64)  # was meant to follow `picture`

    def forward(self, z: Tensor) -> Tensor:
        return self.picture(self.hidden(z))


def make_discriminator(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(64, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2),
        nn.Linear(width, 1),
    )  # fmt: skip


def gradient_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    t = torch.rand(len(real), 1)
    between = (t * real + (1 - t) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(between).sum(), between, create_graph=True)
    return (slope.norm(dim=1) - 1).square().mean()


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, share: float) -> None:
    for kept, now in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(now, share)
    for kept, now in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(now)


def closeness(real: Tensor, fake: Tensor, k: int = 5) -> float:
    """Harmonic mean of the shares of real rows with a fake close by and of fakes with a real row close by."""
    radius = torch.cdist(real, real).kthvalue(k + 1, dim=1).values
    inside = torch.cdist(real, fake) <= radius[:, None]
    covered, close = inside.any(dim=1).float().mean().item(), inside.any(dim=0).float().mean().item()
    return 2 * covered * close / max(covered + close, 1e-9)


def load(raw: bool) -> tuple[Tensor, Tensor]:
    """The rows to train on and the held-out ones, pixels from -1 to 1 (or 0 to 16 if raw)."""
    pixels, labels = load_digits(return_X_y=True)
    rows = torch.tensor(pixels[np.isin(labels, DIGITS)], dtype=torch.float32)
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
    rows = rows if raw else rows / 8 - 1
    return rows[:400], rows[400:]


def train(
    seed: int, doctor: Any, *, epochs: int = 60, batch: int = 40, width: int = 64, lr: float = 1e-3,
    lr_d: float = 4e-3, betas: tuple[float, float] = (0.5, 0.99), losses: Losses = NON_SATURATING,
    steps_d: int = 1, penalty: float = 0.0, blur: float = 0.0, gamma: float = 1.0, ema: float = 0.0,
    activation: type[nn.Module] = nn.ReLU, last: type[nn.Module] = nn.Tanh,
    raw: bool = False, init_std: float | None = None, mistake: str = "",
) -> Outcome:  # fmt: skip
    torch.manual_seed(seed)
    rows, held_out = load(raw)
    if mistake == "missing pixels":
        rows[::25, 20] = float("nan")

    generator = Generator(width, activation, last, spare=mistake == "spare layer")
    discriminator = make_discriminator(width)
    if init_std is not None:
        for layer in generator.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=init_std)
    average = copy.deepcopy(generator)

    optimizer_g = torch.optim.Adam(generator.parameters(), lr=lr, betas=betas)
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=lr_d, betas=betas)
    if mistake == "layer replaced too late":
        generator.picture[0] = nn.Linear(width, 64)
    if mistake == "one optimizer twice":
        optimizer_g = torch.optim.Adam(discriminator.parameters(), lr=lr, betas=betas)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer_g, gamma)
    loss_d, loss_g = losses

    def noise(n: int) -> Tensor:
        if mistake == "one noise for all":
            return torch.randn(1, NOISE).expand(n, NOISE)
        return torch.randn(n, NOISE)

    both = nn.ModuleDict({"generator": generator, "discriminator": discriminator})
    albums = []
    with doctor.watching(both, (optimizer_g, optimizer_d)):
        for _ in range(epochs):
            for chosen in torch.randperm(len(rows)).split(batch):
                real = rows[chosen] + blur * torch.randn(len(chosen), 64)

                for _ in range(steps_d):
                    if mistake != "discriminator never zeroed":
                        optimizer_d.zero_grad()
                    fake = generator(noise(len(real))).detach()
                    fake = fake + blur * torch.randn_like(fake)
                    loss = loss_d(discriminator(real), discriminator(fake))
                    if penalty:
                        loss = loss + penalty * gradient_penalty(discriminator, real, fake)
                    loss.backward()
                    optimizer_d.step()

                if mistake != "generator never zeroed":
                    optimizer_g.zero_grad()
                fake = generator(noise(len(real)))
                if mistake == "detached":
                    fake = fake.detach()
                fake = fake + blur * torch.randn_like(fake)
                loss_g(discriminator(fake)).backward()
                if mistake != "no step":
                    optimizer_g.step()
                if ema:
                    follow(average, generator, 1 - ema)
            schedule.step()

            generator.eval()
            if mistake == "album keeps graphs":
                albums.append(generator(torch.randn(16, NOISE)))
            else:
                with torch.no_grad():
                    albums.append(generator(torch.randn(16, NOISE)))
            if mistake != "left in eval":
                generator.train()

    generator = (average if ema else generator).eval()
    with torch.no_grad():
        score = closeness(held_out, generator(noise(len(held_out))))
    return Outcome(score, score)


CASES, add = cases("digits_gan", train)

add("as it should be")

add("one noise for a whole batch", "G01", mistake="one noise for all")
add("generator far ahead of its discriminator", "G01 O01", lr=3e-2, lr_d=1e-4)
add("discriminator far ahead, minimax loss", "G02", losses=MINIMAX, lr_d=2e-2, steps_d=3)
add("critic without a penalty", "G02 O08", losses=WASSERSTEIN)
add("layer replaced after the optimizer", "O06", mistake="layer replaced too late")
add("discriminator in both optimizers", "O06", mistake="one optimizer twice")
add("generator's fakes detached", "O10", mistake="detached")
add("generator's step forgotten", "O12", mistake="no step")
add("discriminator's gradients never zeroed", "O05", exact=True, mistake="discriminator never zeroed")
add("generator's gradients never zeroed", "O05", exact=True, mistake="generator never zeroed")
add("lr 0.2 for both", "O01", lr=0.2, lr_d=0.2)
add("lr 1e-6 for both", "O02", lr=1e-6, lr_d=1e-6)
add("lr shrinks by half an epoch", "O04", gamma=0.5)
add("all weights zero", "I01", init_std=0.0)
add("weights from N(0, 5)", "I03", init_std=5.0)
add("raw pixels against tanh", "S04 P01", raw=True)
add("ends in a sigmoid, rows from -1", "S04", last=nn.Sigmoid)
add("generator left in eval", "E02", exact=True, mistake="left in eval")
add("a layer never called", "A08", exact=True, mistake="spare layer")
add("album keeps its graphs", "E03", exact=True, mistake="album keeps graphs")
add("missing pixels", "D01", mistake="missing pixels")

add("equal rates, longer", lr=2e-3, lr_d=4e-3, epochs=80)
add("hinge loss", losses=HINGE)
add("wasserstein with a penalty", losses=WASSERSTEIN, penalty=1.0, betas=(0.0, 0.9))
add("one-sided smoothing", losses=SMOOTHED)
add("two discriminator steps", steps_d=2)
add("average of the generators", ema=0.95)
add("blurred rows", blur=0.1)
add("leaky generator", activation=nn.LeakyReLU)
add("big batches", batch=100, epochs=120)
