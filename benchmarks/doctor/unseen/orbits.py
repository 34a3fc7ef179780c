"""Four kinds of damped oscillators, and where each will be one reading later: regression from a window.

A GRU (or an MLP) reads twelve noisy positions and speeds; a DataLoader, nn.MSELoss, Adam, the R² and the loss
of the validation in each epoch, and the doctor called explicitly.
"""

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.utils.data import DataLoader, TensorDataset

LENGTH, WINDOW, STEP = 36, 12, 0.8  # readings of a series, of a window, and the time between two
KINDS = ("spring", "pendulum", "stiff", "drag")


def oscillators(n: int, seed: int, noise: float = 0.03) -> Tensor:
    """(n, LENGTH, 2): positions and speeds of n oscillators, the kinds in turn."""
    rng = np.random.default_rng(seed)
    kind = np.resize(np.array(KINDS), n)
    x, v = rng.uniform(0.5, 2.5, n), rng.normal(0, 0.5, n)
    omega, friction = rng.uniform(0.8, 1.6, n), rng.uniform(0.02, 0.12, n)
    readings = []
    for tick in range(LENGTH * 20):
        if tick % 20 == 0:
            readings.append(np.stack([x, v], 1))
        pull = np.select([kind == "pendulum", kind == "stiff"], [np.sin(x), x + 0.6 * x**3], x)
        brake = np.where(kind == "drag", np.abs(v), 1.0)
        v = v - STEP / 20 * (omega**2 * pull + friction * brake * v)
        x = x + STEP / 20 * v
    series = np.stack(readings, 1)
    return torch.tensor(series + rng.normal(0, noise, series.shape), dtype=torch.float32)


def windows(series: Tensor, *, ahead: int = 0) -> tuple[Tensor, Tensor]:
    """Each window of each series, and the position `ahead` of its end."""
    x = series[:, :-1].unfold(1, WINDOW, 1).transpose(2, 3).flatten(0, 1)
    y = series[:, WINDOW + ahead : LENGTH + ahead, 0].flatten()
    return x.clone(), y.clone()


class Recurrent(nn.Module):
    def __init__(self, inputs: int, hidden: int, dropout: float, mistake: str):
        super().__init__()
        self.gru = nn.GRU(inputs, hidden, batch_first=mistake != "batch_first forgotten")
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, 1)
        self.mistake = mistake

    def forward(self, x: Tensor) -> Tensor:
        state = self.gru(x)[0][:, -1]
        if self.mistake == "detached":
            state = state.detach()
        out = self.head(self.drop(state))
        return out if self.mistake == "column" else out.squeeze(-1)


