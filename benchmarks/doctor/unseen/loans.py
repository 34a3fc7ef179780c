"""Loan requests answered with yes or no: a synthetic table of eight columns, about 30 % yes.

A small MLP with batch norm, AdamW under a cosine and BCEWithLogitsLoss, inside ``doctor.watching``.
"""

import copy
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

CALLS = 7  # the column with the calls between bank and customer


def requests(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Income, amount, debt share, years employed, age, months, late payments, calls; and the answers."""
    z = rng.normal(size=(rows, 6))
    shape, place = np.array([9e3, 4e3, 0.12, 4.0, 11.0, 14.0]), np.array([42e3, 15e3, 0.4, 9.0, 43.0, 48.0])
    late, calls = rng.poisson(1.0, rows), rng.poisson(2.0, rows)
    merit = 1.2 * np.abs(z[:, 0] - 0.5 * z[:, 1]) - z[:, 2] * z[:, 3] + 0.7 * z[:, 4] - 0.3 * (late - 1.0)
    table = np.column_stack([place + shape * z, late, calls])
    return table, (merit > 1.85).astype(np.float64)


class SoftplusLoss(nn.Module):
    """Binary cross entropy, written by hand."""

    def forward(self, logits: Tensor, answers: Tensor) -> Tensor:
        return (nn.functional.softplus(logits) - answers * logits).mean()


def network(width: int, activation: type[nn.Module], dropout: float, momentum: float) -> nn.Sequential:
    blocks: list[nn.Module] = []
    for inputs in (8, width):
        norm = nn.BatchNorm1d(width, momentum=momentum)
        blocks += [nn.Linear(inputs, width), norm, activation(), nn.Dropout(dropout)]
    return nn.Sequential(*blocks, nn.Linear(width, 1))


def batches(x: Tensor, y: Tensor, batch: int, shuffle: bool) -> DataLoader:
    return DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=shuffle, drop_last=True)


def train(
    seed: int,
    doctor: Any,
    *,
    rows: int = 2400,
    val_rows: int = 600,
    copies: int = 1,
    flipped: float = 0.0,
    batch: int = 64,
    epochs: int = 15,
    shuffle: bool = True,
    width: int = 64,
    activation: type[nn.Module] = nn.ReLU,
    dropout: float = 0.1,
    bn_momentum: float = 0.1,
    loss: type[nn.Module] = nn.BCEWithLogitsLoss,
    squeeze: bool = True,
    pos_weight: float | None = None,
    optimizer: type[torch.optim.Optimizer] = torch.optim.AdamW,
    lr: float = 5e-3,
    weight_decay: float = 1e-2,
    schedule: str = "cosine",
    clip: float | None = None,
    accumulate: int = 1,
    average: bool = False,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)

    # the table: one part to learn from, one to validate, and new requests for the honest score
    table, answers = requests(rows + val_rows, rng)
    new_table, new_answers = requests(3000, rng)
    if mistake == "calls after the answer":  # they call to say yes: nobody knows that at the time of request
        table[:, CALLS] += 6 * answers
    if mistake == "split after oversampling":
        again = rng.integers(0, 90, rows + val_rows)
        table, answers = table[again], answers[again]
    learn = np.arange(len(table)) < rows
    if mistake == "export lost the yes":
        learn &= (answers == 0) | (rng.random(len(table)) < 0.03)
    if mistake == "one branch":  # in a rich town, deep in debt
        learn &= (table[:, 0] > 44e3) & (table[:, 2] > 0.42)
    x, y = table[learn].repeat(copies, axis=0), answers[learn].repeat(copies, axis=0)
    x_val, y_val = table[rows:], answers[rows:]
    if mistake == "missing incomes":
        x[rng.random(len(x)) < 0.01, 0] = np.nan

    mean, std = x.mean(0), x.std(0)
    if mistake == "not standardised":
        mean, std = np.zeros(8), np.ones(8)
    if mistake == "missing incomes":
        mean, std = np.nanmean(x, 0), np.nanstd(x, 0)
    later_mean, later_std = mean, std
    if mistake == "min-max in validation":  # and so in the service that answers new requests
        later_mean, later_std = x.min(0), x.max(0) - x.min(0)
    flip = rng.random(len(y)) < flipped
    y = np.where(flip, 1 - y, y)
    if mistake == "yes is 2, no is 1":
        y, y_val = y + 1, y_val + 1
    if not shuffle:  # the export is ordered by the answer
        order = np.argsort(y, kind="stable")
        x, y = x[order], y[order]
    xs, ys = torch.tensor((x - mean) / std).float(), torch.tensor(y).float()
    xs_val, ys_val = torch.tensor((x_val - later_mean) / later_std).float(), torch.tensor(y_val).float()
    xs_new = torch.tensor((new_table - later_mean) / later_std).float()
    loader = batches(xs, ys, batch, shuffle)

    # network, loss, optimizer, schedule
    model = network(width, activation, dropout, bn_momentum)
    if mistake == "sigmoid at the end":
        model.append(nn.Sigmoid())
    if mistake == "constant weights":
        for layer in filter(lambda layer: isinstance(layer, nn.Linear), model):
            nn.init.constant_(layer.weight, 0.1)
            nn.init.zeros_(layer.bias)
    loss_fn = loss() if pos_weight is None else loss(pos_weight=torch.tensor(pos_weight))
    optim = optimizer(model.parameters(), lr=lr, weight_decay=weight_decay)
    if mistake == "body replaced too late":
        for i, layer in enumerate(network(width, activation, dropout, bn_momentum)[:8]):
            model[i] = layer
    updates = epochs * len(loader) // accumulate
    scheduler: Any = torch.optim.lr_scheduler.CosineAnnealingLR(optim, epochs)
    if schedule == "one cycle":
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optim, lr, total_steps=updates + 1)
    if schedule == "decay of each epoch in each batch":
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optim, 0.5)
    averaged = copy.deepcopy(model) if average else model

    kept = []  # what the validation measured
    reported = 0.0
    with doctor.watching(model, optim, loss_fn, loader):
        for _ in range(epochs):
            model.train()
            for i, (features, wanted) in enumerate(loader):
                out = model(features)
                value = loss_fn(out.squeeze(1) if squeeze else out, wanted) / accumulate
                if mistake == "loss clamped":  # meant against outliers
                    value = value.clamp(max=0.5)
                value.backward()
                if (i + 1) % accumulate:
                    continue
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if mistake != "no step":
                    optim.step()
                optim.zero_grad()
                if schedule != "cosine":
                    scheduler.step()
                if average:
                    for old, new in zip(
                        averaged.state_dict().values(), model.state_dict().values(), strict=True
                    ):
                        old.lerp_(new, 0.05) if old.is_floating_point() else old.copy_(new)
            if schedule == "cosine":
                scheduler.step()

            if mistake == "rows shuffled, answers not":  # after each epoch
                loader = batches(xs[torch.randperm(len(xs))], ys, batch, shuffle)

            averaged.eval()
            with torch.set_grad_enabled(mistake == "validation keeps its graph"):
                out_val = averaged(xs_val).squeeze(1)
                kept.append(loss_fn(out_val, ys_val))
            # where the answers are 1 and 2, a positive logit says 2
            said = (out_val > 0).float() + (1.0 if mistake == "yes is 2, no is 1" else 0.0)
            reported = (said == ys_val).float().mean().item()

    averaged.eval()
    with torch.no_grad():
        right = (averaged(xs_new).squeeze(1) > 0).numpy() == (new_answers > 0.5)
    return Outcome(float(right.mean()), reported)


CASES, add = cases("loans", train)
add("as it should be")
add("missing incomes are NaN", "D01", mistake="missing incomes")
add("the export lost nearly every yes", "D02 D04", mistake="export lost the yes")
add("ordered by the answer", "D03", shuffle=False)
add("learnt from one branch", "D04", mistake="one branch")
add("split after oversampling", "D06", mistake="split after oversampling")
add("calls that follow the answer", "D07", mistake="calls after the answer")
add("rows shuffled without their answers", "L01", mistake="rows shuffled, answers not")
add("answers are 1 and 2", "L05", mistake="yes is 2, no is 1")
add("not standardised", "P01", mistake="not standardised")
add("min-max in validation", "P02", mistake="min-max in validation")
add("no activation", "A03", activation=nn.Identity)
add("all weights 0.1", "I01", mistake="constant weights", dropout=0.0)
add("sigmoid before the logit loss", "S01", mistake="sigmoid at the end")
add("(B, 1) against (B)", "S05", loss=SoftplusLoss, squeeze=False)
add("loss clamped at 0.5", "S07", mistake="loss clamped")
add("lr 50", "O01", lr=50.0, weight_decay=0.0)
add("epoch decay in each batch", "O04", schedule="decay of each epoch in each batch")
add("body replaced after the optimizer", "O06", exact=True, mistake="body replaced too late")
add("clipped at 0.001", "O11", optimizer=torch.optim.SGD, lr=0.2, clip=1e-3)
add("no step", "O12", mistake="no step")
add("60 rows, no brake", "R01", rows=60, batch=10, epochs=30, dropout=0.0, weight_decay=0.0, width=128)
add("dropout 0.95", "R02", dropout=0.95)
add("batches of two", "R04", batch=2, rows=500, epochs=5)
add("validation keeps its graph", "E03", exact=True, mistake="validation keeps its graph")
add("running moments hardly move", "E05", bn_momentum=1e-4)
add("SGD at 0.5", optimizer=torch.optim.SGD, lr=0.5, weight_decay=0.0)
add("one cycle", schedule="one cycle", lr=2e-2)
add("tanh", activation=nn.Tanh)
add("positive weight 2", pos_weight=2.0)
add("five in a hundred answers flipped", flipped=0.05)
add("every row three times", rows=1600, copies=3, epochs=10)
add("eighty validation rows, four batches a step", val_rows=80, batch=16, accumulate=4, epochs=8)
add("averaged weights validated", average=True)
add("hand-written loss, clipped at 1", loss=SoftplusLoss, clip=1.0)
