"""Yield of a well (hundreds of barrels) from twelve measurements in very different units, by a plain MLP.

Classroom style: batches cut by hand from a permutation, MSELoss, SGD with momentum, calls by hand.
"""

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn

# depth m, porosity, permeability, pressure Pa, temperature K, density, salinity, age, pipe m, three logs
MIDDLE = np.array([2400, 0.2, 0.01, 2e7, 350, 850, 3e4, 12, 0.15, 60, 2.4, 90])
SPREAD = np.array([600, 0.05, 0.004, 5e6, 20, 40, 9e3, 5, 0.03, 20, 0.1, 15])
MSE = nn.MSELoss()


def wells(n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A table (n, 12) in its own units and the yields (n, 1)."""
    z = rng.standard_normal((n, 12))
    bent = 1.2 * np.abs(z[:, 0]) + np.sin(1.5 * z[:, 1]) + np.maximum(z[:, 2], 0) * z[:, 3]
    yields = 420 + 90 * (bent + 0.4 * z[:, 4] - 0.3 * z[:, 5]) + 25 * rng.standard_normal(n)
    table = MIDDLE + SPREAD * z
    return torch.tensor(table, dtype=torch.float32), torch.tensor(yields[:, None], dtype=torch.float32)


class Net(nn.Module):
    """Linear layers with `act` between them, and `last` after the last."""

    def __init__(self, width=48, depth=2, act=nn.ReLU, last=nn.Identity, norm=False, bias=True, drop=0.0):
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(depth):
            layers.append(nn.Linear(width if i else 12, width, bias=bias))
            if norm:
                layers.append(nn.BatchNorm1d(width))
            layers += [act(), nn.Dropout(drop)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(width, 1, bias=bias), last())
        self.cut = False  # the mistake: the body's output is detached

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x)
        return self.head(hidden.detach() if self.cut else hidden)


def r2(guess: Tensor, truth: Tensor) -> float:
    return (1 - ((guess - truth) ** 2).mean() / truth.var()).item()


def train(
    seed,
    doctor,
    *,
    rows=1200,
    val_rows=200,
    copies=1,
    epochs=24,
    batch=20,
    lr=0.01,
    momentum=0.9,
    decay=0.0,
    gamma=1.0,
    clip=0.0,
    l1=0.0,
    shake=0.0,
    init=0.0,
    loss=MSE,
    net=None,
    mistake="",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = wells(rows, rng)
    val_x, val_y = wells(val_rows, rng)
    fresh_x, fresh_y = wells(600, rng)
    if mistake == "sold volume among the features":  # known only afterwards
        x[:, 11:], val_x[:, 11:], fresh_x[:, 11] = y, val_y, y.mean()
    elif mistake == "gaps in the table":
        x[torch.from_numpy(rng.random(x.shape) < 0.003)] = torch.nan
    elif mistake == "labels of other wells":
        y = y[torch.from_numpy(rng.permutation(rows))]

    mean, std = x.nanmean(0), ((x - x.nanmean(0)) ** 2).nanmean(0).sqrt()
    if mistake == "raw table":
        mean, std = torch.zeros(12), torch.ones(12)
    elif mistake == "a column left in its unit":
        mean[9], std[9] = 0, 1
    x, val_x, fresh_x = (x - mean) / std, (val_x - mean) / std, (fresh_x - mean) / std
    middle, spread = (0.0, 1.0) if mistake == "raw yields" else (y.mean(), y.std())
    y, val_y, fresh_y = (y - middle) / spread, (val_y - middle) / spread, (fresh_y - middle) / spread
    x, y = x.repeat(copies, 1), y.repeat(copies, 1)
    if mistake == "yields as a flat list":  # (n,) against the net's (n, 1)
        y = y.squeeze(1)

    model = Net(**(net or {}))
    model.cut = mistake == "body detached"
    if init:
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0.0, init)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)
    doctor.on_start(model, optimizer, loss)

    history = []
    for _ in range(epochs):
        model.train()
        order = torch.randperm(len(x))
        seen = []
        for start in range(0, len(x), batch):
            rows_now = order[start : start + batch]
            optimizer.zero_grad()
            cost = loss(model(x[rows_now]), y[rows_now])
            if l1:
                cost = cost + l1 * sum(weight.abs().sum() for weight in model.parameters())
            cost.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            if shake:
                for weight in model.parameters():
                    weight.grad += shake * torch.randn_like(weight)
            optimizer.step()
            doctor.on_step(cost, (x[rows_now], y[rows_now]))
            seen.append(cost if mistake == "losses kept with their graphs" else cost.item())
        schedule.step()
        history += seen

        model.eval()
        with torch.no_grad():
            guess = model(val_x)
            val_loss = MSE(guess, val_y).item()
        # The mistake: scaled guesses are held against yields in barrels.
        truth = val_y * spread + middle if mistake == "R2 in two units" else val_y
        reported = r2(guess, truth)
        doctor.on_epoch({"loss": float(sum(seen)) / len(seen)}, {"loss": val_loss, "r2": reported})
        if mistake == "rows shuffled without yields":
            x = x[torch.randperm(len(x))]

    twin = Net(**(net or {}))
    twin.load_state_dict(model.state_dict())
    with torch.no_grad():
        score = r2(twin.eval()(fresh_x), fresh_y)
    return Outcome(min(max(0.0, score), 1.0), min(max(0.0, reported), 1.0))


CASES, add = cases("wells", train)
add("as it should be")
add("gaps in the table", "D01", mistake="gaps in the table")
add("sold volume among the features", "D07", mistake="sold volume among the features")
add("rows shuffled without yields", "L01", mistake="rows shuffled without yields")
add("labels of other wells", "L02", mistake="labels of other wells")
add("raw table", "P01", mistake="raw table")
add("a column left in its unit", "P01", mistake="a column left in its unit")
add("raw yields", "P04", mistake="raw yields")
add("large weights under tanh", "A01 I03", init=2.0, net={"act": nn.Tanh})
add("no activation", "A03", net={"act": nn.Identity})
add("tiny weights", "I02", init=1e-3, net={"depth": 3})
add("large weights", "I03", init=0.6)
add("ends in a sigmoid", "S04", net={"last": nn.Sigmoid})
add("ends in a ReLU", "S04", net={"last": nn.ReLU})
add("yields as a flat list", "S05", mistake="yields as a flat list")
add("summed loss", "S07", loss=nn.MSELoss(reduction="sum"))
add("lr 0.3", "O01", lr=0.3)
add("lr 3", "O01 O08", lr=3.0)
add("lr 1e-5", "O02", lr=1e-5)
add("momentum 0.999", "O03", momentum=0.999)
add("rate grows by half each epoch", "O04", gamma=1.5)
add("nine sigmoid layers", "O07", net={"depth": 9, "act": nn.Sigmoid})
add("body detached", "O10", exact=True, mistake="body detached")
add("clipping at 0.001", "O11", clip=0.001)
add("sixty wells", "R01", rows=60, epochs=30, batch=4)
add("weight decay 0.1", "R02", decay=0.1)
add("dropout 0.8", "R02", net={"drop": 0.8})
add("three epochs", "R03", epochs=3, lr=1e-3)
add("batch norm, batches of 2", "R04", rows=600, epochs=5, batch=2, net={"norm": True})
add("losses kept with their graphs", "E03", exact=True, mistake="losses kept with their graphs")
add("R2 in two units", "E04", exact=True, mistake="R2 in two units")

add("lr 0.05", lr=0.05)
add("no momentum, lr 0.2", lr=0.2, momentum=0.0)
add("tanh, no bias in the net", net={"act": nn.Tanh})
add("clipping at 1", clip=1.0)
add("l1 penalty", l1=2e-4)
add("noise on the gradients", shake=0.02)
add("eight rows for validation", val_rows=8)
add("each row three times", copies=3, epochs=7)
add("batches of 300", batch=300, lr=0.1, epochs=30)
add("rate falls to a hundredth", gamma=0.8, lr=0.03)