class BagOfReadings(nn.Module):
    """Each reading by itself, then their mean: blind to their order."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.each = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.head = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.each(x).mean(1)).squeeze(-1)


def dense(inputs: int, hidden: int, depth: int, dropout: float, act: type, last: type) -> nn.Sequential:
    layers, width = [nn.Flatten()], inputs * WINDOW
    for _ in range(depth):
        layers += [nn.Linear(width, hidden), act(), nn.Dropout(dropout)]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, 1), last(), nn.Flatten(0))


def init_weights(model: nn.Module, std: float) -> None:
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and layer.out_features > 1:
            nn.init.normal_(layer.weight, 0.0, std)
            nn.init.zeros_(layer.bias)


def r2(predicted: Tensor, y: Tensor) -> float:
    return 1 - ((predicted - y) ** 2).mean().item() / y.var().item()


def train(
    seed, doctor, *, net="gru", hidden=32, depth=2, dropout=0.02, act=nn.ReLU, last=nn.Identity, init=None,
    lr=5e-3, optim=Adam, decay=0.0, schedule="none", loss=nn.MSELoss, clip=0.0, every=1,
    batch=64, epochs=10, shuffle=True, n=60, n_val=20, x_scale=1.0, y_scale=1.0, y_shift=0.0, y_noise=0.0,
    mistake="",
) -> Outcome:  # fmt: skip
    torch.manual_seed(seed)
    known, tested = oscillators(n, seed + 10), oscillators(40, seed + 30)
    checked = oscillators(n_val, seed + 20)
    if mistake == "series copied before the split":
        pool = oscillators(n // 4, seed + 10, noise=0.5).repeat(6, 1, 1)
        pool = pool[torch.randperm(len(pool))]
        known, checked = pool[:n], pool[n:]
    mean, std = known.mean((0, 1)), known.std((0, 1))
    known, checked, tested = [(s - mean) / std for s in (known, checked, tested)]
    x, y = windows(known, ahead=-1 if mistake == "off by one" else 0)
    x_val, y_val = windows(checked, ahead=-1 if mistake == "off by one" else 0)
    x_test, y_test = windows(tested)
    if mistake == "smoothed with the future":  # a centred mean as a third channel; live, its end is unknown
        ends = [(y, x), (y_val, x_val), (x_test[:, -1, 0], x_test)]
        x, x_val, x_test = [torch.cat([i, e[:, None, None].expand(-1, WINDOW, 1)], 2) for e, i in ends]
    x, x_val, x_test = x * x_scale, x_val * x_scale, x_test * x_scale
    y, y_val, y_test = [v * y_scale + y_shift for v in (y, y_val, y_test)]
    if mistake == "other units at validation":  # and in use
        x_val, x_test = x_val * 100, x_test * 100
    elif mistake == "a gap is NaN":
        x[700:706, 3, 1] = float("nan")
    elif mistake == "sorted by target":
        order = y.argsort()
        x, y = x[order], y[order]
    elif mistake == "rows twice":
        x, y = x.repeat(2, 1, 1), y.repeat(2)
    y = y + y_noise * torch.randn(len(y))

    inputs = x.shape[2]
    if net == "gru":
        model = Recurrent(inputs, hidden, dropout, mistake)
    elif net == "bag":
        model = BagOfReadings(inputs, hidden)
    else:
        model = dense(inputs, hidden, depth, dropout, act, last)
    if init is not None:
        init_weights(model, init)
    extra = {"momentum": 0.9} if optim is SGD else {}
    optimizer = optim(model.parameters(), lr=lr, weight_decay=decay, **extra)
    loader = DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=shuffle)
    val_loader = DataLoader(TensorDataset(x_val, y_val), 256, shuffle=mistake == "metric in another order")
    if schedule == "one cycle":
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * len(loader))
    elif schedule == "warm-up":
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 60))
    else:
        scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    loss_fn = loss()

    doctor.on_start(model, optimizer, loss_fn, loader)
    for epoch in range(epochs):
        model.train(mistake != "never back to train" or epoch == 0)
        total = 0.0
        for i, (xb, yb) in enumerate(loader):
            if mistake == "targets slip" and epoch >= 3:
                yb = yb.roll(1)
            if mistake == "window mirrored":  # half of the windows change sign, their targets do not
                xb = xb * (torch.randint(0, 2, (len(xb), 1, 1)) * 2 - 1)
            step_loss = loss_fn(model(xb), yb)
            if mistake == "loss floored":
                step_loss = step_loss.clamp(min=0.5)
            (step_loss / every).backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            if (i + 1) % every == 0 or i + 1 == len(loader):
                optimizer.step()
                scheduler.step()
                if mistake != "never zeroed":
                    optimizer.zero_grad()
            total += step_loss.item()
            doctor.on_step(step_loss, (xb, yb))
        model.eval()
        with torch.set_grad_enabled(mistake == "validation keeps the graph"):
            predicted, targets = zip(*[(model(xb), yb) for xb, yb in val_loader], strict=True)
            predicted, targets = torch.cat(predicted), torch.cat(targets)
            val_loss = loss_fn(predicted, targets).item()
        val_r2 = r2(predicted.detach().flatten(), y_val if mistake == "metric in another order" else targets)
        doctor.on_epoch({"loss": total / len(loader)}, {"loss": val_loss, "r2": val_r2})

    model.eval()
    with torch.no_grad():
        score = r2(model(x_test).flatten(), y_test)
    return Outcome(min(max(score, 0.0), 1.0), min(max(val_r2, 0.0), 1.0))


CASES, add = cases("orbits", train)
add("as it should be")
add("mlp with tanh", net="mlp", act=nn.Tanh, hidden=48, lr=3e-3)
add("sgd with momentum and clipping at 1", optim=SGD, lr=0.1, clip=1.0)
add("warm-up from nothing", schedule="warm-up")
add("one cycle, AdamW", schedule="one cycle", lr=0.02, optim=AdamW, decay=0.01)
add("two batches of 32 an update", batch=32, every=2)
add("Huber loss and noisy targets", loss=nn.SmoothL1Loss, y_noise=0.15)
add("two series to validate on", n_val=2)
add("each row twice", mistake="rows twice", epochs=6)
add("a gap is NaN", "D01", mistake="a gap is NaN")
add("sorted by target", "D03", mistake="sorted by target", shuffle=False, optim=SGD, lr=0.1, clip=1.0)
add("series copied before the split", "D06", mistake="series copied before the split", epochs=30, n=24)
add("smoothed with the future", "D07 L03", mistake="smoothed with the future")
add("targets slip by a row after three epochs", "L01", mistake="targets slip")
add("the target is the last reading", "L03", mistake="off by one")
add("other units at validation", "P02", mistake="other units at validation")
add("window mirrored, target not", "P03", mistake="window mirrored")
add("targets in micrometres", "P04", y_scale=1000.0, y_shift=5000.0)
add("sigmoid net on raw readings", "A01 P01", net="mlp", act=nn.Sigmoid, x_scale=300.0)
add("batch_first forgotten", "A04", exact=True, mistake="batch_first forgotten", epochs=5)
add("a mean over the readings", "A06", net="bag")
add("weights of 1e-4", "I02", net="mlp", depth=4, init=1e-4)
add("sigmoid at the output", "S04", net="mlp", last=nn.Sigmoid)
add("a column against a row", "S05", mistake="column")
add("loss floored at 0.5", "S07", mistake="loss floored")
add("lr 1", "O01", lr=1.0)
add("lr 3e-6", "O02", lr=3e-6)
add("never zeroed", "O05", exact=True, mistake="never zeroed")
add("encoder detached", "O10", exact=True, mistake="detached")
add("weight decay of 1", "R02", decay=1.0)
add("stopped after three epochs", "R03", epochs=3, batch=32, lr=8e-4)
add("never back to train", "E02", exact=True, mistake="never back to train", dropout=0.2)
add("validation keeps the graph", "E03", exact=True, mistake="validation keeps the graph")
add("metric in another order", "E04", exact=True, mistake="metric in another order")
