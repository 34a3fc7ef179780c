"""Tomorrow's rain from sixteen readings of four instruments: it depends on the first hours and on the last.

An LSTM with a linear head, batches as dicts out of a DataLoader, the mean squared error, Adam and clipping;
the doctor is called by hand, and the loop validates after each epoch.
"""

import numpy as np
import torch
from case import Outcome, cases
from torch import nn
from torch.utils.data import DataLoader, Dataset

HOURS = 16
MEANS = np.array([12.0, 1013.0, 70.0, 5.0])  # temperature, pressure, humidity, wind
SPREADS = np.array([6.0, 8.0, 12.0, 2.0])


def observe(rows: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Made-up readings (rows, hours, instruments) and the rain that followed, about 0 +- 1."""
    steps = random.normal(size=(rows, HOURS, 4))
    for hour in range(1, HOURS):
        steps[:, hour] = 0.5 * steps[:, hour - 1] + 0.87 * steps[:, hour]
    early, late = steps[:, :3].mean(1), steps[:, -3:].mean(1)
    rain = 0.8 * late[:, 2] - 0.9 * early[:, 1] + 0.4 * early[:, 0] * late[:, 3]
    rain += random.normal(scale=0.15, size=rows)
    return MEANS + SPREADS * steps, rain


class Station(Dataset):
    """Readings and rain as a dict a row."""

    def __init__(self, readings: np.ndarray, rain: np.ndarray):
        self.readings = torch.tensor(readings, dtype=torch.float32)
        self.rain = torch.tensor(rain, dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.rain)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        return {"readings": self.readings[row], "rain": self.rain[row]}


class Forecaster(nn.Module):
    """A recurrent layer, and a linear head on its last state."""

    def __init__(self, inputs: int, cell: type[nn.Module], layers: int, dropout: float, mistake: str):
        super().__init__()
        self.mistake = mistake
        self.recurrent = cell(inputs, 32, layers, batch_first=mistake != "batch first forgotten")
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(32, 1)

    def forward(self, readings: torch.Tensor) -> torch.Tensor:
        states, _ = self.recurrent(readings)
        last = states[:, -1]
        if self.mistake == "state detached":
            last = last.detach()
        rain = self.head(self.dropout(last))
        if self.mistake == "rectified":
            rain = torch.relu(rain)  # "rain cannot be negative", but it was centred
        return rain if self.mistake == "not squeezed" else rain.squeeze(1)


def r2(predicted: torch.Tensor, true: torch.Tensor) -> float:
    """The share of variance explained, 0 at the least."""
    error = (predicted.view(-1) - true).square().mean().item()
    return max(0.0, 1 - error / true.var(correction=0).item())


def train(
    seed,
    doctor,
    *,
    rows=1280,
    repeats=1,
    epochs=12,
    batch=32,
    cell=nn.LSTM,
    layers=1,
    dropout=0.0,
    make=torch.optim.Adam,
    lr=1e-2,
    decay=0.0,
    loss_fn=None,
    clip=1.0,
    gamma=0.9,
    warm_up=0,
    accumulate=1,
    l1=0.0,
    noise=0.0,
    scale=True,
    unit=1.0,
    base_level=0.0,
    mistake="",
) -> Outcome:
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    readings, rain = observe(rows, random)
    held_readings, held_rain = observe(200, random)
    test_readings, test_rain = observe(1000, random)

    # Preparation
    mean, std = readings.mean((0, 1)), readings.std((0, 1))
    if scale:
        readings = (readings - mean) / std
        if mistake != "only training rows scaled":
            held_readings, test_readings = (held_readings - mean) / std, (test_readings - mean) / std
    if mistake == "rain gauge among the inputs":  # read in the evening of the day to be forecast
        readings, held_readings, test_readings = (
            np.concatenate([x, np.broadcast_to(gauge[:, None, None], (len(x), HOURS, 1))], 2)
            for x, gauge in ((readings, rain), (held_readings, held_rain), (test_readings, 0 * test_rain))
        )
    if mistake == "missing readings":
        readings[random.random(len(readings)) < 0.02, 5, 3] = np.nan
    if mistake == "rain joined on the wrong key":
        rain = random.permutation(rain)
    readings, rain = np.repeat(readings, repeats, 0), np.repeat(rain, repeats, 0)
    rain, held_rain, test_rain = (base_level + unit * y for y in (rain, held_rain, test_rain))
    data, held = Station(readings, rain), Station(held_readings, held_rain)
    test = Station(test_readings, test_rain)

    # Model
    loader = DataLoader(data, batch, shuffle=True, drop_last=True)
    model = Forecaster(readings.shape[2], cell, layers, dropout, mistake)
    loss_fn = loss_fn or nn.MSELoss()
    optimizer = make(model.parameters(), lr=lr, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, step / warm_up) if warm_up else gamma**step
    )
    schedule_each_batch = warm_up > 0 or mistake == "schedule stepped each batch"

    # Training
    doctor.on_start(model, optimizer, loss_fn, loader)
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for number, rows_of_batch in enumerate(loader):
            x, y = rows_of_batch["readings"], rows_of_batch["rain"]
            loss = loss_fn(model(x + noise * torch.randn_like(x)), y)
            if mistake == "loss clamped":
                loss = loss.clamp(max=0.1)
            if l1:
                loss = loss + l1 * sum(weights.abs().sum() for weights in model.parameters())
            (loss / accumulate).backward()
            if (number + 1) % accumulate == 0:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                optimizer.zero_grad()
            if schedule_each_batch:
                schedule.step()
            doctor.on_step(loss, rows_of_batch)
            total += loss.item()
        if not schedule_each_batch:
            schedule.step()
        if mistake == "rain reordered at midway" and epoch == epochs // 3:
            data.rain = data.rain[torch.randperm(len(data))]
        model.eval()
        with torch.no_grad():
            guess = model(held.readings)
            val = {"loss": loss_fn(guess.view(-1), held.rain).item(), "r2": r2(guess, held.rain)}
        doctor.on_epoch({"loss": total / len(loader)}, val)

    with torch.no_grad():
        return Outcome(r2(model(test.readings), test.rain), val["r2"])


CASES, add = cases("weather", train)
add("as it should be")
add("pressure and all as read", "P01", scale=False)
add("held-out rows not scaled", "P02", mistake="only training rows scaled")
add("rain in micrometres", "P04", unit=1000.0, base_level=5000.0)
add("rain joined on the wrong key", "L02", mistake="rain joined on the wrong key")
add("rain reordered at midway", "L01", mistake="rain reordered at midway")
add("missing readings", "D01 O08", mistake="missing readings")
add("evening gauge among the inputs", "D07", mistake="rain gauge among the inputs")
add("batch_first forgotten", "A04", mistake="batch first forgotten")
add("prediction not squeezed", "S05", mistake="not squeezed")
add("output rectified", "S04", mistake="rectified")
add("loss clamped at 0.1", "S07", mistake="loss clamped")
add("lr a thousandth", "O02", lr=1e-5)
add("schedule stepped each batch", "O04", gamma=0.8, mistake="schedule stepped each batch")
add("state detached", "O10", mistake="state detached")
add("a step each 64 of 40 batches", "O12", accumulate=64)
add("weight decay 0.5", "R02", decay=0.5)
add("five epochs at a low rate", "R03", epochs=5, lr=8e-4, gamma=1.0)
add("forty rows for long", "R01", rows=40, epochs=200, batch=8)
# Healthy
add("GRU", cell=nn.GRU)
add("two layers with dropout", layers=2, dropout=0.1)
add("RMSprop", make=torch.optim.RMSprop, lr=3e-3)
add("AdamW, hardly clipped", make=torch.optim.AdamW, clip=5.0, epochs=14)
add("warm-up from 0", warm_up=100)
add("Huber loss", loss_fn=nn.HuberLoss())
add("batches of 8", batch=8, epochs=7, lr=3e-3, gamma=0.8)
add("two batches a step", accumulate=2)
add("a little noise and an l1 penalty", noise=0.1, l1=1e-5)
add("each row twice", repeats=2, epochs=7)
add("rain neither centred nor scaled", unit=2.0, base_level=1.0, clip=5.0)
