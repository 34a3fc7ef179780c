"""Pictures of 10 x 10 pixels show the veins of a leaf: their angle tells which of six species it is.

A perceptron with batch norm on the flattened pictures, batches cut by hand, SGD with momentum, cosine decay,
negative log-likelihood and accuracy written out, `with doctor.watching(...)` around the loop.
"""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import Tensor, nn

SPECIES, SIDE, VALIDATION = 6, 10, 300


def photograph(rng: np.random.Generator, leaves: int) -> tuple[Tensor, Tensor]:
    """Pictures in grey levels around 128, with veins at any phase, and the species."""
    species = rng.integers(SPECIES, size=leaves)
    angle = (np.pi * species / SPECIES + 0.08 * rng.standard_normal(leaves))[:, None, None]
    phase = rng.uniform(0, 2 * np.pi, (leaves, 1, 1))
    row, column = np.mgrid[:SIDE, :SIDE]
    veins = np.sin(1.4 * (row * np.sin(angle) + column * np.cos(angle)) + phase)
    grey = 128 + 40 * veins + 30 * rng.standard_normal(veins.shape)
    return torch.from_numpy(grey).float().clamp(0, 255), torch.from_numpy(species)


class Perceptron(nn.Module):
    def __init__(
        self,
        width: int,
        depth: int,
        activation: type[nn.Module],
        norm: type[nn.Module] | None,
        dropout: float,
    ) -> None:
        super().__init__()
        sizes = [SIDE * SIDE] + [width] * depth
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), norm(after) if norm else nn.Identity(), activation()]
        self.body = nn.Sequential(*layers, nn.Dropout(dropout))
        self.head = nn.Linear(width, SPECIES)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.body(pictures.flatten(1)))


def prepare(model: nn.Module, spread: float | None, bn_momentum: float, bn_bias: float) -> None:
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and spread is not None:
            nn.init.normal_(layer.weight, std=spread)
        if isinstance(layer, nn.BatchNorm1d):
            layer.momentum = bn_momentum
            nn.init.constant_(layer.bias, bn_bias)


def accuracy(model: nn.Module, pictures: Tensor, species: Tensor) -> float:
    return (model(pictures).argmax(dim=1) == species).float().mean().item()


def train(
    seed: int,
    doctor,
    *,
    rows: int = 2000,
    sort: bool = False,
    shuffle: bool = True,
    standardise: bool = True,
    label_noise: float = 0.0,
    batch: int = 40,
    epochs: int = 20,
    lr: float = 0.05,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    warmup: int = 0,
    width: int = 96,
    depth: int = 2,
    activation: type[nn.Module] = nn.ReLU,
    norm: type[nn.Module] | None = nn.BatchNorm1d,
    bn_momentum: float = 0.1,
    bn_bias: float = 0.0,
    spread: float | None = None,
    dropout: float = 0.0,
    freeze_first: bool = False,
    clip: float | None = None,
    accumulate: int = 1,
    axis: int = 1,
    l1: float = 0.0,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)

    pictures, species = photograph(rng, rows)
    val_pictures, val_species = photograph(rng, VALIDATION)
    test_pictures, test_species = photograph(rng, 1000)
    if standardise:
        mean, std = pictures.mean(), pictures.std()
        pictures = (pictures - mean) / std
        if mistake != "training pictures standardised alone":
            val_pictures, test_pictures = (val_pictures - mean) / std, (test_pictures - mean) / std
    if mistake == "broken sensor":
        pictures[rng.integers(len(pictures), size=20), 4, 4] = float("nan")
    noisy = torch.rand(len(species)) < label_noise
    species = torch.where(noisy, torch.randint(SPECIES, species.shape), species)
    if sort:
        order = species.argsort(stable=True)
        pictures, species = pictures[order], species[order]

    model = Perceptron(width, depth, activation, norm, dropout)
    prepare(model, spread, bn_momentum, bn_bias)
    model.body[0].requires_grad_(not freeze_first)
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum, weight_decay=weight_decay)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(epochs - warmup, 1))
    scheduler: torch.optim.lr_scheduler.LRScheduler = cosine
    if warmup:
        rising = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=warmup)
        scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [rising, cosine], [warmup])

    val_accuracy = 0.0
    history: list[Tensor] = []
    with doctor.watching(model, optimizer):
        for _ in range(epochs):
            model.train()
            order = torch.randperm(len(pictures)) if shuffle else torch.arange(len(pictures))
            optimizer.zero_grad()
            for step, start in enumerate(range(0, len(order), batch), start=1):
                rows_now = order[start : start + batch]
                x, y = pictures[rows_now], species[rows_now]
                if mistake == "labels not permuted":
                    y = species[start : start + batch]
                scores = model(x)
                if mistake != "raw scores":
                    scores = F.log_softmax(scores, dim=axis)
                loss = F.nll_loss(scores, y)
                if l1:
                    loss = loss + l1 * sum(weight.abs().sum() for weight in model.parameters())
                if mistake == "loss clamped":
                    loss = loss.clamp(max=1.5)
                (loss / accumulate).backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if step % accumulate == 0:
                    optimizer.step()
                    optimizer.zero_grad()
            scheduler.step()

            if mistake != "validated in train mode":
                model.eval()
            with torch.set_grad_enabled(mistake == "validation keeps its graph"):
                val_loss = F.nll_loss(F.log_softmax(model(val_pictures), dim=1), val_species)
                val_accuracy = accuracy(model, val_pictures, val_species)
                history.append(val_loss)

    model.eval()
    with torch.no_grad():
        return Outcome(accuracy(model, test_pictures, test_species), val_accuracy)


