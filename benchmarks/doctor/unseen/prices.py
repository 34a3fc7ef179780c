"""Made-up prices of many goods, with trend and season: a window of 24 steps tells the price 4 steps later.

An LSTM whose first state is made by hand and a linear head, on hand-made batches with smooth_l1_loss, RMSprop
and StepLR; goods are split into train, validation and test, and the doctor is told by calls.
"""

from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.nn import functional as F

WINDOW, AHEAD, STEPS, FEATURES = 24, 4, 90, 3
VAL_GOODS, TEST_GOODS = 15, 20


def market(seed: int, goods: int) -> np.ndarray:
    """Price, volume and a stock index for each good and step."""
    rng = np.random.default_rng(seed)
    t = np.arange(STEPS)
    level, slope = rng.normal(1000, 60, (goods, 1)), rng.normal(0, 1.0, (goods, 1))
    swing, phase = rng.uniform(60, 160, (goods, 1)), rng.uniform(0, 2 * np.pi, (goods, 1))
    period = rng.uniform(11, 15, (goods, 1))
    price = level + slope * (t - STEPS / 2) + swing * np.sin(2 * np.pi * t / period + phase)
    price += rng.normal(0, 15, price.shape)
    volume = rng.normal(50, 10, price.shape) - 0.1 * (price - level)
    return np.stack([price, volume, rng.normal(3, 1, price.shape)], 2)


def windows(series: np.ndarray, ahead: int) -> tuple[np.ndarray, np.ndarray]:
    starts = range(STEPS - WINDOW - AHEAD + 1)
    x = np.stack([series[:, s : s + WINDOW] for s in starts], 1)
    y = np.stack([series[:, s + WINDOW - 1 + ahead, 0] for s in starts], 1)
    return x.reshape(-1, WINDOW, FEATURES), y.reshape(-1)


class Forecaster(nn.Module):
    def __init__(self, hidden: int, dropout: float, batch_first: bool, output: nn.Module, mistake: str):
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, hidden, batch_first=batch_first)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, 1)
        self.output = output
        self.mistake = mistake

    def forward(self, x: Tensor) -> Tensor:
        rows = x.shape[0] if self.lstm.batch_first else x.shape[1]
        state = torch.zeros(1, rows, self.lstm.hidden_size)
        out, _ = self.lstm(x, (state, state.clone()))
        y = self.output(self.head(self.dropout(out[:, -1])))
        return y if self.mistake == "no squeeze" else y.squeeze(1)


class Attention(nn.Module):
    """Self-attention without positions, then the mean over the window."""

    def __init__(self, hidden: int):
        super().__init__()
        self.enter = nn.Linear(FEATURES, hidden)
        self.layer = nn.TransformerEncoderLayer(hidden, 2, 2 * hidden, dropout=0.0, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.enter(x)).mean(1)).squeeze(1)


def r2(found: Tensor, y: Tensor) -> float:
    value = 1 - ((found - y) ** 2).mean() / y.var()
    return float(torch.nan_to_num(value, nan=0.0).clamp(0, 1))


