"""Crop yields are predicted from a made-up table of eight columns on weather and soil, with optima in it.

An MLP with a Huber loss on standardised targets, a DataLoader, and R2 on validation rows after each epoch;
the doctor is told by explicit calls: `on_start`, `on_step`, `on_epoch`.
"""

from itertools import pairwise

import numpy as np
import torch
from case import Outcome, cases
from sklearn.metrics import r2_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


def farms(rng: np.random.Generator, count: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Rain, warmth, nitrogen, acidity, sun, altitude, clay, density; and kilograms per hectare."""
    u = rng.uniform(-1, 1, (count, 8))
    gain = 1.2 * np.exp(-4 * u[:, 1] ** 2) + np.tanh(2 * u[:, 2]) * (0.5 + 0.5 * u[:, 0])
    gain += 0.8 * np.abs(u[:, 3]) - 0.7 * u[:, 5] * u[:, 0] + 0.3 * u[:, 4]
    rows = np.array([700, 16, 90, 6.5, 1800, 1200, 30, 0.5]) + u * np.array(
        [400, 8, 60, 1.5, 700, 1100, 20, 0.3]
    )
    kilograms = 5200 + 1400 * (gain + noise * rng.standard_normal(count))
    return rows.astype("float32"), kilograms.astype("float32")


class Net(nn.Module):
    def __init__(self, hidden, depth, activation, norm, dropout, last, mistake):
        super().__init__()
        sizes = [8, *[hidden] * depth]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(norm(size) if norm else nn.Identity() for size in sizes[1:])
        self.activation, self.drop, self.last = activation, nn.Dropout(dropout), last
        self.head = nn.Linear(hidden, 1)
        self.mistake = mistake

    def forward(self, x: Tensor) -> Tensor:
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            if number == 1 and self.mistake == "second layer not called":
                continue
            x = self.drop(self.activation(norm(layer(x))))
            if number == 0 and self.mistake == "features detached":
                x = x.detach()
        return self.last(self.head(x))


def train(
    seed,
    doctor,
    *,
    lr=4e-3,
    epochs=26,
    batch=32,
    rows=900,
    val_rows=250,
    noise=0.2,
    optim="adam",
    momentum=0.9,
    decay=0.0,
    gamma=0.93,  # what the rate is multiplied by
    clip=None,
    l1=0.0,
    accumulate=1,
    loss_fn=None,
    hidden=48,
    depth=2,
    activation=None,
    norm=None,
    dropout=0.0,
    last=None,
    init=None,  # standard deviation of the weights
    bias=None,  # what the hidden biases start from
    scale_x=True,
    scale_y=True,
    mistake="",
    variant="",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = farms(rng, rows + val_rows, noise)
    test_x, test_y = farms(rng, 1000, noise)

    if mistake == "sold weight among the columns":  # it replaces clay, and is not known of new farms
        x[:, 6], test_x[:, 6] = 30 + 0.012 * (y - 5200), 30
    if mistake == "repeated before the split":
        chosen = rng.permutation(np.arange(len(x)) % 60)
        x, y = x[chosen], y[chosen]
    if mistake == "split after sorting by warmth":
        order = np.argsort(x[:, 1])
        x, y = x[order], y[order]
    if mistake == "yields joined in another order":
        y[:] = y[rng.permutation(len(y))]
    train_x, train_y, val_x, val_y = x[:rows], y[:rows], x[rows:], y[rows:]
    if mistake == "decimal point lost":  # in a quarter of the training rows
        train_y = np.where(rng.random(rows) < 0.25, train_y * 10, train_y)

    centre_x, width_x = (train_x.mean(0), train_x.std(0)) if scale_x else (0.0, 1.0)
    centre_y, width_y = (train_y.mean(), train_y.std()) if scale_y else (0.0, 1.0)
    if mistake == "a missing value":
        train_x[17, 3] = np.nan

    def prepare(table: np.ndarray, fitted: bool = True) -> Tensor:
        if not fitted:  # another scaler, fitted anew
            low, high = table.min(0), table.max(0)
            return torch.from_numpy((table - low) / (high - low))
        return torch.from_numpy((table - centre_x) / width_x).float()

    fitted = mistake != "new rows have their own scaler"
    train_set = TensorDataset(prepare(train_x), torch.from_numpy((train_y - centre_y) / width_y).float())
    val_set = TensorDataset(prepare(val_x, fitted), torch.from_numpy((val_y - centre_y) / width_y).float())
    loader = DataLoader(train_set, batch_size=batch, shuffle=True, drop_last=True)
    val_loader = DataLoader(val_set, batch_size=125, shuffle=mistake == "R2 against another order")

    model = Net(hidden, depth, activation or nn.ReLU(), norm, dropout, last or nn.Identity(), mistake)
    for layer in model.layers:
        if init is not None:
            nn.init.normal_(layer.weight, std=init)
        if bias is not None:
            nn.init.constant_(layer.bias, bias)
    if mistake == "all weights alike":
        for weight in model.parameters():
            nn.init.constant_(weight, 0.05)
    if variant == "first layer frozen":
        model.layers[0].requires_grad_(False)

    weights = [w for w in model.parameters() if w.requires_grad]
    if optim == "sgd":
        optimizer = torch.optim.SGD(weights, lr=lr, momentum=momentum, weight_decay=decay)
    elif optim == "rmsprop":
        optimizer = torch.optim.RMSprop(weights, lr=lr)
    else:
        optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=decay)
    if mistake == "head replaced after the optimizer":
        model.head = nn.Linear(hidden, 1)
    if variant == "one cycle":
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=lr, total_steps=epochs)
    else:
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)
    loss_fn = loss_fn or nn.HuberLoss()

    @torch.no_grad()
    def predict(inputs: Tensor) -> Tensor:
        return model(inputs).squeeze(1)

    @torch.no_grad()
    def validate() -> dict[str, float]:
        if mistake != "no eval()":
            model.eval()
        guesses, losses = [], []
        for inputs, target in val_loader:
            guesses.append(model(inputs).squeeze(1))
            losses.append(loss_fn(guesses[-1], target))
        guess = torch.nan_to_num(torch.cat(guesses)).clamp(-1e6, 1e6)
        r2 = r2_score(val_set.tensors[1], guess)
        return {"loss": torch.stack(losses).mean().item(), "r2": r2}

    doctor.on_start(model, optimizer, loss_fn, loader)
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for number, (inputs, target) in enumerate(loader):
            if mistake == "rows mixed from the fourth epoch" and epoch >= 3:
                inputs = inputs[torch.randperm(len(inputs))]
            guess = model(inputs)
            if mistake != "squeeze forgotten":
                guess = guess.squeeze(1)
            loss = loss_fn(guess, target) / accumulate
            if mistake == "wrong sign":
                loss = -loss
            if l1:
                loss = loss + l1 * sum(w.abs().sum() for w in model.parameters())
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            if (number + 1) % accumulate == 0:
                if mistake != "step forgotten":
                    optimizer.step()
                if mistake != "zero_grad forgotten":
                    optimizer.zero_grad()
                if mistake == "schedule stepped each batch":
                    scheduler.step()
            doctor.on_step(loss, (inputs, target))
            total += loss.item() * accumulate
        if mistake != "schedule stepped each batch":
            scheduler.step()
        val = validate()
        doctor.on_epoch({"loss": total / len(loader)}, val)

    model.eval()
    guess = torch.nan_to_num(predict(prepare(test_x, fitted))).clamp(-1e6, 1e6) * width_y + centre_y
    return Outcome(max(0.0, r2_score(test_y, guess)), max(0.0, val["r2"]))


CASES, add = cases("yields", train)
add("as it should be")
add("a missing value", "D01", mistake="a missing value")
add("split after sorting by warmth", "D04", mistake="split after sorting by warmth", val_rows=900)
add(
    "rows repeated before the split",
    "D06",
    mistake="repeated before the split",
    hidden=96,
    epochs=30,
    gamma=1,
)
add("sold weight among the columns", "D07", mistake="sold weight among the columns")
add("rows mixed from the fourth epoch", "L01", mistake="rows mixed from the fourth epoch")
add("yields joined in another order", "L02", mistake="yields joined in another order")
add("decimal point lost", "L04", mistake="decimal point lost", loss_fn=nn.MSELoss())
add("raw columns, SGD", "P01", scale_x=False, optim="sgd", lr=1e-5)
add("raw columns, Adam", "P01", scale_x=False)
add("new rows have their own scaler", "P02", mistake="new rows have their own scaler")
add("yields in kilograms, MSE", "P04", scale_y=False, loss_fn=nn.MSELoss(), gamma=1)
add("wide sigmoids", "A01 I03", activation=nn.Sigmoid(), init=12.0)
add("biases of -6", "A02", bias=-6.0)
add("no activation", "A03", activation=nn.Identity())
add("one hidden unit", "A07", hidden=1)
add("second layer never called", "A08", exact=True, mistake="second layer not called")
add("all weights alike", "I01", mistake="all weights alike")
add("weights of std 0.001, SGD", "I02 O07", init=1e-3, depth=4, optim="sgd", lr=0.02)
add("weights of std 6", "I03", init=6.0)
add("ReLU at the end", "S04", last=nn.ReLU())
add("sigmoid at the end", "S04", last=nn.Sigmoid())
add("squeeze forgotten", "S05", mistake="squeeze forgotten")
add("wrong sign", "S07", mistake="wrong sign")
add("rate 1", "O01", lr=1.0)
add("rate 1e-6", "O02", lr=1e-6)
add("rate 3e-5", "O02", lr=3e-5)
add("momentum of 0.999", "O03", optim="sgd", lr=0.05, momentum=0.999)
add("schedule stepped each batch", "O04", mistake="schedule stepped each batch", gamma=0.8)
add("zero_grad forgotten", "O05", exact=True, mistake="zero_grad forgotten")
add("head replaced after the optimizer", "O06", exact=True, mistake="head replaced after the optimizer")
add("nine sigmoid layers", "O07", depth=9, activation=nn.Sigmoid(), optim="sgd", lr=0.02)
add("kilograms, SGD", "O08 P04 O01", scale_y=False, loss_fn=nn.MSELoss(), optim="sgd", lr=0.02)
add("features detached", "O10", exact=True, mistake="features detached")
add("clipped at 0.0003, SGD", "O11", optim="sgd", lr=0.1, clip=3e-4)
add("step forgotten", "O12", mistake="step forgotten")
add("forty rows to learn from", "R01 D04", rows=40, batch=8, epochs=60, gamma=1, hidden=128)
add("weight decay of 30", "R02", decay=30.0)
add("dropout of 0.9", "R02", dropout=0.9)
add("validation in train mode", "E01", exact=True, dropout=0.2, mistake="no eval()")
add("R2 against another order", "E04", exact=True, mistake="R2 against another order")
add("BatchNorm that hardly updates", "E05", norm=lambda n: nn.BatchNorm1d(n, momentum=1e-4))
add("MSE and SGD of 0.1 with momentum", optim="sgd", lr=0.1, loss_fn=nn.MSELoss())
add("rate 0.02", lr=0.02)
add("tanh", activation=nn.Tanh(), lr=0.01)
add("BatchNorm, RMSprop", norm=nn.BatchNorm1d, optim="rmsprop")
add("one cycle", variant="one cycle", lr=0.02)
add("batch of 6", batch=6, epochs=8, lr=2e-3, gamma=0.8)
add("clipped at 0.5, l1 penalty", clip=0.5, l1=1e-5)
add("forty validation rows", val_rows=40)
add("first layer frozen", variant="first layer frozen", hidden=128)
add("four batches of 8 accumulated", batch=8, accumulate=4)