CASES, add = cases("leaves", train)
add("as it should be")

add("some pixels are NaN", "D01", mistake="broken sensor")
add("sorted by species, not shuffled", "D03", sort=True, shuffle=False)
add("labels left in the old order", "L01 L02", mistake="labels not permuted")
add("sixty per cent of labels wrong", "L04", label_noise=0.72)
add("grey levels without norm", "P01", standardise=False, norm=None)
add("training pictures standardised alone", "P02", mistake="training pictures standardised alone")
add("saturated sigmoids", "A01 P01", activation=nn.Sigmoid, norm=None, standardise=False)
add("dead units, norm shifted by -4", "A02", bn_bias=-4.0)
add("no activation", "A03", activation=nn.Identity)
add("two units wide", "A07", width=2)
add("weights of 0.001 without norm", "I02", norm=None, spread=0.001, depth=4)
add("weights of 2 without norm", "I03", norm=None, spread=2.0, depth=3)
add("likelihood of raw scores", "S03", mistake="raw scores")
add("log-softmax over the batch", "S03", exact=True, axis=0)
add("loss clamped at 1.5", "S07", mistake="loss clamped")
add("lr 3 without norm", "O01 O08", lr=3.0, norm=None)
add("ten sigmoid layers without norm", "O07", depth=10, activation=nn.Sigmoid, norm=None)
add("clipped at 0.0005", "O11", clip=0.0005)
add("accumulates over more batches than there are", "O12", accumulate=64)
add("weight decay 0.5", "R02", weight_decay=0.5)
add("norm over two pictures", "R04", batch=2, rows=700, epochs=4)
add("validated in train mode", "E01", exact=True, dropout=0.3, mistake="validated in train mode")
add("validation keeps its graph", "E03", exact=True, mistake="validation keeps its graph")
add("norm statistics hardly move", "E05", bn_momentum=1e-4, standardise=False)
add("stopped after four epochs", "R03 O02", epochs=4, lr=0.001)

add("lr 0.5", lr=0.5)
add("warm-up over four epochs, momentum 0.95", warmup=4, momentum=0.95)
add("grey levels behind batch norm", standardise=False)
add("tanh, no norm", activation=nn.Tanh, norm=None)
add("layer norm and dropout 0.4", norm=nn.LayerNorm, dropout=0.4)
add("first layer frozen, wide", freeze_first=True, width=300)
add("two batches of 20 a step, clipped at 1", batch=20, accumulate=2, clip=1.0)
add("l1 penalty", l1=1e-4)
add("five per cent of labels wrong", label_noise=0.06)
