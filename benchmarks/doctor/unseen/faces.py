"""Five kinds of small colour pictures (stripes, discs, rings, checks) under noise, and a first-course CNN.

The loop is a tutorial's: DataLoader, CrossEntropyLoss, Adam, validation each epoch, watched by one `with`.
"""

import copy

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

KINDS = 5
MEAN, STD = 0.5, 0.4  # of the pictures
CROSS_ENTROPY = nn.CrossEntropyLoss()


def pictures(n: int, rng: np.random.Generator, noise: float = 0.55) -> tuple[Tensor, Tensor]:
    """Pictures (n, 3, 16, 16) with values around 0 to 1, and their kinds."""
    rows, columns = np.mgrid[:16, :16]
    kinds = rng.permutation(np.arange(n) % KINDS)
    shots = np.empty((n, 3, 16, 16), np.float32)
    for shot, kind in zip(shots, kinds, strict=True):
        period, phase = rng.integers(4, 7), rng.integers(0, 6)
        across = (rows + phase) % period < period / 2
        down = (columns + phase) % period < period / 2
        y, x, radius = rng.uniform(6, 10), rng.uniform(6, 10), rng.uniform(4, 6)
        distance = np.hypot(rows - y, columns - x)
        ring = np.abs(distance - radius) < 1.2
        shape = (across, down, distance < radius, ring, across ^ down)[kind]
        ink, paper = rng.uniform(0.5, 1, (3, 1, 1)), rng.uniform(0, 0.5, (3, 1, 1))
        shot[:] = np.where(shape, ink, paper) + noise * rng.standard_normal((3, 16, 16))
    return torch.from_numpy(shots), torch.from_numpy(kinds)


class Net(nn.Module):
    """Two convolutions and a linear head."""

    def __init__(
        self, act: type[nn.Module] = nn.ReLU, norm: bool = False, drop: float = 0.0, mistake: str = ""
    ):
        super().__init__()
        blocks = [self.block(3, 12, act, norm), self.block(12, 24, act, norm)]
        self.blocks = blocks if mistake == "layers in a plain list" else nn.ModuleList(blocks)
        self.drop = nn.Dropout(drop)
        self.head = nn.Linear(24 * 4 * 4, KINDS + (mistake == "labels from 1"))
        if mistake == "layer never called":
            self.hidden = nn.Linear(24 * 4 * 4, 24 * 4 * 4)
        self.mistake = mistake

    @staticmethod
    def block(into: int, out: int, act: type[nn.Module], norm: bool) -> nn.Sequential:
        middle = [nn.BatchNorm2d(out)] if norm else []
        return nn.Sequential(nn.Conv2d(into, out, 3, padding=1), *middle, act(), nn.MaxPool2d(2))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        # The mistake: features come first and rows last, so that each row is made of pieces of all.
        x = x.reshape(-1, len(x)).T if self.mistake == "rows mixed in reshape" else x.flatten(1)
        x = self.head(self.drop(x))
        return x.softmax(1) if self.mistake == "softmax in the net" else x


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    right = total = 0
    with torch.no_grad():
        for start in range(0, len(x), 100):
            guess, truth = model(x[start : start + 100]).argmax(1), y[start : start + 100]
            right += (guess == truth[: len(guess)]).sum().item()
            total += len(guess)
    return right / total


