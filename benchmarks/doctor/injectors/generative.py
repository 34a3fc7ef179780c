"""Generative networks: G01 to G03, and what else can befall the two players of a GAN."""

from functools import partial

import networks
import torch
from fault import fault

from tasks import Task, elbo

GAN, VAE = ("ring-gan",), ("digits-vae",)


@fault("G01", GAN, strengths={"zeros": {"size": 0.0}, "tiny": {"size": 0.01}})
def no_noise(task: Task, size: float) -> None:
    """The generator is given the same noise each time, or next to none."""
    task.noise = lambda n: size * torch.randn(n, 8)


@fault("G01", GAN, strengths={"x10": {"factor": 10.0}})
def eager_generator(task: Task, factor: float) -> None:
    """A generator that runs ahead of a slow, small critic."""
    task.optimizer = partial(task.optimizer, lr=1e-3 * factor)
    task.critic_optimizer = partial(task.critic_optimizer, lr=4e-4)
    task.network = partial(lambda: (networks.Generator(), networks.Critic(8)))


@fault("G02", GAN, strengths={"slow generator": {"g": 2e-5}, "rare generator": {"every": 25}})
def critic_overpowers(task: Task, g: float = 1e-3, every: int = 1) -> None:
    """The critic is far ahead: a generator with a tiny learning rate, or one that seldom moves."""
    task.optimizer = partial(task.optimizer, lr=g)
    task.critic_steps = every


@fault("G02", GAN)
def saturating_loss(task: Task) -> None:
    """Minimises log(1 - D): no slope when the critic is sure."""
    task.saturating = True
    task.critic_optimizer = partial(task.critic_optimizer, lr=2e-2)
    task.critic_steps = 5


@fault("G03", VAE, strengths={"weight 20": {"weight": 20.0}, "weight 100": {"weight": 100.0}})
def heavy_divergence(task: Task, weight: float) -> None:
    """A divergence weighted so much that the code says nothing."""
    task.set_loss(partial(elbo, weight=weight))


@fault("G03", VAE)
def mean_against_sum(task: Task) -> None:
    """The error is averaged over pixels, the divergence summed."""
    task.set_loss(partial(elbo, scale=1 / 64))


@fault("O01", GAN, strengths={"x30": {"factor": 30.0}, "x300": {"factor": 300.0}})
def both_too_fast(task: Task, factor: float) -> None:
    """Both players with a learning rate that is far too high."""
    task.optimizer = partial(task.optimizer, lr=1e-3 * factor)
    task.critic_optimizer = partial(task.critic_optimizer, lr=4e-3 * factor)
