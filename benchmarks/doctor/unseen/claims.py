"""Is an insurance claim fraudulent? Made-up rows: two categorical columns, eight numeric, 25 % positive.

Embeddings, BatchNorm and dropout, Adam with StepLR; batches are cut by hand from a permutation of the rows
and the loop makes the doctor's calls itself.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor, nn
from torch.nn import functional as F

REGIONS, KINDS, NUMBERS = 12, 6, 8
TRAIN, VAL, TEST = 1800, 500, 1200
UNITS = np.array([1, 4000, 0.02, 60, 1, 300, 1, 9], dtype=np.float32)  # years, euros, shares, days ...

Table = tuple[Tensor, Tensor, Tensor]  # categories, numbers, target


def claims(seed: int, fraud: float = 0.25) -> tuple[Table, Table, Table]:
    """Training, validation and test rows, numbers raw."""
    rng = np.random.default_rng(seed)
    count = TRAIN + VAL + TEST
    region, kind = rng.integers(0, REGIONS, count), rng.integers(0, KINDS, count)
    z = rng.normal(size=(count, NUMBERS))
    by_region, by_kind = rng.permutation(np.linspace(-2, 2, REGIONS)), np.array([1, 1, 1, -1, -1, -1])
    odds = (
        by_region[region]
        + 2 * by_kind[kind] * z[:, 0]
        + 2 * np.abs(z[:, 1])
        + 1.5 * z[:, 2] * z[:, 3]
        + z[:, 4]
    )
    odds -= np.quantile(odds, 1 - fraud)
    target = (odds + rng.normal(0, 0.3, count) > 0).astype(np.float32)
    numbers = (UNITS * (z + 2)).astype(np.float32)
    table = (torch.tensor(np.stack([region, kind], 1)), torch.tensor(numbers), torch.tensor(target))
    parts = list(zip(*(column.split([TRAIN, VAL, TEST]) for column in table), strict=True))
    return parts[0], parts[1], parts[2]


def take(table: Table, rows: Tensor) -> Table:
    return table[0][rows], table[1][rows], table[2][rows]


class Judge(nn.Module):
    """Categories and numbers in, one logit a row out."""

    def __init__(
        self,
        width: int = 48,
        depth: int = 2,
        activation: Callable[[], nn.Module] = nn.ReLU,
        norm: Callable[[int], nn.Module] = nn.BatchNorm1d,
        dropout: float = 0.1,
        last: nn.Module | None = None,
        squeeze: bool = True,
        plain_list: bool = False,
    ) -> None:
        super().__init__()
        self.region, self.kind = nn.Embedding(REGIONS, 4), nn.Embedding(KINDS, 3)
        size = 4 + 3 + NUMBERS
        layers: list[nn.Module] = []
        for _ in range(depth):
            block = (nn.Linear(size, width), norm(width), activation(), nn.Dropout(dropout))
            layers.append(nn.Sequential(*block))
            size = width
        self.blocks = layers if plain_list else nn.ModuleList(layers)
        self.head = nn.Linear(width, 1)
        self.last, self.squeeze = last or nn.Identity(), squeeze

    def forward(self, categories: Tensor, numbers: Tensor) -> Tensor:
        hidden = torch.cat([self.region(categories[:, 0]), self.kind(categories[:, 1]), numbers], 1)
        for block in self.blocks:
            hidden = block(hidden)
        out = self.last(self.head(hidden))
        return out.squeeze(1) if self.squeeze else out


def balanced(logits: Tensor, target: Tensor) -> float:
    """Mean of the share of frauds found and the share of honest claims passed."""
    return float(balanced_accuracy_score(target.int(), (logits.flatten() > 0).int()))


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 5e-3,
    optim: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    loss_fn: Callable[[Tensor, Tensor], Tensor] = nn.BCEWithLogitsLoss(),  # noqa: B008
    epochs: int = 24,
    batch: int = 64,
    fraud: float = 0.25,
    rows: int = TRAIN,
    wrong_labels: float = 0.0,  # share of the training targets that are turned round
    standardise: bool = True,
    momentum: float | None = None,  # of the BatchNorm statistics
    step_size: int = 10,
    frozen: tuple[str, ...] = (),
    mistake: str = "",
    **network: Any,
) -> Outcome:
    torch.manual_seed(seed)
    data, val, test = claims(seed, fraud)
    data = take(data, torch.arange(rows))
    mean, std = (data[1].mean(0), data[1].std(0)) if standardise else (0.0, 1.0)
    val_mean, val_std = (0.0, 1.0) if mistake == "validation not standardised" else (mean, std)
    data = (data[0], (data[1] - mean) / std, data[2])
    val, test = ((t[0], (t[1] - val_mean) / val_std, t[2]) for t in (val, test))

    if mistake == "refused amount as a column":  # filled in only after the fraud was found
        data[1][:, 7], val[1][:, 7], test[1][:, 7] = data[2], val[2], 0.0
    if mistake == "missing days":
        data[1][torch.randint(0, rows, (5,)), 3] = torch.nan
    if mistake == "targets joined by the wrong key":
        data = (data[0], data[1], data[2][torch.randperm(rows)])
    if mistake == "split after oversampling":
        both = tuple(torch.cat([a[:200], b[:50]]) for a, b in zip(data, val, strict=True))
        drawn = torch.randint(0, 250, (TRAIN + VAL,))
        data, val = take(both, drawn[:TRAIN]), take(both, drawn[TRAIN:])
    if mistake == "sorted by target":
        data = take(data, data[2].argsort(stable=True))
    wrong = torch.rand(len(data[2])) < wrong_labels
    data = (data[0], data[1], torch.where(wrong, 1 - data[2], data[2]))

    model = Judge(**network)
    for module in model.modules():
        if momentum and isinstance(module, nn.BatchNorm1d):
            module.momentum = momentum
    for name in frozen:
        model.get_submodule(name).requires_grad_(False)
    optimizer = optim([p for p in model.parameters() if p.requires_grad], lr=lr)
    if mistake == "head replaced after the optimizer":
        model.head = nn.Sequential(nn.Linear(model.head.in_features, 32), nn.ReLU(), nn.Linear(32, 1))
        model.region = nn.Embedding(REGIONS, 4)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size, gamma=0.3)

    doctor.on_start(model, optimizer, loss_fn, None)
    val_score = 0.0
    for epoch in range(epochs):
        if not (mistake == "train() only once" and epoch):
            model.train()
        order = torch.arange(rows) if mistake == "sorted by target" else torch.randperm(rows)
        if mistake == "numbers reordered, targets not":
            data = (data[0][order], data[1][order], data[2])
            order = torch.arange(rows)
        total = 0.0
        batches = order.split(batch)[: max(1, rows // batch)]
        for index in batches:
            categories, numbers, target = take(data, index)
            logits = model(categories, numbers)
            loss = loss_fn(logits, target)
            if mistake == "loss built from the decisions":
                loss = loss_fn((logits > 0).float().requires_grad_(), target)
            if mistake == "graph kept and summed":
                total = total + loss
            else:
                total += loss.item()
            if mistake != "never zeroed":
                optimizer.zero_grad()
            loss.backward(retain_graph=mistake == "graph kept and summed")
            optimizer.step()
            doctor.on_step(loss, (categories, numbers, target))
            if mistake == "StepLR stepped each batch":
                scheduler.step()
        if mistake != "StepLR stepped each batch":
            scheduler.step()

        if mistake != "eval() forgotten":
            model.eval()
        with torch.no_grad():
            logits = model(val[0], val[1])
            val_loss = float(loss_fn(logits, val[2]))
            val_score = balanced(logits, val[2])
            if mistake == "threshold on the wrong side":
                val_score = balanced(-logits, val[2])
        doctor.on_epoch(
            {"loss": float(total) / len(batches)}, {"loss": val_loss, "balanced_accuracy": val_score}
        )

    model.eval()
    with torch.no_grad():
        return Outcome(balanced(model(test[0], test[1]).nan_to_num(), test[2]), val_score)


def clamped(logits: Tensor, target: Tensor) -> Tensor:
    """Rows that are far wrong are cut off, and so teach nothing."""
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none").clamp(max=0.6).mean()


def brier(logits: Tensor, target: Tensor) -> Tensor:
    return (target - logits.sigmoid()).square().mean()


def weighted(logits: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, target, pos_weight=torch.tensor(3.0))


sgd = partial(torch.optim.SGD, momentum=0.9)

CASES, add = cases("claims", train)
add("as it should be")
add("sigmoid before the loss with logits", "S01", last=nn.Sigmoid())
add("squeeze forgotten", "S05", squeeze=False, loss_fn=brier)
add("ReLU on the logit", "S04", last=nn.ReLU())
add("clamped row losses", "S07", loss_fn=clamped)
add("3 % frauds, loss not weighted", "D02", fraud=0.03)
add("refused amount as a column", "D07", mistake="refused amount as a column")
add("missing days", "D01 O08", mistake="missing days")
add("targets joined by the wrong key", "L02", mistake="targets joined by the wrong key")
add("numbers reordered, targets not", "L01 L02", mistake="numbers reordered, targets not")
add("35 % of the targets turned round", "L04", wrong_labels=0.35)
add("split after oversampling", "D06", mistake="split after oversampling", dropout=0.0)
add("sorted by target", "D03", mistake="sorted by target")
add("validation not standardised", "P02", mistake="validation not standardised")
add("raw euros and days, no norm", "P01", standardise=False, norm=nn.Identity)
add("raw euros and days, BatchNorm", "P01", standardise=False)
add("running statistics hardly move", "E05", momentum=1e-5, optim=sgd, lr=0.3, depth=4)
add("batches of 2", "R04", exact=True, rows=600, batch=2, epochs=3)
add("eval() forgotten", "E01", exact=True, dropout=0.4, mistake="eval() forgotten")
add("train() only once", "E02", exact=True, mistake="train() only once")
add("never zeroed", "O05", exact=True, mistake="never zeroed")
add("head replaced after the optimizer", "O06", exact=True, mistake="head replaced after the optimizer")
add("layers in a plain list", "O06", exact=True, plain_list=True, norm=nn.Identity)
add("loss built from the decisions", "O10", mistake="loss built from the decisions")
add("StepLR stepped each batch", "O04", mistake="StepLR stepped each batch")
add("lr / 300", "O02", lr=1.5e-5)
add("dropout 0.95", "R02", dropout=0.95)
add("no activations", "A03", activation=nn.Identity)
add("threshold on the wrong side", "E04", exact=True, mistake="threshold on the wrong side")
add("graph kept and summed", "E03", exact=True, mistake="graph kept and summed")
add("150 claims learnt by heart", "R01", rows=150, batch=25, epochs=60, dropout=0.0, step_size=60)

add("pos_weight", loss_fn=weighted)
add("SGD with momentum, lr 0.3", optim=sgd, lr=0.3)
add("dropout 0.5", dropout=0.5)
add("tanh and LayerNorm", activation=nn.Tanh, norm=nn.LayerNorm)
add("batches of 16", batch=16, epochs=10)
add("one batch of 600, lr higher", batch=600, lr=0.02, epochs=60, step_size=30)
add("embeddings of the kind frozen as drawn", frozen=("kind",))
add("5 % of the targets turned round", wrong_labels=0.05)
add("10 % frauds, pos_weight", fraud=0.1, loss_fn=weighted)
