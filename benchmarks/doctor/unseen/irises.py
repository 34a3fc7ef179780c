"""A student's notebook: which of three irises, from four lengths and a few soil readings that say nothing.

Every flower is measured four times. An `nn.Sequential`, Adam, a DataLoader with batches of 16, and the
accuracy of the validation rows after each epoch; the doctor watches by `with`.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from sklearn.datasets import load_iris
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

READINGS = 4
SGD, Adam = torch.optim.SGD, torch.optim.Adam
ADAM = partial(Adam, lr=3e-3)
Rows = tuple[Tensor, Tensor]


def measure(seed: int, soil: int, flowers: int, mistake: str) -> tuple[Rows, Rows]:
    """Rows for training and for validation, raw; no flower is in both."""
    rng = np.random.default_rng(seed)
    x, y = load_iris(return_X_y=True)
    x = np.hstack([x, rng.normal(5000, 2000, (len(x), soil))])  # in parts per million
    order = np.arange(len(x)) if mistake == "split in file order" else rng.permutation(len(x))
    parts = []
    for chosen in (order[:flowers], order[90:]):
        chosen = chosen.repeat(READINGS)
        error = rng.normal(1, 0.01, (len(chosen), x.shape[1]))
        parts.append((torch.tensor(x[chosen] * error, dtype=torch.float32), torch.tensor(y[chosen])))
    return parts[0], parts[1]


def mlp(
    columns: int,
    width: int = 32,
    depth: int = 2,
    act: Callable[[], nn.Module] = nn.ReLU,
    dropout: float = 0.1,
    bias: bool = True,
    norm: bool = False,
    last: nn.Module | None = None,
    classes: int = 3,
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(depth):
        layers.append(nn.Linear(width if i else columns, width, bias=bias))
        if norm:
            layers.append(nn.BatchNorm1d(width))
        layers += [act(), nn.Dropout(dropout)]
    layers.append(nn.Linear(width, classes, bias=bias))
    return nn.Sequential(*layers, *([last] if last else []))


def drawn(columns: int, weight: float | None = None, bias: float = 0.0, **how: Any) -> nn.Sequential:
    """The network with its weights drawn anew, and the biases of its hidden layers set."""
    model = mlp(columns, **how)
    linears = [m for m in model if isinstance(m, nn.Linear)]
    for layer in linears:
        if weight is not None:
            nn.init.normal_(layer.weight, std=weight)
        nn.init.constant_(layer.bias, bias if layer is not linears[-1] else 0.0)
    return model


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return (model(x).argmax(1) == y).float().mean().item()


def train(
    seed: int,
    doctor: Any,
    *,
    soil: int = 4,
    flowers: int = 90,
    scaled: bool = True,
    noisy: float = 0.0,
    rare: float = 1.0,
    shuffle: bool = True,
    batch: int = 16,
    epochs: int = 40,
    net: Callable[[int], nn.Sequential] = mlp,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    optim: Callable[[Iterable[Tensor]], torch.optim.Optimizer] = ADAM,
    schedule: Callable[[Any], Any] | None = None,
    schedule_each: str = "epoch",
    clip: float | None = None,
    accumulate: int = 1,
    watched_rows: int | None = None,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    (x, y), (xv, yv) = measure(seed, soil, flowers, mistake)

    # The table.
    keep = (y != 2) | (torch.rand(len(y)) < rare)
    x, y = x[keep], y[keep]
    plots = torch.randint(3, (len(xv), 1))
    clean = xv
    if mistake == "plot number":  # one species a plot in this year's table, and in no other year's
        clean = torch.cat([xv, plots], 1)
        x, xv = torch.cat([x, y[:, None]], 1), torch.cat([xv, yv[:, None]], 1)
    if mistake == "constant column":
        x, xv, clean = (torch.cat([t, torch.ones(len(t), 1)], 1) for t in (x, xv, clean))
    mean, std = x.mean(0), x.std(0)
    if scaled:
        x = (x - mean) / std
        if mistake != "validation rows left raw":  # nor are the rows it will be used on
            xv, clean = (xv - mean) / std, (clean - mean) / std
    if mistake == "empty cells":
        x[torch.rand(x.shape) < 0.01] = float("nan")
    wrong = torch.rand(len(y)) < noisy
    y[wrong] = torch.randint(3, (int(wrong.sum()),))
    if mistake == "labels permuted":
        y = y[torch.randperm(len(y))]
    if mistake == "species from 1":
        y, yv = y + 1, yv + 1
    if not shuffle:
        x, y = x[y.argsort()], y.sort().values
    held_out = (clean, yv)
    if mistake == "split after oversampling":
        drawn_rows = torch.randperm(len(x))[: len(x) // 3]
        xv, yv = x[drawn_rows], y[drawn_rows]
    xv, yv = xv[:watched_rows], yv[:watched_rows]

    # The network.
    loader = DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=shuffle)
    model = net(x.shape[1])
    loss_fn = loss or nn.CrossEntropyLoss()
    optimizer = optim(model.parameters())
    if mistake == "new head after the optimizer":
        model[-1] = nn.Linear(model[-1].in_features, 3)
    if mistake == "new layers after the optimizer":
        model[0] = nn.Linear(x.shape[1], 32)
        model[-1] = nn.Linear(model[-1].in_features, 3)
    scheduler = schedule(optimizer) if schedule else None

    # The training.
    reported = 0.0
    with doctor.watching(model, optimizer):
        for epoch in range(epochs):
            if mistake != "train() only once" or epoch == 0:
                model.train()
            if mistake == "features shuffled alone" and epoch == epochs // 4:
                x[:] = x[torch.randperm(len(x))]  # in place: the loader sees it
            for i, (xb, yb) in enumerate(loader):
                if i % accumulate == 0 and mistake != "never zeroed":
                    optimizer.zero_grad()
                if mistake == "features frozen by detach":
                    error = loss_fn(model[-1](model[:-1](xb).detach()), yb)
                else:
                    error = loss_fn(model(xb), yb)
                if mistake == "loss rebuilt from its number":
                    error = torch.tensor(error.item(), requires_grad=True)
                if mistake == "loss capped":
                    error = error.clamp(max=0.9)
                (error / accumulate).backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if (i + 1) % accumulate == 0 and mistake != "no step":
                    optimizer.step()
                if scheduler and schedule_each == "batch":
                    scheduler.step()
            if scheduler and schedule_each == "epoch":
                scheduler.step()

            if mistake != "no eval()":
                model.eval()
            with torch.set_grad_enabled(mistake == "no no_grad()"):
                reported = accuracy(model, xv, yv)

    model.eval()
    with torch.no_grad():
        return Outcome(accuracy(model, *held_out), reported)


CASES, add = cases("irises", train)
add("as it should be")
momentum = partial(SGD, lr=0.1, momentum=0.9)
add("sorted by species, not shuffled", "D03", shuffle=False, optim=momentum)
add("split in the file's order", "D04", mistake="split in file order")
add("split after oversampling", "D06", exact=True, mistake="split after oversampling")
add("plot number tells the species", "D07", mistake="plot number")
add("constant column divided by its std", "D01", mistake="constant column")
add("empty cells", "D01", mistake="empty cells")
add("labels permuted", "L02 L01", mistake="labels permuted")
add("features shuffled alone, later", "L01", mistake="features shuffled alone")
add("two of five labels wrong", "L04", noisy=0.6)
add("species from 1", "L05", exact=True, net=partial(mlp, classes=4), mistake="species from 1")
add("nothing scaled", "P01", scaled=False)
add("validation rows left raw", "P02", mistake="validation rows left raw")
add("all biases -4", "A02", net=partial(drawn, bias=-4.0))
add("Identity for ReLU", "A03", exact=True, net=partial(mlp, act=nn.Identity))
add("all weights zero", "I01", net=partial(drawn, weight=0.0))
add("weights of std 10", "I03", net=partial(drawn, weight=10.0))
add("Softmax before the loss", "S02", exact=True, net=partial(mlp, last=nn.Softmax(dim=1)))
add(
    "LogSoftmax over the batch",
    "S03",
    exact=True,
    net=partial(mlp, last=nn.LogSoftmax(dim=0)),
    loss=nn.NLLLoss(),
)
add("NLLLoss on raw scores", "S03", exact=True, loss=nn.NLLLoss())
add("loss capped at 0.9", "S07", mistake="loss capped")
add("Adam at 3", "O01", optim=partial(Adam, lr=3.0))
add("Adam at 0.3", "O01", optim=partial(Adam, lr=0.3))
add("Adam at 3e-6", "O02", optim=partial(Adam, lr=3e-6))
add("SGD at 1e-4", "O02", optim=partial(SGD, lr=1e-4))
add("Adam with eps of 1", "O03 O02", optim=partial(Adam, lr=3e-3, eps=1.0))
decay = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.9)
add("decay an epoch, stepped a batch", "O04", schedule=decay, schedule_each="batch")
add("gradients never zeroed", "O05", exact=True, mistake="never zeroed")
add("new head after the optimizer", "O06", exact=True, mistake="new head after the optimizer")
add("new ends after the optimizer", "O06", exact=True, mistake="new layers after the optimizer")
add("ten sigmoid layers", "O07", net=partial(mlp, act=nn.Sigmoid, depth=10))
add("features detached", "O10", exact=True, mistake="features frozen by detach")
add("loss rebuilt from its number", "O10", mistake="loss rebuilt from its number")
add("clipped at 1e-4", "O11", optim=partial(SGD, lr=0.1), clip=1e-4)
add("no optimizer.step()", "O12", mistake="no step")
add("30 flowers and 150 soil readings", "R01", soil=150, flowers=30)
add("dropout of 0.95", "R02", net=partial(mlp, dropout=0.95))
add("weight decay of 1", "R02", optim=partial(Adam, lr=3e-3, weight_decay=1.0))
add("seven epochs of SGD", "R03 O02", epochs=7, optim=partial(SGD, lr=2e-3))
add("BatchNorm, batches of 2", "R04", net=partial(mlp, norm=True), batch=2, epochs=8)
add("no model.eval()", "E01", exact=True, mistake="no eval()")
add("model.train() only once", "E02", exact=True, mistake="train() only once")
add("no torch.no_grad()", "E03", exact=True, mistake="no no_grad()")

add("SGD at 0.5", optim=partial(SGD, lr=0.5))
add("dropout of 0.5, wide", net=partial(mlp, width=128, dropout=0.5))
add("tanh, no biases", net=partial(mlp, act=nn.Tanh, bias=False))
add("one batch of everything, Adam at 0.02", batch=360, epochs=100, optim=partial(Adam, lr=0.02))
add("batches of 4", batch=4, epochs=15)
add("centimetres as they are, no soil", soil=0, scaled=False)
add("smoothed labels", loss=nn.CrossEntropyLoss(label_smoothing=0.2))
add("BatchNorm", net=partial(mlp, norm=True))
add("24 rows watched", watched_rows=24)
add("momentum of 0.9", optim=momentum)
add("5 % of the labels wrong", noisy=0.075)
add("a rare species, weighted", rare=0.3, loss=nn.CrossEntropyLoss(weight=torch.tensor([0.7, 0.7, 2.0])))
one_cycle = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.02, total_steps=40 * 23)
add("one cycle", schedule=one_cycle, schedule_each="batch")
add("accumulated over 4, clipped at 1", accumulate=4, clip=1.0, optim=partial(Adam, lr=6e-3))
