"""Handwritten digits (8x8) are classified by a small convolutional network with batch norm.

The loop is a user's own `Trainer` with `fit`, `train_epoch` and `validate`, fed by a DataLoader and watched
by `with doctor.watching(...)`.
"""

import copy
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

Rows = tuple[Tensor, Tensor]
TRAIN, VALIDATION = 1000, 300  # the other 497 images are for the score


class Net(nn.Module):
    def __init__(self, activation: type[nn.Module], dropout: float, momentum: float, mistake: str) -> None:
        super().__init__()
        self.mistake = mistake
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(16, momentum=momentum)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(32, momentum=momentum)
        self.act = activation()
        self.drop = nn.Dropout(dropout)
        if mistake == "layer never called":
            self.conv3 = nn.Conv2d(32, 32, 3, padding=1)
        self.head = nn.Linear(32 * 4 * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = F.max_pool2d(self.act(self.norm1(self.conv1(x))), 2)
        h = self.act(self.norm2(self.conv2(h)))
        if self.mistake == "detached":  # a leftover of visualising the features
            h = h.detach()
        if self.mistake == "view after permute":  # the batch is no longer the first axis
            h = h.permute(1, 2, 3, 0)
        out = self.head(self.drop(h.reshape(len(x), -1)))
        if self.mistake == "softmax":
            return out.softmax(1)
        if self.mistake == "log-softmax over the batch":
            return out.log_softmax(0)
        return out


class Trainer:
    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss_fn: Any,
        doctor: Any,
        scheduler: Any = None,
        accumulate: int = 1,
        clip: float | None = None,
        mistake: str = "",
    ) -> None:
        self.model, self.optimizer, self.loss_fn, self.doctor = model, optimizer, loss_fn, doctor
        self.scheduler, self.accumulate, self.clip, self.mistake = scheduler, accumulate, clip, mistake
        self.average = copy.deepcopy(model)  # of the weights

    def augment(self, x: Tensor) -> Tensor:
        if self.mistake == "rows of pixels permuted":  # meant to shuffle the images
            return x[:, :, torch.randperm(8)]
        if self.mistake == "turned and flipped":  # what is harmless for photographs from above
            x = torch.rot90(x, int(torch.randint(4, ())), (2, 3)).flip(3 if torch.rand(()) < 0.5 else 2)
            return x.roll(tuple(torch.randint(-3, 4, (2,)).tolist()), (2, 3))
        return x

    def train_epoch(self, loader: DataLoader) -> float:
        if self.mistake != "eval mode forever":
            self.model.train()
        total = 0.0
        for i, (x, y) in enumerate(loader):
            loss = self.loss_fn(self.model(self.augment(x)), y)
            (loss / self.accumulate).backward()
            total += loss.item()
            if (i + 1) % self.accumulate:
                continue
            if self.clip:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            if self.mistake != "no step":
                self.optimizer.step()
            if self.mistake != "never zeroed":
                self.optimizer.zero_grad()
            if self.mistake == "scheduler per batch":
                self.scheduler.step()
            for mean, new in zip(
                self.average.state_dict().values(), self.model.state_dict().values(), strict=True
            ):
                mean.copy_(0.9 * mean + 0.1 * new)
        return total / len(loader)

    def validate(self, loader: DataLoader) -> dict[str, Any]:
        if self.mistake != "no eval":
            self.model.eval()
        loss, right, rows = 0, 0, 0
        with torch.set_grad_enabled(self.mistake == "graph kept"):
            for x, y in loader:
                out = self.model(x)
                loss = loss + self.loss_fn(out, y)
                right += (out.argmax(1) == y).sum().item()
                rows += len(x)
        return {"loss": loss / len(loader), "acc": right / rows}

    def fit(self, train_loader: DataLoader, val_loader: DataLoader, epochs: int) -> list[dict[str, Any]]:
        history = []
        if self.mistake == "eval mode forever":  # switched once for a first look at the validation set
            self.model.eval()
        with self.doctor.watching(self.model, self.optimizer):
            for _ in range(epochs):
                train_loss = self.train_epoch(train_loader)
                history.append({"train_loss": train_loss, **self.validate(val_loader)})
                if self.scheduler and self.mistake != "scheduler per batch":
                    self.scheduler.step()
                if self.mistake == "features reshuffled":  # and the labels are not
                    images = train_loader.dataset.tensors[0]
                    images.copy_(images[torch.randperm(len(images))])
        return history


