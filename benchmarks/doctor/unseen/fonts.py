"""Handwritten digits of 8 by 8 pixels, a LeNet-like CNN without batch norm, a plain script of functions.

Batches by index, SGD with momentum, F.cross_entropy, and the validation's accuracy computed by hand in a
helper; the doctor by `with doctor.watching(...)`.
"""

import torch
from case import Outcome, cases
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F


def load_split(seed: int, n_train: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """Images in 0 to 1 and their classes: to train, to validate (300), to test (400)."""
    bunch = load_digits()
    x = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1) / 16
    y = torch.tensor(bunch.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    parts = order[700 : 700 + n_train], order[400:700], order[:400]
    return tuple((x[rows], y[rows]) for rows in parts)


class LeNet(nn.Module):
    def __init__(self, width: int, hidden: int, dropout: float, act: type, outputs: int, mistake: str):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.fc1 = nn.Linear(2 * width * 16, hidden)
        if mistake == "unused layer":
            self.fc2 = nn.Linear(hidden, hidden)
        deeper = [nn.Linear(hidden, hidden) for _ in range(10 if mistake == "ten sigmoids more" else 0)]
        self.deeper = nn.ModuleList(deeper)
        self.out = nn.Linear(hidden, outputs)
        self.drop = nn.Dropout(dropout)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(self.act(self.conv1(x)), 2)
        x = self.act(self.conv2(x))
        x = self.act(self.fc1(x.flatten(1)))
        for layer in self.deeper:
            x = torch.sigmoid(layer(x))
        return self.out(self.drop(x))


def init_weights(model: nn.Module, std: float, bias: float) -> None:
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, 0.0, std)
        else:
            nn.init.constant_(parameter, bias)


def compute_loss(logits: Tensor, y: Tensor, kind: str, smoothing: float = 0.0) -> Tensor:
    if kind == "softmax first":
        return F.cross_entropy(logits.softmax(1), y)
    if kind == "softmax over the batch":
        return F.nll_loss(logits.log_softmax(0), y)
    if kind == "nll of raw scores":
        return F.nll_loss(logits, y)
    if kind == "squares of the class number":
        return F.mse_loss(logits[:, 0], y.float())
    return F.cross_entropy(logits, y, label_smoothing=smoothing)


def predict(model: nn.Module, x: Tensor, kind: str) -> Tensor:
    out = model(x)
    if kind == "squares of the class number":
        return out[:, 0].round().long()
    return out.argmax(1)


def accuracy(model: nn.Module, x: Tensor, y: Tensor, kind: str) -> float:
    pred = predict(model, x, kind)
    return (pred == y).float().mean().item()


def train(
    seed, doctor, *, width=8, hidden=48, dropout=0.1, act=nn.ReLU, outputs=10, init=None,
    loss="cross entropy", smoothing=0.0, lr=0.05, momentum=0.9, nesterov=False, gamma=1.0,
    clip=0.0, every=1, batch=32, epochs=12, n_train=900, scale=1.0, label_noise=0.0, freeze=False, mistake="",
) -> Outcome:  # fmt: skip
    torch.manual_seed(seed)
    (x, y), (x_val, y_val), (x_test, y_test) = load_split(seed, n_train)
    x, x_val, x_test = x * scale, x_val * scale, x_test * scale
    noisy = torch.rand(len(y)) < label_noise
    y[noisy] = torch.randint(0, 10, (int(noisy.sum()),))
    if mistake == "labels joined anew":
        y = y[torch.randperm(len(y))]
    elif mistake == "nearly all are zeros":
        rare = (y != 0).nonzero().flatten()[:18]
        zeros = (y == 0).nonzero().flatten().repeat(9)
        x, y = x[torch.cat([zeros, rare])], y[torch.cat([zeros, rare])]
    elif mistake == "three classes missing":
        x, y = x[y < 7], y[y < 7]
    elif mistake == "classes from 1":
        y, y_val = y + 1, y_val + 1

    model = LeNet(width, hidden, dropout, act, outputs, mistake)
    if init is not None:
        init_weights(model, *init)
    if freeze:
        model.conv1.requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr, momentum, nesterov=nesterov)
    if mistake == "head replaced after the optimizer":
        model.out = nn.Linear(hidden, outputs)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)

    with doctor.watching(model, optimizer):
        for _ in range(epochs):
            model.train()
            for i, rows in enumerate(torch.randperm(len(x)).split(batch)):
                xb, yb = x[rows], y[rows]
                step_loss = compute_loss(model(xb), yb, loss, smoothing)
                if i % every == 0:
                    optimizer.zero_grad()
                (step_loss / every).backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if (i + 1) % every == 0 and mistake != "no step":
                    optimizer.step()
                if mistake == "scheduler each batch":
                    scheduler.step()
            if mistake != "scheduler each batch":
                scheduler.step()

            if mistake != "eval forgotten":
                model.eval()
            with torch.no_grad():
                reported = accuracy(model, x_val, y_val, loss)

    model.eval()
    with torch.no_grad():
        score = accuracy(model, x_test, y_test, loss)
    return Outcome(score, reported)


CASES, add = cases("fonts", train)
add("as it should be")
add("tanh, nesterov", act=nn.Tanh, nesterov=True)
add("lr 0.3 without momentum", lr=0.3, momentum=0.0)
add("first layer frozen", freeze=True)
add("dropout of a half and label smoothing", dropout=0.5, smoothing=0.1)
add("raw pixels at a low lr", scale=16.0, lr=0.003)
add("clipped at 1, lr falls each epoch", clip=1.0, gamma=0.85)
add("two batches of 16 an update", batch=16, every=2)
add("5 % of the labels wrong", label_noise=0.05)
add("nearly all are zeros", "D02", mistake="nearly all are zeros", lr=0.005)
add("three classes missing", "D04", mistake="three classes missing")
add("labels joined anew", "L02", mistake="labels joined anew")
add("60 % of the labels wrong", "L04", label_noise=0.6, n_train=450, epochs=25)
add("classes from 1", "L05", mistake="classes from 1", outputs=11)
add("pixels of up to 4000", "P01", scale=4000.0)
add("biases of -3", "A02", init=(0.1, -3.0))
add("no activation", "A03", exact=True, act=nn.Identity)
add("one hidden unit", "A07", hidden=1, dropout=0.0, act=nn.Tanh)
add("a layer never called", "A08", exact=True, mistake="unused layer")
add("weights all zero", "I01", init=(0.0, 0.0))
add("weights of std 4", "I03", init=(4.0, 0.0))
add("softmax first", "S02", loss="softmax first", lr=0.02)
add("softmax over the batch", "S03", exact=True, loss="softmax over the batch")
add("nll of raw scores", "S03 S07", loss="nll of raw scores")
add("squares of the class number", "S06", loss="squares of the class number", lr=0.01)
add("lr 3", "O01", lr=3.0)
add("scheduler each batch", "O04", mistake="scheduler each batch", gamma=0.8)
add("head replaced after the optimizer", "O06", exact=True, mistake="head replaced after the optimizer")
add("ten sigmoids more", "O07", mistake="ten sigmoids more")
add("clipped at 0.001", "O11", clip=0.001)
add("no step", "O12", mistake="no step")
add("30 images, 60 epochs", "R01 D04", n_train=30, epochs=60, batch=8)
add("eval forgotten", "E01", exact=True, mistake="eval forgotten")
