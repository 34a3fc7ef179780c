"""Forecast the next reading of a made-up tide gauge with a small dilated causal Conv1d network.

Windows come from a Dataset and a DataLoader, the network forecasts at every reading of the window, and the
loop runs inside ``with doctor.watching(model, optimizer)``.
"""

import copy
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

LENGTH = 32  # readings in a window
READINGS, TRAIN, VAL = 2600, 1800, 2200  # training, validation and test follow each other in time


def gauge(seed: int, noise: float = 20.0) -> np.ndarray:
    """Levels in centimetres, one every two hours: sums of sines, a trend and noise."""
    rng = np.random.default_rng(seed)
    hours = 2.0 * np.arange(READINGS)
    level = 480 + 0.004 * hours + rng.normal(0, noise, READINGS)
    for height, period in ((100, 12.42), (45, 12.0), (30, 25.82), (25, 23.93)):
        level += height * np.sin(2 * np.pi * (hours / period + rng.random()))
    return level.astype(np.float32)


class Windows(Dataset):
    """Windows of inputs, and of the targets `ahead` readings later."""

    def __init__(self, inputs: np.ndarray, targets: np.ndarray, stride: int = 4, ahead: int = 1) -> None:
        self.inputs, self.targets, self.ahead = torch.tensor(inputs), torch.tensor(targets), ahead
        self.starts = np.arange(0, len(inputs) - LENGTH, stride)
        self.target_starts = self.starts.copy()

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start, later = self.starts[index], self.target_starts[index] + self.ahead
        return self.inputs[start : start + LENGTH], self.targets[later : later + LENGTH]


