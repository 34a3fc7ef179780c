"""The rent of a flat from its size, rooms, year, distance to the station and district (a synthetic table).

An MLP with an embedding learns the logarithm of the rent in thousands with nn.SmoothL1Loss and SGD with
momentum, in batches of indices made by hand; the loop calls `doctor.on_start`, `on_step` and `on_epoch`.
"""

from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

DISTRICTS = 12
COLUMNS = 5  # of numbers; the number of the district is the last column
TASTE = np.random.default_rng(7).normal(0, 0.35, DISTRICTS)


def advertise(rng: np.random.Generator, rows: int, noise: float = 0.27) -> tuple[Tensor, Tensor]:
    """Flats, one a row, and the logarithm of their monthly rents in thousands."""
    size = rng.uniform(20, 140, rows)
    rooms = np.clip(np.round(size / 25 + rng.normal(0, 0.7, rows)), 1, 6)
    year = rng.integers(1880, 2021, rows)
    metres = rng.uniform(50, 6000, rows)  # to the station
    free_since = rng.integers(1, 366, rows)  # the day of the year, worth nothing
    district = rng.integers(0, DISTRICTS, rows)
    age = (year - 1950) / 70  # the old and the new are dear, what was built between is not
    log_rent = 0.6 * np.log(size / 60) + 0.05 * rooms + 1.1 * age**2 - 0.5
    log_rent += TASTE[district] * (1.5 - metres / 4000) + rng.normal(0, noise, rows)
    table = np.stack([size, rooms, year, metres, free_since, district], axis=1)
    return torch.tensor(table, dtype=torch.float32), torch.tensor(log_rent, dtype=torch.float32)


