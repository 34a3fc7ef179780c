"""The next hour's load of eight households, foreseen from the day before by a small 1-d CNN."""

import copy

import numpy as np
import torch
from case import Outcome, cases
from torch import nn

HOMES, DAY = 8, 24


def record(rng, days, hard=1.0):
    """Hourly watts of every home, (HOMES, hours): a daily cycle, weather, a boiler with a program."""
    make = np.random.default_rng(7)  # the homes stay the same
    level, size = make.uniform(300, 1500, (HOMES, 1)), make.uniform(150, 500, (HOMES, 1))
    late, calm = make.uniform(-4, 4, (HOMES, 1)), np.linspace(0.0, 0.56, HOMES)[:, None]
    hours = np.arange(days * DAY)
    turn = 2 * np.pi * (hours - late) / DAY
    load = np.sin(turn) + 0.7 * np.sin(2 * turn + 1) + 0.3 * ((hours // DAY) % 7 > 4)
    weather = np.zeros((HOMES, days * DAY))
    for t in hours[1:]:
        weather[:, t] = 0.93 * weather[:, t - 1] + 0.2 * rng.standard_normal(HOMES)
    starts = rng.random(load.shape) < 0.05
    boiler = sum(w * np.roll(starts, k, 1) for k, w in enumerate((1.5, 0.2, 1.5, 1.5)))
    noise = hard * calm * rng.standard_normal(load.shape)
    return (level + size * (load + weather + 2 * calm * boiler + noise)).astype("float32")


def windows(load, width):
    """(HOMES * times, width) of the past and the value that follows, home after home."""
    cut = np.lib.stride_tricks.sliding_window_view(load, width + 1, axis=1).reshape(-1, width + 1)
    return cut[:, :-1].copy(), cut[:, -1].copy()


class Forecaster(nn.Module):
    def __init__(
        self,
        width=24,
        channels=1,
        hidden=16,
        kernel=5,
        average=False,
        norm=False,
        drop=0.0,
        out=None,
        mixed=False,
        detach=False,
    ):
        super().__init__()
        self.one = nn.Conv1d(channels, hidden, kernel)
        self.two = nn.Conv1d(hidden, hidden, min(kernel, 4), min(kernel, 2))
        self.norm, self.act = nn.BatchNorm1d(hidden) if norm else nn.Identity(), nn.ReLU()
        size = hidden * (1 if average else ((width - kernel + 1) - 4) // 2 + 1)
        self.drop, self.head, self.out = nn.Dropout(drop), nn.Linear(size, 1), out or nn.Identity()
        self.average, self.mixed, self.detach = average, mixed, detach

    def forward(self, x):
        z = self.act(self.two(self.act(self.norm(self.one(x)))))
        z = z.detach() if self.detach else z
        z = z.transpose(0, 1).reshape(len(x), -1) if self.mixed else z
        return self.out(self.head(self.drop(z.mean(2) if self.average else z.flatten(1))))


def begin(model, start, gain):
    for name, p in model.named_parameters():
        if start == "spread" and p.ndim > 1:
            nn.init.normal_(p, 0, gain)
        if start == "bias" and p.ndim == 1 and "head" not in name:
            nn.init.constant_(p, gain)
        if start == "flat head" and name == "head.weight":
            nn.init.zeros_(p)


def r2(pred, y):
    return float(1 - ((pred - y) ** 2).mean() / y.var(unbiased=False))


def train(
    seed,
    doctor,
    *,
    width=24,
    days=30,
    rows=1800,
    values="",
    target="",
    homes="all",
    scale="own",
    clock="",
    loss="mse",
    start="",
    gain=1.0,
    opt="adam",
    lr=0.005,
    decay=0.0,
    schedule="",
    epochs=12,
    batch=50,
    order="random",
    jitter=0.0,
    accumulate=1,
    clip=0.0,
    zero=True,
    frozen=False,
    val_mode="eval",
    metric="r2",
    ema=0.0,
    patience=0,
    **shape,
):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    load = record(rng, days)
    known = load[:, : days * DAY * 3 // 4]
    mean, std = known.mean(1, keepdims=True), known.std(1, keepdims=True)
    fitted = (load - mean) / std
    if values == "gaps":
        fitted[rng.random(fitted.shape) < 0.002] = np.nan

    def inputs(x, hour):
        x = [torch.as_tensor(x, dtype=torch.float32)]
        if clock:
            hour = torch.as_tensor(hour, dtype=torch.float32)[:, None] + torch.arange(width)
            x += [1.7e9 + 3600 * hour] if clock == "unix" else [torch.sin(hour * 2 * np.pi / DAY)]
        return torch.stack(x, 1)

    past, following = windows(fitted, width)
    hour = np.tile(np.arange(len(past) // HOMES), HOMES)
    home = np.repeat(np.arange(HOMES), len(past) // HOMES)
    if target == "last":
        following = past[:, -1].copy()
    if target == "by time":
        following = following.reshape(HOMES, -1).T.reshape(-1).copy()
    watts = (mean[home, 0], std[home, 0])
    if target == "watts":
        following = following * watts[1] + watts[0]
    if values == "half hours":
        past[:, -1] = (past[:, -1] + following) / 2
    chosen = rng.permutation(len(past))
    late = hour >= hour.max() * 3 // 4
    fit, val = chosen[~late[chosen]][:rows], chosen[late[chosen]][:400]
    if homes == "first":
        val = np.flatnonzero(late & (home == 0))
    x, y = inputs(past[fit], hour[fit]), torch.as_tensor(following[fit])[:, None]
    vy = torch.as_tensor(following[val])[:, None]
    serve = {"half": lambda x: x * 0.3 - 1.5}.get(scale)
    vx = inputs(serve(past[val]) if serve else past[val], hour[val])

    model = Forecaster(width=width, channels=1 + bool(clock), **shape)
    begin(model, start, gain)
    criterion = {"huber": nn.HuberLoss(), "entropy": nn.CrossEntropyLoss()}.get(loss, nn.MSELoss())
    model.one.requires_grad_(not frozen)
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = {
        "adam": lambda: torch.optim.Adam(params, lr, weight_decay=decay),
        "rms": lambda: torch.optim.RMSprop(params, lr),
        "sgd": lambda: torch.optim.SGD(params, lr, momentum=0.9),
    }[opt]()
    steps = -(-len(x) // batch) * epochs // accumulate
    rise = lambda k: min(1.0, (k + 1) / 30) * max(0.0, 1 - k / (steps + 1))  # noqa: E731
    scheduler = {
        "warm": lambda: torch.optim.lr_scheduler.LambdaLR(optimizer, rise),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps),
        "": lambda: None,
    }[schedule]()
    smooth = copy.deepcopy(model).eval() if ema else None
    best, kept, bad = 9e9, None, 0
    batches = [(x[i : i + batch], y[i : i + batch]) for i in range(0, len(x), batch)]
    doctor.on_start(model, optimizer, criterion, batches)

    for _ in range(epochs):
        model.train()
        turn = torch.arange(len(x)) if order == "drift" else torch.randperm(len(x))
        total = 0.0
        for n, i in enumerate(range(0, len(x), batch)):
            bx, by = x[turn[i : i + batch]], y[turn[i : i + batch]]
            if jitter:
                bx = bx + jitter * torch.randn_like(bx)
            by = by.squeeze(1) if loss == "flat" else by
            error = criterion(model(bx), by)
            error = error.clamp(max=0.3) if loss == "cap" else error
            if zero and n % accumulate == 0:
                optimizer.zero_grad()
            (error / accumulate).backward()
            total += float(error.detach()) * len(bx) / len(x)
            if (n + 1) % accumulate == 0:
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                if scheduler:
                    scheduler.step()
                if smooth:
                    for old, new in zip(smooth.parameters(), model.parameters(), strict=True):
                        old.data.lerp_(new.data, 1 - ema)
            doctor.on_step(error, (bx, by))
        if order == "drift":
            x = x[torch.randperm(len(x))]
        model.train(val_mode == "train")
        with torch.no_grad():
            pred = (smooth or model)(vx)
            val_loss = float(((pred - vy) ** 2).mean())
            seen = r2(pred, vy)
            if metric == "share":
                real = vy * torch.as_tensor(watts[1][val])[:, None] + torch.as_tensor(watts[0][val])[:, None]
                off = (pred - vy) * torch.as_tensor(watts[1][val])[:, None]
                seen = float(1 - (off**2).sum() / (real**2).sum())
        doctor.on_epoch({"loss": total}, {"loss": val_loss, "r2": seen})
        bad = 0 if val_loss < best else bad + 1
        if val_loss < best:
            best, kept = val_loss, copy.deepcopy(model.state_dict()) if patience else None
        if patience and bad >= patience:
            break

    if kept:
        model.load_state_dict(kept)
    final = (smooth or model).eval()
    fresh = (record(np.random.default_rng(seed + 1000), 21) - mean) / std
    past, following = windows(fresh, width)
    home = np.repeat(np.arange(HOMES), len(past) // HOMES)
    hour = np.tile(np.arange(len(past) // HOMES), HOMES)
    tx = inputs(serve(past) if serve else past, hour)
    with torch.no_grad():
        pred = final(tx)[:, 0]
    if target == "watts":
        pred = (pred - torch.as_tensor(mean[home, 0])) / torch.as_tensor(std[home, 0])
    return Outcome(max(0.0, r2(pred, torch.as_tensor(following))), seen)


CASES, add = cases("meters", train)
add("plain")
add("sgd warm-up", opt="sgd", lr=0.05, schedule="warm")
add("cosine clip 1", schedule="cosine", clip=1.0, lr=0.006)
add("huber", loss="huber")
add("accumulate 2 x 25", batch=25, accumulate=2)
add("first layer frozen", frozen=True, lr=0.006)
add("batch norm dropout", norm=True, drop=0.05)
add("moving average", ema=0.95)
add("early stopping jitter", patience=3, jitter=0.05, epochs=16)
add("daily clock, odd batch", clock="sine", batch=37)
add("flat head, rms", start="flat head", opt="rms", lr=0.002)

add("gaps in a meter", "D01", values="gaps")
add("val on one home", "D05", homes="first")
add("half hours", "D07 L03", values="half hours")
add("rows move on", "L01 L02", order="drift")
add("joined by time", "L02", target="by time")
add("one hour early", "L03", target="last")
add("unix clock", "P01", clock="unix")
add("val at another scale", "P02", scale="half")
add("target in watts", "P04", target="watts")
add("dead units", "A02", start="bias", gain=-12.0)
add("windows folded", "A04", mixed=True)
add("order blind", "A06 A07", average=True, kernel=1)
add("tiny start", "I02 O02", start="spread", gain=1e-4, opt="sgd", lr=0.05)
add("wide start", "I03 I04", start="spread", gain=2.0)
add("relu at the end", "S04", out=nn.ReLU())
add("flat targets", "S05", loss="flat")
add("cross entropy", "S06 S07", loss="entropy")
add("capped loss", "S07", loss="cap")
add("rate x30", "O01", lr=0.15)
add("rate / 300", "O02", lr=0.000016)
add("no zero_grad", "O05", zero=False)
add("features detached", "O10", exact=True, detach=True)
add("clip .0005", "O11", opt="sgd", lr=0.05, clip=0.0005)
add("never steps", "O12", accumulate=64)
add("few rows", "R01 D04", rows=60, epochs=120, hidden=32, lr=0.01, batch=30)
add("decay 1", "R02", decay=1.0)
add("val in train mode", "E01", exact=True, drop=0.3, val_mode="train")
add("metric on raw watts", "E04", metric="share")