def train(
    seed: int,
    doctor: Any,
    *,
    goods: int = 40,
    keep: int = 0,
    ahead: int = AHEAD,
    shuffle: bool = True,
    scale_inputs: bool = True,
    scale_targets: bool = True,
    attention: bool = False,
    hidden: int = 24,
    dropout: float = 0.05,
    batch_first: bool = True,
    output: nn.Module | None = None,
    init_scale: float = 1.0,
    forget: float | None = None,
    loss_fn: Any = F.smooth_l1_loss,
    optimizer_class: type = torch.optim.RMSprop,
    options: dict[str, Any] | None = None,
    lr: float = 4e-3,
    step_size: int = 6,
    clip: float = 0.0,
    every: int = 1,
    batch: int = 64,
    epochs: int = 9,
    mistake: str = "",
    oddity: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    series = market(seed, goods + VAL_GOODS + TEST_GOODS)
    if mistake == "cheap goods alone":  # the goods are listed by price, and the list is cut
        series = series[np.argsort(series[:, :, 0].mean(1))]
    parts = series[:goods], series[goods:-TEST_GOODS], series[-TEST_GOODS:]
    x, y = windows(parts[0], ahead)
    val_x, val_y = windows(parts[1], ahead)
    test_x, test_y = windows(parts[2], AHEAD)
    if keep:
        kept = rng.permutation(len(y))[:keep]
        x, y = x[kept], y[kept]
    if mistake == "sorted by price":
        order = np.argsort(y)
        x, y = x[order], y[order]
    if mistake == "settled price":  # a column that is filled in after the fact
        x[:, :, 2], val_x[:, :, 2] = y[:, None], val_y[:, None]
    if mistake == "prices of other windows":
        y = rng.permutation(y)
    if mistake == "another currency":  # in validation and in service
        val_x[:, :, 0], test_x[:, :, 0] = 2 * val_x[:, :, 0], 2 * test_x[:, :, 0]
    centre, scale = x.mean((0, 1)), x.std((0, 1))
    y_centre, y_scale = (centre[0], scale[0]) if scale_targets else (0.0, 1.0)

    def inputs(values: np.ndarray) -> Tensor:
        return torch.tensor((values - centre) / scale if scale_inputs else values, dtype=torch.float32)

    def targets(values: np.ndarray) -> Tensor:
        return torch.tensor((values - y_centre) / y_scale, dtype=torch.float32)

    x, val_x, test_x = inputs(x), inputs(val_x), inputs(test_x)
    y, val_y, test_y = targets(y), targets(val_y), targets(test_y)

    forecaster = Forecaster(hidden, dropout, batch_first, output or nn.Identity(), mistake)
    model = Attention(hidden) if attention else forecaster
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(init_scale)
        if forget is not None:
            model.lstm.bias_ih_l0[hidden : 2 * hidden] = forget
    if oddity == "frozen input weights":
        model.lstm.weight_ih_l0.requires_grad_(False)
    chosen = [p for p in model.parameters() if p.requires_grad]
    optimizer = optimizer_class(chosen, lr=lr, **(options or {}))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size, gamma=0.3)

    doctor.on_start(model, optimizer, loss_fn)
    history = []
    for epoch in range(epochs):
        if mistake != "never back to train mode" or epoch == 0:
            model.train()
        order = torch.randperm(len(y)) if shuffle else torch.arange(len(y))
        for number, rows in enumerate(order.split(batch)):
            xb, yb = x[rows], y[rows]
            if mistake == "prices shuffled alone" and epoch >= 3:
                yb = yb[torch.randperm(len(yb))]
            loss = loss_fn(model(xb), yb)
            if oddity == "l1 penalty":
                loss = loss + 1e-5 * sum(p.abs().sum() for p in model.parameters())
            (loss / every).backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            if oddity == "gradient noise":
                for parameter in model.parameters():
                    parameter.grad += 1e-3 * torch.randn_like(parameter)
            if (number + 1) % every == 0:
                optimizer.step()
                if mistake != "no zero_grad":
                    optimizer.zero_grad()
            doctor.on_step(loss, (xb, yb))
            if mistake == "scheduler each batch":
                scheduler.step()
            history.append(loss.item())
        if mistake != "scheduler each batch":
            scheduler.step()
        model.eval()
        with torch.no_grad():
            found = model(val_x)
            val_loss = loss_fn(found, val_y)
            if mistake == "metric of a column and a row":
                found = found[:, None]  # (n, 1) - (n,) is (n, n)
            mae = (found - val_y).abs().mean() * y_scale
        doctor.on_epoch({"loss": float(np.mean(history))}, {"loss": val_loss.item(), "mae": mae.item()})
        history.clear()
    believed = r2(found, val_y)

    model.eval()
    with torch.no_grad():
        return Outcome(r2(model(test_x).flatten(), test_y), believed)


SGD = torch.optim.SGD
MOMENTUM = {"momentum": 0.9}
FEW = {"keep": 40, "batch": 8, "dropout": 0.0, "epochs": 60, "step_size": 99}
CASES, add = cases("prices", train)
add("as it should be")
add("sorted by price, not shuffled", "D03", mistake="sorted by price", shuffle=False, step_size=99)
add("cheap goods alone", "D04", mistake="cheap goods alone")
add("settled price among the inputs", "D07", mistake="settled price")
add("prices shuffled apart from windows", "L01", mistake="prices shuffled alone")
add("prices of other windows", "L02", mistake="prices of other windows")
add("target is the last price of the window", "L03", ahead=0)
add("raw inputs", "P01", scale_inputs=False)
add("another currency in validation", "P02", mistake="another currency")
add("raw targets", "P04", scale_targets=False)
add("batch_first forgotten", "A04", batch_first=False)
add("attention without positions", "A06", attention=True)
add("weights too small", "I02", init_scale=1e-3, optimizer_class=SGD, options=MOMENTUM, lr=0.05)
add("weights too large", "I03 A01", init_scale=20.0)
add("ReLU at the output", "S04", output=nn.ReLU())
add("sigmoid at the output", "S04", output=nn.Sigmoid())
add("squeeze forgotten", "S05", mistake="no squeeze")
add("lr 1", "O01", lr=1.0)
add("lr 0.2", "O01", lr=0.2)
add("lr 3e-6", "O02", lr=3e-6)
add("eps 10", "O03 O02", options={"eps": 10.0})
add("scheduler each batch", "O04", mistake="scheduler each batch")
add("gradients never zeroed", "O05", exact=True, mistake="no zero_grad")
add("clipped at 0.001", "O11", clip=1e-3, optimizer_class=SGD, options=MOMENTUM, lr=0.1)
add("forty windows by heart", "R01", **FEW)
add("weight decay 0.5", "R02", options={"weight_decay": 0.5})
add("never back to train mode", "E02", exact=True, mistake="never back to train mode", dropout=0.2)
add("metric of a column and a row", "E04", exact=True, mistake="metric of a column and a row")
add("Adam at 0.02", optimizer_class=torch.optim.Adam, lr=0.02)
add("SGD at 0.3 with momentum, clipped at 1", optimizer_class=SGD, options=MOMENTUM, lr=0.3, clip=1.0)
add("frozen input weights", oddity="frozen input weights")
add("two batches an update", every=2, batch=32)
add("batches of 16, hidden 16", batch=16, hidden=16, epochs=6, lr=3e-3)
add("mean absolute error, l1 penalty", loss_fn=F.l1_loss, oddity="l1 penalty")
add("gradient noise", oddity="gradient noise")
add("forget gates open", forget=2.0)