def train(
    seed,
    doctor,
    *,
    rows=800,
    epochs=10,
    batch=32,
    lr=2e-3,
    optimizer=torch.optim.Adam,
    loss=CROSS_ENTROPY,
    act=nn.ReLU,
    norm=False,
    drop=0.0,
    gamma=1.0,
    accumulate=1,
    noisy=0.0,
    mistake="",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = pictures(rows + 200, rng)
    fresh_x, fresh_y = pictures(400, rng)

    if mistake == "split after oversampling":
        picks = torch.from_numpy(rng.integers(0, 50, len(x)))
        x, y = x[picks], y[picks]
    elif mistake == "split a sorted file":
        order = y.argsort(stable=True)
        x, y = x[order], y[order]
    train_x, train_y = (x[:rows] - MEAN) / STD, y[:rows].clone()
    val_x, val_y = x[rows:], y[rows:]
    if mistake != "validation not normalised":
        val_x, fresh_x = (val_x - MEAN) / STD, (fresh_x - MEAN) / STD
    else:  # an older pipeline gave bytes, and what is served goes the way of what is validated
        val_x, fresh_x = 255 * val_x, 255 * fresh_x

    if mistake == "labels from another file":
        train_y = train_y[torch.from_numpy(rng.permutation(rows))]
    elif mistake == "labels from 1":
        train_y, val_y, fresh_y = train_y + 1, val_y + 1, fresh_y + 1
    elif mistake == "sorted, not shuffled":
        order = train_y.argsort(stable=True)
        train_x, train_y = train_x[order], train_y[order]
    if noisy:
        wrong = torch.from_numpy(rng.random(rows) < noisy)
        train_y[wrong] = torch.from_numpy(rng.integers(0, KINDS, int(wrong.sum())))
    loader = DataLoader(TensorDataset(train_x, train_y), batch, shuffle=mistake != "sorted, not shuffled")

    model = Net(act, norm, drop, mistake)
    if mistake == "zero weights":
        for weight in model.parameters():
            nn.init.zeros_(weight)
    elif mistake == "biases far below zero":
        for block in model.blocks:
            nn.init.constant_(block[0].bias, -5.0)
    elif mistake == "first block frozen":  # no mistake: it is meant
        model.blocks[0].requires_grad_(False)
    opt = optimizer(model.parameters(), lr=lr)
    if mistake == "head replaced after the optimizer":
        model.head = nn.Linear(24 * 4 * 4, KINDS)
    schedule = torch.optim.lr_scheduler.ExponentialLR(opt, gamma)
    average = copy.deepcopy(model)

    with doctor.watching(model, opt):
        for epoch in range(epochs):
            if mistake != "train() only before the first epoch" or epoch == 0:
                model.train()
            for i, (bx, by) in enumerate(loader):
                if mistake == "turned at random":  # makes stripes across of stripes down
                    bx = torch.stack([picture.rot90(int(k), (1, 2)) for picture, k in
                                      zip(bx, torch.randint(4, (len(bx),)), strict=True)])  # fmt: skip
                out = model(bx)
                if mistake == "log-softmax over the batch":
                    cost = nn.functional.nll_loss(out.log_softmax(0), by)
                else:
                    cost = loss(out, by)
                if mistake == "loss clamped":
                    cost = cost.clamp(max=1.0)
                (cost / accumulate).backward()
                if (i + 1) % accumulate == 0:
                    if mistake != "step forgotten":
                        opt.step()
                    if mistake != "gradients never zeroed":
                        opt.zero_grad()
                    for old, new in zip(average.parameters(), model.parameters(), strict=True):
                        old.data.lerp_(new.data, 0.05)
                if mistake == "schedule stepped each batch":
                    schedule.step()
            if mistake != "schedule stepped each batch":
                schedule.step()
            if mistake == "pictures reshuffled without labels" and epoch == epochs // 3:
                loader.dataset.tensors[0][:] = train_x[torch.randperm(rows)]

            judged = average if mistake == "average of weights judged" else model
            if mistake != "eval() forgotten":
                judged.eval()
            reported = accuracy(judged, val_x, val_y)

    return Outcome(accuracy(judged.eval(), fresh_x, fresh_y), reported)


CASES, add = cases("faces", train)
add("as it should be")
add("sorted, not shuffled", "D03", mistake="sorted, not shuffled")
add("split a sorted file", "D04", mistake="split a sorted file")
add("split after oversampling", "D06", mistake="split after oversampling")
add("pictures reshuffled without labels", "L01", mistake="pictures reshuffled without labels")
add("labels from another file", "L02", mistake="labels from another file")
add("labels from 1", "L05", exact=True, mistake="labels from 1")
add("validation not normalised", "P02", mistake="validation not normalised")
add("turned at random", "P03", mistake="turned at random")
add("rows mixed in reshape", "A04", mistake="rows mixed in reshape")
add("layer never called", "A08", exact=True, mistake="layer never called")
add("biases far below zero", "A02", mistake="biases far below zero")
add("zero weights", "I01", mistake="zero weights")
add("softmax in the net", "S02", exact=True, mistake="softmax in the net")
add("log-softmax over the batch", "S03", exact=True, mistake="log-softmax over the batch")
add("loss clamped", "S07", mistake="loss clamped")
add("lr 0.1", "O01", lr=0.1)
add("lr 3e-6", "O02", lr=3e-6)
add("schedule stepped each batch", "O04", gamma=0.5, mistake="schedule stepped each batch")
add("gradients never zeroed", "O05", exact=True, mistake="gradients never zeroed")
add("head replaced after the optimizer", "O06", exact=True, mistake="head replaced after the optimizer")
add("layers in a plain list", "O06", exact=True, mistake="layers in a plain list")
add("step forgotten", "O12", mistake="step forgotten")
add("eval() forgotten", "E01", exact=True, drop=0.5, mistake="eval() forgotten")
add("train() only before the first epoch", "E02", exact=True, norm=True, drop=0.3,
    mistake="train() only before the first epoch")  # fmt: skip

add("lr 0.006", lr=0.006)
add("SGD with lr 0.1", optimizer=torch.optim.SGD, lr=0.1)
add("smoothing 0.2", loss=nn.CrossEntropyLoss(label_smoothing=0.2))
add("dropout 0.5", drop=0.5)
add("batch norm, batches of 100", norm=True, batch=100)
add("tanh", act=nn.Tanh)
add("accumulation over 4 batches of 8", batch=8, accumulate=4)
add("first block frozen", mistake="first block frozen")
add("average of weights judged", mistake="average of weights judged")
add("labels 5 % wrong", noisy=0.05)