def load(seed: int, mistake: str, rows: int, flipped: float) -> tuple[Rows, Rows, Rows]:
    """Training, validation and test images."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    images = torch.tensor(digits.images[order] / 16, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor(digits.target[order])
    first, last = TRAIN, TRAIN + VALIDATION
    test = images[last:], labels[last:]
    val = images[first:last], labels[first:last]
    x, y = images[:first][:rows].clone(), labels[:first][:rows].clone()

    if mistake == "split after oversampling":  # each image is there twelve times before it is split
        pick = torch.randperm(rows * 12) % rows
        x, y = x[pick], y[pick]
        val = x[-rows * 3 :], y[-rows * 3 :]
        x, y = x[: -rows * 3], y[: -rows * 3]
    elif mistake == "split by class":
        x, y = x[y < 7], y[y < 7]
    elif mistake == "sorted":
        order = y.argsort()
        x, y = x[order], y[order]
    elif mistake == "labels shuffled":
        y = y[torch.randperm(len(y))]
    elif mistake == "validation inverted":  # black on white, and so it is served
        val, test = (1 - val[0], val[1]), (1 - test[0], test[1])
    hit = torch.rand(len(y)) < flipped
    y = torch.where(hit, torch.randint(0, 10, y.shape), y)
    return (x, y), val, test


def spoil(model: Net, mistake: str) -> None:
    """Wrong first weights."""
    if mistake == "zeros":
        nn.init.zeros_(model.conv1.weight)
        nn.init.zeros_(model.conv2.weight)
        nn.init.zeros_(model.head.weight)
    if mistake == "norm far below zero":  # so that no ReLU behind it fires
        nn.init.constant_(model.norm2.bias, -8.0)


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 2e-3,
    optimizer: Any = torch.optim.Adam,
    options: dict[str, Any] | None = None,
    loss: Any = None,
    batch: int = 50,
    epochs: int = 12,
    rows: int = TRAIN,
    activation: type[nn.Module] = nn.ReLU,
    dropout: float = 0.0,
    bn_momentum: float = 0.1,
    scheduler: Any = None,
    accumulate: int = 1,
    clip: float | None = None,
    flipped: float = 0.0,
    frozen: bool = False,
    averaged: bool = False,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    train_set, val_set, test_set = load(seed, mistake, rows, flipped)
    shuffle = mistake != "sorted"
    train_loader = DataLoader(TensorDataset(*train_set), batch, shuffle=shuffle, drop_last=True)
    val_loader = DataLoader(TensorDataset(*val_set), 100)

    model = Net(activation, dropout, bn_momentum, mistake)
    spoil(model, mistake)
    model.conv1.requires_grad_(not frozen)
    opt = optimizer(model.parameters(), lr, **(options or {}))
    if mistake == "head replaced":  # after the optimizer was built
        model.head = nn.Linear(32 * 4 * 4, 10)
    trainer = Trainer(
        model,
        opt,
        loss or nn.CrossEntropyLoss(),
        doctor,
        scheduler=scheduler(opt) if scheduler else None,
        accumulate=accumulate,
        clip=clip,
        mistake=mistake,
    )
    history = trainer.fit(train_loader, val_loader, epochs)

    final = trainer.average if averaged else model
    final.eval()
    with torch.no_grad():
        score = (final(test_set[0]).argmax(1) == test_set[1]).float().mean().item()
    return Outcome(score, score if averaged else history[-1]["acc"])


def squared_error(out: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(out, y.float().unsqueeze(1).expand_as(out))


def per_epoch(gamma: float) -> Any:
    return lambda opt: torch.optim.lr_scheduler.ExponentialLR(opt, gamma)


def from_zero(opt: torch.optim.Optimizer) -> Any:
    return torch.optim.lr_scheduler.LambdaLR(opt, lambda epoch: min(epoch / 3, 1.0))


SGD, AdamW = torch.optim.SGD, torch.optim.AdamW

CASES, add = cases("stencils", train)
add("as it should be")
add("sorted, not shuffled", "D03", optimizer=SGD, lr=0.1, options={"momentum": 0.9}, mistake="sorted")
add("three digits only in validation", "D04", mistake="split by class")
add("oversampled, then split", "D06", rows=40, epochs=20, mistake="split after oversampling")
add("images reshuffled apart from labels", "L01", mistake="features reshuffled")
add("labels joined at random", "L02", mistake="labels shuffled")
add("over half of the labels wrong", "L04", flipped=0.6, epochs=25)
add("validation inverted", "P02", mistake="validation inverted")
add("rows of pixels permuted as augmentation", "P03", mistake="rows of pixels permuted")
add("turned, flipped and shifted", "P03", mistake="turned and flipped")
add("no unit fires", "A02", mistake="norm far below zero", lr=1e-3)
add("view after permute", "A04", mistake="view after permute")
add("third convolution never called", "A08", exact=True, mistake="layer never called")
add("weights zero", "I01", mistake="zeros")
add("softmax before cross entropy", "S02", exact=True, mistake="softmax")
add("log-softmax over the batch", "S03", exact=True, loss=nn.NLLLoss(), mistake="log-softmax over the batch")
add("squared error on class numbers", "S06", loss=squared_error)
add("steps far too long", "O01", optimizer=SGD, lr=300.0)
add("steps far too short", "O02", lr=1e-6)
add("per-epoch decay stepped per batch", "O04", scheduler=per_epoch(0.5), mistake="scheduler per batch")
add("gradients never zeroed", "O05", exact=True, optimizer=SGD, lr=0.05, mistake="never zeroed")
add("head replaced after the optimizer", "O06", exact=True, mistake="head replaced")
add("features detached", "O10", exact=True, mistake="detached")
add("no optimizer step", "O12", mistake="no step")
add("no model.eval() in validation", "E01", exact=True, mistake="no eval")
add("trained in eval mode", "E02", exact=True, mistake="eval mode forever")
add("validation keeps its graph", "E03", exact=True, mistake="graph kept")
add("running statistics hardly move", "E05", bn_momentum=1e-4, lr=0.1)
add("batch norm on pairs", "R04", exact=True, batch=2, rows=200, epochs=8)

add("SGD, rate 0.5", optimizer=SGD, lr=0.5)
add("rate from zero", scheduler=from_zero, optimizer=AdamW)
add("first convolution frozen", frozen=True)
add("four batches gathered", accumulate=4, lr=5e-3, batch=25)
add("clipped at 1 with momentum", clip=1.0, optimizer=SGD, lr=0.05, options={"momentum": 0.9})
add("labels smoothed, dropout 0.5", loss=nn.CrossEntropyLoss(label_smoothing=0.1), dropout=0.5)
add("one label in twenty wrong", flipped=0.05)
add("tanh and RMSprop", activation=nn.Tanh, optimizer=torch.optim.RMSprop, lr=1e-3)
add("averaged weights are kept", averaged=True, batch=20)
