"""Scikit-learn's breast cancer table by the plainest script there is, as a beginner writes it.

An nn.Sequential that ends in a Sigmoid, BCELoss, SGD with momentum, batches cut by hand after a shuffle,
accuracy by a comparison with 0.5; the doctor is called by hand. The score is balanced accuracy.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional as F


def network(inputs: int, hidden: tuple[int, ...], activation: nn.Module, dropout: float, bias: bool) -> Any:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width, bias=bias), activation]
        inputs = width
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(inputs, 1, bias=bias), nn.Sigmoid())


def column(values: np.ndarray) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1)


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 0.05,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    make_optimizer: Callable[..., torch.optim.Optimizer] | None = None,
    epochs: int = 30,
    batch: int = 8,
    hidden: tuple[int, ...] = (32, 16),
    activation: nn.Module | None = None,
    dropout: float = 0.0,
    bias: bool = True,
    init: Callable[[Tensor], Any] | None = None,
    loss_fn: Callable[[Tensor, Tensor], Tensor] | None = None,
    l1: float = 0.0,
    noise: float = 0.0,
    malignant: int | None = None,
    validation_rows: int = 114,
    codes: tuple[float, float] = (0.0, 1.0),
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, target = load_breast_cancer(return_X_y=True)
    y = 1 - target  # 1 is malignant
    x, test_x, y, test_y = train_test_split(x, y, test_size=0.25, random_state=seed, stratify=y)
    if malignant:  # so many are left, the rest of the table is benign
        kept = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:malignant]])
        x, y = x[kept], y[kept]
    if mistake == "labels of other rows":
        y = rng.permutation(y)
    if mistake == "oversampled before the split":
        again = rng.choice(np.flatnonzero(y == 1), size=400)
        x, y = np.concatenate([x, x[again]]), np.concatenate([y, y[again]])
    x, val_x, y, val_y = train_test_split(x, y, test_size=validation_rows, random_state=seed, stratify=y)
    if mistake == "duplicated rows":
        x, y = np.concatenate([x, x[:100]]), np.concatenate([y, y[:100]])
    if noise:
        y = np.where(rng.random(len(y)) < noise, 1 - y, y)

    scaler = StandardScaler().fit(x)
    if mistake != "no scaling":
        x = scaler.transform(x)
    if mistake not in ("no scaling", "only training rows scaled"):
        val_x, test_x = scaler.transform(val_x), scaler.transform(test_x)
    x, val_x, test_x = (torch.tensor(part, dtype=torch.float32) for part in (x, val_x, test_x))
    y, val_y = column(np.array(codes)[y]), column(np.array(codes)[val_y])
    threshold = sum(codes) / 2

    activation = activation or nn.ReLU()
    model = network(x.shape[1], hidden, activation, dropout, bias)
    if init:
        for layer in model:
            if isinstance(layer, nn.Linear):
                init(layer.weight)
    if mistake == "biases at -10":
        for layer in model[:-2]:
            if isinstance(layer, nn.Linear):
                nn.init.constant_(layer.bias, -10.0)
    loss_fn = loss_fn or nn.BCELoss()
    if make_optimizer:
        optimizer = make_optimizer(model.parameters(), lr=lr)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)
    if mistake == "model made anew":  # the cell of the notebook was run again
        model = network(x.shape[1], hidden, activation, dropout, bias)

    doctor.on_start(model, optimizer, loss_fn, None)
    accuracy = 0.0
    for _ in range(epochs):
        order = torch.randperm(len(x))
        x = x[order]
        if mistake != "only x shuffled":
            y = y[order]
        model.train()
        total = 0.0
        for start in range(0, len(x), batch):
            x_batch, y_batch = x[start : start + batch], y[start : start + batch]
            pred = model(x_batch)
            loss = loss_fn(pred, y_batch)
            if l1:
                loss = loss + l1 * sum(p.abs().sum() for p in model.parameters())
            if mistake == "loss made anew":  # "element 0 of tensors does not require grad" is gone now
                loss = torch.tensor(loss.item(), requires_grad=True)
            if mistake != "never zeroed":
                optimizer.zero_grad()
            loss.backward()
            if mistake != "step without brackets":
                optimizer.step()
            total += loss.item() * len(x_batch)
            doctor.on_step(loss, (x_batch, y_batch))

        model.eval()
        with torch.no_grad():
            pred = model(val_x)
            val_loss = loss_fn(pred, val_y).item()
            if mistake == "accuracy by argmax":  # of one column: always 0
                accuracy = (pred.argmax(1).float() == val_y[:, 0]).float().mean().item()
            elif mistake == "accuracy of all pairs":  # (N, 1) against (N,)
                accuracy = ((pred > threshold).float() == val_y[:, 0]).float().mean().item()
            else:
                accuracy = ((pred > threshold) == (val_y > threshold)).float().mean().item()
        doctor.on_epoch({"loss": total / len(x)}, {"loss": val_loss, "acc": accuracy})

    model.eval()
    with torch.no_grad():
        guess = model(test_x)[:, 0] > threshold
    return Outcome(float(balanced_accuracy_score(test_y, guess.numpy())), accuracy)


def likelihood(pred: Tensor, y: Tensor) -> Tensor:
    pred = pred.clamp(1e-6, 1 - 1e-6)
    return (y * pred.log() + (1 - y) * (1 - pred).log()).mean()


def minus_likelihood(pred: Tensor, y: Tensor) -> Tensor:
    return -likelihood(pred, y)


def flat_squares(pred: Tensor, y: Tensor) -> Tensor:
    """The mean over (N, N): only one of the two was flattened."""
    return ((pred - y[:, 0]) ** 2).mean()


def capped(pred: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy(pred, y).clamp(max=0.3)


def weighted(pred: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy(pred, y, weight=1 + 2 * y)


def normal(std: float) -> Callable[[Tensor], Any]:
    return lambda weight: nn.init.normal_(weight, std=std)


CASES, add = cases("cancer", train)
add("as it should be")
add("four malignant rows in the table", "D02", malignant=4)
add("oversampled before the split", "D06", exact=True, mistake="oversampled before the split")
add("x shuffled and y not", "L01", mistake="only x shuffled")
add("labels of other rows", "L02", mistake="labels of other rows")
add("40 % of the labels flipped", "L04", noise=0.4)
add("labels 1 and 2", "L05 S04", codes=(1.0, 2.0), loss_fn=minus_likelihood)
add("labels 2 and 4 with MSE", "S04 L05", codes=(2.0, 4.0), loss_fn=nn.MSELoss())
add("no scaling", "P01", mistake="no scaling")
add("only training rows scaled", "P02", mistake="only training rows scaled")
add("biases at -10", "A02", mistake="biases at -10")
add("weights of std 1e-4", "I02", init=normal(1e-4), hidden=(32, 32, 16))
add("logit loss on a sigmoid", "S01", exact=True, loss_fn=nn.BCEWithLogitsLoss())
add("squares of all pairs", "S05", loss_fn=flat_squares)
add("CrossEntropyLoss on one output", "S06", loss_fn=nn.CrossEntropyLoss())
add("minus forgotten", "S07", loss_fn=likelihood)
add("loss capped at 0.3", "S07", loss_fn=capped)
add("rate 5", "O01", lr=5.0)
add("rate 50", "O01", lr=50.0)
add("rate 1e-5", "O02", lr=1e-5)
add("momentum 0.9999", "O03", momentum=0.9999)
add("never zeroed", "O05", exact=True, mistake="never zeroed")
add("model made anew after the optimizer", "O06 O12", mistake="model made anew")
add("twelve sigmoid layers", "O07", hidden=(24,) * 12, activation=nn.Sigmoid())
add("loss made anew", "O10", mistake="loss made anew")
add("step without brackets", "O12", mistake="step without brackets")
add("weight decay 1", "R02", weight_decay=1.0)
add("accuracy by argmax of one column", "E04", exact=True, mistake="accuracy by argmax")
add("accuracy of all pairs", "E04", exact=True, mistake="accuracy of all pairs")

add("rate 0.5 without momentum", lr=0.5, momentum=0.0)
add("batches of 4", batch=4, epochs=12, lr=0.01)
add("5 % of the labels flipped", noise=0.05, epochs=15, lr=0.01)
add("100 rows twice in training", mistake="duplicated rows")
add("20 rows for validation", validation_rows=20)
add("dropout of a half", dropout=0.5)
add("l1 penalty", l1=1e-4)
add("no bias", bias=False)
add("MSELoss on the sigmoid", loss_fn=nn.MSELoss())
add("malignant rows count three times", loss_fn=weighted)
add("Adam, tanh, wide", make_optimizer=torch.optim.Adam, lr=1e-3, activation=nn.Tanh(), hidden=(256,))
