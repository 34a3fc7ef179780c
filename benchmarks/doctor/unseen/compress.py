"""Handwritten digits of 8 by 8 pixels, squeezed into eight latent numbers by a variational autoencoder.

The loop goes over a DataLoader with Adam and a hand-written ELBO (binary cross-entropy and KL), takes the
validation ELBO after every epoch, and the doctor watches by a with statement.
"""

from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

LATENT = 8
BY_HEART = {"rows": 24, "batch": 8, "beta": 0.02, "epochs": 100}
Pair = tuple[Tensor, Tensor]


class Compressor(nn.Module):
    def __init__(self, width: int, activation: type[nn.Module], drop: float, norm: bool, mistake: str):
        super().__init__()
        normed = lambda: nn.BatchNorm1d(width) if norm else nn.Identity()  # noqa: E731
        self.encoder = nn.Sequential(
            *(nn.Linear(64, width), normed(), activation(), nn.Dropout(drop)),
            *(nn.Linear(width, width), normed(), activation()),
        )
        self.mu = nn.Linear(width, LATENT)
        self.logvar = nn.Linear(width, LATENT)
        self.decoder = nn.Sequential(
            *(nn.Linear(LATENT, width), normed(), activation(), nn.Dropout(drop)),
            *(nn.Linear(width, width), activation(), nn.Linear(width, 64)),
        )
        if mistake == "refine never called":
            self.refine = nn.Linear(64, 64)
        self.mistake = mistake

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.encoder(pixels)
        mu, logvar = self.mu(hidden), self.logvar(hidden)
        latent = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        if self.mistake == "latents detached":
            latent = latent.detach()
        logits = self.decoder(latent)
        return (logits.sigmoid() if self.mistake == "sigmoid twice" else logits), mu, logvar


def elbo_loss(
    logits: Tensor, pixels: Tensor, mu: Tensor, logvar: Tensor, beta: float
) -> tuple[Tensor, Tensor]:
    """The negative ELBO a digit, and its reconstruction part."""
    reconstruction = F.binary_cross_entropy_with_logits(logits, pixels, reduction="none").sum(1).mean()
    kl = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1).mean()
    return reconstruction + beta * kl, reconstruction


def explained(output: Tensor, pixels: Tensor) -> float:
    left = (output.sigmoid() - pixels).square().sum() / (pixels - pixels.mean(0)).square().sum()
    return min(max(1 - float(torch.nan_to_num(left, nan=1.0)), 0.0), 1.0)


@torch.no_grad()
def honest(model: nn.Module, seen: Pair, held_out: Pair, input_scale: float) -> float:
    """Geometric mean of reconstruction R2 (posterior means) and a linear probe's accuracy above chance."""
    model.eval()
    (pixels, digits), (new_pixels, new_digits) = seen, held_out
    latents = model.mu(model.encoder(pixels * input_scale))
    new_latents = model.mu(model.encoder(new_pixels * input_scale))
    if not (latents.isfinite().all() and new_latents.isfinite().all()):
        return 0.0
    r2 = explained(model.decoder(new_latents), new_pixels)
    mean, scale = latents.mean(0), latents.std(0) + 0.1  # a collapsed dimension stays small
    probe = LogisticRegression(max_iter=200).fit((latents - mean) / scale, digits)
    accuracy = probe.score((new_latents - mean) / scale, new_digits)
    return float(np.sqrt(r2 * max(0.0, (accuracy - 0.1) / 0.9)))


