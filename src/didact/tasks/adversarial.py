"""A game of two players: a generator that imitates samples and a discriminator that tells them apart."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.data.batches import Batch, Split, generator_for
from didact.data.raw import Part
from didact.errors import UsageError
from didact.tasks.exhibits import Distributions
from didact.tasks.metrics import wasserstein
from didact.tasks.task import Numbers, Outcome, Step, Task, device_of, evaluating

SCORED_SAMPLES = 10_000  # as the notes' Example 1 draws


@dataclass
class Adversarial(Task):
    """Algorithm 1 of the notes (004, GAN training): k steps of the discriminator, then one of the generator.

    Attributes:
        loss: With ``minimax`` the generator descends log(1 - D(G(z))); with ``non-saturating`` it ascends
            log D(G(z)), whose gradient does not vanish while the discriminator wins.
        d_steps: Discriminator steps for each generator step: the batch is cut in as many parts.
        noise: ``uniform`` draws z from U[-1, 1], ``normal`` from N(0, 1).
    """

    loss: Literal["non-saturating", "minimax"] = "non-saturating"
    d_steps: int = 1
    noise: Literal["uniform", "normal"] = "uniform"
    name = "adversarial"
    metric = "wasserstein"
    watch = "wasserstein"

    def __post_init__(self) -> None:
        if self.d_steps < 1:
            raise UsageError(f"d_steps={self.d_steps}: the discriminator takes at least 1 step")

    def groups(self, model: nn.Module) -> dict[str, nn.Module]:
        """Each player has an optimizer of its own."""
        return {
            "discriminator": model.get_submodule("discriminator"),
            "generator": model.get_submodule("generator"),
        }

    def losses(self, model: nn.Module, batch: Batch) -> Iterator[Step]:
        """The discriminator's steps, then the generator's against the discriminator just improved."""
        discriminator = model.get_submodule("discriminator")
        examples = len(batch[0])
        for real in batch[0].tensor_split(min(self.d_steps, examples)):
            with torch.no_grad():
                fake = model(self.draw_noise(model, len(real)))
            on_real, on_fake = discriminator(real), discriminator(fake)
            loss = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()  # -log D(x) - log(1 - D(G(z)))
            verdicts = {"d_real": on_real, "d_fake": on_fake}
            logs = {name: logits.detach().sigmoid().mean() * examples for name, logits in verdicts.items()}
            yield Step("discriminator", loss, logs)
        verdict = discriminator(model(self.draw_noise(model, examples)))
        minimax = self.loss == "minimax"
        yield Step("generator", -F.softplus(verdict).mean() if minimax else F.softplus(-verdict).mean())

    def draw_noise(self, model: nn.Module, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Noise (count, noise_dim) on the model's device; from the global generator unless one is given."""
        shape = (count, int(model.noise_dim))  # type: ignore[arg-type]
        if self.noise == "normal":
            return torch.randn(shape, generator=generator).to(device_of(model))
        return (torch.rand(shape, generator=generator) * 2 - 1).to(device_of(model))

    def generate(self, model: nn.Module, count: int, seed: int = 0) -> Tensor:
        """Draw samples (count, data_dim), the same for the same seed."""
        with evaluating(model):
            return model(self.draw_noise(model, count, generator_for(seed))).float().cpu()

    def score(self, model: nn.Module, split: Split, batch_size: int = 0, workers: int = 0) -> Numbers:
        """Mean and deviation of 10,000 generated numbers, their distance from the split, and D's verdicts."""
        samples = self.generate(model, SCORED_SAMPLES)
        real = split.take(split.order(None))[0]
        discriminator = model.get_submodule("discriminator")
        with evaluating(model) as device:
            return {
                "wasserstein": wasserstein(samples, real.cpu()),
                "mean": samples.mean().item(),
                "std": samples.std().item(),
                "d_real": discriminator(real.to(device)).sigmoid().mean().item(),
                "d_fake": discriminator(samples.to(device)).sigmoid().mean().item(),
            }

    def examine(self, model: nn.Module, split: Split, part: Part, batch_size: int = 0) -> Outcome:
        """The numbers, and the histogram of the notes' figure: generated over real."""
        real = split.take(split.order(None))[0].cpu().flatten()
        samples = self.generate(model, SCORED_SAMPLES).flatten()
        low = min(values.quantile(0.001).item() for values in (real, samples))
        high = max(values.quantile(0.999).item() for values in (real, samples))
        edges = torch.linspace(low, high, 41)
        counts = [values.histogram(edges).hist.int().tolist() for values in (real, samples)]
        return Outcome(self.score(model, split), [Distributions(edges.tolist(), *counts)])

    def decode(self, outputs: Tensor) -> list[dict[str, Any]]:
        """The generated numbers."""
        return [{"sample": row} for row in outputs.tolist()]