class WindowsOfFile(Windows):
    """Parses the text file of the gauge again for every window."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.text = "\n".join(f"{value:.4f}" for value in self.inputs[:1200].tolist())
        self.starts = self.starts[self.starts < 1200 - LENGTH]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start, later = self.starts[index], self.target_starts[index] + self.ahead
        values = torch.from_numpy(np.loadtxt(io.StringIO(self.text), dtype=np.float32))
        return values[start : start + LENGTH], self.targets[later : later + LENGTH]


class Forecaster(nn.Module):
    """(rows, readings) in, (rows, readings) out."""

    def __init__(
        self,
        width: int = 16,
        dilations: tuple[int, ...] = (1, 2, 4, 8),
        activation: Callable[[Tensor], Tensor] = F.relu,
        last: Callable[[Tensor], Tensor] = lambda out: out,
        causal: bool = True,
        bias: bool = True,
        dropout: float = 0.0,
        squeeze: bool = True,
    ) -> None:
        super().__init__()
        sizes = [1] + [width] * len(dilations)
        self.convs = nn.ModuleList(
            nn.Conv1d(n, m, 3, dilation=d, bias=bias)
            for n, m, d in zip(sizes, sizes[1:], dilations, strict=False)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv1d(width, 1, 1)
        self.activation, self.last, self.causal, self.squeeze = activation, last, causal, squeeze

    def forward(self, x: Tensor) -> Tensor:
        hidden = x.unsqueeze(1)
        for conv in self.convs:
            reach = 2 * conv.dilation[0]
            hidden = F.pad(hidden, (reach, 0) if self.causal else (reach // 2, reach // 2))
            hidden = self.activation(conv(hidden))
        out = self.last(self.head(self.dropout(hidden)))
        return out.squeeze(1) if self.squeeze else out


def r2(forecast: Tensor, truth: Tensor) -> float:
    """Share of the variance explained, 0 if worse than the mean."""
    error = F.mse_loss(forecast.reshape(truth.shape), truth) / truth.var()
    return float((1 - error).clamp(0, 1).nan_to_num(0.0))


def last_readings(model: nn.Module, inputs: np.ndarray, targets: np.ndarray) -> float:
    """R² of what is forecast after a whole window, with no reading of the future in it."""
    rows = Windows(inputs, targets, stride=1)
    x, y = (torch.stack(part) for part in zip(*[rows[i] for i in range(len(rows))], strict=True))
    model.eval()
    with torch.no_grad():
        return r2(model(x).reshape(y.shape)[:, -1], y[:, -1])


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 2e-3,
    optim: Callable[..., torch.optim.Optimizer] = torch.optim.RMSprop,
    loss_fn: Callable[[Tensor, Tensor], Tensor] = nn.HuberLoss(),  # noqa: B008
    epochs: int = 22,
    batch: int = 32,
    units: float = 0.0,  # inputs in centimetres over this, instead of standardised
    target_units: float = 0.0,
    ahead: int = 1,
    windows: type[Windows] = Windows,
    stride: int = 4,
    init: Callable[[Tensor], Any] | None = None,
    schedule: Callable[[torch.optim.Optimizer], Any] | None = None,
    each_batch: bool = False,  # the scheduler steps after each batch, not after each epoch
    clip: float = 0.0,
    penalty: float = 0.0,
    gradient_noise: float = 0.0,
    average: bool = False,
    mistake: str = "",
    **network: Any,
) -> Outcome:
    torch.manual_seed(seed)
    level = gauge(seed)
    mean, std = level[:TRAIN].mean(), level[:TRAIN].std()
    inputs = level / units if units else (level - mean) / std
    targets = level / target_units if target_units else (level - mean) / std
    if mistake == "missing readings":
        inputs[np.random.default_rng(seed).integers(0, TRAIN, 6)] = np.nan
    if mistake == "other scale in validation":
        low, high = level.min(), level.max()
        inputs[TRAIN:] = targets[TRAIN:] = (level[TRAIN:] - low) / (high - low)

    rows = windows(inputs[:TRAIN], targets[:TRAIN], stride, ahead)
    if mistake == "targets shuffled apart":
        np.random.default_rng(seed).shuffle(rows.target_starts)
    loader = DataLoader(rows, batch_size=batch, shuffle=True, drop_last=True)
    val_loader = DataLoader(windows(inputs[TRAIN:VAL], targets[TRAIN:VAL], 4, ahead), batch_size=128)

    model = Forecaster(**network)
    if init:
        for conv in model.convs:
            init(conv.weight)
    if mistake == "all zero":
        for p in model.parameters():
            nn.init.zeros_(p)
    if mistake == "dying start":
        for conv in model.convs:
            nn.init.constant_(conv.bias, -1.5)
    optimizer = optim(model.parameters(), lr=lr)
    if mistake == "layers replaced after the optimizer":
        model.convs = Forecaster(**network).convs
        model.head = Forecaster(**network).head
    scheduler = schedule(optimizer) if schedule else None
    averaged = copy.deepcopy(model)
    val_score = 0.0

    with doctor.watching(model, optimizer):
        for _epoch in range(epochs):
            if mistake == "windows reshuffled, targets not":
                np.random.default_rng(seed + _epoch).shuffle(rows.starts)
            if mistake != "train() forgotten":
                model.train()
            for x, y in loader:
                if mistake == "input flipped, target not":
                    x = x * (torch.randint(0, 2, (len(x), 1)) * 2 - 1)
                if mistake != "never zeroed":
                    optimizer.zero_grad()
                loss = loss_fn(model(x), y)
                if mistake == "clamped loss":
                    loss = loss.clamp(max=0.1)  # meant to calm the first steps
                if penalty:
                    loss = loss + penalty * sum(p.abs().sum() for p in model.parameters())
                loss.backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if gradient_noise:
                    for p in model.parameters():
                        p.grad += gradient_noise * torch.randn_like(p)
                if mistake != "no step":
                    optimizer.step()
                if scheduler and each_batch:
                    scheduler.step()
                if average:
                    for kept, p in zip(averaged.parameters(), model.parameters(), strict=True):
                        kept.data.lerp_(p.data, 0.05)
            if scheduler and not each_batch:
                scheduler.step()

            if mistake != "eval() forgotten":
                model.eval()
            with torch.no_grad():
                judged = averaged if average else model
                forecasts = [(judged(x), y) for x, y in val_loader]
            val_score = r2(torch.cat([f for f, _ in forecasts]), torch.cat([y for _, y in forecasts]))

    score = last_readings(averaged if average else model, inputs[VAL:], targets[VAL:])
    return Outcome(score, val_score)


sgd = partial(torch.optim.SGD, momentum=0.9)
halved = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)

CASES, add = cases("tides", train)
add("as it should be")
add("padded on both sides", "A05", causal=False)
add("targets not one later", "L03", ahead=0)
add("targets shuffled apart", "L02 L01", mistake="targets shuffled apart")
add("windows reshuffled each epoch, targets not", "L01 L02", mistake="windows reshuffled, targets not")
add("readings missing", "D01 O08", mistake="missing readings")
add("targets in millimetres", "P04 O02", target_units=0.1, lr=2e-4)
add("squared error of millimetres", "P04 O08 O01", target_units=0.1, loss_fn=nn.MSELoss(), optim=sgd, lr=0.01)
add("other scale in validation", "P02", mistake="other scale in validation")
add("input flipped at random, target not", "P03", mistake="input flipped, target not")
add("squeeze forgotten", "S05", squeeze=False)
add("sigmoid at the end", "S04", last=torch.sigmoid)
add("clamped loss", "S07", mistake="clamped loss")
add("lr x 100", "O01", lr=0.2)
add("lr x 1000", "O01 O08", lr=2.0)
add("lr / 300", "O02", lr=7e-6)
add("epoch schedule stepped each batch", "O04", schedule=halved, each_batch=True)
add("never zeroed", "O05", exact=True, mistake="never zeroed")
add("layers replaced after the optimizer", "O06", mistake="layers replaced after the optimizer")
add("no step", "O12", mistake="no step")
add("all parameters zero", "I01", mistake="all zero")
add("ten sigmoid layers", "O07 A01", activation=torch.sigmoid, dilations=(1, 2, 4, 8, 1, 2, 4, 8, 1, 2))
add("biases far below zero", "A02", mistake="dying start")
add("file parsed for every window", "E06", exact=True, windows=WindowsOfFile, epochs=9, batch=16)
add("eval() forgotten, dropout", "E01", exact=True, dropout=0.2, mistake="eval() forgotten")

add("squared error", loss_fn=nn.MSELoss())
add("SGD with momentum, lr 0.1", optim=sgd, lr=0.1)
add("tanh, weights drawn orthogonal", activation=torch.tanh, init=nn.init.orthogonal_)
add("inputs in metres", units=100.0)
add("one batch of 128, lr higher", batch=128, lr=6e-3, stride=1)
add("batches of 8", batch=8, epochs=10)
add("averaged copy is judged", average=True)
add("noise on the gradients", gradient_noise=0.003)
add("no bias, clipped at 1.0", bias=False, clip=1.0)
add("L1 penalty", penalty=1e-4)