def train(
    seed: int,
    doctor: Any,
    *,
    rows: int = 900,
    input_scale: float = 1.0,
    target_scale: float = 1.0,
    width: int = 128,
    activation: type[nn.Module] = nn.ReLU,
    drop: float = 0.0,
    norm: bool = False,
    init_scale: float = 1.0,
    lr: float = 2e-3,
    weight_decay: float = 0.0,
    options: dict[str, Any] | None = None,
    gamma: float = 1.0,
    step_every_batch: bool = False,
    clip: float = 0.0,
    beta: float = 0.25,
    warm_beta: int = 0,
    batch: int = 32,
    epochs: int = 20,
    mistake: str = "",
    oddity: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    images, labels = load_digits(return_X_y=True)
    picked = torch.randperm(len(images))
    everything = torch.tensor(images, dtype=torch.float32)[picked] / 16.0
    digits = torch.tensor(labels)[picked]
    test, probe = (everything[:400], digits[:400]), (everything[400:900], digits[400:900])
    known = everything[400:]
    if mistake == "split in the order of the digits":
        known = known[digits[400:].argsort()]
    train_x, val_x = known[:rows].clone(), known[-300:].clone()
    if oddity == "duplicated rows":
        train_x = torch.cat([train_x, train_x[:200]])
        train_x = (train_x + 0.05 * torch.randn_like(train_x)).clamp(0, 1)
    if mistake == "validation cut from the training rows":
        val_x = train_x[:300].clone()
    if mistake == "validation left at 0 to 16":
        val_x = val_x * 16
    if mistake == "missing pixels":
        train_x[::40, 5] = float("nan")
    targets = train_x
    if mistake == "targets of other digits":
        targets = train_x[torch.randperm(len(train_x))]
    table = TensorDataset(train_x * input_scale, targets * target_scale)
    loader = DataLoader(table, batch_size=batch, shuffle=True)

    model = Compressor(width, activation, drop, norm, mistake)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(init_scale)
    if mistake == "biases at -5":
        for layer in (model.encoder[0], model.encoder[4], model.decoder[0]):
            nn.init.constant_(layer.bias, -5.0)
    if oddity == "frozen first layer":
        model.encoder[0].requires_grad_(False)
    if oddity == "tied weights":
        model.decoder[-1].weight = nn.Parameter(model.encoder[0].weight.t().clone())
    chosen = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(chosen, lr=lr, weight_decay=weight_decay, **(options or {}))
    if mistake == "decoder replaced after the optimizer":
        model.decoder = Compressor(width, activation, drop, norm, mistake).decoder
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)

    believed = 0.0
    with doctor.watching(model, optimizer, loader=loader):
        for epoch in range(epochs):
            if mistake != "never back to train mode" or epoch == 0:
                model.train()
            weight = beta * min(1.0, (epoch + 1) / (warm_beta + 1))
            for x, y in loader:
                if mistake == "inputs shuffled alone":
                    x = x[torch.randperm(len(x))] if epoch >= 5 else x
                if mistake != "no zero_grad":
                    optimizer.zero_grad()
                output, mu, logvar = model(x)
                loss, reconstruction = elbo_loss(output, y, mu, logvar, weight)
                if mistake == "loss clamped":
                    loss = loss.clamp(max=20.0)
                loss.backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if oddity == "gradient noise":
                    for parameter in chosen:
                        parameter.grad.add_(0.01 * torch.randn_like(parameter))
                if mistake != "no step":
                    optimizer.step()
                if step_every_batch:
                    scheduler.step()
            if not step_every_batch:
                scheduler.step()
            if mistake != "validation in train mode":
                model.eval()
            with torch.set_grad_enabled(mistake == "graph kept in validation"):
                output, mu, logvar = model(val_x * input_scale)
                val_loss, _ = elbo_loss(output, val_x * target_scale, mu, logvar, beta)
                believed = explained(output, val_x)
            doctor.on_epoch({"loss": loss.item(), "bce": reconstruction.item()}, {"loss": val_loss.item()})

    score = honest(model, probe, test, input_scale)
    return Outcome(score, believed)


CASES, add = cases("compress", train)
add("as it should be")
add("missing pixels", "D01", mistake="missing pixels")
add("split in the order of the digits", "D04", mistake="split in the order of the digits", rows=700)
add(
    "validation cut from the training rows",
    "D06",
    mistake="validation cut from the training rows",
    **BY_HEART,
)
add("two dozen digits by heart", "R01", **BY_HEART)
add("inputs shuffled apart from the targets", "L01", mistake="inputs shuffled alone")
add("targets of other digits", "L02", mistake="targets of other digits")
add("validation left at 0 to 16", "P02", exact=True, mistake="validation left at 0 to 16")
add("pixels never divided by 16", "S04 S07", input_scale=16.0, target_scale=16.0)
add("biases at -5", "A02", mistake="biases at -5")
add("three units wide", "A07", width=3)
add("layer never called", "A08", exact=True, mistake="refine never called")
add("all weights zero", "I01", init_scale=0.0)
add("weights ten times too large", "I03", init_scale=10.0, lr=5e-4)
add("sigmoid twice", "S01", mistake="sigmoid twice")
add("loss clamped", "S07", mistake="loss clamped")
add("lr 0.05", "O01", lr=0.05)
add("lr 1", "O01", lr=1.0)
add("lr 5e-6", "O02", lr=5e-6)
add("eps of Adam 1", "O03 O02", options={"eps": 1.0})
add("decay of an epoch at each batch", "O04", gamma=0.9, step_every_batch=True)
add("gradients never zeroed", "O05", exact=True, mistake="no zero_grad")
add("decoder replaced after the optimizer", "O06", mistake="decoder replaced after the optimizer")
add("latents detached", "O10", mistake="latents detached")
add("step forgotten", "O12", mistake="no step")
add("dropout 0.95", "R02", drop=0.95)
add("weight decay 0.3", "R02", weight_decay=0.3)
add("two epochs", "R03", epochs=2, lr=1e-3)
add("BatchNorm on batches of two", "R04", exact=True, norm=True, batch=2, epochs=3)
add("validation in train mode", "E01", exact=True, mistake="validation in train mode", drop=0.2)
add("never back to train mode", "E02", exact=True, mistake="never back to train mode", drop=0.2)
add("graph kept in validation", "E03", exact=True, mistake="graph kept in validation")
add("posterior collapse", "G03", beta=12.0)
add("KL warm-up", warm_beta=8)
add("frozen first layer", oddity="frozen first layer")
add("tied weights", oddity="tied weights")
add("raw pixels in, tanh", input_scale=16.0, activation=nn.Tanh)
add("BatchNorm and dropout", norm=True, drop=0.1)
add("duplicated and noisy rows", oddity="duplicated rows")
add("gradient noise and clipping", oddity="gradient noise", clip=5.0)