class Valuer(nn.Module):
    """A vector for the district beside the numbers, then a plain MLP."""

    def __init__(
        self,
        width: int = 64,
        depth: int = 2,
        activation: type[nn.Module] = nn.ReLU,
        norm: type[nn.Module] = nn.Identity,
        dropout: float = 0.0,
        last: nn.Module | None = None,
        mistake: str = "",
    ) -> None:
        super().__init__()
        self.mistake = mistake
        self.district = nn.Embedding(DISTRICTS, 4)
        layers: list[nn.Module] = []
        for inputs in [COLUMNS + (0 if mistake == "district left out" else 4)] + [width] * (depth - 1):
            layer = nn.Linear(inputs, width)
            layers += [layer, norm(width), activation(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(width, 1), last or nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        numbers, code = x[:, :COLUMNS], x[:, COLUMNS].long()
        if self.mistake != "district left out":  # defined, and never asked
            numbers = torch.cat([numbers, self.district(code)], dim=1)
        if self.mistake == "steep":  # a "temperature" that drives every tanh to its ends
            numbers = 200 * numbers
        features = self.body(numbers)
        if self.mistake == "features detached":
            features = features.detach()
        return self.head(features)


def r_squared(predicted: Tensor, true: Tensor) -> float:
    value = 1 - ((predicted - true) ** 2).mean() / true.var(unbiased=False)
    return max(0.0, value.item()) if value == value else 0.0


def train(
    seed: int,
    doctor: Any,
    *,
    rows: int = 1200,
    val_rows: int = 300,
    val_noise: float = 0.27,
    copies: int = 1,
    wrong_rents: float = 0.0,
    batch: int = 32,
    epochs: int = 36,
    lr: float = 0.03,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    rmsprop: bool = False,
    cosine: bool = False,
    loss_fn: nn.Module | None = None,
    every: int = 1,
    clip: float | None = None,
    weights: float | None = None,
    mistake: str = "",
    **network: Any,
) -> Outcome:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)

    x, y = advertise(rng, rows // copies)
    val_x, val_y = advertise(rng, val_rows, val_noise)
    test_x, test_y = advertise(rng, 1000)
    x, y = x.repeat(copies, 1), y.repeat(copies)  # the same advert in several papers
    if mistake == "split after copying":
        order = torch.randperm(len(y))
        (val_x, x), (val_y, y) = (v[order].split([val_rows, len(y) - val_rows]) for v in (x, y))
    mean, std = x.mean(0), x.std(0)
    mean[COLUMNS], std[COLUMNS] = 0, 1  # the district is no number
    if mistake == "raw table":
        mean, std = torch.zeros_like(mean), torch.ones_like(std)
    x, val_x, test_x = ((v - mean) / std for v in (x, val_x, test_x))
    if mistake == "deposit in the table":  # it is set from the rent, and unknown of a new flat
        x[:, 4], val_x[:, 4], test_x[:, 4] = 2 * y, 2 * val_y, 0
    if mistake == "in cents":
        y, val_y, test_y = (100_000 * v.exp() for v in (y, val_y, test_y))
    mixed_up = torch.nonzero(torch.rand(len(y)) < wrong_rents).squeeze(1)
    y[mixed_up] = y[mixed_up[torch.randperm(len(mixed_up))]]

    model = Valuer(mistake=mistake, **network)
    if weights is not None:
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=weights)
                nn.init.zeros_(layer.bias)
    trained = list(model.parameters())
    if rmsprop:
        optimizer = torch.optim.RMSprop(trained, lr)
    else:
        optimizer = torch.optim.SGD(trained, lr, momentum=momentum, weight_decay=weight_decay)
    scheduler = CosineAnnealingLR(optimizer, epochs) if cosine else None
    loss_fn = loss_fn or nn.SmoothL1Loss()

    doctor.on_start(model, optimizer, loss_fn)
    reported = 0.0
    for _ in range(epochs):
        model.train()
        order = torch.randperm(len(y))
        total = 0.0
        for step, start in enumerate(range(0, len(y), batch), start=1):
            chosen = order[start : start + batch]
            predicted = model(x[chosen])
            if mistake != "not squeezed":  # (batch, 1) minus (batch,) is a square
                predicted = predicted.squeeze(1)
            loss = loss_fn(predicted, y[chosen])
            (loss / every).backward()
            if clip:
                nn.utils.clip_grad_norm_(trained, clip)
            if step % every == 0:
                if mistake != "no step":
                    optimizer.step()
                if mistake != "never zeroed":
                    optimizer.zero_grad()
            total += loss.item() * len(chosen)
            doctor.on_step(loss, (x[chosen], y[chosen]))
        if scheduler:
            scheduler.step()

        model.eval()
        with torch.set_grad_enabled(mistake == "graph kept"):
            guess = model(val_x)
            if mistake != "error of all pairs":  # the same, where it is measured
                guess = guess.squeeze(1)
            error, reported = (guess - val_y).abs().mean(), r_squared(guess, val_y)
        doctor.on_epoch({"loss": total / len(y)}, {"mae": error.item(), "r2": reported})

    model.eval()
    with torch.no_grad():
        return Outcome(r_squared(model(test_x).squeeze(1), test_y), reported)


CASES, add = cases("rents", train)
add("as it should be")

add("validated on rents of a formula", "D05", val_noise=0.0)
add("split after copying", "D06", mistake="split after copying", rows=900, copies=3, batch=16, lr=0.1)
add("deposit in the table", "D07", mistake="deposit in the table")
add("half of the rents mixed up", "L04", wrong_rents=0.5)
add("three rents in four mixed up", "L04", wrong_rents=0.75)
add("raw table", "P01", mistake="raw table")
add("rents in cents", "P04", mistake="in cents")
add("tanh far too steep", "A01", mistake="steep", activation=nn.Tanh)
add("district left out", "A08", True, mistake="district left out")
add("weights of 0.001", "I02", weights=0.001)
add("weights of 2", "I03", weights=2.0)
add("sigmoid at the end", "S04", last=nn.Sigmoid())
add("not squeezed", "S05", mistake="not squeezed")
add("lr 2e-5", "O02", lr=2e-5)
add("momentum 0.999", "O03 O01", momentum=0.999)
add("never zeroed", "O05", True, mistake="never zeroed")
add("twelve layers of sigmoids", "O07", depth=12, activation=nn.Sigmoid, epochs=20)
add("features detached", "O10", mistake="features detached")
add("clipped at 0.001", "O11", clip=0.001)
add("no step", "O12", mistake="no step")
add("weight decay 0.1", "R02", weight_decay=0.1)
add("stopped after six epochs", "R03", epochs=6, batch=8, lr=3e-4)
add("batch norm with pairs", "R04", norm=nn.BatchNorm1d, batch=2, rows=600, epochs=5)
add("graph kept", "E03", True, mistake="graph kept")
add("error of all pairs", "E04", True, mistake="error of all pairs")

add("RMSprop", rmsprop=True, lr=2e-3)
add("lr 0.2, clipped at 1", lr=0.2, clip=1.0)
add("cosine to 0 with nn.L1Loss", cosine=True, loss_fn=nn.L1Loss())
add("four batches an update", every=4, batch=8, lr=0.05)
add("batches of 300, lr 0.2", batch=300, lr=0.2, epochs=60)
add("tanh and layer norm", activation=nn.Tanh, norm=nn.LayerNorm)
add("one rent in twenty mixed up", wrong_rents=0.05)
add("forty rows of validation, dropout", val_rows=40, dropout=0.1)
add("every advert twice", rows=2400, copies=2, epochs=12)
